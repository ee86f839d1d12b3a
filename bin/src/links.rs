//! The links of this machine: where its nodes and its page are announced, and where a command without
//! `--dns` looks for the cluster.
//!
//! Loopback comes first, then multicast DNS. What is told on a link is a hint; the key decides.

use std::io::{self, Write};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use log::{LevelFilter, info, warn};
use net::mdns::look_for_dns;
use net::{Link, MdnsSocket, Reactor, Security, node_at, own_features};
use rand::random;
use roles::contract::id::{Incarnation, NodeId};
use roles::contract::node::Identity;
use roles::contract::record::Address;
use roles::mdns;

use crate::args::OnOff;
use crate::failure::Failure;
use crate::machine;
use crate::settings::{PORT, Settings};

/// How long a link may take to tell of DNS nodes: as long as one that starts at the same moment needs to
/// claim its name.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long a node may take to prove that it has the key.
const KEY_PATIENCE: Duration = Duration::from_secs(1);

/// What this process has to announce.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Announced {
    /// A DNS node and where it listens.
    pub(crate) dns: Option<(NodeId, Address)>,
    /// Where the page listens.
    pub(crate) page: Option<SocketAddr>,
}

/// Where the cluster is, for a process to which nobody has said it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The node of this cluster on loopback, at the port of DNS nodes.
    pub(crate) on_loopback: Option<Address>,
    /// What is told on the links.
    pub(crate) told: Vec<Address>,
}

/// Gives a command the DNS nodes of its cluster, unless `--dns` has: that on loopback, or those of the
/// links. Where there is none, the command asks those that it remembers, and loopback.
pub(crate) fn find(settings: &mut Settings) -> Result<(), Failure> {
    if settings.dns_given {
        return Ok(());
    }
    // A missing key is the command's own failure.
    let Ok(security) = settings.security() else {
        return Ok(());
    };
    let links = of_machine(settings);
    let seen = look(settings, &security, &links);
    let line = match (seen.on_loopback, seen.told.as_slice()) {
        (Some(own), _) => format!("dns {own}, on this machine"),
        (None, _) if links.is_empty() => return Ok(()),
        (None, []) => "no dns node on this machine or on the link".into(),
        (None, told) => format!("dns {}, told of on the link", shown(told)),
    };
    if seen.on_loopback.is_none() {
        settings.use_link(&security);
        let on_loopback = mem::replace(&mut settings.client.dns_nodes, seen.told);
        settings.client.dns_guesses = on_loopback;
    }
    if settings.log >= LevelFilter::Debug {
        // The reader of standard error may be gone.
        let _ = writeln!(io::stderr(), "dispotify: {line}");
    }
    Ok(())
}

/// Looks on loopback, and if there is nothing, on these links.
pub(crate) fn look(settings: &Settings, security: &Security, links: &[Link]) -> Seen {
    let own = Address(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
    if has_key(security, own) {
        return Seen {
            on_loopback: Some(own),
            ..Seen::default()
        };
    }
    let cluster = cluster(settings, security).filter(|_| !links.is_empty());
    let told = cluster.map(|cluster| look_for_dns(links, &cluster, PATIENCE));
    Seen {
        told: told.unwrap_or_default(),
        ..Seen::default()
    }
}

/// How many of these addresses are those of nodes with the key. Asks all at once.
pub(crate) fn with_key(security: &Security, told: &[Address]) -> usize {
    thread::scope(|scope| {
        let ask = |at: &Address| {
            let at = *at;
            scope.spawn(move || has_key(security, at))
        };
        let asked: Vec<_> = told.iter().map(ask).collect();
        let has_key = |asked: thread::ScopedJoinHandle<'_, bool>| asked.join().unwrap_or(false);
        asked
            .into_iter()
            .filter_map(|asked| has_key(asked).then_some(()))
            .count()
    })
}

fn has_key(security: &Security, at: Address) -> bool {
    let guest = Identity {
        node: NodeId(random()),
        incarnation: Incarnation(1),
        address: None,
        features: own_features(),
    };
    node_at(security, at, guest, KEY_PATIENCE).is_some()
}

/// The links of this machine, if multicast DNS is not switched off.
pub(crate) fn of_machine(settings: &Settings) -> Vec<Link> {
    match settings.mdns {
        OnOff::On => machine::links(),
        OnOff::Off => Vec::new(),
    }
}

/// The link of this address, likewise.
pub(crate) fn of_host(settings: &Settings, host: IpAddr) -> Option<Link> {
    let is_host = |link: &Link| IpAddr::V4(link.address) == host;
    of_machine(settings).into_iter().find(is_host)
}

/// Announces what this process has on the links where it can be reached, and listens on those in `heard`
/// as well. A link that cannot be joined is told and left alone.
pub(crate) fn join(
    reactor: &mut Reactor,
    settings: &Settings,
    security: &Security,
    (announced, heard): (Announced, &[Link]),
) {
    let Some(cluster) = cluster(settings, security) else {
        return;
    };
    for link in of_machine(settings) {
        let config = mdns::Config {
            address: link.address,
            prefix: link.prefix,
            cluster: cluster.clone(),
            dns: announced.dns_on(link),
            page: announced.page_on(link),
        };
        if config.dns.is_none() && config.page.is_none() && !heard.contains(&link) {
            continue;
        }
        let joined = MdnsSocket::open(link.address);
        match joined.and_then(|socket| reactor.add_link(socket, config)) {
            Ok(()) => info!("mdns on the link of {}", link.address),
            Err(error) => warn!("mdns {} not joined: {error} (see --mdns)", link.address),
        }
    }
}

impl Announced {
    fn dns_on(self, link: Link) -> Option<(NodeId, u16)> {
        let (node, address) = self.dns?;
        let here = address.0.ip() == IpAddr::V4(link.address);
        here.then_some((node, address.0.port()))
    }

    fn page_on(self, link: Link) -> Option<u16> {
        let page = self.page?;
        let here = page.ip().is_unspecified() || page.ip() == IpAddr::V4(link.address);
        here.then_some(page.port())
    }
}

/// What the links may know of the cluster; none without a key.
fn cluster(settings: &Settings, security: &Security) -> Option<mdns::Cluster> {
    Some(mdns::Cluster {
        name: settings.cluster.clone(),
        mark: security.mark()?,
        accepted: security.accepted_marks(),
    })
}

/// Addresses in a line.
pub(crate) fn shown(addresses: &[Address]) -> String {
    let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    shown.join(", ")
}
