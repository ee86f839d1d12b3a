//! The questions a member asks, its one-way messages, and the dispatch of the answers.

use alloc::vec::Vec;
use core::time::Duration;

use super::{PROBE_ROUNDS, Purpose, Ring};
use crate::contract::id::RequestId;
use crate::contract::message::Message;
use crate::contract::node::{Outbox, Peer};
use crate::contract::record::Address;
use crate::contract::ring::Ring as RingMessage;
use crate::contract::time::Time;
use crate::requests::{Outcome, Policy, Requester};

impl Ring {
    pub(super) fn conclude(&mut self, now: Time, outcome: Outcome<Purpose>, out: &mut Outbox) {
        match outcome {
            Outcome::Answered {
                purpose,
                message: Message::Ring(words),
                ..
            } => self.on_answered(now, purpose, words, out),
            // An answer of another family counts as no answer: each purpose then takes its failure
            // path.
            Outcome::Answered { purpose, .. } | Outcome::GaveUp { purpose, .. } => {
                self.on_unanswered(now, purpose, out);
            }
        }
    }

    fn on_answered(&mut self, now: Time, purpose: Purpose, words: RingMessage, out: &mut Outbox) {
        match (purpose, words) {
            (Purpose::Join, RingMessage::Joined { members }) => self.on_joined(now, members, out),
            (Purpose::Probe(probe), RingMessage::Probed { me }) => {
                self.on_probed(now, probe.node, me, out);
            }
            (Purpose::CheckFor(asker, node), RingMessage::Probed { me }) => {
                self.on_probed(now, node, me, out);
                let reached = me.node == node;
                out.answer(asker, Message::Ring(RingMessage::Checked { reached }));
            }
            (Purpose::Check { of, by }, RingMessage::Checked { reached }) => {
                self.on_checked(now, of, by, reached, out);
            }
            (Purpose::Alert, RingMessage::Heard) => (),
            (Purpose::Count, RingMessage::Counted { tally }) => self.on_counted(now, tally, out),
            (Purpose::Unbalance(node), RingMessage::Accepted) => self.on_accepted(node, out),
            (purpose, _) => self.on_unanswered(now, purpose, out),
        }
    }

    fn on_unanswered(&mut self, now: Time, purpose: Purpose, out: &mut Outbox) {
        match purpose {
            Purpose::Join | Purpose::Alert | Purpose::Count => (),
            Purpose::Probe(probe) => self.on_probe_failed(now, probe, out),
            Purpose::Check { of, by } => self.on_check_failed(now, of, by, out),
            Purpose::CheckFor(asker, _) => {
                let reached = false;
                out.answer(asker, Message::Ring(RingMessage::Checked { reached }));
            }
            Purpose::Unbalance(node) => self.on_declined(now, node, out),
        }
    }

    pub(super) fn say(&mut self, to: Address, words: RingMessage, out: &mut Outbox) {
        if to == self.members.me().address {
            return; // The address is in the entry of an earlier start that had another disk.
        }
        self.words += 1;
        let id = RequestId(Requester::Ring.number(self.words & (u64::MAX >> 8)));
        out.say(Peer::Node(to), id, Message::Ring(words));
    }

    pub(super) fn ask(
        &mut self,
        now: Time,
        purpose: Purpose,
        to: Vec<Address>,
        (words, patience): (RingMessage, Duration),
        out: &mut Outbox,
    ) {
        // A broken connection, or a dial suppressed by backoff, does not show that the process is
        // dead. A probe is therefore sent again until its patience ends.
        let probes = matches!(purpose, Purpose::Probe(..) | Purpose::CheckFor(..));
        let policy = Policy {
            deadline: patience,
            attempt: patience,
            rounds: if probes { PROBE_ROUNDS } else { 1 },
        };
        let own = self.members.me().address;
        let to = to.into_iter().filter(|at| *at != own);
        let to = to.map(Peer::Node).collect();
        let question = Message::Ring(words);
        let asked = (self.requests).ask(now, purpose.clone(), to, question, policy, out);
        // A question that cannot be sent fails at once. Otherwise a check would wait for a helper
        // that was never asked.
        if asked.is_none() {
            self.on_unanswered(now, purpose, out);
        }
    }
}
