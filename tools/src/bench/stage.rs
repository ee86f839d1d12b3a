//! A folder with a key, songs, and processes of the product; all of it gone at the end.

use std::cell::Cell;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use super::Args;
use crate::corpus;
use crate::loadgen::{Failure, Session};

/// Where a benchmark plays.
pub(super) struct Stage {
    pub(super) dir: PathBuf,
    binary: PathBuf,
    count: Cell<u32>,
}

/// A process that ends with its owner.
pub(super) struct Process {
    child: Child,
    /// The address from its `ready` line; of a web player, the page's.
    pub(super) address: String,
}

/// One node of each role, and how to reach them.
pub(super) struct Cluster<'a> {
    stage: &'a Stage,
    pub(super) dns: Process,
    pub(super) router: Process,
    pub(super) data: Process,
    insecure: bool,
    number: u32,
}

impl Stage {
    pub(super) fn new(args: &Args) -> Result<Self, Failure> {
        let beside = || Some(env::current_exe().ok()?.parent()?.join("dispotify"));
        let binary = args.dispotify.clone().or_else(beside).unwrap_or_default();
        if !binary.is_file() {
            let cure = "build it with `cargo build --release`, or give --dispotify";
            let attempt = format!("find {}", binary.display());
            return Err(Failure::failed(attempt, cure));
        }
        let base = args.dir.clone().unwrap_or_else(env::temp_dir);
        let dir = base.join(format!("dispotify-bench-{}", std::process::id()));
        let made = fs::create_dir_all(&dir).and_then(|()| {
            fs::write(dir.join("key"), "5e".repeat(32))?;
            fs::set_permissions(dir.join("key"), fs::Permissions::from_mode(0o600))
        });
        made.map_err(|error| Failure::failed(format!("make {}", dir.display()), error))?;
        Ok(Stage {
            dir,
            binary,
            count: Cell::new(0),
        })
    }

    /// A new number, for names that nobody has used.
    pub(super) fn number(&self) -> u32 {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }

    /// Makes songs with these options of `loadgen corpus`, unless they are there; gives the folder
    /// and its bytes.
    pub(super) fn music(&self, name: &str, options: &str) -> Result<(PathBuf, f64), Failure> {
        let folder = self.dir.join(name);
        if !folder.exists() {
            let made = corpus::make_with(&folder, options);
            made.map_err(|error| Failure::failed("make songs", error))?;
        }
        let bytes = bytes_below(&folder);
        Ok((folder, bytes))
    }

    /// A command of the product with this stage's key and folders.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(words)
            .env_remove("DISPOTIFY_KEY")
            .env_remove("DISPOTIFY_DNS")
            .env("XDG_CACHE_HOME", self.dir.join("cache"))
            .env("XDG_DATA_HOME", self.dir.join("share"))
            .env("HOME", &self.dir)
            .arg("--key-file")
            .arg(self.dir.join("key"))
            .stdin(Stdio::null());
        command
    }

    /// Starts a process of the product, and waits for its `ready` line.
    pub(super) fn start(&self, mut command: Command) -> Result<Process, Failure> {
        let log = fs::File::create(self.dir.join(format!("log{}", self.number())));
        let log = log.map_err(|error| Failure::failed("make a log", error))?;
        let started = command.stdout(Stdio::piped()).stderr(log).spawn();
        let child = started.map_err(|error| Failure::failed("start dispotify", error))?;
        let mut process = Process {
            child,
            address: String::new(),
        };
        let out = process.child.stdout.take();
        let mut lines = out
            .map(|out| BufReader::new(out).lines())
            .into_iter()
            .flatten();
        let ready = lines.find_map(|line| {
            let line = line.ok()?;
            let mut words = line.strip_prefix("ready ")?.split(' ').skip(1);
            words.next().map(str::to_owned)
        });
        process.address = ready.ok_or_else(|| self.not_ready())?;
        // A full pipe would stop the process at its next line.
        thread::spawn(move || lines.for_each(drop));
        Ok(process)
    }

    fn not_ready(&self) -> Failure {
        let log = self.dir.join(format!("log{}", self.count.get()));
        let said = fs::read_to_string(log).unwrap_or_default();
        Failure::failed("start dispotify", said.trim_end())
    }

    /// Starts a DNS node, a router and a data node on an empty library.
    pub(super) fn cluster(&self, insecure: bool) -> Result<Cluster<'_>, Failure> {
        // A short refresh, so that nodes that start one after the other soon know each other.
        self.cluster_with(insecure, &["--set", "resolve.refresh=500ms"])
    }

    /// The same with other settings.
    pub(super) fn cluster_with(
        &self,
        insecure: bool,
        settings: &[&str],
    ) -> Result<Cluster<'_>, Failure> {
        let number = self.number();
        let node = |role: &str, dns: &str| {
            let mut command = self.command(&["node", role, "--host", "127.0.0.1", "--port", "0"]);
            command.args(settings).args(["--log", "warn"]);
            command
                .arg("--data-dir")
                .arg(self.dir.join(format!("{role}{number}")));
            command.env("DISPOTIFY_DNS", dns);
            if insecure {
                command.arg("--insecure");
            }
            self.start(command)
        };
        let dns = node("dns", "127.0.0.1:1")?;
        let router = node("router", &dns.address)?;
        let data = node("data", &dns.address)?;
        Ok(Cluster {
            stage: self,
            dns,
            router,
            data,
            insecure,
            number,
        })
    }
}

