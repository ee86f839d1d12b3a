//! Jobs whose replies go to peers: which one begins next, and which are refused.
//!
//! A job begins when its peer has room for the reply and the node has, too. A peer without room
//! makes only its own jobs wait: it reads slowly, and its patience is its own, but only
//! [`OWN_MAX`] of them wait. What waits for the node waits because more is asked than the node can
//! serve. A queue would then grow until every answer is late, so the node says "busy" instead: at
//! once to a peer whose oldest job has waited for [`REFUSE_AFTER`], and to a job that has waited for
//! [`WAIT_MOST`] itself (the idea is that of CoDel, Nichols and Jacobson: the time spent in a queue
//! tells a burst from an overload). Peers take turns, so that one that asks much does not displace
//! one that asks little.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use roles::contract::time::Time;

/// Once the oldest job of a peer has waited so long for the node, further ones are refused at once.
/// A burst that is served within it is no overload.
pub(crate) const REFUSE_AFTER: Duration = Duration::from_millis(250);

/// A job that has waited so long for the node is refused: another node may be faster, and whoever
/// waits hears of it while there is time to ask there.
pub(crate) const WAIT_MOST: Duration = Duration::from_secs(1);

/// Most jobs that wait for a client that has no room itself: two songs, each read ahead. What it
/// asks beyond that it does not take in time.
pub(crate) const OWN_MAX: usize = 8;

/// Most jobs that wait for one peer: all questions it may have open, with all fragments it may ask
/// for.
const PER_PEER_MAX: usize = 1024;

/// Most jobs that wait altogether: some 2 MB.
const ALL_MAX: usize = 16 * 1024;

/// Whom a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// A client, which is told when the node is busy.
    Client,
    /// A server. Copies and repairs are few, take their turns, and are never refused here.
    Server,
}

/// The jobs of one process that wait, by the peer `P` that the reply goes to.
#[derive(Debug)]
pub(crate) struct Backlog<P, J> {
    queues: BTreeMap<P, Queue<J>>,
    /// The peer whose job began last; the one behind it is next.
    last: Option<P>,
    jobs: usize,
}

#[derive(Debug)]
struct Queue<J> {
    /// Each with the moment at which it came, oldest first. Never empty.
    jobs: VecDeque<(Time, J)>,
    whom: For,
    /// When the peer itself last had no room.
    blocked_at: Time,
}

impl<P, J> Default for Backlog<P, J> {
    fn default() -> Self {
        Backlog {
            queues: BTreeMap::new(),
            last: None,
            jobs: 0,
        }
    }
}

impl<P: Copy + Ord, J> Backlog<P, J> {
    /// Adds a job, or gives it back: it is to be refused as busy. `has_room` is whether the peer
    /// has room for the reply.
    pub(crate) fn push(
        &mut self,
        now: Time,
        (peer, whom): (P, For),
        job: J,
        has_room: bool,
    ) -> Result<(), J> {
        if self.jobs >= ALL_MAX {
            return Err(job);
        }
        let queue = self.queues.entry(peer).or_insert_with(|| Queue {
            jobs: VecDeque::new(),
            whom,
            blocked_at: Time::ZERO,
        });
        if !has_room {
            queue.blocked_at = now;
        }
        let late = queue
            .waits_since()
            .is_some_and(|at| at + REFUSE_AFTER <= now);
        let most = match whom {
            For::Client if !has_room => OWN_MAX,
            For::Client | For::Server => PER_PEER_MAX,
        };
        if late || queue.jobs.len() >= most {
            return Err(job);
        }
        queue.jobs.push_back((now, job));
        self.jobs += 1;
        Ok(())
    }

    /// Notes which peers have no room themselves.
    pub(crate) fn look(&mut self, now: Time, has_room: impl Fn(P) -> bool) {
        for (peer, queue) in &mut self.queues {
            if !has_room(*peer) {
                queue.blocked_at = now;
            }
        }
    }

