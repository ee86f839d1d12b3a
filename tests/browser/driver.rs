//! A WebDriver client: JSON over HTTP/1.1, one connection per request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::lab::{PATIENCE, within};

/// A running ChromeDriver; it ends with its browsers when dropped.
pub(super) struct Driver {
    child: Child,
    port: u16,
}

impl Driver {
    /// Starts a ChromeDriver on a free port. None: it is not installed.
    pub(super) fn start() -> Option<Self> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let port = within(PATIENCE, move || {
            let mut lines = lines.map_while(Result::ok);
            let port = lines.find_map(|line| port_in(&line));
            thread::spawn(move || lines.for_each(drop));
            port
        });
        let Some(port) = port.flatten() else {
            let _ = child.kill();
            panic!("chromedriver names no port");
        };
        Some(Driver { child, port })
    }

    /// Sends a request; gives the answer's `value`, or the error that the driver names.
    pub(super) fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let answer = self.exchange(method, path, body);
        let answer = answer.map_err(|error| format!("{method} {path}: {error}"))?;
        let value = answer["value"].clone();
        match value["error"].as_str() {
            Some(error) => Err(format!("{method} {path}: {error}: {}", value["message"])),
            None => Ok(value),
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &Value) -> Result<Value, std::io::Error> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        // A script may take its time; a driver that never answers must not hold the test.
        stream.set_read_timeout(Some(PATIENCE + Duration::from_secs(10)))?;
        let body = if method == "POST" {
            body.to_string()
        } else {
            String::new()
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut stream = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let lower = line.trim_end().to_ascii_lowercase();
            if let Some(number) = lower.strip_prefix("content-length:") {
                length = number.trim().parse().unwrap_or(0);
            }
            if lower.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer)?;
        Ok(serde_json::from_slice(&answer)?)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port in the driver's second line; the first line only repeats the port that was asked for.
fn port_in(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("successfully on port ")?;
    port.trim_end_matches('.').parse().ok()
}
