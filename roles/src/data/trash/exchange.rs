//! The exchange of marks: each data node compares a digest of all its marks with each other data node
//! in turn, and sends its marks to those that have others.
//!
//! The other node keeps what outranks its own, and answers with what outranks those that came. It
//! sends its other marks in its own turn.

use alloc::vec::Vec;

use super::{Trash, partners};
use crate::contract::id::{NodeId, SongId};
use crate::contract::job::{JobReply, LibraryJob};
use crate::contract::limits::MARKS_MAX;
use crate::contract::message::Message;
use crate::contract::node::Peer;
use crate::contract::record::Record;
use crate::contract::trash::Mark;
use crate::contract::upkeep::Upkeep;
use crate::cx::Cx;
use crate::data::Others;
use crate::mutants::CopyMutant;
use crate::purpose::trash::{JobFor, Step};
use crate::purpose::{Asked, Ordered};
use crate::requests::{Policy, Reply};

impl Trash {
    /// Begins the next comparison, if one is due and none is under way.
    pub(super) fn compare(&mut self, cx: &mut Cx<'_>, others: Others<'_>) {
        let nodes = partners(&others).map(|record| record.node).collect();
        if self.mutants.has(CopyMutant::NeverComparesMarks) {
            return self.exchange.pass_over(cx.now);
        }
        if let Some(next) = self.exchange.next(cx.now, nodes) {
            cx.run(
                Ordered::Trash(JobFor::Digest(next)),
                LibraryJob::MarksDigest,
            );
        }
    }

    pub(super) fn on_digest(
        &mut self,
        cx: &mut Cx<'_>,
        node: NodeId,
        reply: &JobReply,
        others: Others<'_>,
    ) {
        let to = partner(node, &others);
        if let (JobReply::MarksDigest { digest }, Some(to)) = (reply, to) {
            let question = Upkeep::CompareMarks { digest: *digest };
            if ask(cx, to, question, Step::Compare(node)) {
                return;
            }
        }
        self.exchange.end(node);
    }

    pub(super) fn on_compared(&mut self, cx: &mut Cx<'_>, node: NodeId, reply: Reply) {
        if let Some(Message::Upkeep(Upkeep::Alike { alike: false })) = reply.message() {
            return push(cx, node, None);
        }
        self.exchange.end(node);
    }

    pub(super) fn on_page(
        &mut self,
        cx: &mut Cx<'_>,
        node: NodeId,
        reply: JobReply,
        others: Others<'_>,
    ) {
        let to = partner(node, &others);
        if let (JobReply::Marks { marks, next }, Some(to)) = (reply, to)
            && !marks.is_empty()
            && ask(cx, to, Upkeep::Note { marks }, Step::Push(node, next))
        {
            return;
        }
        self.exchange.end(node);
    }

    pub(super) fn on_pushed(
        &mut self,
        cx: &mut Cx<'_>,
        node: NodeId,
        next: Option<SongId>,
        noted: Option<(Vec<Mark>, Vec<SongId>)>,
    ) {
        let went = noted.is_some();
        if let Some((newer, gone)) = noted {
            self.learn(cx, newer, gone);
        }
        match next {
            Some(after) if went => push(cx, node, Some(after)),
            _ => self.exchange.end(node),
        }
    }
}

fn push(cx: &mut Cx<'_>, node: NodeId, after: Option<SongId>) {
    let limit = MARKS_MAX as u32;
    let job = LibraryJob::Marks { after, limit };
    cx.run(Ordered::Trash(JobFor::Push(node)), job);
}

fn partner<'a>(node: NodeId, others: &Others<'a>) -> Option<&'a Record> {
    partners(others).find(|record| record.node == node)
}

fn ask(cx: &mut Cx<'_>, to: &Record, question: Upkeep, step: Step) -> bool {
    let to = [Peer::Node(to.address)].into();
    let question = Message::Upkeep(question);
    cx.ask(Asked::Trash(step), to, question, Policy::ONCE)
        .is_some()
}
