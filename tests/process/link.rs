//! Machines on one link find each other without an address being typed; programs that nobody here wrote
//! see what they announce.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::dns_nodes::await_ids;
use super::lab::{Lab, PATIENCE, Server};
use super::netlab::{self, Switches};
use super::sound::skipped;

/// `dispotify node auto`, with nothing said but the key.
fn auto(lab: &mut Lab, host: u32, more: &[&str]) -> Command {
    lab.host = Some(netlab::host(host));
    let mut command = lab.command(&["node", "auto", "--log", "debug"]);
    command
        .arg("--data-dir")
        .arg(lab.dir.join(host.to_string()))
        .args(more);
    command
}

/// Starts nodes on these hosts at the same moment. Each waits until its first node is ready.
fn together(lab: &mut Lab, hosts: &[u32], more: &[&str]) -> Vec<Server> {
    let commands: Vec<Command> = hosts.iter().map(|host| auto(lab, *host, more)).collect();
    let lab = &*lab;
    std::thread::scope(|scope| {
        let start = |command| scope.spawn(|| lab.spawn_when(command, "ready dns"));
        let started: Vec<_> = commands.into_iter().map(start).collect();
        let started = started.into_iter();
        started
            .map(|thread| thread.join().expect("it is ready"))
            .collect()
    })
}

fn nodes(status: &Value) -> Vec<&Value> {
    status["nodes"].as_array().into_iter().flatten().collect()
}

fn ring(status: &Value) -> usize {
    status["ring"].as_array().map_or(0, Vec::len)
}

/// The done-when of the whole matter: three machines, three times the same words.
#[test]
fn three_machines_become_a_cluster_by_themselves() {
    let test = "link::three_machines_become_a_cluster_by_themselves";
    if !netlab::inside(test, 5) {
        return;
    }
    let mut lab = Lab::new("link");
    let mut servers = together(&mut lab, &[1, 2, 3], &[]);
    lab.host = Some(netlab::host(4));
    let status = lab.await_status("three servers in one ring", |status| {
        let of_role = |role: &str| nodes(status).iter().filter(|n| n["role"] == role).count();
        ring(status) == 3 && of_role("dns") == 3
    });
    let role = |role: &str| nodes(&status).iter().filter(|n| n["role"] == role).count();
    assert_eq!((role("data"), role("router")), (2, 1), "{status}");

    // A newcomer sees enough DNS nodes, and is in the ring within three seconds.
    // Three seconds, or as much more as a command takes longer where others use the processor, too.
    let begun = Instant::now();
    lab.ok(&["status"]);
    let most = Duration::from_secs(3).max(15 * begun.elapsed());
    let begun = Instant::now();
    let command = auto(&mut lab, 5, &[]);
    let newcomer = lab.spawn(command);
    lab.host = Some(netlab::host(4));
    lab.await_status("the newcomer is in the ring", |status| ring(status) == 4);
    let took = begun.elapsed();
    assert!(took < most, "it took {took:?}, not {most:?}");
    assert!(newcomer.address.ends_with(":7700"), "no dns node beside it");

    // A song goes in and out, and no machine is needed for finding the others.
    let file = lab.dir.join("tone.wav");
    super::sound::wav(&file, 2, 440.0);
    lab.ok(&["add", file.to_str().expect("a plain path")]);
    servers[0].kill();
    lab.host = Some(netlab::host(5));
    lab.await_lines(&["ls"], |songs| songs.len() == 1);
    // It comes back as it was.
    let again = auto(&mut lab, 1, &[]);
    servers[0] = lab.spawn_when(again, "ready dns");
    lab.await_status("all are back", |status| {
        ring(status) == 4 && nodes(status).iter().all(|n| n["state"] == "alive")
    });
}

/// Without `--mdns`, and with `--dns`, nothing is asked on the link and nothing said.
#[test]
fn multicast_can_be_switched_off() {
    if !netlab::inside("link::multicast_can_be_switched_off", 2) {
        return;
    }
    let mut lab = Lab::new("off");
    let command = auto(&mut lab, 1, &["--mdns", "off"]);
    let _waits = lab.launch(command);
    lab.host = Some(netlab::host(2));
    let mut command = lab.command(&["node", "dns", "--mdns", "off", "--data-dir"]);
    command.arg(lab.dir.join("dns"));
    let dns = lab.spawn(command);
    let said = lab.fails(&["ls", "--mdns", "off"], 3);
    assert!(said.contains("no dns node can be reached"), "{said}");
    assert!(!lab.read_log().contains("mdns on the link"));
    lab.use_dns(&dns.address);
    lab.ok(&["resolve", "dispotify.dns"]);
}

