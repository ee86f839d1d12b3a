//! Counts file descriptors; a separate test binary, so that no other test opens any meanwhile.
#![allow(clippy::unwrap_used)]

mod mute;

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use net::{Listener, Reactor, Security, Settings};

/// After a thousand connections without the key, no descriptor stays open.
#[test]
#[cfg(target_os = "linux")]
fn short_connections_leave_no_descriptor_behind() {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.address();
    let security = Security::keyed([1; 32], "tests").unwrap();
    let mut reactor = Reactor::new(security, Settings::default(), 1).unwrap();
    let host = mute::host(Some(listener));
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
