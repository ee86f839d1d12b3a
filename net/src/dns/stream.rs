//! Packets in a stream: each behind its length in two bytes (RFC 7766).
//!
//! Owns the bytes of one connection, in both directions, and its time. A connection ends when its
//! peer announces more than a question needs, or when for five seconds no question has come and no
//! answer was taken; single bytes do not count.

use std::time::Duration;

use roles::contract::time::Time;

/// Longest question: far more than a name needs, with room for options.
pub const QUESTION_BYTES_MAX: usize = 4096;

/// How long a connection may do nothing.
pub const IDLE_MAX: Duration = Duration::from_secs(5);

/// Bytes of a packet's length.
const LENGTH_BYTES: usize = 2;

/// No further question is answered while so many bytes of answers wait: two of the longest.
const OUT_BYTES_MAX: usize = 2 * (u16::MAX as usize + LENGTH_BYTES);

/// One connection, without its socket.
#[derive(Debug)]
pub struct Stream {
    received: Vec<u8>,
    /// Answers with their lengths, not yet written.
    out: Vec<u8>,
    /// When something last came to its end.
    moved_at: Time,
    /// No further question comes.
    ended: bool,
}

/// The next step of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A whole question, to be answered now.
    Question(&'a [u8]),
    /// More bytes are needed, or the peer must first take its answers.
    Wait,
    /// The peer is to be left alone.
    Over,
}

impl Stream {
    /// A connection that has just been accepted.
    pub fn new(now: Time) -> Self {
        Stream {
            received: Vec::new(),
            out: Vec::new(),
            moved_at: now,
            ended: false,
        }
    }

    /// How many bytes may be received now.
    pub fn room(&self) -> usize {
        (LENGTH_BYTES + QUESTION_BYTES_MAX).saturating_sub(self.received.len())
    }

    /// Takes bytes that came, at most [`Stream::room`].
    pub fn receive(&mut self, bytes: &[u8]) {
        self.received.extend(bytes);
    }

    /// No further byte comes. Answers that wait are still written.
    pub fn on_input_end(&mut self) {
        self.ended = true;
    }

    /// The next question, if one has arrived whole. After it, call [`Stream::answered`].
    pub fn next(&self) -> Next<'_> {
        let waits = match self.ended && self.out.is_empty() {
            true => Next::Over,
            false => Next::Wait,
        };
        let Some(length) = self.received.first_chunk() else {
            return waits;
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > QUESTION_BYTES_MAX {
            return Next::Over;
        }
        if self.out.len() >= OUT_BYTES_MAX {
            return Next::Wait;
        }
        let question = self.received.get(LENGTH_BYTES..LENGTH_BYTES + length);
        question.map_or(waits, Next::Question)
    }

    /// Drops the question that [`Stream::next`] gave, and queues its answer, if there is one.
    pub fn answered(&mut self, now: Time, answer: &[u8]) {
        let Some(length) = self.received.first_chunk() else {
            return;
        };
        let length = usize::from(u16::from_be_bytes(*length));
        self.received
            .drain(..(LENGTH_BYTES + length).min(self.received.len()));
        self.moved_at = now;
        if let Ok(length @ 1..) = u16::try_from(answer.len()) {
            self.out.extend(length.to_be_bytes());
            self.out.extend(answer);
        }
    }

    /// Answers to be written.
    pub fn out(&self) -> &[u8] {
        &self.out
    }

    /// So many bytes of the answers were written.
    pub fn on_written(&mut self, now: Time, bytes: usize) {
        self.out.drain(..bytes.min(self.out.len()));
        if self.out.is_empty() {
            self.moved_at = now;
            // The next answer is small again.
            self.out.shrink_to(PLAIN_BYTES);
        }
    }

    /// When the connection ends unless something comes to its end before.
    pub fn deadline(&self) -> Time {
        self.moved_at + IDLE_MAX
    }

    /// When something last came to its end, and whether anything is half done.
    pub fn rests_since(&self) -> (Time, bool) {
        let rests = self.received.is_empty() && self.out.is_empty();
        (self.moved_at, rests)
    }
}

/// Memory that a connection keeps for its answers.
const PLAIN_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    /// Two questions in pieces of one byte: each is answered when it is whole, in order.
    #[test]
    fn questions_are_cut_where_their_lengths_say() {
        let mut stream = Stream::new(at(0));
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for byte in [0, 2, 7, 8, 0, 1, 9] {
            stream.receive(&[byte]);
            if let Next::Question(question) = stream.next() {
                let question = question.to_vec();
                stream.answered(at(1), &question);
                seen.push(question);
            }
        }
        assert_eq!(seen, [vec![7, 8], vec![9]]);
        assert_eq!(stream.out(), [0, 2, 7, 8, 0, 1, 9]);
    }

    #[test]
    fn too_long_a_question_ends_the_connection() {
        let mut stream = Stream::new(at(0));
        let length = u16::try_from(QUESTION_BYTES_MAX + 1).expect("it is short");
        stream.receive(&length.to_be_bytes());
        assert_eq!(stream.next(), Next::Over);
    }

    /// Whoever sends a byte now and then is not kept for it.
    #[test]
    fn single_bytes_do_not_keep_a_connection() {
        let mut stream = Stream::new(at(0));
        stream.receive(&[0, 200]);
        stream.receive(&[1; 100]);
        assert_eq!(stream.deadline(), at(5));
        assert_eq!(stream.next(), Next::Wait);
        stream.receive(&[1; 100]);
        stream.answered(at(4), &[1]);
        assert_eq!(stream.deadline(), at(9));
    }

    /// A peer that asks and reads nothing: no further question is answered beyond the bound.
    #[test]
    fn answers_that_nobody_takes_are_bounded() {
        let mut stream = Stream::new(at(0));
        let answer = [0; u16::MAX as usize];
        let mut answered = 0;
        loop {
            stream.receive(&[0, 1, 1]);
            let Next::Question(_) = stream.next() else {
                break;
            };
            stream.answered(at(0), &answer);
            answered += 1;
        }
        assert_eq!(answered, 2);
        stream.on_written(at(1), 100_000);
        assert!(matches!(stream.next(), Next::Question(_)));
    }

    /// The peer has said all it wants to: its answers are written, then the connection ends.
    #[test]
    fn a_half_closed_connection_gets_its_answers() {
        let mut stream = Stream::new(at(0));
        stream.receive(&[0, 1, 1]);
        stream.on_input_end();
        assert!(matches!(stream.next(), Next::Question(_)));
        stream.answered(at(0), &[5]);
        assert_eq!(stream.next(), Next::Wait);
        stream.on_written(at(0), 3);
        assert_eq!(stream.next(), Next::Over);
    }
}