/// A machine whose only DNS node is gone for good hears of another one by itself.
#[test]
fn a_dns_node_that_is_gone_is_replaced_by_any_other() {
    let test = "link::a_dns_node_that_is_gone_is_replaced_by_any_other";
    if !netlab::inside(test, 4) {
        return;
    }
    let mut lab = Lab::new("replaced");
    let mut start = |host: u32, role: &str| {
        lab.host = Some(netlab::host(host));
        let mut command = lab.command(&["node", role, "--set", "resolve.refresh=500ms"]);
        command
            .arg("--data-dir")
            .arg(lab.dir.join(host.to_string()));
        lab.spawn(command)
    };
    let mut dns = start(1, "dns");
    let router = start(2, "router");
    let data = start(3, "data");
    dns.kill();
    Switches.unplug(1);
    let other = start(4, "dns");
    lab.host = Some(netlab::host(4));
    // A node is announced when it has claimed its name, a second after its start.
    lab.await_status("all are seen", |status| {
        ring(status) == 2 && nodes(status).iter().any(|n| n["id"] == other.id.as_str())
    });
    await_ids(&lab, "dispotify.data", &[&data]);
    await_ids(&lab, "dispotify.router", &[&router]);
}

/// A stranger says that it is a DNS node of this cluster, with every word right but the key. Commands and
/// nodes find the real one all the same.
#[test]
fn a_stranger_that_says_it_is_the_dns_keeps_nobody_out() {
    let test = "link::a_stranger_that_says_it_is_the_dns_keeps_nobody_out";
    if !has_zeroconf() || !netlab::inside(test, 4) {
        return;
    }
    let mut lab = Lab::new("stranger");
    let names = together(&mut lab, &[1], &[]);
    let seen = python(2, &["browse", &netlab::address(2), DNS_KIND, "1"]);
    let texts: Vec<&str> = seen
        .trim()
        .rsplit('|')
        .next()
        .expect("texts")
        .split(' ')
        .collect();
    assert_eq!((texts.len(), texts[0]), (3, "txtvers=1"), "{seen}");
    let address = netlab::address(3);
    let mut stranger = script(3, &[&["pretend", &address][..], &texts].concat());
    let mut stranger = Begun::new(&mut stranger);
    stranger.await_line("ready");
    lab.host = Some(netlab::host(4));
    let found = lab.json(&["resolve", "dispotify.dns"]);
    assert_eq!(found[0]["node"], names[0].id.as_str());
    let command = auto(&mut lab, 4, &[]);
    let _newcomer = lab.spawn(command);
    lab.await_status("the newcomer is in the ring", |status| ring(status) == 2);
}

/// avahi finds the DNS nodes and the pages, and a browser that asks for `dispotify.local` finds a page
/// whichever machine dies.
#[test]
fn avahi_and_zeroconf_see_the_cluster() {
    let test = "link::avahi_and_zeroconf_see_the_cluster";
    if !has_avahi() || !has_zeroconf() || !netlab::inside(test, 5) {
        return;
    }
    let mut lab = Lab::new("avahi");
    let mut servers = together(&mut lab, &[1, 2], &["--web", "0.0.0.0:8080"]);
    let _avahi = Avahi::start(&lab, 4, "listener");
    let browsed = said(&["avahi-browse", "-r", "-t", "-p", "_dispotify._tcp"], 4);
    let found = |line: &&str| line.starts_with("=;eth0;IPv4;n-") && line.contains(";7700;");
    assert_eq!(browsed.lines().filter(found).count(), 2, "{browsed}");
    assert!(browsed.contains("cluster=dispotify"), "{browsed}");
    let browsed = said(&["avahi-browse", "-r", "-t", "-p", "_http._tcp"], 4);
    assert_eq!(
        browsed.matches(";dispotify.local;10.77.0.1").count(),
        2,
        "{browsed}"
    );
    let resolved = said(&["avahi-resolve", "-4", "-n", "dispotify.local"], 4);
    assert!(resolved.contains("10.77.0.1"), "{resolved}");

    let browsed = python(3, &["browse", &netlab::address(3), DNS_KIND, "1"]);
    assert_eq!(browsed.lines().count(), 2, "{browsed}");
    let pages = || {
        let answered = python(
            3,
            &["addresses", &netlab::address(3), "dispotify.local.", "0.5"],
        );
        answered.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(pages(), [netlab::address(1), netlab::address(2)]);
    for address in pages() {
        assert_eq!(page(3, "dispotify.local", &address), "200");
        assert_eq!(page(3, "other.local", &address), "421");
    }
    servers[0].kill();
    await_pages(&pages, &[netlab::address(2)]);
}

/// A machine is called `dispotify` already, and avahi answers for it: the pages take the next name, and
/// are served under it.
#[test]
fn a_machine_of_the_same_name_keeps_it() {
    let test = "link::a_machine_of_the_same_name_keeps_it";
    if !has_avahi() || !has_zeroconf() || !netlab::inside(test, 4) {
        return;
    }
    let mut lab = Lab::new("same");
    let _avahi = Avahi::start(&lab, 4, "dispotify");
    let _servers = together(&mut lab, &[1, 2], &["--web", "0.0.0.0:8080"]);
    let ask = |name: &str| {
        let answered = python(3, &["addresses", &netlab::address(3), name, "0.5"]);
        answered.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    await_pages(
        &|| ask("dispotify-2.local."),
        &[netlab::address(1), netlab::address(2)],
    );
    assert_eq!(ask("dispotify.local."), [netlab::address(4)]);
    assert_eq!(page(3, "dispotify-2.local", &netlab::address(1)), "200");
    assert!(lab.read_log().contains("this one is dispotify-2.local"));
}

fn await_pages(pages: &dyn Fn() -> Vec<String>, expected: &[String]) {
    let begun = Instant::now();
    loop {
        let found = pages();
        if found == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{found:?} and not {expected:?}");
    }
}

/// The status of the page that a browser gets by this name at this address.
fn page(host: u32, name: &str, address: &str) -> String {
    let resolve = format!("{name}:8080:{address}");
    let url = format!("http://{name}:8080/");
    let words = [
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--resolve",
        &resolve,
        &url,
    ];
    said(&words, host)
}

const DNS_KIND: &str = "_dispotify._tcp.local.";

/// Debian's python, for which Debian has the package.
const PYTHON: &str = "/usr/bin/python3";

fn has_zeroconf() -> bool {
    let import = Command::new(PYTHON)
        .args(["-c", "import zeroconf"])
        .output();
    let there = import.is_ok_and(|output| output.status.success());
    if !there {
        skipped("names seen by zeroconf, python3-zeroconf is not installed");
    }
    there
}

fn has_avahi() -> bool {
    let programs = ["avahi-daemon", "avahi-browse", "dbus-daemon"];
    let is_there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
    let there = programs.iter().all(is_there);
    if !there {
        skipped("names seen by avahi, avahi-daemon or avahi-utils is not installed");
    }
    there
}

fn script(host: u32, words: &[&str]) -> Command {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/process/link/zeroconf_peer.py");
    inside(host, &[&[PYTHON, path][..], words].concat())
}

fn python(host: u32, words: &[&str]) -> String {
    output(script(host, words))
}

fn inside(host: u32, words: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &netlab::host(host)])
        .args(words);
    command.env("DBUS_SYSTEM_BUS_ADDRESS", BUS);
    command
}

