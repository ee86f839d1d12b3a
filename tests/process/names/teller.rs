//! A DNS node that only tells another one of servers that do not exist.

use std::sync::mpsc::{Sender, channel};

use net::{Host, Reactor, Security};
use roles::contract::id::{Incarnation, NodeId, RequestId};
use roles::contract::message::{Kind, Message, Names};
use roles::contract::node::{Event, Identity, Node, Outbox, Peer};
use roles::contract::record::{Address, Features, Record, Role};
use roles::contract::time::Time;
use roles::contract::user::Notice;

use crate::lab::{PATIENCE, Server, within};
use crate::netlab;

/// Tells the DNS node of so many data nodes, and waits until it has heard.
pub(super) fn tell(dns: &Server, count: u8) {
    let to = Address(dns.address.parse().expect("an address"));
    let told = within(PATIENCE, move || run(to, count));
    told.expect("the dns node answers");
}

/// The same from host 1 of a network.
pub(super) fn tell_from_host(dns: &Server, count: u8) {
    let address = dns.address.clone();
    let mut again = std::process::Command::new("ip");
    again.args(["netns", "exec", &netlab::host(1)]);
    again.arg(std::env::current_exe().expect("this test has a path"));
    again.args(["--exact", "names::teller::in_another_network", "--ignored"]);
    again.env(TO, address).env(COUNT, count.to_string());
    let output = again.output().expect("ip runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

const TO: &str = "TELLER_TO";
const COUNT: &str = "TELLER_COUNT";

/// Not a test of its own: what [`tell_from_host`] runs inside a host.
#[test]
#[ignore = "it is run by another test, inside its network"]
fn in_another_network() {
    let (Ok(to), Ok(count)) = (std::env::var(TO), std::env::var(COUNT)) else {
        return;
    };
    let to = Address(to.parse().expect("an address"));
    run(to, count.parse().expect("a number"));
}

fn run(to: Address, count: u8) {
    let security = Security::keyed([0x5e; 32], "dispotify").expect("a short name");
    let mut reactor = Reactor::new(security, net::Settings::default(), 1).expect("a loop");
    let (heard, hears) = channel();
    let host = Host {
        node: Box::new(Teller { to, count, heard }),
        identity: Identity {
            node: NodeId(u128::MAX),
            incarnation: Incarnation(1),
            address: None,
            features: Features::default(),
        },
        listener: None,
        bind_from: None,
        readers: Vec::new(),
        writer: None,
        tell: Box::new(drop),
    };
    reactor.add(host).expect("room");
    let stop = reactor.stop_handle();
    let runs = std::thread::spawn(move || reactor.run());
    let answer = hears.recv_timeout(PATIENCE);
    stop.stop();
    runs.join().expect("no panic").expect("no failure");
    assert!(
        matches!(answer, Ok(Message::Names(Names::Shared { .. }))),
        "{answer:?}"
    );
}

struct Teller {
    to: Address,
    count: u8,
    heard: Sender<Message>,
}

impl Node for Teller {
    fn handle(&mut self, _: Time, event: Event, out: &mut Outbox) {
        match event {
            Event::Start => {
                let records = (0..self.count).map(record).collect();
                let share = Names::Share {
                    records,
                    pull: false,
                };
                let patience = PATIENCE;
                out.ask(
                    Peer::Node(self.to),
                    RequestId(1),
                    patience,
                    Message::Names(share),
                    vec![],
                );
            }
            Event::Message { envelope, .. } if matches!(envelope.kind, Kind::Answer { .. }) => {
                // The test may have given up.
                let _ = self.heard.send(envelope.message);
            }
            Event::Stop => out.tell(Notice::Stopped),
            Event::Tick
            | Event::Message { .. }
            | Event::Lost { .. }
            | Event::Done { .. }
            | Event::Found { .. }
            | Event::User(_) => (),
        }
    }

    fn deadline(&self) -> Option<Time> {
        None
    }
}

fn record(n: u8) -> Record {
    Record {
        role: Role::Data,
        node: NodeId(u128::from(n) + 1),
        incarnation: Incarnation(1),
        renewals: 1,
        address: Address(([127, 0, 1, n + 1], 7700).into()),
        features: Features::default(),
        weight: 1,
        ttl_ms: 30_000,
    }
}
