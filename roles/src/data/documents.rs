//! The documents of listeners on a data node ([`crate::contract::document`] has the order in which they
//! merge).
//!
//! What a client writes is durable here before any other data node is told. The answer goes out when a
//! second data node has it, too, or none can take it, and when the routers that keep up know it: what
//! was written through one node is read through any other. All data nodes keep all documents; those
//! that missed a write find it by comparing digests.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use super::answers::{refuse_fault, set_aside};
use super::exchange::Exchange;
use super::{Data, Others};
use crate::contract::document::{Document, Key, Play, fault_of, is_ahead};
use crate::contract::id::NodeId;
use crate::contract::job::{JobReply, LibraryJob};
use crate::contract::limits::{DOCUMENTS_AT_ONCE_MAX, DOCUMENTS_BUCKETS};
use crate::contract::message::{Message, Refusal};
use crate::contract::node::{Asker, Outbox, Peer};
use crate::contract::record::{Features, Record};
use crate::contract::time::Time;
use crate::contract::upkeep::Upkeep;
use crate::cx::Cx;
use crate::mutants::{DocumentMutant, DocumentMutants};
use crate::purpose::documents::{JobFor, Step};
use crate::purpose::{Asked, Ordered};
use crate::requests::{Policy, Reply};

/// Writes under way. A further one is refused as busy.
pub(super) const WRITES_MAX: usize = 256;

/// Data nodes told of one write; the others learn of it by the comparison.
const TOLD_MAX: usize = 32;

/// A write passed on. The answer waits for a writer thread and one sync.
const TELL: Policy = Policy {
    deadline: Duration::from_millis(1000),
    attempt: Duration::from_millis(1000),
    rounds: 1,
};

/// What clients write, and the comparison with the other data nodes.
#[derive(Debug)]
pub(super) struct Writes {
    under_way: BTreeMap<u64, Write>,
    count: u64,
    exchange: Exchange,
    /// The buckets that are being sent to the node that is compared with.
    sending: Vec<u16>,
    mutants: DocumentMutants,
}

/// What a client has written, durable here.
#[derive(Debug)]
struct Write {
    asker: Asker,
    /// The library's revision with it.
    revision: u64,
    /// Nodes told that have not answered.
    open: usize,
    /// A node told refuses it, because its clock is ahead.
    ahead: bool,
}

impl Writes {
    /// No writes yet. Documents are compared once per `compare_every`.
    pub(super) fn new(compare_every: Duration, mutants: DocumentMutants) -> Self {
        Writes {
            under_way: BTreeMap::new(),
            count: 0,
            exchange: Exchange::new(compare_every),
            sending: Vec::new(),
            mutants,
        }
    }

    /// Writes that are durable here and not answered.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// The library that had these writes is set aside: each client hears it, and writes again.
    pub(super) fn refuse(&mut self, out: &mut Outbox) {
        for write in core::mem::take(&mut self.under_way).into_values() {
            out.answer(write.asker, set_aside());
        }
    }

