//! The trace of a run: a hash of every event, and on request the last events as text.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::mem::discriminant;

use roles::contract::message::{Envelope, Message};
use roles::contract::node::Event;
use roles::contract::time::Time;

/// Lines kept of a run that is traced as text.
const LINES_MAX: usize = 5_000;

/// The trace of a run.
#[derive(Debug, Default)]
pub struct Trace {
    hash: Fold,
    /// Events so far.
    pub events: u64,
    /// The latest lines, if asked for: writing events as text costs more than the events
    /// themselves.
    pub lines: Option<VecDeque<String>>,
}

/// A hash whose value is the same on every machine and in every build.
#[derive(Clone, Copy, Debug)]
struct Fold(u64);

impl Default for Fold {
    fn default() -> Self {
        Fold(0xcbf2_9ce4_8422_2325)
    }
}

impl Fold {
    fn add(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.add(u64::from(*byte)));
    }

    fn write_isize(&mut self, i: isize) {
        self.add(i as u64);
    }
}

impl Trace {
    /// A number that is the same for two equal runs.
    pub fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// Adds an event of a node.
    pub fn event(&mut self, now: Time, place: usize, event: &Event) {
        self.events += 1;
        self.hash.add(now.as_nanos());
        self.hash.add(place as u64);
        discriminant(event).hash(&mut self.hash);
        match event {
            Event::Start | Event::Tick | Event::Found { .. } | Event::User(_) | Event::Stop => (),
            Event::Message { envelope, .. } => self.envelope(envelope),
            Event::Lost { why, .. } => discriminant(why).hash(&mut self.hash),
            Event::Done { job, reply } => {
                self.hash.add(job.0);
                discriminant(reply).hash(&mut self.hash);
            }
        }
    }

    fn envelope(&mut self, envelope: &Envelope) {
        self.hash.add(envelope.id.0);
        self.hash.add(envelope.body.len() as u64);
        discriminant(&envelope.kind).hash(&mut self.hash);
        match &envelope.message {
            Message::Refused(why) => discriminant(why).hash(&mut self.hash),
            Message::Names(names) => discriminant(names).hash(&mut self.hash),
            Message::Catalogue(words) => discriminant(words).hash(&mut self.hash),
            Message::Audio(audio) => discriminant(audio).hash(&mut self.hash),
            Message::Ring(ring) => discriminant(ring).hash(&mut self.hash),
            Message::Upkeep(words) => discriminant(words).hash(&mut self.hash),
            Message::Chord(words) => discriminant(words).hash(&mut self.hash),
        }
    }

    /// Adds something that happens to the world and is no event of a node.
    pub fn note(&mut self, now: Time, what: u64) {
        self.events += 1;
        self.hash.add(now.as_nanos());
        self.hash.add(what);
    }

    /// Adds a line of text, if lines are kept.
    pub fn line(&mut self, now: Time, who: &str, what: &dyn Debug) {
        if let Some(lines) = &mut self.lines {
            if lines.len() >= LINES_MAX {
                lines.pop_front();
            }
            let mut line = format!("{:>12.6} {who:<9} {what:?}", now.as_nanos() as f64 / 1e9);
            if line.len() > 300 {
                line.truncate(line.floor_char_boundary(300));
            }
            lines.push_back(line);
        }
    }
}
