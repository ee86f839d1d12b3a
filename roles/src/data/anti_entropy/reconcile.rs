//! The second half of a round: reads who holds which songs, partition by partition, and decides
//! which songs to copy, to remove and to let go.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use super::diff::Diff;
use super::{AGAIN, AntiEntropy, JobFor, Round, Stage, Step, Stuck, UNFINISHED, What};
use crate::contract::id::{NodeId, SongId};
use crate::contract::job::LibraryJob;
use crate::contract::limits::{PAGE_IDS_MAX, REMOVALS_MAX};
use crate::contract::partition::Partition;
use crate::contract::time::Time;
use crate::contract::upkeep::Upkeep;
use crate::cx::Cx;
use crate::data::Others;
use crate::data::placement::sender;
use crate::hash_ring::mix;
use crate::mutants::{CopyMutant, CopyMutants};
use crate::purpose::Ordered;

/// Partitions reconciled at once: bounds the lists in memory.
pub(in crate::data) const PARTITIONS_AT_ONCE: usize = 8;

/// Rereads of this node's own lists in one round. A disk that is busy or fails once costs a reread,
/// and does not leave its partition to a later round.
const AGAIN_MAX: u32 = 16;

/// Copies after which a round opens no further partition: the next round looks for the rest.
const COPIES_MAX: usize = 1024;

type Ids = BTreeSet<SongId>;

/// The lists of a round, and what they have shown so far.
#[derive(Debug)]
pub(super) struct Reconcile {
    pub(super) round: Round,
    /// Partitions still to be reconciled. Those in which the most owners differ come first.
    queue: VecDeque<Partition>,
    /// The owners whose digest differs from this node's, by partition.
    differing: BTreeMap<u16, Vec<NodeId>>,
    answered: BTreeSet<NodeId>,
    open: BTreeMap<u16, Lists>,
    copies: usize,
    /// Rereads of this node's own lists so far.
    again: u32,
    /// Songs of this node that an owner lacks, or may lack.
    unplaced: u64,
    /// A checksum of the missing copies (song and owner), to see whether two rounds miss the same.
    missing: u64,
    /// The list of at least one owner, or of this node, is not known.
    unfinished: bool,
    /// The round reached `COPIES_MAX` with partitions left.
    cut_short: bool,
}

/// What this node and the owners asked hold of one partition.
#[derive(Debug, Default)]
struct Lists {
    mine: Holding,
    mine_read: bool,
    theirs: BTreeMap<NodeId, Holding>,
    /// Owners whose list has not arrived to its end.
    asked: BTreeSet<NodeId>,
    failed: bool,
}

#[derive(Clone, Debug, Default)]
struct Holding {
    songs: Ids,
    gone: Ids,
    /// Where the next page begins; each page must end later than the one before.
    last: Option<SongId>,
}

/// A page of a list: songs, tombstones, and where the next page begins.
pub(super) type Page = (Vec<SongId>, Vec<SongId>, Option<SongId>);

impl AntiEntropy {
    /// The digests are compared. Queues the partitions that differ, and those that this node holds
    /// without owning them.
    pub(super) fn gather(&mut self, cx: &mut Cx<'_>, compare: Diff, others: Others<'_>) {
        let Diff {
            round,
            sums,
            answered,
            differing,
            ..
        } = compare;
        let all_answered = others.data.iter().all(|r| answered.contains(&r.node));
        let foreign = |p: &Partition| sums.holds(*p) && !round.placement.is_mine(*p);
        let mut queue: Vec<Partition> = Partition::all()
            .filter(|p| differing.contains_key(&p.number()) || foreign(p))
            .collect();
        let lacking = |p: &Partition| differing.get(&p.number()).map_or(0, Vec::len);
        queue.sort_by_key(|p| core::cmp::Reverse(lacking(p)));
        self.stage = Stage::Gathering(Reconcile {
            round,
            queue: queue.into(),
            differing,
            answered,
            open: BTreeMap::new(),
            copies: 0,
            again: 0,
            unplaced: 0,
            missing: 0,
            unfinished: !all_answered,
            cut_short: false,
        });
        self.go_on(cx, others);
    }

