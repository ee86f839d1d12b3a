//! What a job changes about the documents of listeners: the rules that the library and its model share.

use std::collections::BTreeMap;

use roles::annotations::Plays;
use roles::contract::document::{Document, Key, Play, Version, fault_of};
use roles::contract::id::NodeId;
use roles::contract::job::JobFault;
use roles::contract::limits::{DOCUMENTS_BUCKETS, DOCUMENTS_BYTES_MAX, DOCUMENTS_MAX};
use roles::contract::message::StoreId;

/// What is to be kept.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    /// Something later is here than what a client wrote: nothing is kept.
    pub(crate) late: Option<u64>,
    /// In the order of their keys.
    pub(crate) kept: Vec<Document>,
    /// What a client wrote, with the counters of its plays.
    pub(crate) written: Vec<Document>,
    /// How many documents there are more, and bytes.
    more: (i64, i64),
}

/// Decides about a [`LibraryJob::NoteDocuments`](roles::contract::job::LibraryJob::NoteDocuments).
/// `own` finds what is here under a key.
pub(crate) fn decide<E: From<JobFault>>(
    (documents, plays): (&[Document], &[Play]),
    by: Option<NodeId>,
    store: StoreId,
    mut own: impl FnMut(&Key) -> Result<Option<Document>, E>,
) -> Result<Decided, E> {
    let mut decided = Decided::default();
    if documents.is_empty() && plays.is_empty() {
        return Ok(decided);
    }
    if let Some(why) = fault_of(documents, plays) {
        return Err(JobFault::Invalid(why.to_owned()).into());
    }
    let mut kept: BTreeMap<Key, (Option<Document>, Document)> = BTreeMap::new();
    for document in documents {
        let known = known(&kept, &mut own, &document.key)?;
        if known.as_ref().is_none_or(|known| document.outranks(known)) {
            keep(&mut kept, known, document.clone());
        } else if let Some(later) = known.filter(|known| known.outranks(document)) {
            decided.late = decided.late.max(Some(later.version.clock));
        }
    }
    let Some(by) = by else {
        decided.late = None;
        decided.take(kept);
        return Ok(decided);
    };
    if decided.late.is_some() {
        return Ok(decided);
    }
    decided.written = documents.to_vec();
    for play in plays {
        let key = Plays::key(play.owner, play.song, store);
        let known = known(&kept, &mut own, &key)?;
        let counter = counted(known.as_ref(), key, play, by);
        if let Some(counter) = &counter {
            keep(&mut kept, known.clone(), counter.clone());
        }
        decided.written.extend(counter.or(known));
    }
    decided.take(kept);
    Ok(decided)
}

fn known<E>(
    kept: &BTreeMap<Key, (Option<Document>, Document)>,
    own: &mut impl FnMut(&Key) -> Result<Option<Document>, E>,
    key: &Key,
) -> Result<Option<Document>, E> {
    match kept.get(key) {
        Some((_, document)) => Ok(Some(document.clone())),
        None => own(key),
    }
}

fn keep(
    kept: &mut BTreeMap<Key, (Option<Document>, Document)>,
    known: Option<Document>,
    document: Document,
) {
    let before = match kept.remove(&document.key) {
        Some((before, _)) => before,
        None => known,
    };
    kept.insert(document.key.clone(), (before, document));
}

/// The counter after a play; none if the play was counted before.
fn counted(known: Option<&Document>, key: Key, play: &Play, by: NodeId) -> Option<Document> {
    let body = known.and_then(|known| Plays::decode(known.body.as_ref()?));
    let mut plays = body.unwrap_or_default();
    let before = known.map_or(0, |known| known.version.clock);
    plays.count(play).then(|| Document {
        key,
        version: Version {
            clock: play.clock.max(before.saturating_add(1)),
            writer: by.0,
        },
        body: Some(plays.encode()),
    })
}

impl Decided {
    fn take(&mut self, kept: BTreeMap<Key, (Option<Document>, Document)>) {
        for (before, document) in kept.into_values() {
            let weight = document.weight() as i64;
            let less = before.as_ref().map_or(0, |before| before.weight() as i64);
            self.more.0 += i64::from(before.is_none());
            self.more.1 += weight - less;
            self.kept.push(document);
        }
    }

    /// Whether there is room beside what is here; `whole`: a client writes. What other data nodes have
    /// acknowledged before they met has room for twice as much. What takes no more room always has it.
    pub(crate) fn check_room(
        &self,
        (count, bytes): (u64, u64),
        whole: bool,
    ) -> Result<(), JobFault> {
        let share = if whole { 1 } else { 2 };
        let fits = |now: u64, more: i64, most: u64| {
            more <= 0 || now.saturating_add_signed(more) <= most * share
        };
        if fits(count, self.more.0, DOCUMENTS_MAX) && fits(bytes, self.more.1, DOCUMENTS_BYTES_MAX)
        {
            return Ok(());
        }
        let why = format!(
            "there are {count} stars, plays and entries of playlists already, of {} MiB: \
             delete some playlists first",
            bytes >> 20
        );
        Err(JobFault::Invalid(why))
    }
}

/// What the documents of one bucket add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) count: u64,
    /// By [`Document::weight`].
    pub(crate) bytes: u64,
    /// The wrapping sum of [`Document::digest`].
    pub(crate) sum: u64,
}

impl Bucket {
    /// Adds a document.
    pub(crate) fn insert(&mut self, document: &Document) {
        self.count += 1;
        self.bytes += document.weight() as u64;
        self.sum = self.sum.wrapping_add(document.digest());
    }

    /// Takes a document out that was added.
    pub(crate) fn remove(&mut self, document: &Document) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(document.weight() as u64);
        self.sum = self.sum.wrapping_sub(document.digest());
    }
}

/// The sums of all buckets, from those that hold anything.
pub(crate) fn sums(buckets: impl Iterator<Item = (u16, Bucket)>) -> Vec<u64> {
    let mut sums = vec![0; DOCUMENTS_BUCKETS];
    for (number, bucket) in buckets {
        if let Some(sum) = sums.get_mut(usize::from(number)) {
            *sum = bucket.sum;
        }
    }
    sums
}
