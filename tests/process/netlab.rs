//! A private network for one test: one namespace per host, one bridge, links that can be cut.
//!
//! The test runs itself again inside the network, and the network ends with that run.

use std::path::Path;
use std::process::Command;

use super::lab::{BINARY_VARIABLE, LOADGEN_VARIABLE, dispotify};
use super::sound;

/// True inside the network: the caller goes on with the test. False outside: the test has already
/// passed inside, or this machine has no namespaces.
pub(super) fn inside(test: &str, hosts: u32) -> bool {
    enter(test, hosts, false)
}

/// The same with hosts that have no cables yet, for a switch in user space (`tests::switch`).
pub(super) fn inside_bare(test: &str, hosts: u32) -> bool {
    let socat = Command::new("socat").arg("-V").output();
    if socat.is_err() || std::fs::File::open("/dev/net/tun").is_err() {
        sound::skipped(&format!("{test}, there is no socat, or no /dev/net/tun"));
        return false;
    }
    enter(test, hosts, true)
}

fn enter(test: &str, hosts: u32, bare: bool) -> bool {
    if std::env::var_os("NETLAB_IN").is_some() {
        return true;
    }
    if !can_make_networks() {
        sound::skipped(&format!("{test}, this machine makes no network namespaces"));
        return false;
    }
    let binary = std::env::current_exe().expect("this test has a path");
    let mut run = Command::new("bash");
    run.arg(script())
        .arg(hosts.to_string())
        .arg(binary)
        .args(["--exact", test, "--include-ignored", "--nocapture"])
        .arg("--test-threads=1")
        .env(BINARY_VARIABLE, dispotify());
    if bare {
        run.env("NETLAB_BARE", "1")
            .env(LOADGEN_VARIABLE, super::lab::loadgen());
    }
    let output = run.output().expect("the network is made");
    let said = String::from_utf8_lossy(&output.stdout);
    let also = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{also}");
    assert!(said.contains("1 passed"), "{said}\n{also}");
    let skipped = also
        .lines()
        .filter_map(|line| line.strip_prefix("skipped: "));
    skipped.for_each(sound::skipped);
    false
}

fn script() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/process/netlab.sh"))
}

fn can_make_networks() -> bool {
    let mut probe = Command::new("bash");
    probe.arg(script()).args(["1", "true"]);
    probe.output().is_ok_and(|output| output.status.success())
}

/// The IP address of host `n`.
pub(super) fn address(n: u32) -> String {
    format!("10.77.0.{}", 10 + n)
}

/// The namespace of host `n`.
pub(super) fn host(n: u32) -> String {
    format!("h{n}")
}

/// The switches of the network. Hosts on different switches do not reach each other, although their
/// own links stay up.
pub(super) struct Switches;

impl Switches {
    /// Moves these hosts to a second switch.
    pub(super) fn split(&self, hosts: &[u32]) {
        ip("link add br1 type bridge");
        ip("link set br1 up");
        for host in hosts {
            ip(&format!("link set p{host} master br1"));
        }
    }

    /// Moves these hosts back to the first switch.
    pub(super) fn join(&self, hosts: &[u32]) {
        for host in hosts {
            ip(&format!("link set p{host} master br0"));
        }
        ip("link del br1");
    }

    /// Takes a host off its switch: its own link stays up, and nothing arrives.
    pub(super) fn unplug(&self, host: u32) {
        ip(&format!("link set p{host} nomaster"));
    }

    /// Puts a host back on the first switch.
    pub(super) fn plug(&self, host: u32) {
        ip(&format!("link set p{host} master br0"));
    }
}

fn ip(words: &str) {
    let mut command = Command::new("ip");
    command.args(words.split(' '));
    assert!(command.status().is_ok_and(|s| s.success()), "ip {words}");
}