    /// When the next comparison is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.exchange.deadline()
    }

    /// Compares with all other nodes once more, because this one is about to leave.
    pub(super) fn hand_over(&mut self, now: Time) {
        self.exchange.start_over(now);
    }

    /// Whether the other nodes have been sent what they lacked since.
    pub(super) fn is_handed_over(&self) -> bool {
        self.exchange.has_compared() && self.under_way.is_empty()
    }

    fn on_sums(&mut self, cx: &mut Cx<'_>, node: NodeId, reply: JobReply, others: Others<'_>) {
        if let (JobReply::DocumentSums { sums }, Some(to)) = (reply, partner(node, &others)) {
            let question = Upkeep::CompareDocuments { sums };
            if ask(cx, to, question, Step::Compare(node), Policy::ONCE) {
                return;
            }
        }
        self.exchange.end(node);
    }

    fn on_differs(&mut self, cx: &mut Cx<'_>, node: NodeId, reply: Reply) {
        if let Some(Message::Upkeep(Upkeep::Differ { buckets })) = reply.message()
            && !buckets.is_empty()
            && buckets.len() <= DOCUMENTS_BUCKETS
        {
            self.sending = BTreeSet::from_iter(buckets).into_iter().collect();
            return self.push(cx, node, None);
        }
        self.exchange.end(node);
    }

    fn push(&mut self, cx: &mut Cx<'_>, node: NodeId, after: Option<Key>) {
        let job = LibraryJob::Documents {
            buckets: self.sending.clone(),
            after,
            limit: DOCUMENTS_AT_ONCE_MAX as u32,
        };
        cx.run(Ordered::Documents(JobFor::Push(node)), job);
    }

    fn on_page(&mut self, cx: &mut Cx<'_>, node: NodeId, reply: JobReply, others: Others<'_>) {
        if let (
            JobReply::Documents {
                mut documents,
                next,
            },
            Some(to),
        ) = (reply, partner(node, &others))
        {
            if self.mutants.has(DocumentMutant::SendsNoDeletions) {
                documents.retain(|document| document.body.is_some());
            }
            let question = Upkeep::NoteDocuments { documents };
            if ask(cx, to, question, Step::Push(node, next), Policy::ONCE) {
                return;
            }
        }
        self.exchange.end(node);
    }

    fn on_pushed(&mut self, cx: &mut Cx<'_>, node: NodeId, next: Option<Key>, reply: Reply) {
        let went = matches!(
            reply.message(),
            Some(Message::Upkeep(Upkeep::DocumentsNoted { .. }))
        );
        match next {
            Some(after) if went => self.push(cx, node, Some(after)),
            _ => self.exchange.end(node),
        }
    }
}

impl Data {
    /// A client has written something.
    pub(super) fn on_write(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        (documents, mut plays): (Vec<Document>, Vec<Play>),
        others: Others<'_>,
    ) {
        if self.writes.mutants.has(DocumentMutant::CountsTwice) {
            let token = |play: &Play| play.token ^ 1;
            let again = plays.clone().into_iter();
            plays.extend(again.map(|play| Play {
                token: token(&play),
                ..play
            }));
        }
        if let Some(why) = fault_of(&documents, &plays) {
            return self.refuse_doubted(cx, asker, why.into());
        }
        if self.is_written_ahead(&documents, &plays, others.unix_ms) {
            let why = "the clock of the router is more than five minutes ahead of this data node's: \
                       set the clocks of both machines";
            return cx.out.refuse(asker, Refusal::Invalid(why.into()));
        }
        if self.writes.under_way.len() >= WRITES_MAX {
            let retry_after_ms = 100;
            return cx.out.refuse(asker, Refusal::Busy { retry_after_ms });
        }
        let by = Some(others.own.node);
        let job = LibraryJob::NoteDocuments {
            documents,
            plays,
            by,
        };
        cx.run(Ordered::Documents(JobFor::Write(asker)), job);
    }

    /// Whether a clock is so far ahead that it would outrank all that is written in the meantime.
    fn is_written_ahead(&self, documents: &[Document], plays: &[Play], unix_ms: u64) -> bool {
        let clocks = documents.iter().map(|document| document.version.clock);
        let latest = clocks.chain(plays.iter().map(|play| play.clock)).max();
        let trusts = self.writes.mutants.has(DocumentMutant::TrustsAnyClock);
        !trusts && latest.is_some_and(|clock| is_ahead(clock, unix_ms))
    }

    /// Another data node sends documents. Those whose clocks are ahead are left out.
    pub(super) fn on_note_documents(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        mut documents: Vec<Document>,
        others: Others<'_>,
    ) {
        if documents.is_empty() {
            let noted = Upkeep::DocumentsNoted { ahead: 0 };
            return cx.out.answer(asker, Message::Upkeep(noted));
        }
        if let Some(why) = fault_of(&documents, &[]) {
            return self.refuse_doubted(cx, asker, why.into());
        }
        let before = documents.len();
        if !self.writes.mutants.has(DocumentMutant::TrustsAnyClock) {
            documents.retain(|document| !is_ahead(document.version.clock, others.unix_ms));
        }
        let ahead = u32::try_from(before - documents.len()).unwrap_or(u32::MAX);
        let job = LibraryJob::NoteDocuments {
            documents,
            plays: Vec::new(),
            by: None,
        };
        cx.run(Ordered::Documents(JobFor::Merge(asker, ahead)), job);
    }

