//! The model's side of the documents of listeners.

use roles::contract::document::{Document, Key, Play};
use roles::contract::id::NodeId;
use roles::contract::job::{JobFault, JobReply};
use roles::contract::limits::{DOCUMENTS_AT_ONCE_MAX, DOCUMENTS_BUCKETS, PAGE_BYTES_MAX};
use roles::contract::message::Change;

use super::ModelStore;
use crate::documents::{self, Bucket};

impl ModelStore {
    /// All documents, deleted ones among them, by key.
    pub fn documents(&self) -> impl Iterator<Item = &Document> {
        self.present
            .documents
            .values()
            .map(|(document, _)| document)
    }

    /// The document with this key.
    pub fn document(&self, key: &Key) -> Option<&Document> {
        let found = self.present.documents.get(key);
        found.map(|(document, _)| document)
    }

    pub(super) fn note_documents(
        &mut self,
        (documents, plays): (&[Document], &[Play]),
        by: Option<NodeId>,
    ) -> Result<JobReply, JobFault> {
        let own = |key: &Key| Ok::<_, JobFault>(self.document(key).cloned());
        let decided = documents::decide((documents, plays), by, self.store, own)?;
        let bytes: usize = self.documents().map(Document::weight).sum();
        let held = (self.present.documents.len() as u64, bytes as u64);
        decided.check_room(held, by.is_some())?;
        // A commit that changes nothing syncs nothing either.
        let changes = !decided.kept.is_empty();
        for document in decided.kept {
            self.present.revision += 1;
            let revision = self.present.revision;
            let key = document.key.clone();
            self.present.documents.insert(key, (document, revision));
        }
        if changes {
            self.sync();
        }
        Ok(JobReply::DocumentsNoted {
            late: decided.late,
            written: decided.written,
            overview: self.overview(),
        })
    }

    pub(super) fn documents_page(
        &self,
        buckets: &[u16],
        after: Option<&Key>,
        limit: u32,
    ) -> JobReply {
        let limit = (limit as usize).clamp(1, DOCUMENTS_AT_ONCE_MAX);
        let place = |key: &Key| (key.bucket(), key.clone());
        let mut there: Vec<&Document> = (self.documents())
            .filter(|document| buckets.contains(&document.key.bucket()))
            .filter(|document| after.is_none_or(|after| place(&document.key) > place(after)))
            .collect();
        there.sort_by_key(|document| place(&document.key));
        let (mut documents, mut bytes) = (Vec::new(), 0);
        let mut next = None;
        for document in there {
            if documents.len() == limit || bytes >= PAGE_BYTES_MAX / 2 {
                next = documents.last().map(|last: &Document| last.key.clone());
                break;
            }
            bytes += document.weight();
            documents.push(document.clone());
        }
        JobReply::Documents { documents, next }
    }

    pub(super) fn document_sums(&self) -> JobReply {
        let mut buckets = vec![Bucket::default(); DOCUMENTS_BUCKETS];
        for document in self.documents() {
            buckets[usize::from(document.key.bucket())].insert(document);
        }
        let sums = documents::sums((0..).zip(buckets));
        JobReply::DocumentSums { sums }
    }

    pub(super) fn documents_changed(&self) -> impl Iterator<Item = (u64, Change)> {
        let all = self.present.documents.values();
        all.map(|(document, revision)| (*revision, Change::Wrote(document.clone())))
    }
}
