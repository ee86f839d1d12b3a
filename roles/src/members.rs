//! Who is in the ring, and how it is: the member table.
//!
//! Owns every account of every member, this node's own among them, and the rule by which one
//! account replaces another. The ring is not stored but read off the table: the living in the
//! order of their ids. Finding out who lives is [`crate::ring`]'s business; telling others, too.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::circle::mix;
use crate::contract::id::{Incarnation, NodeId};
use crate::contract::limits::{MEMBERS_MAX, OBSERVERS_MAX};
use crate::contract::member::{Member, MemberState, Traits};
use crate::contract::record::{Address, Role};
use crate::contract::ring::Claim;
use crate::contract::time::Time;

/// How long the dead are remembered: whoever comes back after a day joins as anybody does.
pub const DEAD_REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// How long a member has at least to refute a verdict that it was not suspected before.
const REFUTATION: Duration = Duration::from_millis(1500);

/// A version or start that leaps further than this over what is known is no honest account.
const LEAP_MAX: u64 = 1 << 20;

/// Deaths that count against a member that comes and goes.
const FALLS_COUNTED: Duration = Duration::from_secs(600);

/// The member table of one node.
#[derive(Clone, Debug)]
pub struct Members {
    me: NodeId,
    entries: BTreeMap<NodeId, Entry>,
    /// Grows whenever who lives, where or as what has changed.
    revision: u64,
    /// The last change of a role that was heard of.
    switched: Option<(Time, NodeId, Role)>,
}

/// A member, and what this node alone knows of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The account that counts.
    pub member: Member,
    /// Who could not reach it, while it is suspected.
    pub observers: Vec<NodeId>,
    /// When its account last changed.
    pub changed_at: Time,
    /// Deaths within ten minutes of each other, and when the last was.
    falls: (u32, Time),
}

