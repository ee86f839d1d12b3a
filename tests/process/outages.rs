//! What a listing and a playing client feel when parts of a cluster die in every way: a table.
//!
//! `cargo test -p tests --test process outages -- --ignored --nocapture` prints it, in about ten minutes.
//! `OUTAGES=router` runs the rows that have this word.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{Lab, PATIENCE};
use super::laboratory::{CLIENT, DATA, DNS, Death, HOSTS, NEWCOMER, ROUTER, Stage};
use super::netlab;

/// Sound that each listener keeps ahead. Their songs are used up at ten times their own rate, so that each
/// needs a fragment a second.
const BUFFER: Duration = Duration::from_secs(4);

/// Sound before the stroke, and in all.
const BEFORE: Duration = Duration::from_secs(3);
const RUN: Duration = Duration::from_secs(16);

/// Between two listings.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest outage of a listing that is allowed.
const LIST_OUTAGE_MAX: Duration = Duration::from_secs(2);

#[test]
#[ignore = "it takes ten minutes: a table for people"]
fn table() {
    if !netlab::inside_bare("outages::table", HOSTS) {
        let table = fs::read_to_string(path()).unwrap_or_default();
        // Whoever runs this reads it.
        let _ = io::stdout().write_all(table.as_bytes());
        return;
    }
    let mut table = Table::new();
    for death in Death::ALL {
        one(
            &mut table,
            ("S10-S12 S22 S23", "a data node", death),
            &[DATA],
        );
        one(&mut table, ("S13 S24", "a router", death), &[ROUTER]);
        one(&mut table, ("S18 S25", "the DNS node", death), &[DNS]);
        neighbours(&mut table, death);
    }
    detector(&mut table);
    empty_dns(&mut table);
    for span in [5, 20] {
        partition(&mut table, Duration::from_secs(span));
    }
    bad_lines(&mut table);
    newcomer(&mut table);
    table.judge();
}

fn path() -> PathBuf {
    std::env::temp_dir().join("dispotify-outages.txt")
}

/// What the clients of a run have felt.
#[derive(Default)]
struct Felt {
    lists: usize,
    failed: usize,
    slowest: Duration,
    outage: Duration,
    stalls: f64,
    stall_max: f64,
}

/// One run: the stage, clients before, during and after what `act` does.
fn felt(stage: &mut Stage, act: impl FnOnce(&mut Stage) -> String) -> (Felt, String) {
    let seconds = RUN.as_secs();
    let words = format!(
        "--json --quiet --anywhere listeners --count 4 --kbps 640 --seconds {seconds} --ramp 1 --buffer {}",
        BUFFER.as_secs()
    );
    let mut player = stage.loadgen(&words);
    let player = player.stdout(Stdio::piped()).stderr(Stdio::null());
    let player = player.spawn().expect("loadgen starts");
    let over = AtomicBool::new(false);
    let lister = Lab::beside(&stage.lab);
    let (lists, said, report) = thread::scope(|scope| {
        // However this ends, the lists end with it.
        let ends = EndsLists(&over);
        let lists = scope.spawn(|| list(&lister, &over));
        thread::sleep(BEFORE); // Sound runs when the stroke comes.
        let said = act(stage);
        let output = player.wait_with_output().expect("our child");
        drop(ends);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (lists.join().expect("no panic"), said, report)
    });
    let figure = |name: &str| report["figures"][name].as_f64().unwrap_or(f64::NAN);
    let mut felt = Felt {
        stalls: figure("stalls"),
        stall_max: figure("stall_max"),
        ..Felt::default()
    };
    felt.count(&lists);
    (felt, said)
}

/// Ends the lists when it is dropped.
struct EndsLists<'a>(&'a AtomicBool);

impl Drop for EndsLists<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A list: its begin, its end, whether it gave all songs.
type Listed = (Instant, Instant, bool);

fn list(lab: &Lab, over: &AtomicBool) -> Vec<Listed> {
    let mut lists = Vec::new();
    while !over.load(Ordering::Acquire) {
        let begun = Instant::now();
        let output = lab.run(&["ls", "--json"]);
        let songs = output.stdout.iter().filter(|byte| **byte == b'\n').count();
        let good = output.status.success() && songs == 6;
        lists.push((begun, Instant::now(), good));
        thread::sleep(PAUSE); // As people ask: not without end.
    }
    lists
}

impl Felt {
    /// An outage is the time between two good lists beyond what is usual between them.
    fn count(&mut self, lists: &[Listed]) {
        self.lists = lists.len();
        self.failed = lists.iter().filter(|(_, _, good)| !good).count();
        let lasted = lists.iter().map(|(begun, ended, _)| *ended - *begun);
        self.slowest = lasted.max().unwrap_or_default();
        let good: Vec<Instant> = lists
            .iter()
            .filter(|(_, _, good)| *good)
            .map(|(_, ended, _)| *ended)
            .collect();
        let mut gaps: Vec<Duration> = good.windows(2).map(|two| two[1] - two[0]).collect();
        gaps.sort_unstable();
        let usual = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
        self.outage = gaps.last().copied().unwrap_or(RUN).saturating_sub(usual);
    }
}

