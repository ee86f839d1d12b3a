//! A minimal HTTP client on a plain socket.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::lab::{Lab, PATIENCE, Server};

/// A complete answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(&*prefix))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// Starts a web player; also gives the address that browsers dial.
pub(crate) fn web(lab: &Lab, more: &[&str]) -> (Server, String) {
    let mut command = lab.command(&["web", "--listen", "127.0.0.1:0", "--log", "debug"]);
    command.args(more);
    let server = lab.spawn(command);
    let at = dialled(&server);
    (server, at)
}

/// The socket address in `http://ADDRESS/`.
pub(crate) fn dialled(server: &Server) -> String {
    let address = server.address.strip_prefix("http://").expect("a page");
    address.trim_end_matches('/').to_owned()
}

pub(crate) fn connect(at: &str) -> TcpStream {
    let stream = TcpStream::connect(at).expect("the player listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// Sends a request with these header lines on a connection of its own.
pub(crate) fn ask(at: &str, line: &str, fields: &[&str], body: &[u8]) -> Reply {
    let mut stream = connect(at);
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    if !fields.iter().any(|field| field.starts_with("Host:")) {
        text.push_str(&format!("Host: {at}\r\n"));
    }
    fields
        .iter()
        .for_each(|field| text.push_str(&format!("{field}\r\n")));
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).expect("it listens");
    // The server may answer before it has taken the whole body.
    let _ = stream.write_all(body);
    read(&mut stream)
}

pub(crate) fn get(at: &str, path: &str) -> Reply {
    ask(at, &format!("GET {path}"), &[], b"")
}

/// Uploads a file under a name; gives the answer.
pub(crate) fn upload(at: &str, name: &str, bytes: &[u8]) -> Reply {
    let length = format!("Content-Length: {}", bytes.len());
    let name = format!("X-Filename: {name}");
    ask(at, "POST /api/songs", &[&length, &name], bytes)
}

/// Reads an answer until its connection ends.
pub(crate) fn read(stream: &mut TcpStream) -> Reply {
    let head = read_head(stream);
    let mut body = Vec::new();
    stream.read_to_end(&mut body).expect("an end");
    parse(head, body)
}

/// Reads one answer with a known length; the connection stays open.
pub(crate) fn read_one(stream: &mut TcpStream) -> Reply {
    let reply = parse(read_head(stream), vec![]);
    let length = reply.field("Content-Length").expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    stream.read_exact(&mut body).expect("the body");
    Reply { body, ..reply }
}

pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

fn parse(head: String, body: Vec<u8>) -> Reply {
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    Reply {
        status: status.expect("a status"),
        head,
        body,
    }
}
