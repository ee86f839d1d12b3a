//! The answers of a data node that follow from a job's reply alone.

use alloc::string::ToString;

use crate::contract::job::{JobFault, JobReply};
use crate::contract::message::{Audio, Message, Refusal};
use crate::contract::upkeep::Upkeep;

pub(super) fn stored(copies: u8) -> Message {
    Message::Audio(Audio::Stored { copies })
}

/// What was durable lay in a library that has been set aside since.
pub(super) fn set_aside() -> Message {
    let why = "the library was damaged and is set aside: try again";
    Message::Refused(Refusal::Broken(why.into()))
}

/// Translates a job's reply into the answer; a reply that answers no question becomes a refusal.
pub(super) fn answer_to(reply: JobReply) -> Message {
    Message::Audio(match reply {
        JobReply::Songs { songs, more } => Audio::SongPage { songs, more },
        JobReply::Described { manifest } => Audio::Described { manifest },
        JobReply::Missing { ranges } => Audio::Wanted { missing: ranges },
        JobReply::FragmentStored => Audio::Taken,
        JobReply::Stored { .. } => Audio::Stored { copies: 1 },
        JobReply::PartitionSongs {
            songs,
            tombstones,
            next,
        } => {
            let gone = tombstones;
            return Message::Upkeep(Upkeep::Held { songs, gone, next });
        }
        JobReply::Noted { newer, gone, .. } => {
            return Message::Upkeep(Upkeep::Noted { newer, gone });
        }
        JobReply::Failed(fault) => return Message::Refused(refusal(fault)),
        JobReply::Done
        | JobReply::Overview(_)
        | JobReply::Room { .. }
        | JobReply::Changes { .. }
        | JobReply::TagsRead { .. }
        | JobReply::Tags { .. }
        | JobReply::Fragment { .. }
        | JobReply::Part { .. }
        | JobReply::CopiesDue { .. }
        | JobReply::Members { .. }
        | JobReply::Removed { .. }
        | JobReply::Marks { .. }
        | JobReply::MarksDigest { .. }
        | JobReply::DocumentsNoted { .. }
        | JobReply::Documents { .. }
        | JobReply::DocumentSums { .. }
        | JobReply::Due { .. }
        | JobReply::Reclaimed { .. }
        | JobReply::PartitionDigests { .. }
        | JobReply::Scrubbed(_)
        | JobReply::Inspected(_)
        | JobReply::Salvaged { .. }
        | JobReply::Quarantined { .. }
        | JobReply::Peers { .. } => {
            return Message::Refused(senseless());
        }
    })
}

/// The refusal for a job that has failed.
pub(super) fn refuse_fault(reply: JobReply) -> Refusal {
    if let JobReply::Failed(fault) = reply {
        return refusal(fault);
    }
    senseless()
}

/// The refusal for a job whose reply answers no question.
fn senseless() -> Refusal {
    Refusal::Broken("the pool gave another reply".into())
}

fn refusal(fault: JobFault) -> Refusal {
    match fault {
        JobFault::Busy | JobFault::Abandoned => Refusal::Busy {
            retry_after_ms: 100,
        },
        JobFault::NotFound => Refusal::NotFound,
        JobFault::Ambiguous(songs) => Refusal::Ambiguous(songs),
        JobFault::Damaged | JobFault::Quarantined => Refusal::Broken(fault.to_string()),
        JobFault::Removed => Refusal::Invalid(fault.to_string()),
        JobFault::Invalid(why) => Refusal::Invalid(why),
        JobFault::DiskFull => Refusal::DiskFull,
        JobFault::Broken(how) | JobFault::Corrupt(how) => Refusal::Broken(how),
    }
}

/// Whether a refused question for bytes proves that the node lacks them: it has no such song, or
/// its own copy of the bytes is damaged. The text tells a damaged copy from a disk that failed for
/// a moment.
pub(super) fn is_lack(refused: &Refusal) -> bool {
    let lacks = [
        JobFault::NotFound,
        JobFault::Removed,
        JobFault::Damaged,
        JobFault::Quarantined,
    ];
    lacks.into_iter().any(|fault| refusal(fault) == *refused)
}