/// What a claim has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absorbed {
    /// Nothing that was not known.
    Nothing,
    /// The member's account: how it was before, none if it was not known.
    Changed {
        /// Before the claim.
        before: Option<MemberState>,
    },
    /// Only who suspects it.
    Observed,
    /// It speaks of an earlier account; the sender should hear the later one.
    Stale,
    /// It is about this node, and untrue: it must be refuted above this version.
    Refute {
        /// What was claimed.
        version: u32,
    },
    /// A later start of this very node is known: this process has an older disk and must end.
    Outdated,
    /// It cannot be true.
    Absurd,
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

    /// This node.
    pub fn me(&self) -> Member {
        self.entries[&self.me].member
    }

    /// Changes what this node says of itself, under a new version above `above`.
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

    /// Everyone known, in the order of their ids.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.entries.values().map(|entry| &entry.member)
    }

    /// The ring: the living in its order, this node among them unless it has left.
    pub fn living(&self) -> impl DoubleEndedIterator<Item = &Member> + Clone {
        let living = self.entries.values().map(|entry| &entry.member);
        living.filter(|member| member.lives())
    }

    /// The living but for this node.
    pub fn others(&self) -> impl Iterator<Item = &Member> {
        self.living().filter(|member| member.node != self.me)
    }

    /// Those who have died and not said goodbye, and when.
    pub fn dead(&self) -> impl Iterator<Item = (&Member, Time)> {
        let dead = self.entries.values();
        let dead = dead.filter(|entry| entry.member.state == MemberState::Dead);
        dead.map(|entry| (&entry.member, entry.changed_at))
    }

    /// How many live.
    pub fn count(&self) -> usize {
        self.living().count()
    }

    /// A member and what is known of it.
    pub fn get(&self, node: NodeId) -> Option<&Entry> {
        self.entries.get(&node)
    }

    /// The living member at an address.
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

    /// Grows whenever who lives, where or as what has changed.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The last change of a role that was heard of: when, who, to what.
    pub fn switched(&self) -> Option<(Time, NodeId, Role)> {
        self.switched
    }

    /// How long a member is kept from owning new songs because it comes and goes: nothing after a
    /// single death, then 1, 2, 4 ... 32 minutes after the last of a row of deaths.
    pub fn probation(&self, node: NodeId) -> Option<Time> {
        let (falls, last) = self.entries.get(&node)?.falls;
        let minutes = 1 << falls.checked_sub(2)?.min(5);
        Some(last + Duration::from_secs(60) * minutes)
    }

    /// A digest of the living: who, in which start and version, and what it does there. Whether somebody is suspected is
    /// left out, or every suspicion would look like a difference of opinion.
    pub fn view(&self) -> u64 {
        self.living().fold(0, |view: u64, member| {
            let id = member.node.0 as u64 ^ (member.node.0 >> 64) as u64;
            let age = member.incarnation.0 << 32 ^ u64::from(member.version);
            let (traits, weight) = (u64::from(member.traits.0), u64::from(member.weight));
            let rest = member.role as u64 | traits << 8 | weight << 16;
            view ^ mix(id ^ mix(age ^ mix(rest)))
        })
    }

    /// Takes over an account if it is the better one. A verdict about a member that is alive here
    /// only makes it a suspect: it may be news from the other half of a ring that was split, and
    /// the member gets the time to refute.
    pub fn absorb(&mut self, now: Time, claim: &Claim) -> Absorbed {
        let Claim { member, observers } = claim;
        if !member.is_possible() {
            return Absorbed::Absurd;
        }
        if member.node == self.me {
            return self.hear_of_myself(member);
        }
        if member.address == self.me().address && member.lives() {
            return self.replace_by_myself(now, claim);
        }
        let Some(entry) = self.entries.get_mut(&member.node) else {
            return self.admit(now, claim);
        };
        let known = entry.member;
        if leaps(&known, member) {
            return Absorbed::Absurd;
        }
        if member.age() < known.age() {
            return Absorbed::Stale;
        }
        if member.age() == known.age() {
            return entry.observe(observers);
        }
        let mut accepted = *member;
        let same = (known.incarnation, known.version) == (member.incarnation, member.version);
        if member.state == MemberState::Dead && same {
            if known.state == MemberState::Alive {
                accepted.state = MemberState::Suspect;
            } else if now.since(entry.changed_at) < REFUTATION {
                return entry.observe(observers);
            }
        }
        self.put(now, accepted, observers);
        Absorbed::Changed {
            before: Some(known.state),
        }
    }

    /// Whoever is said to live where this node listens has ended: a start without its disk.
    fn replace_by_myself(&mut self, now: Time, claim: &Claim) -> Absorbed {
        let member = Member {
            state: MemberState::Left,
            ..claim.member
        };
        let known = self.entries.get(&member.node).map(|entry| entry.member);
        if known.is_some_and(|known| known.age() >= member.age()) {
            return Absorbed::Stale;
        }
        self.put(now, member, &[]);
        Absorbed::Changed {
            before: known.map(|known| known.state),
        }
    }

    fn hear_of_myself(&self, claimed: &Member) -> Absorbed {
        let me = self.me();
        if leaps(&me, claimed) {
            return Absorbed::Absurd;
        }
        match (claimed.incarnation, claimed.version).cmp(&(me.incarnation, me.version)) {
            core::cmp::Ordering::Greater if claimed.incarnation > me.incarnation => {
                Absorbed::Outdated
            }
            // Said by an earlier process of the same number: a disk that was put back.
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

    fn admit(&mut self, now: Time, claim: &Claim) -> Absorbed {
        if self.entries.len() >= MEMBERS_MAX && !self.make_room() {
            return Absorbed::Nothing;
        }
        self.put(now, claim.member, &claim.observers);
        Absorbed::Changed { before: None }
    }

    /// Drops the longest dead. False: all live.
    fn make_room(&mut self) -> bool {
        let dead = self.entries.iter().filter(|(_, e)| !e.member.lives());
        let oldest = dead
            .min_by_key(|(_, entry)| entry.changed_at)
            .map(|(id, _)| *id);
        oldest.is_some_and(|id| self.entries.remove(&id).is_some())
    }

    fn put(&mut self, now: Time, member: Member, observers: &[NodeId]) {
        let entry = (self.entries)
            .entry(member.node)
            .or_insert_with(|| Entry::new(now, member));
        let before = core::mem::replace(&mut entry.member, member);
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

    /// This node has heard `node` itself, from this address. Only one process can listen there:
    /// whoever had the address before has ended. Returns those.
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

    /// This node has come to its own verdict, or suspicion: the account at its present age, with
    /// those who agree.
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
            self.put(now, member, &all);
        } else if let Some(entry) = self.entries.get_mut(&node) {
            entry.observe(observers);
        }
    }

    /// What this node says of a member when asked, or unasked.
    pub fn claim(&self, node: NodeId) -> Option<Claim> {
        let entry = self.entries.get(&node)?;
        Some(Claim {
            member: entry.member,
            observers: entry.observers.clone(),
        })
    }

    /// Forgets those who have been dead or gone for a day.
    pub fn forget_old(&mut self, now: Time) {
        self.entries.retain(|_, entry| {
            entry.member.lives() || now.since(entry.changed_at) < DEAD_REMEMBERED
        });
    }

    /// Forgets one member, as a planted flaw does.
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

fn leaps(known: &Member, claimed: &Member) -> bool {
    let Incarnation(start) = known.incarnation;
    let versions = u64::from(claimed.version.saturating_sub(known.version));
    claimed.incarnation.0.saturating_sub(start) > LEAP_MAX
        || (claimed.incarnation == known.incarnation && versions > LEAP_MAX)
}

/// Whether a member may be given new songs: well, and not about to hand its own over.
pub fn takes_songs(member: &Member) -> bool {
    let held_back = Traits::DRAINING.0 | Traits::SICK.0;
    member.role == Role::Data && member.lives() && member.traits.0 & held_back == 0
}

#[cfg(test)]
mod tests;
