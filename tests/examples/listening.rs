//! How long listeners wait, and what two hundred of them cost, beside a static file server that
//! serves the same files in the same run: `cargo run --release -p tests --example listening`.
//!
//! The static server is this program in another process: one thread per connection, and the
//! kernel's own copy from file to socket. On either side the files are in the page cache. The web
//! player's own cache is empty, so its bytes come from data nodes. Where Chromium is installed, it
//! is measured as well.
// Figures go to standard output, and an unexpected event ends the run.
#![allow(clippy::print_stdout)]

#[path = "../browser/browser.rs"]
#[allow(dead_code)]
mod browser;
#[path = "../browser/driver.rs"]
mod driver;
#[path = "../process/web/http.rs"]
#[allow(dead_code)]
mod http;
#[path = "../process/lab.rs"]
#[allow(dead_code)]
mod lab;

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use browser::Browser;
use lab::{Lab, Server};

/// Songs whose first sound is measured, once each, and their length.
const SONGS: u64 = 40;
const SONG_SECONDS: u64 = 30;

/// Length of the file in which listeners jump, and the number of jumps.
const LONG_SECONDS: u64 = 3 * 3600;
const JUMPS: u64 = 40;

/// Listeners at once, each at another position of the long file.
const LISTENERS: u64 = 200;

/// Time in which players fill their buffers, before they read at the pace of the music.
const SETTLE: Duration = Duration::from_secs(8);
const LISTEN: Duration = Duration::from_secs(25);

/// Bytes of one second at 320 kbit/s, and of a fragment of ten seconds.
const SECOND_BYTES: u64 = 40_000;
const FRAGMENT_BYTES: u64 = 10 * SECOND_BYTES;

fn main() {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(STATIC) {
        return serve_files(&words.next().expect("a folder"));
    }
    let mut lab = Lab::new("listening");
    let _cluster = lab.cluster(2, 3);
    let files = lab.dir.join("files");
    fs::create_dir(&files).expect("a folder");
    let songs: Vec<Source> = (0..SONGS)
        .map(|n| Source::make(&files, n, SONG_SECONDS))
        .collect();
    let long = Source::make(&files, SONGS, LONG_SECONDS);
    lab.ok(&["add", files.to_str().expect("a path")]);
    lab.await_copies(SONGS + 1);
    let plain = Static::start(&files);
    let songs: Vec<Pair> = songs.iter().map(|source| source.known(&lab)).collect();
    let long = long.known(&lab);

    let (web, at) = fresh_web(&lab);
    first_sounds(&at, &plain.at, &songs);
    drop(web);
    let (web, at) = fresh_web(&lab);
    jumps(&at, &plain.at, &long);
    drop(web);
    let (web, at) = fresh_web(&lab);
    if let Some(browser) = Browser::open(&lab.dir, "en") {
        in_browser(&browser, (&at, &plain.at), &songs, &long);
    }
    drop(web);
    let (web, at) = fresh_web(&lab);
    let idle = Memory::of(web.pid());
    println!("web, idle           {idle}");
    listeners("web", &at, web.pid(), &long.streamed);
    listeners("static", &plain.at, plain.child.id(), &long.file);
}

/// A web player with an empty cache.
fn fresh_web(lab: &Lab) -> (Server, String) {
    let _ = fs::remove_dir_all(lab.dir.join("cache"));
    let server = lab.spawn(lab.command(&["web", "--listen", "127.0.0.1:0"]));
    let at = http::dialled(&server);
    (server, at)
}

/// The paths of one song on both servers.
struct Pair {
    streamed: String,
    file: String,
    bytes: u64,
}

/// A song on disk.
struct Source {
    name: String,
    bytes: u64,
}

