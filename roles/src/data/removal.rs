//! Removal of songs for good.
//!
//! The tombstone is durable here before any other node is told. The answer goes out when another
//! data node has the tombstone, too, or when no other node can confirm it. A node that was away
//! learns of the removal by anti-entropy.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Others;
use super::answers::set_aside;
use crate::contract::id::SongId;
use crate::contract::message::Message;
use crate::contract::node::{Asker, Outbox, Peer};
use crate::contract::upkeep::Upkeep;
use crate::cx::Cx;
use crate::mutants::{CopyMutant, CopyMutants};
use crate::purpose::Asked;
use crate::requests::{Policy, Reply};

/// Removals that wait for a second node. Beyond this bound no node is told, and the answer says one
/// copy.
pub(super) const WAITING_MAX: usize = 256;

/// Nodes told of one removal at once; the others learn of it by anti-entropy.
const TOLD_MAX: usize = 8;

/// Removals that wait for a second node.
#[derive(Debug)]
pub(super) struct Removal {
    waiting: BTreeMap<u64, Waiting>,
    count: u64,
    mutants: CopyMutants,
}

#[derive(Debug)]
struct Waiting {
    asker: Asker,
    /// Nodes asked that have not answered.
    open: usize,
}

impl Removal {
    pub(super) fn new(mutants: CopyMutants) -> Self {
        Removal {
            waiting: BTreeMap::new(),
            count: 0,
            mutants,
        }
    }

    /// Removals that wait for a second node.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The tombstones are durable here: tells other data nodes. Answers at once if none can be
    /// asked.
    pub(super) fn spread(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        songs: &[SongId],
        others: Others<'_>,
    ) {
        if self.mutants.has(CopyMutant::BuriesAlone) {
            return cx.out.answer(asker, buried(2));
        }
        self.count += 1;
        let number = self.count;
        let mut open = 0;
        let told = if self.waiting.len() < WAITING_MAX {
            TOLD_MAX
        } else {
            0
        };
        for record in others.data.iter().take(told) {
            let bury = Upkeep::Bury {
                songs: songs.to_vec(),
                copy: true,
            };
            let to = [Peer::Node(record.address)].into();
            let question = Message::Upkeep(bury);
            let asked = cx.ask(Asked::Removal(number), to, question, Policy::ONCE);
            open += usize::from(asked.is_some());
        }
        if open == 0 {
            return cx.out.answer(asker, buried(1));
        }
        self.waiting.insert(number, Waiting { asker, open });
    }

    /// The library that had these tombstones is set aside: each client hears it, and removes again.
    pub(super) fn refuse(&mut self, out: &mut Outbox) {
        for waiting in core::mem::take(&mut self.waiting).into_values() {
            out.answer(waiting.asker, set_aside());
        }
    }

    /// Takes the end of a question to pass the removal of this number on.
    pub(super) fn conclude(&mut self, cx: &mut Cx<'_>, number: u64, reply: Reply) {
        let Some(waiting) = self.waiting.get_mut(&number) else {
            return;
        };
        let noted = reply.message().is_some_and(|message| is_buried(&message));
        waiting.open -= 1;
        if noted || waiting.open == 0 {
            let copies = 1 + u8::from(noted);
            cx.out.answer(waiting.asker, buried(copies));
            self.waiting.remove(&number);
        }
    }
}

fn is_buried(message: &Message) -> bool {
    matches!(message, Message::Upkeep(Upkeep::Buried { .. }))
}

/// The answer to a removal.
pub(super) fn buried(copies: u8) -> Message {
    Message::Upkeep(Upkeep::Buried { copies })
}

/// The songs, if the list is within its bounds; otherwise the reason for a refusal.
pub(super) fn check(songs: &[SongId]) -> Result<Vec<SongId>, alloc::string::String> {
    let most = crate::contract::limits::REMOVALS_MAX;
    if songs.is_empty() || songs.len() > most {
        return Err(alloc::format!("a removal is of 1 to {most} songs"));
    }
    Ok(songs.to_vec())
}
