//! DNS packets of any program, without sockets: who may ask how often, and packets in a stream.
//!
//! What a packet means is the node's business (`roles`); here it is bytes with a length.

pub mod rate;
pub mod stream;

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::dial::Listener;

/// Both sockets of a DNS server, at one address.
#[derive(Debug)]
pub struct DnsListener {
    pub(crate) udp: mio::net::UdpSocket,
    pub(crate) tcp: Listener,
    address: SocketAddr,
}

impl DnsListener {
    /// Binds both sockets. With port 0 the system chooses one that is free for both.
    pub fn bind(address: SocketAddr) -> io::Result<DnsListener> {
        let mut tries = if address.port() == 0 { TRIES } else { 1 };
        loop {
            let tcp = Listener::bind(address)?;
            tries -= 1;
            match datagrams(tcp.address()) {
                Ok(udp) => {
                    let address = tcp.address();
                    return Ok(DnsListener { udp, tcp, address });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => (),
                Err(error) => return Err(error),
            }
        }
    }

    /// The bound address, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn datagrams(address: SocketAddr) -> io::Result<mio::net::UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    // The kernel gives as much as its own limit allows; with less, more questions are lost.
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(mio::net::UdpSocket::from_std(socket.into()))
}

/// Questions that may wait while the loop is busy or has no processor: some ten milliseconds of 20 000 a
/// second take the kernel's 200 kB. Memory is used only while they wait.
const RECEIVE_BYTES: usize = 1 << 20;

/// How often a port that is free for TCP may be taken for UDP.
const TRIES: u32 = 16;
