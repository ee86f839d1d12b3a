//! The deduplication window: a question that arrives twice is answered twice and carried out once.
//!
//! A server passes every question through [`DedupWindow::admit`] before its role sees the question,
//! and every answer through [`DedupWindow::observe`] on the way out. An asker repeats a question
//! under the same request id, perhaps over another connection. While the role works on a question,
//! the window only notes the connection of the latest repetition, and sends the answer there. After
//! the answer, the window repeats the stored answer. Questions that only read are not stored: the
//! role answers each repetition anew. After [`WINDOW_LIFETIME`] a stored answer is dropped. A
//! repeated upload or registration does no harm even then, because both are named by content.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::contract::id::{Incarnation, NodeId, RequestId};
use crate::contract::limits::{
    QUESTIONS_PER_PEER_MAX, WINDOW_ANSWER_BYTES_MAX, WINDOW_ANSWERS_MAX, WINDOW_LIFETIME,
    WINDOW_PEERS_MAX,
};
use crate::contract::message::{Envelope, Kind, Message};
use crate::contract::node::{Action, Asker, Outbox, Peer};
use crate::contract::time::Time;

/// Most answers stored for all peers together. It bounds the memory, however many peers ask.
const ANSWERS_MAX: usize = WINDOW_PEERS_MAX * WINDOW_ANSWERS_MAX / 32;

/// Upper bound of [`DedupWindow::len`]: old answers are dropped only when the next question
/// arrives, so the answers given since the last question come on top.
pub const LENGTH_MAX: usize = ANSWERS_MAX + QUESTIONS_PER_PEER_MAX;

/// The questions that one node works on, and the answers that it has given lately.
#[derive(Debug, Default)]
pub struct DedupWindow {
    questions: BTreeMap<Key, Entry>,
    /// Finds a question by the peer that the role answers to, which is the peer of the first
    /// arrival.
    working: BTreeMap<(Peer, RequestId), Key>,
    /// The same questions, the earliest deadline first.
    due: BTreeSet<(Time, Peer, RequestId)>,
    /// Answered questions, oldest answer first.
    answered: VecDeque<(Time, Key)>,
    per_peer: BTreeMap<NodeId, usize>,
}

type Key = (NodeId, Incarnation, RequestId);

#[derive(Debug)]
enum Entry {
    /// The role works on the question, until the asker no longer waits. The answer goes to this
    /// peer.
    Working { reply_to: Peer, until: Time },
    /// The role has given this answer.
    Answered(Message),
}

/// How the server treats a question that has arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// Hand the question to the role.
    Fresh,
    /// Send this stored answer again.
    Repeated(Message),
    /// Send nothing: the role works on the question, and its answer will follow.
    Working,
    /// Refuse the question as busy: this node has too many questions open.
    TooMany,
}

impl DedupWindow {
    /// Decides how to treat a question that has arrived. A question that is [`Admission::Fresh`]
    /// and does more than read counts as open until `observe` sees its last answer.
    pub fn admit(&mut self, now: Time, asker: Asker, message: &Message) -> Admission {
        self.forget_old(now);
        self.forget_overdue(now);
        let Asker { sender, id, until } = asker;
        let key = (sender.node, sender.incarnation, id);
        match self.questions.get_mut(&key) {
            Some(Entry::Answered(message)) => return Admission::Repeated(message.clone()),
            Some(Entry::Working { reply_to, .. }) => {
                // The asker repeats a question when its connection broke, so the older connection
                // is useless.
                *reply_to = sender.peer;
                return Admission::Working;
            }
            None => (),
        }
        // A question that only reads takes no slot here: answering it twice is harmless, and
        // storing its answer would displace answers that protect against a second execution.
        if message.only_reads() {
            return Admission::Fresh;
        }
        let open = self.per_peer.entry(sender.node).or_default();
        if *open >= QUESTIONS_PER_PEER_MAX {
            return Admission::TooMany;
        }
        *open += 1;
        let reply_to = sender.peer;
        let working = Entry::Working { reply_to, until };
        self.questions.insert(key, working);
        self.working.insert((sender.peer, id), key);
        self.due.insert((until, sender.peer, id));
        Admission::Fresh
    }

    /// Handles the final answers among the actions added to `out` since `mark`: sends each to the
    /// latest connection of its asker, and stores it.
    pub fn observe(&mut self, now: Time, mark: usize, out: &mut Outbox) {
        if self.working.is_empty() {
            return;
        }
        for action in out.since(mark) {
            if let Action::Send { to, envelope } = action
                && let Kind::Answer { more: false } = envelope.kind
            {
                self.on_answer(now, to, envelope);
            }
        }
    }

    fn on_answer(&mut self, now: Time, to: &mut Peer, envelope: &Envelope) {
        let Some(key) = self.working.remove(&(*to, envelope.id)) else {
            return;
        };
        self.close(key.0);
        if let Some(Entry::Working { reply_to, until }) = self.questions.remove(&key) {
            self.due.remove(&(until, *to, envelope.id));
            *to = reply_to;
        }
        if fits(&envelope.message) {
            let answered = Entry::Answered(envelope.message.clone());
            self.questions.insert(key, answered);
            self.answered.push_back((now, key));
        }
    }

    fn close(&mut self, node: NodeId) {
        if let Some(open) = self.per_peer.get_mut(&node) {
            *open -= 1;
            if *open == 0 {
                self.per_peer.remove(&node);
            }
        }
    }

