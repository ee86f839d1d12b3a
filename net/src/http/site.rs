//! The interface between the loop and the code that answers requests.
//!
//! The loop passes events to a [`Site`], asks it for bytes as sockets accept them, and carries out
//! the [`Act`]s that it orders. A site is called on the loop, so it must not block. The loop
//! buffers only the head of an answer; so a site alone decides how much memory answers take.

use roles::contract::id::NodeId;
use roles::contract::node::Figure;
use roles::contract::time::Time;

use super::request::Request;

/// Identifies one request and its answer. Identifiers are not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exchange {
    pub(crate) connection: u64,
    pub(crate) number: u64,
}

impl Exchange {
    /// An exchange that no connection has, for tests of sites.
    #[doc(hidden)]
    pub fn of_test(connection: u64, number: u64) -> Self {
        Exchange { connection, number }
    }
}

/// An event of an exchange, as the site receives it.
#[derive(Debug)]
pub enum Heard<'a> {
    /// A request. Its body, if any, follows while [`Site::wants_body`] holds.
    Request(Request),
    /// The next bytes of the body.
    Body(&'a [u8]),
    /// The request's body is complete.
    BodyEnd,
    /// This many bytes of the answer's body have been written.
    Taken(usize),
    /// The whole answer has been sent.
    Answered,
    /// The exchange ended early: an answer is of no use any more.
    Aborted,
}

/// An order from the site to the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Begin the answer. The loop then fetches its body with [`Site::body`].
    Answer {
        /// The exchange to answer.
        exchange: Exchange,
        /// Status, header fields and length.
        head: Head,
    },
    /// Try the exchange again: the site has bytes to give or accepts bytes.
    Wake {
        /// The exchange to try.
        exchange: Exchange,
    },
    /// End the connection: the answer cannot be finished.
    Cut {
        /// The exchange whose connection ends.
        exchange: Exchange,
    },
}

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// Header fields; the connection adds `Content-Length` and `Connection`.
    pub fields: Vec<(&'static str, String)>,
    /// Length of the body in bytes; `None` for a body that lasts until the connection ends.
    pub length: Option<u64>,
}

/// The next part of an answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The next bytes, at least one.
    Bytes(&'a [u8]),
    /// No bytes yet: the site orders [`Act::Wake`] when there are some.
    Later,
    /// The end of a body without length.
    End,
}

/// Answers requests. All methods run on the loop and must not block.
pub trait Site: Send {
    /// Handles an event of an exchange; appends orders to `acts`.
    fn hear(&mut self, now: Time, exchange: Exchange, heard: Heard<'_>, acts: &mut Vec<Act>);

    /// Whether the site accepts more of a request's body.
    fn wants_body(&self, exchange: Exchange) -> bool;

    /// The next bytes of an answer's body. Written bytes are reported as [`Heard::Taken`].
    fn body(&mut self, exchange: Exchange) -> Body<'_>;

    /// Handles input from nodes and other threads. Called in each turn of the loop.
    fn attend(&mut self, now: Time, acts: &mut Vec<Act>);

    /// When [`Site::attend`] must be called even if nothing happens.
    fn deadline(&self) -> Option<Time>;

    /// Whether [`Site::take_figures`] is to be called before the next [`Site::attend`].
    fn wants_figures(&self) -> bool {
        false
    }

    /// Takes the present figures of the loop.
    fn take_figures(&mut self, _figures: LoopFigures) {}
}

/// The loop and its nodes in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoopFigures {
    /// Open connections to and from nodes and clients.
    pub nodes: usize,
    /// Open connections of browsers.
    pub browsers: usize,
    /// Open connections of those who ask for names.
    pub names: usize,
    /// DNS packets that were answered since the start.
    pub names_answered: u64,
    /// DNS packets that were refused since the start, because there were too many.
    pub names_refused: u64,
    /// Bytes that wait to be sent to nodes and clients.
    pub outbox_bytes: usize,
    /// The figures of each server on the loop.
    pub of_nodes: Vec<(NodeId, Vec<Figure>)>,
}
