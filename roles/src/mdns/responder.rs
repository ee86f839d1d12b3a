//! Says what this machine has: claims its names, announces its records, answers questions.
//!
//! A name is claimed by asking three times whether somebody has it, and given up for the next one if so
//! (RFC 6762, section 8). What the link hears is bounded, whatever it asks: a record goes to the group
//! once a second, and answers to single askers have a rate.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use super::own::{Claim, Key, Own, is_text_of};
use super::packets::{Data, Packet, Question, Record};
use super::{Effects, PORT};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::user::Level;
use crate::dns::packets::kind;

/// Questions whether a name is taken, and the pause between two.
const PROBES: u8 = 3;
const PROBE_PAUSE: Duration = Duration::from_millis(250);

/// Announcements of what was claimed, and the pause between two.
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCE_PAUSE: Duration = Duration::from_secs(1);

/// The pause of the one that gives way when two claim a name at once.
const DEFER: Duration = Duration::from_secs(1);

/// So many contradictions within ten seconds, and claims are made every five seconds only.
const CONFLICTS_MAX: u32 = 15;
const CONFLICTS_WITHIN: Duration = Duration::from_secs(10);
const CONFLICTS_PAUSE: Duration = Duration::from_secs(5);

/// Several machines may answer the same question: each waits so long, and a part of the span more.
const ANSWER_PAUSE: Duration = Duration::from_millis(20);
const ANSWER_SPAN: Duration = Duration::from_millis(100);

/// How long further known answers are waited for, at least, and the span on top.
const MORE_PAUSE: Duration = Duration::from_millis(400);
const MORE_SPAN: Duration = Duration::from_millis(100);

/// A record goes to the group at most once in this time; sooner to who claims its name.
const QUIET: Duration = Duration::from_secs(1);
const QUIET_FOR_CLAIMS: Duration = Duration::from_millis(250);

/// Answers to single askers a second, and at once.
const ALONE_PER_SECOND: u32 = 50;

/// For how long an address of another page counts after its machine has named it.
const OTHERS_FOR: Duration = Duration::from_secs(10);

/// Most addresses of other pages: with this machine's own as many as fit a packet of 512 bytes.
const OTHERS_MAX: usize = 23;

/// What programs that speak no multicast DNS may keep (RFC 6762, section 6.7).
const LEGACY_TTL_MAX: u32 = 10;

#[derive(Debug)]
pub(super) struct Responder {
    own: Own,
    phase: Phase,
    conflicts: (u32, Time),
    /// What goes to the group soon.
    pending: BTreeMap<Key, Pending>,
    /// When each record last went to the group.
    sent_at: BTreeMap<Key, Time>,
    /// Answers to single askers that are left in the second that began then.
    alone: (u32, Time),
    /// Other machines with pages of this cluster, and when each last spoke up.
    others: BTreeMap<Ipv4Addr, Time>,
    rng: Rng,
}

/// A record that the group is to hear.
#[derive(Clone, Copy, Debug)]
struct Pending {
    at: Time,
    /// Who has asked for it, if only one has.
    asker: Option<SocketAddrV4>,
}

/// Each has so many packets sent, and the moment of the next.
#[derive(Clone, Copy, Debug)]
enum Phase {
    Claiming { sent: u8, at: Time },
    Announcing { sent: u8, at: Time },
    Up,
}

