//! The validated settings: addresses, key, folders and tuning values.
//!
//! A flag wins over the environment, the environment over the default.

mod preset;
mod table;

use std::env;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use net::{DerivedKey, Security};
use roles::contract::record::Address;
use roles::contract::rights::Right;
use roles::{client, server};

use crate::args::{Common, OnOff};
use crate::failure::Failure;
use crate::key::{self, Key, KeyRing};

/// The default port of a node.
pub(crate) const PORT: u16 = 7700;

/// The settings that every command uses.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) cluster: String,
    pub(crate) log: LevelFilter,
    pub(crate) log_file: Option<PathBuf>,
    /// Whether the user has named DNS nodes.
    pub(crate) dns_given: bool,
    pub(crate) mdns: OnOff,
    pub(crate) server: server::Config,
    pub(crate) client: client::Config,
    pub(crate) connections_max: usize,
    pub(crate) readers: usize,
    /// Most DNS questions of one network a second.
    pub(crate) dns_rate: usize,
    pub(crate) cache_dir: Option<PathBuf>,
    /// Identifies the cluster, so that routers are remembered for this cluster only.
    pub(crate) scope: String,
    insecure: bool,
    key: Option<String>,
    key_file: Option<PathBuf>,
}

impl Settings {
    /// Builds the settings from the command line, the environment and the files; rejects invalid input.
    pub(crate) fn of(common: &Common) -> Result<Self, Failure> {
        let mut settings = Settings::unchecked(common)?;
        if common.set.iter().any(|set| set == "help") {
            let help = table::help(&mut settings);
            return Err(Failure::Usage(format!("settings:\n{help}")));
        }
        if let Some((_, why)) = settings.wrong_relation() {
            return Err(Failure::Usage(format!("--set: {why}")));
        }
        for address in &settings.server.dns_nodes {
            settings.check_reach("--dns", address.0.ip())?;
        }
        Ok(settings)
    }

