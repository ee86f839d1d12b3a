//! A cluster of real processes in a folder of its own; no process outlives the test.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// Longest wait for anything that a healthy machine does within a second.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test, built once per run.
pub(super) fn dispotify() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    // A test that runs again inside a private network gets the path from its first run.
    let given = || std::env::var_os(BINARY_VARIABLE).map(PathBuf::from);
    BINARY.get_or_init(|| given().unwrap_or_else(|| build(&["--package", "dispotify"])))
}

/// The load generator, built once per run.
pub(super) fn loadgen() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let given = || std::env::var_os(LOADGEN_VARIABLE).map(PathBuf::from);
    let what = ["--package", "tools", "--bin", "loadgen"];
    BINARY.get_or_init(|| given().unwrap_or_else(|| build(&what)))
}

/// The benchmarks, built once per run.
#[cfg(not(debug_assertions))]
pub(super) fn bench() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build(&["--package", "tools", "--bin", "bench"]))
}

/// Builds one binary; its path comes from cargo itself.
fn build(what: &[&str]) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg("build").args(what).arg("--message-format=json");
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.output().expect("cargo runs");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo build: {log}");
    let lines = output.stdout.split(|byte| *byte == b'\n');
    let messages = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let binary = |message: Value| message["executable"].as_str().map(PathBuf::from);
    let found = messages.filter_map(binary).next_back();
    found.expect("cargo names the executable it built")
}

/// Environment variable with the binary's path, for a run that cannot build the binary.
pub(super) const BINARY_VARIABLE: &str = "DISPOTIFY_TEST_BINARY";

/// The same for the load generator.
pub(super) const LOADGEN_VARIABLE: &str = "DISPOTIFY_TEST_LOADGEN";

/// A folder, a key, and the processes that share them.
pub(super) struct Lab {
    pub(super) dir: PathBuf,
    dns: Vec<String>,
    /// Further arguments for every node: `--set` and the like.
    pub(super) settings: Vec<&'static str>,
    /// The network namespace in which commands run; none: the test's own.
    pub(super) host: Option<String>,
    /// The folder is another lab's.
    lent: bool,
}

/// A server process; killed when dropped.
pub(super) struct Server {
    child: Child,
    pub(super) role: String,
    pub(super) address: String,
    pub(super) id: String,
}

