//! The state machine of one connection: bytes to requests in sequence, and answers to bytes.
//!
//! Owns the unread input, the heads of answers, and every timeout. A request is parsed only after
//! the answer before it has been sent, so pipelined requests are answered in order and wait in
//! bounded space. Bodies pass through: a request's body is handed on as it arrives, and the caller
//! writes an answer's body while this module counts its bytes.

mod reading;

use std::time::Duration;

use roles::contract::time::Time;

use super::chunks::Chunks;
use super::request::{self, HEAD_BYTES_MAX, Length, Method, Request};
use super::site::Head;
use super::{Refused, reason};

/// Most unread input while a body is read: a good piece of it.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// Most unread input otherwise: a head. What follows it waits in the kernel, so a browser that stops
/// reading, and sends many requests, takes little memory.
const HEAD_INPUT_BYTES_MAX: usize = HEAD_BYTES_MAX;

const _: () = assert!(HEAD_BYTES_MAX < INPUT_BYTES_MAX);

/// Bytes of a body, in either direction, that count as progress. Fewer than these in the time for
/// which a peer may stand still are as good as none: that is the least rate.
const PROGRESS_BYTES: usize = 16 * 1024;

/// How long a head may take from its first byte to its last.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a connection may stay open without a request.
const IDLE_TIME: Duration = Duration::from_secs(75);

/// How long a request's body, or the sending of an answer's head, may make no progress.
const STILL_TIME: Duration = Duration::from_secs(30);

/// How long a client may accept no byte of an answer's body. A song paused for longer is requested
/// anew.
const PAUSE_TIME: Duration = Duration::from_secs(600);

/// How long a finished connection is still read, so that its last answer arrives.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// An event on the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A request.
    Request(Request),
    /// Bytes of the request's body.
    Body(&'a [u8]),
    /// The end of the request's body.
    BodyEnd,
    /// The whole answer has been sent.
    Answered,
    /// The exchange ended early: an answer is of no use any more.
    Aborted,
}

/// Whether and how a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The connection goes on.
    None,
    /// Everything has been sent: the write side may be closed, and further input is discarded.
    Lingers,
    /// The socket may be closed.
    Over,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Connection {
    input: Vec<u8>,
    /// The index of the first unread byte of `input`.
    read: usize,
    reading: Reading,
    /// Heads and small answers; the bytes from `written` on are unsent.
    out: Vec<u8>,
    written: usize,
    answer: Answer,
    /// The request is a HEAD, so its answer has no body.
    bodiless: bool,
    keep: bool,
    /// The client sends its body only after a `100 Continue`.
    expects: bool,
    /// The peer has closed its sending side.
    input_over: bool,
    /// The socket accepts no bytes at the moment.
    blocked: bool,
    /// The exchange was aborted, and [`Event::Aborted`] is still to be returned.
    aborted: bool,
    ending: Ending,
    /// The time of the last progress.
    moved_at: Time,
    /// Bytes moved since then that are no progress yet.
    moved: usize,
    /// Input waits because the site takes none: the peer is not to blame.
    held_back: bool,
    /// The peer has taken all that there was.
    starved: bool,
    /// When the first byte of an incomplete head arrived.
    head_at: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Head,
    Sized {
        left: u64,
    },
    Chunked(Chunks),
    /// The request is complete.
    Done,
    /// All input is discarded.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// No request is open.
    None,
    /// The request has been handed on; its answer has not begun.
    Awaited,
    /// The head is sent or in `out`; `left` bytes of the body are still to be sent.
    Body { left: u64 },
    /// The same, but the body lasts until the connection ends.
    Endless,
}

impl Connection {
    /// A connection that has just been accepted.
    pub fn new(now: Time) -> Self {
        Connection {
            input: Vec::new(),
            read: 0,
            reading: Reading::Head,
            out: Vec::new(),
            written: 0,
            answer: Answer::None,
            bodiless: false,
            keep: true,
            expects: false,
            input_over: false,
            blocked: false,
            aborted: false,
            ending: Ending::None,
            moved_at: now,
            moved: 0,
            held_back: false,
            starved: true,
            head_at: None,
        }
    }

    /// How many bytes [`Connection::receive`] may take.
    pub fn room(&self) -> usize {
        let most = match self.reading {
            Reading::Head | Reading::Done => HEAD_INPUT_BYTES_MAX,
            Reading::Sized { .. } | Reading::Chunked(_) if !self.held_back => INPUT_BYTES_MAX,
            Reading::Sized { .. } | Reading::Chunked(_) => HEAD_INPUT_BYTES_MAX,
            Reading::Nothing => return INPUT_BYTES_MAX,
        };
        most.saturating_sub(self.input.len() - self.read)
    }

