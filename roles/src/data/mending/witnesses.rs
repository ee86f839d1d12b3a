//! What other data nodes say of songs without a seal.
//!
//! A song of a library from before seals may have been altered before it was first looked at, and
//! nothing on this disk tells. Its other owners have copies of their own, so they are asked how they
//! describe it. The library compares, because only it knows what its tables say. A song of which an
//! owner does not answer is left to a later pass; one that no other owner has is sealed as it is.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::id::SongId;
use crate::contract::job::{LibraryJob, Witnessed};
use crate::contract::limits::{COPIES, SEALED_MAX};
use crate::contract::message::{Audio, Message, Refusal};
use crate::contract::node::Peer;
use crate::contract::song::Manifest;
use crate::cx::Cx;
use crate::data::Others;
use crate::purpose::mending::Purpose;
use crate::purpose::{Asked, Ordered};
use crate::requests::{Policy, Reply};

/// How long an owner may take to describe a song.
const DESCRIBE: Policy = Policy {
    deadline: Duration::from_secs(10),
    attempt: Duration::from_secs(5),
    rounds: 1,
};

/// The songs that are being asked about, at most [`SEALED_MAX`].
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    asked: BTreeMap<SongId, Inquiry>,
    /// The job is under way.
    sealing: bool,
}

#[derive(Debug, Default)]
struct Inquiry {
    /// Owners that have not answered.
    open: usize,
    manifests: Vec<Manifest>,
    /// Some owner has said neither how it describes the song nor that it lacks it.
    silent: bool,
}

impl Witnesses {
    /// Asks the other owners of these songs, unless others are being asked about.
    pub(super) fn ask(&mut self, cx: &mut Cx<'_>, songs: Vec<SongId>, others: Others<'_>) {
        if self.sealing || !self.asked.is_empty() {
            return;
        }
        // Whoever is away, or is about to end, may have the songs.
        let away = !others.dead.is_empty() || !others.leaving.is_empty();
        for song in songs.into_iter().take(SEALED_MAX) {
            let mut inquiry = Inquiry::default();
            for peer in owners(song, others) {
                let question = Message::Audio(Audio::Describe { song });
                let asked = cx.ask(Asked::Witness(song), [peer].into(), question, DESCRIBE);
                inquiry.open += usize::from(asked.is_some());
                inquiry.silent |= asked.is_none();
            }
            inquiry.silent |= away;
            self.asked.insert(song, inquiry);
        }
        self.end_if_all_said(cx);
    }

    /// Takes the end of a question about a song.
    pub(super) fn conclude(&mut self, cx: &mut Cx<'_>, song: SongId, reply: Reply) {
        let Some(inquiry) = self.asked.get_mut(&song) else {
            return;
        };
        inquiry.open = inquiry.open.saturating_sub(1);
        match reply.into_result() {
            Ok((_, Message::Audio(Audio::Described { manifest }), _))
                if manifest.song.id == song && manifest.check().is_ok() =>
            {
                inquiry.manifests.push(manifest);
            }
            Err((Some(Refusal::NotFound), _)) => (), // It lacks the song.
            Ok(_) | Err(_) => inquiry.silent = true,
        }
        self.end_if_all_said(cx);
    }

    fn end_if_all_said(&mut self, cx: &mut Cx<'_>) {
        if self.asked.values().any(|inquiry| inquiry.open > 0) {
            return;
        }
        let all = core::mem::take(&mut self.asked).into_iter();
        let known =
            |(_, inquiry): &(SongId, Inquiry)| !inquiry.manifests.is_empty() || !inquiry.silent;
        let witnessed = |(song, Inquiry { manifests, .. })| Witnessed { song, manifests };
        let songs: Vec<Witnessed> = all.filter(known).map(witnessed).collect();
        if !songs.is_empty() {
            self.sealing = true;
            cx.run(Ordered::Mending(Purpose::Seal), LibraryJob::Seal { songs });
        }
    }

    /// The job has ended.
    pub(super) fn on_sealed(&mut self) {
        self.sealing = false;
    }
}

/// The other owners of a song that live.
fn owners(song: SongId, others: Others<'_>) -> impl Iterator<Item = Peer> {
    let in_order = others.owners.in_order(song).into_iter();
    let others_of = in_order.filter(move |node| *node != others.own.node);
    others_of.take(COPIES).filter_map(move |node| {
        let record = others.data.iter().find(|record| record.node == node)?;
        Some(Peer::Node(record.address))
    })
}

#[cfg(test)]
mod tests;