    /// Another data node asks where its documents differ from those here.
    pub(super) fn on_compare_documents(&mut self, cx: &mut Cx<'_>, asker: Asker, sums: Vec<u64>) {
        if sums.len() != DOCUMENTS_BUCKETS {
            let why = alloc::format!("documents are compared in {DOCUMENTS_BUCKETS} buckets");
            return self.refuse_doubted(cx, asker, why);
        }
        let purpose = JobFor::Differ(asker, sums);
        cx.run(Ordered::Documents(purpose), LibraryJob::DocumentSums);
    }

    /// Takes the end of a question about documents.
    pub(super) fn conclude_documents(
        &mut self,
        cx: &mut Cx<'_>,
        step: Step,
        reply: Reply,
        _others: Others<'_>,
    ) {
        match step {
            Step::Tell(number) => self.on_write_told(cx, number, reply),
            Step::Compare(node) => self.writes.on_differs(cx, node, reply),
            Step::Push(node, next) => self.writes.on_pushed(cx, node, next, reply),
        }
    }

    /// Takes the reply of a job about documents.
    pub(super) fn on_documents_done(
        &mut self,
        cx: &mut Cx<'_>,
        purpose: JobFor,
        reply: JobReply,
        others: Others<'_>,
    ) {
        if let JobReply::DocumentsNoted { overview, .. } = &reply {
            self.change(cx.now, *overview);
        }
        match purpose {
            JobFor::Write(asker) => self.on_write_done(cx, asker, reply, others),
            JobFor::Merge(asker, ahead) => {
                let JobReply::DocumentsNoted { .. } = reply else {
                    return cx.out.refuse(asker, refuse_fault(reply));
                };
                let noted = Upkeep::DocumentsNoted { ahead };
                cx.out.answer(asker, Message::Upkeep(noted));
            }
            JobFor::Differ(asker, theirs) => {
                let JobReply::DocumentSums { sums } = reply else {
                    return cx.out.refuse(asker, refuse_fault(reply));
                };
                let buckets = self.differing(&sums, &theirs);
                let differ = Upkeep::Differ { buckets };
                cx.out.answer(asker, Message::Upkeep(differ));
            }
            JobFor::Sums(node) => self.writes.on_sums(cx, node, reply, others),
            JobFor::Push(node) => self.writes.on_page(cx, node, reply, others),
        }
    }

    fn differing(&self, ours: &[u64], theirs: &[u64]) -> Vec<u16> {
        let looked_at = if self.writes.mutants.has(DocumentMutant::ComparesHalf) {
            DOCUMENTS_BUCKETS / 2
        } else {
            DOCUMENTS_BUCKETS
        };
        let pairs = (0..).zip(ours.iter().zip(theirs)).take(looked_at);
        let differ = pairs.filter(|(_, (ours, theirs))| ours != theirs);
        differ.map(|(bucket, _)| bucket).collect()
    }

    /// Begins the next comparison of documents, if one is due.
    pub(super) fn compare_documents(&mut self, cx: &mut Cx<'_>, others: Others<'_>) {
        if self.overview.is_none() {
            return;
        }
        if self
            .writes
            .mutants
            .has(DocumentMutant::NeverComparesDocuments)
        {
            return self.writes.exchange.pass_over(cx.now);
        }
        let nodes = partners(&others).map(|record| record.node).collect();
        if let Some(next) = self.writes.exchange.next(cx.now, nodes) {
            let purpose = JobFor::Sums(next);
            cx.run(Ordered::Documents(purpose), LibraryJob::DocumentSums);
        }
    }

