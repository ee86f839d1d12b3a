//! The messages of a copy under way to its new holder: offer, give, commit.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Key, Purpose, Replication, StoredUpload, TASKS_MAX, Ticket};
use crate::contract::job::LibraryJob;
use crate::contract::message::{Audio, Message, Position, Refusal};
use crate::contract::node::{Lost, Peer};
use crate::contract::record::{Address, Record};
use crate::contract::song::Manifest;
use crate::contract::time::Time;
use crate::copy_mutants::CopyMutant;
use crate::cx::{Asked, Cx, Ordered};
use crate::requests::{GIVE_PATIENCE, Policy, Reply};

/// Fragments of one copy in memory at once: one is read while the other is sent.
const GIVES_MAX: usize = 2;

/// Times that a new holder may list the fragments it lacks. Once is normal; more mean that it has
/// lost something it took.
const WANTED_MAX: u32 = 3;

/// How long a commit may take: it reads the whole song once.
const COMMIT: Policy = Policy {
    deadline: Duration::from_secs(120),
    attempt: Duration::from_secs(120),
    rounds: 1,
};

impl Replication {
    pub(super) fn offer(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        manifest: Manifest,
    ) -> Vec<StoredUpload> {
        let Some(active) = self.tasks.active(ticket) else {
            return Vec::new();
        };
        active.manifest = Some(manifest.clone());
        let to = active.to;
        let offer = Audio::Offer {
            manifest,
            copy: true,
        };
        self.ask(cx, ticket, to, offer, Policy::OFFER)
    }

    fn ask(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        to: Address,
        question: Audio,
        policy: Policy,
    ) -> Vec<StoredUpload> {
        let candidates = [Peer::Node(to)].into();
        let question = Message::Audio(question);
        let asked = cx.ask(Asked::Replication(ticket), candidates, question, policy);
        match asked {
            Some(_) => Vec::new(),
            None => self.fail(cx.now, ticket),
        }
    }

    pub(super) fn give(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        index: u32,
        bytes: Vec<u8>,
    ) -> Vec<StoredUpload> {
        let Some(active) = self.tasks.active(ticket) else {
            return Vec::new();
        };
        let to = Peer::Node(active.to);
        let song = ticket.0.0;
        self.throttle.spend(bytes.len());
        let question = (Message::Audio(Audio::Give { song, index }), bytes);
        let asked = cx.ask_with(Asked::Replication(ticket), to, question, GIVE_PATIENCE);
        match asked {
            Some(_) => Vec::new(),
            None => self.fail(cx.now, ticket),
        }
    }

    /// Takes the end of a question to the new holder.
    pub(crate) fn conclude(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        reply: Reply,
        data: &[Record],
    ) -> Vec<StoredUpload> {
        let mut made = match reply {
            Reply::Answered {
                message: Message::Audio(answer),
                ..
            } => self.on_told(cx, ticket, answer),
            Reply::Answered { .. } => self.fail(cx.now, ticket),
            Reply::GaveUp { refusal, lost } => self.on_gave_up(cx, ticket, (refusal, lost)),
        };
        made.extend(self.begin_due(cx, data));
        made
    }

    /// Takes an answer of the new holder: it has the song, it lacks fragments, or it took one.
    fn on_told(&mut self, cx: &mut Cx<'_>, ticket: Ticket, answer: Audio) -> Vec<StoredUpload> {
        if self.tasks.active(ticket).is_none() {
            return Vec::new();
        }
        if let Audio::Stored { .. } = answer {
            self.note_repaired(ticket.0);
            return self.finish(cx, ticket.0);
        }
        if self.on_progress(ticket, answer).is_none() {
            self.doubted.push(ticket.0.1);
            return self.fail(cx.now, ticket);
        }
        self.pump(cx, ticket)
    }

