//! Figures of a cluster of real processes on loopback, each beside a reference from the same run:
//! `cargo run --release -p tests --example figures`.
// Figures go to standard output, and an unexpected event ends the run.
#![allow(clippy::print_stdout, clippy::wildcard_enum_match_arm)]

#[allow(dead_code)]
#[path = "parts/front.rs"]
mod front;
#[allow(dead_code)]
#[path = "../process/lab.rs"]
mod lab;
#[allow(dead_code)]
#[path = "../process/sound.rs"]
mod sound;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use roles::contract::id::{OperationId, SongId};
use roles::contract::message::Query;
use roles::contract::user::{ALL_BYTES, Command, Notice};

use front::Front;
use lab::{Lab, Server};

/// Songs in the library whose pages are listed.
const SONGS: usize = 1_000;

/// Bytes of the file that is fetched.
const BIG: usize = 100_000_000;

fn main() {
    let mut lab = Lab::new("figures");
    let (names, data) = lab.cluster(2, 3);
    memory("idle", &names, &data);
    fill(&lab);
    let front = Front::start(&names[0].address);
    pages(&front);
    first_fragments(&front);
    whole(&lab, &front);
    many(&lab, &front);
    drop(front);
    thread::sleep(Duration::from_secs(2)); // Only here: memory is given back after a quiet second.
    memory("after the work", &names, &data);
}

fn fill(lab: &Lab) {
    let folder = lab.dir.join("songs");
    fs::create_dir_all(&folder).expect("a folder");
    for n in 0..SONGS {
        sound::noise(&folder.join(format!("song {n}.mp3")), 20_000, n as u64);
    }
    let begun = Instant::now();
    lab.ok(&["add", folder.to_str().expect("a path")]);
    let each = begun.elapsed() / SONGS as u32;
    println!("add                 {each:.1?} per song of 20 kB, two durable copies each");
    sound::noise(&lab.dir.join("big.bin"), BIG, 99);
    let begun = Instant::now();
    lab.ok(&["add", lab.dir.join("big.bin").to_str().expect("a path")]);
    println!("add 100 MB          {:.2?}", begun.elapsed());
    lab.await_copies(SONGS as u64 + 1);
}

fn pages(front: &Front) {
    let page = |_| {
        let begun = Instant::now();
        let operation = front.next();
        let query = Query::all(100);
        let notice = front.ask(Command::List { operation, query });
        assert!(matches!(notice, Notice::Songs { .. }));
        begun.elapsed()
    };
    let page = median((0..300).map(page).collect());
    let echo = echo(64, 10_000);
    let times = page.as_secs_f64() / echo.as_secs_f64();
    println!(
        "list page of 100    {page:.1?} (loopback TCP, as many bytes: {echo:.1?}; {times:.1} times)"
    );
}

fn first_fragments(front: &Front) {
    let operation = front.next();
    let query = Query::all(200);
    let Notice::Songs { songs, .. } = front.ask(Command::List { operation, query }) else {
        panic!("no songs");
    };
    let ids: Vec<SongId> = songs.iter().map(|listed| listed.song.id).collect();
    let first = |id: &SongId| {
        let begun = Instant::now();
        let operation = front.open(*id);
        let (first, end) = (0, 1);
        front.give(Command::Read {
            operation,
            first,
            end,
            bytes: ALL_BYTES,
        });
        front.give(Command::Take {
            operation,
            count: 1,
        });
        front.until(|notice| matches!(notice, Notice::Fragment { .. }));
        front.give(Command::Close { operation });
        begun.elapsed()
    };
    let mut times: Vec<Duration> = ids.iter().map(first).collect();
    times.sort_unstable();
    let worst = times[times.len() * 99 / 100];
    let middle = median(times);
    println!("first fragment      {middle:.1?} from id to bytes, 99th percentile {worst:.1?}");
}

