//! DNS packets, asked by programs that nobody here wrote.

mod teller;

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::lab::{Lab, PATIENCE, Server};
use super::netlab;
use super::sound::skipped;

/// Where the DNS node of this lab that was started last answers packets.
fn door(lab: &Lab) -> SocketAddr {
    let log = lab.read_log();
    let said = log.rsplit_once("dns packets at ").expect("it says where").1;
    let address = said.lines().next().expect("an address");
    address.parse().expect("an address")
}

/// Whether the program is there; says that the test is skipped if not.
fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("-h").output().is_ok();
    if !there {
        skipped(&format!("names asked by {program}, it is not installed"));
    }
    there
}

fn said(output: Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What `dig` or `kdig` prints, with these words after the server.
fn ask(program: &str, door: SocketAddr, words: &str) -> String {
    let mut command = Command::new(program);
    command.arg(format!("@{}", door.ip()));
    command.args(["-p", &door.port().to_string()]);
    command.args(words.split(' '));
    said(command.output().expect("it runs"))
}

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with(';')).collect();
    lines.retain(|line| !line.is_empty());
    lines
}

/// The two programs that operators look with.
#[test]
fn dig_and_kdig_see_the_cluster() {
    let mut lab = Lab::new("dig");
    let (names, data) = lab.cluster(1, 2);
    let door = door(&lab);
    let port = |server: &Server| {
        server
            .address
            .rsplit_once(':')
            .expect("an address")
            .1
            .to_owned()
    };
    for program in ["dig", "kdig"]
        .into_iter()
        .filter(|program| is_there(program))
    {
        for way in ["+notcp", "+tcp"] {
            let short = |words: &str| ask(program, door, &format!("{way} +short {words}"));
            assert_eq!(lines(&short("dispotify.data")), ["127.0.0.1", "127.0.0.1"]);
            assert_eq!(lines(&short("dIsPoTiFy.RouTer A")), ["127.0.0.1"]);
            assert_eq!(lines(&short("dispotify.data AAAA")), [""; 0]);
            let ports = short("_dispotify._tcp.dispotify.router SRV");
            let expected = format!(
                "0 0 {} n-{}.dispotify.router.",
                port(&names[1]),
                names[1].id
            );
            assert_eq!(lines(&ports), [expected]);
            let node = format!("n-{}.data.dispotify.internal", data[0].id);
            assert!(short(&format!("{node} TXT")).contains("role=data"));
            let code = |words: &str| ask(program, door, &format!("{way} {words}"));
            assert!(code("www.dispotify.data").contains("NXDOMAIN"));
            assert!(code("dispotify.data AAAA").contains("NOERROR"));
            assert!(code("example.org").contains("REFUSED"));
            let future = if program == "dig" {
                "+edns=1 +noednsneg"
            } else {
                "+edns=1"
            };
            assert!(code(&format!("{future} dispotify.data")).contains("BADVERS"));
        }
        let transfer = ask(program, door, "dispotify.data AXFR");
        assert_eq!(lines(&transfer), [""; 0]);
    }
}

/// Sixty data nodes do not fit into 512 bytes: each program gets as many as it can take.
#[test]
fn sixty_servers_are_answered_to_dig_and_kdig() {
    let mut lab = Lab::new("sixty");
    let (names, _) = lab.cluster(1, 0);
    let door = door(&lab);
    teller::tell(&names[0], 60);
    for program in ["dig", "kdig"]
        .into_iter()
        .filter(|program| is_there(program))
    {
        let count = |words: &str| lines(&ask(program, door, &format!("+short {words}"))).len();
        assert_eq!(count("+noedns +ignore dispotify.data"), 24);
        assert_eq!(count("+bufsize=1232 dispotify.data"), 60);
        assert_eq!(count("+tcp dispotify.data"), 60);
        // It comes with a mark, and the program comes back over TCP.
        assert_eq!(count("+noedns _dispotify._tcp.dispotify.data SRV"), 60);
    }
}

