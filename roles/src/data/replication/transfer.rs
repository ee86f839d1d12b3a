//! The messages of a copy under way to its new holder.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Key, Purpose, Replication, Report, TASKS_MAX, Ticket};
use crate::contract::job::LibraryJob;
use crate::contract::message::{Audio, Message, Position, Refusal};
use crate::contract::node::{Lost, Peer};
use crate::contract::record::Record;
use crate::contract::song::Manifest;
use crate::cx::Cx;
use crate::mutants::CopyMutant;
use crate::purpose::{Asked, Ordered};
use crate::requests::{GIVE_PATIENCE, Policy, Reply};
use crate::transfer::{Next, Told, Transfer};

/// Fragments of one copy in memory at once: one is read while the other is sent.
const GIVES_MAX: usize = 2;

/// How long a commit may take: it reads the whole song once.
const COMMIT: Policy = Policy {
    deadline: Duration::from_secs(120),
    attempt: Duration::from_secs(120),
    rounds: 1,
};

impl Replication {
    pub(super) fn offer(&mut self, cx: &mut Cx<'_>, ticket: Ticket, manifest: Manifest) {
        let Some(active) = self.tasks.active(ticket) else {
            return;
        };
        let transfer = active.transfer.insert(Transfer::new(manifest, true));
        let offer = transfer.offer();
        self.ask(cx, ticket, offer, Policy::OFFER);
    }

    fn ask(&mut self, cx: &mut Cx<'_>, ticket: Ticket, question: Message, policy: Policy) {
        let Some(active) = self.tasks.active(ticket) else {
            return;
        };
        let to = [Peer::Node(active.to)].into();
        let asked = cx.ask(Asked::Replication(ticket), to, question, policy);
        if asked.is_none() {
            self.fail(cx.now, ticket);
        }
    }

    pub(super) fn give(&mut self, cx: &mut Cx<'_>, ticket: Ticket, index: u32, bytes: Vec<u8>) {
        let Some(active) = self.tasks.active(ticket) else {
            return;
        };
        let Some(transfer) = &active.transfer else {
            return;
        };
        self.throttle.spend(bytes.len());
        let (to, question) = (Peer::Node(active.to), (transfer.give(index), bytes));
        let asked = cx.ask_with(Asked::Replication(ticket), to, question, GIVE_PATIENCE);
        if asked.is_none() {
            self.fail(cx.now, ticket);
        }
    }

    /// Takes the end of a question to the new holder.
    pub(in crate::data) fn conclude(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        reply: Reply,
        data: &[Record],
    ) -> Vec<Report> {
        match reply {
            Reply::Answered {
                message: Message::Audio(answer),
                ..
            } => self.on_told(cx, ticket, &answer),
            Reply::Answered { .. } => self.fail(cx.now, ticket),
            Reply::GaveUp { refusal, lost } => self.on_gave_up(cx, ticket, (refusal, lost)),
        }
        self.begin_due(cx, data)
    }

    /// Takes an answer of the new holder: it has the song, it lacks fragments, or it took one.
    fn on_told(&mut self, cx: &mut Cx<'_>, ticket: Ticket, answer: &Audio) {
        let transfer = self.tasks.active(ticket);
        let Some(transfer) = transfer.and_then(|active| active.transfer.as_mut()) else {
            return;
        };
        match transfer.on_told(answer) {
            Told::Stored(_) => {
                self.note_repaired(ticket.0);
                self.finish(cx, ticket.0);
            }
            Told::GoesOn => self.pump(cx, ticket),
            Told::Senseless => {
                self.reports.push(Report::Doubted(ticket.0.1));
                self.fail(cx.now, ticket);
            }
        }
    }

    fn on_gave_up(
        &mut self,
        cx: &mut Cx<'_>,
        ticket: Ticket,
        (refusal, lost): (Option<Refusal>, Option<Lost>),
    ) {
        if let Some(Refusal::Busy { .. }) = refusal {
            // The new holder lives, so the copy may still succeed while its upload waits.
            return self.tasks.put_off(cx.now, ticket.0);
        }
        if self.mutants.has(CopyMutant::CountsRefusedCopies) {
            return self.finish(cx, ticket.0);
        }
        self.meets_full_disk |= refusal == Some(Refusal::DiskFull);
        if lost.is_none() && matches!(refusal, None | Some(Refusal::Broken(_))) {
            self.doubt_taker(ticket);
        }
        self.fail(cx.now, ticket);
    }

    /// The new holder lives, has begun to take the song and does not finish.
    fn doubt_taker(&mut self, ticket: Ticket) {
        let transfer = (self.tasks.active(ticket)).and_then(|active| active.transfer.as_ref());
        if transfer.is_some_and(Transfer::has_begun) {
            self.reports.push(Report::Doubted(ticket.0.1));
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

    /// Sends the next fragments, `GIVES_MAX` at once; commits when all have arrived.
    pub(super) fn pump(&mut self, cx: &mut Cx<'_>, ticket: Ticket) {
        let limited = self.tasks.is_repair(ticket.0) && !self.throttle.allows(cx.now);
        let Some(active) = self.tasks.active(ticket) else {
            return;
        };
        let Some(transfer) = &mut active.transfer else {
            return;
        };
        // Only an idle copy is held back: one with fragments under way is woken by their answers.
        if limited && transfer.is_held_back() {
            return self.throttle.hold_back(cx.now, ticket);
        }
        match transfer.next(if limited { 0 } else { GIVES_MAX }) {
            Next::Fragments(next) => {
                let (song, to) = (ticket.0.0, Peer::Node(active.to));
                for index in next {
                    let at = Position::Index(index);
                    let job = LibraryJob::ReadFragment { song, at };
                    let purpose = Purpose::Read(ticket, index);
                    cx.run_toward(Ordered::Replication(purpose), job, to);
                }
            }
            Next::Commit(commit) => self.ask(cx, ticket, commit, COMMIT),
            Next::Nothing => (),
        }
    }
}
