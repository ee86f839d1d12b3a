//! A node that works as it should, but whose answers and envelopes a test replaces.

use roles::client::Client;
use roles::contract::message::{Envelope, Kind, Message};
use roles::contract::node::{Action, Event, Node, Outbox};
use roles::contract::time::Time;
use roles::server::Server;

use crate::resident::Resident;

/// The answer to give instead of the node's own; none: the node handles the envelope.
type Hear = Box<dyn FnMut(&Envelope) -> Option<Message>>;

/// A node, wrapped so that a test can replace what it says.
pub struct Liar {
    inner: Box<dyn Resident>,
    hear: Hear,
    say: Box<dyn FnMut(&mut Envelope)>,
}

impl Liar {
    /// Changes nothing until [`Liar::hearing`] or [`Liar::saying`] is called.
    pub fn new(inner: Box<dyn Resident>) -> Self {
        Liar {
            inner,
            hear: Box::new(|_| None),
            say: Box::new(|_| ()),
        }
    }

    /// Asks `hear` for an answer to each envelope. When it gives one, that is sent and the node
    /// inside never sees the envelope.
    #[must_use]
    pub fn hearing(self, hear: impl FnMut(&Envelope) -> Option<Message> + 'static) -> Self {
        let hear = Box::new(hear);
        Liar { hear, ..self }
    }

    /// Lets `say` change each envelope before it is sent.
    #[must_use]
    pub fn saying(self, say: impl FnMut(&mut Envelope) + 'static) -> Self {
        let say = Box::new(say);
        Liar { say, ..self }
    }
}

impl Node for Liar {
    fn handle(&mut self, now: Time, event: Event, out: &mut Outbox) {
        if let Event::Message { from, envelope } = &event
            && let Some(message) = (self.hear)(envelope)
        {
            let envelope = Envelope {
                id: envelope.id,
                kind: Kind::Answer { more: false },
                message,
                body: Vec::new(),
            };
            let to = from.peer;
            return out.push(Action::Send { to, envelope });
        }
        let mut own = Outbox::new();
        self.inner.handle(now, event, &mut own);
        while let Some(mut action) = own.pop() {
            if let Action::Send { envelope, .. } = &mut action {
                (self.say)(envelope);
            }
            out.push(action);
        }
    }

    fn set_clock(&mut self, unix_ms: u64) {
        self.inner.set_clock(unix_ms);
    }

    fn deadline(&self) -> Option<Time> {
        self.inner.deadline()
    }
}

impl Resident for Liar {
    fn server(&self) -> Option<&Server> {
        self.inner.server()
    }

    fn client(&self) -> Option<&Client> {
        self.inner.client()
    }
}