/// The names of a machine's own resolver: glibc and musl, each with a `resolv.conf` that names the DNS
/// node. They ask port 53, so the machine is a host of its own.
#[test]
fn programs_resolve_by_their_own_library() {
    let test = "names::programs_resolve_by_their_own_library";
    if !netlab::inside(test, 2) {
        return;
    }
    let mut lab = Lab::new("getent");
    lab.host = Some(netlab::host(1));
    let mut command = lab.command(&["node", "dns", "--host", &netlab::address(1)]);
    command.args(["--dns-port", "53"]);
    command.arg("--data-dir").arg(lab.dir.join("dns"));
    let dns = lab.spawn(command);
    let resolver = lab.dir.join("resolv.conf");
    let text = format!(
        "nameserver {}\noptions timeout:2 attempts:1\n",
        netlab::address(1)
    );
    fs::write(&resolver, text).expect("a file");
    lab.use_dns(&dns.address);
    let mut command = lab.command(&["node", "router", "--host", &netlab::address(1)]);
    command
        .args(["--port", "0", "--data-dir"])
        .arg(lab.dir.join("router"));
    let _router = lab.spawn(command);

    let mut programs = vec![
        vec!["getent".to_owned(), "ahosts".into()],
        vec!["getent".into(), "hosts".into()],
    ];
    programs.extend(musl_program(&lab.dir).map(|path| vec![path.display().to_string()]));
    for program in &programs {
        let output = resolved(&resolver, program, "dispotify.router");
        let first = output.split_whitespace().next().map(str::to_owned);
        assert_eq!(first, Some(netlab::address(1)), "{program:?}");
        assert_eq!(
            resolved(&resolver, program, "www.dispotify.router"),
            "",
            "{program:?}"
        );
    }
    teller::tell_from_host(&dns, 60);
    for program in &programs[1..] {
        let output = resolved(&resolver, program, "dispotify.data");
        assert!(output.contains("127.0.1."), "{program:?}: {output}");
    }
}

/// What a program prints about a name on host 2, which has this `resolv.conf`.
fn resolved(resolver: &Path, program: &[String], name: &str) -> String {
    let words = program.join(" ");
    let line = format!(
        "mount --bind {} /etc/resolv.conf && exec {words} {name}",
        resolver.display()
    );
    let mut inside = Command::new("ip");
    inside.args(["netns", "exec", &netlab::host(2), "sh", "-c", &line]);
    said(inside.output().expect("ip runs"))
}

/// A static program that asks musl's resolver, as many small machines have it.
fn musl_program(dir: &Path) -> Option<PathBuf> {
    let (source, binary) = (dir.join("resolve.c"), dir.join("resolve"));
    fs::write(&source, include_str!("names/resolve.c")).expect("a file");
    let mut compiler = Command::new("musl-gcc");
    compiler.args(["-static", "-o"]).arg(&binary).arg(&source);
    match compiler.output() {
        Ok(output) if output.status.success() => Some(binary),
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => {
            skipped("names asked by musl, musl-gcc is not installed");
            None
        }
    }
}

/// Every question of a measuring program is answered.
#[test]
fn dnsperf_loses_no_question() {
    if !is_there("dnsperf") {
        return;
    }
    let mut lab = Lab::new("dnsperf");
    lab.settings = vec!["--set", "dns.rate=1000000"];
    let _cluster = lab.cluster(1, 1);
    let door = door(&lab);
    let questions = lab.dir.join("questions");
    fs::write(
        &questions,
        "dispotify.data A\ndispotify.router A\ndispotify.data AAAA\n",
    )
    .expect("a file");
    for mode in ["udp", "tcp"] {
        let mut command = Command::new("dnsperf");
        command.args(["-s", &door.ip().to_string(), "-p", &door.port().to_string()]);
        command
            .args(["-m", mode, "-n", "300", "-q", "20", "-d"])
            .arg(&questions);
        let report = said(command.output().expect("it runs"));
        assert!(
            report.contains("Queries lost:         0"),
            "{mode}: {report}"
        );
        assert!(report.contains("NOERROR 900 (100.00%)"), "{mode}: {report}");
    }
}

/// A question as programs write it.
fn question(name: &str) -> Vec<u8> {
    let mut packet = vec![7, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 1, 0, 1]);
    packet
}

fn asker(door: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(door).expect("an address");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2000];
    let length = socket.recv(&mut buffer).expect("an answer");
    buffer[..length].to_vec()
}

/// Answers, noise and halves of questions get no answer; the question after them does.
#[test]
fn what_is_no_question_is_not_answered() {
    let mut lab = Lab::new("noise");
    let _cluster = lab.cluster(1, 0);
    let socket = asker(door(&lab));
    let good = question("dispotify.router");
    let mut answer = good.clone();
    answer[2] = 0x84;
    for packet in [&answer[..], &answer[..12], &good[..5], &[], &[0xFF; 1500]] {
        socket.send(packet).expect("it is sent");
    }
    socket.send(&good).expect("it is sent");
    let said = heard(&socket);
    assert_eq!((said[3] & 0x0F, said[7]), (0, 1), "{said:?}");
}

