//! A connection to one node that asks one question at a time and waits for the answer: for what a
//! run must know before it begins, and for small jobs around benchmarks.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use net::wire::link::{Link, LinkEvent};
use net::wire::seal::Scratch;
use net::{Clock, Security, why_not_connected};
use roles::contract::id::RequestId;
use roles::contract::message::{Envelope, Kind, Message};
use roles::contract::node::{Identity, Lost};

/// How long a connect, and the answer to a question, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a node.
pub(crate) struct Asker {
    stream: TcpStream,
    link: Link,
    clock: Clock,
    scratch: Scratch,
    events: Vec<LinkEvent>,
    count: u64,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The connection failed or ended.
    Lost(Lost),
    /// The node was silent for too long.
    Late,
}

impl Asker {
    /// Dials a node and completes the handshake.
    pub(crate) fn dial(
        address: SocketAddr,
        security: &Security,
        identity: Identity,
    ) -> Result<Self, Unanswered> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .map_err(|error| Unanswered::Lost(why_not_connected(&error)))?;
        let tuned = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        tuned.map_err(|_| Unanswered::Lost(Lost::Reset))?;
        let clock = Clock::start();
        // What the node's processor can do is not known; the suite that every one has will do.
        let suite = security.suite(identity.features, None);
        let link = Link::dial(clock.now(), &Arc::new(security.clone()), identity, suite);
        let mut asker = Asker {
            stream,
            link,
            clock,
            scratch: Scratch::new(),
            events: Vec::new(),
            count: 0,
        };
        while asker.link.hello().is_none() {
            asker.turn()?;
        }
        Ok(asker)
    }

    /// Asks a question; gives the answer and the bytes that follow it.
    pub(crate) fn ask(&mut self, message: Message) -> Result<(Message, Vec<u8>), Unanswered> {
        self.count += 1;
        let id = RequestId(self.count);
        let patience = PATIENCE;
        let envelope = Envelope {
            id,
            kind: Kind::Question { patience },
            message,
            body: Vec::new(),
        };
        let sent = self.link.send(self.clock.now(), envelope);
        sent.map_err(|_| Unanswered::Lost(Lost::Closed))?;
        loop {
            let answer = self.events.drain(..).find_map(|event| match event {
                LinkEvent::Envelope(envelope) if envelope.id == id => Some(envelope),
                LinkEvent::Envelope(_) | LinkEvent::Opened(_) => None,
            });
            if let Some(envelope) = answer {
                return Ok((envelope.message, envelope.body));
            }
            self.turn()?;
        }
    }

    /// Sends what is queued and waits for more bytes.
    fn turn(&mut self) -> Result<(), Unanswered> {
        let mut out = Vec::new();
        let now = self.clock.now();
        self.link.fill(now, &mut self.scratch, &mut out, usize::MAX);
        if let Err(error) = self.stream.write_all(&out) {
            return Err(self.interrupted(&error));
        }
        let mut bytes = [0; 64 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.link.on_closed(false),
            Ok(n) => {
                let (now, scratch) = (self.clock.now(), &mut self.scratch);
                self.link
                    .receive(now, &bytes[..n], scratch, &mut self.events);
            }
            Err(error) => return Err(self.interrupted(&error)),
        }
        self.link
            .over()
            .map_or(Ok(()), |why| Err(Unanswered::Lost(why)))
    }

    /// What an error of the socket means. The link knows best: a node resets the connection of a
    /// peer that does not hold the key.
    fn interrupted(&mut self, error: &io::Error) -> Unanswered {
        let late = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        if late.contains(&error.kind()) {
            return Unanswered::Late;
        }
        self.link.on_closed(true);
        Unanswered::Lost(self.link.over().unwrap_or(Lost::Reset))
    }
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unanswered::Lost(why) => why.fmt(f),
            Unanswered::Late => f.write_str("it did not answer in time"),
        }
    }
}