    /// Opens further partitions; ends the round when no partition is left.
    fn go_on(&mut self, cx: &mut Cx<'_>, others: Others<'_>) {
        loop {
            let Stage::Gathering(gather) = &mut self.stage else {
                return;
            };
            if gather.open.len() >= PARTITIONS_AT_ONCE {
                return;
            }
            let Some(partition) = gather.next() else {
                break;
            };
            gather.open.insert(partition.number(), Lists::default());
            self.open(cx, partition, others);
        }
        if let Stage::Gathering(gather) = &self.stage
            && gather.open.is_empty()
        {
            self.end_round(cx.now);
        }
    }

    fn end_round(&mut self, now: Time) {
        let Stage::Gathering(gather) = &self.stage else {
            return;
        };
        let (copies, cut_short) = (gather.copies, gather.cut_short);
        let unfinished = gather.unfinished || cut_short;
        let found = (gather.unplaced, gather.round.revision);
        self.unplaced = (!unfinished).then_some(found);
        match self.unplaced {
            Some((0, _)) => self.stuck = Stuck::default(),
            Some(_) if self.stuck.missing == gather.missing => self.stuck.rounds += 1,
            Some(_) => {
                self.stuck = Stuck {
                    missing: gather.missing,
                    rounds: 1,
                };
            }
            None => (), // An unfinished round proves nothing about missing copies.
        }
        let pause = if cut_short {
            // There is more to copy for certain, so nothing but the copies already ordered delays
            // the next round.
            Duration::ZERO
        } else if copies > 0 || gather.round.draining {
            AGAIN
        } else if unfinished {
            UNFINISHED
        } else {
            self.config.every
        };
        self.rest(now, pause);
    }

    fn open(&mut self, cx: &mut Cx<'_>, partition: Partition, others: Others<'_>) {
        let Stage::Gathering(gather) = &mut self.stage else {
            return;
        };
        let number = partition.number();
        let round = gather.round.number;
        let asked = gather.differing.get(&number).cloned().unwrap_or_default();
        if let Some(lists) = gather.open.get_mut(&number) {
            lists.asked = asked.iter().copied().collect();
        }
        self.read_own(cx, round, partition, None);
        for node in asked {
            self.ask_holdings(cx, node, partition, None, others);
        }
    }

    fn read_own(
        &mut self,
        cx: &mut Cx<'_>,
        round: u64,
        partition: Partition,
        after: Option<SongId>,
    ) {
        let job = LibraryJob::PartitionSongs {
            partition,
            after,
            limit: PAGE_IDS_MAX as u32,
        };
        let purpose = JobFor::Songs(round, partition.number());
        cx.run(Ordered::AntiEntropy(purpose), job);
    }

    fn ask_holdings(
        &mut self,
        cx: &mut Cx<'_>,
        with: NodeId,
        partition: Partition,
        after: Option<SongId>,
        others: Others<'_>,
    ) {
        let Stage::Gathering(gather) = &self.stage else {
            return;
        };
        let (round, view) = (gather.round.number, gather.round.view);
        let partition = partition.number();
        let words = Upkeep::Holdings {
            view,
            partition,
            after,
        };
        let what = What::Holdings(partition);
        let step = Step { round, with, what };
        if !self.ask(cx, step, words, others)
            && let Stage::Gathering(gather) = &mut self.stage
            && let Some(lists) = gather.open.get_mut(&partition)
        {
            lists.failed = true;
            lists.asked.remove(&with);
        }
    }

    /// Takes a page of this node's own list.
    pub(super) fn on_own(
        &mut self,
        cx: &mut Cx<'_>,
        (number, partition): (u64, u16),
        page: Page,
        others: Others<'_>,
    ) {
        if !self.is_present(number) {
            return;
        }
        let Stage::Gathering(gather) = &mut self.stage else {
            return;
        };
        let Some(lists) = gather.open.get_mut(&partition) else {
            return;
        };
        let next = lists.mine.add(page);
        lists.mine_read = next.is_none();
        if let (Some(after), Some(partition)) = (next, Partition::from_number(partition)) {
            return self.read_own(cx, number, partition, Some(after));
        }
        self.decide_if_known(cx, partition, others);
    }