impl Responder {
    pub(super) fn new(own: Own, now: Time, mut rng: Rng) -> Self {
        let at = now + rng.within(PROBE_PAUSE);
        Responder {
            own,
            phase: Phase::Claiming { sent: 0, at },
            conflicts: (0, now),
            pending: BTreeMap::new(),
            sent_at: BTreeMap::new(),
            alone: (ALONE_PER_SECOND, now),
            others: BTreeMap::new(),
            rng,
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let phase = match self.phase {
            Phase::Claiming { at, .. } | Phase::Announcing { at, .. } => Some(at),
            Phase::Up => None,
        };
        earlier(phase, self.pending.values().map(|pending| pending.at).min())
    }

    pub(super) fn on_tick(&mut self, now: Time, out: &mut Effects) {
        match self.phase {
            Phase::Claiming { sent, at } if at <= now => self.claim(now, sent, out),
            Phase::Announcing { sent, at } if at <= now => self.announce(now, sent, out),
            Phase::Claiming { .. } | Phase::Announcing { .. } | Phase::Up => (),
        }
        self.answer_group(now, out);
    }

    fn claim(&mut self, now: Time, sent: u8, out: &mut Effects) {
        if sent == PROBES {
            self.phase = Phase::Announcing { sent: 0, at: now };
            return self.announce(now, 0, out);
        }
        let names = self.own.claims().into_iter();
        let question = |claim| Question {
            name: self.own.name(claim),
            kind: kind::ANY,
            alone: false,
        };
        let packet = Packet {
            questions: names.map(question).collect(),
            authorities: self.claimed(None),
            ..Packet::default()
        };
        out.send(None, packet);
        let at = now + PROBE_PAUSE;
        self.phase = Phase::Claiming { sent: sent + 1, at };
    }

    /// The records that this machine claims, of one name or of all.
    fn claimed(&self, of: Option<Claim>) -> Vec<Record> {
        let keys = self.own.keys(&[]).into_iter();
        let fits = |key: &Key| {
            let claim = Own::claim_of(*key);
            claim.is_some() && (of.is_none() || of == claim)
        };
        let record = |key| Record {
            flush: false,
            ..self.own.record(key)
        };
        keys.filter(fits).map(record).collect()
    }

    fn announce(&mut self, now: Time, sent: u8, out: &mut Effects) {
        let keys = self.own.keys(&[]);
        self.sent_at.extend(keys.iter().map(|key| (*key, now)));
        let records = keys.iter().map(|key| self.own.record(*key)).collect();
        out.send(None, Packet::response(records, Vec::new()));
        self.phase = match sent + 1 {
            ANNOUNCEMENTS.. => Phase::Up,
            sent => Phase::Announcing {
                sent,
                at: now + ANNOUNCE_PAUSE,
            },
        };
    }

    pub(super) fn say_goodbye(mut self, out: &mut Effects) {
        if matches!(self.phase, Phase::Claiming { .. }) {
            return; // Nobody has heard anything.
        }
        self.others.clear();
        let keys = self.own.keys(&[]).into_iter();
        let mine = keys.filter(|key| !matches!(key, Key::DnsKind | Key::PageKind | Key::PagesNone));
        let record = |key| {
            let record = self.own.record(key);
            // The text of the pages' name stays, because it is that of the other machines, too.
            let ttl = if key == Key::PagesTxt { record.ttl } else { 0 };
            Record { ttl, ..record }
        };
        out.send(
            None,
            Packet::response(mine.map(record).collect(), Vec::new()),
        );
    }

    /// The other machines with pages that count.
    fn others(&self, now: Time) -> Vec<Ipv4Addr> {
        let counts = |(_, at): &(&Ipv4Addr, &Time)| now.since(**at) < OTHERS_FOR;
        self.others
            .iter()
            .filter(counts)
            .map(|(ip, _)| *ip)
            .collect()
    }

    pub(super) fn on_query(
        &mut self,
        now: Time,
        from: SocketAddrV4,
        packet: &Packet,
        out: &mut Effects,
    ) {
        if packet.questions.is_empty() {
            return self.on_more_known(from, packet);
        }
        if let Phase::Claiming { .. } = self.phase {
            // Nothing is said of names that may be another machine's.
            return self.on_rival(now, packet);
        }
        let all = self.own.keys(&self.others(now));
        let known = |record: &Record| {
            let long = |known: &&Record| u64::from(known.ttl) * 2 >= u64::from(record.ttl);
            let mut known = packet.answers.iter().filter(long);
            known.any(|known| known.says_as(record))
        };
        let (mut together, mut alone) = (BTreeSet::new(), BTreeSet::new());
        for question in &packet.questions {
            for key in self.asked(question, &all) {
                let record = self.own.record(key);
                if known(&record) {
                    continue;
                }
                match from.port() != PORT || (question.alone && self.is_fresh(now, key)) {
                    true => alone.insert(key),
                    false => together.insert(key),
                };
            }
        }
        if !alone.is_empty() && self.may_answer_alone(now) {
            self.answer_alone(from, (packet, &alone, &all), out);
        }
        if !together.is_empty() {
            self.plan(now, from, packet, together);
        }
    }

    /// The records that a question asks for.
    fn asked(&self, question: &Question, all: &BTreeSet<Key>) -> Vec<Key> {
        let fits = |key: &&Key| {
            let record = self.own.record(**key);
            let other = matches!(key, Key::HostNone | Key::PagesNone)
                && !matches!(question.kind, kind::A | kind::TXT | kind::PTR);
            let kind = record.data.kind();
            record.name == question.name
                && (kind == question.kind || question.kind == kind::ANY || other)
        };
        all.iter().filter(fits).copied().collect()
    }

    /// Whether the whole link has heard a record in the last quarter of its life.
    fn is_fresh(&self, now: Time, key: Key) -> bool {
        let quarter = Duration::from_secs(u64::from(self.own.record(key).ttl)) / 4;
        let sent_at = self.sent_at.get(&key);
        sent_at.is_some_and(|at| now.since(*at) < quarter)
    }

    fn may_answer_alone(&mut self, now: Time) -> bool {
        let (left, since) = &mut self.alone;
        if now.since(*since) >= Duration::from_secs(1) {
            (*left, *since) = (ALONE_PER_SECOND, now);
        }
        let may = *left > 0;
        *left = left.saturating_sub(1);
        may
    }

    fn answer_alone(
        &self,
        to: SocketAddrV4,
        (packet, keys, all): (&Packet, &BTreeSet<Key>, &BTreeSet<Key>),
        out: &mut Effects,
    ) {
        let mut response = self.response(keys, all);
        if to.port() != PORT {
            response.id = packet.id;
            response.questions = packet.questions.iter().take(1).cloned().collect();
            let sections = [&mut response.answers, &mut response.additionals];
            for record in sections.into_iter().flatten() {
                (record.flush, record.ttl) = (false, record.ttl.min(LEGACY_TTL_MAX));
            }
        }
        out.send(Some(to), response);
    }

    fn response(&self, keys: &BTreeSet<Key>, all: &BTreeSet<Key>) -> Packet {
        let beside: BTreeSet<Key> = (keys.iter())
            .flat_map(|key| self.own.beside(*key, all))
            .filter(|key| !keys.contains(key))
            .collect();
        let records = |keys: &BTreeSet<Key>| keys.iter().map(|key| self.own.record(*key)).collect();
        Packet::response(records(keys), records(&beside))
    }

    /// Answers go to the group together, soon.
    fn plan(&mut self, now: Time, from: SocketAddrV4, packet: &Packet, keys: BTreeSet<Key>) {
        let of_all = |key: &Key| matches!(Own::claim_of(*key), None | Some(Claim::Pages));
        let pause = if packet.truncated {
            MORE_PAUSE + self.rng.within(MORE_SPAN)
        } else if packet.authorities.is_empty() && keys.iter().any(of_all) {
            ANSWER_PAUSE + self.rng.within(ANSWER_SPAN)
        } else {
            // Nobody else answers; and who claims a name hears soon that it is taken.
            Duration::ZERO
        };
        let quiet = match packet.authorities.is_empty() {
            true => QUIET,
            false => QUIET_FOR_CLAIMS,
        };
        for key in keys {
            let sent_at = self.sent_at.get(&key);
            // Who was not there when the group heard it last hears it when it may be said again.
            let at = (now + pause).max(sent_at.map_or(now, |at| *at + quiet));
            let before = self.pending.get(&key);
            let alone = before.is_none_or(|before| before.asker == Some(from));
            let pending = Pending {
                at: before.map_or(at, |before| before.at.min(at)),
                asker: alone.then_some(from),
            };
            self.pending.insert(key, pending);
        }
    }

    /// An asker goes on with what it knows.
    fn on_more_known(&mut self, from: SocketAddrV4, packet: &Packet) {
        let own = &self.own;
        let known = |key: &Key| {
            packet
                .answers
                .iter()
                .any(|known| known.says_as(&own.record(*key)))
        };
        self.pending
            .retain(|key, pending| pending.asker != Some(from) || !known(key));
    }

    fn answer_group(&mut self, now: Time, out: &mut Effects) {
        let due = |(key, pending): (&Key, &Pending)| (pending.at <= now).then_some(*key);
        let keys: BTreeSet<Key> = self.pending.iter().filter_map(due).collect();
        if keys.is_empty() {
            return;
        }
        self.pending.retain(|key, _| !keys.contains(key));
        let all = self.own.keys(&self.others(now));
        let keys: BTreeSet<Key> = keys.intersection(&all).copied().collect();
        if keys.is_empty() {
            return;
        }
        self.sent_at.retain(|key, _| all.contains(key));
        self.sent_at.extend(keys.iter().map(|key| (*key, now)));
        out.send(None, self.response(&keys, &all));
    }

    pub(super) fn on_response(
        &mut self,
        now: Time,
        from: Ipv4Addr,
        packet: &Packet,
        out: &mut Effects,
    ) {
        self.drop_duplicates(packet);
        if self.own.claims().contains(&Claim::Pages) {
            self.hear_page(now, from, packet);
            if let Some(number) = self.own.earlier_number(packet) {
                self.own.set_number(Claim::Pages, number);
                self.claim_again(now);
            }
        }
        for claim in self.own.claims() {
            if self.is_contradicted(claim, from, packet) {
                return self.on_conflict(now, claim, out);
            }
        }
    }

    /// What another machine has just said need not be said again.
    fn drop_duplicates(&mut self, packet: &Packet) {
        let own = &self.own;
        self.pending.retain(|key, _| {
            let ours = own.record(*key);
            let same = |theirs: &Record| theirs.says_as(&ours) && theirs.ttl >= ours.ttl;
            // This machine's own address must come from itself: so the others know that it lives.
            *key == Key::PagesA(own.config.address) || !packet.answers.iter().any(same)
        });
    }

    /// Whether the packet speaks of the pages' name for this cluster.
    fn is_of_cluster(&self, packet: &Packet) -> bool {
        let (name, cluster) = (self.own.name(Claim::Pages), &self.own.config.cluster);
        let marks = |r: &Record| r.name == name && is_text_of(cluster, &r.data);
        packet.records().any(marks)
    }

    /// Another machine of the cluster names its own address.
    fn hear_page(&mut self, now: Time, from: Ipv4Addr, packet: &Packet) {
        let name = self.own.name(Claim::Pages);
        let own = |r: &&Record| r.name == name && r.data == Data::A(from);
        let Some(record) = packet.records().find(own) else {
            return;
        };
        if from == self.own.config.address || !self.is_of_cluster(packet) {
            return;
        }
        if record.ttl == 0 {
            self.others.remove(&from);
            self.pending.remove(&Key::PagesA(from));
            return;
        }
        self.others.retain(|_, at| now.since(*at) < OTHERS_FOR);
        if self.others.len() < OTHERS_MAX || self.others.contains_key(&from) {
            self.others.insert(from, now);
        }
    }

    /// Whether somebody else has the name.
    fn is_contradicted(&self, claim: Claim, from: Ipv4Addr, packet: &Packet) -> bool {
        let name = self.own.name(claim);
        if claim == Claim::Pages && self.is_of_cluster(packet) {
            return false;
        }
        let ours: Vec<Record> = self.claimed(Some(claim));
        let kinds: BTreeSet<u16> = ours.iter().map(|r| r.data.kind()).collect();
        let is_page = |ip: &Ipv4Addr| *ip == from && self.others.contains_key(ip);
        let contradicts = |theirs: &Record| {
            let agreed = ours.iter().any(|ours| ours.says_as(theirs))
                || matches!(&theirs.data, Data::A(ip) if claim == Claim::Pages && is_page(ip));
            // A responder of this very machine may know more of its addresses than this process.
            let of_machine =
                from == self.own.config.address && !kinds.contains(&theirs.data.kind());
            theirs.name == name && theirs.ttl > 0 && !agreed && !of_machine
        };
        packet.records().any(contradicts)
    }

    fn on_conflict(&mut self, now: Time, claim: Claim, out: &mut Effects) {
        let before = self.own.name(claim);
        if let Phase::Claiming { .. } = self.phase {
            let line = match self.own.rename(claim) {
                Some(name) => format!("mdns {before} is another machine's, this one is {name}"),
                None => format!("mdns {before} is another machine's, there are too many of them"),
            };
            out.facts.push((Level::Warn, line));
        } else {
            let line = format!("mdns {before} is claimed by another machine, too: asking");
            out.facts.push((Level::Debug, line));
        }
        self.claim_again(now);
    }

    fn claim_again(&mut self, now: Time) {
        let (count, since) = &mut self.conflicts;
        if now.since(*since) >= CONFLICTS_WITHIN {
            (*count, *since) = (0, now);
        }
        *count += 1;
        let pause = match *count {
            CONFLICTS_MAX.. => CONFLICTS_PAUSE,
            _ => self.rng.within(PROBE_PAUSE),
        };
        self.pending.clear();
        let at = now + pause;
        self.phase = Phase::Claiming { sent: 0, at };
    }

    /// Another machine claims one of these names at the same moment: the one whose records come later
    /// in the order of their bytes has it (RFC 6762, section 8.2).
    fn on_rival(&mut self, now: Time, packet: &Packet) {
        for claim in self.own.claims() {
            let name = self.own.name(claim);
            let theirs = in_order(packet.authorities.iter().filter(|r| r.name == name));
            let of_cluster = claim == Claim::Pages && self.is_of_cluster(packet);
            if theirs.is_empty() || of_cluster {
                continue;
            }
            let ours = self.claimed(Some(claim));
            if in_order(ours.iter()) < theirs {
                let at = now + DEFER;
                self.phase = Phase::Claiming { sent: 0, at };
                return;
            }
        }
    }
}

/// Records in the order in which two claims are compared.
fn in_order<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<(u16, Vec<u8>)> {
    let pair = |record: &Record| (record.data.kind(), record.data.bytes());
    let mut all: Vec<_> = records.map(pair).collect();
    all.sort_unstable();
    all
}