    /// What a client has written is durable here, or something later is here already.
    fn on_write_done(
        &mut self,
        cx: &mut Cx<'_>,
        asker: Asker,
        reply: JobReply,
        others: Others<'_>,
    ) {
        let JobReply::DocumentsNoted {
            late,
            written,
            overview,
        } = reply
        else {
            return cx.out.refuse(asker, refuse_fault(reply));
        };
        let late = late.filter(|_| !self.writes.mutants.has(DocumentMutant::HidesTheLater));
        if let Some(clock) = late {
            let late = Upkeep::Late { clock };
            return cx.out.answer(asker, Message::Upkeep(late));
        }
        if self.writes.mutants.has(DocumentMutant::WritesAlone) {
            return self.answer_write(cx, asker, overview.revision, 2);
        }
        self.writes.count += 1;
        let number = self.writes.count;
        let open = self.tell(cx, written, number, others);
        if open == 0 {
            return self.answer_write(cx, asker, overview.revision, 1);
        }
        let write = Write {
            asker,
            revision: overview.revision,
            open,
            ahead: false,
        };
        self.writes.under_way.insert(number, write);
    }

    /// Sends what was written to the other data nodes. Returns how many were told.
    fn tell(
        &self,
        cx: &mut Cx<'_>,
        mut documents: Vec<Document>,
        number: u64,
        others: Others<'_>,
    ) -> usize {
        if self.writes.mutants.has(DocumentMutant::TellsTheFirst) {
            documents.truncate(1);
        }
        let mut open = 0;
        for record in partners(&others).take(TOLD_MAX) {
            let documents = documents.clone();
            let question = Upkeep::NoteDocuments { documents };
            open += usize::from(ask(cx, record, question, Step::Tell(number), TELL));
        }
        open
    }

    /// Another node has kept what was written, or has not.
    fn on_write_told(&mut self, cx: &mut Cx<'_>, number: u64, reply: Reply) {
        let Some(write) = self.writes.under_way.get_mut(&number) else {
            return; // A first node was enough.
        };
        write.open = write.open.saturating_sub(1);
        let kept = match reply.message() {
            Some(Message::Upkeep(Upkeep::DocumentsNoted { ahead })) => {
                write.ahead |= ahead > 0;
                ahead == 0
            }
            _ => false,
        };
        if !kept && write.open > 0 {
            return;
        }
        let (asker, revision, ahead) = (write.asker, write.revision, write.ahead);
        self.writes.under_way.remove(&number);
        if ahead && !kept {
            let why = "the clock of this data node is more than five minutes ahead of the others': \
                       set it";
            return cx.out.refuse(asker, Refusal::Invalid(why.into()));
        }
        self.answer_write(cx, asker, revision, 1 + u8::from(kept));
    }

    /// The routers are still to hear of it.
    fn answer_write(&mut self, cx: &mut Cx<'_>, asker: Asker, revision: u64, copies: u8) {
        let written = Message::Upkeep(Upkeep::Written { copies });
        if self.writes.mutants.has(DocumentMutant::AnswersUntold) {
            return cx.out.answer(asker, written);
        }
        (self.acknowledgements).await_routers(cx.now, asker, (written, revision));
    }
}

/// The data nodes that are told of documents: those that know them.
fn partners<'a>(others: &Others<'a>) -> impl Iterator<Item = &'a Record> {
    let all = others.data.iter().chain(others.leaving);
    all.filter(|record| record.features.has(Features::DOCUMENTS))
}

fn partner<'a>(node: NodeId, others: &Others<'a>) -> Option<&'a Record> {
    partners(others).find(|record| record.node == node)
}

fn ask(cx: &mut Cx<'_>, to: &Record, question: Upkeep, step: Step, policy: Policy) -> bool {
    let to = [Peer::Node(to.address)].into();
    let question = Message::Upkeep(question);
    cx.ask(Asked::Documents(step), to, question, policy)
        .is_some()
}
