//! The member table: the members of the ring and their states.
//!
//! Owns the entry of every member, this node's own included, and the rule by which an update
//! replaces an entry. Which process bears a member's id is believed of that process alone: a member
//! that lies can name no later start, and no other address, of a member that this node has heard
//! itself. The ring is not stored: it is the living members in the order of their ids.
//! Detecting which members live, and spreading updates, is the business of [`crate::ring`].

mod claims;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::id::{Incarnation, NodeId};
use crate::contract::limits::{MEMBERS_MAX, OBSERVERS_MAX};
use crate::contract::member::{Member, MemberState, Traits};
use crate::contract::record::{Address, Role};
use crate::contract::ring::Claim;
use crate::contract::time::Time;
use crate::hash_ring::mix;

pub use claims::{Absorbed, Voice};
use claims::{is_same_process, leaps};

/// How long the dead and the departed are remembered. A member that returns later joins as a new
/// one.
pub const DEAD_REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Least time a member has to refute a verdict that reaches this node without a suspicion before
/// it.
const REFUTATION: Duration = Duration::from_millis(1500);

/// Time after a death within which the next one counts as part of the same row.
const FALLS_COUNTED: Duration = Duration::from_secs(600);

/// The member table of one node.
#[derive(Clone, Debug)]
pub struct Members {
    me: NodeId,
    entries: BTreeMap<NodeId, Entry>,
    /// Grows with each stored update, this node's own included.
    revision: u64,
    /// The last change of role that this node knows of: when, which member, to which role.
    switched: Option<(Time, NodeId, Role)>,
}

/// A member, and what only this node records about it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The latest update.
    pub member: Member,
    /// The nodes that could not reach the member; emptied when a later update arrives.
    pub observers: Vec<NodeId>,
    /// When this node last changed the entry.
    pub changed_at: Time,
    /// The process that the entry names has itself spoken to this node. Otherwise the entry is
    /// hearsay.
    pub met: bool,
    /// Length of the last row of deaths, each within ten minutes of the one before, and the time of
    /// the last.
    falls: (u32, Time),
}

impl Members {
    /// A table with this node alone.
    pub fn new(now: Time, me: Member) -> Self {
        let mut members = Members {
            me: me.node,
            entries: BTreeMap::new(),
            revision: 1,
            switched: None,
        };
        members.entries.insert(me.node, Entry::new(now, me));
        members
    }

    /// The entry of this node.
    pub fn me(&self) -> Member {
        self.entries[&self.me].member
    }

    /// Changes what this node says of itself. The version rises by one, and at least above `above`.
    pub fn restate(&mut self, now: Time, above: u32, change: impl FnOnce(&mut Member)) {
        let switched_to = {
            let Some(entry) = self.entries.get_mut(&self.me) else {
                return;
            };
            let before = entry.member.role;
            change(&mut entry.member);
            entry.member.version = entry.member.version.max(above) + 1;
            entry.changed_at = now;
            (entry.member.role != before).then_some(entry.member.role)
        };
        self.revision += 1;
        if let Some(role) = switched_to {
            self.switched = Some((now, self.me, role));
        }
    }

