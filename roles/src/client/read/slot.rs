//! A fragment on its way: how far it is, and how much of it is asked for.

use alloc::vec::Vec;

use crate::client::ask::senseless;
use crate::client::{Answer, failure};
use crate::contract::id::{JobId, RequestId};
use crate::contract::limits::GROUP_BYTES;
use crate::contract::message::{Audio, Holder, Message};
use crate::contract::node::Peer;
use crate::contract::record::{Address, Features, Role};
use crate::contract::user::{Failure, Origin};

/// A fragment on its way.
#[derive(Debug)]
pub(super) enum Slot {
    /// No holder is asked at present: the fragment is new, or it failed and waits for a pause.
    Wanted,
    /// A part of it is read from the cache.
    Recalling(JobId, Part),
    /// A part of it, or the whole, is on its way from a holder.
    Asking(RequestId, Address, Part),
    /// What has come of it is checked.
    Checking(JobId, Part),
    Ready(Part, Vec<u8>, Origin),
}

/// A part of a fragment, or the whole: the offsets of its first byte and of the one after its last.
pub(super) type Part = (u32, u32);

impl Slot {
    /// The part of the fragment that is there or comes.
    pub(super) fn part(&self) -> Option<Part> {
        match self {
            Slot::Wanted => None,
            Slot::Recalling(_, part)
            | Slot::Asking(_, _, part)
            | Slot::Checking(_, part)
            | Slot::Ready(part, ..) => Some(*part),
        }
    }

    /// Whether less than the `needed` part is there or comes.
    pub(super) fn lacks(&self, needed: Part) -> bool {
        (self.part()).is_some_and(|part| needed.0 < part.0 || part.1 < needed.1)
    }
}

/// What a holder has sent of a fragment.
pub(super) struct Chunk {
    pub(super) from: Address,
    /// Jobs that wait there.
    pub(super) load: u16,
    /// What proves a part; none with the whole, which its hash proves.
    pub(super) values: Option<Vec<u8>>,
    pub(super) bytes: Vec<u8>,
}

/// What an answer brings of the fragment that was asked for as a whole or in part, or why it brings
/// nothing.
pub(super) fn chunk_of(reply: Answer, index: u32, whole: bool) -> Result<Chunk, Failure> {
    let (peer, message, bytes) =
        reply.map_err(|(refusal, lost)| failure(Role::Data, refusal, lost))?;
    let (which, load, values) = match message {
        Message::Audio(Audio::Chunk { index, load }) => (index, load, None),
        Message::Audio(Audio::ChunkPart {
            index,
            load,
            values,
        }) => (index, load, Some(values)),
        Message::Refused(why) => return Err(failure(Role::Data, Some(why), None)),
        Message::Audio(_)
        | Message::Names(_)
        | Message::Catalogue(_)
        | Message::Ring(_)
        | Message::Upkeep(_)
        | Message::Chord(_) => return Err(senseless()),
    };
    match peer {
        Peer::Node(from) if which == index && whole == values.is_none() => Ok(Chunk {
            from,
            load,
            values,
            bytes,
        }),
        Peer::Node(_) | Peer::Guest(_) => Err(senseless()),
    }
}

/// The part of a fragment of `length` bytes to ask these holders for: what is needed of it, or the
/// whole if the groups of that are the whole, or if one of the holders cannot give a part.
pub(super) fn part_to_ask((from, to): Part, length: u32, holders: &[Holder]) -> Part {
    let group = GROUP_BYTES as u32;
    let fewer = from >= group || to.next_multiple_of(group) < length;
    let parts = |holder: &Holder| holder.features.has(Features::PARTS);
    if from < to && fewer && holders.iter().all(parts) {
        (from, to)
    } else {
        (0, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::id::NodeId;
    use crate::test_support::addr;

    fn holder(features: Features) -> Holder {
        Holder {
            node: NodeId(1),
            address: addr(1),
            features,
            load: 0,
        }
    }

    /// A part is asked for where it saves a group, of holders that can give it.
    #[test]
    fn a_part_is_asked_for_where_it_saves_something() {
        let (new, old) = (holder(Features::PARTS), holder(Features::AES));
        for (needed, asked) in [
            ((0, 200_000), (0, 200_000)),
            ((0, 65_536), (0, 65_536)),
            ((65_536, 200_000), (65_536, 200_000)),
            ((65_535, 200_000), (0, 200_000)),
            ((0, 196_609), (0, 200_000)),
            ((9, 9), (0, 200_000)),
        ] {
            assert_eq!(part_to_ask(needed, 200_000, &[new]), asked);
            assert_eq!(part_to_ask(needed, 200_000, &[new, old]), (0, 200_000));
        }
        assert_eq!(part_to_ask((7, 9), 60_000, &[new]), (0, 60_000));
    }

    /// What is there or comes is enough if it has all that is needed.
    #[test]
    fn a_slot_lacks_what_it_does_not_cover() {
        let slot = Slot::Ready((10, 20), Vec::new(), Origin::Cache);
        assert!(!slot.lacks((10, 20)) && !slot.lacks((12, 13)));
        assert!(slot.lacks((9, 20)) && slot.lacks((10, 21)));
        assert!(!Slot::Wanted.lacks((0, 99)));
    }
}
