//! A switch in user space for hosts in network namespaces: cuts, one-way cuts, delay, jitter and loss, which
//! the kernel of a small machine may lack.
//!
//! `Rules` decides what becomes of a frame, from a seed. `Switch` carries frames between the hosts: in each,
//! a `socat` holds the end of its cable, an interface `eth0`, and passes whole frames over a socket of
//! datagrams. Everything ends with the namespaces of the hosts.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use roles::contract::rng::Rng;

/// Most frames under way; what comes on top is lost, as in any switch.
const FRAMES_MAX: usize = 8192;

/// Frames that may wait at a cable's end.
const FRAMES_QUEUED: u32 = 1000;

const QUEUE_SETTING: &str = "/proc/sys/net/unix/max_dgram_qlen";

/// Longest frame that a host sends, with some to spare.
const FRAME_BYTES_MAX: usize = 4096;

/// How long the switch sleeps at most before it looks whether it shall end.
const NAP: Duration = Duration::from_millis(50);

/// How long a host may take to get its cable.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a host is known by: 1 and up.
pub type HostNumber = u32;

/// What becomes of frames.
#[derive(Debug)]
pub struct Rules {
    cuts: BTreeSet<(HostNumber, HostNumber)>,
    /// Hosts whose own interface is down.
    down: BTreeSet<HostNumber>,
    /// Added to the way of every frame.
    pub delay: Duration,
    /// Added on top, between nothing and this: frames may overtake each other.
    pub jitter: Duration,
    /// So many of a thousand frames are lost.
    pub loss_permille: u64,
    rng: Rng,
}

impl Rules {
    /// Everything arrives at once.
    pub fn new(seed: u64) -> Self {
        Rules {
            cuts: BTreeSet::new(),
            down: BTreeSet::new(),
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss_permille: 0,
            rng: Rng::from_seed(seed),
        }
    }

    /// Nothing that `from` sends reaches `to`; what `to` sends still reaches `from`.
    pub fn cut(&mut self, from: HostNumber, to: HostNumber) {
        self.cuts.insert((from, to));
    }

    /// Nothing passes between these hosts and all others.
    pub fn isolate(&mut self, some: &[HostNumber], all: &[HostNumber]) {
        for one in some {
            for other in all.iter().filter(|other| !some.contains(other)) {
                self.cut(*one, *other);
                self.cut(*other, *one);
            }
        }
    }

    /// Everything arrives again, at once, at hosts whose interface is up.
    pub fn heal(&mut self) {
        self.cuts.clear();
        (self.delay, self.jitter, self.loss_permille) = (Duration::ZERO, Duration::ZERO, 0);
    }

    /// How long a frame is under way; none if it is lost.
    pub fn passage(&mut self, from: HostNumber, to: HostNumber) -> Option<Duration> {
        let lost = self.loss_permille > 0 && self.rng.happens(self.loss_permille, 1000);
        if lost || self.cuts.contains(&(from, to)) || self.down.contains(&to) {
            return None;
        }
        Some(self.delay + self.rng.within(self.jitter))
    }
}

/// The hosts that a frame goes to: one, or all but the sender. The last byte of a host's hardware address is
/// its number.
fn receivers(frame: &[u8], from: HostNumber, hosts: HostNumber) -> Vec<HostNumber> {
    let Some(target) = frame.first_chunk::<6>() else {
        return Vec::new();
    };
    let all = (1..=hosts).filter(|host| *host != from);
    if target[0] & 1 == 1 {
        return all.collect();
    }
    all.filter(|host| u8::try_from(*host) == Ok(target[5]))
        .collect()
}

/// A running switch; hosts `h1` and up are on it.
#[derive(Debug)]
pub struct Switch {
    rules: Arc<Mutex<Rules>>,
    over: Arc<AtomicBool>,
    carries: Option<JoinHandle<()>>,
    cables: Vec<Child>,
}

