//! Strangers and hostile peers at a real node: its other peers are served as usual.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::lab::{Lab, dispotify};
use super::sound;

/// Thousands of short connections to a process that may open 256 files: all are handled, and
/// neither descriptors nor memory grow.
#[test]
fn short_connections_leave_nothing_behind() {
    let mut lab = Lab::new("short");
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 256; exec \"$@\"", "sh"]);
    limited.arg(dispotify());
    lab.dress(&mut limited);
    limited.args(["serve", "--web", "off", "--port", "0", "--data-dir"]);
    limited.arg(lab.dir.join("serve"));
    let server = lab.spawn(limited);
    lab.use_dns(&server.address);
    let file = lab.dir.join("tone.wav");
    sound::wav(&file, 1, 440.0);
    lab.await_status("it is up", |status| status["nodes"].as_array().is_some());
    lab.ok(&["add", file.to_str().expect("a path")]);

    flood(&server.address, 1_000);
    lab.ok(&["ls"]);
    let (descriptors, memory) = (server.descriptors(), server.resident_kb());
    flood(&server.address, 19_000);
    lab.ok(&["ls"]);
    assert!(server.descriptors() <= descriptors + 8);
    let grown = server.resident_kb().saturating_sub(memory);
    assert!(grown < 2_048, "{grown} kB more than {memory} kB");
}

/// Connects `count` times, sends a few senseless bytes or none, and closes.
fn flood(address: &str, count: usize) {
    for n in 0..count {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let said: &[u8] = match n % 4 {
            0 => b"",
            1 => b"DSPT",
            2 => b"GET / HTTP/1.1\r\n\r\n",
            _ => &[0xff; 200],
        };
        // The node may have closed the connection before we write.
        let _ = stream.write_all(said);
    }
}

/// More silent strangers connect than a node has room for: each is disconnected without a byte, and
/// everyone else is served meanwhile.
#[test]
fn silent_strangers_are_hung_up_on() {
    let mut lab = Lab::new("silent");
    let (names, data) = lab.cluster(1, 1);
    for server in names.iter().chain(&data) {
        let connect = |_| TcpStream::connect(&server.address).expect("it listens");
        let mut strangers: Vec<TcpStream> = (0..100).map(connect).collect();
        lab.ok(&["ls"]);
        for stranger in &mut strangers {
            let patience = Some(Duration::from_secs(20));
            stranger.set_read_timeout(patience).expect("a socket");
            let mut byte = [0];
            match stranger.read(&mut byte) {
                Ok(read) => assert_eq!(read, 0, "a stranger got a byte"),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
            }
        }
    }
}
