//! Multicast DNS on the loop: moves packets between the sockets of the links and their machines.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};

use log::debug;
use mio::{Interest, Registry, Token};
use roles::contract::record::Address;
use roles::contract::repeats::Repeats;
use roles::contract::time::Time;
use roles::contract::user::Level;
use roles::mdns::{Config, Effects, GROUP, Mdns, PACKET_BYTES_MAX, PORT};

use super::Fired;
use crate::mdns::MdnsSocket;

/// Packets taken per link and turn: some hundred microseconds of work.
const PACKETS_PER_TURN: usize = 64;

/// Tokens of these sockets have the second and the third highest bit set, and the highest not.
const MDNS: usize = 0b011 << 61;

/// Multicast DNS on all links of this machine.
pub(super) struct Links {
    links: Vec<Link>,
    packet: Box<[u8]>,
    faults: Repeats,
}

struct Link {
    socket: mio::net::UdpSocket,
    mdns: Mdns,
    /// The socket may hold packets.
    heard: bool,
}

impl Default for Links {
    fn default() -> Self {
        Links {
            links: Vec::new(),
            packet: vec![0; PACKET_BYTES_MAX].into(),
            faults: Repeats::default(),
        }
    }
}

impl Links {
    pub(super) fn add(
        &mut self,
        MdnsSocket(mut socket): MdnsSocket,
        (config, now, seed): (Config, Time, u64),
        registry: &Registry,
    ) -> io::Result<()> {
        let token = Token(MDNS | self.links.len());
        registry.register(&mut socket, token, Interest::READABLE)?;
        let rng = roles::contract::rng::Rng::from_seed(seed);
        self.links.push(Link {
            socket,
            mdns: Mdns::new(config, now, rng),
            heard: true,
        });
        Ok(())
    }

    /// Whether a token belongs to these sockets.
    pub(super) fn owns(token: Token) -> bool {
        token.0 >> 61 == MDNS >> 61
    }

    pub(super) fn on_fired(&mut self, event: Fired) {
        if let Some(link) = self.links.get_mut(event.token.0 & !MDNS) {
            link.heard = true;
        }
    }

    /// Whether the next turn must start without a wait.
    pub(super) fn is_busy(&self) -> bool {
        self.links.iter().any(|link| link.heard)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.links
            .iter()
            .filter_map(|link| link.mdns.deadline())
            .min()
    }

    /// Does a bounded share of all pending work; gives the DNS nodes that were told of. `seeks`: a node
    /// of this loop would use them.
    pub(super) fn turn(&mut self, now: Time, seeks: bool) -> Vec<Address> {
        let mut effects = Effects::default();
        for link in &mut self.links {
            link.read(now, &mut self.packet, &mut effects);
            link.mdns.seek(now, seeks);
            if link.mdns.deadline().is_some_and(|at| at <= now) {
                link.mdns.on_tick(now, &mut effects);
            }
            link.send(now, &mut effects, &mut self.faults);
        }
        for (level, line) in effects.facts {
            log::log!(in_log(level), "{line}");
        }
        effects.found
    }

    /// Takes everything back that was said on the links.
    pub(super) fn say_goodbye(&mut self, now: Time) {
        let mut effects = Effects::default();
        for link in &mut self.links {
            link.mdns.say_goodbye(&mut effects);
            link.send(now, &mut effects, &mut self.faults);
        }
    }
}

impl Link {
    fn read(&mut self, now: Time, packet: &mut [u8], effects: &mut Effects) {
        for _ in 0..PACKETS_PER_TURN {
            if !self.heard {
                return;
            }
            match self.socket.recv_from(packet) {
                Ok((length, SocketAddr::V4(from))) => {
                    self.mdns.on_packet(now, from, &packet[..length], effects);
                }
                Ok((_, SocketAddr::V6(_))) => (),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.heard = false,
                // The error of an earlier packet.
                Err(error) => debug!("mdns packet lost: {error}"),
            }
        }
    }

    fn send(&mut self, now: Time, effects: &mut Effects, faults: &mut Repeats) {
        for datagram in effects.datagrams.drain(..) {
            let to = datagram.to.unwrap_or(SocketAddrV4::new(GROUP, PORT));
            let sent = self.socket.send_to(&datagram.bytes, SocketAddr::V4(to));
            if let Err(error) = sent
                && let Some(times) = faults.note(now)
            {
                // The link is down, for example. Who wants to know asks again.
                debug!("mdns packet not sent to={to} times={times}: {error}");
            }
        }
    }
}

fn in_log(level: Level) -> log::Level {
    match level {
        Level::Error => log::Level::Error,
        Level::Warn => log::Level::Warn,
        Level::Info => log::Level::Info,
        Level::Debug => log::Level::Debug,
    }
}