impl Cluster<'_> {
    /// A command that speaks with this cluster.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.stage.command(words);
        command.env("DISPOTIFY_DNS", &self.dns.address);
        if self.insecure {
            command.arg("--insecure");
        }
        command
    }

    /// Runs a command to its end; gives its output and the seconds it took.
    pub(super) fn run(&self, words: &[&str]) -> Result<(Vec<u8>, f64), Failure> {
        let begun = Instant::now();
        let output = self.command(words).output();
        let took = begun.elapsed().as_secs_f64();
        let output = output.map_err(|error| Failure::failed("run dispotify", error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::failed(
                format!("dispotify {words:?}"),
                said.trim_end(),
            ));
        }
        Ok((output.stdout, took))
    }

    /// Adds a folder; gives the seconds it took.
    pub(super) fn add(&self, folder: &Path) -> Result<f64, Failure> {
        let (_, took) = self.run(&["add", "--json", &folder.display().to_string()])?;
        Ok(took)
    }

    /// The data node's library.
    pub(super) fn library(&self) -> PathBuf {
        self.stage.dir.join(format!("data{}", self.number))
    }

    /// Starts a web player of this cluster; gives its address, too.
    pub(super) fn web(&self) -> Result<(Process, SocketAddr), Failure> {
        let mut command = self.command(&["web", "--listen", "127.0.0.1:0", "--log", "warn"]);
        let cache = self.stage.dir.join(format!("cache{}", self.stage.number()));
        command.arg("--cache-dir").arg(cache);
        let mut process = self.stage.start(command)?;
        let address = process
            .address
            .trim_start_matches("http://")
            .trim_end_matches('/');
        let address = address.parse();
        let address = address.map_err(|error| Failure::failed("read the page's address", error))?;
        process.address = String::new();
        Ok((process, address))
    }

    /// A run of the load generator against this cluster.
    pub(super) fn load(&self, options: &str) -> Result<crate::loadgen::Report, Failure> {
        let key = self.stage.dir.join("key");
        let mut words = vec![
            "loadgen",
            "--quiet",
            "--dns",
            &self.dns.address,
            "--key-file",
        ];
        let key = key.display().to_string();
        words.push(&key);
        if self.insecure {
            words.push("--insecure");
        }
        words.extend(options.split_whitespace());
        Session::measure(&words)
    }
}

impl Process {
    /// A program that is ready when it listens at this address.
    pub(super) fn listening(mut command: Command, at: SocketAddr) -> Result<Self, Failure> {
        let name = command.get_program().to_string_lossy().into_owned();
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started = quiet.spawn();
        let child = started.map_err(|error| Failure::failed(format!("start {name}"), error))?;
        let process = Process {
            child,
            address: at.to_string(),
        };
        let begun = Instant::now();
        while std::net::TcpStream::connect(at).is_err() {
            if begun.elapsed().as_secs() > 10 {
                return Err(Failure::failed(
                    format!("start {name}"),
                    "it does not listen",
                ));
            }
            thread::yield_now();
        }
        Ok(process)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// An address that nobody listens at: free when it was asked for, and so most likely still.
pub(super) fn free_address() -> Result<SocketAddr, Failure> {
    let found = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    found.map_err(|error| Failure::failed("find a free port", error))
}

fn bytes_below(folder: &Path) -> f64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len() as f64,
        Err(_) => 0.0,
    });
    sizes.sum()
}
