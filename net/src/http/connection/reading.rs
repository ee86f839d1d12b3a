//! Reading: requests, and pieces of their bodies at the pace of the site.

use super::super::chunks::Step;
use super::super::request::Parsed;
use super::*;

impl Connection {
    /// The next event, if any. `wants_body` is whether the site accepts bytes of a body.
    pub fn next(&mut self, now: Time, wants_body: bool) -> Option<Event<'_>> {
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
            match self.next_piece(now, wants_body) {
                Piece::Skipped => (),
                Piece::Data(range) => return Some(Event::Body(&self.input[range])),
                Piece::End => return Some(Event::BodyEnd),
                Piece::None => return self.starve(),
            }
        }
    }

    fn next_piece(&mut self, now: Time, wants_body: bool) -> Piece {
        self.go_ahead();
        let unread = self.read < self.input.len();
        if unread && std::mem::replace(&mut self.held_back, !wants_body) {
            self.progress(now);
        }
        match self.reading {
            Reading::Sized { left } => self.next_sized(left, wants_body),
            Reading::Chunked(chunks) if wants_body => self.next_chunk(now, chunks),
            Reading::Chunked(_) | Reading::Head | Reading::Done | Reading::Nothing => Piece::None,
        }
    }

    /// Aborts the exchange when the peer's stream ends inside a body.
    fn starve(&mut self) -> Option<Event<'_>> {
        let inside = matches!(self.reading, Reading::Sized { .. } | Reading::Chunked(_));
        if inside && self.input_over && self.read == self.input.len() {
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

    fn next_sized(&mut self, left: u64, wants_body: bool) -> Piece {
        if left == 0 {
            self.reading = Reading::Done;
            return Piece::End;
        }
        let here = (self.input.len() - self.read) as u64;
        let take = here.min(left) as usize;
        if take == 0 || !wants_body {
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

    /// Sends `100 Continue` once, unless the body is already arriving or the request is answered.
    fn go_ahead(&mut self) {
        let waits = std::mem::take(&mut self.expects);
        if waits && self.answer == Answer::Awaited && self.read == self.input.len() {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }
}

/// The next part of a body.
enum Piece {
    Skipped,
    Data(std::ops::Range<usize>),
    End,
    None,
}