fn said(words: &[&str], host: u32) -> String {
    output(inside(host, words))
}

fn output(mut command: Command) -> String {
    let output = command.output().expect("ip runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A process that ends with the test.
struct Begun(Child);

impl Begun {
    fn new(command: &mut Command) -> Begun {
        let child = command.stdout(Stdio::piped()).spawn();
        Begun(child.expect("it starts"))
    }

    fn await_line(&mut self, begins: &str) {
        let out = self.0.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(out).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.starts_with(begins)));
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // `ip netns exec` becomes the program itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// avahi on one host, with a bus of its own: `/run` belongs to the network of the test.
struct Avahi {
    _bus: Begun,
    _daemon: Begun,
}

const BUS: &str = "unix:path=/run/dbus/bus";

const BUS_SETTINGS: &str = r#"<busconfig><type>system</type><listen>unix:path=/run/dbus/bus</listen>
<auth>EXTERNAL</auth><policy context="default"><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/><allow own="*"/></policy></busconfig>"#;

impl Avahi {
    fn start(lab: &Lab, host: u32, name: &str) -> Avahi {
        fs::create_dir_all("/run/dbus").expect("a folder for the bus");
        let write = |file: &str, text: &str| -> PathBuf {
            let path = lab.dir.join(file);
            fs::write(&path, text).expect("a file");
            path
        };
        let bus = write("bus.conf", BUS_SETTINGS);
        let settings = format!("[server]\nhost-name={name}\nuse-ipv6=no\n[publish]\n");
        let settings = write("avahi.conf", &settings);
        let argument = |option: &str, path: &Path| format!("--{option}={}", path.display());
        let quiet = |mut command: Command| {
            command.stderr(Stdio::null());
            Begun::new(&mut command)
        };
        let bus = [
            "dbus-daemon",
            "--nofork",
            "--nopidfile",
            &argument("config-file", &bus),
        ];
        let bus = quiet(inside(host, &bus));
        await_file(Path::new("/run/dbus/bus"));
        let file = argument("file", &settings);
        let daemon = [
            "avahi-daemon",
            "--no-drop-root",
            "--no-chroot",
            "--no-rlimits",
            &file,
        ];
        let daemon = quiet(inside(host, &daemon));
        let begun = Instant::now();
        let own = format!("{name}.local");
        let up = || {
            let asked = inside(host, &["avahi-resolve", "-4", "-n", &own]).output();
            asked.is_ok_and(|output| !output.stdout.is_empty())
        };
        while !up() {
            assert!(begun.elapsed() < PATIENCE, "avahi does not start");
        }
        Avahi {
            _bus: bus,
            _daemon: daemon,
        }
    }
}

fn await_file(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(
            begun.elapsed() < PATIENCE,
            "{} does not appear",
            path.display()
        );
        std::thread::yield_now();
    }
}
