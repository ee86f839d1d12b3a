//! The documents of listeners, as a router knows them: all of them, in memory, in the order of their
//! keys.
//!
//! Built from the change feeds of the data nodes alone. What is deleted stays as its version, so that a
//! data node that has not heard of it cannot bring it back.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::string::String;
use alloc::vec::Vec;

use crate::contract::document::{
    AccountId, Document, Documents as Page, Key, Kind, Rank, Reading, Version, clock_at, is_ahead,
    rank,
};
use crate::contract::limits::{
    DOCUMENTS_BYTES_MAX, DOCUMENTS_MAX, DOCUMENTS_PAGE_MAX, PAGE_BYTES_MAX, SUBJECT_BYTES_MAX,
};
use crate::contract::message::{Change, Holder};
use crate::mutants::{DocumentMutant, DocumentMutants};

/// All documents.
#[derive(Debug, Default)]
pub(super) struct Documents {
    by_key: BTreeMap<Name, Held>,
    /// Bytes of all of them, by [`Document::weight`].
    bytes: u64,
    /// The latest clock of a document that is not ahead of this router's.
    latest: u64,
    mutants: DocumentMutants,
}

type Name = (AccountId, Kind, Box<[u8]>);

/// What is kept of a document beside its key.
#[derive(Debug)]
struct Held {
    version: Version,
    body: Option<Box<[u8]>>,
}

impl Held {
    fn rank(&self) -> Rank<'_> {
        rank(self.version, self.body.as_deref())
    }

    fn bytes(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.len() as u64)
    }
}

impl Documents {
    /// No documents yet.
    pub(super) fn new(mutants: DocumentMutants) -> Self {
        Documents {
            mutants,
            ..Documents::default()
        }
    }

    /// Takes a document over, unless a later one is here. One that has no room is left out: data nodes
    /// refuse writes long before.
    pub(super) fn note(&mut self, document: Document, unix_ms: u64) {
        if document.fault().is_some() {
            return;
        }
        let (clock, weight) = (document.version.clock, document.weight() as u64);
        if !is_ahead(clock, unix_ms) {
            self.latest = self.latest.max(clock);
        }
        let full = self.by_key.len() as u64 >= 2 * DOCUMENTS_MAX
            || self.bytes + weight > 2 * DOCUMENTS_BYTES_MAX;
        let Document { key, version, body } = document;
        let body = body.map(Vec::into_boxed_slice);
        let held = Held { version, body };
        let name = (key.owner, key.kind, key.subject.into_boxed_slice());
        match self.by_key.entry(name) {
            Entry::Vacant(place) if !full => {
                place.insert(held);
                self.bytes += weight;
            }
            Entry::Occupied(mut place) => {
                let keeps = self.mutants.has(DocumentMutant::RouterKeepsTheFirst);
                if !keeps && held.rank() > place.get().rank() {
                    let known = place.insert(held);
                    // Both have the same key.
                    self.bytes += place.get().bytes();
                    self.bytes -= known.bytes();
                }
            }
            Entry::Vacant(_) => (),
        }
    }

    /// Answers a question; `writers` are the data nodes that take documents.
    pub(super) fn read(&self, reading: &Reading, unix_ms: u64, writers: Vec<Holder>) -> Page {
        let Reading { owner, kind, .. } = *reading;
        let after = reading
            .after
            .as_ref()
            .filter(|after| **after >= reading.within);
        let from = (
            owner,
            kind,
            after.unwrap_or(&reading.within).as_slice().into(),
        );
        let mut page = Page {
            documents: Vec::new(),
            next: None,
            clock: clock_at(unix_ms).max(self.latest.saturating_add(1)),
            writers,
        };
        let inside = |(theirs, of, subject): &Name| {
            (*theirs, *of) == (owner, kind) && subject.starts_with(&reading.within)
        };
        let there = self.by_key.range::<Name, _>(from..);
        let there = there.take_while(|(name, _)| reading.limit > 0 && inside(name));
        let begun = |name: &Name| after.is_some_and(|after| after.as_slice() == &*name.2);
        let mut bytes = 0;
        for (name, held) in there.filter(|(name, held)| held.body.is_some() && !begun(name)) {
            if page.documents.len() >= reading.limit as usize || bytes >= PAGE_BYTES_MAX {
                page.next = page.documents.last().map(|last| last.key.subject.clone());
                break;
            }
            let document = whole(name, held);
            bytes += document.weight();
            page.documents.push(document);
        }
        page
    }
}

