//! Sockets for multicast DNS, and one look on the links for a process that has no loop.
//!
//! What a packet means is the business of `roles::mdns`; here it is bytes on a link.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use log::debug;
use mio::{Events, Interest, Poll, Token};
use roles::contract::record::Address;
use roles::mdns::{self, Cluster, GROUP, PACKET_BYTES_MAX, PORT};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// An address of this machine, and how many bits of it all machines of its link have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// This machine.
    pub address: Ipv4Addr,
    /// Bits of the link's network.
    pub prefix: u8,
}

/// A socket in the group of multicast DNS on one link. It shares the port with every other program that
/// speaks multicast DNS, and takes none of the packets that are meant for one of them alone.
#[derive(Debug)]
pub struct MdnsSocket(pub(crate) mio::net::UdpSocket);

impl MdnsSocket {
    /// Joins the group on the link of this address.
    pub fn open(address: Ipv4Addr) -> io::Result<MdnsSocket> {
        let socket = datagrams(address)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        // Without this, what other sockets have joined would arrive here, too.
        socket.set_multicast_all_v4(false)?;
        socket.bind(&SockAddr::from(SocketAddrV4::new(GROUP, PORT)))?;
        socket.join_multicast_v4(&GROUP, &address)?;
        // Other processes of this machine are to hear this one.
        socket.set_multicast_loop_v4(true)?;
        Ok(MdnsSocket(mio::net::UdpSocket::from_std(socket.into())))
    }
}

/// A socket whose packets to the group leave on the link of this address.
fn datagrams(address: Ipv4Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_multicast_if_v4(&address)?;
    // A packet that crossed a router would have less (RFC 6762, section 11).
    socket.set_multicast_ttl_v4(TTL)?;
    socket.set_ttl_v4(TTL)?;
    Ok(socket)
}

/// Asks all links at once for DNS nodes of the cluster; gives what is told within about `patience`, and
/// soon after the first answer. Blocks. What is told is a hint: the key decides.
pub fn look_for_dns(links: &[Link], cluster: &Cluster, patience: Duration) -> Vec<Address> {
    let opened = links.iter().filter_map(|link| {
        let ask = || {
            let socket = datagrams(link.address)?;
            socket.bind(&SockAddr::from(SocketAddrV4::new(link.address, 0)))?;
            Ok::<_, io::Error>((*link, UdpSocket::from(socket)))
        };
        let failed = |error: &io::Error| debug!("mdns {} not asked: {error}", link.address);
        ask().inspect_err(failed).ok()
    });
    let asked: Vec<(Link, UdpSocket)> = opened.collect();
    listen(asked, cluster, patience).unwrap_or_else(|error| {
        debug!("mdns not asked: {error}");
        Vec::new()
    })
}

fn listen(
    asked: Vec<(Link, UdpSocket)>,
    cluster: &Cluster,
    patience: Duration,
) -> io::Result<Vec<Address>> {
    let mut poll = Poll::new()?;
    let mut sockets = Vec::new();
    for (number, (link, socket)) in asked.into_iter().enumerate() {
        let mut socket = mio::net::UdpSocket::from_std(socket);
        poll.registry()
            .register(&mut socket, Token(number), Interest::READABLE)?;
        sockets.push((link, socket));
    }
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let (mut found, mut events) = (Vec::new(), Events::with_capacity(16));
    let mut until = Instant::now() + patience;
    let mut ask_at = Instant::now();
    while Instant::now() < until {
        if ask_at <= Instant::now() {
            sockets.iter().for_each(|(_, socket)| ask(socket));
            ask_at += ASK_AGAIN;
        }
        let wait = ask_at.min(until).saturating_duration_since(Instant::now());
        match poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(()) | Err(_) => (),
        }
        let before = found.len();
        for (link, socket) in &sockets {
            hear(*link, socket, cluster, &mut found);
        }
        if before == 0 && !found.is_empty() {
            until = until.min(Instant::now() + GRACE);
        }
    }
    Ok(found)
}

fn ask(socket: &mio::net::UdpSocket) {
    let group = SocketAddr::V4(SocketAddrV4::new(GROUP, PORT));
    if let Err(error) = socket.send_to(&mdns::question(), group) {
        debug!("mdns question not sent: {error}");
    }
}

fn hear(link: Link, socket: &mio::net::UdpSocket, cluster: &Cluster, found: &mut Vec<Address>) {
    let mut packet = [0; PACKET_BYTES_MAX];
    for _ in 0..HEARD_MAX {
        match socket.recv_from(&mut packet) {
            Ok((length, SocketAddr::V4(from))) if link.is_near(*from.ip()) => {
                for address in mdns::answered(cluster, *from.ip(), &packet[..length]) {
                    if !found.contains(&address) && found.len() < mdns::FOUND_MAX {
                        found.push(address);
                    }
                }
            }
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => debug!("mdns answer lost: {error}"),
        }
    }
}

impl Link {
    /// Whether this address is one of the link.
    pub fn is_near(self, ip: Ipv4Addr) -> bool {
        let network = |ip: Ipv4Addr| {
            let bits = 32 - u32::from(self.prefix.min(32));
            u32::from(ip).checked_shr(bits).unwrap_or(0)
        };
        network(ip) == network(self.address)
    }
}

/// What packets of multicast DNS are sent with.
const TTL: u32 = 255;

/// How long further answers are waited for after the first one.
const GRACE: Duration = Duration::from_millis(50);

/// When the question is put once more: the first may be lost.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// Answers read in one go.
const HEARD_MAX: usize = 64;
