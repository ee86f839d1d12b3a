//! Multicast DNS and DNS-SD (RFC 6762, 6763) on one link: machines find each other and the page without
//! an address being typed.
//!
//! Owns what this machine says of itself on the link, and what it has heard of the cluster there. It sees
//! packets and moments and nothing else; the host owns the socket. What arrives is a hint from anybody:
//! whether an address belongs to the cluster is proved by its key alone, when it is dialled.
//!
//! A DNS node is an instance of `_dispotify._tcp.local`. All pages of a cluster share the name
//! `dispotify.local`: each answers with its own address and with those that spoke up lately, so that a
//! browser has others to try when one machine dies.

mod own;
mod packets;
mod querier;
mod responder;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use crate::contract::id::NodeId;
use crate::contract::record::Address;
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::contract::timers::earlier;
use crate::contract::user::Level;

pub use packets::PACKET_BYTES_MAX;

use own::Own;
use packets::Packet;
use querier::Querier;
use responder::Responder;

/// The port of multicast DNS.
pub const PORT: u16 = 5353;

/// The group of multicast DNS.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// The first label of the pages' name.
pub const PAGE_LABEL: &str = "dispotify";

/// Most addresses of DNS nodes that one link can tell of.
pub const FOUND_MAX: usize = 16;

/// Which cluster a machine belongs to, as far as the link may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name, at most 32 bytes.
    pub name: String,
    /// Tells clusters of one name apart that have different keys, and says nothing about the key.
    pub mark: [u8; 8],
    /// The marks of further keys that it accepts: while the key is changed, some of its machines still
    /// tell of the other one.
    pub accepted: Vec<[u8; 8]>,
}

/// This machine on one link.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its address on the link.
    pub address: Ipv4Addr,
    /// How many bits of the address all machines of the link have in common.
    pub prefix: u8,
    /// The cluster.
    pub cluster: Cluster,
    /// The DNS node of this process, and its port.
    pub dns: Option<(NodeId, u16)>,
    /// The port of this process's page.
    pub page: Option<u16>,
}

/// A packet to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// None: to the group.
    pub to: Option<SocketAddrV4>,
    /// The packet.
    pub bytes: Vec<u8>,
}

/// What comes of an event.
#[derive(Debug, Default)]
pub struct Effects {
    /// Packets, in order.
    pub datagrams: Vec<Datagram>,
    /// DNS nodes that say that they belong to this cluster, and that were not told of lately.
    pub found: Vec<Address>,
    /// Lines for the log.
    pub facts: Vec<(Level, String)>,
}

impl Effects {
    fn send(&mut self, to: Option<SocketAddrV4>, packet: Packet) {
        let packets = packet.write().into_iter();
        self.datagrams
            .extend(packets.map(|bytes| Datagram { to, bytes }));
    }
}

/// Multicast DNS on one link.
#[derive(Debug)]
pub struct Mdns {
    config: Config,
    responder: Option<Responder>,
    querier: Querier,
    /// The packets sent last: the group returns them, and another process of this machine sends from the
    /// same address and port.
    sent: Vec<Vec<u8>>,
}

/// Packets of its own that a machine knows again: as many as can be under way.
const SENT_MAX: usize = 8;

impl Mdns {
    /// Begins to claim the names of what this process has, if it has anything to say.
    pub fn new(config: Config, now: Time, mut rng: Rng) -> Self {
        let querier = Querier::new(&config, Rng::from_seed(rng.bits()));
        let says = config.dns.is_some() || config.page.is_some();
        let own = Own::new(config.clone());
        Mdns {
            responder: says.then(|| Responder::new(own, now, rng)),
            querier,
            sent: Vec::new(),
            config,
        }
    }

    /// Takes a packet from the link. What does not come from an address of the link, or is none, has no
    /// effect.
    pub fn on_packet(&mut self, now: Time, from: SocketAddrV4, bytes: &[u8], out: &mut Effects) {
        if !self.is_near(*from.ip()) || from.port() == 0 || self.is_echo(from, bytes) {
            return;
        }
        let Some(packet) = Packet::read(bytes) else {
            return;
        };
        let mark = out.datagrams.len();
        if packet.answers_something {
            // Who answers speaks from the port of multicast DNS (RFC 6762, section 6).
            if from.port() == PORT {
                self.querier.on_response(now, *from.ip(), &packet, out);
                if let Some(responder) = &mut self.responder {
                    responder.on_response(now, *from.ip(), &packet, out);
                }
            }
        } else {
            self.querier.on_query(now, from, &packet);
            if let Some(responder) = &mut self.responder {
                responder.on_query(now, from, &packet, out);
            }
        }
        self.keep_sent(mark, out);
    }

    /// Whether DNS nodes are sought: asks for them until told otherwise, less and less often.
    pub fn seek(&mut self, now: Time, wanted: bool) {
        self.querier.seek(now, wanted);
    }

    /// Does what is due.
    pub fn on_tick(&mut self, now: Time, out: &mut Effects) {
        let mark = out.datagrams.len();
        self.querier.on_tick(now, out);
        if let Some(responder) = &mut self.responder {
            responder.on_tick(now, out);
        }
        self.keep_sent(mark, out);
    }

    /// Takes everything back that was said.
    pub fn say_goodbye(&mut self, out: &mut Effects) {
        if let Some(responder) = self.responder.take() {
            responder.say_goodbye(out);
        }
    }

    /// When [`Mdns::on_tick`] wants to run.
    pub fn deadline(&self) -> Option<Time> {
        let responder = self.responder.as_ref().and_then(Responder::deadline);
        earlier(self.querier.deadline(), responder)
    }

    fn is_near(&self, ip: Ipv4Addr) -> bool {
        let bits = 32 - u32::from(self.config.prefix.min(32));
        let network = |ip: Ipv4Addr| u32::from(ip).checked_shr(bits).unwrap_or(0);
        network(ip) == network(self.config.address)
    }

    fn is_echo(&mut self, from: SocketAddrV4, bytes: &[u8]) -> bool {
        if *from.ip() != self.config.address {
            return false;
        }
        let own = self.sent.iter().position(|sent| sent == bytes);
        own.map(|place| self.sent.remove(place)).is_some()
    }

    fn keep_sent(&mut self, mark: usize, out: &Effects) {
        let to_group = out.datagrams[mark..].iter().filter(|d| d.to.is_none());
        self.sent.extend(to_group.map(|d| d.bytes.clone()));
        let old = self.sent.len().saturating_sub(SENT_MAX);
        self.sent.drain(..old);
    }
}

/// A question for the DNS nodes of all clusters, of a process that only wants to know and has no port of
/// multicast DNS (RFC 6762, section 5.1).
pub fn question() -> Vec<u8> {
    querier::question(Vec::new())
        .write()
        .pop()
        .unwrap_or_default()
}

/// The DNS nodes of the cluster that an answer from this address tells of.
pub fn answered(cluster: &Cluster, from: Ipv4Addr, bytes: &[u8]) -> Vec<Address> {
    let packet = Packet::read(bytes).filter(|packet| packet.answers_something);
    let told = packet.map(|packet| querier::dns_nodes(cluster, from, &packet));
    let told = told.into_iter().flatten().take(FOUND_MAX);
    told.filter(|told| told.ttl > 0)
        .map(|told| told.address)
        .collect()
}

#[cfg(test)]
mod tests;
