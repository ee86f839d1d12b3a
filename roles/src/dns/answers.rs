//! Answers to DNS packets, from the records of a DNS node.
//!
//! The same records as for the nodes' own questions, in the form that every program understands. An
//! answer of addresses that does not fit is a random part of them, which is complete enough for
//! whoever wants one server; any other answer that does not fit says so.

use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::Dns;
use super::packets::{Asked, CLASS_IN, Code, Query, Section, Writer, kind};
use super::zones::{Place, What};
use crate::contract::id::NodeId;
use crate::contract::node::DnsTransport;
use crate::contract::record::{Record, Role};
use crate::contract::rng::Rng;
use crate::contract::time::Time;

/// Longest time for which an answer may be kept, in seconds: the dead vanish from caches this soon.
const TTL_MAX: u32 = 10;

/// How long "there is none" may be kept, in seconds: newcomers appear this soon.
const NEGATIVE_TTL: u32 = 2;

/// Most addresses in an answer over UDP to who offers no more than 512 bytes. With a question of
/// ordinary length they leave some room.
const ADDRESSES_MAX: usize = 24;

/// Most name servers that an answer names.
const NAME_SERVERS_MAX: usize = 4;

/// Bytes of a record with an address, behind a pointer to its name.
const A_BYTES: usize = 16;
const AAAA_BYTES: usize = 28;

impl Dns {
    /// Answers a DNS packet into `out`, which loses what it holds and stays empty if the packet
    /// deserves no answer. The answer is at most 512 bytes long over UDP, 1232 if the asker offers
    /// that, and 65535 over TCP.
    pub fn on_packet(
        &mut self,
        now: Time,
        packet: &[u8],
        transport: DnsTransport,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        let Some(query) = Query::read(packet) else {
            return;
        };
        let mut writer = query.answer(transport, out);
        let (code, ours) = match &query.asked {
            Ok(asked) => self.look_up(now, asked, &mut writer),
            Err(code) => (*code, false),
        };
        writer.end(code, ours);
    }

    fn look_up(&mut self, now: Time, asked: &Asked, writer: &mut Writer<'_>) -> (Code, bool) {
        let is_meta = (kind::META..kind::ANY).contains(&asked.kind);
        if asked.class != CLASS_IN || is_meta {
            return (Code::Refused, false);
        }
        let Some(place) = Place::of(&asked.name) else {
            return (Code::Refused, false);
        };
        let names = Names { asked, place };
        let Some(what) = place.what else {
            self.soa(now, names, Section::Authority, writer);
            return (Code::NxDomain, true);
        };
        let code = match what {
            What::Root => self.zone(now, names, writer),
            What::Group(role) => self.group(now, names, role, writer),
            What::Service(role) => self.service(now, names, role, writer),
            What::Node(role, node) => self.node(now, names, (role, node), writer),
            What::Empty => Found::Nothing,
        };
        match code {
            Found::Records => (Code::NoError, true),
            Found::Nothing if asked.kind == kind::ANY => {
                hinfo(writer);
                (Code::NoError, true)
            }
            Found::Nothing => {
                self.soa(now, names, Section::Authority, writer);
                (Code::NoError, true)
            }
            // Servers may be there that have not registered yet. "None" would make them vanish for
            // everybody who asks, and for a while after.
            Found::Missing if !self.is_settled(now) => (Code::ServFail, false),
            Found::Missing => {
                self.soa(now, names, Section::Authority, writer);
                (Code::NxDomain, true)
            }
            Found::Unknown => (Code::ServFail, false),
        }
    }

    /// What is said of a zone itself.
    fn zone(&mut self, now: Time, names: Names<'_>, writer: &mut Writer<'_>) -> Found {
        match names.asked.kind {
            kind::SOA => self.soa(now, names, Section::Answer, writer),
            kind::NS => self.name_servers(now, names, writer),
            _ => return Found::Nothing,
        }
        Found::Records
    }

    fn group(&mut self, now: Time, names: Names<'_>, role: Role, writer: &mut Writer<'_>) -> Found {
        match names.asked.kind {
            kind::A | kind::AAAA => self.addresses(now, names, role, writer),
            _ if names.place.of_role => self.zone(now, names, writer),
            _ => Found::Nothing,
        }
    }

