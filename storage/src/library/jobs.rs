//! Which job does what, and how durably.

use roles::contract::job::{JobFault, JobReply, LibraryJob};

use super::fault::Stop;
use super::room::{self, Room};
use super::store::Store;
use super::{
    change_feed, copies, documents, fragments, further_tags, inspect, mend, partitions, quarantine,
    removal, replace, scrub, seal, songs, totals, trash, uploads,
};

/// When a change must have reached the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Durable {
    /// At the latest together with the next `Now` change, because the log is synced as a whole.
    Later,
    /// Before the answer is given.
    Now,
}

/// How durable a job's change must be before its answer, or none if the job only reads or has
/// transactions of its own; and a text that says what the job attempts, for the report of a failure.
pub(super) fn nature(job: &LibraryJob) -> (Option<Durable>, &'static str) {
    let (later, now) = (Some(Durable::Later), Some(Durable::Now));
    match job {
        LibraryJob::Overview => (None, "read the library's totals"),
        LibraryJob::Room { .. } => (None, "see how much room is left"),
        LibraryJob::Songs { .. } => (None, "list songs"),
        LibraryJob::Changes { .. } => (None, "list changes"),
        // A revision that a router has heard of must not be given twice.
        LibraryJob::ReadTags { .. } => (now, "read the tags of songs"),
        LibraryJob::TagChanges { .. } => (None, "list tags"),
        LibraryJob::Describe { .. } => (None, "describe a song"),
        LibraryJob::ReadFragment { .. } => (None, "read a fragment"),
        LibraryJob::ReadPart { .. } => (None, "read a part of a fragment"),
        LibraryJob::CopiesDue { .. } => (None, "list copies due"),
        LibraryJob::BeginUpload { .. } => (later, "begin an upload"),
        LibraryJob::KeepFragment { .. } => (later, "keep a fragment"),
        LibraryJob::CommitUpload { .. } => (now, "commit an upload"),
        LibraryJob::DropUpload { .. } => (later, "forget an upload"),
        LibraryJob::SweepUploads { .. } => (later, "forget old uploads"),
        LibraryJob::CopyDone { .. } => (later, "note a copy as done"),
        LibraryJob::ForgetCopiesDue { .. } => (later, "forget copies due"),
        // A revision that a router has heard of must not be given twice: the disk first.
        LibraryJob::RemoveSongs { .. } => (now, "remove songs"),
        LibraryJob::NoteMarks { .. } => (now, "note what is in the trash"),
        LibraryJob::Marks { .. } => (None, "list marks"),
        LibraryJob::MarksDigest => (None, "read the digest of the marks"),
        LibraryJob::NoteDocuments { .. } => (now, "keep what listeners write"),
        LibraryJob::Documents { .. } => (None, "list documents"),
        LibraryJob::DocumentSums => (None, "read the digests of the documents"),
        LibraryJob::AgeTrash { .. } => (later, "count time for the trash"),
        LibraryJob::EmptyTrash { .. } => (now, "empty the trash"),
        LibraryJob::DropSongs { .. } => (now, "let go of songs"),
        LibraryJob::Reclaim => (later, "reclaim room"),
        LibraryJob::PartitionDigests => (None, "read the digests"),
        LibraryJob::PartitionSongs { .. } => (None, "list a partition"),
        LibraryJob::Scrub { .. } => (None, "check fragments"),
        LibraryJob::NoteScrub { .. } => (later, "note the scrub"),
        LibraryJob::Quarantine { .. } => (later, "set a fragment aside"),
        LibraryJob::Quarantined { .. } => (None, "list fragments set aside"),
        LibraryJob::ReplaceFragment { .. } => (later, "replace a fragment"),
        LibraryJob::Inspect { .. } => (None, "inspect the tables"),
        LibraryJob::Mend { .. } => (now, "mend the tables"),
        LibraryJob::Seal { .. } => (now, "seal songs"),
        LibraryJob::Restore { .. } => (now, "restore a song"),
        LibraryJob::Rebuild { .. } => (None, "rebuild the library"),
        LibraryJob::Salvage => (None, "salvage the library"),
    }
}