    /// Takes the next job that may begin: of the next peer in turn that has room.
    pub(crate) fn next(&mut self, has_room: impl Fn(P) -> bool) -> Option<(P, J)> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let upto = self.last.map_or(Bound::Unbounded, Bound::Included);
        let behind = self.queues.range((after, Bound::Unbounded));
        let before = self.queues.range((Bound::Unbounded, upto));
        let all = behind.chain(before).map(|(peer, _)| *peer);
        let peer = all.into_iter().find(|peer| has_room(*peer))?;
        self.last = Some(peer);
        Some((peer, self.take_first(peer)?))
    }

    /// Takes out the jobs that have waited for [`WAIT_MOST`]: they are to be refused as busy.
    pub(crate) fn overdue(&mut self, now: Time) -> Vec<(P, J)> {
        let late = |queue: &Queue<J>| queue.waits_since().is_some_and(|at| at + WAIT_MOST <= now);
        let peers: Vec<P> = (self.queues.iter())
            .filter(|(_, queue)| late(queue))
            .map(|(peer, _)| *peer)
            .collect();
        let mut overdue = Vec::new();
        for peer in peers {
            while self.queues.get(&peer).is_some_and(late)
                && let Some(job) = self.take_first(peer)
            {
                overdue.push((peer, job));
            }
        }
        overdue
    }

    /// When [`Backlog::overdue`] may find something.
    pub(crate) fn deadline(&self) -> Option<Time> {
        let oldest = self.queues.values().filter_map(Queue::waits_since).min();
        oldest.map(|at| at + WAIT_MOST)
    }

    /// Takes out all jobs of a peer, which is gone.
    pub(crate) fn remove(&mut self, peer: P) -> impl Iterator<Item = J> + use<P, J> {
        let queue = self.queues.remove(&peer);
        let jobs = queue.map(|queue| queue.jobs).unwrap_or_default();
        self.jobs -= jobs.len();
        jobs.into_iter().map(|(_, job)| job)
    }

    /// Whether no job waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    fn take_first(&mut self, peer: P) -> Option<J> {
        let queue = self.queues.get_mut(&peer)?;
        let (_, job) = queue.jobs.pop_front()?;
        self.jobs -= 1;
        if queue.jobs.is_empty() {
            self.queues.remove(&peer);
        }
        Some(job)
    }
}

