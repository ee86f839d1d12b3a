//! The questions a member asks, its one-way messages, and the dispatch of the answers.

use alloc::vec::Vec;
use core::time::Duration;

use super::{PROBE_ROUNDS, Purpose, Ring, is_from};
use crate::contract::member::Member;
use crate::contract::message::Message;
use crate::contract::node::{Peer, Sender};
use crate::contract::record::Address;
use crate::contract::ring::Ring as RingMessage;
use crate::cx::Cx;
use crate::purpose::Asked;
use crate::purpose::ring::Probe;
use crate::requests::{Policy, Reply};

impl Ring {
    /// Takes the end of a question.
    pub(crate) fn conclude(&mut self, cx: &mut Cx<'_>, purpose: Purpose, reply: Reply) {
        // Every answer is preceded by `on_heard`, which notes who speaks from each address.
        match reply.into_result() {
            Ok((peer, Message::Ring(words), _)) if let Some(from) = self.hearing.speaker(peer) => {
                self.on_answered(cx, purpose, from, words);
            }
            // An answer of another family counts as no answer: each purpose then takes its failure
            // path.
            Ok(_) | Err(_) => self.on_unanswered(cx, purpose),
        }
    }

    fn on_answered(&mut self, cx: &mut Cx<'_>, purpose: Purpose, from: Sender, words: RingMessage) {
        match (purpose, words) {
            (Purpose::Join, RingMessage::Joined { members }) => self.on_joined(cx, from, members),
            (Purpose::Double, RingMessage::Joined { members }) => {
                self.on_double_told(cx, from, members);
            }
            (purpose, RingMessage::Probed { me }) if !is_of(&from, &me) => {
                self.note_absurd(cx, from.node);
                self.on_unanswered(cx, purpose);
            }
            (
                Purpose::Probe(Probe { node, .. }) | Purpose::Seek(node),
                RingMessage::Probed { me },
            ) => {
                self.on_probed(cx, from, node, me);
            }
            (Purpose::CheckFor(asker, node), RingMessage::Probed { me }) => {
                self.on_probed(cx, from, node, me);
                let reached = me.node == node;
                cx.out
                    .answer(asker, Message::Ring(RingMessage::Checked { reached }));
            }
            (Purpose::Check { of, by }, RingMessage::Checked { reached }) => {
                self.on_checked(cx, of, by, reached);
            }
            (Purpose::Alert, RingMessage::Heard) => (),
            (Purpose::Count, RingMessage::Counted { tally }) => self.on_counted(cx, tally),
            (Purpose::Unbalance(node), RingMessage::Accepted) => self.on_accepted(cx, node),
            (purpose, _) => self.on_unanswered(cx, purpose),
        }
    }

    fn on_unanswered(&mut self, cx: &mut Cx<'_>, purpose: Purpose) {
        match purpose {
            Purpose::Join | Purpose::Double | Purpose::Alert | Purpose::Count => (),
            Purpose::Probe(probe) => self.on_probe_failed(cx, probe),
            Purpose::Seek(node) => self.on_seek_failed(cx, node),
            Purpose::Check { of, by } => self.on_check_failed(cx, of, by),
            Purpose::CheckFor(asker, _) => {
                let reached = false;
                cx.out
                    .answer(asker, Message::Ring(RingMessage::Checked { reached }));
            }
            Purpose::Unbalance(node) => self.on_declined(cx, node),
        }
    }

    pub(super) fn say(&mut self, cx: &mut Cx<'_>, to: Address, words: RingMessage) {
        if to == self.members.me().address {
            return; // The address is in the entry of an earlier start that had another disk.
        }
        cx.say(Peer::Node(to), Message::Ring(words));
    }

    pub(super) fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        purpose: Purpose,
        to: Vec<Address>,
        (words, patience): (RingMessage, Duration),
    ) {
        // A broken connection, or a dial suppressed by backoff, does not show that the process is
        // dead. A probe is therefore sent again until its patience ends.
        let probes = matches!(
            purpose,
            Purpose::Probe(..) | Purpose::Seek(..) | Purpose::CheckFor(..)
        );
        let policy = Policy {
            deadline: patience,
            attempt: patience,
            rounds: if probes { PROBE_ROUNDS } else { 1 },
        };
        let own = self.members.me().address;
        let to = to.into_iter().filter(|at| *at != own);
        let to = to.map(Peer::Node).collect();
        let question = Message::Ring(words);
        let asked = cx.ask(Asked::Ring(purpose.clone()), to, question, policy);
        // A question that cannot be sent fails at once. Otherwise a check would wait for a helper
        // that was never asked.
        if asked.is_none() {
            self.on_unanswered(cx, purpose);
        }
    }
}

/// Whether a member's account of itself names the process that sends it.
pub(super) fn is_of(from: &Sender, me: &Member) -> bool {
    (from.node, from.incarnation) == (me.node, me.incarnation) && is_from(from, me.address)
}
