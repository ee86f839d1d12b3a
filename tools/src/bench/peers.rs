//! The programs that serve as references: nginx, wrk, redis.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::stage::{self, Process, Stage};
use crate::loadgen::Failure;

/// Where a program is; the error says how to get it.
pub(super) fn find(name: &str) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers lie where only the administrator's path leads.
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.ok_or_else(|| {
        format!(
            "{name} is not installed (apt-get install nginx-light wrk redis-server redis-tools)"
        )
    })
}

/// The first of several programs that is not there, in words.
pub(super) fn missing(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| find(name).err())
}

/// nginx with one worker and sendfile, serving a folder.
pub(super) fn nginx(stage: &Stage, root: &Path) -> Result<(Process, SocketAddr), Failure> {
    let at = stage::free_address()?;
    let dir = stage.dir.join(format!("nginx{}", stage.number()));
    let (dir_words, root) = (dir.display(), root.display());
    let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir_words}/{kind};"));
    let config = format!(
        "daemon off; master_process off; pid {dir_words}/pid; error_log {dir_words}/log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; {}\n\
         server {{ listen {at}; root {root}; }} }}\n",
        temp.join(" ")
    );
    let file = dir.join("nginx.conf");
    let written = fs::create_dir_all(&dir).and_then(|()| fs::write(&file, config));
    written.map_err(|error| Failure::failed("configure nginx", error))?;
    let program = find("nginx").map_err(Failure::Failed)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&dir).arg("-c").arg(&file);
    Ok((Process::listening(command, at)?, at))
}

/// redis without persistence.
pub(super) fn redis() -> Result<(Process, SocketAddr), Failure> {
    let at = stage::free_address()?;
    let program = find("redis-server").map_err(Failure::Failed)?;
    let mut command = Command::new(program);
    command.args(["--port", &at.port().to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--appendonly", "no"]);
    Ok((Process::listening(command, at)?, at))
}

/// GETs per second with so many clients, each with one request in flight.
pub(super) fn redis_get(at: SocketAddr, clients: u32) -> Result<f64, Failure> {
    let program = find("redis-benchmark").map_err(Failure::Failed)?;
    let mut command = Command::new(program);
    command.args([
        "-p",
        &at.port().to_string(),
        "-t",
        "get",
        "-n",
        "300000",
        "--csv",
    ]);
    command.args(["-c", &clients.to_string()]);
    let said = output(&mut command)?;
    csv_rate(&said).ok_or_else(|| Failure::failed("read redis-benchmark's figures", said))
}

/// The second column of the last line: requests per second.
fn csv_rate(text: &str) -> Option<f64> {
    let line = text.lines().rfind(|line| line.contains("GET"))?;
    line.split(',').nth(1)?.trim_matches('"').parse().ok()
}

/// What wrk has measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wrk {
    pub(super) requests: f64,
    /// Bytes per second.
    pub(super) bytes: f64,
    /// Answers that were no success.
    pub(super) failed: f64,
}

/// Loads a server with the requests of a Lua script.
pub(super) fn wrk(
    at: SocketAddr,
    script: &Path,
    connections: u32,
    seconds: Duration,
) -> Result<Wrk, Failure> {
    let program = find("wrk").map_err(Failure::Failed)?;
    let mut command = Command::new(program);
    let seconds = seconds.as_secs().max(1);
    command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s")]);
    command.arg("-s").arg(script).arg(format!("http://{at}/"));
    let said = output(&mut command)?;
    parse_wrk(&said).ok_or_else(|| Failure::failed("read wrk's figures", said))
}

fn parse_wrk(text: &str) -> Option<Wrk> {
    let behind = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))?;
        line.split_whitespace().next().map(str::to_owned)
    };
    let requests = behind("Requests/sec:")?.parse().ok()?;
    let transfer = behind("Transfer/sec:")?;
    let failed = behind("Non-2xx or 3xx responses:").and_then(|n| n.parse().ok());
    Some(Wrk {
        requests,
        bytes: bytes_of(&transfer)?,
        failed: failed.unwrap_or(0.0),
    })
}

/// `1.83GB` in bytes; wrk counts in powers of 1024.
fn bytes_of(text: &str) -> Option<f64> {
    let units = [
        ("GB", 1_073_741_824.0),
        ("MB", 1_048_576.0),
        ("KB", 1024.0),
        ("B", 1.0),
    ];
    units.iter().find_map(|(name, bytes)| {
        let number: f64 = text.strip_suffix(name)?.parse().ok()?;
        Some(number * bytes)
    })
}

pub(super) fn output(command: &mut Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| Failure::failed(format!("run {name}"), error))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_is_understood() {
        let said = "  2 threads\n  Non-2xx or 3xx responses: 7\nRequests/sec:   7600.50\nTransfer/sec:      1.50GB\n";
        let wrk = parse_wrk(said).unwrap();
        assert_eq!((wrk.requests, wrk.failed), (7600.5, 7.0));
        assert_eq!(wrk.bytes, 1.5 * 1_073_741_824.0);
        assert_eq!(parse_wrk("unable to connect"), None);
    }

    #[test]
    fn redis_is_understood() {
        let said = "\"test\",\"rps\"\n\"GET\",\"98765.43\",\"0.1\"\n";
        assert_eq!(csv_rate(said), Some(98765.43));
    }
}