    /// Counts bytes that moved; enough of them are progress.
    fn on_moved(&mut self, now: Time, bytes: usize) {
        self.moved += bytes;
        if self.moved >= PROGRESS_BYTES {
            self.progress(now);
        }
    }

    fn progress(&mut self, now: Time) {
        (self.moved_at, self.moved) = (now, 0);
    }

    /// Takes received bytes: at most [`Connection::room`] of them.
    pub fn receive(&mut self, now: Time, bytes: &[u8]) {
        if self.reading == Reading::Nothing {
            return;
        }
        if self.read > 0 {
            self.input.drain(..self.read);
            self.read = 0;
        }
        self.input.extend_from_slice(bytes);
        match self.reading {
            Reading::Sized { .. } | Reading::Chunked(_) => self.on_moved(now, bytes.len()),
            Reading::Head | Reading::Done | Reading::Nothing => self.progress(now),
        }
        if self.reading == Reading::Head {
            self.head_at.get_or_insert(now);
        }
    }

    /// Notes the end of the peer's stream. A complete request is still answered.
    pub fn on_input_end(&mut self) {
        self.input_over = true;
        // An endless answer is aborted here: a reader that is gone would otherwise be noticed much
        // later.
        if self.answer == Answer::Endless {
            self.abort();
        }
    }

    /// Ends the connection at once.
    pub fn abort(&mut self) {
        self.aborted |= self.answer != Answer::None;
        self.answer = Answer::None;
        self.reading = Reading::Nothing;
        self.ending = Ending::Over;
    }

    /// Begins the answer to the open request.
    pub fn answer(&mut self, now: Time, head: &Head) {
        if self.answer != Answer::Awaited {
            return;
        }
        // A connection is reused only when both messages have a definite end: after an incomplete
        // request or an answer without length, the next request's first byte is unknown.
        let whole = matches!(self.reading, Reading::Done);
        self.keep &= whole && head.length.is_some() && !self.input_over;
        self.write_head(head);
        self.progress(now);
        self.answer = match head.length {
            _ if self.bodiless || matches!(head.status, 204 | 304) => Answer::Body { left: 0 },
            Some(left) => Answer::Body { left },
            None => Answer::Endless,
        };
    }

