//! Instructions of the hot paths, counted by callgrind: the one figure that a busy machine does not
//! change.
//!
//! Each path runs in a process of its own under valgrind, a number of times and twice that number;
//! the difference is free of what beginning and end cost. The counts stand in a table, and a path
//! that needs 3 % more than there has become slower.

use std::env;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::sync::Arc;

use clap::ValueEnum;
use net::Security;
use net::http::range;
use net::wire::link::{Link, LinkEvent};
use net::wire::seal::{Scratch, Suite};
use roles::contract::id::{ContentHash, Incarnation, NodeId, RequestId, SongId};
use roles::contract::job::LibraryJob;
use roles::contract::message::{
    Catalogue as Answer, Envelope, Kind, Message, Names, Position, Query, StoreId,
};
use roles::contract::node::{Event, Identity, Node, Outbox, Peer, Sender};
use roles::contract::record::{Address, Features, Role};
use roles::contract::rng::Rng;
use roles::contract::time::Time;
use roles::router::catalogue::Catalogue;
use roles::server::{self, Server};
use storage::library::Library;

use super::rounds::Rounds;
use super::{Figure, Outcome, peers};
use crate::loadgen::{Failure, one_fragment};

/// The counts of this build, one path per line.
const TABLE: &str = include_str!("instructions.txt");

/// How much more than in the table is a regression.
const TOLERANCE: f64 = 0.03;

/// A hot path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Path {
    /// A question and its answer between two links: encode, seal, open, decode
    Frames,
    /// A question through a DNS node: dispatch, look-up, answer
    Route,
    /// A fragment of 400 kB from a library in memory, hash checked
    Fragment,
    /// A page of 100 among 10 000 songs
    Page,
    /// What a range of a file means
    Range,
}

impl Path {
    /// Times that the path runs; twice that for the second count.
    fn times(self) -> u32 {
        match self {
            Path::Frames | Path::Route | Path::Range => 500,
            Path::Fragment | Path::Page => 20,
        }
    }

    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or(String::new(), |value| value.get_name().to_owned())
    }
}

/// Counts every path and compares it with the table.
pub(super) fn instructions() -> Result<Outcome, Failure> {
    let Ok(valgrind) = peers::find("valgrind") else {
        let why = "valgrind is not installed (apt-get install valgrind)";
        return Ok(Outcome::Skipped(why.into()));
    };
    let (mut figures, mut slower) = (Vec::new(), Vec::new());
    for path in Path::value_variants() {
        let once = count(&valgrind, *path, path.times())?;
        let twice = count(&valgrind, *path, 2 * path.times())?;
        let each = (twice - once) / f64::from(path.times());
        let name = path.name();
        let Some(known) = in_table(&name) else {
            figures.push(Figure::alone(name, format!("{each:.0}")));
            continue;
        };
        if each > known * (1.0 + TOLERANCE) {
            slower.push(format!("{name} {:+.1} %", (each / known - 1.0) * 100.0));
        }
        let words = |value: f64| format!("{value:.0}");
        let counts = Rounds::once(each, known);
        figures.push(Figure::less_is_better(name, &counts, "table", words));
    }
    if slower.is_empty() {
        return Ok(Outcome::Measured(figures));
    }
    let line = format!("more instructions than in the table: {}", slower.join(", "));
    Ok(Outcome::Missed(figures, line))
}

fn in_table(name: &str) -> Option<f64> {
    let mut lines = TABLE.lines();
    let (_, count) = lines.find_map(|line| line.split_once(' ').filter(|(n, _)| *n == name))?;
    count.trim().parse().ok()
}

/// Instructions of a process that runs a path so many times.
fn count(valgrind: &std::path::Path, path: Path, times: u32) -> Result<f64, Failure> {
    let own = env::current_exe().map_err(|error| Failure::failed("find this program", error))?;
    let mut command = Command::new(valgrind);
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(own).args(["--hot", &path.name()]);
    command.args(["--times", &times.to_string()]);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::failed("run valgrind", error))?;
    let said = String::from_utf8_lossy(&output.stderr);
    collected(&said).ok_or_else(|| Failure::failed("read callgrind's count", said.trim_end()))
}

fn collected(said: &str) -> Option<f64> {
    let line = said
        .lines()
        .find_map(|line| line.split_once("Collected : "))?;
    line.1.trim().parse().ok()
}

/// Runs a path; the work of the process that is counted.
pub(super) fn run(path: Path, times: u32) {
    match path {
        Path::Frames => frames(times),
        Path::Route => route(times),
        Path::Fragment => fragment(times),
        Path::Page => page(times),
        Path::Range => ranges(times),
    }
}

fn identity(node: u128) -> Identity {
    Identity {
        node: NodeId(node),
        incarnation: Incarnation(1),
        address: None,
        features: Features::AES,
    }
}

