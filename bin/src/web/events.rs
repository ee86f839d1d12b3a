//! What the page is told by itself: how the cluster stands, and where the music comes from.
//!
//! Owns the listeners of `/api/events`, the latest status, and which nodes have been said to hold
//! the songs that play. The status is asked for only while somebody listens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use net::http::site::{Body, Exchange};
use roles::contract::id::SongId;
use roles::contract::message::{NodeState, Status};
use roles::contract::record::Address;
use roles::contract::time::Time;
use roles::contract::timers::earlier;
use roles::contract::user::Origin;
use serde::Serialize;

use crate::commands::status::Object;

/// Pages that may listen at once.
const LISTENERS_MAX: usize = 64;

/// What may wait for one listener; who lags behind it begins anew.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// How often the status is looked at.
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// How soon it is looked at when the music comes from elsewhere.
const STATUS_SOON: Duration = Duration::from_millis(200);

/// How often a listener hears something, so that a dead one is noticed.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// Songs whose holders are remembered.
const SONGS_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Events {
    listeners: BTreeMap<Exchange, Listener>,
    status: Option<Status>,
    /// The status as an event.
    told: Vec<u8>,
    /// When the status is to be asked for; none while nobody listens, or an answer is awaited.
    ask_at: Option<Time>,
    alive_at: Option<Time>,
    holders: BTreeMap<SongId, BTreeSet<Address>>,
}

struct Listener {
    waiting: Vec<u8>,
    sent: usize,
}

impl Events {
    /// Lets one more page listen, if there is room.
    pub(super) fn listen(&mut self, now: Time, exchange: Exchange) -> bool {
        if self.listeners.len() >= LISTENERS_MAX {
            return false;
        }
        let mut waiting = b"retry: 1000\n\n".to_vec();
        waiting.extend_from_slice(&self.told);
        let listener = Listener { waiting, sent: 0 };
        if self.listeners.is_empty() {
            self.ask_at = Some(now);
            self.alive_at = Some(now + ALIVE_EVERY);
        }
        self.listeners.insert(exchange, listener);
        true
    }

    pub(super) fn leave(&mut self, exchange: Exchange) {
        self.listeners.remove(&exchange);
        if self.listeners.is_empty() {
            (self.ask_at, self.alive_at) = (None, None);
        }
    }

    pub(super) fn is_heard(&self) -> bool {
        !self.listeners.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        earlier(self.ask_at, self.alive_at)
    }

    /// Whether the status is to be asked for.
    pub(super) fn asks(&mut self, now: Time) -> bool {
        let due = self.ask_at.is_some_and(|at| at <= now);
        if due {
            self.ask_at = None;
        }
        due
    }

    /// The status came, or did not: it is asked for again.
    pub(super) fn on_status(&mut self, now: Time, answer: Option<(Status, Address)>) -> Lagging {
        if self.is_heard() {
            self.ask_at = Some(now + STATUS_EVERY);
        }
        let Some((status, router)) = answer else {
            return vec![];
        };
        let same = (self.status.as_ref()).is_some_and(|last| timeless(last) == timeless(&status));
        self.told = event("status", &Object::of(&status, router));
        self.status = Some(status);
        if same {
            vec![]
        } else {
            self.tell(&self.told.clone())
        }
    }

    /// Nodes that were said to hold a song.
    pub(super) fn on_holders(&mut self, song: SongId, holders: impl Iterator<Item = Address>) {
        if self.holders.len() >= SONGS_MAX && !self.holders.contains_key(&song) {
            self.holders.pop_first();
        }
        self.holders.entry(song).or_default().extend(holders);
    }

    /// Whether it is known who holds a song.
    pub(super) fn knows_holders(&self, song: SongId) -> bool {
        self.holders.get(&song).is_some_and(|all| !all.is_empty())
    }

    /// A fragment has been given to a listener.
    pub(super) fn on_fragment(
        &mut self,
        now: Time,
        (song, index): (SongId, u32),
        origin: Origin,
        before: Option<Origin>,
    ) -> Lagging {
        if !self.is_heard() {
            return vec![];
        }
        // Another node gives the music: perhaps because one is gone.
        if let (Some(at), true) = (self.ask_at, before.is_some_and(|before| before != origin)) {
            self.ask_at = Some(at.min(now + STATUS_SOON));
        }
        let fragment = Fragment {
            song: song.to_string(),
            index,
            from: match origin {
                Origin::Cache => "cache".to_owned(),
                Origin::Node(address) => address.to_string(),
            },
            lost: self.lost(song, origin),
        };
        self.tell(&event("fragment", &fragment))
    }

    /// Holders of a song that do not live, as far as is known.
    fn lost(&self, song: SongId, origin: Origin) -> Vec<String> {
        let (Some(status), Some(holders)) = (&self.status, self.holders.get(&song)) else {
            return vec![];
        };
        let lives = |address: &Address| {
            let mut nodes = status.nodes.iter();
            nodes.any(|node| node.address == *address && node.state == NodeState::Alive)
        };
        let lost = holders.iter().filter(|address| {
            let gives = origin == Origin::Node(**address);
            !lives(address) && !gives
        });
        lost.map(ToString::to_string).collect()
    }

    /// Keeps quiet connections alive.
    pub(super) fn on_tick(&mut self, now: Time) -> Lagging {
        if self.alive_at.is_none_or(|at| at > now) {
            return vec![];
        }
        self.alive_at = Some(now + ALIVE_EVERY);
        self.tell(b": still here\n\n")
    }

    /// Gives everyone this; names those that must be woken, and whether they lag too far behind.
    fn tell(&mut self, text: &[u8]) -> Lagging {
        let told = self.listeners.iter_mut().map(|(exchange, listener)| {
            let lags = listener.waiting.len() - listener.sent + text.len() > WAITING_BYTES_MAX;
            if !lags {
                listener.waiting.drain(..listener.sent);
                listener.sent = 0;
                listener.waiting.extend_from_slice(text);
            }
            (*exchange, lags)
        });
        told.collect()
    }

    pub(super) fn body(&self, exchange: Exchange) -> Body<'_> {
        match self.listeners.get(&exchange) {
            Some(listener) if listener.sent < listener.waiting.len() => {
                Body::Bytes(&listener.waiting[listener.sent..])
            }
            Some(_) => Body::Later,
            None => Body::End,
        }
    }

    pub(super) fn on_taken(&mut self, exchange: Exchange, bytes: usize) {
        if let Some(listener) = self.listeners.get_mut(&exchange) {
            listener.sent += bytes;
        }
    }
}

/// Listeners to be woken; those with `true` lag too far behind and are cut off.
pub(super) type Lagging = Vec<(Exchange, bool)>;

/// A status without what changes at every look.
fn timeless(status: &Status) -> Status {
    let mut status = status.clone();
    status.nodes.iter_mut().for_each(|node| node.heard_ms = 0);
    status
}

fn event(name: &str, value: &impl Serialize) -> Vec<u8> {
    let data = serde_json::to_string(value).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

/// A fragment as the page hears of it. The names are an interface.
#[derive(Serialize)]
struct Fragment {
    song: String,
    index: u32,
    from: String,
    lost: Vec<String>,
}
