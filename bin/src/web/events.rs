//! Server-sent events for the page: the cluster's status, and the origin of each played fragment.
//!
//! Owns the listeners of `/api/events`, the latest status, and the known holders of the songs that
//! play. The status is requested only while a page listens.

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

/// Most pages that may listen at once.
const LISTENERS_MAX: usize = 64;

/// Most unsent bytes per listener. A listener that falls further behind is cut off and reconnects.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// How often the status is requested.
const STATUS_EVERY: Duration = Duration::from_secs(2);

/// How soon the status is requested after a song's fragments come from another origin.
const STATUS_SOON: Duration = Duration::from_millis(200);

/// How often a listener is sent a sign of life, so that a dead connection is noticed.
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// Most songs whose holders are remembered.
const SONGS_MAX: usize = 256;

#[derive(Default)]
pub(super) struct Events {
    listeners: BTreeMap<Exchange, Listener>,
    status: Option<Status>,
    /// The latest status, encoded as an event.
    told: Vec<u8>,
    /// When to request the status next; `None` without listeners or while an answer is awaited.
    ask_at: Option<Time>,
    alive_at: Option<Time>,
    holders: BTreeMap<SongId, BTreeSet<Address>>,
}

struct Listener {
    waiting: Vec<u8>,
    sent: usize,
}

impl Events {
    /// Adds a listener; false when there are too many.
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

    /// Whether the status is to be requested now. The caller then requests it.
    pub(super) fn asks(&mut self, now: Time) -> bool {
        let due = self.ask_at.is_some_and(|at| at <= now);
        if due {
            self.ask_at = None;
        }
        due
    }

    /// Takes the answer to a status request, or its failure, and schedules the next request.
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

    /// Remembers nodes that are reported to hold a song.
    pub(super) fn on_holders(&mut self, song: SongId, holders: impl Iterator<Item = Address>) {
        if self.holders.len() >= SONGS_MAX && !self.holders.contains_key(&song) {
            self.holders.pop_first();
        }
        self.holders.entry(song).or_default().extend(holders);
    }

    /// Whether any holder of a song is known.
    pub(super) fn knows_holders(&self, song: SongId) -> bool {
        self.holders.get(&song).is_some_and(|all| !all.is_empty())
    }

    /// Reports to all listeners that a fragment has been sent to a player, and from which origin.
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
        // The origin has changed, perhaps because a node died: the page should see that soon.
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

    /// Known holders of a song that are not alive according to the latest status.
    fn lost(&self, song: SongId, origin: Origin) -> Vec<String> {
        let (Some(status), Some(holders)) = (&self.status, self.holders.get(&song)) else {
            return vec![];
        };
        let lives = |address: &Address| {
            let mut nodes = status.nodes.iter();
            let well = |state| matches!(state, NodeState::Alive | NodeState::Full);
            nodes.any(|node| node.address == *address && well(node.state))
        };
        let lost = holders.iter().filter(|address| {
            let gives = origin == Origin::Node(**address);
            !lives(address) && !gives
        });
        lost.map(ToString::to_string).collect()
    }

    /// Sends the periodic sign of life when it is due.
    pub(super) fn on_tick(&mut self, now: Time) -> Lagging {
        if self.alive_at.is_none_or(|at| at > now) {
            return vec![];
        }
        self.alive_at = Some(now + ALIVE_EVERY);
        self.tell(b": still here\n\n")
    }

    /// Queues a text for every listener. A listener that lags too far behind gets nothing and is to
    /// be cut off.
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

/// Listeners to wake; those with `true` lag too far behind and are cut off.
pub(super) type Lagging = Vec<(Exchange, bool)>;

/// A status without the field that changes at every request.
fn timeless(status: &Status) -> Status {
    let mut status = status.clone();
    status.nodes.iter_mut().for_each(|node| node.heard_ms = 0);
    status
}

fn event(name: &str, value: &impl Serialize) -> Vec<u8> {
    let data = serde_json::to_string(value).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into_bytes()
}

/// A fragment event in JSON. The field names are a public interface.
#[derive(Serialize)]
struct Fragment {
    song: String,
    index: u32,
    from: String,
    lost: Vec<String>,
}
