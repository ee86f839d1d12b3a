//! Strangers on loopback: nobody without the cluster key keeps an honest peer out, or learns
//! anything from the way it is turned away.
#![allow(clippy::unwrap_used)]

#[path = "../examples/strangers/attack.rs"]
mod attack;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use attack::{Attack, Server};
use net::Security;
use net::wire::link::Link;
use net::wire::seal::{Scratch, Suite};
use roles::contract::time::Time;

/// Connections that say nothing, from one address, leave room for every command.
#[test]
fn silent_strangers_shut_nobody_out() {
    shut_nobody_out(1, b"");
}

/// The same from many addresses, none of which holds many connections.
#[test]
fn silent_strangers_from_many_addresses_shut_nobody_out() {
    shut_nobody_out(200, b"");
}

/// The beginning of an opening buys a stranger no place.
#[test]
fn half_an_opening_shuts_nobody_out() {
    shut_nobody_out(1, b"dspf");
}

/// Few enough connections for a process that may open 1024 files.
fn shut_nobody_out(addresses: usize, says: &'static [u8]) {
    let server = Server::start();
    let attack = Attack {
        held: 600,
        rate: 1000,
        addresses,
        says,
    };
    let strangers = attack.start(server.address);
    for command in 0..20 {
        let answered = server.command();
        assert!(answered.is_ok(), "command {command}: {answered:?}");
    }
    assert!(strangers.end() >= attack.held);
}

/// A stranger with a wrong byte anywhere sees one kind of close, and no byte.
#[test]
fn every_stranger_is_closed_alike() {
    let server = Server::start();
    let right = opening(&attack::security());
    // The two bytes that say how long the opening is are left alone.
    for at in (0..right.len()).filter(|at| ![5, 10].contains(at)) {
        let mut wrong = right.clone();
        wrong[at] ^= 0x55;
        assert_eq!(ending(&server, &wrong), ErrorKind::ConnectionReset, "{at}");
    }
}

/// Whoever sends a recorded opening again is a stranger like any other.
#[test]
fn a_replayed_opening_is_not_answered() {
    let server = Server::start();
    let recorded = opening(&attack::security());
    let mut honest = TcpStream::connect(server.address).unwrap();
    honest.set_read_timeout(Some(PATIENCE)).unwrap();
    honest.write_all(&recorded).unwrap();
    assert!(honest.read(&mut [0; 64]).unwrap() > 0);
    assert_eq!(ending(&server, &recorded), ErrorKind::ConnectionReset);
}

/// The bytes with which a dialer opens a connection.
fn opening(security: &Security) -> Vec<u8> {
    let security = Arc::new(security.clone());
    let mut link = Link::dial(
        Time::ZERO,
        &security,
        attack::identity(3, None),
        Suite::ChaCha,
    );
    let mut bytes = Vec::new();
    link.fill(Time::ZERO, &mut Scratch::new(), &mut bytes, usize::MAX);
    bytes
}

/// How the server ends a connection that begins with these bytes, without a byte of its own.
fn ending(server: &Server, says: &[u8]) -> ErrorKind {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(says).unwrap();
    match stream.read(&mut [0; 64]) {
        Ok(0) => ErrorKind::UnexpectedEof,
        Ok(n) => panic!("{n} bytes were answered"),
        Err(error) => error.kind(),
    }
}

/// Longer than the server keeps an unfinished handshake.
const PATIENCE: Duration = Duration::from_secs(10);