    /// The same, but values that cannot be together are accepted.
    pub(crate) fn unchecked(common: &Common) -> Result<Self, Failure> {
        let mut dns = addresses("--dns", &common.dns)?;
        let dns_given = !dns.is_empty();
        if !dns_given {
            dns.push(Address(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT)));
        }
        let mut settings = Settings {
            cluster: common.cluster.clone(),
            log: common.log,
            log_file: common.log_file.clone(),
            dns_given,
            mdns: common.mdns,
            server: server::Config {
                dns_nodes: dns.clone(),
                ..server::Config::default()
            },
            client: client::Config {
                dns_nodes: dns.clone(),
                ..client::Config::default()
            },
            scope: scope(&common.cluster, &dns),
            connections_max: connections(),
            readers: 2,
            dns_rate: 1000,
            cache_dir: cache_dir(common),
            insecure: common.insecure,
            // The flag wins over the environment, the environment over the default.
            key: env::var("DISPOTIFY_KEY")
                .ok()
                .filter(|_| common.key_file.is_none()),
            key_file: common.key_file.clone().or_else(default_key_file),
        };
        for (name, value) in common.preset.settings() {
            let set = format!("{name}={value}");
            table::apply(&mut settings, &set)?;
        }
        for set in common.set.iter().filter(|set| *set != "help") {
            table::apply(&mut settings, set)?;
        }
        Ok(settings)
    }

    /// Every setting with its value, as a user writes it.
    pub(crate) fn values(&mut self) -> Vec<(&'static str, String)> {
        table::values(self)
    }

    /// Refuses an address beyond this machine where there is no key: everybody on the way could read
    /// the music, remove it, and speak as a node.
    pub(crate) fn check_reach(&self, option: &str, ip: IpAddr) -> Result<(), Failure> {
        if !self.insecure || ip.to_canonical().is_loopback() {
            return Ok(());
        }
        Err(Failure::Usage(format!(
            "--insecure: {option} {ip} is beyond this machine: give a loopback address, or use a key"
        )))
    }

    /// The configurations for the same cluster with other DNS nodes.
    pub(crate) fn with_dns(&self, dns: Vec<Address>) -> (server::Config, client::Config) {
        let mut server = self.server.clone();
        let mut client = self.client.clone();
        server.dns_nodes.clone_from(&dns);
        client.dns_nodes = dns;
        (server, client)
    }

    /// Switches to the cluster of these DNS nodes.
    pub(crate) fn use_dns(&mut self, dns: Vec<Address>) {
        self.scope = scope(&self.cluster, &dns);
        (self.server, self.client) = self.with_dns(dns);
    }

    /// Switches to the cluster of the links.
    pub(crate) fn use_link(&mut self, security: &Security) {
        let mark = security.mark().map_or(0, u64::from_be_bytes);
        self.scope = format!("{} link {mark:016x}", self.cluster);
    }

    /// The security of connections: a key and the cluster's name, or the explicit lack of a key.
    pub(crate) fn security(&self) -> Result<Security, Failure> {
        self.security_with(self.key(key::load)?)
    }

    /// The security of a process that runs nodes.
    pub(crate) fn security_of_node(&self) -> Result<Security, Failure> {
        let key = self.cluster_key(key::load)?;
        self.security_with(key.map(Key::Cluster))
    }

    /// The same, but creates a missing key file.
    pub(crate) fn security_or_make(&self) -> Result<Security, Failure> {
        let key = self.cluster_key(key::load_or_make)?;
        self.security_with(key.map(Key::Cluster))
    }

    /// The key of one purpose, made from the cluster key.
    pub(crate) fn derive(&self, right: Right) -> Result<DerivedKey, Failure> {
        let key = self.cluster_key(key::load)?;
        let derived = key.and_then(|ring| DerivedKey::of(&ring.first, right));
        derived.ok_or_else(|| Failure::Usage("--insecure: there is no key".into()))
    }

    /// The key file, if the key comes from a file.
    pub(crate) fn key_file(&self) -> Option<&PathBuf> {
        let from_file = self.key.is_none() && !self.insecure;
        self.key_file.as_ref().filter(|_| from_file)
    }

    /// The keys that this user has; none with `--insecure`.
    pub(crate) fn own_key(&self) -> Result<Option<Key>, Failure> {
        self.key(key::load)
    }

    /// Where the key comes from, for people.
    pub(crate) fn key_source(&self) -> String {
        match self.key_file() {
            Some(file) => file.display().to_string(),
            None => "DISPOTIFY_KEY".into(),
        }
    }

    pub(crate) fn security_with(&self, key: Option<Key>) -> Result<Security, Failure> {
        let security = match key {
            None => Security::insecure(&self.cluster),
            Some(Key::Cluster(ring)) => {
                Security::keyed_by_ring(ring.first, &ring.others, &self.cluster)
            }
            Some(Key::Derived(key)) => Security::derived(key, &self.cluster),
        };
        security.map_err(|_| Failure::Usage("--cluster: a cluster name is at most 32 bytes".into()))
    }

    /// The key that the user has given; `None` only if there shall be none.
    fn key(
        &self,
        load: impl FnOnce(&std::path::Path) -> Result<Key, Failure>,
    ) -> Result<Option<Key>, Failure> {
        match (&self.key, &self.key_file) {
            _ if self.insecure => Ok(None),
            (Some(text), _) => key::parse(text)
                .map(Some)
                .map_err(|why| Failure::Usage(format!("DISPOTIFY_KEY: {why}"))),
            (None, Some(file)) => load(file).map(Some),
            (None, None) => {
                let cure = "give --key-file, or set HOME or XDG_CONFIG_HOME";
                Err(Failure::Usage(format!("no key: {cure}")))
            }
        }
    }

    /// The cluster key; a key for one purpose is refused.
    fn cluster_key(
        &self,
        load: impl FnOnce(&std::path::Path) -> Result<Key, Failure>,
    ) -> Result<Option<KeyRing>, Failure> {
        match self.key(load)? {
            None => Ok(None),
            Some(Key::Cluster(ring)) => Ok(Some(ring)),
            Some(Key::Derived(key)) => Err(Failure::Usage(format!(
                "this key is one to {}: the cluster key is needed here (see --key-file)",
                key.right
            ))),
        }
    }

    /// Settings that cannot have these values together, and why; none if all can.
    pub(crate) fn wrong_relation(&self) -> Option<(&'static [&'static str], &'static str)> {
        let (ring, dns) = (&self.server.ring, &self.server.dns);
        if ring.confirm > ring.agreed || ring.agreed > ring.alone {
            return Some((
                &["ring.confirm", "ring.agreed", "ring.alone"],
                "ring.confirm, ring.agreed and ring.alone must not shrink",
            ));
        }
        if dns.confirm_patience >= dns.record_ttl {
            return Some((
                &["dns.confirm", "dns.ttl"],
                "dns.confirm must be shorter than dns.ttl: a record would end before its server can answer",
            ));
        }
        None
    }
}

