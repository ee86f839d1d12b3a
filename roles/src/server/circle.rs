//! The server's side of the Chord circle: feeds it with the member table, and routes its messages.

use alloc::vec::Vec;

use super::Server;
use super::role::Part;
use crate::chord::Chord;
use crate::contract::chord::Chord as ChordMessage;
use crate::contract::id::{Incarnation, NodeId};
use crate::contract::message::{Envelope, Refusal};
use crate::contract::node::{Asker, Lost, Outbox, Peer};
use crate::contract::record::Role;
use crate::contract::rng::Rng;
use crate::contract::time::Time;

impl Server {
    /// The place on the circle, if this server is a data node.
    pub fn chord(&self) -> Option<&Chord> {
        self.chord.as_ref()
    }

    /// Tells the circle which data nodes live and which take songs.
    pub(super) fn see_circle(&mut self, now: Time, out: &mut Outbox) {
        let (Some(ring), Part::Data(_), Some(registrar)) =
            (&self.ring, &self.part, &self.registrar)
        else {
            self.chord = None; // Only data nodes are on the circle.
            return;
        };
        let chord = self.chord.get_or_insert_with(|| {
            let rng = Rng::from_seed(self.rng.bits());
            Chord::new(self.config.chord.clone(), self.me.node, rng)
        });
        let members = ring.members();
        let data = members.others().filter(|m| m.role == Role::Data);
        let others: Vec<(NodeId, Incarnation)> = data.map(|m| (m.node, m.incarnation)).collect();
        let seen = self.known.others(registrar.record());
        let own = (!seen.draining).then_some(&seen.own);
        let takers = seen.data.iter().chain(own);
        let takers = takers.map(|r| (r.node, r.weight)).collect();
        chord.see(now, &others, takers, members, out);
    }

    pub(super) fn on_chord(
        &mut self,
        now: Time,
        asker: Asker,
        words: ChordMessage,
        out: &mut Outbox,
    ) {
        match (&mut self.chord, &self.ring) {
            (Some(chord), Some(ring)) => {
                chord.on_question(now, asker, words, ring.members(), out);
            }
            (None, _) | (_, None) => out.refuse(asker, Refusal::WrongRole),
        }
    }

    pub(super) fn on_chord_answer(
        &mut self,
        now: Time,
        from: Peer,
        envelope: Envelope,
        out: &mut Outbox,
    ) {
        if let (Some(chord), Some(ring)) = (&mut self.chord, &self.ring) {
            chord.on_answer(now, from, envelope, ring.members(), out);
        }
    }

    pub(super) fn on_chord_lost(&mut self, now: Time, peer: Peer, why: Lost, out: &mut Outbox) {
        if let (Some(chord), Some(ring)) = (&mut self.chord, &self.ring) {
            chord.on_lost(now, peer, why, ring.members(), out);
        }
    }

    pub(super) fn on_chord_tick(&mut self, now: Time, out: &mut Outbox) {
        if let (Some(chord), Some(ring)) = (&mut self.chord, &self.ring) {
            chord.on_tick(now, ring.members(), out);
        }
    }
}
