//! One connection: requests out of bytes, one after the other, and answers into bytes.
//!
//! Owns what has come and is not read, the heads of answers, and every wait that has an end. A
//! request is read only when the answer before it has gone out, so that pipelined requests are
//! answered in order and wait in bounded room. Bodies pass through: a request's are handed on as
//! they come, an answer's are counted while the caller writes them.

use std::time::Duration;

use roles::contract::time::Time;

use super::chunks::{Chunks, Step};
use super::request::{self, HEAD_BYTES_MAX, Length, Method, Parsed, Request};
use super::site::Head;
use super::{Refused, reason};

/// Most bytes that have come and are not read: a head, or a good piece of a body.
const INPUT_BYTES_MAX: usize = 64 * 1024;

const _: () = assert!(HEAD_BYTES_MAX < INPUT_BYTES_MAX);

/// How long a head may take from its first byte to its last.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a connection may stand without a request.
const IDLE_TIME: Duration = Duration::from_secs(75);

/// How long a request's body, or the taking of an answer's head, may stand still.
const STILL_TIME: Duration = Duration::from_secs(30);

/// How long a listener may take no byte of a body: whoever pauses a song for longer asks anew.
const PAUSE_TIME: Duration = Duration::from_secs(600);

/// How long an ended connection is listened to, so that its last answer arrives.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A request.
    Request(Request),
    /// Bytes of its body.
    Body(&'a [u8]),
    /// The end of its body.
    BodyEnd,
    /// The answer has gone out.
    Answered,
    /// The request is no longer to be answered.
    Aborted,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It goes on.
    None,
    /// Nothing more is said: the write side may be closed, what still comes is thrown away.
    Lingers,
    /// The socket may be closed.
    Over,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Connection {
    input: Vec<u8>,
    /// Where in the input the unread bytes begin.
    read: usize,
    reading: Reading,
    /// Heads and small answers that have not gone out, from `written` on.
    out: Vec<u8>,
    written: usize,
    answer: Answer,
    /// The request was a HEAD: its answer has no body.
    bodiless: bool,
    keep: bool,
    /// The body waits for a word of ours.
    expects: bool,
    /// No more bytes will come.
    input_over: bool,
    /// The socket takes nothing at the moment.
    blocked: bool,
    /// The exchange ended without an answer, and nobody has been told.
    aborted: bool,
    ending: Ending,
    /// When something last moved.
    moved_at: Time,
    /// When the first byte of an unfinished head was here.
    head_at: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Head,
    Sized {
        left: u64,
    },
    Chunked(Chunks),
    /// The request has come whole.
    Done,
    /// Whatever comes is thrown away.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// No request is open.
    None,
    /// The request has been handed on.
    Awaited,
    /// Its head is written or in the output; so much of its body is to come.
    Body { left: u64 },
    /// The same, until the connection ends.
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
            head_at: None,
        }
    }

    /// How many bytes may be received.
    pub fn room(&self) -> usize {
        INPUT_BYTES_MAX - (self.input.len() - self.read)
    }

    /// Takes bytes that have come: at most [`Connection::room`].
    pub fn receive(&mut self, now: Time, bytes: &[u8]) {
        if self.reading == Reading::Nothing {
            return;
        }
        if self.read > 0 {
            self.input.drain(..self.read);
            self.read = 0;
        }
        self.input.extend_from_slice(bytes);
        self.moved_at = now;
        if self.reading == Reading::Head {
            self.head_at.get_or_insert(now);
        }
    }

    /// The other end will send nothing more. What it has asked for is answered all the same.
    pub fn on_input_end(&mut self) {
        self.input_over = true;
        // What never ends is given up here: its reader would be missed only much later.
        if self.answer == Answer::Endless {
            self.abort();
        }
    }

    /// The connection broke.
    pub fn abort(&mut self) {
        self.aborted |= self.answer != Answer::None;
        self.answer = Answer::None;
        self.reading = Reading::Nothing;
        self.ending = Ending::Over;
    }

    /// The next event, if there is one. `hungry`: bytes of a body may be handed on.
    pub fn next(&mut self, now: Time, hungry: bool) -> Option<Event<'_>> {
        if std::mem::take(&mut self.aborted) {
            return Some(Event::Aborted);
        }
        if self.is_answered() {
            self.end_exchange(now);
            return Some(Event::Answered);
        }
        loop {
            match self.reading {
                Reading::Head => return self.next_request(now),
                Reading::Done | Reading::Nothing => return None,
                Reading::Sized { .. } | Reading::Chunked(_) => (),
            }
            match self.next_piece(now, hungry) {
                Piece::Skipped => (),
                Piece::Data(range) => return Some(Event::Body(&self.input[range])),
                Piece::End => return Some(Event::BodyEnd),
                Piece::None => return self.starve(),
            }
        }
    }

    fn next_piece(&mut self, now: Time, hungry: bool) -> Piece {
        self.go_ahead();
        match self.reading {
            Reading::Sized { left } => self.next_sized(left, hungry),
            Reading::Chunked(chunks) if hungry => self.next_chunk(now, chunks),
            Reading::Chunked(_) | Reading::Head | Reading::Done | Reading::Nothing => Piece::None,
        }
    }

    /// A body that ends too early is never whole.
    fn starve(&mut self) -> Option<Event<'_>> {
        let inside = matches!(self.reading, Reading::Sized { .. } | Reading::Chunked(_));
        if inside && self.input_over && self.room() == INPUT_BYTES_MAX {
            self.abort();
            self.aborted = false;
            return Some(Event::Aborted);
        }
        None
    }

    fn next_request(&mut self, now: Time) -> Option<Event<'_>> {
        if self.ending != Ending::None {
            return None;
        }
        let unread = &self.input[self.read..];
        match request::parse(unread) {
            Ok(Some(parsed)) => Some(self.begin(parsed)),
            Ok(None) => {
                if self.input_over {
                    self.ending = Ending::Over;
                } else if !unread.is_empty() {
                    self.head_at.get_or_insert(now);
                }
                None
            }
            Err(refused) => {
                self.refuse(now, refused);
                None
            }
        }
    }

    fn begin(&mut self, parsed: Parsed) -> Event<'_> {
        let Parsed {
            request,
            bytes,
            keep,
            expects,
        } = parsed;
        self.read += bytes;
        self.head_at = None;
        self.answer = Answer::Awaited;
        self.bodiless = request.method == Method::Head;
        self.keep = keep;
        self.reading = match request.length {
            Length::Known(0) => Reading::Done,
            Length::Known(left) => Reading::Sized { left },
            Length::Chunked => Reading::Chunked(Chunks::Size),
        };
        self.expects = expects && self.reading != Reading::Done;
        Event::Request(request)
    }

    fn next_sized(&mut self, left: u64, hungry: bool) -> Piece {
        if left == 0 {
            self.reading = Reading::Done;
            return Piece::End;
        }
        let here = (self.input.len() - self.read) as u64;
        let take = here.min(left) as usize;
        if take == 0 || !hungry {
            return Piece::None;
        }
        self.reading = Reading::Sized {
            left: left - take as u64,
        };
        let from = self.read;
        self.read += take;
        Piece::Data(from..from + take)
    }

    fn next_chunk(&mut self, now: Time, mut chunks: Chunks) -> Piece {
        let from = self.read;
        let step = chunks.step(&self.input[from..]);
        self.reading = Reading::Chunked(chunks);
        match step {
            Ok(Step::Need) => Piece::None,
            Ok(Step::Skip(bytes)) => {
                self.read += bytes;
                Piece::Skipped
            }
            Ok(Step::Data(bytes)) => {
                self.read += bytes;
                Piece::Data(from..from + bytes)
            }
            Ok(Step::End(bytes)) => {
                self.read += bytes;
                self.reading = Reading::Done;
                Piece::End
            }
            Err(refused) => {
                self.refuse(now, refused);
                Piece::None
            }
        }
    }

    /// Says once that the body may come, unless it comes already or has been refused.
    fn go_ahead(&mut self) {
        let waits = std::mem::take(&mut self.expects);
        if waits && self.answer == Answer::Awaited && self.read == self.input.len() {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Begins the answer to the open request.
    pub fn answer(&mut self, now: Time, head: &Head) {
        if self.answer != Answer::Awaited {
            return;
        }
        let whole = matches!(self.reading, Reading::Done);
        self.keep &= whole && head.length.is_some() && !self.input_over;
        self.write_head(head);
        self.moved_at = now;
        self.answer = match head.length {
            _ if self.bodiless || matches!(head.status, 204 | 304) => Answer::Body { left: 0 },
            Some(left) => Answer::Body { left },
            None => Answer::Endless,
        };
    }

    fn write_head(&mut self, head: &Head) {
        let mut text = format!("HTTP/1.1 {} {}\r\n", head.status, reason(head.status));
        for (name, value) in &head.fields {
            // A field of ours never ends a line early, whatever a tag holds.
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

    /// Answers by itself what cannot be handed on, and reads nothing more.
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
        self.moved_at = now;
        self.ending = Ending::Lingers;
    }

    /// Bytes that go out before anything of the body.
    pub fn out(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// How many bytes of the answer's body may follow.
    pub fn body_wanted(&self) -> u64 {
        match self.answer {
            Answer::None | Answer::Awaited => 0,
            Answer::Body { left } => left,
            Answer::Endless => u64::MAX,
        }
    }

    /// So many bytes of [`Connection::out`] and of the body have gone out.
    pub fn on_written(&mut self, now: Time, out: usize, body: usize) {
        if out + body > 0 {
            self.moved_at = now;
        }
        self.written += out;
        if self.written == self.out.len() {
            self.out = Vec::new();
            self.written = 0;
        }
        if let Answer::Body { left } = &mut self.answer {
            *left -= body as u64;
        }
    }

    /// Whether the socket takes more.
    pub fn set_blocked(&mut self, now: Time, blocked: bool) {
        if blocked && !self.blocked {
            self.moved_at = now;
        }
        self.blocked = blocked;
    }

    /// The body without length is over.
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
        self.moved_at = now;
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

    /// Whether the connection ends.
    pub fn ending(&self) -> Ending {
        match self.ending {
            Ending::Lingers if !self.out().is_empty() => Ending::None,
            Ending::Lingers if self.input_over => Ending::Over,
            Ending::None | Ending::Lingers | Ending::Over => self.ending,
        }
    }

    /// Whether it can be given up for a newcomer: no request is open.
    pub fn is_idle(&self) -> bool {
        self.answer == Answer::None && self.out().is_empty()
    }

    /// When something last moved.
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
            // What has come and is not read waits for us.
            (Answer::Awaited, Reading::Sized { .. } | Reading::Chunked(_)) => {
                (self.read == self.input.len()).then_some(still)
            }
            (Answer::Awaited | Answer::Body { .. } | Answer::Endless, _) => None,
        }
    }

    /// Ends what has taken too long.
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

/// What a body holds next.
enum Piece {
    Skipped,
    Data(std::ops::Range<usize>),
    End,
    None,
}

const TOO_SLOW: Refused = Refused {
    status: 408,
    why: "the request took too long to come",
};

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection, and a site that answers each request with its path.
    struct Toy {
        http: Connection,
        now: Time,
        hungry: bool,
        answers: bool,
        heard: Vec<String>,
        sent: Vec<u8>,
    }

    impl Toy {
        fn new() -> Self {
            Toy {
                http: Connection::new(Time::ZERO),
                now: Time::ZERO,
                hungry: true,
                answers: true,
                heard: vec![],
                sent: vec![],
            }
        }

        /// Receives as much as there is room for, and lets everything happen that follows.
        fn say(&mut self, bytes: &[u8]) -> usize {
            let mut said = 0;
            loop {
                let take = self.http.room().min(bytes.len() - said);
                self.http.receive(self.now, &bytes[said..said + take]);
                said += take;
                let before = self.heard.len();
                self.work();
                if said == bytes.len() || (take == 0 && before == self.heard.len()) {
                    return said;
                }
            }
        }

        fn work(&mut self) {
            self.write();
            while let Some(event) = self.http.next(self.now, self.hungry) {
                let mut path = None;
                self.heard.push(match event {
                    Event::Request(request) => {
                        path = Some(request.path.clone());
                        format!("{:?} {}", request.method, request.path)
                    }
                    Event::Body(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Event::BodyEnd => "end".into(),
                    Event::Answered => "answered".into(),
                    Event::Aborted => "aborted".into(),
                });
                if let Some(path) = path.filter(|_| self.answers) {
                    self.answer(200, path.len() as u64);
                }
                self.write();
            }
            self.write();
        }

        fn answer(&mut self, status: u16, length: u64) {
            let head = Head {
                status,
                fields: vec![],
                length: Some(length),
            };
            self.http.answer(self.now, &head);
        }

        /// Lets everything go out, with an `x` for each byte of a body.
        fn write(&mut self) {
            let out = self.http.out().to_vec();
            let body = self.http.body_wanted().min(100) as usize;
            self.sent.extend_from_slice(&out);
            self.sent.extend(std::iter::repeat_n(b'x', body));
            self.http.on_written(self.now, out.len(), body);
        }

        fn sent(&mut self) -> String {
            String::from_utf8(std::mem::take(&mut self.sent)).unwrap()
        }
    }

    fn get(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
    }

    /// One byte at a time or all at once: the same is heard.
    #[test]
    fn requests_are_answered_in_order_however_they_are_cut() {
        let post = "POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
        let input = format!("{}{}{post}", get("/a"), get("/bb"));
        let mut whole = Toy::new();
        whole.say(input.as_bytes());
        assert_eq!(
            whole.heard[..4],
            ["Get /a", "answered", "Get /bb", "answered"]
        );
        let sent = whole.sent();
        assert_eq!(sent.matches("HTTP/1.1 200 OK\r\n").count(), 3);
        assert!(sent.contains("Content-Length: 3\r\nConnection: keep-alive\r\n\r\nxxx"));
        let mut bytes = Toy::new();
        for byte in input.as_bytes() {
            bytes.say(&[*byte]);
        }
        assert_eq!(bytes.heard[..5], whole.heard[..5]);
    }

    /// A request waits until the one before it is answered, and others wait in bounded room.
    #[test]
    fn a_pipeline_waits_in_bounded_room() {
        let mut toy = Toy::new();
        toy.answers = false;
        let flood = get("/a").repeat(10_000);
        let taken = toy.say(flood.as_bytes());
        assert!(taken < 70_000 && toy.heard == ["Get /a"], "{taken}");
        toy.answer(200, 0);
        toy.work();
        assert_eq!(toy.heard, ["Get /a", "answered", "Get /a"]);
    }

    #[test]
    fn a_head_request_is_answered_without_a_body() {
        let mut toy = Toy::new();
        toy.say(b"HEAD /abc HTTP/1.1\r\nHost: h\r\n\r\n");
        let sent = toy.sent();
        assert!(
            sent.contains("Content-Length: 4") && sent.ends_with("\r\n\r\n"),
            "{sent}"
        );
        assert_eq!(toy.heard, ["Head /abc", "answered"]);
    }

    #[test]
    fn a_body_comes_as_the_site_can_take_it() {
        let mut toy = Toy::new();
        (toy.answers, toy.hungry) = (false, false);
        toy.say(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        toy.say(b"3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(toy.heard, ["Post /"]);
        assert!(toy.say(&[b'x'; 100_000]) < 70_000);
        toy.hungry = true;
        toy.work();
        assert_eq!(toy.heard, ["Post /", "abc", "end"]);
    }

    /// Who asks whether a body is welcome hears it once, and nothing if it is refused.
    #[test]
    fn an_awaited_word_is_said_once() {
        let head =
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
        let mut toy = Toy::new();
        toy.answers = false;
        toy.say(head);
        assert_eq!(toy.sent(), "HTTP/1.1 100 Continue\r\n\r\n");
        toy.say(b"ab");
        assert_eq!(toy.sent(), "");
        let mut refused = Toy::new();
        refused.say(head);
        let sent = refused.sent();
        assert!(
            sent.starts_with("HTTP/1.1 200") && sent.contains("Connection: close"),
            "{sent}"
        );
        assert_eq!(refused.http.ending(), Ending::Lingers);
    }

    #[test]
    fn nonsense_is_answered_once_and_ends_the_connection() {
        for nonsense in [
            "\u{16}\u{3}\u{1}\u{2}\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "SSH-2.0-x\r\n",
        ] {
            let mut toy = Toy::new();
            toy.say(nonsense.as_bytes());
            toy.say(get("/a").as_bytes());
            let sent = toy.sent();
            assert!(
                sent.starts_with("HTTP/1.1 400 ") && sent.contains("\"error\""),
                "{sent}"
            );
            assert!(toy.heard.is_empty());
            assert_eq!(toy.http.ending(), Ending::Lingers);
            toy.http.on_input_end();
            assert_eq!(toy.http.ending(), Ending::Over);
        }
    }

    /// What follows a bad chunk is never read as a request.
    #[test]
    fn a_broken_body_is_told_and_ends_the_connection() {
        let mut toy = Toy::new();
        toy.answers = false;
        toy.say(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
        toy.say(get("/smuggled").as_bytes());
        assert_eq!(toy.heard, ["Post /", "aborted"]);
        assert!(toy.sent().starts_with("HTTP/1.1 400 "));
    }

    #[test]
    fn half_a_body_is_never_whole() {
        let mut toy = Toy::new();
        toy.answers = false;
        toy.say(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc");
        toy.http.on_input_end();
        toy.work();
        assert_eq!(toy.heard, ["Post /", "abc", "aborted"]);
        assert_eq!(toy.http.ending(), Ending::Over);
    }

    /// Who closes its sending side after the request still gets the answer.
    #[test]
    fn a_half_closed_connection_is_answered() {
        let mut toy = Toy::new();
        toy.answers = false;
        toy.say(get("/a").as_bytes());
        toy.http.on_input_end();
        toy.work();
        assert_eq!(toy.http.ending(), Ending::None);
        toy.answer(200, 2);
        toy.work();
        assert!(toy.sent().ends_with("close\r\n\r\nxx"));
        assert_eq!(toy.http.ending(), Ending::Over);
    }

    #[test]
    fn an_idle_connection_ends_in_silence() {
        let mut toy = Toy::new();
        toy.say(get("/a").as_bytes());
        toy.sent();
        assert_eq!(toy.http.deadline(), Some(Time::from_secs(75)));
        toy.http.on_tick(Time::from_secs(75));
        assert_eq!(toy.http.ending(), Ending::Over);
        toy.http.on_input_end();
        assert_eq!(toy.sent(), "");
    }

    /// A byte now and then does not keep a head alive.
    #[test]
    fn a_slow_head_is_given_up() {
        let mut toy = Toy::new();
        for (second, byte) in get("/a").bytes().take(11).enumerate() {
            toy.now = Time::from_secs(second as u64);
            toy.http.on_tick(toy.now);
            toy.say(&[byte]);
        }
        assert!(toy.sent().starts_with("HTTP/1.1 408 "));
        assert_eq!(toy.http.ending(), Ending::Lingers);
    }

    #[test]
    fn a_listener_may_pause_but_not_for_ever() {
        let mut toy = Toy::new();
        toy.answers = false;
        toy.say(get("/a").as_bytes());
        assert_eq!(toy.http.deadline(), None);
        toy.answer(200, 1000);
        toy.write();
        toy.http.set_blocked(toy.now, true);
        toy.http.on_tick(Time::from_secs(599));
        assert_eq!(toy.http.ending(), Ending::None);
        toy.http.on_tick(Time::from_secs(600));
        toy.work();
        assert_eq!(toy.heard.last().map(String::as_str), Some("aborted"));
        assert_eq!(toy.http.ending(), Ending::Over);
    }

    #[test]
    fn a_field_never_ends_its_line_early() {
        let mut toy = Toy::new();
        toy.answers = false;
        toy.say(get("/a").as_bytes());
        let head = Head {
            status: 200,
            fields: vec![("X", "a\r\nSet-Cookie: b".into())],
            length: None,
        };
        toy.http.answer(toy.now, &head);
        toy.http.end_body();
        toy.work();
        let sent = toy.sent();
        assert!(
            sent.contains("X: a  Set-Cookie: b\r\nConnection: close\r\n"),
            "{sent}"
        );
    }
}
