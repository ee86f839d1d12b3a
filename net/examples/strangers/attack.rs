//! A node under attack: strangers that hold connections open, and honest commands meanwhile.
//!
//! The attack stays on loopback. A stranger connects, says what the attack tells it to say, and
//! waits. Each honest command starts a client of its own, as a process would, and asks once.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use net::{Host, Listener, Reactor, Security, Settings, StopHandle};
use roles::contract::id::{Incarnation, NodeId, RequestId};
use roles::contract::message::{Message, Names, Refusal};
use roles::contract::node::{Action, Asker, Event, Identity, Lost, Node, Outbox, Peer};
use roles::contract::record::{Address, Features};
use roles::contract::time::Time;
use roles::contract::user::Notice;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// How strangers attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attack {
    /// Connections that the strangers hold; what the node closes is dialled again.
    pub(crate) held: usize,
    /// Most connections dialled per second.
    pub(crate) rate: usize,
    /// Addresses that the connections come from, in turn: 127.1.0.1 and the following.
    pub(crate) addresses: usize,
    /// The bytes that each stranger sends.
    pub(crate) says: &'static [u8],
}

/// A running attack. It ends when this value is dropped.
pub(crate) struct Strangers {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<usize>>,
}

impl Strangers {
    /// Ends the attack; returns how often the strangers have dialled.
    pub(crate) fn end(mut self) -> usize {
        self.stop = None;
        self.thread
            .take()
            .map_or(0, |thread| thread.join().unwrap())
    }
}

impl Attack {
    /// Starts the attack and returns once every connection was dialled for the first time.
    pub(crate) fn start(self, target: SocketAddr) -> Strangers {
        let (stop, stopped) = mpsc::channel();
        let (full, is_full) = mpsc::channel();
        let thread = thread::spawn(move || Dialler::new(self, target).run(&stopped, &full));
        is_full.recv().unwrap();
        Strangers {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

/// Keeps the strangers' connections open.
struct Dialler {
    attack: Attack,
    target: SocketAddr,
    poll: Poll,
    /// The connections; a place is empty until it is dialled again.
    held: Vec<Option<TcpStream>>,
    /// Places to be dialled.
    empty: VecDeque<usize>,
    dialled: usize,
}

impl Dialler {
    fn new(attack: Attack, target: SocketAddr) -> Self {
        Dialler {
            attack,
            target,
            poll: Poll::new().unwrap(),
            held: (0..attack.held).map(|_| None).collect(),
            empty: (0..attack.held).collect(),
            dialled: 0,
        }
    }

    /// Dials until it is stopped; returns how often.
    fn run(&mut self, stopped: &Receiver<()>, full: &Sender<()>) -> usize {
        let mut events = Events::with_capacity(1024);
        let begun = Instant::now();
        let mut paid = 0;
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            self.poll.poll(&mut events, Some(PACE)).unwrap();
            for event in events.iter().filter(|event| event.is_read_closed()) {
                let place = event.token().0;
                if self.held[place].take().is_some() {
                    self.empty.push_back(place);
                }
            }
            // Time in which nothing could be dialled is not made up for.
            let due = (begun.elapsed().as_secs_f64() * self.attack.rate as f64) as usize;
            for _ in std::mem::replace(&mut paid, due)..due {
                self.dial_next();
            }
            if self.dialled >= self.attack.held {
                let _ = full.send(());
            }
        }
        self.dialled
    }

    fn dial_next(&mut self) {
        let Some(place) = self.empty.pop_front() else {
            return;
        };
        self.dialled += 1;
        match self.dial(place) {
            Ok(stream) => self.held[place] = Some(stream),
            Err(_) => self.empty.push_back(place),
        }
    }

    fn dial(&self, place: usize) -> io::Result<TcpStream> {
        let number = place % self.attack.addresses;
        let from: IpAddr = [127, 1, (number / 250) as u8, (number % 250) as u8 + 1].into();
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::IPV4, kind, Some(Protocol::TCP))?;
        socket.bind(&SockAddr::from(SocketAddr::new(from, 0)))?;
        // On loopback the connection stands at once, even if its result is told later.
        let _ = socket.connect(&SockAddr::from(self.target));
        let mut stream = TcpStream::from_std(socket.into());
        let _ = stream.write(self.attack.says);
        let registry = self.poll.registry();
        registry.register(&mut stream, Token(place), Interest::READABLE)?;
        Ok(stream)
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking());
        }
    }
}

/// A node that answers every question, on a loop of its own. It stops when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: StopHandle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Server {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.address();
        let mut reactor = Reactor::new(security(), Settings::default(), 1).unwrap();
        let identity = identity(1, Some(Address(address)));
        let host = host(Box::new(Answerer), identity, Some(listener));
        reactor.add(host).unwrap();
        let stop = reactor.stop_handle();
        let thread = thread::spawn(move || reactor.run().unwrap());
        Server {
            address,
            stop,
            thread: Some(thread),
        }
    }

    /// Asks one question as a client that has just started; returns how long the answer took.
    pub(crate) fn command(&self) -> Result<Duration, Lost> {
        let (told, result) = mpsc::channel();
        let server = Peer::Node(Address(self.address));
        let mut reactor = Reactor::new(security(), Settings::default(), 1).unwrap();
        let begun = Instant::now();
        let host = host(Box::new(Command { server, told }), identity(2, None), None);
        reactor.add(host).unwrap();
        reactor.run().unwrap();
        result.recv().unwrap().map(|()| begun.elapsed())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking());
        }
    }
}

/// The cluster that is attacked.
pub(crate) fn security() -> Security {
    Security::keyed([7; 32], "attacked").unwrap()
}

/// The identity of a node or, without an address, of a client.
pub(crate) fn identity(node: u128, address: Option<Address>) -> Identity {
    Identity {
        node: NodeId(node),
        incarnation: Incarnation(1),
        address,
        features: Features::default(),
    }
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

struct Answerer;

impl Node for Answerer {
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        match event {
            Event::Message { from, envelope } => {
                let asker = Asker {
                    sender: from,
                    id: envelope.id,
                    until: now + PATIENCE,
                };
                let answer = Message::Refused(Refusal::NotFound);
                out.answer_with(asker, answer, Vec::new(), false);
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

/// Asks one question and stops.
struct Command {
    server: Peer,
    told: Sender<Result<(), Lost>>,
}

impl Node for Command {
    fn handle(&mut self, _: Time, event: Event, out: &mut Outbox) {
        let result = match event {
            Event::Start => {
                let question = Message::Names(Names::Reserve);
                return out.ask(self.server, RequestId(1), PATIENCE, question, Vec::new());
            }
            Event::Message { .. } => Ok(()),
            Event::Lost { why, .. } => Err(why),
            Event::Tick
            | Event::Done { .. }
            | Event::Found { .. }
            | Event::User(_)
            | Event::Stop => return,
        };
        self.told.send(result).unwrap();
        out.push(Action::Tell(Notice::Stopped));
    }

    fn deadline(&self) -> Option<Time> {
        None
    }
}

/// How long a command waits for its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The dialling thread catches up with its rate this often.
const PACE: Duration = Duration::from_millis(1);