impl Switch {
    /// Gives each of the namespaces `h1` to `hN` an `eth0` with the address that `address` says (with the
    /// length of its network) and connects them. `dir` is for the sockets.
    pub fn start(
        dir: &Path,
        hosts: HostNumber,
        seed: u64,
        address: impl Fn(HostNumber) -> String,
    ) -> io::Result<Switch> {
        fs::create_dir_all(dir)?;
        // The kernel's own limit of ten makes a slow switch of every burst.
        fs::write(QUEUE_SETTING, FRAMES_QUEUED.to_string())?;
        let socket = UnixDatagram::bind(dir.join(SWITCH))?;
        // Two that wait for each other would wait for ever.
        socket.set_write_timeout(Some(Duration::from_millis(1)))?;
        let rules = Arc::new(Mutex::new(Rules::new(seed)));
        let over = Arc::new(AtomicBool::new(false));
        let carrier = Carrier {
            rules: Arc::clone(&rules),
            over: Arc::clone(&over),
            ports: (1..=hosts).map(|host| port(dir, host)).collect(),
            socket,
            under_way: BinaryHeap::new(),
            count: 0,
        };
        let mut switch = Switch {
            rules,
            over,
            carries: Some(thread::spawn(move || carrier.run())),
            cables: Vec::new(),
        };
        for host in 1..=hosts {
            switch.cables.push(cable(dir, host, &address(host))?);
        }
        for host in 1..=hosts {
            await_cable(host)?;
        }
        Ok(switch)
    }

    /// Takes the interface of a host down, or up again. A host whose interface is down knows it; the others
    /// hear nothing of it.
    pub fn set_link(&self, host: HostNumber, up: bool) -> io::Result<()> {
        if !up {
            // A cable ends when it gets a frame for an interface that is down.
            self.rules().down.insert(host);
            thread::sleep(NAP / 2);
        }
        let state = if up { "up" } else { "down" };
        let mut ip = Command::new("ip");
        ip.args(["-n", &format!("h{host}"), "link", "set", "eth0", state]);
        if !ip.status()?.success() {
            return Err(io::Error::other(format!("host {host}: no {state}")));
        }
        if up {
            self.rules().down.remove(&host);
        }
        Ok(())
    }

    /// The rules, to be changed.
    pub fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(carries) = self.carries.take() {
            let _ = carries.join();
        }
        for cable in &mut self.cables {
            let _ = cable.kill();
            let _ = cable.wait();
        }
    }
}

const SWITCH: &str = "switch";

fn port(dir: &Path, host: HostNumber) -> PathBuf {
    dir.join(format!("port{host}"))
}

fn cable(dir: &Path, host: HostNumber, address: &str) -> io::Result<Child> {
    let tun = format!("TUN:{address},tun-name=eth0,tun-type=tap,iff-no-pi,iff-up");
    let (switch, port) = (dir.join(SWITCH), port(dir, host));
    let wire = format!("UNIX-SENDTO:{},bind={}", switch.display(), port.display());
    let line = format!(
        "echo {FRAMES_QUEUED} > {QUEUE_SETTING}; exec socat -b {FRAME_BYTES_MAX} {tun} {wire}"
    );
    let mut socat = Command::new("ip");
    socat.args(["netns", "exec", &format!("h{host}"), "sh", "-c", &line]);
    socat.stdin(Stdio::null()).spawn()
}