impl Lab {
    /// An empty folder with a key in it.
    pub(super) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // In two process namespaces two processes may have the same number, so the time is added.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.subsec_nanos());
        let unique = format!("dispotify-{name}-{}-{number}-{now}", std::process::id());
        let dir = std::env::temp_dir().join(unique);
        fs::create_dir(&dir).expect("a folder for the test");
        write_key(&dir.join("key"), "5e");
        Lab {
            dir,
            dns: vec![],
            settings: vec![],
            host: None,
            lent: false,
        }
    }

    /// Another hand in the same lab: the same folder, key and host.
    pub(super) fn beside(other: &Lab) -> Lab {
        Lab {
            dir: other.dir.clone(),
            dns: other.dns.clone(),
            settings: other.settings.clone(),
            host: other.host.clone(),
            lent: true,
        }
    }

    /// Starts one DNS node, then routers and data nodes, and waits until each is ready.
    pub(super) fn cluster(&mut self, routers: usize, data: usize) -> (Vec<Server>, Vec<Server>) {
        let dns = self.start("dns", "dns", &[]);
        self.dns.push(dns.address.clone());
        let mut names = vec![dns];
        let start = |role, n| self.start(role, &format!("{role}{n}"), &[]);
        names.extend((0..routers).map(|n| start("router", n)));
        let data: Vec<Server> = (0..data).map(|n| start("data", n)).collect();
        self.await_status("everyone is known", |status| {
            let nodes = status["nodes"].as_array().map_or(0, Vec::len);
            nodes == names.len() + data.len()
        });
        if data.len() > 1 {
            let others = data.len() - 1;
            self.await_log(&format!("data sees data nodes={others}"), data.len());
        }
        (names, data)
    }

    /// Waits until the log has `line` at least `count` times.
    pub(super) fn await_log(&self, line: &str, count: usize) {
        let begun = Instant::now();
        while self.read_log().matches(line).count() < count {
            assert!(begun.elapsed() < PATIENCE, "{line}: {}", self.read_log());
        }
    }

    /// Starts `dispotify node` with a data directory of this name, and waits until it is ready.
    pub(super) fn start(&self, role: &str, name: &str, more: &[&str]) -> Server {
        let mut command = self.node(role, name, "0");
        command.args(more);
        self.spawn(command)
    }

    /// Starts a node again at the address it had.
    pub(super) fn restart(&self, server: &Server, name: &str) -> Server {
        let (_, port) = server.address.rsplit_once(':').expect("an address");
        self.spawn(self.node(&server.role, name, port))
    }

    pub(super) fn node(&self, role: &str, name: &str, port: &str) -> Command {
        self.node_on("127.0.0.1", role, name, port)
    }

    /// The same at another address of this machine.
    pub(super) fn node_on(&self, host: &str, role: &str, name: &str, port: &str) -> Command {
        let mut command = self.command(&["node", role, "--host", host, "--port", port]);
        command.arg("--data-dir").arg(self.dir.join(name));
        if role == "dns" {
            command.args(["--dns-port", "any"]);
        }
        // A short refresh, so that nodes that start one after the other soon know each other.
        command.args(["--set", "resolve.refresh=500ms", "--log", "debug"]);
        command.args(&self.settings);
        command
    }

    /// Starts a server, and waits for its `ready` line.
    pub(super) fn spawn(&self, command: Command) -> Server {
        self.spawn_when(command, "ready ")
    }

    /// Starts a server, and waits for the output line with this beginning.
    pub(super) fn spawn_when(&self, mut command: Command, begins: &'static str) -> Server {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(self.log())
            .spawn()
            .expect("the binary starts");
        let out = child.stdout.take().expect("it is piped");
        let ready = within(PATIENCE, move || first_ready(out, begins));
        let Some([role, address, id]) = ready.flatten() else {
            let _ = child.kill();
            panic!("no ready line: {}", self.read_log());
        };
        Server {
            child,
            role,
            address,
            id,
        }
    }

    /// Starts `serve` with a page, and waits until it answers commands; also gives the address that
    /// browsers dial.
    pub(super) fn serve(&mut self) -> (Server, String) {
        self.serve_by(self.command(&[]))
    }

    /// The same with a limit of open files.
    pub(super) fn serve_with_files(&mut self, files: u32) -> (Server, String) {
        let mut limited = Command::new("sh");
        let limit = format!("ulimit -n {files}; exec \"$@\"");
        limited.args(["-c", &limit, "sh"]).arg(dispotify());
        self.dress(&mut limited);
        self.serve_by(limited)
    }

    fn serve_by(&mut self, mut command: Command) -> (Server, String) {
        command.args(["serve", "--port", "0", "--web", "127.0.0.1:0"]);
        command.args(["--dns-port", "any"]);
        command.args(["--set", "resolve.refresh=500ms"]);
        command.stdout(Stdio::piped()).stderr(self.log());
        let mut child = command.spawn().expect("the binary starts");
        let out = child.stdout.take().expect("it is piped");
        let told = within(PATIENCE, move || {
            let mut lines = BufReader::new(out).lines().map_while(Result::ok);
            let page =
                lines.find_map(|line| Some(line.strip_prefix("web      http://")?.to_owned()));
            let dns = lines.find_map(|line| Some(line.strip_prefix("ready dns ")?.to_owned()));
            thread::spawn(move || lines.for_each(drop));
            Some((page?, dns?))
        });
        let Some((page, dns)) = told.flatten() else {
            let _ = child.kill();
            panic!("no page and no node: {}", self.read_log());
        };
        let (address, id) = dns.split_once(' ').expect("an address and an id");
        self.use_dns(address);
        let server = Server {
            child,
            role: "serve".into(),
            address: address.into(),
            id: id.into(),
        };
        self.await_status("every node is there", |status| {
            status["nodes"].as_array().map_or(0, Vec::len) == 3
        });
        (server, page.trim_end_matches('/').to_owned())
    }

    /// Starts a server that cannot become ready, because it finds no DNS node.
    pub(super) fn launch(&self, mut command: Command) -> Server {
        let child = command.stdout(Stdio::null()).stderr(self.log()).spawn();
        Server {
            child: child.expect("the binary starts"),
            role: String::new(),
            address: String::new(),
            id: String::new(),
        }
    }

    /// Waits until a launched node has said where it listens; gives the address.
    pub(super) fn await_listening(&self) -> String {
        self.await_log(" start=", 1);
        let log = self.read_log();
        let line = log
            .lines()
            .find(|line| line.contains(" start="))
            .expect("a line");
        let address = line.split(' ').find(|word| word.starts_with("127.0.0.1:"));
        address.expect("an address").to_owned()
    }

    fn log(&self) -> fs::File {
        let path = self.dir.join("log");
        let options = fs::OpenOptions::new().create(true).append(true).open(path);
        options.expect("a log for the test")
    }

    pub(super) fn read_log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// A command that uses this lab's key, DNS nodes and folders.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = match &self.host {
            None => Command::new(dispotify()),
            Some(host) => {
                let mut inside = Command::new("ip");
                inside.args(["netns", "exec", host]).arg(dispotify());
                inside
            }
        };
        self.dress(&mut command);
        command.args(words);
        command
    }

    /// The same without the cluster key.
    pub(super) fn command_without_key(&self, words: &[&str]) -> Command {
        let mut command = Command::new(dispotify());
        self.dress_but_key(&mut command);
        command.args(words);
        command
    }

    pub(super) fn dress(&self, command: &mut Command) {
        self.dress_but_key(command);
        if self.dir.join("key").exists() {
            command.arg("--key-file").arg(self.dir.join("key"));
        }
    }

    fn dress_but_key(&self, command: &mut Command) {
        command
            .env_remove("DISPOTIFY_KEY")
            .env_remove("DISPOTIFY_LOG")
            .env("HOME", &self.dir)
            .env("XDG_DATA_HOME", self.dir.join("share"))
            .env("XDG_CONFIG_HOME", self.dir.join("config"))
            .env("XDG_CACHE_HOME", self.cache())
            .env("DISPOTIFY_DNS", self.dns.join(","))
            .stdin(Stdio::null());
    }

    /// The cache folder; each network namespace has its own.
    fn cache(&self) -> PathBuf {
        let cache = self.dir.join("cache");
        match &self.host {
            None => cache,
            Some(host) => cache.join(host),
        }
    }

    /// Sets the only DNS node that commands are given.
    pub(super) fn use_dns(&mut self, address: &str) {
        self.dns = vec![address.to_owned()];
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, words: &[&str]) -> Output {
        let output = self.command(words).output();
        output.expect("the binary runs")
    }

    /// Runs a command that must succeed; gives its output.
    pub(super) fn ok(&self, words: &[&str]) -> Vec<u8> {
        let output = self.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{words:?} {:?}: {said}\n{}",
            output.status,
            self.read_log()
        );
        output.stdout
    }

    /// Runs a command that must fail with this exit code; gives its one line of error output.
    pub(super) fn fails(&self, words: &[&str], code: i32) -> String {
        failure(self.run(words), code)
    }

    /// The JSON lines of a command.
    pub(super) fn json(&self, words: &[&str]) -> Vec<Value> {
        let out = self.ok(&[words, &["--json"]].concat());
        let lines = out.split(|byte| *byte == b'\n').filter(|l| !l.is_empty());
        let parse = |line| serde_json::from_slice(line).expect("a line of JSON");
        lines.map(parse).collect()
    }

    /// The id of the song with this title.
    pub(super) fn id_of(&self, title: &str) -> String {
        let songs = self.json(&["ls"]);
        let song = songs.iter().find(|song| song["title"] == title);
        let song = song.unwrap_or_else(|| panic!("{title} is not among {songs:?}"));
        song["id"].as_str().expect("an id").to_owned()
    }

    /// Asks for the status again and again until it is `good`.
    pub(super) fn await_status(&self, wish: &str, good: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        let mut last = Value::Null;
        while begun.elapsed() < PATIENCE {
            let output = self.run(&["status", "--json"]);
            if let Ok(status) = serde_json::from_slice(&output.stdout) {
                if good(&status) {
                    return status;
                }
                last = status;
            }
        }
        panic!(
            "not within {PATIENCE:?}: {wish}; {last}\n{}",
            self.read_log()
        );
    }

    /// The JSON lines of a command, which is given again and again until they are `good`.
    pub(super) fn await_lines(
        &self,
        words: &[&str],
        good: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let lines = self.json(words);
            if good(&lines) {
                return lines;
            }
            let late = begun.elapsed() >= PATIENCE;
            assert!(!late, "not within {PATIENCE:?}: {words:?} gives {lines:?}");
        }
    }

    /// Waits until every song has all its copies.
    pub(super) fn await_copies(&self, songs: u64) {
        self.await_status("every copy is in place", |status| {
            status["songs"] == songs && status["copies_missing"] == 0
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.lent {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

impl Server {
    /// Kills the process with SIGKILL.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it was our child");
    }

    /// Sends a signal by name: `STOP`, `CONT`, `TERM`.
    pub(super) fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.arg(format!("-{name}"))
            .arg(self.child.id().to_string());
        assert!(kill.status().expect("kill runs").success());
    }

    /// Waits for the end of the process.
    pub(super) fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().expect("it was our child")
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Number of files and sockets that the process holds open.
    pub(super) fn descriptors(&self) -> usize {
        let dir = fs::read_dir(format!("/proc/{}/fd", self.pid()));
        dir.map_or(0, Iterator::count)
    }

    /// Resident memory of the process, in kB.
    pub(super) fn resident_kb(&self) -> u64 {
        self.memory_kb("VmRSS:")
    }

    /// The most resident memory that the process has had, in kB.
    pub(super) fn peak_kb(&self) -> u64 {
        self.memory_kb("VmHWM:")
    }

    fn memory_kb(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(field));
        let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        number.unwrap_or(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The error output of a command that must have failed with this exit code.
pub(super) fn failure(output: Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "said {said:?}");
    assert_eq!(said.trim_end().lines().count(), 1, "one line: {said:?}");
    said
}

/// Writes a key of one repeated byte, readable by nobody else.
pub(super) fn write_key(path: &Path, byte: &str) {
    fs::write(path, byte.repeat(32)).expect("a key file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
}

/// Reads up to `ready ROLE ADDRESS NODE`, and discards the output that follows.
fn first_ready(out: ChildStdout, begins: &str) -> Option<[String; 3]> {
    let mut lines = BufReader::new(out).lines();
    let ready = lines.find_map(|line| {
        let line = line.ok()?;
        let line = line
            .strip_prefix("ready ")
            .filter(|_| line.starts_with(begins));
        let mut words = line?.split(' ');
        let mut word = || words.next().map(str::to_owned);
        // The line of a web player has no node id.
        Some([word()?, word()?, word().unwrap_or_default()])
    });
    thread::spawn(move || lines.for_each(drop));
    ready
}

/// Does something that may block for ever, and panics when it takes longer than `patience`.
pub(super) fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(patience).ok()
}

/// Appends all remaining output to `begun`.
pub(super) fn rest(mut out: ChildStdout, begun: Vec<u8>) -> Vec<u8> {
    let mut bytes = begun;
    out.read_to_end(&mut bytes).expect("its output");
    bytes
}
