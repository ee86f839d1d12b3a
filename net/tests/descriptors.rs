//! Counts file descriptors; a separate test binary, so that no other test opens any meanwhile.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use net::{Host, Listener, Reactor, Security, Settings};
use roles::contract::id::{Incarnation, NodeId};
use roles::contract::node::{Event, Identity, Node, Outbox};
use roles::contract::record::{Address, Features};
use roles::contract::time::Time;
use roles::contract::user::Notice;

/// After a thousand connections without the key, no descriptor stays open.
#[test]
#[cfg(target_os = "linux")]
fn short_connections_leave_no_descriptor_behind() {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.address();
    let security = Security::keyed([1; 32], "tests").unwrap();
    let mut reactor = Reactor::new(security, Settings::default(), 1).unwrap();
    let host = host(listener);
    let _handle = reactor.add(host).unwrap();
    let stop = reactor.stop_handle();
    let thread = std::thread::spawn(move || reactor.run().unwrap());

    refused(address);
    let before = descriptors();
    for _ in 0..1200 {
        refused(address);
    }
    // The listener closes its end before the stranger sees the end, so nothing is under way.
    assert!(descriptors() <= before + 1);
    stop.stop();
    thread.join().unwrap();
}

fn refused(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // As long as the longest opening: a shorter one would be waited for.
    std::io::Write::write_all(&mut stream, &[b'?'; 91]).unwrap();
    assert!(!matches!(stream.read(&mut [0; 8]), Ok(1..)));
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

struct Mute;

impl Node for Mute {
    fn handle(&mut self, _: Time, event: Event, out: &mut Outbox) {
        if event == Event::Stop {
            out.tell(Notice::Stopped);
        }
    }

    fn deadline(&self) -> Option<Time> {
        None
    }
}

fn host(listener: Listener) -> Host {
    Host {
        node: Box::new(Mute),
        identity: Identity {
            node: NodeId(1),
            incarnation: Incarnation(1),
            address: Some(Address(listener.address())),
            features: Features::default(),
        },
        listener: Some(listener),
        bind_from: None,
        readers: Vec::new(),
        writer: None,
        tell: Box::new(drop),
    }
}
