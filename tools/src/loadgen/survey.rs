//! What a run must know before it begins: the nodes, and the songs with their holders.
//!
//! Asks as any client does: a DNS node for the groups, a router for the songs and their holders.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use roles::contract::id::SongId;
use roles::contract::message::{Catalogue, Listed, Message, Names, Query, Refusal, Sort};
use roles::contract::node::Lost;
use roles::contract::record::{Features, Record, Role};
use roles::contract::rng::Rng;
use serde_json::Value;

use super::asker::{Asker, Unanswered};
use super::cluster::{self, Cluster};
use super::failure::Failure;

/// Songs beyond this number are not asked for: a run hears enough different songs.
pub(crate) const SONGS_MAX: usize = 20_000;

/// Songs whose holders are looked up; requests for fragments choose among these.
const LOCATED_MAX: usize = 2_000;

/// How often, and with which pause, a node that has just started is asked again: five seconds.
const NOT_READY_TRIES: u32 = 50;
const NOT_READY_PAUSE: Duration = Duration::from_millis(100);

/// Songs on one page of the catalogue, and of a page's list.
const PAGE: u32 = 100;

/// A song that a run may ask for.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: SongId,
    pub(crate) bytes: u64,
    pub(crate) duration: Duration,
    pub(crate) fragments: u32,
    /// Searches draw their words from here.
    pub(crate) title: String,
    /// Where the song is, if that was asked.
    pub(crate) holders: Vec<SocketAddr>,
}

impl Known {
    /// Bytes of the file per second of sound; a song of unknown length counts as 128 kbit/s.
    pub(crate) fn bytes_per_second(&self) -> f64 {
        if self.duration.is_zero() {
            return 16_000.0;
        }
        self.bytes as f64 / self.duration.as_secs_f64()
    }
}

/// The cluster's nodes and songs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    pub(crate) dns: Vec<SocketAddr>,
    pub(crate) routers: Vec<SocketAddr>,
    pub(crate) data: Vec<SocketAddr>,
    /// What the processors of routers and data nodes can do.
    pub(crate) features: BTreeMap<SocketAddr, Features>,
    pub(crate) songs: Vec<Known>,
}

/// What a run needs to know of the songs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    Songs,
    SongsAndHolders,
}

/// Asks the cluster. The order of the songs, and so their popularity, depends on `rng` alone.
pub(crate) fn ask(cluster: &Cluster, need: Need, rng: &mut Rng) -> Result<Survey, Failure> {
    let mut survey = names(cluster, rng)?;
    cluster.check("router", &survey.routers)?;
    cluster.check("data node", &survey.data)?;
    if need == Need::Nothing {
        return Ok(survey);
    }
    let mut router = dial_one(cluster, &survey.routers, "router", rng)?;
    survey.songs = songs(&mut router)?;
    rng.shuffle(&mut survey.songs);
    if need == Need::SongsAndHolders {
        for song in survey.songs.iter_mut().take(LOCATED_MAX) {
            song.holders = holders_of(&mut router, song.id)?;
        }
    }
    Ok(survey)
}

/// An error unless there are songs.
pub(crate) fn need_songs(survey: &Survey) -> Result<(), Failure> {
    if survey.songs.is_empty() {
        let cure = "add some with `dispotify add`, or make some with `loadgen corpus` first";
        return Err(Failure::Failed(format!("the cluster has no songs: {cure}")));
    }
    Ok(())
}

fn names(cluster: &Cluster, rng: &mut Rng) -> Result<Survey, Failure> {
    let mut dns = dial_one(cluster, &cluster.dns, "DNS node", rng)?;
    let mut group = |role: Role| {
        let answer = asked(&mut dns, Message::Names(Names::Resolve { role }))?;
        let Message::Names(Names::Records { records, .. }) = answer else {
            return Err(Failure::failed("resolve", format!("{answer:?}")));
        };
        Ok(records)
    };
    let (routers, data) = (group(Role::Router)?, group(Role::Data)?);
    let addresses = |records: &[Record]| records.iter().map(|r| r.address.0).collect();
    let survey = Survey {
        routers: addresses(&routers),
        data: addresses(&data),
        features: (routers.iter().chain(&data))
            .map(|record| (record.address.0, record.features))
            .collect(),
        dns: cluster.dns.clone(),
        songs: Vec::new(),
    };
    if survey.routers.is_empty() {
        let line = "no router is registered (is a node running? see --dns)";
        return Err(Failure::Unreachable(line.into()));
    }
    Ok(survey)
}