impl<J> Queue<J> {
    /// Since when the oldest job has waited for the node, not for its peer; none if it is never
    /// refused.
    fn waits_since(&self) -> Option<Time> {
        if self.whom == For::Server {
            return None;
        }
        let (at, _) = self.jobs.front()?;
        Some((*at).max(self.blocked_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn push<P: Copy + Ord, J>(
        backlog: &mut Backlog<P, J>,
        ms: u64,
        peer: P,
        job: J,
    ) -> Result<(), J> {
        backlog.push(at(ms), (peer, For::Client), job, true)
    }

    /// What became of the questions of some peers, at a node that serves one each millisecond.
    #[derive(Default)]
    struct Course {
        served: BTreeMap<u8, u32>,
        refused: u32,
        /// Longest time until a question was served, or refused.
        longest: Duration,
        /// The same of those that were refused on arrival or later, in all.
        refused_later: u32,
    }

    /// Each peer asks so often a millisecond, for so long. The node serves one question a
    /// millisecond, to a peer for which `has_room` says so.
    fn run(millis: u64, asks: &[(u8, u32)], has_room: impl Fn(u8, u64) -> bool) -> Course {
        let (mut backlog, mut course) = (Backlog::default(), Course::default());
        for ms in 0..millis {
            let now = at(ms);
            for (peer, count) in asks {
                for _ in 0..*count {
                    course.refused += u32::from(push(&mut backlog, ms, *peer, now).is_err());
                }
            }
            backlog.look(now, |peer| has_room(peer, ms));
            if let Some((peer, came)) = backlog.next(|peer| has_room(peer, ms)) {
                *course.served.entry(peer).or_default() += 1;
                course.longest = course.longest.max(now - came);
            }
            for (_, came) in backlog.overdue(now) {
                course.refused_later += 1;
                course.longest = course.longest.max(now - came);
            }
            assert!(backlog.deadline().is_none_or(|due| due > now));
        }
        course
    }

    /// At three times what it can serve, the node is busy all the time, nobody waits longer than the
    /// bound, and nearly all that is refused is refused at once.
    #[test]
    fn an_overloaded_node_serves_what_it_can_and_refuses_the_rest_at_once() {
        let course = run(20_000, &[(1, 1), (2, 1), (3, 1)], |_, _| true);
        assert_eq!(course.served.values().sum::<u32>(), 20_000);
        assert!(course.longest <= WAIT_MOST, "{:?}", course.longest);
        assert!(course.refused_later * 20 < course.refused);
        assert!(course.refused > 38_000, "{}", course.refused);
    }

    /// A peer that asks for much takes nothing from one that asks for little.
    #[test]
    fn peers_take_turns() {
        let course = run(4_000, &[(1, 9), (2, 0), (3, 9)], |_, _| true);
        let (one, three) = (course.served[&1], course.served[&3]);
        assert!(one.abs_diff(three) <= 1, "{one} and {three}");

        let mut backlog = Backlog::default();
        for n in 0..100 {
            assert_eq!(push(&mut backlog, 0, 1, n), Ok(()));
        }
        assert_eq!(push(&mut backlog, 5, 2, 0), Ok(()));
        assert_eq!(backlog.next(|_| true), Some((1, 0)));
        assert_eq!(backlog.next(|_| true), Some((2, 0)));
        assert_eq!(backlog.next(|_| true), Some((1, 1)));
    }

    /// What waits for a peer that reads slowly is neither refused nor in the way of others.
    #[test]
    fn a_slow_reader_waits_for_itself() {
        let mut backlog = Backlog::default();
        for n in 0..3 {
            assert_eq!(push(&mut backlog, 0, 1, n), Ok(()));
        }
        for second in 1..20 {
            backlog.look(at(second * 1000), |peer| peer != 1);
            assert_eq!(backlog.overdue(at(second * 1000)), []);
            assert_eq!(push(&mut backlog, second * 1000, 2, 9), Ok(()));
            assert_eq!(backlog.next(|peer| peer != 1), Some((2, 9)));
        }
        assert_eq!(push(&mut backlog, 19_100, 1, 3), Ok(()));
        // It has room from here on, and the node has none.
        assert_eq!(push(&mut backlog, 19_250, 1, 4), Err(4));
        let blocked = backlog.push(at(19_300), (1, For::Client), 4, false);
        assert_eq!(blocked, Ok(()));
        assert_eq!(backlog.deadline(), Some(at(20_300)));
        let late = backlog.overdue(at(20_300));
        assert_eq!(
            late.into_iter().map(|(_, n)| n).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4]
        );
        assert!(backlog.is_empty());
    }

    /// A server that fetches copies is not told to come back.
    #[test]
    fn servers_wait_their_turn() {
        let mut backlog = Backlog::default();
        for n in 0..50 {
            assert_eq!(backlog.push(at(n), (1, For::Server), n, true), Ok(()));
        }
        assert_eq!(backlog.push(at(9_000), (1, For::Server), 50, true), Ok(()));
        assert_eq!(
            (backlog.overdue(at(9_000)), backlog.deadline()),
            (vec![], None)
        );
        assert_eq!(backlog.next(|_| true), Some((1, 0)));
    }

    /// A client that reads slowly and asks for ever more is told so.
    #[test]
    fn a_slow_reader_is_refused_what_it_cannot_take() {
        let mut backlog = Backlog::default();
        let ask = |n| (backlog.push(at(n), (1, For::Client), n, false)).is_ok();
        assert_eq!((0..100).map(ask).filter(|taken| *taken).count(), OWN_MAX);
        assert_eq!(backlog.push(at(100), (1, For::Client), 100, true), Ok(()));
    }

    #[test]
    fn the_backlog_is_bounded_and_forgets_who_is_gone() {
        let mut backlog = Backlog::default();
        let taken = (0..3 * PER_PEER_MAX).filter(|n| push(&mut backlog, 0, 1, *n).is_ok());
        assert_eq!(taken.count(), PER_PEER_MAX);
        assert_eq!(backlog.remove(1).count(), PER_PEER_MAX);
        assert!(backlog.is_empty() && backlog.deadline().is_none());
        let all = (0..2 * ALL_MAX).filter(|n| push(&mut backlog, 0, *n, *n).is_ok());
        assert_eq!(all.count(), ALL_MAX);
    }
}