/// Waits for the interface and gives it the hardware address by which the switch knows it.
fn await_cable(host: HostNumber) -> io::Result<()> {
    let begun = Instant::now();
    let hardware = format!("02:00:00:00:00:{host:02x}");
    loop {
        let mut ip = Command::new("ip");
        ip.args(["-n", &format!("h{host}"), "link", "set", "eth0"]);
        ip.args(["address", &hardware, "up"]).stderr(Stdio::null());
        if ip.status()?.success() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            let why = format!("host {host} has no cable (is socat installed?)");
            return Err(io::Error::other(why));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// A frame under way: when it arrives, in which order it came, where it goes.
type UnderWay = (Instant, u64, HostNumber, Vec<u8>);

/// What the thread of a switch has.
struct Carrier {
    rules: Arc<Mutex<Rules>>,
    over: Arc<AtomicBool>,
    ports: Vec<PathBuf>,
    socket: UnixDatagram,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    count: u64,
}

impl Carrier {
    fn run(mut self) {
        let mut buffer = [0; FRAME_BYTES_MAX];
        while !self.over.load(Ordering::Acquire) {
            self.deliver();
            let next = self.under_way.peek().map(|Reverse((at, ..))| *at);
            let wait = next.map_or(NAP, |at| at.saturating_duration_since(Instant::now()));
            let wait = wait.clamp(Duration::from_micros(100), NAP);
            if self.socket.set_read_timeout(Some(wait)).is_err() {
                return;
            }
            // Nothing has come, or the sender is gone.
            let Ok((length, sender)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            let path = sender.as_pathname();
            let from = self
                .ports
                .iter()
                .position(|port| Some(port.as_path()) == path);
            if let Some(from) = from {
                self.take(from as HostNumber + 1, &buffer[..length]);
            }
        }
    }

    fn take(&mut self, from: HostNumber, frame: &[u8]) {
        let hosts = self.ports.len() as HostNumber;
        for to in receivers(frame, from, hosts) {
            let passage = {
                let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
                rules.passage(from, to)
            };
            let Some(passage) = passage.filter(|_| self.under_way.len() < FRAMES_MAX) else {
                continue;
            };
            self.count += 1;
            let frame = (Instant::now() + passage, self.count, to, frame.to_vec());
            self.under_way.push(Reverse(frame));
        }
    }

    fn deliver(&mut self) {
        while let Some(Reverse((at, ..))) = self.under_way.peek()
            && *at <= Instant::now()
        {
            let Some(Reverse((_, _, to, frame))) = self.under_way.pop() else {
                return;
            };
            let is_down = {
                let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
                rules.down.contains(&to)
            };
            if is_down {
                continue;
            }
            // A host that takes nothing loses it.
            let _ = self.socket.send_to(&frame, &self.ports[to as usize - 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same seed loses the same frames, about as many as asked for, and delays within the bounds.
    #[test]
    fn a_seed_decides_what_is_lost() {
        let run = |seed| {
            let mut rules = Rules::new(seed);
            rules.loss_permille = 200;
            (rules.delay, rules.jitter) = (Duration::from_millis(20), Duration::from_millis(10));
            (0..1000).map(|_| rules.passage(1, 2)).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let all = run(7);
        let lost = all.iter().filter(|passage| passage.is_none()).count();
        assert!((150..250).contains(&lost), "{lost}");
        let (least, most) = (Duration::from_millis(20), Duration::from_millis(30));
        assert!(all.iter().flatten().all(|p| (least..=most).contains(p)));
    }

    #[test]
    fn a_cut_has_a_direction() {
        let mut rules = Rules::new(1);
        rules.cut(1, 2);
        assert_eq!(
            (rules.passage(1, 2), rules.passage(2, 1)),
            (None, Some(Duration::ZERO))
        );
        rules.isolate(&[3], &[1, 2, 3]);
        assert_eq!((rules.passage(3, 1), rules.passage(2, 3)), (None, None));
        rules.heal();
        assert_eq!(rules.passage(1, 2), Some(Duration::ZERO));
    }

    #[test]
    fn frames_go_to_their_host_or_to_all() {
        assert_eq!(receivers(&[2, 0, 0, 0, 0, 3, 9], 1, 4), [3]);
        assert_eq!(receivers(&[0xFF; 14], 2, 4), [1, 3, 4]);
        assert_eq!(receivers(&[2, 0, 0, 0, 0, 9], 1, 4), [0; 0]);
        assert_eq!(receivers(&[2, 0], 1, 4), [0; 0]);
    }
}