fn question(id: u64) -> Envelope {
    Envelope {
        id: RequestId(id),
        kind: Kind::Question {
            patience: std::time::Duration::from_secs(5),
        },
        message: Message::Names(Names::Resolve { role: Role::Router }),
        body: Vec::new(),
    }
}

fn frames(times: u32) {
    let Ok(security) = Security::keyed([7; 32], "bench") else {
        return;
    };
    let (now, security) = (Time::ZERO, Arc::new(security));
    let mut ends = [
        Link::dial(now, &security, identity(1), Suite::Aes),
        Link::accept(now, &security, identity(2)),
    ];
    let (mut scratch, mut heard) = (Scratch::new(), Vec::new());
    // Preamble and handshake, then both hellos.
    (0..3).for_each(|_| exchange(&mut ends, &mut scratch, &mut heard));
    for id in 1..=u64::from(times) {
        let _ = ends[0].send(now, question(id));
        exchange(&mut ends, &mut scratch, &mut heard);
        let answer = Envelope {
            kind: Kind::Answer { more: false },
            message: Message::Names(Names::Registered),
            ..question(id)
        };
        let _ = ends[1].send(now, answer);
        exchange(&mut ends, &mut scratch, &mut heard);
        black_box(heard.drain(..).count());
    }
}

/// Moves all bytes once in each direction.
fn exchange(ends: &mut [Link; 2], scratch: &mut Scratch, heard: &mut Vec<LinkEvent>) {
    let [first, second] = ends;
    for (from, to) in [(0, 1), (1, 0)] {
        let mut bytes = Vec::new();
        let (from, to) = match (from, to) {
            (0, 1) => (&mut *first, &mut *second),
            (_, _) => (&mut *second, &mut *first),
        };
        from.fill(Time::ZERO, scratch, &mut bytes, usize::MAX);
        to.receive(Time::ZERO, &bytes, scratch, heard);
    }
}

fn route(times: u32) {
    let at = Address(([127, 0, 0, 1], 7700).into());
    let config = server::Config {
        role: Some(Role::Dns),
        ..server::Config::default()
    };
    let me = Identity {
        address: Some(at),
        ..identity(1)
    };
    let mut server = Server::new(config, me, at, Rng::from_seed(1));
    let mut out = Outbox::new();
    server.handle(Time::ZERO, Event::Start, &mut out);
    for id in 1..=u64::from(times) {
        let from = Sender {
            peer: Peer::Guest(1),
            node: NodeId(2),
            incarnation: Incarnation(1),
        };
        let envelope = question(id);
        server.handle(Time::ZERO, Event::Message { from, envelope }, &mut out);
        while let Some(action) = out.pop() {
            black_box(action);
        }
    }
}

fn fragment(times: u32) {
    let bytes: Vec<u8> = (0..400_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761) as u8)
        .collect();
    let hash = ContentHash(*blake3::hash(&bytes).as_bytes());
    let song = SongId::of(&hash);
    let opened = Library::open_in_memory(NodeId(1), StoreId(1));
    let Ok(mut worker) = opened.and_then(|library| library.writer()) else {
        return;
    };
    let manifest = one_fragment(hash, bytes.len() as u32);
    let copies_due = Vec::new();
    let stores = [
        LibraryJob::BeginUpload { manifest },
        LibraryJob::KeepFragment {
            song,
            index: 0,
            bytes,
        },
        LibraryJob::CommitUpload { song, copies_due },
    ];
    for job in stores {
        black_box(worker.run(job));
    }
    for _ in 0..times {
        let at = Position::Index(0);
        black_box(worker.run(LibraryJob::ReadFragment { song, at }));
    }
}

fn page(times: u32) {
    let mut catalogue = Catalogue::default();
    for n in 0..10_000_u32 {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
        let mut song = one_fragment(ContentHash(bytes), 1000).song;
        song.artist = format!("artist {}", n / 40);
        song.title = format!("title {n}");
        catalogue.add(NodeId(1), song);
    }
    for _ in 0..times {
        let page = catalogue.page(&Query::all(100), |_| 1);
        debug_assert!(matches!(page, Answer::Songs { .. }), "a page of songs");
        black_box(page);
    }
}

fn ranges(times: u32) {
    for n in 0..times {
        let text = format!("bytes={}-{}", n * 1000, n * 1000 + 262_143);
        black_box(range::wanted(Some(&text), None, "\"tag\"", 8_000_000));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrind_is_understood() {
        let said = "==12== Events    : Ir\n==12== Collected : 3456789\n==12==\n";
        assert_eq!(collected(said), Some(3_456_789.0));
    }

    /// Every path has its line, so that none is left out by a typing error.
    #[test]
    fn the_table_is_complete() {
        for path in Path::value_variants() {
            assert!(in_table(&path.name()).is_some(), "{path:?}");
        }
    }

    /// Every path does its work without valgrind, too.
    #[test]
    fn every_path_runs() {
        Path::value_variants().iter().for_each(|path| run(*path, 2));
    }
}
