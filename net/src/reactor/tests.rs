//! Tests of the loop with toy nodes that follow the test's plan, over real loopback sockets.

use super::*;
use crate::dial::Listener;
use crate::host::{Host, HostHandle};
use crate::pool::{Worker, Workers};
use crossbeam_channel::{Receiver, Sender, unbounded};
use roles::contract::id::{Incarnation, JobId, NodeId, OperationId, RequestId};
use roles::contract::job::{JobFault, JobReply, LibraryJob};
use roles::contract::node::{Identity, Lost, Node};
use roles::contract::user::Command;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicU64;
use std::thread::{self, JoinHandle};
use std::time::Instant;

#[test]
fn letters_with_a_megabyte_come_back_under_both_suites() {
    for features in [Features::default(), Features::AES] {
        let server = Toy::server(1).features(features).start();
        let client = Toy::client(2).features(features).start();
        let address = server.address();
        client.act(Action::Meet { address, features });
        for (id, body) in [(1, 0), (2, 1_000_000), (3, 500_000)] {
            client.ask(server.peer(), id, vec![id as u8; body]);
            let (from, envelope) = client.envelope();
            assert_eq!(from.node, NodeId(1));
            assert_eq!(envelope.id, RequestId(id));
            assert_eq!(envelope.body, vec![id as u8; body]);
        }
    }
}

#[test]
fn nobody_listening_is_told_and_then_backed_off() {
    let nobody = Listener::bind(loopback()).unwrap().address();
    let client = Toy::client(2).start();
    let peer = Peer::Node(Address(nobody));
    client.ask(peer, 1, Vec::new());
    assert_eq!(client.lost(), (peer, Lost::ConnectRefused));
    client.ask(peer, 2, Vec::new());
    assert_eq!(client.lost(), (peer, Lost::Backoff));
}

#[test]
fn another_key_is_refused_and_told() {
    let server = Toy::server(1).start();
    let client = Toy::client(2).key(9).start();
    client.ask(server.peer(), 1, Vec::new());
    assert_eq!(client.lost(), (server.peer(), Lost::HandshakeRefused));
    let other = Toy::client(3).start();
    other.ask(server.peer(), 1, Vec::new());
    assert_eq!(other.envelope().1.id, RequestId(1));
}