/// Connects to the first of several nodes that answers.
fn dial_one(
    cluster: &Cluster,
    addresses: &[SocketAddr],
    what: &str,
    rng: &mut Rng,
) -> Result<Asker, Failure> {
    let mut last = Unanswered::Late;
    for address in addresses {
        match Asker::dial(*address, &cluster.security, cluster::identity(rng)) {
            Ok(asker) => return Ok(asker),
            Err(why) => last = why,
        }
    }
    if last == Unanswered::Lost(Lost::HandshakeRefused) {
        let line = "the cluster refused this key or cluster name (see --key-file)";
        return Err(Failure::Unreachable(line.into()));
    }
    let line = format!("no {what} can be reached: {last} (is a node running? see --dns)");
    Err(Failure::Unreachable(line))
}

/// Asks one question; a node that has just started is asked again for a while.
fn asked(asker: &mut Asker, message: Message) -> Result<Message, Failure> {
    let mut tries = 0;
    loop {
        let answer = asker.ask(message.clone());
        let lost = |why| Failure::Unreachable(format!("ask about the cluster: {why}"));
        let (answer, _) = answer.map_err(lost)?;
        tries += 1;
        if answer != Message::Refused(Refusal::NotReady) || tries > NOT_READY_TRIES {
            return Ok(answer);
        }
        thread::sleep(NOT_READY_PAUSE);
    }
}

fn songs(router: &mut Asker) -> Result<Vec<Known>, Failure> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let query = Query {
            words: String::new(),
            sort: Sort::Artist,
            descending: false,
            after,
            limit: PAGE,
        };
        let answer = asked(router, Message::Catalogue(Catalogue::List { query }))?;
        let Message::Catalogue(Catalogue::Songs { songs, next, .. }) = answer else {
            return Err(Failure::failed("list songs", format!("{answer:?}")));
        };
        all.extend(songs.into_iter().map(known));
        after = next;
        if after.is_none() || all.len() >= SONGS_MAX {
            return Ok(all);
        }
    }
}

fn known(listed: Listed) -> Known {
    let song = listed.song;
    Known {
        id: song.id,
        bytes: song.bytes,
        duration: Duration::from_millis(song.duration_ms.into()),
        fragments: song.fragments,
        title: song.title,
        holders: Vec::new(),
    }
}

fn holders_of(router: &mut Asker, song: SongId) -> Result<Vec<SocketAddr>, Failure> {
    let prefix = song.into();
    let answer = asked(router, Message::Catalogue(Catalogue::Locate { prefix }))?;
    let Message::Catalogue(Catalogue::Located { holders, .. }) = answer else {
        return Ok(Vec::new()); // Removed since it was listed.
    };
    Ok(holders.iter().map(|holder| holder.address.0).collect())
}

/// The songs of a page, in an order that depends on `rng` alone.
pub(crate) fn songs_of_page(pages: &[SocketAddr], rng: &mut Rng) -> Result<Vec<Known>, Failure> {
    let mut why = String::new();
    for page in pages {
        match list_of_page(*page) {
            Ok(mut songs) => {
                rng.shuffle(&mut songs);
                return Ok(songs);
            }
            Err(error) => why = format!("{page}: {error}"),
        }
    }
    let line = format!("no page can be reached: {why} (see --http)");
    Err(Failure::Unreachable(line))
}

fn list_of_page(page: SocketAddr) -> Result<Vec<Known>, String> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let cursor = after.map_or_else(String::new, |after: String| {
            format!("&after={}", net::http::percent::encode(&after))
        });
        let body = get(page, &format!("/api/songs?limit={PAGE}{cursor}"))?;
        let answer: Value = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        let songs = answer["songs"]
            .as_array()
            .ok_or("it is no dispotify page")?;
        all.extend(songs.iter().filter_map(known_of_json));
        after = answer["next"].as_str().map(str::to_owned);
        if after.is_none() || all.len() >= SONGS_MAX {
            return Ok(all);
        }
    }
}

fn known_of_json(song: &Value) -> Option<Known> {
    Some(Known {
        id: SongId::parse(song["id"].as_str()?)?,
        bytes: song["bytes"].as_u64()?,
        duration: Duration::from_millis(song["duration_ms"].as_u64()?),
        fragments: u32::try_from(song["fragments"].as_u64()?).ok()?,
        title: song["title"].as_str().unwrap_or_default().to_owned(),
        holders: Vec::new(),
    })
}

/// The body of a small answer, on a connection of its own.
pub(crate) fn get(page: SocketAddr, path: &str) -> Result<Vec<u8>, String> {
    let words = |error: std::io::Error| error.to_string();
    let patience = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&page, patience).map_err(words)?;
    stream.set_read_timeout(Some(patience)).map_err(words)?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(words)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(words)?;
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let split = split.ok_or("it answered without a head")?;
    let status = bytes.get(9..12).unwrap_or_default();
    if status != b"200" {
        return Err(format!("it answered {}", String::from_utf8_lossy(status)));
    }
    Ok(bytes.split_off(split + 4))
}
