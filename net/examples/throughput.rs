//! How fast fragments of 1 MB go from one loop to another over loopback.
//!
//! `cargo run --release -p net --example throughput [aes|chacha|plain] [fragments] [in flight]`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use net::{Host, Listener, Reactor, Security, Settings};
use roles::contract::id::{Incarnation, NodeId, RequestId};
use roles::contract::message::{Audio, Kind, Message, Names};
use roles::contract::node::{Action, Asker, Event, Identity, Node, Outbox, Peer};
use roles::contract::record::{Address, Features};
use roles::contract::time::Time;
use roles::contract::user::Notice;

fn main() {
    let mut words = std::env::args().skip(1);
    let suite = words.next().unwrap_or("aes".to_owned());
    let count = words.next().map_or(4000, |n| n.parse().unwrap());
    let in_flight = words.next().map_or(4, |n| n.parse().unwrap());
    let features = Features(u32::from(suite == "aes"));

    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let server = Address(listener.address());
    let mut serving = reactor(&suite);
    let identity = |node, address| Identity {
        node: NodeId(node),
        incarnation: Incarnation(1),
        address,
        features,
    };
    let host = host(Box::new(Giver), identity(1, Some(server)), Some(listener));
    serving.add(host).unwrap();
    let stop = serving.stop_handle();
    let thread = std::thread::spawn(move || serving.run().unwrap());

    let mut asking = reactor(&suite);
    let (done, ended) = mpsc::channel();
    let taker = Taker {
        server,
        features,
        asked: 0,
        got: 0,
        count,
        in_flight,
        done,
    };
    asking
        .add(self::host(Box::new(taker), identity(2, None), None))
        .unwrap();
    let begun = Instant::now();
    asking.run().unwrap();
    let bytes: u64 = ended.recv().unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{suite}: {:.0} MB/s, {count} fragments of 1 MB",
        bytes as f64 / seconds / 1e6
    );
    stop.stop();
    thread.join().unwrap();
}

fn reactor(suite: &str) -> Reactor {
    let security = if suite == "plain" {
        Security::insecure("bench")
    } else {
        Security::keyed([7; 32], "bench")
    };
    Reactor::new(security.unwrap(), Settings::default(), 1).unwrap()
}

fn host(node: Box<dyn Node + Send>, identity: Identity, listener: Option<Listener>) -> Host {
    Host {
        node,
        identity,
        listener,
        bind_from: None,
        readers: Vec::new(),
        writer: None,
        tell: Box::new(drop),
    }
}

/// Answers every question with a megabyte.
struct Giver;

impl Node for Giver {
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        match event {
            Event::Message { from, envelope } => {
                let asker = Asker {
                    sender: from,
                    id: envelope.id,
                    until: now + Duration::from_secs(1),
                };
                let chunk = Audio::Chunk { index: 0, load: 0 };
                out.answer_with(asker, Message::Audio(chunk), vec![1; 1_000_000], false);
            }
            Event::Stop => out.tell(Notice::Stopped),
            Event::Start
            | Event::Tick
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

/// Asks for fragments until it has the requested number.
struct Taker {
    server: Address,
    features: Features,
    asked: u64,
    got: u64,
    count: u64,
    in_flight: u64,
    done: mpsc::Sender<u64>,
}

impl Node for Taker {
    fn handle(&mut self, _: Time, event: Event, out: &mut Outbox) {
        match event {
            Event::Start => {
                let (address, features) = (self.server, self.features);
                out.push(Action::Meet { address, features });
                (0..self.in_flight).for_each(|_| self.ask(out));
            }
            Event::Message { envelope, .. } => {
                assert!(matches!(envelope.kind, Kind::Answer { .. }));
                self.got += 1;
                if self.got == self.count {
                    self.done
                        .send(self.got * envelope.body.len() as u64)
                        .unwrap();
                    return out.tell(Notice::Stopped);
                }
                self.ask(out);
            }
            Event::Lost { why, .. } => panic!("lost: {why}"),
            Event::Tick
            | Event::Done { .. }
            | Event::Found { .. }
            | Event::User(_)
            | Event::Stop => (),
        }
    }

    fn deadline(&self) -> Option<Time> {
        None
    }
}

impl Taker {
    fn ask(&mut self, out: &mut Outbox) {
        if self.asked < self.count {
            self.asked += 1;
            let patience = Duration::from_secs(30);
            let question = Message::Names(Names::Reserve);
            let to = Peer::Node(self.server);
            out.ask(to, RequestId(self.asked), patience, question, Vec::new());
        }
    }
}
