//! The first half of a round: finds the partitions in which this node and each owner differ.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{AntiEntropy, Round, Stage, Step, What};
use crate::contract::id::NodeId;
use crate::contract::partition::Partition;
use crate::contract::upkeep::Upkeep;
use crate::cx::Cx;
use crate::data::Others;
use crate::data::digests::{Chosen, Digests};

/// A comparison of digests under way.
#[derive(Debug)]
pub(super) struct Diff {
    pub(super) round: Round,
    pub(super) sums: Digests,
    /// The partitions of each open question, by the node asked.
    asked: BTreeMap<NodeId, Chosen>,
    /// Nodes whose digests are known in full, or that share no partition with this node.
    pub(super) answered: BTreeSet<NodeId>,
    /// The owners that differ, by partition.
    pub(super) differing: BTreeMap<u16, Vec<NodeId>>,
}

impl AntiEntropy {
    /// Takes the digests of this node's library, and asks each owner of any partition for its own.
    pub(super) fn compare(
        &mut self,
        cx: &mut Cx<'_>,
        number: u64,
        sums: Digests,
        others: Others<'_>,
    ) {
        let Stage::Loading(round) = &self.stage else {
            return;
        };
        if round.number != number {
            return;
        }
        let mut compare = Diff {
            round: round.clone(),
            sums,
            asked: BTreeMap::new(),
            answered: BTreeSet::new(),
            differing: BTreeMap::new(),
        };
        for record in others.data {
            let chosen = compare.shared_with(record.node);
            if chosen.is_empty() {
                compare.answered.insert(record.node);
                continue;
            }
            let words = Upkeep::Sums {
                view: compare.round.view,
                chosen: chosen.words(),
                each: false,
            };
            let step = Step {
                round: number,
                with: record.node,
                what: What::Groups,
            };
            if self.ask(cx, step, words, others) {
                compare.asked.insert(record.node, chosen);
            }
        }
        self.stage = Stage::Comparing(compare);
        self.gather_if_compared(cx, others);
    }

    pub(super) fn on_summed(
        &mut self,
        cx: &mut Cx<'_>,
        step: Step,
        words: Option<Upkeep>,
        others: Others<'_>,
    ) {
        let Stage::Comparing(compare) = &mut self.stage else {
            return;
        };
        let Some(chosen) = compare.asked.remove(&step.with) else {
            return;
        };
        match (&step.what, words) {
            (What::Groups, Some(Upkeep::Summed { sums })) => {
                match compare.sums.differing_groups(&chosen, &sums) {
                    Some(groups) if !groups.is_empty() => {
                        return self.ask_each(cx, step, groups, others);
                    }
                    // Only chosen groups can differ; an answer that fills any other group is no
                    // honest answer.
                    Some(_) if sums == compare.sums.by_group(&chosen) => {
                        compare.answered.insert(step.with);
                    }
                    Some(_) | None => self.orders.doubted.push(step.with),
                }
            }
            (What::Each, Some(Upkeep::Summed { sums })) => {
                match compare.sums.differing(&chosen, &sums) {
                    Some(differing) => compare.note(step.with, differing),
                    None => self.orders.doubted.push(step.with),
                }
            }
            // Without an answer nothing is known of this node, so it stays out of `answered`.
            (_, None) => (),
            (_, Some(_)) => self.orders.doubted.push(step.with),
        }
        self.gather_if_compared(cx, others);
    }

    fn ask_each(&mut self, cx: &mut Cx<'_>, step: Step, chosen: Chosen, others: Others<'_>) {
        let Stage::Comparing(compare) = &mut self.stage else {
            return;
        };
        let words = Upkeep::Sums {
            view: compare.round.view,
            chosen: chosen.words(),
            each: true,
        };
        compare.asked.insert(step.with, chosen);
        let with = step.with;
        let step = Step {
            what: What::Each,
            ..step
        };
        if !self.ask(cx, step, words, others)
            && let Stage::Comparing(compare) = &mut self.stage
        {
            compare.asked.remove(&with);
        }
        self.gather_if_compared(cx, others);
    }

    fn gather_if_compared(&mut self, cx: &mut Cx<'_>, others: Others<'_>) {
        let over = |stage: &Stage| match stage {
            Stage::Comparing(compare) => compare.asked.is_empty(),
            Stage::Resting | Stage::Loading(_) | Stage::Gathering(_) => false,
        };
        if !over(&self.stage) {
            return;
        }
        if let Stage::Comparing(compare) = core::mem::replace(&mut self.stage, Stage::Resting) {
            self.gather(cx, compare, others);
        }
    }
}

impl Diff {
    /// The partitions that this node holds and `node` owns.
    fn shared_with(&self, node: NodeId) -> Chosen {
        let placement = &self.round.placement;
        Chosen::of(|partition| {
            self.sums.holds(partition) && placement.owners(partition).contains(&node)
        })
    }

    fn note(&mut self, with: NodeId, differing: Vec<Partition>) {
        self.answered.insert(with);
        for partition in differing {
            let who = self.differing.entry(partition.number()).or_default();
            who.push(with);
        }
    }
}