/// The names of all settings.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    table::names()
}

/// Whether a setting takes a value; if not, why.
pub(crate) fn check_set(name: &str, value: &str) -> Result<(), String> {
    use clap::Parser as _;
    let common = crate::args::Args::parse_from(["dispotify", "ls"]).common;
    let mut settings = Settings::unchecked(&common).map_err(|failure| failure.to_string())?;
    table::assign(&mut settings, name, value)
}

/// Reads the pause of `status --watch`: at least a tenth of a second, at most a day.
pub(crate) fn watch_every(text: &str) -> Result<Duration, String> {
    table::duration_within(
        text,
        Duration::from_millis(100),
        Duration::from_secs(86_400),
    )
}

/// Reads the pause of `watch --rescan`: at least ten seconds, at most 30 days.
pub(crate) fn rescan_every(text: &str) -> Result<Duration, String> {
    let most = Duration::from_secs(30 * 86_400);
    table::duration_within(text, Duration::from_secs(10), most)
}

/// An identifier of a cluster, made of its name and DNS nodes.
fn scope(cluster: &str, dns: &[Address]) -> String {
    let mut dns: Vec<String> = dns.iter().map(ToString::to_string).collect();
    dns.sort_unstable();
    format!("{cluster} {}", dns.join(","))
}

/// The number of connections that fits the process's limit of open files, with some to spare.
fn connections() -> usize {
    let limit = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limit
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    let files: usize = soft.unwrap_or(256);
    files.saturating_sub(48).clamp(8, 1000)
}

/// Reads `ADDR` or `ADDR:PORT`, given by this option.
pub(crate) fn addresses(option: &str, texts: &[String]) -> Result<Vec<Address>, Failure> {
    let parse = |text: &String| {
        let text = text.trim();
        let whole = text.parse::<SocketAddr>();
        let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
        whole.or(bare).map(Address).map_err(|_| {
            Failure::Usage(format!(
                "{option} {text}: write an IP address, with :PORT if it is not {PORT}"
            ))
        })
    };
    let texts = texts.iter().filter(|text| !text.trim().is_empty());
    texts.map(parse).collect()
}

fn cache_dir(common: &Common) -> Option<PathBuf> {
    let given = common.cache_dir.clone();
    given.or_else(|| folder("XDG_CACHE_HOME", ".cache"))
}

fn default_key_file() -> Option<PathBuf> {
    config_dir().map(|folder| folder.join("key"))
}

/// The folder with the key and the configuration file of this user.
pub(crate) fn config_dir() -> Option<PathBuf> {
    folder("XDG_CONFIG_HOME", ".config")
}

/// The default data directory for `name`.
pub(crate) fn data_dir(name: &str) -> Result<PathBuf, Failure> {
    folder("XDG_DATA_HOME", ".local/share")
        .map(|folder| folder.join(name))
        .ok_or_else(|| Failure::Usage("no data directory: give --data-dir, or set HOME".into()))
}

fn folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let given = env::var_os(variable).map(PathBuf::from).filter(absolute);
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(below_home));
    given.or_else(home).map(|base| base.join("dispotify"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_the_port_of_nodes() {
        let texts = ["127.0.0.11", "127.0.0.12:80", "::1"].map(String::from);
        let read = addresses("--dns", &texts).expect("three addresses");
        let shown: Vec<String> = read.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.11:7700", "127.0.0.12:80", "[::1]:7700"]);
        assert!(addresses("--dns", &["localhost".into()]).is_err());
    }
}