    /// A page of this node's own list could not be read. Reads it again; after `AGAIN_MAX` rereads
    /// nothing is concluded from that partition.
    pub(super) fn on_unread(&mut self, cx: &mut Cx<'_>, number: u16, others: Others<'_>) {
        let Stage::Gathering(gather) = &mut self.stage else {
            return;
        };
        let Some(lists) = gather.open.get_mut(&number) else {
            return;
        };
        gather.again += 1;
        match Partition::from_number(number) {
            Some(partition) if gather.again <= AGAIN_MAX => {
                let (round, after) = (gather.round.number, lists.mine.last);
                self.read_own(cx, round, partition, after);
            }
            Some(_) | None => {
                (lists.mine_read, lists.failed) = (true, true);
                self.decide_if_known(cx, number, others);
            }
        }
    }

    /// Takes a page of an owner's list. `None`: the owner did not answer.
    pub(super) fn on_held(
        &mut self,
        cx: &mut Cx<'_>,
        (node, number): (NodeId, u16),
        words: Option<Upkeep>,
        others: Others<'_>,
    ) {
        let Stage::Gathering(gather) = &mut self.stage else {
            return;
        };
        let Some(lists) = gather.open.get_mut(&number) else {
            return;
        };
        let partition = Partition::from_number(number);
        match (words, partition) {
            (Some(Upkeep::Held { songs, gone, next }), Some(partition))
                if is_page_of(partition, &songs, &gone, next) && lists.goes_on(node, next) =>
            {
                let next = lists
                    .theirs
                    .entry(node)
                    .or_default()
                    .add((songs, gone, next));
                if let Some(after) = next {
                    return self.ask_holdings(cx, node, partition, Some(after), others);
                }
            }
            (words, _) => {
                lists.failed = true;
                if words.is_some() {
                    self.orders.doubted.push(node);
                }
            }
        }
        lists.asked.remove(&node);
        self.decide_if_known(cx, number, others);
    }

    fn decide_if_known(&mut self, cx: &mut Cx<'_>, number: u16, others: Others<'_>) {
        let Stage::Gathering(gather) = &mut self.stage else {
            return;
        };
        if others.owners.view() != gather.round.view {
            return self.give_up(cx.now); // The owners have changed since the round began.
        }
        let known = |lists: &Lists| lists.mine_read && lists.asked.is_empty();
        if !gather.open.get(&number).is_some_and(known) {
            return;
        }
        let Some(lists) = gather.open.remove(&number) else {
            return;
        };
        let Some(partition) = Partition::from_number(number) else {
            return;
        };
        let mutants = self.config.mutants;
        let decided = gather.decide(partition, &lists, others.own.node, mutants);
        gather.copies += decided.copies.len();
        let (round, revision) = (gather.round.number, gather.round.revision);
        self.orders.copies.extend(decided.copies);
        if !decided.gone_here.is_empty() {
            self.change(cx, decided.gone_here, |songs| LibraryJob::RemoveSongs {
                songs,
            });
        }
        if !decided.let_go.is_empty() {
            let drop = |songs| LibraryJob::DropSongs {
                songs,
                until: revision,
            };
            self.change(cx, decided.let_go, drop);
        }
        for (with, songs) in decided.gone_there {
            for page in songs.chunks(REMOVALS_MAX) {
                let step = Step {
                    round,
                    with,
                    what: What::Bury,
                };
                let (songs, copy) = (page.to_vec(), true);
                self.ask(cx, step, Upkeep::Bury { songs, copy }, others);
            }
        }
        self.go_on(cx, others);
    }

    fn change(
        &mut self,
        cx: &mut Cx<'_>,
        songs: Vec<SongId>,
        job: impl Fn(Vec<SongId>) -> LibraryJob,
    ) {
        for page in songs.chunks(REMOVALS_MAX) {
            cx.run(Ordered::AntiEntropy(JobFor::Change), job(page.to_vec()));
        }
    }
}

/// What follows from the lists of one partition.
#[derive(Debug, Default)]
struct Decided {
    copies: Vec<(SongId, NodeId)>,
    /// Songs with a tombstone on an owner and none here.
    gone_here: Vec<SongId>,
    /// Songs with a tombstone here, and the owner that lacks that tombstone.
    gone_there: Vec<(NodeId, Vec<SongId>)>,
    /// Songs that every owner has and that this node need not keep.
    let_go: Vec<SongId>,
}

