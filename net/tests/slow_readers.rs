//! Browsers on loopback that stop reading: they keep nobody else from the page.
#![allow(clippy::unwrap_used)]

mod mute;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use net::http::site::{Act, Body, Exchange, Head, Heard, Site};
use net::{Listener, Reactor, Security, Settings};
use roles::contract::time::Time;

/// When readers that have stopped hold every connection, a newcomer is answered: the longest stall
/// makes room.
#[test]
fn stopped_readers_do_not_lock_the_page() {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.address();
    let security = Security::keyed([1; 32], "tests").unwrap();
    let mut reactor = Reactor::new(security, Settings::default(), 1).unwrap();
    reactor
        .serve(listener, Box::new(Songs(vec![0; 1 << 20])))
        .unwrap();
    let _handle = reactor.add(mute::host(None)).unwrap();
    let stop = reactor.stop_handle();
    let thread = thread::spawn(move || reactor.run().unwrap());

    let stopped: Vec<TcpStream> = (0..Settings::default().web_connections_max)
        .map(|_| request(address))
        .collect();
    for _ in 0..20 {
        drop(request(address));
    }
    drop(stopped);
    stop.stop();
    thread.join().unwrap();
}

/// Asks for a song and reads no more than the beginning of its answer.
fn request(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    stream
}

/// Answers every request with more bytes than the kernel buffers.
struct Songs(Vec<u8>);

impl Site for Songs {
    fn hear(&mut self, _: Time, exchange: Exchange, heard: Heard<'_>, acts: &mut Vec<Act>) {
        if let Heard::Request(_) = heard {
            let head = Head {
                status: 200,
                fields: Vec::new(),
                length: Some(1 << 30),
            };
            acts.push(Act::Answer { exchange, head });
        }
    }

    fn wants_body(&self, _: Exchange) -> bool {
        true
    }

    fn body(&mut self, _: Exchange) -> Body<'_> {
        Body::Bytes(&self.0)
    }

    fn attend(&mut self, _: Time, _: &mut Vec<Act>) {}

    fn deadline(&self) -> Option<Time> {
        None
    }
}
