//! A place on the circle without a data node around it.
//!
//! Schedules of messages and the figures of look-ups drive many places through it. A data node
//! holds its [`Chord`] itself, because the place shares one table of questions with its other parts.

use alloc::sync::Arc;
use core::ops::Deref;

use super::{Chord, Config, Table};
use crate::contract::chord::Chord as ChordMessage;
use crate::contract::id::{Incarnation, NodeId};
use crate::contract::message::Envelope;
use crate::contract::node::{Asker, Outbox, Peer};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::cx::{Cx, Pending};
use crate::ownership::Owners;
use crate::purpose::Asked;
use crate::requests::Outcome;

/// A place on the circle with the questions that it has asked.
#[derive(Debug)]
pub struct Alone {
    chord: Chord,
    pending: Pending,
}

impl Alone {
    /// See [`Chord::new`].
    pub fn new(config: Config, me: NodeId, mut rng: Rng) -> Self {
        let pending = Pending::new(Rng::from_seed(rng.bits()));
        let chord = Chord::new(config, me, rng);
        Alone { chord, pending }
    }

    /// See [`Chord::see`].
    pub fn see(
        &mut self,
        now: Time,
        others: &[(NodeId, Incarnation)],
        owners: &Arc<Owners>,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        let cx = &mut self.pending.cx(now, out);
        self.chord.see(cx, others, owners, table);
    }

    /// See [`Chord::on_question`].
    pub fn on_question(
        &mut self,
        now: Time,
        asker: Asker,
        words: ChordMessage,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        let cx = &mut self.pending.cx(now, out);
        self.chord.on_question(cx, asker, words, table);
    }

    /// Takes an answer.
    pub fn on_answer(
        &mut self,
        now: Time,
        from: Peer,
        envelope: Envelope,
        table: &dyn Table,
        out: &mut Outbox,
    ) {
        let cx = &mut self.pending.cx(now, out);
        let outcome = cx.on_answer(from, envelope);
        conclude(&mut self.chord, cx, outcome, table);
    }

    /// Ends the questions whose time is over, and stabilises when that is due.
    pub fn on_tick(&mut self, now: Time, table: &dyn Table, out: &mut Outbox) {
        let cx = &mut self.pending.cx(now, out);
        let outcomes = cx.on_tick();
        conclude(&mut self.chord, cx, outcomes, table);
        self.chord.on_tick(cx, table);
    }
}

impl Deref for Alone {
    type Target = Chord;

    fn deref(&self) -> &Chord {
        &self.chord
    }
}

fn conclude(
    chord: &mut Chord,
    cx: &mut Cx<'_>,
    outcomes: impl IntoIterator<Item = Outcome<Asked>>,
    table: &dyn Table,
) {
    for Outcome { purpose, reply } in outcomes {
        if let Asked::Chord(purpose) = purpose {
            chord.conclude(cx, purpose, reply, table);
        }
    }
}