impl Reconcile {
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    fn next(&mut self) -> Option<Partition> {
        // The bound is checked between partitions: a partition that is open is decided as a whole.
        if self.copies >= COPIES_MAX {
            self.cut_short |= !self.queue.is_empty();
            self.queue.clear();
        }
        self.queue.pop_front()
    }

    fn decide(
        &mut self,
        partition: Partition,
        lists: &Lists,
        me: NodeId,
        mutants: CopyMutants,
    ) -> Decided {
        let placement = &self.round.placement;
        let owners = placement.others(partition);
        // When the list of any owner is unknown, no copy is sent and no song is let go: the owner
        // may have the song, and it may lack it.
        let unknown = |node: &NodeId| !self.answered.contains(node);
        let certain = !lists.failed && !owners.iter().any(unknown);
        // An owner that was not asked for its list has the same digest as this node, and so the
        // same songs.
        let theirs = |node: &NodeId| lists.theirs.get(node).unwrap_or(&lists.mine);
        let mut decided = Decided::default();
        // Removals spread even when a list is unknown: a tombstone holds whatever the others have.
        let mut gone: Ids = lists.mine.gone.clone();
        for node in &owners {
            gone.extend(&theirs(node).gone);
            let missing = lists.mine.gone.difference(&theirs(node).gone);
            let missing: Vec<SongId> = missing.copied().collect();
            if !missing.is_empty() {
                decided.gone_there.push((*node, missing));
            }
        }
        let here = |song: &&SongId| !lists.mine.gone.contains(song);
        decided.gone_here = gone.iter().filter(here).copied().collect();
        // Another node may have given up on a dead owner earlier, and count on this node's copy.
        let mine = placement.may_be_mine(partition);
        for song in lists.mine.songs.difference(&gone) {
            let has = |node: &&NodeId| theirs(node).songs.contains(song);
            let mut holders: Vec<NodeId> = owners.iter().filter(has).copied().collect();
            let lacking = owners.iter().filter(|node| !has(node));
            let lacking: Vec<NodeId> = lacking.copied().collect();
            holders.push(me);
            // Such a song keeps no leaver. It is sent nevertheless: its fragment may have been
            // replaced since it was found bad.
            let unreadable = self.round.unreadable.contains(song);
            if (!lacking.is_empty() || !certain) && !unreadable {
                self.unplaced += 1;
            }
            let stands_for = |node: &NodeId| mix((song.0 ^ node.0) as u64);
            self.missing ^= lacking.iter().map(stands_for).fold(0, |all, one| all ^ one);
            // Owners that hold the song draw the same sender, so each does not send its own copy.
            let mine_to_send = self.round.sends_all || sender(song.0, &holders) == Some(me);
            let send = certain && mine_to_send;
            let new = |node: &&NodeId| theirs(node).songs.is_empty();
            let passed_over =
                |node: &&NodeId| mutants.has(CopyMutant::GivesNewcomersNothing) && new(node);
            if send {
                let to = lacking.iter().filter(|node| !passed_over(node));
                decided.copies.extend(to.map(|node| (*song, *node)));
            }
            let kept = mutants.has(CopyMutant::LetsGoUnconfirmed)
                || (certain && lacking.is_empty() && !owners.is_empty());
            let kept = kept && !mutants.has(CopyMutant::NeverLetsGo);
            if kept && !mine && !self.round.draining {
                decided.let_go.push(*song);
            }
        }
        self.unfinished |= !certain;
        decided
    }
}

impl Lists {
    /// Whether a node's page ends later than the one before it, or is the last. A list that goes
    /// back would count as complete, and songs would be moved on the strength of it.
    fn goes_on(&self, node: NodeId, next: Option<SongId>) -> bool {
        let last = self.theirs.get(&node).and_then(|holding| holding.last);
        next.is_none() || next > last
    }
}

impl Holding {
    fn add(&mut self, (songs, gone, next): Page) -> Option<SongId> {
        self.songs.extend(songs);
        self.gone.extend(gone);
        let next = next.filter(|next| Some(*next) > self.last);
        self.last = next;
        next
    }
}

