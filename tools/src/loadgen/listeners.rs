//! People who listen: each plays songs in real time from a source of its own.
//!
//! Owns who listens to what and when something is due. The sound comes from `source`, the buffer
//! and its stalls are `player`'s, the sums `tally`'s.

mod heard;
mod listener;
mod machine;
mod node;
mod page;
mod source;
mod tally;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use roles::client;
use roles::contract::record::Address;
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use roles::contract::user::Notice;

use super::args;
use super::cluster;
use super::course::Row;
use super::engine::Driver;
use super::player::Cause;
use super::report::Report;
use super::schedule;
use super::sockets::{self, Sockets};
use super::survey::Known;
use crate::zipf::Zipf;

use heard::Heard;
use listener::{Listener, Stage};
use machine::{Machine, Shared, World};
use node::NodeSource;
use page::PageSource;
use source::Source;
use tally::Tally;

pub(crate) use tally::FIGURES;

/// Connections that a listener may have: a DNS node, a router, three holders; at a page, one.
pub(crate) const CONNECTIONS_EACH: u64 = 5;

/// All listeners of a run.
pub(crate) struct Listeners {
    options: args::Listeners,
    songs: Vec<Known>,
    zipf: Zipf,
    all: Vec<Listener>,
    /// The earliest deadline of each listener that has one.
    timers: BTreeSet<(Time, usize)>,
    shared: Shared,
    notices: Vec<Notice>,
    heard: Vec<Heard>,
    tally: Tally,
}

impl Listeners {
    /// Listeners to these songs, the most popular first. `dns` are the cluster's DNS nodes.
    pub(crate) fn new(
        options: args::Listeners,
        songs: Vec<Known>,
        dns: &[SocketAddr],
        rng: &mut Rng,
    ) -> Self {
        let dns: Vec<Address> = dns.iter().copied().map(Address).collect();
        let pages: Rc<[SocketAddr]> = options.http.clone().into();
        let forced = options.kbps.map(|kbps| f64::from(kbps) * 125.0);
        let one = |owner: usize| {
            let mut rng = Rng::from_seed(rng.bits());
            let source = if pages.is_empty() {
                let config = client::Config {
                    dns_nodes: dns.clone(),
                    // Nothing is kept: a listener's second song must not come from its disk.
                    cache_bytes: 0,
                    ..client::Config::default()
                };
                let identity = cluster::identity(&mut rng);
                let machine = Machine::new(owner, identity, config, &mut rng);
                Source::Node(Box::new(NodeSource::new(machine, forced)))
            } else {
                Source::Page(PageSource::new(owner, Rc::clone(&pages), forced))
            };
            Listener::new(source, rng)
        };
        Listeners {
            zipf: Zipf::new(songs.len(), options.zipf),
            all: (0..options.count as usize).map(one).collect(),
            options,
            songs,
            timers: BTreeSet::new(),
            shared: Shared::new(),
            notices: Vec::new(),
            heard: Vec::new(),
            tally: Tally::new(),
        }
    }

    /// Lets one listener do something, and takes in what comes of it.
    fn with(
        &mut self,
        number: usize,
        now: Time,
        sockets: &mut Sockets,
        step: impl FnOnce(&mut Listener, &Stage<'_>, &mut World<'_>, &mut Vec<Heard>),
    ) {
        let Some(listener) = self.all.get_mut(number) else {
            return;
        };
        let stage = Stage {
            now,
            options: &self.options,
            songs: &self.songs,
            zipf: &self.zipf,
        };
        let mut world = World {
            sockets,
            shared: &mut self.shared,
            notices: &mut self.notices,
        };
        step(listener, &stage, &mut world, &mut self.heard);
        listener.settle(&stage, &mut world, &mut self.heard, &mut self.tally);
        let due = listener.deadline(&self.options);
        if due != listener.armed {
            if let Some(at) = listener.armed.take() {
                self.timers.remove(&(at, number));
            }
            listener.armed = due;
            if let Some(at) = due {
                self.timers.insert((at, number));
            }
        }
    }
}

impl Driver for Listeners {
    fn prepare(&mut self, _sockets: &mut Sockets) {}

    fn is_ready(&self) -> bool {
        true
    }

    fn begin(&mut self, now: Time, _sockets: &mut Sockets) {
        let (ramp, count) = (self.options.ramp, self.all.len());
        for (number, listener) in self.all.iter_mut().enumerate() {
            listener.begins_at = schedule::ramped(now, ramp, number, count);
            listener.armed = Some(listener.begins_at);
            self.timers.insert((listener.begins_at, number));
        }
    }

    fn on_report(&mut self, now: Time, report: sockets::Report, sockets: &mut Sockets) {
        let what = (report.conn, report.happened);
        self.with(
            report.owner,
            now,
            sockets,
            |listener, stage, world, heard| {
                listener.source.on_happened(stage.now, what, world, heard);
            },
        );
    }

    fn on_tick(&mut self, now: Time, sockets: &mut Sockets) {
        // Each listener at most once per turn: one that is due again at once must not keep the
        // loop from its sockets.
        let due: Vec<usize> = self
            .timers
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, number)| *number)
            .collect();
        for number in due {
            self.with(number, now, sockets, Listener::on_tick);
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn end(&mut self, now: Time) {
        for listener in &mut self.all {
            if let Some((Cause::Stall, since)) = listener.player.waits() {
                self.tally.on_stall_left(now - since);
            }
            listener.player.stop();
        }
    }

    fn is_idle(&self) -> bool {
        true
    }

    fn row(&mut self, _now: Time) -> Row {
        let playing = self.all.iter().filter(|l| l.player.is_playing()).count();
        self.tally.row(playing as u64)
    }

    fn report(&mut self, took: Duration) -> Report {
        let never = self.all.iter().filter(|l| l.begun && !l.started).count();
        let count = self.all.iter().filter(|l| l.begun).count();
        let way = if self.options.http.is_empty() {
            "the node protocol"
        } else {
            "/stream"
        };
        let title = format!("{count} listeners by {way}");
        self.tally.report((count as u64, never as u64), title, took)
    }
}