/// The rows, as they are printed.
struct Table {
    text: String,
    too_long: Vec<String>,
}

impl Table {
    fn new() -> Table {
        let mut table = Table {
            text: String::new(),
            too_long: Vec::new(),
        };
        let head = "scenario         what                                 how          lists failed slowest  list outage  stalls longest  repair";
        table.add(head);
        table
    }

    fn add(&mut self, line: &str) {
        let _ = writeln!(self.text, "{line}");
        fs::write(path(), &self.text).expect("room for the table");
    }

    fn row(&mut self, (scenario, what, how): (&str, &str, &str), felt: &Felt, repair: &str) {
        let Felt {
            lists,
            failed,
            stalls,
            stall_max,
            ..
        } = felt;
        let ms = |span: Duration| format!("{} ms", span.as_millis());
        let (slowest, outage) = (ms(felt.slowest), ms(felt.outage));
        let line = format!(
            "{scenario:<16} {what:<36} {how:<12} {lists:>5} {failed:>6} {slowest:>8} {outage:>11} {stalls:>7} {stall_max:>6.1} s  {repair}"
        );
        self.add(&line);
        let stalled = stalls.is_nan() || *stalls > 0.0;
        if felt.outage > LIST_OUTAGE_MAX || stalled {
            self.too_long.push(line);
        }
    }

    fn judge(&mut self) {
        let bound = LIST_OUTAGE_MAX.as_secs();
        let lines = self.too_long.join("\n");
        let verdict = match lines.is_empty() {
            true => format!(
                "no outage of a listing above {bound} s, no stall beyond {BUFFER:?} of sound"
            ),
            false => format!(
                "above {bound} s of a listing, or stalls beyond {BUFFER:?} of sound:\n{lines}"
            ),
        };
        self.add(&verdict);
    }
}

fn wanted(words: (&str, &str, &str)) -> bool {
    let (scenario, what, how) = words;
    let wish = std::env::var("OUTAGES").unwrap_or_default();
    format!("{scenario} {what} {how}").contains(&wish)
}

fn one(table: &mut Table, (scenario, what, death): (&str, &str, Death), hosts: &[u32]) {
    let words = (scenario, what, death.name());
    if !wanted(words) {
        return;
    }
    let mut stage = Stage::new("outage", 1);
    let members = hosts.iter().filter(|host| **host != DNS).count();
    let (felt, repair) = felt(&mut stage, |stage| {
        let begun = Instant::now();
        hosts.iter().for_each(|host| stage.strike(death, *host));
        if members == 0 {
            return String::new();
        }
        stage.await_ring(4 - members);
        format!("ring whole after {:.1} s", begun.elapsed().as_secs_f64())
    });
    table.row(words, &felt, &repair);
}

/// A data node and a router that are next to each other in the ring.
fn neighbours(table: &mut Table, death: Death) {
    let words = ("S15", "two neighbours in the ring", death.name());
    if !wanted(words) {
        return;
    }
    let mut stage = Stage::new("outage", 1);
    let [first, second] = adjacent(&stage);
    let (felt, repair) = felt(&mut stage, |stage| {
        let begun = Instant::now();
        stage.strike(death, first);
        stage.strike(death, second);
        stage.await_ring(2);
        format!("ring whole after {:.1} s", begun.elapsed().as_secs_f64())
    });
    table.row(words, &felt, &repair);
}

