//! `GET /metrics`: what this process has done, and the cluster as a router sees it.
//!
//! OpenMetrics text for who asks for it, Prometheus' older text otherwise. Owns the counters of the
//! page; everything else is read when somebody asks. The names are a public interface.

mod page;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use net::http::request::Request;
use net::http::site::{Act, Exchange, LoopFigures};
use roles::contract::message::{NodeState, Status};
use roles::contract::node::Figure;
use roles::contract::record::Role;
use roles::contract::time::Time;

use page::{Kind, Page};

/// Upper bounds of the latency histogram, in milliseconds.
const BOUNDS_MS: [u32; 10] = [1, 2, 5, 10, 25, 50, 100, 500, 1000, 5000];

/// The counters of the page.
#[derive(Default)]
pub(super) struct Metrics {
    /// Requests without an answer so far: since when, and for what.
    open: BTreeMap<Exchange, (Time, &'static str)>,
    /// Per route and status.
    answers: BTreeMap<(&'static str, u16), u64>,
    latencies: BTreeMap<&'static str, Latencies>,
    sent_bytes: u64,
    received_bytes: u64,
    /// Whether somebody waits for the figures of the loop.
    wanted: bool,
    figures: LoopFigures,
}

/// How long requests of one route waited for the heads of their answers.
#[derive(Clone, Copy, Debug, Default)]
struct Latencies {
    /// How many were within each bound and beyond the one before.
    within: [u64; BOUNDS_MS.len()],
    count: u64,
    sum: Duration,
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        let place = BOUNDS_MS.iter().position(|ms| latency <= bound(*ms));
        if let Some(place) = place {
            self.within[place] += 1;
        }
        self.count += 1;
        self.sum += latency;
    }
}

fn bound(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

impl Metrics {
    /// A request has arrived. Its route counts as `none` until it is known.
    pub(super) fn begin(&mut self, now: Time, exchange: Exchange) {
        self.open.insert(exchange, (now, "none"));
    }

    pub(super) fn is_for(&mut self, exchange: Exchange, route: &'static str) {
        if let Some((_, known)) = self.open.get_mut(&exchange) {
            *known = route;
        }
    }

    /// Counts the answers among these orders.
    pub(super) fn note(&mut self, now: Time, acts: &[Act]) {
        for act in acts {
            if let Act::Answer { exchange, head } = act
                && let Some((since, route)) = self.open.remove(exchange)
            {
                *self.answers.entry((route, head.status)).or_default() += 1;
                let latencies = self.latencies.entry(route).or_default();
                latencies.add(now.since(since));
            }
        }
    }

    /// A request is over; one that was not answered counts as nothing.
    pub(super) fn over(&mut self, exchange: Exchange) {
        self.open.remove(&exchange);
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    pub(super) fn received(&mut self, bytes: usize) {
        self.received_bytes += bytes as u64;
    }

    /// Asks for the figures of the loop.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    pub(super) fn wants(&self) -> bool {
        self.wanted
    }

    pub(super) fn take(&mut self, figures: LoopFigures) {
        self.wanted = false;
        self.figures = figures;
    }

    /// The whole page. `cluster` is missing when no router answers.
    pub(super) fn text(&self, format: Format, cluster: Option<&Status>, buffers: usize) -> String {
        let mut page = Page::new(format == Format::OpenMetrics);
        page.family("dispotify_build_info", Kind::Gauge, "The running version.");
        page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        page.family(
            "dispotify_up",
            Kind::Gauge,
            "Whether a router answers: 1 or 0.",
        );
        page.sample(&[], f64::from(u8::from(cluster.is_some())));
        if let Some(status) = cluster {
            of_cluster(&mut page, status);
            of_nodes(&mut page, status);
        }
        self.of_requests(&mut page, buffers);
        self.of_loop(&mut page);
        of_process(&mut page);
        page.end()
    }

    fn of_requests(&self, page: &mut Page, buffers: usize) {
        page.family(
            "dispotify_http_requests",
            Kind::Counter,
            "Requests of browsers, by what was asked and the status of the answer.",
        );
        for ((route, status), count) in &self.answers {
            page.sample(
                &[("route", route), ("code", &status.to_string())],
                *count as f64,
            );
        }
        page.family(
            "dispotify_http_request_seconds",
            Kind::Histogram,
            "Time from a request to the head of its answer.",
        );
        for (route, latencies) in &self.latencies {
            let mut sum = 0;
            let within = BOUNDS_MS.iter().zip(latencies.within).map(|(ms, count)| {
                sum += count;
                (f64::from(*ms) / 1000.0, sum)
            });
            let within: Vec<_> = within.collect();
            let whole = (latencies.count, latencies.sum.as_secs_f64());
            page.histogram(("route", route), &within, whole);
        }
        page.family(
            "dispotify_http_open_requests",
            Kind::Gauge,
            "Requests without an answer so far.",
        );
        page.sample(&[], self.open.len() as f64);
        page.family(
            "dispotify_http_sent_bytes",
            Kind::Counter,
            "Bytes of the bodies of answers.",
        );
        page.sample(&[], self.sent_bytes as f64);
        page.family(
            "dispotify_http_received_bytes",
            Kind::Counter,
            "Bytes of the bodies of requests.",
        );
        page.sample(&[], self.received_bytes as f64);
        page.family(
            "dispotify_stream_buffer_bytes",
            Kind::Gauge,
            "Fragments in memory for all listeners of this page.",
        );
        page.sample(&[], buffers as f64);
    }

    fn of_loop(&self, page: &mut Page) {
        let figures = &self.figures;
        page.family(
            "dispotify_connections",
            Kind::Gauge,
            "Open connections of this process.",
        );
        let kinds = [
            ("nodes", figures.nodes),
            ("browsers", figures.browsers),
            ("names", figures.names),
        ];
        for (kind, count) in kinds {
            page.sample(&[("with", kind)], count as f64);
        }
        page.family(
            "dispotify_outbox_bytes",
            Kind::Gauge,
            "Bytes that wait to be sent to nodes and clients.",
        );
        page.sample(&[], figures.outbox_bytes as f64);
        page.family(
            "dispotify_dns_questions",
            Kind::Counter,
            "DNS packets, and what became of them.",
        );
        for (outcome, count) in [
            ("answered", figures.names_answered),
            ("refused", figures.names_refused),
        ] {
            page.sample(&[("outcome", outcome)], count as f64);
        }
        page.family(
            "dispotify_queue_length",
            Kind::Gauge,
            "What waits in the queues of the nodes of this process.",
        );
        self.each(|node, figure| {
            if let Figure::Queue { name, length, .. } = figure {
                page.sample(&[("node", node), ("queue", name)], *length as f64);
            }
        });
        page.family(
            "dispotify_queue_limit",
            Kind::Gauge,
            "How much may wait there; more is refused.",
        );
        self.each(|node, figure| {
            if let Figure::Queue { name, most, .. } = figure {
                page.sample(&[("node", node), ("queue", name)], *most as f64);
            }
        });
        page.family("dispotify_doubts", Kind::Counter, "Statements of other nodes that cannot be true, as the nodes of this process noticed them.");
        self.each(|node, figure| {
            if let Figure::Doubts { kind, count } = figure {
                page.sample(&[("node", node), ("kind", kind)], *count as f64);
            }
        });
        for (name, help, value) in OF_RING {
            page.family(name, Kind::Gauge, help);
            self.each(|node, figure| {
                if let Some(value) = value(figure) {
                    page.sample(&[("node", node)], value);
                }
            });
        }
    }

    fn each(&self, mut each: impl FnMut(&str, &Figure)) {
        for (node, figures) in &self.figures.of_nodes {
            let node = node.to_string();
            figures.iter().for_each(|figure| each(&node, figure));
        }
    }
}

/// A figure of the ring: its name, what it says, and its value.
type OfRing = (&'static str, &'static str, fn(&Figure) -> Option<f64>);

/// What the members of the ring in this process doubt.
const OF_RING: [OfRing; 4] = [
    (
        "dispotify_ring_suspects",
        "Members that a node of this process suspects.",
        |figure| match figure {
            Figure::Ring { suspects, .. } => Some(*suspects as f64),
            Figure::Queue { .. } | Figure::Doubts { .. } => None,
        },
    ),
    (
        "dispotify_ring_checks",
        "Silent members that a node of this process checks.",
        |figure| match figure {
            Figure::Ring { checks, .. } => Some(*checks as f64),
            Figure::Queue { .. } | Figure::Doubts { .. } => None,
        },
    ),
    (
        "dispotify_ring_patience",
        "How many times as long as usual a node of this process waits, because it hears badly: 1 to 9.",
        |figure| match figure {
            Figure::Ring { patience, .. } => Some(f64::from(*patience)),
            Figure::Queue { .. } | Figure::Doubts { .. } => None,
        },
    ),
    (
        "dispotify_ring_cut_off",
        "Whether a node of this process believes that it is cut off, and takes no new songs: 1 or 0.",
        |figure| match figure {
            Figure::Ring { cut_off, .. } => Some(f64::from(u8::from(*cut_off))),
            Figure::Queue { .. } | Figure::Doubts { .. } => None,
        },
    ),
];

/// The state of the cluster.
fn of_cluster(page: &mut Page, status: &Status) {
    page.family("dispotify_nodes", Kind::Gauge, "Servers by role and state.");
    for role in Role::ALL {
        for state in STATES {
            let is_it = |node: &&_| {
                let node: &roles::contract::message::NodeStatus = node;
                node.role == role && node.state == state
            };
            let count = status.nodes.iter().filter(is_it).count();
            let labels = [("role", role.name()), ("state", state.name())];
            page.sample(&labels, count as f64);
        }
    }
    let sum = |of: fn(&roles::contract::message::NodeStatus) -> u32| -> f64 {
        status.nodes.iter().map(|node| f64::from(of(node))).sum()
    };
    let figures = [
        (
            "dispotify_ring_members",
            "Living members of the ring.",
            status.ring.len() as f64,
        ),
        (
            "dispotify_songs",
            "Songs in the catalogue.",
            status.songs as f64,
        ),
        (
            "dispotify_copies_missing",
            "Copies that songs lack.",
            status.copies_missing as f64,
        ),
        (
            "dispotify_repairs",
            "Copies that are on the way.",
            sum(|node| node.repairing),
        ),
        (
            "dispotify_damaged",
            "Damaged parts of songs that are being fetched again.",
            sum(|node| node.damaged),
        ),
    ];
    for (name, help, value) in figures {
        page.family(name, Kind::Gauge, help);
        page.sample(&[], value);
    }
}

/// Songs and signs of life, node by node.
fn of_nodes(page: &mut Page, status: &Status) {
    type Of = fn(&roles::contract::message::NodeStatus) -> f64;
    let figures: [(&str, &str, Of); 3] = [
        (
            "dispotify_node_songs",
            "Songs that a data node holds.",
            |node| node.songs as f64,
        ),
        ("dispotify_node_bytes", "Bytes of those songs.", |node| {
            node.bytes as f64
        }),
        (
            "dispotify_node_heard_seconds",
            "Time since the router that answers last heard of the node.",
            |node| node.heard_ms as f64 / 1000.0,
        ),
    ];
    for (name, help, of) in figures {
        page.family(name, Kind::Gauge, help);
        for node in &status.nodes {
            let (id, address) = (node.node.to_string(), node.address.to_string());
            let labels = [
                ("node", id.as_str()),
                ("role", node.role.name()),
                ("address", &address),
            ];
            page.sample(&labels, of(node));
        }
    }
}

/// Memory, time and files of this process, as the kernel tells them.
fn of_process(page: &mut Page) {
    let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let (status, stat) = (read("status"), read("stat"));
    page.family(
        "process_resident_memory_bytes",
        Kind::Gauge,
        "Memory of this process.",
    );
    page.sample(&[], resident_kb(&status) as f64 * 1024.0);
    page.family(
        "process_cpu_seconds",
        Kind::Counter,
        "Processor time of this process.",
    );
    page.sample(&[], cpu_seconds(&stat));
    page.family(
        "process_open_fds",
        Kind::Gauge,
        "Open files and sockets of this process.",
    );
    let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    page.sample(&[], files as f64);
}

fn resident_kb(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

/// User and system time. The name before them, in brackets, may hold blanks.
fn cpu_seconds(stat: &str) -> f64 {
    let Some((_, rest)) = stat.rsplit_once(") ") else {
        return 0.0;
    };
    let ticks = rest.split(' ').skip(11).take(2);
    ticks
        .filter_map(|word| word.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS
}

/// The kernel's unit of these times, on every Linux there is.
const TICKS: f64 = 100.0;

/// Every state, so that a series does not vanish when its last node leaves it.
const STATES: [NodeState; 6] = [
    NodeState::Alive,
    NodeState::Draining,
    NodeState::Suspect,
    NodeState::Sick,
    NodeState::Dead,
    NodeState::Full,
];

/// The two texts that Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Plain,
}

impl Format {
    /// What the asker wants.
    pub(super) fn of(request: &Request) -> Self {
        let accept = request.field("accept").unwrap_or_default();
        match accept.contains("application/openmetrics-text") {
            true => Format::OpenMetrics,
            false => Format::Plain,
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

#[cfg(test)]
mod tests;
