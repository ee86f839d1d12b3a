//! Copies to be made: which wait, for how long, and which are under way.
//!
//! Owns the counts of each kind. What a copy under way says to its taker is not its business.

use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use super::{ACTIVE_MAX, Key, TASKS_MAX, Ticket};
use crate::contract::record::Address;
use crate::contract::rng::Rng;
use crate::contract::song::Manifest;
use crate::contract::time::Time;
use crate::contract::timers::Timers;

/// First pause after a failure; doubles up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Every copy this node has still to make.
#[derive(Debug)]
pub(super) struct Tasks {
    all: BTreeMap<Key, Task>,
    retry: Timers<Key>,
    /// How many are under way.
    active: usize,
    /// How many are repairs.
    repairs: usize,
    /// Attempts so far.
    rounds: u32,
    rng: Rng,
}

#[derive(Debug)]
struct Task {
    state: State,
    failures: u32,
    /// Found missing by a comparison; otherwise it is on the list on disk.
    repair: bool,
}

#[derive(Debug)]
enum State {
    /// For its timer, or for room among the active.
    Waiting,
    Active(Active),
}

/// A copy under way.
#[derive(Debug)]
pub(super) struct Active {
    /// Tells this attempt's answers and jobs from an earlier one's.
    round: u32,
    pub(super) to: Address,
    pub(super) manifest: Option<Manifest>,
    pub(super) missing: VecDeque<u32>,
    pub(super) gives: usize,
    /// How often the new holder has said what it lacks.
    pub(super) wanted: u32,
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

    /// Whether no more may be ordered.
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
        // What is on the list on disk has to be struck off it, whoever makes the copy in the end.
        self.repairs -= usize::from(core::mem::take(&mut task.repair));
        if matches!(task.state, State::Waiting) {
            self.retry.arm(key, now);
        }
    }

    /// Takes up a copy that a comparison has found missing, if there is room.
    pub(super) fn add_repair(&mut self, now: Time, key: Key) {
        match self.all.get(&key).map(|task| &task.state) {
            // Whoever lacks it has just said so: it is there, and worth another attempt.
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

    /// The next that is due, while there is room among the active.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Key> {
        if self.active >= ACTIVE_MAX {
            return None;
        }
        self.retry.pop_due(now)
    }

    /// When one is due. While no more may be active, nothing is: an end wakes the next.
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
            manifest: None,
            missing: VecDeque::new(),
            gives: 0,
            wanted: 0,
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

    /// The attempt failed: the next one comes after a pause.
    pub(super) fn put_off(&mut self, now: Time, key: Key) {
        if let Some(task) = self.all.get_mut(&key) {
            self.active -= usize::from(matches!(task.state, State::Active(_)));
            task.state = State::Waiting;
            task.failures = (task.failures + 1).min(10);
            let pause = (PAUSE * (1 << (task.failures - 1))).min(PAUSE_MAX);
            self.retry.arm(key, now + self.rng.upper_half(pause));
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        if let Some(task) = self.all.remove(&key) {
            self.active -= usize::from(matches!(task.state, State::Active(_)));
            self.repairs -= usize::from(task.repair);
        }
        self.retry.disarm(&key);
    }
}