/// Peers without the key get no byte and are dropped in bounded time; others are served meanwhile.
#[test]
fn strangers_are_dropped_in_bounded_time() {
    let server = Toy::server(1).start();
    let begun = Instant::now();
    let says: [&[u8]; 4] = [b"", b"GET / HTTP/1.1\r\n\r\n", b"dspf\x01", &[0xff; 4096]];
    let strangers = says.map(|says| {
        let mut stream = TcpStream::connect(server.address().0).unwrap();
        stream.write_all(says).unwrap();
        stream
    });
    let client = Toy::client(2).start();
    client.ask(server.peer(), 1, Vec::new());
    assert_eq!(client.envelope().1.id, RequestId(1));
    for mut stream in strangers {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let read = stream.read(&mut [0; 16]);
        assert!(!matches!(read, Ok(1..)), "a stranger was answered");
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// A peer that sends a byte now and then cannot keep its handshake open.
#[test]
fn a_slow_stranger_is_dropped_all_the_same() {
    let server = Toy::server(1).start();
    let mut stream = TcpStream::connect(server.address().0).unwrap();
    let pause = Some(Duration::from_millis(300));
    stream.set_read_timeout(pause).unwrap();
    let begun = Instant::now();
    for byte in b"dspf\x01\x01abcdefghijklmnopqrstuvwxyz" {
        let gone = stream.write_all(&[*byte]).is_err();
        let waits = |e: io::Error| e.kind() == io::ErrorKind::WouldBlock;
        let waits = stream.read(&mut [0]).is_err_and(waits);
        if gone || !waits {
            assert!(begun.elapsed() < Duration::from_secs(4));
            return;
        }
    }
    panic!("still connected");
}

#[test]
fn more_strangers_than_allowed_make_room_for_each_other() {
    let settings = Settings {
        connections_max: 8,
        handshakes_max: 4,
        ..Settings::default()
    };
    let server = Toy::server(1).settings(settings).start();
    let strangers: Vec<TcpStream> = (0..8)
        .map(|_| TcpStream::connect(server.address().0).unwrap())
        .collect();
    let client = Toy::client(2).start();
    client.ask(server.peer(), 1, Vec::new());
    assert_eq!(client.envelope().1.id, RequestId(1));
    drop(strangers);
}

#[test]
fn an_idle_guest_makes_room_for_a_newcomer() {
    let settings = Settings {
        connections_max: 2,
        ..Settings::default()
    };
    let server = Toy::server(1).settings(settings).start();
    let mut guests = Vec::new();
    for node in 2..6 {
        // A guest is idle only after its acknowledgement, so the new client retries until then.
        let client = Toy::client(node).start();
        client.ask(server.peer(), 1, Vec::new());
        while let Event::Lost { .. } = client.event() {
            client.ask(server.peer(), 1, Vec::new());
        }
        guests.push(client);
    }
}

/// An answer to a guest that is gone reaches nobody, not even the next guest in the same slot.
#[test]
fn a_late_answer_goes_nowhere() {
    let server = Toy::server(1).silent().start();
    let first = Toy::client(2).start();
    first.ask(server.peer(), 1, Vec::new());
    let (from, _) = server.envelope();
    assert!(matches!(from.peer, Peer::Guest(_)));
    drop(first);
    assert_eq!(server.lost().0, from.peer);

    let second = Toy::client(3).start();
    second.ask(server.peer(), 1, Vec::new());
    let (other, _) = server.envelope();
    assert_ne!(other.peer, from.peer);
    server.act(send(from.peer, answer(1, b"late".to_vec())));
    server.act(send(other.peer, answer(1, b"right".to_vec())));
    assert_eq!(second.envelope().1.body, b"right");
}

/// A deadline is kept, no matter how much input is waiting.
#[test]
fn deadlines_are_kept_under_traffic() {
    let server = Toy::server(1).ticking().start();
    let client = Toy::client(2).start();
    for id in 0..40 {
        client.ask(server.peer(), id, vec![0; 500_000]);
    }
    for _ in 0..40 {
        client.envelope();
    }
    let ticks = server.ticks();
    assert!(ticks.len() > 1);
    let longest = ticks.windows(2).map(|pair| pair[1].since(pair[0])).max();
    assert!(longest < Some(Duration::from_secs(1)), "{longest:?}");
}

/// Bytes left unread by a budget raise no new edge, so the loop itself must remember them.
#[test]
fn what_a_budget_leaves_is_read_later() {
    let settings = Settings {
        read_budget_bytes: 100,
        ..Settings::default()
    };
    let server = Toy::server(1).settings(settings).start();
    let client = Toy::client(2).start();
    client.ask(server.peer(), 1, vec![1; 100_000]);
    assert_eq!(client.envelope().1.body.len(), 100_000);
}

/// More events than the event buffer holds are all served.
#[test]
fn a_full_event_buffer_leaves_nobody_behind() {
    let settings = Settings {
        events: 1,
        ..Settings::default()
    };
    let server = Toy::server(1).settings(settings).start();
    let clients: Vec<Toy> = (2..12).map(|node| Toy::client(node).start()).collect();
    for id in 0..5 {
        for client in &clients {
            client.ask(server.peer(), id, vec![1; 1000]);
        }
        for client in &clients {
            assert_eq!(client.envelope().1.id, RequestId(id));
        }
    }
}

/// Two nodes that dial each other at once end with one connection, and no envelope is lost.
#[test]
fn nodes_that_dial_each_other_lose_nothing() {
    for _ in 0..20 {
        let (a, b) = (Toy::server(1).start(), Toy::server(2).start());
        for id in 0..10 {
            a.ask(b.peer(), id, vec![1; 50_000]);
            b.ask(a.peer(), id, vec![2; 50_000]);
        }
        for _ in 0..10 {
            assert_eq!(a.envelope().1.body[0], 1);
            assert_eq!(b.envelope().1.body[0], 2);
        }
    }
}

#[test]
fn a_later_start_replaces_an_earlier_one() {
    let server = Toy::server(1).start();
    let old = Toy::client(2).start();
    old.ask(server.peer(), 1, Vec::new());
    old.envelope();
    let new = Toy::client(2).incarnation(2).start();
    new.ask(server.peer(), 1, Vec::new());
    new.envelope();
    assert_eq!(old.lost(), (server.peer(), Lost::Outdated));
    let late = Toy::client(2).start();
    late.ask(server.peer(), 1, Vec::new());
    assert_eq!(late.lost(), (server.peer(), Lost::Outdated));
}

#[test]
fn a_node_does_not_speak_with_itself() {
    let server = Toy::server(1).start();
    server.ask(server.peer(), 1, Vec::new());
    assert_eq!(server.lost(), (server.peer(), Lost::Misbehaved));
}

#[test]
fn a_hang_up_is_told_to_the_other_end_only() {
    let server = Toy::server(1).start();
    let client = Toy::client(2).start();
    client.ask(server.peer(), 1, Vec::new());
    client.envelope();
    let peer = server.peer();
    client.act(Action::Hang { peer });
    assert!(matches!(server.lost(), (Peer::Guest(_), Lost::Closed)));
    client.ask(peer, 2, Vec::new());
    assert_eq!(client.envelope().1.id, RequestId(2));
}

/// When a peer does not read, jobs wait instead of piling up. When the peer ends, they fail.
#[test]
fn jobs_wait_for_a_slow_peer_and_end_with_it() {
    let server = Toy::server(1).silent().feeding().start();
    let mut deaf = Deaf::connect(&server);
    deaf.ask(1);
    let (from, _) = server.envelope();
    for job in 0..40 {
        server.act(Action::Run {
            job: JobId(job),
            work: LibraryJob::Overview.into(),
            toward: Some(from.peer),
        });
    }
    // Each finished job is answered with a fragment that nobody reads.
    let mut done = 0;
    while let Event::Done { reply, .. } = server.event() {
        if reply == JobReply::Failed(JobFault::Abandoned) {
            break;
        }
        done += 1;
        if done == 4 {
            // Not all forty jobs have run: the rest is parked and ends with the peer.
            drop(deaf);
            deaf = Deaf::connect(&server);
        }
    }
    assert!(
        done < 20,
        "{done} jobs ran toward a peer that reads nothing"
    );
    drop(deaf);
}

/// A loop without open work has no timeout. The hook that frees memory runs once, a while after
/// the last job.
#[test]
fn a_loop_becomes_quiet_after_its_jobs() {
    static QUIET: AtomicU64 = AtomicU64::new(0);
    let settings = Settings {
        on_quiet: Some(|| {
            QUIET.fetch_add(1, Ordering::SeqCst);
        }),
        ..Settings::default()
    };
    let client = Toy::client(2).settings(settings).start();
    for job in 0..3 {
        client.act(Action::Run {
            job: JobId(job),
            work: LibraryJob::Overview.into(),
            toward: None,
        });
        assert!(matches!(client.event(), Event::Done { .. }));
    }
    let done = Instant::now();
    while QUIET.load(Ordering::SeqCst) == 0 {
        assert!(done.elapsed() < PATIENCE, "never quiet");
        thread::yield_now();
    }
    assert!(done.elapsed() > QUIET_AFTER / 2, "quiet too soon");
    drop(client);
    assert_eq!(QUIET.load(Ordering::SeqCst), 1);
}

#[test]
fn a_stop_with_nothing_to_say_is_immediate() {
    let (server, client) = (Toy::server(1).start(), Toy::client(2).start());
    client.ask(server.peer(), 1, Vec::new());
    client.envelope();
    let begun = Instant::now();
    drop(client);
    drop(server);
    assert!(begun.elapsed() < END_TIMEOUT);
}

#[test]
fn a_stop_ends_the_loop_even_if_a_node_does_not() {
    let stubborn = Toy::server(1).stubborn().start();
    let begun = Instant::now();
    drop(stubborn);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// A node gets the configured time to stop; a second stop request does not wait for it.
#[test]
fn a_stop_waits_as_long_as_it_may() {
    let settings = Settings {
        stop_within: Duration::from_secs(3600),
        ..Settings::default()
    };
    let patient = Toy::server(1).stubborn().ticking().settings(settings);
    let patient = patient.start();
    patient.stop.stop();
    let begun = patient.ticked.recv_timeout(PATIENCE).unwrap();
    let much_later = begun + STOP_TIMEOUT + Duration::from_millis(500);
    while patient.ticked.recv_timeout(PATIENCE).unwrap() < much_later {}
    let begun = Instant::now();
    drop(patient);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

const PATIENCE: Duration = Duration::from_secs(10);

/// The behaviour of a toy node.
#[derive(Clone, Copy)]
struct Plan {
    node: u128,
    incarnation: u64,
    listens: bool,
    echoes: bool,
    /// Finished jobs are answered at once, with a fragment for the peer that asked last.
    feeds: bool,
    stubborn: bool,
    tick_every: Option<Duration>,
    key: u8,
    features: Features,
    settings: Settings,
}

/// A running toy node, as its test sees it.
struct Toy {
    handle: HostHandle,
    stop: StopHandle,
    actions: Sender<Action>,
    heard: Receiver<Event>,
    ticked: Receiver<Time>,
    address: Option<Address>,
    thread: Option<JoinHandle<()>>,
}

impl Toy {
    fn server(node: u128) -> Plan {
        Plan {
            listens: true,
            echoes: true,
            ..Toy::client(node)
        }
    }

    fn client(node: u128) -> Plan {
        Plan {
            node,
            incarnation: 1,
            listens: false,
            echoes: false,
            feeds: false,
            stubborn: false,
            tick_every: None,
            key: 1,
            features: Features::default(),
            settings: Settings::default(),
        }
    }

    fn address(&self) -> Address {
        self.address.unwrap()
    }

    fn peer(&self) -> Peer {
        Peer::Node(self.address())
    }

    fn act(&self, action: Action) {
        self.actions.send(action).unwrap();
        let operation = OperationId(0);
        self.handle.command(Command::Close { operation }).unwrap();
    }

    fn ask(&self, to: Peer, id: u64, body: Vec<u8>) {
        let kind = Kind::Question { patience: PATIENCE };
        let envelope = Envelope {
            kind,
            ..answer(id, body)
        };
        self.act(send(to, envelope));
    }

    fn event(&self) -> Event {
        self.heard.recv_timeout(PATIENCE).unwrap()
    }

    fn envelope(&self) -> (roles::contract::node::Sender, Envelope) {
        match self.event() {
            Event::Message { from, envelope } => (from, envelope),
            other => panic!("a letter, not {other:?}"),
        }
    }

    fn lost(&self) -> (Peer, Lost) {
        match self.event() {
            Event::Lost { peer, why } => (peer, why),
            other => panic!("a loss, not {other:?}"),
        }
    }

    fn ticks(&self) -> Vec<Time> {
        self.ticked.try_iter().collect()
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        self.stop.stop();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

impl Plan {
    fn features(self, features: Features) -> Self {
        Plan { features, ..self }
    }

    fn key(self, key: u8) -> Self {
        Plan { key, ..self }
    }

    fn incarnation(self, incarnation: u64) -> Self {
        Plan {
            incarnation,
            ..self
        }
    }

    fn settings(self, settings: Settings) -> Self {
        Plan { settings, ..self }
    }

    fn silent(self) -> Self {
        Plan {
            echoes: false,
            ..self
        }
    }

    fn feeding(self) -> Self {
        Plan {
            feeds: true,
            ..self
        }
    }

    fn stubborn(self) -> Self {
        Plan {
            stubborn: true,
            ..self
        }
    }

    fn ticking(self) -> Self {
        let tick_every = Some(Duration::from_millis(5));
        Plan { tick_every, ..self }
    }

    fn start(self) -> Toy {
        let security = Security::keyed([self.key; 32], "tests").unwrap();
        let mut reactor = Reactor::new(security, self.settings, 1).unwrap();
        let listener = self.listens.then(|| Listener::bind(loopback()).unwrap());
        let address = listener.as_ref().map(|l| Address(l.address()));
        let (actions, to_do) = unbounded();
        let (hears, heard) = unbounded();
        let (ticks, ticked) = unbounded();
        let node = ToyNode {
            plan: self,
            to_do,
            hears,
            ticks,
            tick_at: None,
            asker: None,
        };
        let host = Host {
            node: Box::new(node),
            identity: Identity {
                node: NodeId(self.node),
                incarnation: Incarnation(self.incarnation),
                address,
                features: self.features,
            },
            listener,
            bind_from: None,
            readers: vec![Workers {
                library: Some(Box::new(Idle)),
                ..Workers::default()
            }],
            writer: None,
            tell: Box::new(drop),
        };
        let handle = reactor.add(host).unwrap();
        let stop = reactor.stop_handle();
        let thread = std::thread::spawn(move || reactor.run().unwrap());
        Toy {
            handle,
            stop,
            actions,
            heard,
            ticked,
            address,
            thread: Some(thread),
        }
    }
}

/// Echoes questions if planned, reports every other event to the test, and obeys its commands.
struct ToyNode {
    plan: Plan,
    to_do: Receiver<Action>,
    hears: Sender<Event>,
    ticks: Sender<Time>,
    tick_at: Option<Time>,
    asker: Option<Peer>,
}

impl Node for ToyNode {
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        match event {
            Event::Start | Event::Tick => {
                self.tick_at = self.plan.tick_every.map(|every| now + every);
                let _ = self.ticks.send(now);
            }
            Event::Found { .. } => (),
            Event::User(_) => self.to_do.try_iter().for_each(|action| out.push(action)),
            Event::Stop if self.plan.stubborn => (),
            Event::Stop => out.tell(Notice::Stopped),
            Event::Message { from, envelope } if self.plan.echoes && is_question(&envelope) => {
                let kind = Kind::Answer { more: false };
                out.push(send(from.peer, Envelope { kind, ..envelope }));
            }
            event @ (Event::Message { .. } | Event::Lost { .. } | Event::Done { .. }) => {
                self.feed(&event, out);
                let _ = self.hears.send(event);
            }
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.tick_at
    }
}

struct Idle;

impl Worker<LibraryJob> for Idle {
    fn run(&mut self, _: LibraryJob) -> JobReply {
        JobReply::Done
    }
}

impl ToyNode {
    /// Answers in the same turn: a test that answered would leave room for further jobs meanwhile.
    fn feed(&mut self, event: &Event, out: &mut Outbox) {
        match (event, self.asker) {
            (Event::Message { from, .. }, _) => self.asker = Some(from.peer),
            (Event::Done { reply, .. }, Some(peer))
                if self.plan.feeds && *reply != JobReply::Failed(JobFault::Abandoned) =>
            {
                out.push(send(peer, answer(1, vec![0; 1_000_000])));
            }
            _ => (),
        }
    }
}

/// A guest that asks and never reads.
struct Deaf {
    stream: TcpStream,
    link: crate::wire::link::Link,
    scratch: crate::wire::seal::Scratch,
}

impl Deaf {
    fn connect(server: &Toy) -> Self {
        use crate::wire::{link::Link, seal::Scratch, seal::Suite};
        let mut stream = TcpStream::connect(server.address().0).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let security = Arc::new(Security::keyed([1; 32], "tests").unwrap());
        let identity = Identity {
            node: NodeId(99),
            incarnation: Incarnation(1),
            address: None,
            features: Features::default(),
        };
        let mut link = Link::dial(Time::ZERO, &security, identity, Suite::ChaCha);
        let (mut scratch, mut events) = (Scratch::new(), Vec::new());
        while events.is_empty() {
            let mut out = Vec::new();
            link.fill(Time::ZERO, &mut scratch, &mut out, usize::MAX);
            stream.write_all(&out).unwrap();
            let mut bytes = [0; 4096];
            let n = stream.read(&mut bytes).unwrap();
            link.receive(Time::ZERO, &bytes[..n], &mut scratch, &mut events);
        }
        Deaf {
            stream,
            link,
            scratch,
        }
    }

    fn ask(&mut self, id: u64) {
        let kind = Kind::Question { patience: PATIENCE };
        let envelope = Envelope {
            kind,
            ..answer(id, Vec::new())
        };
        self.link.send(Time::ZERO, envelope).unwrap();
        let mut out = Vec::new();
        let limit = usize::MAX;
        self.link
            .fill(Time::ZERO, &mut self.scratch, &mut out, limit);
        self.stream.write_all(&out).unwrap();
    }
}

fn is_question(envelope: &Envelope) -> bool {
    matches!(envelope.kind, Kind::Question { .. })
}

fn send(to: Peer, envelope: Envelope) -> Action {
    Action::Send { to, envelope }
}

fn answer(id: u64, body: Vec<u8>) -> Envelope {
    Envelope {
        body,
        ..refusal_letter(RequestId(id), Message::Refused(Refusal::NotFound))
    }
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}
