//! Sockets with the options that measured best, and the backoff after failed dials.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use roles::contract::record::Address;
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

/// How long a TCP connect may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// First pause after a failed dial. Each further failure doubles the pause, up to the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LONGEST: Duration = Duration::from_secs(5);

/// Addresses whose failures are remembered.
const BACKOFF_ADDRESSES_MAX: usize = 1024;

/// Sizes of the kernel's buffers. Left alone by default: the kernel's own tuning is faster.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketBuffers {
    /// Bytes of SO_SNDBUF.
    pub send: Option<usize>,
    /// Bytes of SO_RCVBUF.
    pub receive: Option<usize>,
}

/// Starts a connect without blocking; the socket becomes writable when the connect ends either way.
pub(crate) fn connect(
    address: Address,
    from: Option<IpAddr>,
    buffers: SocketBuffers,
) -> io::Result<TcpStream> {
    let domain = Domain::for_address(address.0);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    tune(&SockRef::from(&socket), buffers)?;
    // A node dials from its own address, so that nodes on 127.x can be told apart.
    if let Some(ip) = from.filter(|ip| !ip.is_unspecified() && ip.is_ipv4() == address.0.is_ipv4())
    {
        socket.bind(&SockAddr::from(SocketAddr::new(ip, 0)))?;
    }
    match socket.connect(&SockAddr::from(address.0)) {
        Ok(()) => (),
        Err(error) if is_under_way(&error) => (),
        Err(error) => return Err(error),
    }
    Ok(TcpStream::from_std(socket.into()))
}

fn is_under_way(error: &io::Error) -> bool {
    // EINPROGRESS is 115 on Linux and 36 elsewhere; it has no stable kind.
    error.kind() == io::ErrorKind::WouldBlock || matches!(error.raw_os_error(), Some(115 | 36))
}

/// The options of every connection, dialled or accepted.
pub(crate) fn tune(socket: &SockRef<'_>, buffers: SocketBuffers) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15));
    socket.set_tcp_keepalive(&keepalive)?;
    if let Some(bytes) = buffers.send {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = buffers.receive {
        socket.set_recv_buffer_size(bytes)?;
    }
    Ok(())
}

/// A bound socket on which a node is reached.
#[derive(Debug)]
pub struct Listener {
    pub(crate) socket: mio::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds and listens. Port 0 lets the system choose.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        // A restarted node gets its port back at once.
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        let socket = mio::net::TcpListener::from_std(socket.into());
        let address = socket.local_addr()?;
        Ok(Listener { socket, address })
    }

    /// The bound address, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Addresses with failed dials, and the time before which each is not dialled again.
#[derive(Debug, Default)]
pub(crate) struct Backoffs(BTreeMap<Address, Backoff>);

#[derive(Clone, Copy, Debug)]
struct Backoff {
    failures: u32,
    until: Time,
}

impl Backoffs {
    /// Whether the backoff still forbids a dial to `address`.
    pub(crate) fn holds(&self, address: Address, now: Time) -> bool {
        self.0.get(&address).is_some_and(|b| b.until > now)
    }

    /// Notes a failed dial. The pause doubles; half of it is random, so that nodes spread out.
    pub(crate) fn failed(&mut self, address: Address, now: Time, rng: &mut Rng) {
        if self.0.len() >= BACKOFF_ADDRESSES_MAX && !self.0.contains_key(&address) {
            self.0.retain(|_, b| b.until > now);
            if self.0.len() >= BACKOFF_ADDRESSES_MAX {
                self.0.pop_first();
            }
        }
        let backoff = self.0.entry(address).or_insert(Backoff {
            failures: 0,
            until: now,
        });
        let doubled = BACKOFF_FIRST * (1 << backoff.failures.min(10));
        let pause = doubled.min(BACKOFF_LONGEST);
        backoff.failures += 1;
        backoff.until = now + pause / 2 + rng.within(pause / 2);
    }

    /// Ends the backoff of an address that has answered.
    pub(crate) fn succeeded(&mut self, address: Address) {
        self.0.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that is full of others keeps the pauses of the addresses that are in it.
    #[test]
    fn a_full_table_forgets_no_address_that_is_in_it() {
        let (mut backoffs, mut rng) = (Backoffs::default(), Rng::from_seed(1));
        let address = |n: u16| Address(([127, 0, 0, 1], n).into());
        let count = u16::try_from(BACKOFF_ADDRESSES_MAX).expect("it fits a port");
        for n in 1..=count {
            backoffs.failed(address(n), Time::ZERO, &mut rng);
        }
        backoffs.failed(address(count), Time::ZERO, &mut rng);
        let held = (1..=count).filter(|n| backoffs.holds(address(*n), Time::ZERO));
        assert_eq!(held.count(), usize::from(count));
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_success() {
        let (mut backoffs, mut rng) = (Backoffs::default(), Rng::from_seed(1));
        let address = Address(([127, 0, 0, 1], 1).into());
        backoffs.failed(address, Time::ZERO, &mut rng);
        assert!(backoffs.holds(address, Time::from_millis(49)));
        assert!(!backoffs.holds(address, Time::from_millis(101)));
        for _ in 0..40 {
            backoffs.failed(address, Time::ZERO, &mut rng);
        }
        assert!(backoffs.holds(address, Time::from_millis(2400)));
        assert!(!backoffs.holds(address, Time::from_millis(5001)));
        backoffs.succeeded(address);
        assert!(!backoffs.holds(address, Time::ZERO));
    }

    #[test]
    fn failures_of_any_number_of_addresses_take_bounded_room() {
        let (mut backoffs, mut rng) = (Backoffs::default(), Rng::from_seed(1));
        for port in 1..=u16::MAX {
            let address = Address(([127, 0, 0, 1], port).into());
            backoffs.failed(address, Time::ZERO, &mut rng);
        }
        assert!(backoffs.0.len() <= BACKOFF_ADDRESSES_MAX);
    }
}