    fn write_head(&mut self, head: &Head) {
        let mut text = format!("HTTP/1.1 {} {}\r\n", head.status, reason(head.status));
        for (name, value) in &head.fields {
            // A value must not end its line early, whatever bytes a tag holds.
            let value = value.replace(['\r', '\n', '\0'], " ");
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(length) = head.length.filter(|_| !matches!(head.status, 204 | 304)) {
            text.push_str(&format!("Content-Length: {length}\r\n"));
        }
        let keep = if self.keep { "keep-alive" } else { "close" };
        text.push_str(&format!("Connection: {keep}\r\n\r\n"));
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Answers a request that cannot be handed on, and reads nothing more.
    fn refuse(&mut self, now: Time, refused: Refused) {
        let begun = matches!(self.answer, Answer::Body { .. } | Answer::Endless);
        if begun {
            return self.abort();
        }
        self.aborted = self.answer == Answer::Awaited;
        self.answer = Answer::None;
        self.reading = Reading::Nothing;
        self.keep = false;
        let body = format!("{{\"error\":\"{}\"}}\n", refused.why);
        self.write_head(&Head {
            status: refused.status,
            fields: vec![
                ("Content-Type", "application/json".into()),
                ("X-Content-Type-Options", "nosniff".into()),
            ],
            length: Some(body.len() as u64),
        });
        self.out.extend_from_slice(body.as_bytes());
        self.progress(now);
        self.ending = Ending::Lingers;
    }

    /// Unsent bytes that precede any of the body.
    pub fn out(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// How many bytes of the answer's body may still be written.
    pub fn body_wanted(&self) -> u64 {
        match self.answer {
            Answer::None | Answer::Awaited => 0,
            Answer::Body { left } => left,
            Answer::Endless => u64::MAX,
        }
    }

    /// Notes that `out` bytes of [`Connection::out`] and `body` bytes of the body have been
    /// written.
    pub fn on_written(&mut self, now: Time, out: usize, body: usize) {
        self.begin_again(now);
        self.blocked = false;
        self.on_moved(now, body);
        self.written += out;
        if out > 0 && self.written == self.out.len() {
            self.progress(now);
            self.out = Vec::new();
            self.written = 0;
        }
        if let Answer::Body { left } = &mut self.answer {
            *left -= body as u64;
        }
    }

    /// Notes that the socket refuses further bytes.
    pub fn on_blocked(&mut self, now: Time) {
        self.begin_again(now);
        self.blocked = true;
    }

    /// Notes that the peer has taken all that there is: until there is more, it is not to blame.
    pub fn on_all_taken(&mut self) {
        (self.blocked, self.starved) = (false, true);
    }

    fn begin_again(&mut self, now: Time) {
        if std::mem::take(&mut self.starved) {
            self.progress(now);
        }
    }

    /// Ends a body without length.
    pub fn end_body(&mut self) {
        if self.answer == Answer::Endless {
            self.answer = Answer::Body { left: 0 };
        }
    }

    fn is_answered(&self) -> bool {
        self.answer == Answer::Body { left: 0 } && self.out().is_empty()
    }

    fn end_exchange(&mut self, now: Time) {
        self.answer = Answer::None;
        self.progress(now);
        if self.read == self.input.len() {
            // An idle connection keeps no buffer.
            (self.input, self.read) = (Vec::new(), 0);
        }
        if self.keep {
            self.reading = Reading::Head;
            self.head_at = (self.read < self.input.len()).then_some(now);
        } else {
            self.reading = Reading::Nothing;
            self.ending = Ending::Lingers;
        }
    }

    /// Whether the connection ends; lingering begins only after all output has been sent.
    pub fn ending(&self) -> Ending {
        match self.ending {
            Ending::Lingers if !self.out().is_empty() => Ending::None,
            Ending::Lingers if self.input_over => Ending::Over,
            Ending::None | Ending::Lingers | Ending::Over => self.ending,
        }
    }

    /// Whether the connection may be closed to make room: no request is open.
    pub fn is_idle(&self) -> bool {
        self.answer == Answer::None && self.out().is_empty()
    }

    /// Since when the peer of an open request holds its connection without using it: it accepts no
    /// byte of the answer, or sends none of its body. `None` while this end has the next move.
    pub fn stalled_since(&self) -> Option<Time> {
        let stalled = match (self.answer, self.reading) {
            (Answer::None, _) => false,
            (Answer::Awaited, Reading::Sized { .. } | Reading::Chunked(_)) => {
                self.blocked || self.read == self.input.len()
            }
            (Answer::Awaited | Answer::Body { .. } | Answer::Endless, _) => self.blocked,
        };
        stalled.then_some(self.moved_at)
    }

    /// The time of the last progress.
    pub fn moved_at(&self) -> Time {
        self.moved_at
    }

    /// When [`Connection::on_tick`] must be called.
    pub fn deadline(&self) -> Option<Time> {
        let still = self.moved_at + STILL_TIME;
        if self.ending == Ending::Lingers && self.out().is_empty() {
            return Some(self.moved_at + LINGER_TIME);
        }
        if !self.out().is_empty() {
            return Some(still);
        }
        match (self.answer, self.reading) {
            (Answer::None, _) => Some(match self.head_at {
                Some(at) => at + HEAD_TIME,
                None => self.moved_at + IDLE_TIME,
            }),
            (Answer::Body { .. } | Answer::Endless, _) if self.blocked => {
                Some(self.moved_at + PAUSE_TIME)
            }
            // Unread input waits for the site, so the peer is not to blame for the delay.
            (Answer::Awaited, Reading::Sized { .. } | Reading::Chunked(_)) => {
                (self.read == self.input.len()).then_some(still)
            }
            (Answer::Awaited | Answer::Body { .. } | Answer::Endless, _) => None,
        }
    }

    /// Ends a wait that has taken too long: with a 408 for an incomplete request, else at once.
    pub fn on_tick(&mut self, now: Time) {
        if self.deadline().is_none_or(|at| at > now) {
            return;
        }
        let half = self.head_at.is_some() || self.answer == Answer::Awaited;
        if half && self.out().is_empty() && self.ending == Ending::None {
            return self.refuse(now, TOO_SLOW);
        }
        self.abort();
    }
}

const TOO_SLOW: Refused = Refused {
    status: 408,
    why: "the request took too long to come",
};

#[cfg(test)]
mod tests;
