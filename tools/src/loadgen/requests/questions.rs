//! The questions of a run: drawn from the mix, about songs by their popularity, to nodes that can
//! answer.

use std::net::SocketAddr;

use roles::contract::message::{Audio, Catalogue, Message, Names, Position, Query, Sort};
use roles::contract::record::Role;
use roles::contract::rng::Rng;
use roles::contract::time::Time;

use super::super::args;
use super::super::survey::{Known, Survey};
use super::lines::Lines;
use super::mix::Kind;
use super::upload::{Next, Upload};
use crate::zipf::Zipf;

/// Songs on a page that is asked for.
const PAGE: u32 = 50;

/// A request before it leaves.
pub(super) struct Request {
    pub(super) kind: Kind,
    /// When it should have left.
    pub(super) due: Time,
    pub(super) to: SocketAddr,
    pub(super) message: Message,
    pub(super) body: Vec<u8>,
    pub(super) upload: Option<Box<Upload>>,
}

/// Draws requests.
pub(super) struct Questions {
    options: args::Requests,
    survey: Survey,
    zipf: Zipf,
    /// Songs whose holders are known, the most popular first.
    located: Vec<Known>,
    located_zipf: Zipf,
    rng: Rng,
}

/// The nodes that requests of the mix go to.
pub(crate) fn targets(options: &args::Requests, survey: &Survey) -> Vec<SocketAddr> {
    let has = |kind| options.mix.has(kind);
    let of_router = [Kind::List, Kind::Search, Kind::Locate, Kind::Upload];
    let mut targets = Vec::new();
    if of_router.map(has).contains(&true) {
        targets.extend(&survey.routers);
    }
    if has(Kind::Resolve) {
        targets.extend(&survey.dns);
    }
    if has(Kind::Fetch) || has(Kind::Upload) {
        targets.extend(&survey.data);
    }
    targets
}

/// Whether the mix needs songs in the cluster.
pub(crate) fn needs_songs(options: &args::Requests) -> bool {
    let about_songs = [Kind::Search, Kind::Locate, Kind::Fetch];
    about_songs.into_iter().any(|kind| options.mix.has(kind))
}

impl Questions {
    pub(super) fn new(options: args::Requests, survey: Survey, rng: Rng) -> Self {
        let located = survey.songs.iter().filter(|song| !song.holders.is_empty());
        let located: Vec<Known> = located.cloned().collect();
        Questions {
            zipf: Zipf::new(survey.songs.len(), options.zipf),
            located_zipf: Zipf::new(located.len(), options.zipf),
            located,
            options,
            survey,
            rng,
        }
    }

    /// A request of the mix; only its kind if no node is there to take it.
    pub(super) fn draw(&mut self, due: Time, lines: &Lines) -> Result<Request, Kind> {
        let kind = self.options.mix.draw(&mut self.rng);
        let mut upload = None;
        let question = match kind {
            Kind::List => self.at_router(list(""), lines),
            Kind::Search => {
                let words = self.word();
                self.at_router(list(&words), lines)
            }
            Kind::Locate => self.locate(lines),
            Kind::Resolve => self.resolve(),
            Kind::Fetch => self.fetch(lines),
            Kind::Upload => {
                let begun = Box::new(Upload::new(self.options.upload_bytes, &mut self.rng));
                let Next::AskRouter(message) = begun.begin() else {
                    return Err(kind);
                };
                upload = Some(begun);
                self.at_router(message, lines)
            }
        };
        let (to, message) = question.ok_or(kind)?;
        Ok(Request {
            kind,
            due,
            to,
            message,
            body: Vec::new(),
            upload,
        })
    }

    fn at_router(&mut self, message: Message, lines: &Lines) -> Option<(SocketAddr, Message)> {
        let router = reached(&self.survey.routers, lines, &mut self.rng)?;
        Some((router, message))
    }

    fn locate(&mut self, lines: &Lines) -> Option<(SocketAddr, Message)> {
        let rank = self.zipf.draw(&mut self.rng);
        let prefix = self.survey.songs.get(rank)?.id.into();
        self.at_router(Message::Catalogue(Catalogue::Locate { prefix }), lines)
    }

    fn resolve(&mut self) -> Option<(SocketAddr, Message)> {
        let dns = self.rng.pick(&self.survey.dns).copied()?;
        let role = Role::Router;
        Some((dns, Message::Names(Names::Resolve { role })))
    }

    /// A fragment of a song, from one of its holders.
    fn fetch(&mut self, lines: &Lines) -> Option<(SocketAddr, Message)> {
        let rank = self.located_zipf.draw(&mut self.rng);
        let song = self.located.get(rank)?;
        let index = self.rng.below(u64::from(song.fragments)) as u32;
        let holder = reached(&song.holders, lines, &mut self.rng)?;
        let question = Audio::Fetch {
            song: song.id,
            from: Position::Index(index),
            count: 1,
        };
        Some((holder, Message::Audio(question)))
    }

    /// A word of some title.
    fn word(&mut self) -> String {
        let rank = self.zipf.draw(&mut self.rng);
        let title = self.survey.songs.get(rank).map(|song| song.title.as_str());
        let words: Vec<&str> = title.unwrap_or_default().split_whitespace().collect();
        let word = self.rng.pick(&words);
        word.map_or_else(String::new, ToString::to_string)
    }
}

/// One of several nodes: one with an open connection, if there is one.
fn reached(all: &[SocketAddr], lines: &Lines, rng: &mut Rng) -> Option<SocketAddr> {
    let open = all.iter().filter(|at| lines.reaches(**at)).count();
    if open == 0 {
        return rng.pick(all).copied();
    }
    let which = rng.below(open as u64) as usize;
    let mut open = all.iter().filter(|at| lines.reaches(**at));
    open.nth(which).copied()
}

fn list(words: &str) -> Message {
    let query = Query {
        words: words.to_owned(),
        sort: Sort::Artist,
        descending: false,
        after: None,
        limit: PAGE,
    };
    Message::Catalogue(Catalogue::List { query })
}
