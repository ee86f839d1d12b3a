//! How a test drives a world and questions it.

use std::collections::BTreeMap;
use std::time::Duration;

use roles::contract::id::RequestId;
use roles::contract::message::{Envelope, Kind as LetterKind, Message};
use roles::contract::node::{Event, Peer};
use roles::contract::record::Role;
use roles::contract::time::Time;
use roles::contract::user::Command;

use crate::resident::{Kind, Place, State};
use crate::world::World;

/// One envelope that was sent: when, by which node, to which peer.
pub type Sent = (Time, Place, Peer, Envelope);

/// What a test hears of the traffic: the answers to the probe's questions, and on request every
/// envelope that a node sends.
#[derive(Debug, Default)]
pub struct Tap {
    answers: BTreeMap<RequestId, Envelope>,
    sent: Vec<Sent>,
    recording: bool,
}

impl Tap {
    /// Keeps every envelope that is sent from here on.
    pub fn record(&mut self) {
        self.recording = true;
    }

    /// The envelopes that were sent while the tap recorded, in order.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    /// Forgets the envelopes that were sent so far.
    pub fn clear(&mut self) {
        self.sent.clear();
    }

    /// Whether the final answer to a question of the probe has come.
    pub fn has_answer(&self, id: RequestId) -> bool {
        self.answers.contains_key(&id)
    }

    /// Takes out the final answer to a question of the probe.
    pub fn take_answer(&mut self, id: RequestId) -> Option<Message> {
        self.answers.remove(&id).map(|envelope| envelope.message)
    }

    pub(crate) fn keep_answer(&mut self, envelope: &Envelope) {
        self.answers.insert(envelope.id, envelope.clone());
    }

    pub(crate) fn on_sent(&mut self, now: Time, place: Place, to: Peer, envelope: &Envelope) {
        if self.recording {
            self.sent.push((now, place, to, envelope.clone()));
        }
    }
}

impl World {
    /// Runs until `until`, or until the first violation.
    pub fn run_until(&mut self, until: Time) {
        while self.violation.is_none() && self.agenda.next().is_some_and(|at| at <= until) {
            self.step();
        }
        if self.violation.is_none() {
            self.now = self.now.max(until);
        }
    }

    /// Runs for `span`, or until the first violation.
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// Runs until `done` is true. False: that took longer than `span`, or an invariant was broken.
    pub fn run_till(&mut self, span: Duration, mut done: impl FnMut(&World) -> bool) -> bool {
        let until = self.now + span;
        while self.violation.is_none() {
            if done(self) {
                return true;
            }
            if self.agenda.next().is_none_or(|at| at > until) {
                self.now = until;
                return done(self);
            }
            self.step();
        }
        false
    }

    /// Hands an event to a node directly, without a user's operation.
    pub fn hand_event(&mut self, place: Place, event: Event) {
        self.hand(place, event);
    }

    /// Gives a node a command, if it is still in that start.
    pub fn command(&mut self, place: Place, start: u64, command: Command) {
        if self.nodes[place].start == start {
            self.hand(place, Event::User(command));
        }
    }

    /// Sends a question from the probe; the final answer will be in the [`Tap`].
    pub fn ask(&mut self, to: Place, message: Message) -> RequestId {
        self.ask_with(to, message, Vec::new())
    }

    /// Sends a question with a payload from the probe.
    pub fn ask_with(&mut self, to: Place, message: Message, body: Vec<u8>) -> RequestId {
        let place = self.place("probe");
        let id = RequestId(self.nodes[place].question);
        self.nodes[place].question += 1;
        let to = Peer::Node(self.nodes[to].address.expect("servers listen"));
        let patience = Duration::from_secs(5);
        let envelope = Envelope {
            id,
            kind: LetterKind::Question { patience },
            message,
            body,
        };
        self.send(place, to, envelope);
        id
    }

    /// Sends a question from the probe and runs until the answer is there, five seconds at most.
    pub fn answer(&mut self, to: Place, message: Message) -> Option<Message> {
        let id = self.ask(to, message);
        self.run_till(Duration::from_secs(5), |world| world.tap.has_answer(id));
        self.tap.take_answer(id)
    }

    /// The running servers of a role.
    pub fn servers(&self, role: Role) -> Vec<Place> {
        let serves = |place: &Place| {
            let slot = &self.nodes[*place];
            slot.state == State::Up && slot.role() == Some(role)
        };
        (0..self.nodes.len()).filter(serves).collect()
    }

    /// The clients, whether they run or not.
    pub fn clients(&self) -> Vec<Place> {
        let is_client = |place: &Place| self.nodes[*place].kind == Kind::Client;
        (0..self.nodes.len()).filter(is_client).collect()
    }
}