    /// The servers of a role; `None`: none is known, and some may not have registered yet.
    fn of_role(&self, now: Time, role: Role) -> Option<Vec<Record>> {
        let records: Vec<Record> = self.valid(now).filter(|r| r.role == role).collect();
        (!records.is_empty() || self.is_settled(now)).then_some(records)
    }

    fn addresses(
        &mut self,
        now: Time,
        names: Names<'_>,
        role: Role,
        writer: &mut Writer<'_>,
    ) -> Found {
        let kind = names.asked.kind;
        let Some(mut records) = self.of_role(now, role) else {
            return Found::Unknown;
        };
        records.retain(|record| kind_of(record) == kind);
        let bytes = if kind == kind::A { A_BYTES } else { AAAA_BYTES };
        let places = match writer.offers_more() {
            true => writer.places(bytes),
            false => writer.places(bytes).min(ADDRESSES_MAX),
        };
        choose(&mut self.rng, &mut records, places);
        let ttl = ttl(&records);
        for record in &records {
            writer.record(Section::Answer, question, (kind, ttl), |out| {
                address(record, out);
            });
        }
        found(&records)
    }

    /// Ports and names of all servers of a role. Over UDP, what does not fit is asked for again
    /// over TCP.
    fn service(
        &mut self,
        now: Time,
        names: Names<'_>,
        role: Role,
        writer: &mut Writer<'_>,
    ) -> Found {
        let Some(mut records) = self.of_role(now, role) else {
            return Found::Unknown;
        };
        if names.asked.kind != kind::SRV {
            return Found::Nothing;
        }
        let all = records.len();
        choose(&mut self.rng, &mut records, all);
        let ttl = ttl(&records);
        let fit = |record: &&Record| {
            writer.record(Section::Answer, question, (kind::SRV, ttl), |out| {
                // All servers of a role are equal: priority 0, weight 0.
                out.extend([0, 0, 0, 0]);
                out.extend(record.address.0.port().to_be_bytes());
                names.node(record.node, out);
            })
        };
        let written = records.iter().take_while(fit).count();
        if written < records.len() {
            writer.cut();
            return found(&records);
        }
        for record in &records {
            let by_name = |out: &mut Vec<u8>| names.node_at_group(record.node, out);
            let kind = kind_of(record);
            let data = |out: &mut Vec<u8>| address(record, out);
            if !writer.record(Section::Additional, by_name, (kind, ttl), data) {
                break;
            }
        }
        found(&records)
    }

    fn node(
        &mut self,
        now: Time,
        names: Names<'_>,
        (role, node): (Role, NodeId),
        writer: &mut Writer<'_>,
    ) -> Found {
        let is_it = |r: &Record| r.node == node && (r.role == role || r.role == Role::Dns);
        let Some(record) = self.valid(now).find(is_it) else {
            return Found::Missing;
        };
        let asked = names.asked.kind;
        let ttl = ttl(&[record]);
        match asked {
            kind::TXT => writer.record(Section::Answer, question, (kind::TXT, ttl), |out| {
                traits(&record, out);
            }),
            _ if asked == kind_of(&record) => {
                writer.record(Section::Answer, question, (asked, ttl), |out| {
                    address(&record, out);
                })
            }
            _ => return Found::Nothing,
        };
        Found::Records
    }

    fn name_servers(&mut self, now: Time, names: Names<'_>, writer: &mut Writer<'_>) {
        let mut servers: Vec<Record> = self.valid(now).filter(|r| r.role == Role::Dns).collect();
        choose(&mut self.rng, &mut servers, NAME_SERVERS_MAX);
        let ttl = ttl(&servers);
        for server in &servers {
            writer.record(Section::Answer, question, (kind::NS, ttl), |out| {
                names.server(server.node, out);
            });
        }
        for server in &servers {
            let by_name = |out: &mut Vec<u8>| names.server(server.node, out);
            let kind = kind_of(server);
            writer.record(Section::Additional, by_name, (kind, ttl), |out| {
                address(server, out);
            });
        }
    }

