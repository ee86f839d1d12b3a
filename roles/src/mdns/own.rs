//! What a machine says of itself: its names, and the records of each.
//!
//! A name that another machine has is replaced by the next one: `dispotify-2.local` and so on. The pages'
//! name belongs to all pages of a cluster together; the text beside its addresses says which cluster.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::packets::{Data, Name, Packet, Record};
use super::{Cluster, Config, PAGE_LABEL};
use crate::dns::packets::kind;

/// How long addresses and what names them may be kept: the RFC's value (section 10).
const HOST_TTL: u32 = 120;

/// The same for everything else.
pub(super) const OTHER_TTL: u32 = 4500;

/// How long an address of a page may be kept. A browser that knows a dead machine asks again soon.
const PAGE_TTL: u32 = 10;

/// The highest number behind a name. A link that contradicts so often gets no answers about the name.
const NUMBER_MAX: u32 = 99;

/// The names that must be this machine's, or its cluster's, alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// The machine of the DNS node.
    Host,
    /// The instance of `_dispotify._tcp`.
    Dns,
    /// The instance of `_http._tcp`.
    Page,
    /// The name of all pages.
    Pages,
}

/// A record of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    DnsKind,
    PageKind,
    DnsInstance,
    PageInstance,
    DnsSrv,
    DnsTxt,
    HostA,
    HostNone,
    PageSrv,
    PageTxt,
    PagesTxt,
    PagesNone,
    /// An address of a page: this machine's or that of another one.
    PagesA(Ipv4Addr),
}

/// The names and records of a machine.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) config: Config,
    /// The number behind each name that was contradicted.
    numbers: [u32; 4],
}

impl Own {
    pub(super) fn new(config: Config) -> Self {
        Own {
            config,
            numbers: [1; 4],
        }
    }

    /// The names that are claimed.
    pub(super) fn claims(&self) -> Vec<Claim> {
        let dns = [Claim::Host, Claim::Dns].map(|claim| self.config.dns.map(|_| claim));
        let page = [Claim::Page, Claim::Pages].map(|claim| self.config.page.map(|_| claim));
        let all = dns.into_iter().chain(page).flatten();
        all.filter(|claim| self.number(*claim) <= NUMBER_MAX)
            .collect()
    }

    fn number(&self, claim: Claim) -> u32 {
        self.numbers[claim as usize]
    }

    pub(super) fn set_number(&mut self, claim: Claim, number: u32) {
        self.numbers[claim as usize] = number;
    }

    /// Takes the next name. None: there were too many.
    pub(super) fn rename(&mut self, claim: Claim) -> Option<Name> {
        let number = self.number(claim) + 1;
        self.set_number(claim, number);
        (number <= NUMBER_MAX).then(|| self.name(claim))
    }

    pub(super) fn name(&self, claim: Claim) -> Name {
        self.numbered(claim, self.number(claim))
    }

    fn numbered(&self, claim: Claim, number: u32) -> Name {
        let address = self.config.address;
        let node = self.config.dns.map_or(0, |(node, _)| node.0);
        let port = self.config.page.unwrap_or(0);
        let label = match claim {
            Claim::Host | Claim::Dns => format!("n-{node:032x}"),
            Claim::Page => format!("dispotify at {address}:{port}"),
            Claim::Pages => String::from(PAGE_LABEL),
        };
        let label = match (claim, number) {
            (_, 1) => label,
            (Claim::Page, number) => format!("{label} ({number})"),
            (_, number) => format!("{label}-{number}"),
        };
        match claim {
            Claim::Host | Claim::Pages => Name::of(&[label.as_bytes(), b"local"]),
            Claim::Dns => Name::of(&[label.as_bytes(), DNS, TCP, b"local"]),
            Claim::Page => Name::of(&[label.as_bytes(), HTTP, TCP, b"local"]),
        }
    }

    /// An earlier name of the pages, under which others of this cluster speak in this packet.
    pub(super) fn earlier_number(&self, packet: &Packet) -> Option<u32> {
        let cluster = &self.config.cluster;
        (1..self.number(Claim::Pages)).find(|number| {
            let name = self.numbered(Claim::Pages, *number);
            (packet.records()).any(|r| r.name == name && is_text_of(cluster, &r.data))
        })
    }

    /// All records, given the other machines with pages.
    pub(super) fn keys(&self, others: &[Ipv4Addr]) -> BTreeSet<Key> {
        let claims = self.claims();
        let mut keys = BTreeSet::new();
        for claim in &claims {
            match claim {
                Claim::Host => keys.extend([Key::HostA, Key::HostNone]),
                Claim::Dns => {
                    keys.extend([Key::DnsKind, Key::DnsInstance, Key::DnsSrv, Key::DnsTxt]);
                }
                Claim::Page => {
                    keys.extend([Key::PageKind, Key::PageInstance, Key::PageSrv, Key::PageTxt]);
                }
                Claim::Pages => {
                    keys.extend([Key::PagesTxt, Key::PagesNone]);
                    keys.insert(Key::PagesA(self.config.address));
                    keys.extend(others.iter().map(|ip| Key::PagesA(*ip)));
                }
            }
        }
        keys
    }

    /// The name to which a record belongs; none for those of everybody.
    pub(super) fn claim_of(key: Key) -> Option<Claim> {
        match key {
            Key::DnsKind | Key::PageKind | Key::DnsInstance | Key::PageInstance => None,
            Key::DnsSrv | Key::DnsTxt => Some(Claim::Dns),
            Key::HostA | Key::HostNone => Some(Claim::Host),
            Key::PageSrv | Key::PageTxt => Some(Claim::Page),
            Key::PagesTxt | Key::PagesNone | Key::PagesA(_) => Some(Claim::Pages),
        }
    }

