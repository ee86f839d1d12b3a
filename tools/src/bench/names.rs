//! Questions of DNS over UDP against knot, with one worker each: how many a second, and how late the
//! answers are at a rate that both can serve.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::peers;
use super::rounds::{self, Rounds};
use super::stage::{self, Process, Stage};
use super::{Figure, Outcome, per_second};
use crate::loadgen::Failure;

/// The rate at which the latency is measured, and how many questions are sent at once.
const RATE: u32 = 20_000;
const BURST: u32 = 20;

/// What both sides must keep: the share of knot's rate, and the longest of 99 answers in 100.
const RATIO_LEAST: f64 = 0.3;
const LATENCY_MOST: Duration = Duration::from_millis(1);

/// A name with three addresses, from a DNS node and from knot.
pub(super) fn names(stage: &Stage, seconds: Duration) -> Result<Outcome, Failure> {
    if let Some(missing) = peers::missing(&["knotd", "dnsperf"]) {
        let cure = "apt-get install knot dnsperf";
        return Ok(Outcome::Skipped(format!("{missing}, or {cure}")));
    }
    let (ours_at, theirs_at) = (stage::free_address()?, stage::free_address()?);
    let _ours = ours(stage, ours_at)?;
    let _theirs = knot(stage, theirs_at)?;
    let questions = stage.dir.join("questions");
    fs::write(&questions, format!("{NAME} A\n"))
        .map_err(|error| Failure::failed("write the questions", error))?;
    let each = rounds::of_round(seconds);
    let rounds = Rounds::alternate(
        || dnsperf(&questions, ours_at, each),
        || dnsperf(&questions, theirs_at, each),
    )?;
    let late = Rounds::alternate(|| late(ours_at, each), || late(theirs_at, each))?;
    let figures = vec![
        Figure::more_is_better("A over UDP, dnsperf", &rounds, "knot", per_second),
        Figure::less_is_better(
            format!("99 % at {RATE}/s within"),
            &late,
            "knot",
            |seconds| format!("{:.0} us", seconds * 1e6),
        ),
    ];
    let ratio = rounds.ratios()[1];
    if ratio < RATIO_LEAST {
        let line = format!("names: {ratio:.2} of knot's questions a second");
        return Ok(Outcome::Missed(figures, line));
    }
    // Where knot is late as well, the machine is too busy to show it.
    let most = LATENCY_MOST.as_secs_f64();
    if late.ours() > most && late.theirs() <= most {
        let line = "names: 1 answer in 100 comes after more than a millisecond".to_owned();
        return Ok(Outcome::Missed(figures, line));
    }
    Ok(Outcome::Measured(figures))
}

const NAME: &str = "dispotify.data";

/// A DNS node with three data nodes.
fn ours(stage: &Stage, at: SocketAddr) -> Result<Vec<Process>, Failure> {
    let node = |role: &str, number: u32, dns: &str, more: &[&str]| {
        let mut command = stage.command(&["node", role, "--host", "127.0.0.1", "--port", "0"]);
        let dir = stage.dir.join(format!("names-{role}{number}"));
        command.args(["--log", "warn", "--data-dir"]).arg(dir);
        command.args(more).env("DISPOTIFY_DNS", dns);
        stage.start(command)
    };
    let port = at.port().to_string();
    let options = ["--dns-port", &port, "--set", "dns.rate=1000000000"];
    let dns = node("dns", 0, "127.0.0.1:1", &options)?;
    let address = dns.address.clone();
    let mut all = vec![dns];
    for number in 0..3 {
        all.push(node("data", number, &address, &[])?);
    }
    Ok(all)
}

/// knot with one worker and the same name.
fn knot(stage: &Stage, at: SocketAddr) -> Result<Process, Failure> {
    let dir = stage.dir.join("knot");
    let (shown, ip, port) = (dir.display(), at.ip(), at.port());
    let config = format!(
        "server:\n  rundir: {shown}\n  listen: {ip}@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\n\
         database:\n  storage: {shown}\n\
         template:\n  - id: default\n    storage: {shown}\n    journal-content: none\n    zonefile-load: whole\n\
         zone:\n  - domain: {NAME}\n    file: zone\n"
    );
    let zone = format!(
        "$ORIGIN {NAME}.\n$TTL 10\n@ SOA ns h 1 10 5 30 2\n@ NS ns\nns A 127.0.0.1\n\
         @ A 127.0.0.1\n@ A 127.0.0.2\n@ A 127.0.0.3\n"
    );
    let file = dir.join("knot.conf");
    let written = fs::create_dir_all(&dir)
        .and_then(|()| fs::write(&file, config))
        .and_then(|()| fs::write(dir.join("zone"), zone));
    written.map_err(|error| Failure::failed("configure knot", error))?;
    let program = peers::find("knotd").map_err(Failure::Failed)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(&file);
    Process::listening(command, at)
}