/// The hosts of a data node and of a router, the second behind the first in the ring.
fn adjacent(stage: &Stage) -> [u32; 2] {
    let status = stage.lab.json(&["status"]).remove(0);
    let ring: Vec<&str> = status["ring"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let host = |id: &str| {
        let mut servers = stage.servers.iter();
        servers
            .find(|(_, server)| server.id == id)
            .map(|(host, _)| *host)
    };
    let hosts: Vec<u32> = ring.iter().filter_map(|id| host(id)).collect();
    let is_data = |host: u32| host < ROUTER;
    let pairs = (0..hosts.len()).map(|at| [hosts[at], hosts[(at + 1) % hosts.len()]]);
    let mut fit = pairs.filter(|[a, b]| is_data(*a) != is_data(*b));
    fit.next()
        .expect("a data node stands beside a router somewhere")
}

/// The member that watches the dead one dies while it tells the others.
fn detector(table: &mut Table) {
    let words = ("S16", "a member, then its watcher", "SIGKILL");
    if !wanted(words) {
        return;
    }
    let mut stage = Stage::new("outage", 1);
    let [first, second] = adjacent(&stage);
    let (felt, repair) = felt(&mut stage, |stage| {
        let begun = Instant::now();
        stage.strike(Death::Kill, first);
        thread::sleep(Duration::from_millis(2400)); // A killed member is dead after about this time.
        stage.strike(Death::Kill, second);
        stage.await_ring(2);
        format!("ring whole after {:.1} s", begun.elapsed().as_secs_f64())
    });
    table.row(words, &felt, &repair);
}

/// The DNS node starts again without its disk.
fn empty_dns(table: &mut Table) {
    let words = ("S19", "the DNS node comes back empty", "SIGKILL");
    if !wanted(words) {
        return;
    }
    let mut stage = Stage::new("outage", 1);
    let (felt, repair) = felt(&mut stage, |stage| {
        stage.strike(Death::Kill, DNS);
        stage.servers.remove(&DNS);
        stage.begin(DNS, "dns", "empty");
        let begun = Instant::now();
        let known = |name: &str| {
            let output = stage.lab.run(&["resolve", name, "--json"]);
            output.stdout.iter().filter(|byte| **byte == b'\n').count() == 2
        };
        while !known("dispotify.data") || !known("dispotify.router") {
            assert!(begun.elapsed() < PATIENCE, "{}", stage.lab.read_log());
        }
        format!("all known after {:.1} s", begun.elapsed().as_secs_f64())
    });
    table.row(words, &felt, &repair);
}

/// A data node and a router are cut off; the DNS node and the clients are on the other side.
fn partition(table: &mut Table, span: Duration) {
    let what = format!("a cut of {} s between two halves", span.as_secs());
    let words = ("S46 S47", what.as_str(), "silent cut");
    if !wanted(words) {
        return;
    }
    let mut stage = Stage::new("outage", 1);
    let all: Vec<u32> = (1..=HOSTS).collect();
    let (felt, repair) = felt(&mut stage, |stage| {
        stage.switch.rules().isolate(&[3, 5], &all);
        thread::sleep(span); // The length of the cut is what is tried.
        stage.switch.rules().heal();
        let begun = Instant::now();
        stage.await_ring(4);
        stage.lab.await_status("all are well", |status| {
            let nodes = status["nodes"].as_array();
            nodes.is_some_and(|nodes| {
                nodes.len() == 5 && nodes.iter().all(|n| n["state"] == "alive")
            })
        });
        format!("one again after {:.1} s", begun.elapsed().as_secs_f64())
    });
    table.row(words, &felt, &repair);
}

/// Lines that are bad and not dead: who is called dead, and who changes its role?
fn bad_lines(table: &mut Table) {
    let span = Duration::from_secs(10);
    let all: Vec<u32> = (1..=HOSTS).collect();
    type Act<'a> = Box<dyn Fn(&Stage) + 'a>;
    let lines: [(&str, &str, Act<'_>); 4] = [
        (
            "one data node hears nobody",
            "one way",
            Box::new(|stage| {
                let mut rules = stage.switch.rules();
                all.iter().for_each(|host| rules.cut(*host, DATA));
            }),
        ),
        (
            "every fifth frame is lost",
            "20 % loss",
            Box::new(|stage| stage.switch.rules().loss_permille = 200),
        ),
        (
            "every frame is late",
            "200 ms",
            Box::new(|stage| {
                stage.switch.rules().delay = Duration::from_millis(200);
            }),
        ),
        (
            "the line of a data node comes and goes",
            "1 Hz",
            Box::new(|stage| {
                let begun = Instant::now();
                while begun.elapsed() < span {
                    stage.switch.rules().isolate(&[DATA], &all);
                    thread::sleep(Duration::from_millis(500)); // Half a period.
                    stage.switch.rules().heal();
                    thread::sleep(Duration::from_millis(500));
                }
            }),
        ),
    ];
    for (what, how, act) in lines {
        if !wanted(("S48", what, how)) {
            continue;
        }
        let mut stage = Stage::new("outage", 1);
        let (felt, repair) = felt(&mut stage, |stage| {
            let begun = Instant::now();
            act(stage);
            thread::sleep(span.saturating_sub(begun.elapsed()));
            stage.switch.rules().heal();
            stage.await_ring(4);
            let log = stage.lab.read_log();
            let count = |words: &str| log.matches(words).count();
            let [suspicions, verdicts, changes] =
                ["ring suspects ", "ring lost node=", "from here on epoch="].map(count);
            format!("{suspicions} suspicions, {verdicts} verdicts, {changes} changes of role")
        });
        table.row(("S48", what, how), &felt, &repair);
    }
}

/// The DNS node is cut off, and a server without a role joins on the other side: it waits, and founds nothing.
fn newcomer(table: &mut Table) {
    let words = ("S49", "a newcomer while the DNS is cut off", "silent cut");
    if !wanted(words) {
        return;
    }
    let mut stage = Stage::new("outage", 1);
    let (felt, repair) = felt(&mut stage, |stage| {
        stage.strike(Death::SilentCut, DNS);
        let command = stage.node(NEWCOMER, "auto", "newcomer");
        let _newcomer = stage.lab.launch(command);
        stage.lab.host = Some(netlab::host(CLIENT));
        thread::sleep(Duration::from_secs(5)); // Long enough to found a ring, if it did.
        let log = stage.lab.read_log();
        assert!(!log.contains("auto role"), "it waits: {log}");
        stage.switch.rules().heal();
        let begun = Instant::now();
        stage.await_ring(5);
        format!(
            "in the ring {:.1} s after the heal",
            begun.elapsed().as_secs_f64()
        )
    });
    table.row(words, &felt, &repair);
}

const _: () = assert!(CLIENT < NEWCOMER);
