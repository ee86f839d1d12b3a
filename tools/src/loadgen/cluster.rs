//! The cluster under load: its DNS nodes, its key, and whether it may be loaded at all.

use std::env;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use net::{Security, own_features};
use roles::contract::id::{Incarnation, NodeId};
use roles::contract::node::Identity;
use roles::contract::rng::Rng;

use super::args::Common;
use super::failure::Failure;

/// The default port of a node.
const PORT: u16 = 7700;

/// How a run reaches its cluster.
pub(crate) struct Cluster {
    pub(crate) dns: Vec<SocketAddr>,
    pub(crate) security: Security,
    /// Whether addresses beyond loopback are allowed.
    anywhere: bool,
}

impl Cluster {
    /// Reads addresses and key; refuses targets that the run may not load.
    pub(crate) fn of(common: &Common) -> Result<Self, Failure> {
        let cluster = Cluster {
            dns: addresses(&common.dns)?,
            security: security(common)?,
            anywhere: common.anywhere || in_own_namespace(),
        };
        if cluster.dns.is_empty() {
            return Err(Failure::usage("--dns", "give at least one address"));
        }
        cluster.check("--dns", &cluster.dns)?;
        Ok(cluster)
    }

    /// Refuses targets beyond loopback, unless they are allowed: a typing error must not put load
    /// on somebody's music.
    pub(crate) fn check(&self, what: &str, targets: &[SocketAddr]) -> Result<(), Failure> {
        check(what, targets, self.anywhere)
    }
}

/// As [`Cluster::check`], for a run that only speaks with pages.
pub(crate) fn check_pages(targets: &[SocketAddr], common: &Common) -> Result<(), Failure> {
    check("--http", targets, common.anywhere || in_own_namespace())
}

fn check(what: &str, targets: &[SocketAddr], anywhere: bool) -> Result<(), Failure> {
    let stranger = targets.iter().find(|at| !at.ip().is_loopback());
    match stranger {
        Some(at) if !anywhere => Err(Failure::Usage(format!(
            "{what} {at}: not an address of this machine's loopback; --anywhere allows load on others"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Whether this process has network addresses of its own, apart from the machine's.
fn in_own_namespace() -> bool {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/net"));
    matches!((of("self"), of("1")), (Ok(own), Ok(machine)) if own != machine)
}

/// The identity of a client machine, different for each draw.
pub(crate) fn identity(rng: &mut Rng) -> Identity {
    let high = u128::from(rng.bits()) << 64;
    Identity {
        node: NodeId(high | u128::from(rng.bits())),
        incarnation: Incarnation(1),
        address: None,
        features: own_features(),
    }
}

/// Reads `ADDR` or `ADDR:PORT`.
fn addresses(texts: &[String]) -> Result<Vec<SocketAddr>, Failure> {
    let parse = |text: &str| {
        let whole = text.parse::<SocketAddr>();
        let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
        let cure = format!("write an IP address, with :PORT if it is not {PORT}");
        whole
            .or(bare)
            .map_err(|_| Failure::usage(format!("--dns {text}"), cure))
    };
    let texts = texts.iter().map(|text| text.trim());
    texts.filter(|text| !text.is_empty()).map(parse).collect()
}

fn security(common: &Common) -> Result<Security, Failure> {
    let name = |_| Failure::usage("--cluster", "a cluster name is at most 32 bytes");
    if common.insecure {
        return Security::insecure(&common.cluster).map_err(name);
    }
    let (source, text) = key_text(common)?;
    let key = parse_key(&text).ok_or_else(|| {
        Failure::failed(
            format!("read the key from {source}"),
            "it is not 64 hexadecimal digits",
        )
    })?;
    Security::keyed(key, &common.cluster).map_err(name)
}

/// The key's digits and where they come from: the flag wins over the environment.
fn key_text(common: &Common) -> Result<(String, String), Failure> {
    let variable = env::var("DISPOTIFY_KEY").ok();
    if let Some(digits) = variable.filter(|_| common.key_file.is_none()) {
        return Ok(("DISPOTIFY_KEY".into(), digits));
    }
    let file = common.key_file.clone().or_else(default_key_file);
    let file = file.ok_or_else(|| Failure::usage("no key", "give --key-file, or set HOME"))?;
    let text = read_key(&file)?;
    Ok((file.display().to_string(), text))
}

fn read_key(file: &Path) -> Result<String, Failure> {
    let attempt = format!("read key file {}", file.display());
    fs::read_to_string(file).map_err(|error| {
        Failure::failed(attempt, format!("{error} (give --key-file, or --insecure)"))
    })
}

fn default_key_file() -> Option<PathBuf> {
    let given = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let given = given.filter(|path| path.is_absolute());
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".config"));
    given.or_else(home).map(|base| base.join("dispotify/key"))
}

/// Reads the 64 hexadecimal digits of the first line: further keys are only accepted by nodes.
fn parse_key(text: &str) -> Option<[u8; 32]> {
    let digits = text.lines().next()?;
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_the_port_of_nodes() {
        let texts = ["127.0.0.11", "127.0.0.12:80", " "].map(String::from);
        let read = addresses(&texts).unwrap();
        assert_eq!(read[0].port(), PORT);
        assert_eq!(read[1].port(), 80);
        assert!(addresses(&["localhost".into()]).is_err());
    }

    /// Only loopback may be loaded without the flag.
    #[test]
    fn other_machines_are_left_alone() {
        let at = |text: &str| [text.parse::<SocketAddr>().unwrap()];
        assert_eq!(check("--dns", &at("127.3.4.5:1"), false), Ok(()));
        assert_eq!(check("--dns", &at("10.0.0.1:1"), true), Ok(()));
        let said = check("--dns", &at("10.0.0.1:7700"), false).unwrap_err();
        let Failure::Usage(line) = said else {
            panic!("{said:?}")
        };
        assert!(
            line.contains("10.0.0.1:7700") && line.contains("--anywhere"),
            "{line}"
        );
    }

    #[test]
    fn a_key_is_64_digits_and_perhaps_a_newline() {
        let digits = "0f".repeat(32);
        assert_eq!(parse_key(&format!("{digits}\n")), Some([15; 32]));
        assert_eq!(parse_key(&digits[1..]), None);
        assert_eq!(parse_key(&"é".repeat(32)), None);
    }
}
