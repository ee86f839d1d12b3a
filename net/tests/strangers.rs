//! Strangers on loopback: nobody without the cluster key keeps an honest peer out, or learns
//! anything from the way it is turned away.
#![allow(clippy::unwrap_used)]

#[path = "../examples/strangers/attack.rs"]
mod attack;

use attack::{Attack, Server};

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
    drop(strangers);
}
