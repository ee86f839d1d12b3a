//! The copies to be made: which wait, until when, and which are under way.
//!
//! Owns the counts of each kind. The messages of a copy under way are [`super::transfer`]'s
//! business.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::{ACTIVE_MAX, Key, TASKS_MAX, Ticket};
use crate::contract::id::NodeId;
use crate::contract::record::Address;
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::Timers;
use crate::transfer::Transfer;

/// The backoff after a first failure; doubles with each further failure up to `PAUSE_MAX`.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Every copy in memory that this node has still to make.
#[derive(Debug)]
pub(super) struct Tasks {
    all: BTreeMap<Key, Task>,
    retry: Timers<Key>,
    /// Copies under way, at most `ACTIVE_MAX`.
    active: usize,
    /// Repairs among all copies, at most `TASKS_MAX`.
    repairs: usize,
    /// Attempts begun so far, of all copies: the number of the latest attempt.
    rounds: u32,
    rng: Rng,
}

#[derive(Debug)]
struct Task {
    state: State,
    failures: u32,
    /// Anti-entropy found it missing. Otherwise it is on the list on disk.
    repair: bool,
}

#[derive(Debug)]
enum State {
    /// Waits for its timer, or for room among the copies under way.
    Waiting,
    Active(Active),
}

/// A copy under way.
#[derive(Debug)]
pub(super) struct Active {
    /// The attempt's number: distinguishes its answers and jobs from those of an earlier attempt.
    round: u32,
    pub(super) to: Address,
    /// None until the manifest has been read.
    pub(super) transfer: Option<Transfer>,
}

impl Tasks {
    pub(super) fn new(rng: Rng) -> Self {
        Tasks {
            all: BTreeMap::new(),
            retry: Timers::new(),
            active: 0,
            repairs: 0,
            rounds: 0,
            rng,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether memory has no room for another copy from the list on disk.
    pub(super) fn is_full(&self) -> bool {
        self.all.len() >= TASKS_MAX
    }

    pub(super) fn under_way(&self) -> usize {
        self.active
    }

    pub(super) fn repairs(&self) -> usize {
        self.repairs
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.all.contains_key(&key)
    }

    pub(super) fn is_repair(&self, key: Key) -> bool {
        self.all.get(&key).is_some_and(|task| task.repair)
    }

    /// Takes up a copy that is on the list on disk.
    pub(super) fn add(&mut self, now: Time, key: Key) {
        let task = self.all.entry(key).or_insert(Task {
            state: State::Waiting,
            failures: 0,
            repair: false,
        });
        // A repair that is on the list, too, counts as a listed copy: a repair is forgotten when it
        // fails, and a listed copy must be struck off the list.
        self.repairs -= usize::from(core::mem::take(&mut task.repair));
        if matches!(task.state, State::Waiting) {
            self.retry.arm(key, now);
        }
    }

    /// Takes up a copy that anti-entropy has found missing, if there is room.
    pub(super) fn add_repair(&mut self, now: Time, key: Key) {
        match self.all.get(&key).map(|task| &task.state) {
            // The node that lacks the song has just answered, so another attempt need not wait for
            // the backoff.
            Some(State::Waiting) => self.retry.arm(key, now),
            Some(State::Active(_)) => (),
            None if self.repairs >= TASKS_MAX => (),
            None => {
                self.add(now, key);
                self.repairs += 1;
                if let Some(task) = self.all.get_mut(&key) {
                    task.repair = true;
                }
            }
        }
    }

    /// The next copy that is due; `None` while `ACTIVE_MAX` copies are under way.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Key> {
        if self.active >= ACTIVE_MAX {
            return None;
        }
        self.retry.pop_due(now)
    }

    /// When the next copy is due. `None` while `ACTIVE_MAX` copies are under way: the end of one of
    /// them begins the next.
    pub(super) fn deadline(&self) -> Option<Time> {
        if self.active >= ACTIVE_MAX {
            return None;
        }
        self.retry.next()
    }

    /// Begins another attempt.
    pub(super) fn begin(&mut self, key: Key, to: Address) -> Option<Ticket> {
        let task = self.all.get_mut(&key)?;
        self.rounds += 1;
        self.active += usize::from(matches!(task.state, State::Waiting));
        task.state = State::Active(Active {
            round: self.rounds,
            to,
            transfer: None,
        });
        Some((key, self.rounds))
    }

    /// The attempt of this ticket, if it is still under way.
    pub(super) fn active(&mut self, (key, round): Ticket) -> Option<&mut Active> {
        match &mut self.all.get_mut(&key)?.state {
            State::Active(active) if active.round == round => Some(active),
            State::Active(_) | State::Waiting => None,
        }
    }

    /// Ends an attempt without success; the next one comes after the backoff.
    pub(super) fn put_off(&mut self, now: Time, key: Key) {
        if let Some(task) = self.all.get_mut(&key) {
            self.active -= usize::from(matches!(task.state, State::Active(_)));
            task.state = State::Waiting;
            task.failures = (task.failures + 1).min(10);
            let pause = (PAUSE * (1 << (task.failures - 1))).min(PAUSE_MAX);
            self.retry.arm(key, now + self.rng.upper_half(pause));
        }
    }

    /// Forgets every copy for a node, and returns them.
    pub(super) fn remove_node(&mut self, node: NodeId) -> Vec<Key> {
        let keys = self.all.keys().filter(|(_, to)| *to == node);
        let keys: Vec<Key> = keys.copied().collect();
        for key in &keys {
            self.remove(*key);
        }
        keys
    }

    pub(super) fn remove(&mut self, key: Key) {
        if let Some(task) = self.all.remove(&key) {
            self.active -= usize::from(matches!(task.state, State::Active(_)));
            self.repairs -= usize::from(task.repair);
        }
        self.retry.disarm(&key);
    }
}