/// Does a job in the transaction that is open.
pub(super) fn apply(db: &Store<'_>, room: &Room, job: &LibraryJob) -> Result<JobReply, Stop> {
    match job {
        LibraryJob::Overview => totals::overview(db),
        LibraryJob::Room { bytes } => room::answer(db, room, *bytes),
        LibraryJob::Songs { after, limit } => songs::page(db, *after, *limit),
        LibraryJob::Changes { since, limit } => change_feed::page(db, *since, *limit),
        LibraryJob::ReadTags { after } => further_tags::step(db, *after),
        LibraryJob::TagChanges { since, limit } => further_tags::page(db, *since, *limit),
        LibraryJob::Describe { song } => seal::describe(db, *song),
        LibraryJob::ReadFragment { song, at } => fragments::answer(db, *song, *at),
        LibraryJob::ReadPart { fragment, part } => fragments::answer_part(db, *fragment, *part),
        LibraryJob::CopiesDue { after, limit } => copies::due(db, *after, *limit),
        LibraryJob::BeginUpload { manifest } => uploads::begin(db, room, manifest),
        LibraryJob::KeepFragment { song, index, bytes } => uploads::keep(db, *song, *index, bytes),
        LibraryJob::CommitUpload { song, copies_due } => uploads::commit(db, *song, copies_due),
        LibraryJob::DropUpload { song } => uploads::drop(db, room, *song),
        LibraryJob::SweepUploads { untouched_s } => uploads::sweep(db, room, *untouched_s),
        LibraryJob::CopyDone { song, node } => copies::done(db, *song, *node),
        LibraryJob::ForgetCopiesDue { node } => copies::forget(db, *node),
        LibraryJob::RemoveSongs { songs } => removal::remove(db, songs),
        LibraryJob::NoteMarks { marks, passed_s } => trash::note(db, marks, *passed_s),
        LibraryJob::Marks { after, limit } => trash::page(db, *after, *limit),
        LibraryJob::MarksDigest => trash::digest(db),
        LibraryJob::NoteDocuments {
            documents,
            plays,
            by,
        } => documents::note(db, (documents, plays), *by),
        LibraryJob::Documents {
            buckets,
            after,
            limit,
        } => documents::page(db, buckets, after.as_ref(), *limit),
        LibraryJob::DocumentSums => documents::sums(db),
        LibraryJob::AgeTrash { passed_s, limit } => trash::age(db, *passed_s, *limit),
        LibraryJob::EmptyTrash { mark } => removal::empty_trash(db, mark),
        LibraryJob::DropSongs { songs, until } => removal::drop(db, songs, *until),
        LibraryJob::Reclaim => removal::tidy(db, room),
        LibraryJob::PartitionDigests => partitions::digests(db),
        LibraryJob::PartitionSongs {
            partition,
            after,
            limit,
        } => partitions::songs(db, *partition, *after, *limit),
        LibraryJob::Scrub { after, bytes } => scrub::step(db, *after, *bytes),
        LibraryJob::NoteScrub { after } => scrub::note(db, *after),
        LibraryJob::Quarantine { fragment } => replace::set_aside(db, *fragment),
        LibraryJob::Quarantined { after, limit } => quarantine::page(db, *after, *limit),
        LibraryJob::ReplaceFragment { fragment, bytes } => replace::replace(db, *fragment, bytes),
        LibraryJob::Inspect { after, limit } => inspect::step(db, *after, *limit),
        LibraryJob::Mend { songs, totals } => mend::mend(db, songs, *totals),
        LibraryJob::Seal { songs } => mend::seal(db, songs),
        LibraryJob::Restore { untouched_s } => mend::restore(db, *untouched_s),
        LibraryJob::Rebuild { .. } | LibraryJob::Salvage => {
            Err(JobFault::Invalid("it is no job of one transaction".to_owned()).into())
        }
    }
}
