//! Intake: how a data node takes songs, uploads and copies alike, by offer, give and commit.
//!
//! Nothing of an upload is visible before its commit. A copy is answered when it is durable here.
//! An upload is answered when a second node has it, too, if one can take it, and when the routers
//! that keep up know it.

use alloc::vec::Vec;

use super::acknowledgements::Upload;
use super::answers::{answer_to, stored};
use super::{Data, Others, Purpose};
use crate::anomalies::Anomaly;
use crate::contract::id::{NodeId, SongId};
use crate::contract::job::{JobFault, JobReply, LibraryJob};
use crate::contract::limits::FRAGMENT_BYTES_MAX;
use crate::contract::message::Refusal;
use crate::contract::node::Asker;
use crate::contract::song::Manifest;
use crate::cx::Cx;
use crate::purpose::Ordered;

impl Data {
    pub(super) fn on_offer(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        manifest: Manifest,
        copy: bool,
    ) {
        if let Err(fault) = manifest.check() {
            self.anomalies.note(cx, Anomaly::Bytes, asker.sender.node);
            let why = alloc::format!("the manifest cannot be true: {fault}");
            return cx.out.refuse(asker, Refusal::Invalid(why));
        }
        let bytes = manifest.song.bytes;
        let purpose = Purpose::Offer(asker, manifest.song.id, copy, bytes);
        cx.run(Ordered::Data(purpose), LibraryJob::BeginUpload { manifest });
    }

    pub(super) fn on_give(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        song: SongId,
        index: u32,
        bytes: Vec<u8>,
    ) {
        if bytes.is_empty() || bytes.len() > FRAGMENT_BYTES_MAX {
            self.anomalies.note(cx, Anomaly::Bytes, asker.sender.node);
            let why = alloc::format!("a fragment is 1 to {FRAGMENT_BYTES_MAX} bytes");
            return cx.out.refuse(asker, Refusal::Invalid(why));
        }
        let job = LibraryJob::KeepFragment { song, index, bytes };
        cx.run(Ordered::Data(Purpose::Give(asker, song)), job);
    }

    pub(super) fn on_commit(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        (song, copy): (SongId, bool),
        others: Others<'_>,
    ) {
        let owners = (!copy).then(|| owners(song, others));
        let copies_due = owners.clone().unwrap_or_default();
        let purpose = Purpose::Commit(asker, song, owners);
        let job = LibraryJob::CommitUpload { song, copies_due };
        cx.run(Ordered::Data(purpose), job);
    }

    pub(super) fn on_begun(
        &mut self,
        cx: &mut Cx<'_>,
        (asker, song, copy): (Asker, SongId, bool),
        reply: JobReply,
        others: Others<'_>,
    ) {
        if let JobReply::Stored { .. } = reply {
            // The song is stored here already, so only the copies are left to make.
            let owners = (!copy).then(|| owners(song, others));
            return self.stored(cx, (asker, song, owners), others);
        }
        cx.out.answer(asker, answer_to(reply));
    }

    pub(super) fn on_committed(
        &mut self,
        cx: &mut Cx<'_>,
        (asker, song, owners): (Asker, SongId, Option<Vec<NodeId>>),
        reply: JobReply,
        others: Others<'_>,
    ) {
        if let JobReply::Stored { overview } = reply {
            self.change(cx.now, overview);
            return self.stored(cx, (asker, song, owners), others);
        }
        self.doubt_bytes(cx, asker, &reply);
        cx.out.answer(asker, answer_to(reply));
    }

    /// Notes an anomaly if the bytes do not match the manifest, or do not belong to any upload.
    pub(super) fn doubt_bytes(&mut self, cx: &mut Cx<'_>, asker: Asker, reply: &JobReply) {
        if let JobReply::Failed(JobFault::Damaged | JobFault::Invalid(_)) = reply {
            self.anomalies.note(cx, Anomaly::Bytes, asker.sender.node);
        }
    }

    /// The song is durable here. Answers a copy at once; an upload waits for its first copy and for
    /// the routers.
    fn stored(
        &mut self,
        cx: &mut Cx<'_>,
        (asker, song, owners): (Asker, SongId, Option<Vec<NodeId>>),
        others: Others<'_>,
    ) {
        let Some(owners) = owners else {
            return cx.out.answer(asker, stored(1));
        };
        if self.overview.is_some_and(|overview| overview.trash) {
            return self.restore_for_upload(cx, asker, song, owners);
        }
        self.wait_for_copies(cx, (asker, song, owners), others);
    }

    /// The song of an upload is durable here and in no trash.
    pub(super) fn wait_for_copies(
        &mut self,
        cx: &mut Cx<'_>,
        (asker, song, owners): (Asker, SongId, Vec<NodeId>),
        others: Others<'_>,
    ) {
        let revision = self.overview.map_or(0, |overview| overview.revision);
        let upload = Upload {
            asker,
            song,
            revision,
        };
        (self.acknowledgements).wait(cx.now, upload, owners.clone());
        let reports = self.copies.upload(cx, song, &owners, others.data);
        self.on_copies(cx, reports);
    }

    /// Answers the uploads that the prompt routers know, and those that have waited long enough.
    pub(super) fn answer_told(&mut self, cx: &mut Cx<'_>) {
        if let Some(revision) = self.acknowledgements.on_tick(cx.now) {
            self.announcer.leave_behind(revision);
        }
        (self.acknowledgements).answer(self.announcer.heard(), cx.out);
    }
}

/// The other nodes that shall have the song. Where this node takes the upload although it is not an
/// owner, all owners get their copy.
fn owners(song: SongId, others: Others<'_>) -> Vec<NodeId> {
    let mut owners = others.owners.of_song(song);
    owners.retain(|node| *node != others.own.node);
    owners
}
