//! One look at the node that answers at an address, for a process that has no loop.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use roles::contract::id::{NodeId, RequestId};
use roles::contract::message::{Envelope, Kind, Message};
use roles::contract::node::{Identity, Lost};
use roles::contract::record::Address;

use crate::clock::Clock;
use crate::dial::why_not_connected;
use crate::wire::hello::Farewell;
use crate::wire::link::{Link, LinkEvent};
use crate::wire::seal::{Scratch, Security, own_features};

/// The node that answers at `address` within about `patience`. `None`: nobody does, or none that holds
/// the same key. The caller is a guest with the identity `guest`, which no node may have.
pub fn node_at(
    security: &Security,
    address: Address,
    guest: Identity,
    patience: Duration,
) -> Option<NodeId> {
    let mut visit = Visit::open(security, address, guest, patience).ok()?;
    let node = visit.until(|visit| visit.link.hello().map(|hello| hello.identity.node));
    // The node has said who it is; it need not hear the goodbye.
    visit.leave();
    node.ok()
}

/// Puts questions to the node at `address`, and gives its answers in the order of the questions. Each
/// wait ends after about `patience`; a node that stays silent for so long is `Lost::Silent`. Meant for
/// a few questions with short answers.
pub fn ask_at(
    security: &Security,
    address: Address,
    guest: Identity,
    questions: Vec<Message>,
    patience: Duration,
) -> Result<Vec<Message>, Lost> {
    let mut visit = Visit::open(security, address, guest, patience)?;
    visit.until(|visit| visit.link.hello().map(|_| ()))?;
    let mut answers: Vec<Option<Message>> = questions.iter().map(|_| None).collect();
    for (number, message) in questions.into_iter().enumerate() {
        let envelope = Envelope {
            id: RequestId(number as u64),
            kind: Kind::Question { patience },
            message,
            body: Vec::new(),
        };
        let sent = visit.link.send(visit.clock.now(), envelope);
        sent.map_err(|_| Lost::Misbehaved)?;
    }
    let all = visit.until(|visit| {
        for event in visit.events.drain(..) {
            if let LinkEvent::Envelope(envelope) = event
                && let Kind::Answer { .. } = envelope.kind
                && let Some(place) = answers.get_mut(envelope.id.0 as usize)
            {
                *place = Some(envelope.message);
            }
        }
        answers.iter().all(Option::is_some).then_some(())
    });
    visit.leave();
    all?;
    Ok(answers.into_iter().flatten().collect())
}

/// One connection, and what came by it.
struct Visit {
    stream: TcpStream,
    clock: Clock,
    link: Link,
    scratch: Scratch,
    events: Vec<LinkEvent>,
    patience: Duration,
}

impl Visit {
    fn open(
        security: &Security,
        address: Address,
        guest: Identity,
        patience: Duration,
    ) -> Result<Visit, Lost> {
        let stream = TcpStream::connect_timeout(&address.0, patience);
        let stream = stream.map_err(|error| why_not_connected(&error))?;
        let limited = stream
            .set_read_timeout(Some(patience))
            .and_then(|()| stream.set_write_timeout(Some(patience)));
        limited.map_err(|_| Lost::ConnectTimeout)?;
        let (clock, security) = (Clock::start(), Arc::new(security.clone()));
        let suite = security.suite(own_features(), None);
        let mut link = Link::dial(clock.now(), &security, guest, suite);
        link.connected(clock.now());
        Ok(Visit {
            stream,
            clock,
            link,
            scratch: Scratch::new(),
            events: Vec::new(),
            patience,
        })
    }

    /// Sends and reads until `done` gives something, for about twice the patience at most.
    fn until<T>(&mut self, mut done: impl FnMut(&mut Visit) -> Option<T>) -> Result<T, Lost> {
        let until = self.clock.now() + 2 * self.patience;
        let mut buffer = [0; 4096];
        loop {
            if let Some(result) = done(self) {
                return Ok(result);
            }
            if let Some(lost) = self.link.over() {
                return Err(lost);
            }
            if self.clock.now() >= until {
                return Err(Lost::Silent);
            }
            self.send().map_err(|_| Lost::Closed)?;
            match self.stream.read(&mut buffer) {
                Ok(0) => self.link.on_closed(false),
                Ok(read) => {
                    let now = self.clock.now();
                    let (scratch, events) = (&mut self.scratch, &mut self.events);
                    self.link.receive(now, &buffer[..read], scratch, events);
                }
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    self.link.on_closed(true);
                }
                Err(_) => return Err(Lost::Silent),
            }
        }
    }

    fn send(&mut self) -> std::io::Result<()> {
        let mut out = Vec::new();
        let now = self.clock.now();
        self.link.fill(now, &mut self.scratch, &mut out, usize::MAX);
        self.stream.write_all(&out)
    }

    fn leave(&mut self) {
        self.link.leave(self.clock.now(), Farewell::Closing);
        let _ = self.send();
    }
}
