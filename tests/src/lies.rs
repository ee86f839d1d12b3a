//! A member that lies: it has the key, and in some of the envelopes that it sends to other servers
//! one bit is altered, wherever the result is still a message.
//!
//! A flipped bit stands for every false statement that a broken machine makes. The receivers cannot
//! see that it is false: the session is authentic, the message well-formed. What users are told is
//! not altered, because a false answer to a user is the business of the scenarios about anomalies.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use net::wire::codec;
use roles::client::Client;
use roles::contract::message::{Envelope, Message};
use roles::contract::node::{Action, Event, Node, Outbox, Peer};
use roles::contract::record::Role;
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use roles::server::Server;

use crate::climate::Climate;
use crate::resident::{Kind, Place, Resident};
use crate::world::World;

/// One envelope in so many is altered.
const ONE_IN: u64 = 10;

/// The member of a world that lies, if there is one.
#[derive(Debug, Default)]
pub struct Lies {
    liar: Option<Place>,
    book: Rc<Book>,
}

/// What the world and the liar's process share.
#[derive(Debug, Default)]
struct Book {
    /// The lying has ended.
    over: Cell<bool>,
    /// Envelopes altered so far.
    told: Cell<u64>,
}

impl Lies {
    /// Whether this node is the one that lies. What it states binds nobody.
    pub fn are_of(&self, place: Place) -> bool {
        self.liar == Some(place)
    }

    /// Whether a member of this world lies, or has lied.
    pub fn are_told(&self) -> bool {
        self.liar.is_some()
    }

    /// How many envelopes have been altered.
    pub fn count(&self) -> u64 {
        self.book.told.get()
    }

    /// From here on the liar tells the truth.
    pub(crate) fn end(&self) {
        self.book.over.set(true);
    }
}

impl Climate {
    /// A small world in which one member lies. Every third has no other fault; in the others
    /// connections break, and servers die, freeze or are cut off.
    pub fn of_liars(seed: u64, rng: &mut Rng) -> Climate {
        let mut pick = |from: u64, to: u64| from + rng.below(to - from + 1);
        let mut climate = Climate {
            dns: pick(1, 2) as usize,
            routers: pick(1, 2) as usize,
            data: pick(2, 5) as usize,
            auto: pick(0, 3) as usize,
            clients: pick(1, 2) as usize,
            tunes: pick(8, 40) as usize,
            fragments_max: pick(1, 6),
            start_spread: Duration::from_millis(pick(0, 5_000)),
            latency: Duration::from_micros(pick(200, 10_000)),
            job: Duration::from_micros(pick(20, 5_000)),
            act_every: Duration::from_millis(pick(400, 2_500)),
            codec: false,
            ..Climate::calm()
        };
        climate.upkeep = crate::disk_faults::Upkeep::hasty(rng);
        if !seed.is_multiple_of(3) {
            climate.disturb(rng);
        }
        climate
    }

    /// Faults that take no disk away.
    fn disturb(&mut self, rng: &mut Rng) {
        let mut some = |share: u64, seconds: u64| {
            let every = Duration::from_secs(seconds / 2) + rng.within(Duration::from_secs(seconds));
            rng.happens(share, 100).then_some(every)
        };
        self.faults.crash = some(40, 40);
        self.faults.freeze = some(30, 30);
        self.faults.reset = some(50, 10);
        self.faults.cut = some(30, 40);
        self.faults.freeze_longest = Duration::from_secs(20);
    }
}

impl World {
    /// The small world of a seed in which one member lies.
    pub fn of_liars(seed: u64) -> World {
        let mut rng = Rng::from_seed(seed);
        let climate = Climate::of_liars(seed, &mut rng);
        let mut world = World::new(rng.bits(), climate);
        let member = |place: &Place| {
            let kind = world.nodes[*place].kind;
            matches!(kind, Kind::Server(role) if role != Some(Role::Dns))
        };
        let members: Vec<Place> = (0..world.nodes.len()).filter(member).collect();
        if let Some(liar) = rng.pick(&members).copied() {
            world.corrupt(liar, rng.bits());
        }
        world
    }

    /// From its next start on, this server lies.
    pub fn corrupt(&mut self, liar: Place, seed: u64) {
        self.lies.liar = Some(liar);
        let book = Rc::clone(&self.lies.book);
        let wrap = move |inner| {
            let rng = Rng::from_seed(seed ^ book.told.get());
            let book = Rc::clone(&book);
            Box::new(LyingNode { inner, book, rng }) as Box<dyn Resident>
        };
        self.wrap(liar, Box::new(wrap));
    }
}

struct LyingNode {
    inner: Box<dyn Resident>,
    book: Rc<Book>,
    rng: Rng,
}

impl LyingNode {
    fn alter(&mut self, to: Peer, envelope: &mut Envelope) {
        let to_server = matches!(to, Peer::Node(_));
        if self.book.over.get() || !to_server || !self.rng.happens(1, ONE_IN) {
            return;
        }
        let in_body = !envelope.body.is_empty() && self.rng.happens(1, 2);
        let altered = if in_body {
            flip(&mut envelope.body, &mut self.rng);
            true
        } else {
            self.alter_words(envelope)
        };
        self.book
            .told
            .set(self.book.told.get() + u64::from(altered));
    }

    fn alter_words(&mut self, envelope: &mut Envelope) -> bool {
        let altered = altered(envelope, &mut self.rng);
        let altered = altered.filter(|message| *message != envelope.message);
        match altered {
            Some(message) => {
                envelope.message = message;
                true
            }
            None => false,
        }
    }
}

/// The message with one bit flipped; none if that is no message.
fn altered(envelope: &Envelope, rng: &mut Rng) -> Option<Message> {
    let encoded = codec::encode(envelope.kind, &envelope.message, Vec::new());
    let mut encoded = encoded.ok()?;
    let head = &mut encoded.head[codec::PREFIX_BYTES..];
    flip(head, rng);
    codec::decode(head).ok()
}

fn flip(bytes: &mut [u8], rng: &mut Rng) {
    let bit = rng.below(8 * bytes.len() as u64) as usize;
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
}

impl Node for LyingNode {
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        let mut own = Outbox::new();
        self.inner.handle(now, event, &mut own);
        while let Some(mut action) = own.pop() {
            if let Action::Send { to, envelope } = &mut action {
                self.alter(*to, envelope);
            }
            out.push(action);
        }
    }

    fn set_clock(&mut self, unix_ms: u64) {
        self.inner.set_clock(unix_ms);
    }

    fn deadline(&self) -> Option<Time> {
        self.inner.deadline()
    }
}

impl Resident for LyingNode {
    fn server(&self) -> Option<&Server> {
        self.inner.server()
    }

    fn client(&self) -> Option<&Client> {
        self.inner.client()
    }
}