/// Takes the documents out of the changes that a data node has announced.
pub(super) fn taken(changes: &mut Vec<Change>) -> Vec<Document> {
    let written = |change: &mut Change| matches!(change, Change::Wrote(_));
    let taken = changes
        .extract_if(.., written)
        .filter_map(|change| match change {
            Change::Wrote(document) => Some(document),
            Change::Added(_) | Change::Removed(_) | Change::Buried(_) | Change::Marked(_) => None,
        });
    taken.collect()
}

/// Why a question is not answered, if so.
pub(super) fn check(reading: &Reading) -> Result<(), String> {
    let after = reading.after.as_ref().map_or(0, Vec::len);
    if reading.limit as usize > DOCUMENTS_PAGE_MAX {
        return Err(alloc::format!(
            "a page has at most {DOCUMENTS_PAGE_MAX} documents"
        ));
    }
    if reading.within.len() > SUBJECT_BYTES_MAX || after > SUBJECT_BYTES_MAX {
        return Err(alloc::format!(
            "a subject has at most {SUBJECT_BYTES_MAX} bytes"
        ));
    }
    Ok(())
}

fn whole((owner, kind, subject): &Name, held: &Held) -> Document {
    Document {
        key: Key {
            owner: *owner,
            kind: *kind,
            subject: subject.to_vec(),
        },
        version: held.version,
        body: held.body.as_ref().map(|body| body.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn star(subject: &[u8], clock: u64, body: Option<Vec<u8>>) -> Document {
        Document {
            key: Key {
                owner: AccountId::LISTENER,
                kind: Kind::STAR,
                subject: subject.to_vec(),
            },
            version: Version { clock, writer: 1 },
            body,
        }
    }

    fn reading(within: &[u8], after: Option<&[u8]>, limit: u32) -> Reading {
        Reading {
            owner: AccountId::LISTENER,
            kind: Kind::STAR,
            within: within.to_vec(),
            after: after.map(<[u8]>::to_vec),
            limit,
        }
    }

    fn subjects(page: &Page) -> Vec<Vec<u8>> {
        page.documents
            .iter()
            .map(|document| document.key.subject.clone())
            .collect()
    }

    #[test]
    fn pages_follow_each_other() {
        let mut documents = Documents::default();
        for n in [3, 1, 2, 9] {
            documents.note(star(&[1, n], 5, Some(vec![])), 0);
        }
        documents.note(star(&[2, 1], 5, Some(vec![])), 0);
        let first = documents.read(&reading(&[1], None, 2), 0, vec![]);
        assert_eq!(subjects(&first), [[1, 1], [1, 2]]);
        assert_eq!(first.next, Some(vec![1, 2]));
        let second = documents.read(&reading(&[1], first.next.as_deref(), 2), 0, vec![]);
        assert_eq!(subjects(&second), [[1, 3], [1, 9]]);
        assert_eq!(second.next, None);
        let none = documents.read(&reading(&[1], None, 0), 0, vec![]);
        assert_eq!((none.documents.len(), none.next, none.clock), (0, None, 6));
    }

    /// A data node that was away sends what was deleted meanwhile: it stays deleted.
    #[test]
    fn deleted_document_does_not_return() {
        let mut documents = Documents::default();
        documents.note(star(&[1], 5, Some(vec![7])), 0);
        documents.note(star(&[1], 6, None), 0);
        documents.note(star(&[1], 5, Some(vec![7])), 0);
        assert_eq!(
            subjects(&documents.read(&reading(&[], None, 9), 0, vec![])).len(),
            0
        );
        documents.note(star(&[1], 7, Some(vec![8])), 0);
        assert_eq!(
            subjects(&documents.read(&reading(&[], None, 9), 0, vec![])),
            [[1]]
        );
        assert_eq!(
            documents.bytes,
            star(&[1], 7, Some(vec![8])).weight() as u64
        );
    }

    /// One document of a wrong clock does not lead every later write ahead of the data nodes' clocks.
    #[test]
    fn clock_follows_no_document_that_is_ahead() {
        let mut documents = Documents::default();
        let now = 1_800_000_000_000;
        documents.note(star(&[1], clock_at(now * 2), Some(vec![])), now);
        let page = documents.read(&reading(&[], None, 1), now, vec![]);
        assert_eq!((page.documents.len(), page.clock), (1, clock_at(now)));
    }
}
