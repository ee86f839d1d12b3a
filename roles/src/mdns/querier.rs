//! The search for DNS nodes on the link.
//!
//! Asks as long as somebody seeks, each time after twice the pause, and remembers the answers with their
//! lives. An answer counts only if the machine that it names has sent it itself.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use super::own::{OTHER_TTL, dns_service, is_text_of};
use super::packets::{Data, Name, Packet, Question, Record};
use super::{Cluster, Config, Effects, FOUND_MAX, PORT};
use crate::contract::record::Address;
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::dns::packets::kind;

/// Before the first question: machines that start together do not ask together (RFC 6762, section 5.2).
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The pause after the first question; it doubles.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// For how long an address is not told of again, however often it is announced.
const TOLD_FOR: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Querier {
    cluster: Cluster,
    address: Ipv4Addr,
    own_port: Option<u16>,
    /// When the next question is due, and the pause after it; none while nobody seeks.
    next: Option<(Time, Duration)>,
    heard: BTreeMap<Address, Heard>,
    rng: Rng,
}

#[derive(Debug)]
struct Heard {
    instance: Name,
    /// Until when it can be dialled by what was heard.
    until: Time,
    heard_at: Time,
    told_at: Time,
}

/// A DNS node as an answer tells of it.
pub(super) struct Told {
    pub(super) address: Address,
    instance: Name,
    /// Seconds; 0 takes it back.
    pub(super) ttl: u32,
}

impl Querier {
    pub(super) fn new(config: &Config, rng: Rng) -> Self {
        Querier {
            cluster: config.cluster.clone(),
            address: config.address,
            own_port: config.dns.map(|(_, port)| port),
            next: None,
            heard: BTreeMap::new(),
            rng,
        }
    }

    pub(super) fn seek(&mut self, now: Time, wanted: bool) {
        if wanted && self.next.is_none() {
            self.next = Some((now + self.rng.upper_half(FIRST_PAUSE), PAUSE));
        }
        if !wanted {
            self.next = None;
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.next.map(|(at, _)| at)
    }

    pub(super) fn on_tick(&mut self, now: Time, out: &mut Effects) {
        let Some((at, pause)) = self.next else {
            return;
        };
        if at <= now {
            out.send(None, question(self.known_answers(now)));
            self.next = Some((now + pause, (2 * pause).min(PAUSE_MAX)));
        }
    }

    /// Another machine asks the same and knows nothing that this one does not: its answers serve both.
    pub(super) fn on_query(&mut self, now: Time, from: SocketAddrV4, packet: &Packet) {
        let Some((at, pause)) = self.next else {
            return;
        };
        let asks = |q: &Question| q.name == dns_service() && q.kind == kind::PTR && !q.alone;
        let known = self.known_answers(now);
        let is_known = |theirs: &Record| known.iter().any(|ours| ours.says_as(theirs));
        let same = from.port() == PORT
            && packet.questions.iter().any(asks)
            && !packet.truncated
            && packet.answers.iter().all(is_known);
        if same && at <= now + pause {
            self.next = Some((now + pause, (2 * pause).min(PAUSE_MAX)));
        }
    }

    pub(super) fn on_response(
        &mut self,
        now: Time,
        from: Ipv4Addr,
        packet: &Packet,
        out: &mut Effects,
    ) {
        for told in dns_nodes(&self.cluster, from, packet) {
            let port = told.address.0.port();
            if from == self.address && Some(port) == self.own_port {
                continue; // This very node.
            }
            if told.ttl == 0 {
                self.heard.remove(&told.address);
                continue;
            }
            self.make_room(now, told.address);
            let until = now + Duration::from_secs(u64::from(told.ttl));
            let before = self.heard.get(&told.address).map(|heard| heard.told_at);
            let fresh = before.is_none_or(|at| now.since(at) >= TOLD_FOR);
            if fresh {
                out.found.push(told.address);
            }
            let heard = Heard {
                instance: told.instance,
                until,
                heard_at: now,
                told_at: before.filter(|_| !fresh).unwrap_or(now),
            };
            self.heard.insert(told.address, heard);
        }
    }

    #[cfg(test)]
    pub(super) fn heard_count(&self) -> usize {
        self.heard.len()
    }

    /// What is heard now counts more than what will be forgotten first.
    fn make_room(&mut self, now: Time, address: Address) {
        self.heard.retain(|_, heard| heard.until > now);
        if self.heard.len() >= FOUND_MAX && !self.heard.contains_key(&address) {
            let first = self.heard.iter().min_by_key(|(_, heard)| heard.until);
            if let Some(first) = first.map(|(address, _)| *address) {
                self.heard.remove(&first);
            }
        }
    }

    /// What need not be answered: at least half of the life of its address is left (RFC 6762, section 7.1).
    fn known_answers(&self, now: Time) -> Vec<Record> {
        let fits = |heard: &&Heard| heard.until.since(now) > now.since(heard.heard_at);
        let record = |heard: &Heard| Record {
            name: dns_service(),
            flush: false,
            ttl: OTHER_TTL.saturating_sub(now.since(heard.heard_at).as_secs() as u32),
            data: Data::Ptr(heard.instance.clone()),
        };
        self.heard.values().filter(fits).map(record).collect()
    }
}

/// A question for DNS nodes.
pub(super) fn question(known: Vec<Record>) -> Packet {
    Packet {
        questions: [Question {
            name: dns_service(),
            kind: kind::PTR,
            alone: false,
        }]
        .into(),
        answers: known,
        ..Packet::default()
    }
}

/// The DNS nodes of this cluster that a packet tells of: each with its port, its cluster and the address
/// of the sender in the same packet, as the nodes send them. So nobody can name a third machine.
pub(super) fn dns_nodes(cluster: &Cluster, from: Ipv4Addr, packet: &Packet) -> Vec<Told> {
    let service = dns_service();
    let says = |name: &Name, said: &dyn Fn(&Data) -> bool| {
        let mut records = packet.records();
        records.any(|r| r.name == *name && said(&r.data))
    };
    let told = |record: &Record| match &record.data {
        Data::Srv { port, target }
            if record.name.is_child_of(&service)
                && *port > 0
                && says(&record.name, &|data| is_text_of(cluster, data))
                && says(target, &|data| *data == Data::A(from)) =>
        {
            Some(Told {
                address: Address((from, *port).into()),
                instance: record.name.clone(),
                ttl: record.ttl,
            })
        }
        Data::Srv { .. } | Data::A(_) | Data::Ptr(_) | Data::Txt(_) | Data::Other { .. } => None,
    };
    packet.records().filter_map(told).take(FOUND_MAX).collect()
}