/// Whether a page may be believed: each id lies in the partition, the page is within its limit, and
/// a page that another follows is not empty.
fn is_page_of(
    partition: Partition,
    songs: &[SongId],
    gone: &[SongId],
    next: Option<SongId>,
) -> bool {
    let inside = |song: &SongId| Partition::of(*song) == partition;
    songs.len() + gone.len() <= PAGE_IDS_MAX
        && songs.iter().chain(gone).chain(&next).all(inside)
        && (next.is_none() || !songs.is_empty() || !gone.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::rng::Rng;
    use crate::data::anti_entropy::Config;
    use crate::data::placement::Placement;

    /// A node that begins to hand its songs over believes no round that began before: that round
    /// counts it among the owners, and would say that every song is where it belongs.
    #[test]
    fn a_leaver_starts_over() {
        let mut anti_entropy = gathering(0, 0);
        assert!(anti_entropy.is_present(1));
        anti_entropy.start_over(Time::ZERO);
        assert!(!anti_entropy.is_present(1) && !anti_entropy.all_placed(1));
        assert_eq!(anti_entropy.deadline(false), Some(Time::ZERO));
    }

    /// A peer's list that goes back is no list: nothing is concluded from it.
    #[test]
    fn a_list_that_goes_back_is_refused() {
        let (node, mut lists) = (NodeId(2), Lists::default());
        assert!(lists.goes_on(node, Some(SongId(5))), "its first page");
        let page = (Vec::new(), Vec::new(), Some(SongId(5)));
        lists.theirs.entry(node).or_default().add(page);
        assert!(lists.goes_on(node, Some(SongId(6))));
        assert!(lists.goes_on(node, None), "its last page");
        assert!(!lists.goes_on(node, Some(SongId(5))), "the same page again");
        assert!(!lists.goes_on(node, Some(SongId(4))));
    }

    fn gathering(copies: usize, left: u16) -> AntiEntropy {
        let mut anti_entropy = AntiEntropy::new(Config::default(), Rng::from_seed(1));
        let round = Round {
            view: 0,
            placement: Placement::default(),
            revision: 1,
            sends_all: false,
            draining: false,
            unreadable: BTreeSet::new(),
            number: 1,
        };
        anti_entropy.stage = Stage::Gathering(Reconcile {
            round,
            queue: (0..left).filter_map(Partition::from_number).collect(),
            differing: BTreeMap::new(),
            answered: BTreeSet::new(),
            open: BTreeMap::new(),
            copies,
            again: 0,
            unplaced: 0,
            missing: 0,
            unfinished: false,
            cut_short: false,
        });
        anti_entropy
    }

    /// Ends a round that ordered `copies` copies with `left` partitions queued; the time is when
    /// the next round begins.
    fn next_after(copies: usize, left: u16) -> (AntiEntropy, Time) {
        let (mut anti_entropy, now) = (gathering(copies, left), Time::from_secs(100));
        if let Stage::Gathering(gather) = &mut anti_entropy.stage {
            assert_eq!(gather.next(), None);
        }
        anti_entropy.end_round(now);
        let due = anti_entropy.due.expect("a round is planned");
        (anti_entropy, due)
    }

    /// A round that was cut short is followed at once by the next. A round that was not cut short
    /// waits until its copies can have arrived. Neither has seen every song in its place.
    #[test]
    fn a_round_cut_short_is_gone_on_with_at_once() {
        let now = Time::from_secs(100);
        let (anti_entropy, due) = next_after(COPIES_MAX, 9);
        assert_eq!(due, now);
        assert!(!anti_entropy.has_compared());
        assert!(next_after(COPIES_MAX, 0).1 > now);
        assert!(next_after(5, 0).1 > now);
    }

    /// Failed copies delay the next round, so that their holders are not asked again and again.
    #[test]
    fn failed_copies_put_the_next_round_off() {
        let (mut anti_entropy, due) = next_after(COPIES_MAX, 9);
        anti_entropy.hold_on(due + Duration::from_millis(300));
        let later = anti_entropy.due.expect("it is still planned");
        assert_eq!(later, due + Duration::from_millis(300) + AGAIN);
    }
}