    fn on_gave_up(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        (refusal, lost): (Option<Refusal>, Option<Lost>),
    ) -> Vec<StoredUpload> {
        let busy = matches!(refusal, Some(Refusal::Busy { .. }));
        if busy && self.is_waited_for(cx.now, ticket.0) {
            // The new holder lives and is busy, and the upload has time left: the copy may still
            // succeed.
            self.tasks.put_off(cx.now, ticket.0);
            return Vec::new();
        }
        if self.mutant == Some(CopyMutant::CountsRefusedCopies) {
            return self.finish(cx, ticket.0);
        }
        self.meets_full_disk |= refusal == Some(Refusal::DiskFull);
        if lost.is_none() && matches!(refusal, None | Some(Refusal::Broken(_))) {
            self.doubt_taker(ticket);
        }
        self.fail(cx.now, ticket)
    }

    /// The new holder lives, has begun to take the song and does not finish.
    fn doubt_taker(&mut self, ticket: Ticket) {
        if self
            .tasks
            .active(ticket)
            .is_some_and(|active| active.wanted > 0)
        {
            self.doubted.push(ticket.0.1);
        }
    }

    /// Remembers a repair that succeeded: if it is found missing again, its holder has lost it.
    fn note_repaired(&mut self, key: Key) {
        if !self.tasks.is_repair(key) {
            return; // A list read before the copy ended may still call it missing.
        }
        if self.repaired.len() >= TASKS_MAX {
            self.repaired.clear();
        }
        self.repaired.insert(key);
    }

    /// Whether every upload that waits for this copy has more than `GIVE_PATIENCE` left. True when
    /// none waits.
    fn is_waited_for(&self, now: Time, (song, node): Key) -> bool {
        let waiting = self.waiting.get(&song).into_iter().flatten();
        let mut mine = waiting.filter(|one| one.nodes.contains(&node));
        mine.all(|one| now + GIVE_PATIENCE < one.asker.until)
    }

    /// Notes the fragments that the new holder lacks or has taken. `None`: the answer makes no
    /// sense here.
    fn on_progress(&mut self, ticket: Ticket, answer: Audio) -> Option<()> {
        let active = self.tasks.active(ticket)?;
        if answer == Audio::Taken {
            active.gives = active.gives.checked_sub(1)?;
            return Some(());
        }
        let Audio::Wanted { missing } = answer else {
            return None;
        };
        let missing = active.manifest.as_ref()?.missing(&missing)?;
        active.wanted += 1;
        // A holder that keeps losing fragments would be served for ever. The attempt fails, so the
        // backoff applies.
        if active.gives > 0 || active.wanted > WANTED_MAX {
            return None;
        }
        active.missing = missing;
        Some(())
    }

    /// Sends the next fragments, `GIVES_MAX` at once; commits when all have arrived.
    pub(super) fn pump(&mut self, cx: &mut Cx<'_>, ticket: Ticket) -> Vec<StoredUpload> {
        let Some(active) = self.tasks.active(ticket) else {
            return Vec::new();
        };
        let to = active.to;
        let mut room = GIVES_MAX
            .saturating_sub(active.gives)
            .min(active.missing.len());
        let idle = active.gives == 0;
        if self.tasks.is_repair(ticket.0) && room > 0 && !self.throttle.allows(cx.now) {
            // Only an idle copy is held back: one with fragments under way is woken by their
            // answers.
            if idle {
                self.throttle.hold_back(cx.now, ticket);
                return Vec::new();
            }
            room = 0;
        }
        let Some(active) = self.tasks.active(ticket) else {
            return Vec::new();
        };
        active.gives += room;
        let next: Vec<u32> = active.missing.drain(..room).collect();
        let done = active.gives == 0;
        let song = ticket.0.0;
        for index in next {
            let job = LibraryJob::ReadFragment {
                song,
                at: Position::Index(index),
            };
            let purpose = Purpose::Read(ticket, index);
            cx.run_toward(Ordered::Replication(purpose), job, Peer::Node(to));
        }
        if !done {
            return Vec::new();
        }
        let commit = Audio::Commit { song, copy: true };
        self.ask(cx, ticket, to, commit, COMMIT)
    }
}
