//! Bytes of strangers, damaged at random: requests of HTTP, frames, messages. A few in every run of
//! the tests, as many as `DISPOTIFY_FUZZ` says in a run of its own.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::env;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use net::http::connection::{Connection, Event};
use net::http::site::Head;
use net::http::{percent, range};
use net::wire::codec::{self, PREFIX_BYTES};
use net::wire::frame::{FrameHead, FrameKind};
use roles::contract::id::{Incarnation, NodeId, SongId};
use roles::contract::limits::MESSAGE_HEAD_BYTES_MAX;
use roles::contract::message::{Catalogue, Kind, Message, Names, Refusal};
use roles::contract::record::{Address, Features, Record, Role};
use roles::contract::time::Time;

/// Inputs of each reader in every run of the tests.
const INPUTS: u64 = 5_000;

/// No input of a few hundred bytes takes longer.
const SLOW: Duration = Duration::from_millis(100);

struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    /// Changes a few bytes, moves pieces, and mixes in what the formats mean something by.
    fn damage(&mut self, bytes: &mut Vec<u8>, words: &[&[u8]]) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.splice(at..at, words[self.below(words.len())].to_vec())),
                2 => drop(bytes.drain(at..(at + self.below(30)).min(bytes.len()))),
                3 => bytes.extend_from_within(at..),
                4 => (bytes.iter_mut().skip(at).take(4)).for_each(|byte| *byte = 0xff),
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << self.below(8);
                    }
                }
            }
            bytes.truncate(64 * 1024);
        }
    }
}

fn fuzz(reader: &str, files: &[Vec<u8>], words: &[&[u8]], read: impl Fn(&[u8], &mut Dice)) {
    let wanted = env::var("DISPOTIFY_FUZZ").ok();
    let wanted: Option<u64> = wanted.and_then(|inputs| inputs.parse().ok());
    let inputs = wanted.unwrap_or(INPUTS);
    let begun = Instant::now();
    for number in 0..inputs {
        let input = || {
            let mut dice = Dice::new(number);
            let mut bytes = files[number as usize % files.len()].clone();
            dice.damage(&mut bytes, words);
            let begun = Instant::now();
            read(&bytes, &mut dice);
            begun.elapsed()
        };
        // Another program may have had the processor: only what is always slow counts.
        if input() > SLOW {
            let fastest = (0..5).map(|_| input()).min();
            assert!(fastest < Some(SLOW), "{reader}: {number} takes {fastest:?}");
        }
    }
    if wanted.is_some() {
        let line = format!("{reader}: {inputs} inputs, {:?}\n", begun.elapsed());
        io::stdout().write_all(line.as_bytes()).unwrap();
    }
}

/// Whatever arrives in whatever pieces: the connection takes no more than its room, and every piece
/// of it leads to finitely many events.
#[test]
fn fuzz_http() {
    let files = [
        &b"GET /stream/3f2a?x=%41&y=+ HTTP/1.1\r\nHost: a\r\nRange: bytes=5-9,11-\r\n\r\n"[..],
        b"POST /api/songs HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /api/songs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n",
        b"HEAD /cover/1 HTTP/1.0\r\nHost: a\r\nIf-None-Match: \"x\", W/\"y\"\r\nConnection: keep-alive\r\n\r\n",
    ]
    .map(<[u8]>::to_vec);
    let words: [&[u8]; 8] = [
        b"\r\n",
        b"\r\n\r\n",
        b"Content-Length: 18446744073709551615\r\n",
        b"chunked",
        b"ffffffffffffffff\r\n",
        b"bytes=-0",
        b"%",
        b"\0",
    ];
    fuzz("HTTP", &files, &words, |bytes, dice| {
        let mut http = Connection::new(Time::ZERO);
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = http.room();
            let piece = (1 + dice.below(rest.len())).min(room);
            http.receive(Time::ZERO, &rest[..piece]);
            rest = &rest[piece..];
            let events = answer_all(&mut http, bytes.len());
            if events == 0 && room == 0 {
                break;
            }
        }
        http.on_input_end();
        answer_all(&mut http, bytes.len());
    });
}