impl Source {
    /// Writes an MP3 of 320 kbit/s: silent frames of 24 ms.
    fn make(folder: &Path, number: u64, seconds: u64) -> Source {
        let name = format!("song {number}");
        let path = folder.join(format!("{name}.mp3"));
        let mut file = BufWriter::new(File::create(path).expect("a file"));
        let frames = seconds * 1000 / 24;
        for n in 0..frames {
            let mut frame = [0; FRAME_BYTES];
            frame[..4].copy_from_slice(&FRAME_HEAD);
            frame[100..108].copy_from_slice(&number.to_le_bytes());
            frame[108..116].copy_from_slice(&n.to_le_bytes());
            file.write_all(&frame).expect("room on the disk");
        }
        file.flush().expect("room on the disk");
        let bytes = frames * FRAME_BYTES as u64;
        Source { name, bytes }
    }

    fn known(&self, lab: &Lab) -> Pair {
        Pair {
            streamed: format!("/stream/{}", lab.id_of(&self.name)),
            file: format!("/{}.mp3", self.name.replace(' ', "%20")),
            bytes: self.bytes,
        }
    }
}

/// Time from the request to the first byte of sound, and to ten seconds of sound.
struct Wait {
    byte: Duration,
    fragment: Duration,
}

fn first_sounds(web: &str, plain: &str, songs: &[Pair]) {
    let waits = |song: &Pair| {
        (
            wait(web, &song.streamed, 0, song.bytes),
            wait(plain, &song.file, 0, song.bytes),
        )
    };
    compare("first sound", songs.iter().map(waits).collect());
}

/// Jumps to positions far from each other, in no order, so that no fragment is fetched twice.
fn jumps(web: &str, plain: &str, long: &Pair) {
    let waits = |n: u64| {
        let place = (n * 17 + 5) % JUMPS * (long.bytes / JUMPS) + n * 12_345;
        (
            wait(web, &long.streamed, place, long.bytes),
            wait(plain, &long.file, place, long.bytes),
        )
    };
    compare("jump in three hours", (0..JUMPS).map(waits).collect());
}

fn wait(at: &str, path: &str, first: u64, bytes: u64) -> Wait {
    let begun = Instant::now();
    let mut stream = ask(at, path, first);
    http::read_head(&mut stream);
    let mut left = FRAGMENT_BYTES.min(bytes - first) as usize;
    let mut piece = vec![0; 64 * 1024];
    let mut byte = None;
    while left > 0 {
        let room = piece.len().min(left);
        let n = stream.read(&mut piece[..room]).expect("it sends");
        assert!(n > 0, "the song goes on");
        byte.get_or_insert_with(|| begun.elapsed());
        left -= n;
    }
    Wait {
        byte: byte.expect("there was one"),
        fragment: begun.elapsed(),
    }
}

fn ask(at: &str, path: &str, first: u64) -> TcpStream {
    let mut stream = http::connect(at);
    let text = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nRange: bytes={first}-\r\n\r\n");
    stream.write_all(text.as_bytes()).expect("it listens");
    stream
}

fn compare(what: &str, waits: Vec<(Wait, Wait)>) {
    let times = |of: fn(&Wait) -> Duration| {
        let of = |(ours, plain): &(Wait, Wait)| (of(ours), of(plain));
        waits.iter().map(of).collect()
    };
    show(what, "first byte", times(|wait| wait.byte));
    show(what, "first 10 s", times(|wait| wait.fragment));
}

fn show(what: &str, when: &str, times: Vec<(Duration, Duration)>) {
    let ours = sorted(times.iter().map(|(ours, _)| *ours));
    let plain = sorted(times.iter().map(|(_, plain)| *plain));
    let later = sorted(
        times
            .iter()
            .map(|(ours, plain)| ours.saturating_sub(*plain)),
    );
    println!(
        "{what:20}{when:11} {:.1?}, static server {:.1?}; later by {:.1?}, at most {:.1?} of {}",
        middle(&ours),
        middle(&plain),
        middle(&later),
        later[later.len() - 1],
        later.len(),
    );
}

fn sorted(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times
}

fn middle(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}