/// One network asks without end: it gets its rate, half of the rest hears of TCP, and the nodes do
/// not notice.
#[test]
fn a_flood_gets_its_rate_and_no_more() {
    let mut lab = Lab::new("flood");
    lab.settings = vec!["--set", "dns.rate=50"];
    let _cluster = lab.cluster(1, 1);
    let socket = asker(door(&lab));
    let good = question("dispotify.router");
    let begun = Instant::now();
    for _ in 0..20 {
        for _ in 0..100 {
            socket.send(&good).expect("it is sent");
        }
        // Commands are served meanwhile; this also gives the node time to read.
        lab.ok(&["resolve", "dispotify.router"]);
    }
    let most = 50.0 * (2.0 + begun.elapsed().as_secs_f64());
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a timeout");
    let (mut whole, mut cut, mut buffer) = (0, 0, [0; 600]);
    while let Ok(length) = socket.recv(&mut buffer) {
        assert!(length <= 600);
        match buffer[2] & 2 {
            0 => whole += 1,
            _ => cut += 1,
        }
    }
    assert!(
        whole >= 50 && f64::from(whole) <= most,
        "{whole} of at most {most}"
    );
    assert!(cut > 100 && cut <= 1000, "{cut}");
}

/// The node has no processor for a moment, as on a busy machine: what is asked meanwhile waits.
#[test]
fn questions_wait_for_a_node_that_does_not_run() {
    let mut lab = Lab::new("frozen");
    lab.settings = vec!["--set", "dns.rate=100000"];
    let (names, _) = lab.cluster(1, 0);
    // The answers wait, too, so no asker gets more than its own socket can keep.
    let askers: Vec<UdpSocket> = (0..4).map(|_| asker(door(&lab))).collect();
    let good = question("dispotify.router");
    names[0].signal("STOP");
    for socket in &askers {
        (0..WAITING / 4).for_each(|_| assert!(socket.send(&good).is_ok()));
    }
    names[0].signal("CONT");
    for socket in &askers {
        (0..WAITING / 4).for_each(|_| assert_eq!(heard(socket)[7], 1));
    }
}

/// More than the kernel keeps unasked (about 270), fewer than what it gives an ordinary user (about 550).
const WAITING: usize = 400;

/// Two hundred connections that say nothing, or little: names are answered all the same.
#[test]
fn silent_connections_keep_nobody_out() {
    let mut lab = Lab::new("silent");
    let (names, _) = lab.cluster(1, 0);
    let door = door(&lab);
    let silent = |n: usize| {
        let mut stream = TcpStream::connect(door).expect("a connection");
        let begun: &[u8] = if n.is_multiple_of(2) {
            &[]
        } else {
            &[0, 40, 1]
        };
        std::io::Write::write_all(&mut stream, begun).expect("it is sent");
        stream
    };
    let held: Vec<TcpStream> = (0..200).map(silent).collect();
    let mut stream = TcpStream::connect(door).expect("a connection");
    let good = question("dispotify.router");
    let framed = [&(good.len() as u16).to_be_bytes()[..], &good].concat();
    std::io::Write::write_all(&mut stream, &framed).expect("it is sent");
    let mut length = [0; 2];
    std::io::Read::read_exact(&mut stream, &mut length).expect("an answer");
    let socket = asker(door);
    socket.send(&good).expect("it is sent");
    assert_eq!(heard(&socket)[7], 1);
    assert!(names[0].descriptors() < 200);
    drop(held);
}

/// A port that the user wants and that is taken is told; port 0 means none.
#[test]
fn the_port_is_the_users_choice() {
    let lab = Lab::new("port");
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let port = taken.local_addr().expect("an address").port().to_string();
    let dir = lab.dir.join("dns").display().to_string();
    let node = [
        "node",
        "dns",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--data-dir",
        &dir,
    ];
    let said = lab.fails(&[&node[..], &["--dns-port", &port]].concat(), 1);
    assert!(
        said.contains("--dns-port") && said.contains(&port),
        "{said}"
    );
    let router = lab.fails(
        &["node", "router", "--host", "127.0.0.1", "--dns-port", "7"],
        2,
    );
    assert!(router.contains("only a DNS node"), "{router}");
    let _none = lab.spawn({
        let mut command = lab.command(&node);
        command.args(["--dns-port", "0"]);
        command
    });
    assert!(!lab.read_log().contains("dns packets at"));
}
