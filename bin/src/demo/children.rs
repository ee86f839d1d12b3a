//! Six nodes in child processes, which never outlive this process.

use std::env;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};
use roles::contract::record::Address;

use super::{Moment, PATIENCE, child_dir, child_log, say};
use crate::args::Common;
use crate::failure::Failure;
use crate::settings::Settings;

/// Role and host of each node. The DNS node comes first, because the others ask it.
const NODES: [(&str, &str); 6] = [
    ("dns", "127.0.0.11"),
    ("router", "127.0.0.12"),
    ("router", "127.0.0.13"),
    ("data", "127.0.0.14"),
    ("data", "127.0.0.15"),
    ("data", "127.0.0.16"),
];

/// The nodes of the demo.
pub(super) struct Children {
    program: PathBuf,
    /// Options for every node.
    options: Vec<String>,
    folder: PathBuf,
    port: u16,
    all: Vec<Node>,
}

/// One node. Dropping this value ends its process.
pub(super) struct Node {
    child: Child,
    pub(super) role: &'static str,
    /// The host, with the port once the node is ready.
    pub(super) address: String,
}

impl Children {
    pub(super) fn new(
        common: &Common,
        settings: &Settings,
        folder: PathBuf,
        port: u16,
    ) -> Result<Self, Failure> {
        let program = env::current_exe();
        let program = program.map_err(|error| Failure::failed("find this program", error))?;
        let mut options = vec!["--cluster".to_owned(), common.cluster.clone()];
        options.extend(["--log".to_owned(), common.log.to_string()]);
        if let Some(file) = settings.key_file() {
            options.extend(["--key-file".to_owned(), file.display().to_string()]);
        }
        if common.insecure {
            options.push("--insecure".to_owned());
        }
        // What a file says, this process has read; the nodes are told all of it.
        options.extend(["--config".to_owned(), String::new()]);
        options.extend(["--preset".to_owned(), common.preset.name().to_owned()]);
        // Nodes that start at the same moment should find each other soon.
        for set in ["resolve.refresh=1s", "data.announce=1s"] {
            options.extend(["--set".to_owned(), set.to_owned()]);
        }
        for set in &common.set {
            options.extend(["--set".to_owned(), set.clone()]);
        }
        Ok(Children {
            program,
            options,
            folder,
            port,
            all: Vec::new(),
        })
    }

    /// Starts all six nodes and waits until they are ready; returns the address of the DNS node.
    pub(super) fn start_all(
        &mut self,
        sender: &Sender<Moment>,
        moments: &Receiver<Moment>,
    ) -> Result<Address, Failure> {
        self.start(0, None, sender)?;
        self.await_ready(1, moments)?;
        let dns = self.all[0].address.parse().map(Address);
        let dns = dns.map_err(|error| Failure::failed("start the DNS node", error))?;
        for number in 1..NODES.len() {
            self.start(number, Some(dns), sender)?;
        }
        self.await_ready(NODES.len() - 1, moments)?;
        Ok(dns)
    }

    fn start(
        &mut self,
        number: usize,
        dns: Option<Address>,
        sender: &Sender<Moment>,
    ) -> Result<(), Failure> {
        let (role, host) = NODES[number];
        let failed = |error| Failure::failed(format!("start {role} {host}"), error);
        let dir = child_dir(&self.folder, host);
        let log = File::create(child_log(&self.folder, host)).map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.args([
            "node",
            role,
            "--host",
            host,
            "--port",
            &self.port.to_string(),
        ]);
        command.arg("--data-dir").arg(dir);
        // A DNS node gets its own address, so that it does not use others from the environment.
        let dns = dns.map_or_else(|| format!("{host}:{}", self.port.max(1)), |a| a.to_string());
        command.args(["--dns", &dns, "--with-parent"]);
        command.args(&self.options);
        // What is meant for this process is not meant for its children.
        for variable in ["DISPOTIFY_LOG_FILE", "NOTIFY_SOCKET", "WATCHDOG_USEC"] {
            command.env_remove(variable);
        }
        // A process group of its own shields the child from Ctrl-C: the parent ends its children
        // itself.
        command.process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().map_err(failed)?;
        let out = child.stdout.take();
        self.all.push(Node {
            child,
            role,
            address: host.to_owned(),
        });
        let sender = sender.clone();
        let listen = move || out.into_iter().for_each(|out| listen(out, number, &sender));
        let listener = thread::Builder::new()
            .name("child".into())
            .stack_size(128 * 1024);
        listener.spawn(listen).map(drop).map_err(failed)
    }

    fn await_ready(&mut self, count: usize, moments: &Receiver<Moment>) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        let mut left = count;
        while left > 0 {
            match moments.recv_deadline(until) {
                Ok(Moment::Ready(number, address)) => {
                    self.all[number].address = address;
                    left -= 1;
                }
                Ok(Moment::Gone(number)) => return Err(self.early_end(number)),
                Ok(Moment::Interrupted) => {
                    return Err(Failure::Failed("demo: interrupted".into()));
                }
                Ok(Moment::Added(_) | Moment::Over(_)) => (),
                Err(_) => return Err(Failure::Failed("demo: the nodes do not start".into())),
            }
        }
        Ok(())
    }

    /// The failure of a node that ended too early, with the last line of its log.
    pub(super) fn early_end(&self, number: usize) -> Failure {
        let (role, host) = NODES[number];
        let log = child_log(&self.folder, host);
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let last = said.lines().last().unwrap_or("it ended without a word");
        let last = last.strip_prefix("dispotify: ").unwrap_or(last);
        Failure::Failed(format!("start {role} {host}: {last}"))
    }

    /// Reports that a node is gone.
    pub(super) fn mourn(&mut self, number: usize) -> Result<(), Failure> {
        let node = &mut self.all[number];
        // The process has ended; waiting for it only removes the zombie.
        let _ = node.child.wait();
        say(&format!(
            "{} {} is gone; the others go on",
            node.role, node.address
        ))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.all.iter()
    }
}

impl Node {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Node {
    /// Kills the node at once, because the demo discards its library anyway.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reports when a child announces that it is ready, and when it has ended.
fn listen(out: ChildStdout, number: usize, sender: &Sender<Moment>) {
    for line in BufReader::new(out).lines().map_while(Result::ok) {
        let address = line
            .strip_prefix("ready ")
            .and_then(|l| l.split(' ').nth(1));
        if let Some(address) = address {
            let _ = sender.send(Moment::Ready(number, address.to_owned()));
        }
    }
    let _ = sender.send(Moment::Gone(number));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Each node writes a log of its own, beside the directories of all.
    #[test]
    fn every_node_has_a_log_of_its_own() {
        let folder = Path::new("demo");
        let logs: BTreeSet<PathBuf> = (NODES.iter())
            .map(|(_, host)| child_log(folder, host))
            .collect();
        assert_eq!(logs.len(), NODES.len());
        assert!(logs.contains(Path::new("demo/127.0.0.11.log")));
    }
}
