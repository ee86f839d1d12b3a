//! The interface between the loop and whoever answers requests.
//!
//! The loop tells a [`Site`] what comes, asks it for bytes as sockets take them, and does the
//! [`Act`]s it orders. A site is called on the loop: it must not block. Nothing of an answer is
//! held by the loop but its head; so a site alone decides how much memory answers take.

use roles::contract::time::Time;

use super::request::Request;

/// One request and its answer. Never means another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exchange {
    pub(crate) connection: u64,
    pub(crate) number: u64,
}

/// What a site hears of an exchange.
#[derive(Debug)]
pub enum Heard<'a> {
    /// A request; its body, if there is one, follows as far as the site is hungry.
    Request(Request),
    /// The next bytes of the body.
    Body(&'a [u8]),
    /// The body is whole.
    BodyEnd,
    /// So many bytes of the answer's body have gone out.
    Taken(usize),
    /// The answer has gone out.
    Answered,
    /// Nobody waits for the answer any longer.
    Aborted,
}

/// What a site orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Begin the answer. Its body is asked for by [`Site::body`].
    Answer {
        /// Which.
        exchange: Exchange,
        /// What stands before the body.
        head: Head,
    },
    /// There is something to give, or room to take.
    Wake {
        /// Which.
        exchange: Exchange,
    },
    /// End the connection: the answer cannot be finished.
    Cut {
        /// Which.
        exchange: Exchange,
    },
}

/// What stands before an answer's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// Header fields; length and connection are added.
    pub fields: Vec<(&'static str, String)>,
    /// How long the body is; none: until the connection ends.
    pub length: Option<u64>,
}

/// What there is of an answer's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// The next bytes, at least one.
    Bytes(&'a [u8]),
    /// Nothing yet: [`Act::Wake`] will tell.
    Later,
    /// No more: only of a body without length.
    End,
}

/// Answers requests.
pub trait Site: Send {
    /// Reacts to what has happened to an exchange.
    fn hear(&mut self, now: Time, exchange: Exchange, heard: Heard<'_>, acts: &mut Vec<Act>);

    /// Whether more of a request's body may be read.
    fn is_hungry(&self, exchange: Exchange) -> bool;

    /// The next bytes of an answer's body; those that went out are told as [`Heard::Taken`].
    fn body(&mut self, exchange: Exchange) -> Body<'_>;

    /// Looks at what nodes and other threads have left for it: called in each turn of the loop.
    fn attend(&mut self, now: Time, acts: &mut Vec<Act>);

    /// When [`Site::attend`] must be called though nothing happens.
    fn deadline(&self) -> Option<Time>;
}
