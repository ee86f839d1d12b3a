//! What the nodes doubt: each is asked itself, because a node that is cut off, or hears badly, is the
//! only one that knows it.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use net::ask_at;
use roles::contract::id::NodeId;
use roles::contract::message::{Message, NodeState, NodeStatus, Status as Cluster};
use roles::contract::record::{Features, Record, Role};
use roles::contract::ring::{Diagnosis, Ring};
use roles::contract::user::{Command, Notice};
use serde::Serialize;

use crate::failure::Failure;
use crate::session::{Session, guest};
use crate::settings::Settings;
use crate::text;

/// How long each wait for a node may last: a node that does not answer is left out.
const PATIENCE: Duration = Duration::from_millis(500);

/// Nodes asked at once.
const AT_ONCE: usize = 16;

/// What one node doubts.
pub(super) struct Told {
    record: Record,
    diagnosis: Diagnosis,
}

/// Asks every living data node and router. Who does not answer, or does not know the question, is left
/// out.
pub(super) fn ask(
    settings: &Settings,
    session: &Session,
    cluster: &Cluster,
) -> Result<Vec<Told>, Failure> {
    let dead = |node: &NodeStatus| node.state == NodeState::Dead;
    let dead: Vec<NodeId> = (cluster.nodes.iter().filter(|node| dead(node)))
        .map(|node| node.node)
        .collect();
    let mut records = Vec::new();
    for role in [Role::Router, Role::Data] {
        // Without the DNS nobody says who knows the question.
        records.extend(records_of(session, role).unwrap_or_default());
    }
    let knows = |record: &Record| record.features.has(Features::DIAGNOSIS);
    records.retain(|record| knows(record) && !dead.contains(&record.node));
    let security = settings.security()?;
    let (waiting, told) = (Mutex::new(records), Mutex::new(Vec::new()));
    let work = || {
        while let Some(record) = lock(&waiting).pop() {
            let question = vec![Message::Ring(Ring::Diagnose)];
            let answers = ask_at(&security, record.address, guest(), question, PATIENCE);
            if let Ok(Some(Message::Ring(Ring::Diagnosis(diagnosis)))) =
                answers.map(|mut answers| answers.pop())
            {
                lock(&told).push(Told { record, diagnosis });
            }
        }
    };
    thread::scope(|scope| {
        let threads = lock(&waiting).len().min(AT_ONCE);
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    told.sort_by_key(|one| (one.record.role, one.record.node));
    Ok(told)
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn records_of(session: &Session, role: Role) -> Result<Vec<Record>, Failure> {
    let operation = session.operation();
    let command = Command::Resolve { operation, role };
    session.answer("ask for the nodes", command, |notice| {
        if let Notice::Records { records, .. } = notice {
            return Some(records);
        }
        None
    })
}

/// The doubts as lines for people; nothing where nobody doubts.
pub(super) fn lines(all: &[Told]) -> String {
    all.iter().flat_map(lines_of).collect()
}

fn lines_of(told: &Told) -> Vec<String> {
    let (own, doubts) = (name(told), &told.diagnosis);
    let mut lines = Vec::new();
    for suspect in &doubts.suspects {
        let (node, since) = (short(suspect.node), text::ago(suspect.for_ms));
        let observers = suspect.observers.iter().copied().map(short);
        let observers: Vec<String> = observers.collect();
        let by = match observers.is_empty() {
            true => String::new(),
            false => format!(", not reached by {}", observers.join(", ")),
        };
        lines.push(format!("{own} suspects {node} for {since}{by}\n"));
    }
    for node in &doubts.checked {
        lines.push(format!(
            "{own} hears nothing of {}, and checks it\n",
            short(*node)
        ));
    }
    if doubts.cut_off {
        lines.push(format!(
            "{own} believes that it is cut off, and takes no new songs: look at its network\n"
        ));
    }
    if doubts.unsure {
        lines.push(format!(
            "{own} has stalled, and asks how the others see it\n"
        ));
    }
    if doubts.patience > 1 {
        let times = doubts.patience;
        lines.push(format!(
            "{own} hears badly, and waits {times} times as long: its machine is overloaded, or its network loses much\n"
        ));
    }
    lines.extend(untrue(&own, doubts));
    lines
}

/// Statements that cannot be true, but for the kinds that happen among honest nodes while songs move.
fn untrue(own: &str, doubts: &Diagnosis) -> Option<String> {
    let is_harmless = |kind: &str| HARMLESS.contains(&kind);
    let bad = doubts
        .anomalies
        .iter()
        .filter(|one| !is_harmless(&one.kind));
    let mut kinds: Vec<String> = bad
        .map(|one| format!("{} about {}", one.count, one.kind))
        .collect();
    if doubts.absurd_claims > 0 {
        kinds.push(format!("{} about members", doubts.absurd_claims));
    }
    let kinds = (!kinds.is_empty()).then(|| kinds.join(", "))?;
    Some(format!(
        "{own} was told what cannot be true since its start: {kinds} (its log names the nodes)\n"
    ))
}

/// See `roles/src/anomalies.rs`.
const HARMLESS: [&str; 2] = ["holder", "removal"];

fn name(told: &Told) -> String {
    let Record { node, address, .. } = told.record;
    format!("{} ({address})", short(node))
}

fn short(node: NodeId) -> String {
    node.to_string()[..8].to_owned()
}

/// What one node doubts, in JSON. The field names are a public interface.
#[derive(Serialize)]
pub(super) struct Doubts {
    node: String,
    address: String,
    suspects: Vec<Suspect>,
    checked: Vec<String>,
    patience: u32,
    cut_off: bool,
    unsure: bool,
    absurd_claims: u64,
    anomalies: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct Suspect {
    node: String,
    observers: Vec<String>,
    for_ms: u64,
}

impl Doubts {
    pub(super) fn of(told: &Told) -> Self {
        let doubts = &told.diagnosis;
        let ids = |nodes: &[NodeId]| nodes.iter().map(NodeId::to_string).collect();
        let suspect = |one: &roles::contract::ring::Suspect| Suspect {
            node: one.node.to_string(),
            observers: ids(&one.observers),
            for_ms: one.for_ms,
        };
        let counts = doubts.anomalies.iter();
        Doubts {
            node: told.record.node.to_string(),
            address: told.record.address.to_string(),
            suspects: doubts.suspects.iter().map(suspect).collect(),
            checked: ids(&doubts.checked),
            patience: doubts.patience,
            cut_off: doubts.cut_off,
            unsure: doubts.unsure,
            absurd_claims: doubts.absurd_claims,
            anomalies: counts
                .map(|one| (one.kind.clone(), one.count.into()))
                .collect(),
        }
    }
}