fn whole(lab: &Lab, front: &Front) {
    let id = lab.id_of("big");
    let song = SongId::parse(&id).expect("an id");
    let rounds = 5;
    let ours = median((0..rounds).map(|_| fetch(front, song)).collect());
    let plain = median((0..rounds).map(|_| copy(BIG)).collect());
    let rate = |time: Duration| BIG as f64 / 1e6 / time.as_secs_f64();
    println!(
        "fetch 100 MB        {:.0} MB/s (loopback TCP without encryption, check or disk: {:.0} MB/s; {:.0} %)",
        rate(ours),
        rate(plain),
        100.0 * rate(ours) / rate(plain)
    );
    let out = lab.dir.join("out");
    let get = |_| {
        let _ = fs::remove_dir_all(lab.dir.join("cache"));
        let begun = Instant::now();
        lab.ok(&["get", &id, "-o", out.to_str().expect("a path")]);
        begun.elapsed()
    };
    let get = median((0..rounds).map(get).collect());
    println!(
        "get 100 MB          {:.0} MB/s, the whole command, into cache and file",
        rate(get)
    );
    let again = Instant::now();
    lab.ok(&["get", &id, "-o", out.to_str().expect("a path")]);
    println!("get it again        {:.0?} from the cache", again.elapsed());
    let same =
        fs::read(&out).expect("fetched") == fs::read(lab.dir.join("big.bin")).expect("added");
    println!("identical           {same}");
}

fn fetch(front: &Front, song: SongId) -> Duration {
    let begun = Instant::now();
    let operation = front.open(song);
    let (first, end) = (0, u32::MAX);
    front.give(Command::Read {
        operation,
        first,
        end,
        bytes: ALL_BYTES,
    });
    front.give(Command::Take {
        operation,
        count: u32::MAX,
    });
    front.until(|notice| matches!(notice, Notice::ReadDone { .. }));
    front.give(Command::Close { operation });
    begun.elapsed()
}

/// Reads a fifth of the file 64 times at once, and 64 times one after the other.
fn many(lab: &Lab, front: &Front) {
    let song = SongId::parse(&lab.id_of("big")).expect("an id");
    let (reads, fragments) = (64, 20);
    let rate = |time: Duration| f64::from(reads * fragments) / time.as_secs_f64();
    let read = |operation| {
        let (first, end) = (0, fragments);
        front.give(Command::Read {
            operation,
            first,
            end,
            bytes: ALL_BYTES,
        });
        front.give(Command::Take {
            operation,
            count: u32::MAX,
        });
    };
    let done = |notice: &Notice| matches!(notice, Notice::ReadDone { .. });
    let open: Vec<OperationId> = (0..reads).map(|_| front.open(song)).collect();
    let begun = Instant::now();
    for operation in &open {
        read(*operation);
        front.until(done);
    }
    let one = rate(begun.elapsed());
    let begun = Instant::now();
    open.iter().for_each(|operation| read(*operation));
    open.iter().for_each(|_| drop(front.until(done)));
    let all = rate(begun.elapsed());
    println!("64 reads at once    {all:.0} MB/s (one after the other: {one:.0} MB/s)");
}

/// Time of one question and answer of these sizes over plain TCP.
fn echo(ask: usize, answer: usize) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the client");
        stream.set_nodelay(true).expect("a socket");
        let (mut question, reply) = (vec![0; ask], vec![1; answer]);
        while stream.read_exact(&mut question).is_ok() {
            stream.write_all(&reply).expect("the client reads");
        }
    });
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let (question, mut reply) = (vec![0; ask], vec![0; answer]);
    let mut times = Vec::new();
    for _ in 0..300 {
        let begun = Instant::now();
        stream.write_all(&question).expect("it reads");
        stream.read_exact(&mut reply).expect("it answers");
        times.push(begun.elapsed());
    }
    drop(stream);
    server.join().expect("the server ends");
    median(times)
}

/// Time of so many bytes over plain TCP, read and dropped.
fn copy(bytes: usize) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the client");
        let chunk = vec![7; 256 * 1024];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(chunk.len());
            stream.write_all(&chunk[..now]).expect("the client reads");
            left -= now;
        }
    });
    let mut stream = TcpStream::connect(address).expect("it listens");
    let (mut chunk, mut got, begun) = (vec![0; 256 * 1024], 0, Instant::now());
    while got < bytes {
        got += stream.read(&mut chunk).expect("it sends");
    }
    server.join().expect("the server ends");
    begun.elapsed()
}

fn memory(when: &str, names: &[Server], data: &[Server]) {
    for server in names.iter().chain(data) {
        let mib = server.resident_kb() as f64 / 1024.0;
        println!("memory {when:14} {mib:.1} MiB ({})", server.role);
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
