//! Hosts of their own on a switch in user space: a cluster to be broken on purpose.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use tests::switch::Switch;

use super::lab::{self, Lab, Server};
use super::netlab;

/// How a host dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// SIGKILL: the others see its connections reset.
    Kill,
    /// SIGSTOP: its connections stay open, and nothing is answered.
    Freeze,
    /// Its own interface goes down.
    LinkDown,
    /// The switch carries nothing for it; its own interface stays up.
    SilentCut,
}

impl Death {
    pub(super) const ALL: [Death; 4] = [
        Death::Kill,
        Death::Freeze,
        Death::LinkDown,
        Death::SilentCut,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Death::Kill => "SIGKILL",
            Death::Freeze => "SIGSTOP",
            Death::LinkDown => "link down",
            Death::SilentCut => "silent cut",
        }
    }
}

/// A cluster: a DNS node on host 1, data nodes on 2 and 3, routers on 4 and 5. Host 6 is the client's, host 7
/// is free.
pub(super) struct Stage {
    pub(super) lab: Lab,
    pub(super) switch: Switch,
    pub(super) servers: BTreeMap<u32, Server>,
}

pub(super) const DNS: u32 = 1;
pub(super) const DATA: u32 = 2;
pub(super) const ROUTER: u32 = 4;
pub(super) const CLIENT: u32 = 6;
pub(super) const NEWCOMER: u32 = 7;
pub(super) const HOSTS: u32 = 7;

const ROLES: [(u32, &str); 5] = [
    (DNS, "dns"),
    (DATA, "data"),
    (3, "data"),
    (ROUTER, "router"),
    (5, "router"),
];

impl Stage {
    /// Starts the cluster, with six songs and all their copies.
    pub(super) fn new(name: &str, seed: u64) -> Stage {
        let lab = Lab::new(name);
        let switch = switch(&lab, HOSTS, seed);
        let mut stage = Stage {
            lab,
            switch,
            servers: BTreeMap::new(),
        };
        for (host, role) in ROLES {
            stage.begin(host, role, &host.to_string());
            if host == DNS {
                let address = stage.servers[&DNS].address.clone();
                stage.lab.use_dns(&address);
            }
        }
        stage.lab.host = Some(netlab::host(CLIENT));
        let music = stage.lab.dir.join("music").display().to_string();
        let made = format!("corpus {music} --count {SONGS} --seconds 200 --kbps 64");
        let output = stage.loadgen(&made).output().expect("loadgen runs");
        assert!(output.status.success(), "{output:?}");
        stage.lab.ok(&["add", &music]);
        stage.lab.await_copies(SONGS);
        stage.await_ring(4);
        stage
    }

    /// Starts a node on a host, with a data directory of this name.
    pub(super) fn begin(&mut self, host: u32, role: &str, dir: &str) {
        let command = self.node(host, role, dir);
        let server = self.lab.spawn(command);
        self.servers.insert(host, server);
        self.lab.host = Some(netlab::host(CLIENT));
    }

    pub(super) fn node(&mut self, host: u32, role: &str, dir: &str) -> Command {
        self.lab.host = Some(netlab::host(host));
        let address = netlab::address(host);
        let words = ["node", role, "--host", &address, "--log", "debug"];
        let mut command = self.lab.command(&words);
        command.arg("--data-dir").arg(self.lab.dir.join(dir));
        command
    }

    /// The load generator on the client's host, with these words.
    pub(super) fn loadgen(&self, words: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &netlab::host(CLIENT)]);
        command.arg(lab::loadgen());
        self.lab.dress(&mut command);
        command.args(words.split(' '));
        command
    }

    pub(super) fn strike(&mut self, death: Death, host: u32) {
        let all: Vec<u32> = (1..=HOSTS).collect();
        match death {
            Death::Kill => {
                let server = self.servers.get_mut(&host).expect("it runs");
                server.kill();
            }
            Death::Freeze => self.servers[&host].signal("STOP"),
            Death::LinkDown => self.switch.set_link(host, false).expect("it goes down"),
            Death::SilentCut => self.switch.rules().isolate(&[host], &all),
        }
    }

    /// Waits for a ring of so many members as the client sees it; gives how long that took.
    pub(super) fn await_ring(&self, size: usize) -> Duration {
        let begun = Instant::now();
        self.lab
            .await_status(&format!("a ring of {size}"), |status| {
                status["ring"].as_array().map_or(0, Vec::len) == size
            });
        begun.elapsed()
    }
}

/// Songs of a stage.
const SONGS: u64 = 6;

pub(super) fn switch(lab: &Lab, hosts: u32, seed: u64) -> Switch {
    let address = |host| format!("{}/24", netlab::address(host));
    let switch = Switch::start(&lab.dir.join("wires"), hosts, seed, address);
    switch.expect("a switch and its cables")
}

/// How long an echo takes from one host to another, in milliseconds; none if none comes.
fn echo(from: u32, to: u32) -> Option<f64> {
    let mut ping = Command::new("ip");
    ping.args(["netns", "exec", &netlab::host(from), "ping"]);
    ping.args(["-c", "1", "-W", "1", &netlab::address(to)]);
    let output = ping.output().expect("ip runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, time) = said.split_once("time=")?;
    time.split(' ').next()?.parse().ok()
}

/// Hosts are made fast, and each thing that the switch can do to them is felt.
#[test]
fn a_switch_delays_cuts_and_heals() {
    let test = "laboratory::a_switch_delays_cuts_and_heals";
    if Command::new("ping").arg("-V").output().is_err() {
        return super::sound::skipped(&format!("{test}, ping is not installed"));
    }
    if !netlab::inside_bare(test, 8) {
        return;
    }
    let lab = Lab::new("switch");
    let begun = Instant::now();
    let switch = switch(&lab, 8, 1);
    let took = begun.elapsed();
    // A second, where the processor is not shared.
    assert!(took < Duration::from_secs(5), "made in {took:?}");
    assert!(echo(1, 8).is_some_and(|ms| ms < 100.0), "nothing is slow");
    switch.rules().delay = Duration::from_millis(40);
    let slow = echo(1, 8).expect("it comes");
    assert!((80.0..300.0).contains(&slow), "{slow} ms");
    switch.rules().heal();
    switch.rules().cut(1, 2);
    assert_eq!(
        (echo(1, 2), echo(2, 1)),
        (None, None),
        "no echo without a way back"
    );
    assert!(echo(1, 3).is_some() && echo(3, 2).is_some());
    switch.rules().heal();
    assert!(echo(1, 2).is_some());
    switch.rules().loss_permille = 1000;
    assert_eq!(echo(1, 2), None);
    switch.rules().heal();
    switch.set_link(2, false).expect("it goes down");
    assert_eq!(echo(1, 2), None);
    switch.set_link(2, true).expect("it comes up");
    let begun = Instant::now();
    while echo(1, 2).is_none() {
        assert!(begun.elapsed() < lab::PATIENCE, "the cable is dead");
    }
}