    /// Every known member in the order of ids, the dead and this node included.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.entries.values().map(|entry| &entry.member)
    }

    /// Every entry in the order of ids.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The ring: the living members in the order of ids. This node is among them unless it has
    /// left.
    pub fn living(&self) -> impl DoubleEndedIterator<Item = &Member> + Clone {
        let living = self.entries.values().map(|entry| &entry.member);
        living.filter(|member| member.lives())
    }

    /// The living members except this node.
    pub fn others(&self) -> impl Iterator<Item = &Member> {
        self.living().filter(|member| member.node != self.me)
    }

    /// The members declared dead, and when. Members that have left are not among them.
    pub fn dead(&self) -> impl Iterator<Item = (&Member, Time)> {
        let dead = self.entries.values();
        let dead = dead.filter(|entry| entry.member.state == MemberState::Dead);
        dead.map(|entry| (&entry.member, entry.changed_at))
    }

    /// The number of living members, this node included.
    pub fn count(&self) -> usize {
        self.living().count()
    }

    /// The entry of a member.
    pub fn get(&self, node: NodeId) -> Option<&Entry> {
        self.entries.get(&node)
    }

    /// The other living member at an address.
    pub fn at(&self, address: Address) -> Option<Member> {
        self.others().find(|m| m.address == address).copied()
    }

    /// The next living members clockwise of this node, the nearest first.
    pub fn successors(&self, count: usize) -> Vec<Member> {
        let after = |member: &&Member| member.node > self.me;
        let before = |member: &&Member| member.node < self.me;
        let living = self.living();
        let round = living.clone().filter(after).chain(living.filter(before));
        round.take(count).copied().collect()
    }

    /// The nearest living members counter-clockwise of this node, the nearest first.
    pub fn predecessors(&self, count: usize) -> Vec<Member> {
        let before = |member: &&Member| member.node < self.me;
        let after = |member: &&Member| member.node > self.me;
        let living = self.living().rev();
        let round = living.clone().filter(before).chain(living.filter(after));
        round.take(count).copied().collect()
    }

    /// How many living members have a role.
    pub fn with_role(&self, role: Role) -> usize {
        self.living().filter(|m| m.role == role).count()
    }

    /// Grows with each stored update. Added observers and the removal of old entries do not raise
    /// it.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The last change of role that this node knows of: when, which member, to which role.
    pub fn switched(&self) -> Option<(Time, NodeId, Role)> {
        self.switched
    }

    /// Until when a member gets no new songs because it comes and goes. None after a single death;
    /// from the second death of a row on, 1, 2, 4 ... 32 minutes after the last one.
    pub fn probation(&self, node: NodeId) -> Option<Time> {
        let (falls, last) = self.entries.get(&node)?.falls;
        let minutes = 1 << falls.checked_sub(2)?.min(5);
        Some(last + Duration::from_secs(60) * minutes)
    }

    /// A digest of the living members: id, incarnation, version, role, traits and weight. Whether a
    /// member is suspected is left out, because otherwise every suspicion would look like a
    /// different view.
    pub fn view(&self) -> u64 {
        self.living().fold(0, |view: u64, member| {
            let id = member.node.0 as u64 ^ (member.node.0 >> 64) as u64;
            let age = member.incarnation.0 << 32 ^ u64::from(member.version);
            let (traits, weight) = (u64::from(member.traits.0), u64::from(member.weight));
            let rest = member.role as u64 | traits << 8 | weight << 16;
            view ^ mix(id ^ mix(age ^ mix(rest)))
        })
    }

    /// Stores a claim if it is later than the entry. A verdict about a member that is alive in this
    /// table makes it only a suspect. The verdict may come from the other half of a split ring, and
    /// the member gets time to refute.
    ///
    /// A claim of another process than the known one counts only in that process's own voice. A
    /// false incarnation would otherwise shut the member out: whoever believed it would refuse
    /// everything that the member itself says.
    pub fn absorb(&mut self, now: Time, claim: &Claim, voice: Voice) -> Absorbed {
        let Claim { member, observers } = claim;
        let judged = matches!(member.state, MemberState::Suspect | MemberState::Dead);
        if !member.is_possible() || (judged && voice == Voice::Itself) {
            return Absorbed::Absurd;
        }
        if member.node == self.me {
            return self.hear_of_myself(member);
        }
        // No other node can listen at this node's address, whatever others have heard.
        if member.address == self.me().address && member.lives() {
            return self.replace_by_myself(now, claim);
        }
        let Some(entry) = self.entries.get_mut(&member.node) else {
            return self.admit(now, claim, voice);
        };
        let known = entry.member;
        if leaps(&known, member) {
            return Absorbed::Absurd;
        }
        let same_process = is_same_process(&known, member);
        if voice == Voice::Itself && same_process {
            entry.met = true;
        }
        // A process that speaks is there, whatever others have said. An earlier start than the known
        // one comes from a disk that was restored. One process listens at an address, so at the same
        // address the known one has ended.
        let gone = !entry.met || member.address == known.address || !known.lives();
        if voice == Voice::Itself && !same_process && gone {
            self.put(now, claim, voice);
            let before = Some(known.state);
            return Absorbed::Changed { before };
        }
        if voice == Voice::Another && !same_process && member.incarnation >= known.incarnation {
            return Absorbed::Hearsay;
        }
        if member.age() < known.age() {
            return Absorbed::Stale;
        }
        if member.age() == known.age() {
            return entry.observe(observers);
        }
        // A refutation raises the version. A verdict at the known version therefore was reached
        // without one, and may be the work of a side that could not hear the member. A verdict at
        // another version has not been public here as a suspicion, so it may be no member's at all.
        // A node that has not failed to reach the suspect itself waits for its own verdict.
        let mut accepted = claim.clone();
        let same = (known.incarnation, known.version) == (member.incarnation, member.version);
        if member.state == MemberState::Dead && known.lives() {
            let early = now.since(entry.changed_at) < REFUTATION;
            if !same || known.state == MemberState::Alive {
                accepted.member.state = MemberState::Suspect;
            } else if early || !entry.observers.contains(&self.me) {
                return entry.observe(observers);
            }
        }
        self.put(now, &accepted, voice);
        Absorbed::Changed {
            before: Some(known.state),
        }
    }

    /// The claim names another node at this node's own address. That node is an earlier start of
    /// this machine with another disk. It has ended, so it is stored as departed.
    fn replace_by_myself(&mut self, now: Time, claim: &Claim) -> Absorbed {
        let member = Member {
            state: MemberState::Left,
            ..claim.member
        };
        let known = self.entries.get(&member.node).map(|entry| entry.member);
        if known.is_some_and(|known| known.age() >= member.age()) {
            return Absorbed::Stale;
        }
        let left = Claim {
            member,
            observers: Vec::new(),
        };
        self.put(now, &left, Voice::Another);
        Absorbed::Changed {
            before: known.map(|known| known.state),
        }
    }

    fn hear_of_myself(&self, claimed: &Member) -> Absorbed {
        let me = self.me();
        if leaps(&me, claimed) {
            return Absorbed::Absurd;
        }
        if self.is_double(claimed) {
            return Absorbed::Double;
        }
        match (claimed.incarnation, claimed.version).cmp(&(me.incarnation, me.version)) {
            // An earlier process used this incarnation number, too: the disk was restored from an
            // older copy.
            core::cmp::Ordering::Greater => Absorbed::Refute {
                version: claimed.version,
            },
            core::cmp::Ordering::Less => Absorbed::Stale,
            core::cmp::Ordering::Equal if claimed.age() > me.age() => Absorbed::Refute {
                version: claimed.version,
            },
            core::cmp::Ordering::Equal => Absorbed::Nothing,
        }
    }

    /// Whether a claim about this node is about another process: a later start of this node, or one
    /// that has started under the same number from a copy of its disk.
    pub fn is_double(&self, claimed: &Member) -> bool {
        let me = self.me();
        let elsewhere = claimed.incarnation == me.incarnation
            && claimed.address != me.address
            && claimed.lives();
        claimed.node == me.node && (claimed.incarnation > me.incarnation || elsewhere)
    }

    fn admit(&mut self, now: Time, claim: &Claim, voice: Voice) -> Absorbed {
        if self.entries.len() >= MEMBERS_MAX && !self.make_room() {
            return Absorbed::Nothing;
        }
        self.put(now, claim, voice);
        Absorbed::Changed { before: None }
    }

    /// Removes the member that has been dead or departed longest. Returns false if all live.
    fn make_room(&mut self) -> bool {
        let dead = self.entries.iter().filter(|(_, e)| !e.member.lives());
        let oldest = dead
            .min_by_key(|(_, entry)| entry.changed_at)
            .map(|(id, _)| *id);
        oldest.is_some_and(|id| self.entries.remove(&id).is_some())
    }

    fn put(&mut self, now: Time, claim: &Claim, voice: Voice) {
        let Claim { member, observers } = claim;
        let member = *member;
        let entry = (self.entries)
            .entry(member.node)
            .or_insert_with(|| Entry::new(now, member));
        let before = core::mem::replace(&mut entry.member, member);
        let met_before = entry.met && is_same_process(&before, &member);
        entry.met = voice == Voice::Itself || met_before;
        entry.changed_at = now;
        entry.observers.clear();
        entry.observe(observers);
        if member.state == MemberState::Dead && before.state != MemberState::Dead {
            entry.fall(now);
        }
        if before.role != member.role && before.incarnation == member.incarnation {
            self.switched = Some((now, member.node, member.role));
        }
        self.revision += 1;
    }

    /// A process has spoken to this node: an entry that names this process is no hearsay.
    pub fn meet(&mut self, node: NodeId, incarnation: Incarnation, address: Address) {
        if let Some(entry) = self.entries.get_mut(&node) {
            let known = (entry.member.incarnation, entry.member.address);
            entry.met |= known == (incarnation, address);
        }
    }

    /// This node has heard `node` at this address itself. Only one process can listen there, so
    /// every other living member with this address becomes departed. Returns those members.
    pub fn settle(&mut self, now: Time, node: NodeId, address: Address) -> Vec<NodeId> {
        let mut ended = Vec::new();
        for (id, entry) in &mut self.entries {
            let member = &mut entry.member;
            if member.address == address && *id != node && *id != self.me && member.lives() {
                member.state = MemberState::Left;
                entry.changed_at = now;
                ended.push(*id);
            }
        }
        self.revision += ended.len() as u64;
        ended
    }

    /// Stores a suspicion or verdict of this node's own at the known version, and adds the
    /// observers. A state that is not worse than the known one is not stored.
    pub fn judge(&mut self, now: Time, node: NodeId, state: MemberState, observers: &[NodeId]) {
        let Some(entry) = self.entries.get(&node) else {
            return;
        };
        let member = Member {
            state,
            ..entry.member
        };
        if member.state > entry.member.state {
            let mut all = entry.observers.clone();
            all.extend(observers);
            let verdict = Claim {
                member,
                observers: all,
            };
            self.put(now, &verdict, Voice::Another);
        } else if let Some(entry) = self.entries.get_mut(&node) {
            entry.observe(observers);
        }
    }

    /// The claim that this node sends about a member.
    pub fn claim(&self, node: NodeId) -> Option<Claim> {
        let entry = self.entries.get(&node)?;
        Some(Claim {
            member: entry.member,
            observers: entry.observers.clone(),
        })
    }

    /// Removes members that have been dead or departed for a day.
    pub fn forget_old(&mut self, now: Time) {
        self.entries.retain(|_, entry| {
            entry.member.lives() || now.since(entry.changed_at) < DEAD_REMEMBERED
        });
    }

    /// Removes one member; only a mutant does that.
    #[doc(hidden)]
    pub fn forget(&mut self, node: NodeId) {
        self.entries.remove(&node);
    }
}

impl Entry {
    fn new(now: Time, member: Member) -> Self {
        Entry {
            member,
            observers: Vec::new(),
            changed_at: now,
            met: false,
            falls: (0, Time::ZERO),
        }
    }

    fn observe(&mut self, observers: &[NodeId]) -> Absorbed {
        let known = self.observers.len();
        for observer in observers {
            if self.observers.len() < OBSERVERS_MAX && !self.observers.contains(observer) {
                self.observers.push(*observer);
            }
        }
        if self.observers.len() > known {
            Absorbed::Observed
        } else {
            Absorbed::Nothing
        }
    }

    fn fall(&mut self, now: Time) {
        let (falls, last) = self.falls;
        let again = falls > 0 && now.since(last) < FALLS_COUNTED;
        self.falls = (if again { falls + 1 } else { 1 }, now);
    }
}

/// Whether a member may receive new songs: a living data node that is neither draining nor sick.
pub fn takes_songs(member: &Member) -> bool {
    let held_back = Traits::DRAINING.0 | Traits::SICK.0;
    member.role == Role::Data && member.lives() && member.traits.0 & held_back == 0
}

#[cfg(test)]
mod tests;