    /// The zone's own record: in an answer, or as the proof that there is none.
    fn soa(&self, now: Time, names: Names<'_>, section: Section, writer: &mut Writer<'_>) {
        // The zone changes with every registration, and nobody copies it: any number that grows.
        let serial = (now.as_millis() / 1000) as u32;
        let zone = |out: &mut Vec<u8>| names.zone(out);
        writer.record(section, zone, (kind::SOA, NEGATIVE_TTL), |out| {
            names.server(self.me, out);
            label(b"hostmaster", out);
            names.zone(out);
            for number in [serial, TTL_MAX, TTL_MAX / 2, 3 * TTL_MAX, NEGATIVE_TTL] {
                out.extend(number.to_be_bytes());
            }
        });
    }
}

/// What the records say of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Records,
    /// The name exists, and has no record of this kind.
    Nothing,
    /// No such node is registered.
    Missing,
    /// Nothing is known yet.
    Unknown,
}

fn found(records: &[Record]) -> Found {
    match records {
        [] => Found::Nothing,
        _ => Found::Records,
    }
}

/// The names in an answer, told by pointers into its question.
#[derive(Clone, Copy)]
struct Names<'a> {
    asked: &'a Asked,
    place: Place,
}

impl Names<'_> {
    /// A pointer to the last `labels` labels of the question's name.
    fn pointer(self, labels: usize, out: &mut Vec<u8>) {
        let at = super::packets::HEADER_BYTES + self.asked.name.begin(labels - 1);
        // A question ends within 271 bytes of the beginning.
        out.extend((POINTER | at as u16).to_be_bytes());
    }

    fn zone(self, out: &mut Vec<u8>) {
        self.pointer(self.place.zone, out);
    }

    /// A node's name below the group's, for the owner of a record.
    fn node_at_group(self, node: NodeId, out: &mut Vec<u8>) {
        label(format!("n-{node}").as_bytes(), out);
        self.pointer(self.place.group(), out);
    }

    /// The same in full: the target of an SRV record has no pointer (RFC 2782).
    fn node(self, node: NodeId, out: &mut Vec<u8>) {
        label(format!("n-{node}").as_bytes(), out);
        for place in (0..self.place.group()).rev() {
            label(self.asked.name.label_at(place), out);
        }
        out.push(0);
    }

    /// The name of a DNS node within the zone.
    fn server(self, node: NodeId, out: &mut Vec<u8>) {
        label(format!("n-{node}").as_bytes(), out);
        if !self.place.of_role {
            label(Role::Dns.name().as_bytes(), out);
        }
        self.zone(out);
    }
}

/// A pointer to the question's name.
fn question(out: &mut Vec<u8>) {
    out.extend((POINTER | super::packets::HEADER_BYTES as u16).to_be_bytes());
}

/// A label of at most 63 bytes.
fn label(text: &[u8], out: &mut Vec<u8>) {
    out.push(text.len() as u8);
    out.extend(text);
}

fn kind_of(record: &Record) -> u16 {
    match record.address.0.ip() {
        IpAddr::V4(_) => kind::A,
        IpAddr::V6(_) => kind::AAAA,
    }
}

fn address(record: &Record, out: &mut Vec<u8>) {
    match record.address.0.ip() {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
}

/// What a node is, as texts of at most 255 bytes.
fn traits(record: &Record, out: &mut Vec<u8>) {
    let port = record.address.0.port();
    label(format!("role={}", record.role).as_bytes(), out);
    label(format!("port={port}").as_bytes(), out);
    label(format!("weight={}", record.weight).as_bytes(), out);
    label(format!("start={}", record.incarnation.0).as_bytes(), out);
}

/// The short answer to "everything" (RFC 8482): whoever wants something asks for it.
fn hinfo(writer: &mut Writer<'_>) {
    writer.record(Section::Answer, question, (kind::HINFO, TTL_MAX), |out| {
        label(b"RFC8482", out);
        label(b"", out);
    });
}

/// Keeps a random part of the records, in random order.
fn choose(rng: &mut Rng, records: &mut Vec<Record>, most: usize) {
    let kept = records.len().min(most);
    for place in 0..kept {
        let left = (records.len() - place) as u64;
        records.swap(place, place + rng.below(left) as usize);
    }
    records.truncate(kept);
}

/// One lifetime for the whole set (RFC 2181, section 5.2): that of the record that ends first.
fn ttl(records: &[Record]) -> u32 {
    let lives = records.iter().map(|record| record.ttl_ms / 1000);
    lives.min().unwrap_or(0).min(TTL_MAX)
}

const POINTER: u16 = 0xC000;

#[cfg(test)]
mod tests;
