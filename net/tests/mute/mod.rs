//! A node that says nothing, for tests of what happens around it.

use net::{Host, Listener};
use roles::contract::id::{Incarnation, NodeId};
use roles::contract::node::{Event, Identity, Node, Outbox};
use roles::contract::record::{Address, Features};
use roles::contract::time::Time;
use roles::contract::user::Notice;

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

/// Such a node behind this listener; it stops when it is told to.
pub(crate) fn host(listener: Option<Listener>) -> Host {
    let address = listener.as_ref().map(Listener::address).map(Address);
    Host {
        node: Box::new(Mute),
        identity: Identity {
            node: NodeId(1),
            incarnation: Incarnation(1),
            address,
            features: Features::default(),
        },
        listener,
        bind_from: None,
        readers: Vec::new(),
        writer: None,
        tell: Box::new(drop),
    }
}