    /// Drops the questions that the role has not answered by their deadline: their askers wait no
    /// longer, and the role may have ended without an answer.
    fn forget_overdue(&mut self, now: Time) {
        while let Some(&(until, peer, id)) = self.due.first()
            && until <= now
        {
            self.due.pop_first();
            if let Some(key) = self.working.remove(&(peer, id)) {
                self.questions.remove(&key);
                self.close(key.0);
            }
        }
    }

    fn forget_old(&mut self, now: Time) {
        while let Some((at, key)) = self.answered.front() {
            if *at + WINDOW_LIFETIME > now && self.answered.len() <= ANSWERS_MAX {
                break;
            }
            self.questions.remove(key);
            self.answered.pop_front();
        }
    }

    /// How many answers are stored, at most [`LENGTH_MAX`].
    pub fn len(&self) -> usize {
        self.answered.len()
    }

    /// Whether no answer is stored.
    pub fn is_empty(&self) -> bool {
        self.answered.is_empty()
    }
}

/// Whether an answer is small enough to be stored.
fn fits(message: &Message) -> bool {
    let mut buffer = [0; WINDOW_ANSWER_BYTES_MAX];
    bincode::encode_into_slice(message, &mut buffer, bincode::config::standard()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::message::{Audio, Names};
    use crate::contract::node::Sender;
    use crate::test_support::at;
    use alloc::vec;
    use core::time::Duration;

    fn sender(guest: u64) -> Sender {
        Sender {
            peer: Peer::Guest(guest),
            node: NodeId(7),
            incarnation: Incarnation(1),
        }
    }

    fn asker(guest: u64, id: u64) -> Asker {
        Asker {
            sender: sender(guest),
            id: RequestId(id),
            until: at(99),
        }
    }

    const RESERVE: Message = Message::Names(Names::Reserve);

    fn answer(window: &mut DedupWindow, guest: u64, id: u64, now: Time) -> Option<Peer> {
        let mut out = Outbox::new();
        out.answer(asker(guest, id), Message::Audio(Audio::Taken));
        window.observe(now, 0, &mut out);
        match out.pop() {
            Some(Action::Send { to, .. }) => Some(to),
            _ => None,
        }
    }

    #[test]
    fn a_question_is_done_once_and_answered_twice() {
        let mut window = DedupWindow::default();
        assert_eq!(window.admit(at(0), asker(1, 5), &RESERVE), Admission::Fresh);
        answer(&mut window, 1, 5, at(0));
        let again = window.admit(at(1), asker(2, 5), &RESERVE);
        assert_eq!(again, Admission::Repeated(Message::Audio(Audio::Taken)));
    }

    /// The asker's connection breaks while the role works. The answer goes to the next connection.
    #[test]
    fn the_answer_follows_the_asker_to_its_next_connection() {
        let mut window = DedupWindow::default();
        window.admit(at(0), asker(1, 5), &RESERVE);
        assert_eq!(
            window.admit(at(1), asker(2, 5), &RESERVE),
            Admission::Working
        );
        assert_eq!(answer(&mut window, 1, 5, at(2)), Some(Peer::Guest(2)));
    }

    #[test]
    fn another_start_of_the_asker_is_another_asker() {
        let mut window = DedupWindow::default();
        window.admit(at(0), asker(1, 5), &RESERVE);
        let mut reborn = asker(1, 5);
        reborn.sender.incarnation = Incarnation(2);
        assert_eq!(window.admit(at(0), reborn, &RESERVE), Admission::Fresh);
    }

    #[test]
    fn reading_leaves_no_trace() {
        let mut window = DedupWindow::default();
        let resolve = Message::Names(Names::Resolve {
            role: crate::contract::record::Role::Data,
        });
        for _ in 0..2 {
            let admitted = window.admit(at(0), asker(1, 5), &resolve);
            assert_eq!(admitted, Admission::Fresh);
        }
        assert!(window.is_empty());
    }

    #[test]
    fn memory_ends() {
        let mut window = DedupWindow::default();
        window.admit(at(0), asker(1, 5), &RESERVE);
        answer(&mut window, 1, 5, at(0));
        window.admit(at(61), asker(1, 6), &RESERVE);
        assert!(window.is_empty());
        assert_eq!(
            window.admit(at(61), asker(1, 5), &RESERVE),
            Admission::Fresh
        );
    }

    /// The part of the node that worked on the question has ended without an answer.
    #[test]
    fn a_question_never_answered_is_forgotten_at_its_deadline() {
        let mut window = DedupWindow::default();
        for id in 0..QUESTIONS_PER_PEER_MAX as u64 {
            window.admit(at(0), asker(1, id), &RESERVE);
        }
        let more = |window: &mut DedupWindow, now| {
            let until = now + Duration::from_secs(9);
            let asker = Asker {
                until,
                ..asker(1, 5_000)
            };
            window.admit(now, asker, &RESERVE)
        };
        assert_eq!(more(&mut window, at(98)), Admission::TooMany);
        assert_eq!(more(&mut window, at(99)), Admission::Fresh);
        assert_eq!(answer(&mut window, 1, 3, at(99)), Some(Peer::Guest(1)));
        assert!(window.is_empty());
    }

    #[test]
    fn memory_is_bounded_in_number() {
        let mut window = DedupWindow::default();
        for id in 0..2 * ANSWERS_MAX as u64 {
            window.admit(at(0), asker(1, id), &RESERVE);
            answer(&mut window, 1, id, at(0));
        }
        assert!(window.len() <= ANSWERS_MAX + 1);
        let open = |id| window.admit(at(0), asker(1, 1 << 40 | id), &RESERVE);
        let admitted: vec::Vec<Admission> = (0..=QUESTIONS_PER_PEER_MAX as u64).map(open).collect();
        assert_eq!(admitted.last(), Some(&Admission::TooMany));
    }
}