/// Time in Chromium from a press on Play, and from a jump, until the music's clock moves.
fn in_browser(browser: &Browser, (web, plain): (&str, &str), songs: &[Pair], long: &Pair) {
    let at = |host: &str, path: fn(&Pair) -> &String| -> [Vec<Duration>; 2] {
        browser.go(&format!("http://{host}/"));
        browser.click("body"); // The page may play sound once it was clicked.
        let time = |script: &str| {
            let ms = browser.later(&format!("{MOVES} {script}"));
            Duration::from_secs_f64(ms.as_f64().expect("a time") / 1000.0)
        };
        let play = |song| time(&format!("play({:?}).then(done)", path(song)));
        play(long); // The very first sound also waits for the audio device.
        let first = songs.iter().take(PRESSES).map(play).collect();
        play(long);
        let jump = |n: usize| {
            time(&format!(
                "jump({}).then(done)",
                (n * 7 + 3) % PRESSES * 500 + 300
            ))
        };
        [first, (0..PRESSES).map(jump).collect()]
    };
    let ours = at(web, |song| &song.streamed);
    let plain = at(plain, |song| &song.file);
    let whats = ["press on play", "jump in three hours"];
    for ((what, ours), plain) in whats.iter().zip(ours).zip(plain) {
        show(what, "in Chromium", ours.into_iter().zip(plain).collect());
    }
}

/// Listeners at the pace of the music, each at another position; no fragment is in the cache.
fn listeners(who: &str, at: &str, pid: u32, path: &str) {
    let apart = LONG_SECONDS / LISTENERS * SECOND_BYTES;
    let begun = Instant::now();
    let begin = |n| Listener::begin(ask(at, path, n * apart));
    let mut all: Vec<Listener> = (0..LISTENERS).map(begin).collect();
    let mut peak = Memory::default();
    let mut listen = |all: &mut Vec<Listener>, until: Duration| {
        while begun.elapsed() < until {
            all.iter_mut().for_each(Listener::listen);
            peak = peak.max(Memory::of(pid));
            thread::sleep(TICK); // The pace of the music; there is no event to wait for.
        }
    };
    listen(&mut all, SETTLE);
    let first = all.iter().map(|listener| listener.late_max).max();
    all.iter_mut()
        .for_each(|listener| listener.late_max = Duration::ZERO);
    let (before, since) = (busy(pid), Instant::now());
    listen(&mut all, SETTLE + LISTEN);
    let share = 100.0 * (busy(pid) - before).as_secs_f64() / since.elapsed().as_secs_f64();
    let late = all.iter().map(|listener| listener.late_max).max();
    println!(
        "{who:8}200 streams {:.1} % of a core each 100; {peak}; music late by at most {:.1?} \
         at the start, {:.1?} after it",
        share / 2.0,
        first.unwrap_or_default(),
        late.unwrap_or_default(),
    );
}

/// A listener that reads its music as it is played.
struct Listener {
    stream: TcpStream,
    begun: Instant,
    taken: u64,
    late_max: Duration,
}

impl Listener {
    fn begin(mut stream: TcpStream) -> Listener {
        let begun = Instant::now();
        http::read_head(&mut stream);
        stream.set_nonblocking(true).expect("a socket");
        Listener {
            stream,
            begun,
            taken: 0,
            late_max: Duration::ZERO,
        }
    }

