//! One look at which node answers at an address, for a process that has no loop yet.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use roles::contract::id::NodeId;
use roles::contract::node::Identity;
use roles::contract::record::Address;

use crate::clock::Clock;
use crate::wire::hello::Farewell;
use crate::wire::link::Link;
use crate::wire::seal::{Scratch, Security, own_features};

/// The node that answers at `address` within about `patience`. `None`: nobody does, or none that holds
/// the same key. The caller is a guest with the identity `guest`, which no node may have.
pub fn node_at(
    security: &Security,
    address: Address,
    guest: Identity,
    patience: Duration,
) -> Option<NodeId> {
    let mut stream = TcpStream::connect_timeout(&address.0, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.set_write_timeout(Some(patience)).ok()?;
    let (clock, security) = (Clock::start(), Arc::new(security.clone()));
    let suite = security.suite(own_features(), None);
    let mut link = Link::dial(clock.now(), &security, guest, suite);
    link.connected(clock.now());
    let (mut scratch, mut events) = (Scratch::new(), Vec::new());
    let mut buffer = [0; 1024];
    // A few hundred bytes each way: whoever sends more without a hello is no node.
    for _ in 0..READS_MAX {
        send(&mut link, &clock, &mut scratch, &mut stream)?;
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        link.receive(clock.now(), &buffer[..read], &mut scratch, &mut events);
        if let Some(hello) = link.hello() {
            let node = hello.identity.node;
            link.leave(clock.now(), Farewell::Closing);
            // The node has said who it is; it need not hear the goodbye.
            let _ = send(&mut link, &clock, &mut scratch, &mut stream);
            return Some(node);
        }
        if link.over().is_some() {
            return None;
        }
    }
    None
}

fn send(
    link: &mut Link,
    clock: &Clock,
    scratch: &mut Scratch,
    stream: &mut TcpStream,
) -> Option<()> {
    let mut out = Vec::new();
    link.fill(clock.now(), scratch, &mut out, usize::MAX);
    stream.write_all(&out).ok()
}

const READS_MAX: usize = 16;