    pub(super) fn record(&self, key: Key) -> Record {
        let instance = |claim| Data::Ptr(self.name(claim));
        let local = |labels: [&[u8]; 2]| Name::of(&[labels[0], labels[1], b"local"]);
        let (name, ttl, data) = match key {
            Key::DnsKind => (kinds(), OTHER_TTL, Data::Ptr(local([DNS, TCP]))),
            Key::PageKind => (kinds(), OTHER_TTL, Data::Ptr(local([HTTP, TCP]))),
            Key::DnsInstance => (local([DNS, TCP]), OTHER_TTL, instance(Claim::Dns)),
            Key::PageInstance => (local([HTTP, TCP]), OTHER_TTL, instance(Claim::Page)),
            Key::DnsSrv => {
                let port = self.config.dns.map_or(0, |(_, port)| port);
                let target = self.name(Claim::Host);
                (self.name(Claim::Dns), HOST_TTL, Data::Srv { port, target })
            }
            Key::PageSrv => {
                let port = self.config.page.unwrap_or(0);
                let target = self.name(Claim::Pages);
                (self.name(Claim::Page), HOST_TTL, Data::Srv { port, target })
            }
            Key::DnsTxt | Key::PageTxt => {
                let claim = Own::claim_of(key).unwrap_or(Claim::Dns);
                let text = text(&self.config.cluster);
                (self.name(claim), OTHER_TTL, Data::Txt(text))
            }
            Key::HostA => {
                let ip = self.config.address;
                (self.name(Claim::Host), HOST_TTL, Data::A(ip))
            }
            Key::PagesA(ip) => (self.name(Claim::Pages), PAGE_TTL, Data::A(ip)),
            Key::PagesTxt => {
                let text = text(&self.config.cluster);
                (self.name(Claim::Pages), PAGE_TTL, Data::Txt(text))
            }
            Key::HostNone => nothing_but(self.name(Claim::Host), &[kind::A], HOST_TTL),
            Key::PagesNone => nothing_but(self.name(Claim::Pages), &[kind::A, kind::TXT], PAGE_TTL),
        };
        // The records of the pages' name are those of several machines: none replaces the others'.
        let flush = !matches!(Own::claim_of(key), None | Some(Claim::Pages));
        Record {
            name,
            flush,
            ttl,
            data,
        }
    }

    /// What goes along with a record, so that nobody has to ask for it.
    pub(super) fn beside(&self, key: Key, all: &BTreeSet<Key>) -> Vec<Key> {
        let pages = || {
            let fits = |key: &&Key| matches!(key, Key::PagesA(_));
            let addresses = all.iter().filter(fits).copied();
            addresses.chain([Key::PagesTxt, Key::PagesNone]).collect()
        };
        match key {
            Key::DnsKind | Key::PageKind | Key::HostNone | Key::PagesTxt => Vec::new(),
            Key::DnsInstance => [Key::DnsSrv, Key::DnsTxt, Key::HostA, Key::HostNone].into(),
            Key::DnsSrv | Key::DnsTxt => [Key::HostA, Key::HostNone].into(),
            Key::HostA => [Key::HostNone].into(),
            Key::PageInstance => {
                let mut keys: Vec<Key> = pages();
                keys.extend([Key::PageSrv, Key::PageTxt]);
                keys
            }
            Key::PageSrv | Key::PageTxt => pages(),
            Key::PagesA(_) | Key::PagesNone => [Key::PagesTxt, Key::PagesNone].into(),
        }
    }
}

/// The name under which DNS nodes are found.
pub(super) fn dns_service() -> Name {
    Name::of(&[DNS, TCP, b"local"])
}

/// The name under which all kinds of service are listed (RFC 6763, section 9).
fn kinds() -> Name {
    Name::of(&[b"_services", b"_dns-sd", b"_udp", b"local"])
}

/// The text by which this machine tells its cluster from others.
pub(super) fn text(cluster: &Cluster) -> Vec<u8> {
    text_with(cluster, &cluster.mark)
}

/// Whether this is the text of the cluster, by whichever of its keys.
pub(super) fn is_text_of(cluster: &Cluster, data: &Data) -> bool {
    let mut marks = [&cluster.mark].into_iter().chain(&cluster.accepted);
    marks.any(|mark| data.bytes() == text_with(cluster, mark))
}

fn text_with(cluster: &Cluster, mark: &[u8; 8]) -> Vec<u8> {
    let mark: String = mark.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut bytes = Vec::new();
    for text in [
        String::from("txtvers=1"),
        format!("cluster={}", cluster.name),
        format!("mark={mark}"),
    ] {
        bytes.push(text.len().min(255) as u8);
        bytes.extend(text.bytes().take(255));
    }
    bytes
}

/// The record that says which kinds a name has, all below 256, and that there are no others (RFC 6762, section 6.1).
fn nothing_but(name: Name, kinds: &[u16], ttl: u32) -> (Name, u32, Data) {
    let mut map = [0u8; 32];
    for kind in kinds {
        map[usize::from(kind / 8)] |= 0x80 >> (kind % 8);
    }
    let length = map
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    let mut bytes = Data::Ptr(name.clone()).bytes();
    bytes.extend([0, length as u8]);
    bytes.extend(&map[..length]);
    let kind = kind::NSEC;
    (name, ttl, Data::Other { kind, bytes })
}

const DNS: &[u8] = b"_dispotify";

const HTTP: &[u8] = b"_http";

const TCP: &[u8] = b"_tcp";