    /// Reads what is due by now, and counts as late what is not there yet.
    fn listen(&mut self) {
        let mut piece = [0; 64 * 1024];
        let due = (self.begun.elapsed().as_secs_f64() * SECOND_BYTES as f64) as u64;
        while self.taken < due {
            let room = piece.len().min((due - self.taken) as usize);
            match self.stream.read(&mut piece[..room]) {
                Ok(0) => panic!("the stream has ended"),
                Ok(n) => self.taken += n as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let late = (due - self.taken) as f64 / SECOND_BYTES as f64;
        self.late_max = self.late_max.max(Duration::from_secs_f64(late));
    }
}

/// Memory of a process in kB: all that is resident, and the part that it does not share.
#[derive(Clone, Copy, Default)]
struct Memory {
    resident: u64,
    private: u64,
}

impl Memory {
    fn of(pid: u32) -> Memory {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
        let rollup = rollup.expect("Linux, and it lives");
        let sum = |names: &[&str]| {
            let fits = |line: &&str| names.iter().any(|name| line.starts_with(name));
            let number = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
            rollup.lines().filter(fits).filter_map(number).sum()
        };
        Memory {
            resident: sum(&["Rss:"]),
            private: sum(&["Private_Clean:", "Private_Dirty:"]),
        }
    }

    fn max(self, other: Memory) -> Memory {
        Memory {
            resident: self.resident.max(other.resident),
            private: self.private.max(other.private),
        }
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |kb: u64| kb as f64 / 1024.0;
        let (resident, private) = (mib(self.resident), mib(self.private));
        write!(f, "{resident:.1} MiB resident, {private:.1} MiB private")
    }
}

/// CPU time that a process has used on all cores.
fn busy(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux, and it lives");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|n| n.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// The static server in another process; it ends with this one.
struct Static {
    child: Child,
    at: String,
}

impl Static {
    fn start(folder: &Path) -> Static {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.arg(STATIC).arg(folder).stdout(Stdio::piped());
        let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
        let mut out = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
        let mut at = String::new();
        std::io::BufRead::read_line(&mut out, &mut at).expect("its address");
        let at = at.trim_end().to_owned();
        Static { child, at }
    }
}

impl Drop for Static {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve_files(folder: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("its address"));
    // When the parent ends, standard input closes, and this process ends as well.
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    for stream in listener.incoming() {
        let folder = folder.to_owned();
        thread::spawn(move || serve(stream.expect("a connection"), Path::new(&folder)));
    }
}

/// Answers one request with a file from a given byte on. A listener disconnects when it has enough.
fn serve(mut stream: TcpStream, folder: &Path) {
    let head = http::read_head(&mut stream);
    let path = head.split([' ', '?']).nth(1).expect("a path");
    if path == "/" {
        let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: 16\r\n\r\n";
        let _ = stream.write_all(format!("{page}<p>static server").as_bytes());
        return;
    }
    let path = folder.join(path.trim_start_matches('/').replace("%20", " "));
    let first = head
        .split_once("bytes=")
        .and_then(|(_, rest)| rest.split_once('-')?.0.parse().ok());
    let first: u64 = first.unwrap_or(0);
    let Ok(mut file) = File::open(path) else {
        return; // A browser asks for an icon.
    };
    let length = file.metadata().expect("a file").len();
    file.seek(SeekFrom::Start(first)).expect("a file");
    let (last, rest) = (length - 1, length - first);
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Type: audio/mpeg\r\nConnection: close\r\nContent-Length: {rest}\r\n\
         Content-Range: bytes {first}-{last}/{length}\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = std::io::copy(&mut file, &mut stream);
}

/// Presses on Play, and jumps, in the browser.
const PRESSES: usize = 20;

/// Script that plays one media element from a position and gives the time until its clock moves.
const MOVES: &str = "
    const audio = window.heard ??= new Audio();
    const moves = (begun, from) => new Promise((moved) => {
        const look = () => {
            if (!audio.seeking && audio.currentTime > from) moved(performance.now() - begun);
            else setTimeout(look, 1);
        };
        look();
    });
    const play = (path) => {
        audio.pause();
        const begun = performance.now();
        audio.src = path;
        audio.play();
        return moves(begun, 0);
    };
    const jump = (to) => {
        const begun = performance.now();
        audio.currentTime = to;
        return moves(begun, to);
    };";

/// The argument that makes this program the static server.
const STATIC: &str = "static-server";

/// MPEG-1 layer III, 320 kbit/s, 48 kHz, stereo: 960 bytes for 24 ms.
const FRAME_HEAD: [u8; 4] = [0xff, 0xfb, 0xe4, 0x00];
const FRAME_BYTES: usize = 960;

/// How often a listener reads.
const TICK: Duration = Duration::from_millis(50);