/// Answers every request; returns how many events there were.
fn answer_all(http: &mut Connection, length: usize) -> usize {
    let mut events = 0;
    loop {
        let is_request = match http.next(Time::ZERO, true) {
            Some(Event::Request(request)) => {
                let fields = request.field("range").map(str::to_owned);
                range::wanted(fields.as_deref(), None, "\"x\"", 1000);
                range::is_known(request.field("if-none-match"), "\"x\"");
                percent::decode(&request.path);
                true
            }
            Some(_) => false,
            None => return events,
        };
        if is_request {
            let head = Head {
                status: 200,
                fields: Vec::new(),
                length: Some(0),
            };
            http.answer(Time::ZERO, &head);
        }
        let out = http.out().len();
        http.on_written(Time::ZERO, out, 0);
        events += 1;
        assert!(events <= 4 * length + 16, "events without end");
    }
}

fn record(node: u128) -> Record {
    Record {
        role: Role::Data,
        node: NodeId(node),
        incarnation: Incarnation(3),
        renewals: 4,
        address: Address("127.0.0.1:7700".parse().unwrap()),
        features: Features::default(),
        weight: 1,
        ttl_ms: 30_000,
    }
}

/// Messages, those of the DNS among them: decoding gives a message or an error, and what was decoded
/// can be coded again.
#[test]
fn fuzz_messages() {
    let messages = [
        Message::Names(Names::Resolve { role: Role::Data }),
        Message::Names(Names::Register { record: record(1) }),
        Message::Names(Names::Records {
            records: (1..5).map(record).collect(),
            settled: true,
        }),
        Message::Names(Names::Share {
            records: (1..3).map(record).collect(),
            pull: true,
        }),
        Message::Catalogue(Catalogue::Songs {
            songs: Vec::new(),
            total: 3,
            next: None,
        }),
        Message::Refused(Refusal::Ambiguous((0..9).map(SongId).collect())),
        Message::Refused(Refusal::Invalid("why".into())),
    ];
    let kind = Kind::Answer { more: false };
    let files = messages.map(|message| codec::encode(kind, &message, Vec::new()).unwrap().head);
    let words: [&[u8]; 4] = [
        &[0xfd; 9],
        &[0xfc, 0xff, 0xff, 0xff, 0xff],
        &[0xfb, 0, 1],
        &[0],
    ];
    fuzz("messages", &files, &words, |bytes, _| {
        let Ok(prefix) = codec::prefix(bytes) else {
            return;
        };
        assert!(prefix.head_bytes <= MESSAGE_HEAD_BYTES_MAX);
        if let Ok(message) = codec::decode(&bytes[PREFIX_BYTES..]) {
            let again = codec::encode(kind, &message, Vec::new()).unwrap().head;
            assert_eq!(codec::decode(&again[PREFIX_BYTES..]), Ok(message));
        }
    });
}

/// Every change of a frame is noticed, or changes nothing that is read.
#[test]
fn fuzz_frames() {
    let mut file = vec![7; 32 + 40];
    FrameHead::bare(FrameKind::Ping).write(&mut file);
    let bare = file[..32].to_vec();
    let seen = std::cell::RefCell::new(BTreeSet::new());
    fuzz("frames", &[file, bare], &[&[0]], |bytes, _| {
        let word = match FrameHead::parse(bytes) {
            Ok((_, body)) => {
                assert!(body.len() <= bytes.len());
                "frame".to_owned()
            }
            Err(error) => format!("{error:?}").chars().take(6).collect(),
        };
        seen.borrow_mut().insert(word);
    });
    assert!(seen.borrow().len() > 2, "{seen:?}");
}
