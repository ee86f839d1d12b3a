//! Sockets with the options that measured best.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use log::debug;
use mio::net::TcpStream;
use roles::contract::node::Lost;
use roles::contract::record::Address;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

/// The loss that a socket error during a dial is reported as.
pub fn why_not_connected(error: &io::Error) -> Lost {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return Lost::ConnectRefused;
    }
    Lost::ConnectTimeout
}

/// Connections that may wait to be accepted: enough for a second in which the loop is busy, while
/// strangers dial. The kernel takes less if its own limit is lower.
const BACKLOG: i32 = 4096;

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

/// Makes the close a reset. Every stranger sees the same close, whether it has left bytes unread or
/// not, and the kernel remembers nothing of the connection.
pub(crate) fn reset_on_close(socket: &SockRef<'_>) {
    if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
        debug!("connection closes without a reset: {error}");
    }
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