/// Answers per second.
fn dnsperf(questions: &PathBuf, at: SocketAddr, seconds: Duration) -> Result<f64, Failure> {
    let program = peers::find("dnsperf").map_err(Failure::Failed)?;
    let mut command = Command::new(program);
    command.args(["-s", &at.ip().to_string(), "-p", &at.port().to_string()]);
    let seconds = seconds.as_secs().max(1).to_string();
    command
        .args(["-l", &seconds, "-q", "100", "-d"])
        .arg(questions);
    let said = peers::output(&mut command)?;
    rate(&said).ok_or_else(|| Failure::failed("read dnsperf's figures", said))
}

/// The rate, if every answer was a good one.
fn rate(text: &str) -> Option<f64> {
    let behind = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))?;
        Some(line.trim().to_owned())
    };
    let good = behind("Response codes:")?;
    let rate = behind("Queries per second:")?;
    good.ends_with("(100.00%)").then(|| rate.parse().ok())?
}

/// Within how many seconds 99 of 100 answers come, each counted from when its question was due. A
/// question without an answer counts as the longest wait.
fn late(at: SocketAddr, seconds: Duration) -> Result<f64, Failure> {
    let failed = |error| Failure::failed("ask for names", error);
    let socket = UdpSocket::bind(SocketAddr::new(at.ip(), 0)).map_err(failed)?;
    socket.connect(at).map_err(failed)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let count = RATE * seconds.as_secs().clamp(1, 3) as u32;
    let receiver = socket.try_clone().map_err(failed)?;
    let begun = Instant::now() + Duration::from_millis(10);
    let due = move |number: u32| begun + Duration::from_secs(1) * (number / BURST * BURST) / RATE;
    let receives = thread::spawn(move || {
        let mut buffer = [0; 600];
        let mut waits = Vec::with_capacity(count as usize);
        while waits.len() < count as usize {
            let Ok(2..) = receiver.recv(&mut buffer) else {
                break;
            };
            // Ids repeat after 65536 questions, three seconds: far longer than an answer takes.
            let now = Instant::now();
            let number = whole_number(u16::from_be_bytes([buffer[0], buffer[1]]), now, begun);
            waits.push(now.saturating_duration_since(due(number)));
        }
        waits
    });
    let mut packet = question();
    for number in 0..count {
        if number.is_multiple_of(BURST) {
            thread::sleep(due(number).saturating_duration_since(Instant::now()));
        }
        packet[..2].copy_from_slice(&(number as u16).to_be_bytes());
        socket.send(&packet).map_err(failed)?;
    }
    let waits = receives
        .join()
        .map_err(|_| Failure::Failed("the receiver ended".into()))?;
    let mut histogram: Histogram<u64> = Histogram::new_with_bounds(1, 10_000_000_000, 3)
        .map_err(|error| Failure::failed("make a histogram", error))?;
    for wait in &waits {
        histogram.saturating_record(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
    }
    let lost = u64::from(count) - waits.len() as u64;
    let longest = u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX);
    let recorded = histogram.record_n(longest, lost);
    recorded.map_err(|error| Failure::failed("count what was lost", error))?;
    Ok(histogram.value_at_quantile(0.99) as f64 / 1e9)
}

/// The number of the question whose last 16 bits are `id`: the latest that was due before `now`.
fn whole_number(id: u16, now: Instant, begun: Instant) -> u32 {
    let passed = now.saturating_duration_since(begun);
    let latest = (passed.as_secs_f64() * f64::from(RATE)) as u32 + BURST;
    latest - u32::from((latest as u16).wrapping_sub(id))
}

fn question() -> Vec<u8> {
    let mut packet = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in NAME.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

/// How long a missing answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dnsperf_is_understood() {
        let said =
            "  Response codes:       NOERROR 900 (100.00%)\n  Queries per second:   12345.500\n";
        assert_eq!(rate(said), Some(12345.5));
        assert_eq!(rate(&said.replace("100.00", "99.00")), None);
    }

    #[test]
    fn a_number_is_found_by_its_end() {
        let begun = Instant::now();
        let after = begun + Duration::from_secs(5);
        assert_eq!(whole_number(34_463, after, begun), 99_999);
        assert_eq!(whole_number(3, begun, begun), 3);
    }
}
