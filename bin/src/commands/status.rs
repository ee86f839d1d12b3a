//! `dispotify status`.

mod doubts;

use std::io::{self, IsTerminal, Write};
use std::thread;

use roles::contract::id::NodeId;
use roles::contract::message::{LastAlert, LastSwitch, NodeState, NodeStatus, Status as Cluster};
use roles::contract::record::{Address, Role};
use roles::contract::user::{Command, Notice};
use serde::Serialize;

use super::{json_line, trash, write_all};
use crate::args::Status;
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Settings;
use crate::text;
use doubts::{Doubts, Told};

/// Shows the cluster as one router sees it, once or again and again.
pub(crate) fn run(settings: &Settings, status: &Status) -> Result<(), Failure> {
    let session = Session::start(settings)?;
    let Some(every) = status.watch else {
        return tell(status, ask(settings, &session)?);
    };
    loop {
        match ask(settings, &session) {
            Ok(seen) => {
                clear(status.json)?;
                tell(status, seen)?;
            }
            // Whoever watches wants to see the cluster come back.
            Err(Failure::Failed(why) | Failure::Unreachable(why)) => {
                clear(status.json)?;
                // When standard error is closed as well, no channel is left for the message.
                let _ = writeln!(io::stderr(), "dispotify: {why}");
            }
            Err(failure @ (Failure::Usage(_) | Failure::OutputClosed)) => return Err(failure),
        }
        thread::sleep(every);
    }
}

/// The cluster as people see it.
struct Seen {
    /// What this router knows.
    cluster: Cluster,
    router: Address,
    /// Songs and bytes in the trash, where a router can say.
    trash: Option<(u64, u64)>,
    doubts: Vec<Told>,
}

fn ask(settings: &Settings, session: &Session) -> Result<Seen, Failure> {
    let operation = session.operation();
    let command = Command::Status { operation };
    let (cluster, router) = session.answer("ask for the status", command, |notice| {
        if let Notice::Status { status, router, .. } = notice {
            return Some((status, router));
        }
        None
    })?;
    Ok(Seen {
        trash: trash::totals(session),
        doubts: doubts::ask(settings, session, &cluster)?,
        cluster,
        router,
    })
}

fn tell(status: &Status, seen: Seen) -> Result<(), Failure> {
    if status.json {
        return json_line(&Object::whole(&seen));
    }
    show(&seen)
}

/// Begins a new picture on a terminal; elsewhere one follows the other.
fn clear(json: bool) -> Result<(), Failure> {
    match !json && io::stdout().is_terminal() {
        true => write_all(b"\x1b[H\x1b[J"),
        false => Ok(()),
    }
}

fn show(seen: &Seen) -> Result<(), Failure> {
    let (cluster, router) = (&seen.cluster, seen.router);
    let header = ["NODE", "ROLE", "STATE", "ADDRESS", "HEARD", "SONGS", "SIZE"];
    let mut table = text::table(header, &[4, 5, 6]);
    for node in &cluster.nodes {
        let mut id = node.node.to_string();
        id.truncate(8);
        let keeps = node.role == Role::Data;
        let only = |text: String| if keeps { text } else { String::new() };
        table.add_row([
            id,
            node.role.to_string(),
            node.state.name().to_owned(),
            node.address.to_string(),
            heard(node),
            only(node.songs.to_string()),
            only(text::bytes(node.bytes)),
        ]);
    }
    let songs = text::count(cluster.songs, "song");
    let copies = match cluster.copies_missing {
        0 => in_place(cluster),
        missing => format!("{} missing", text::count(missing, "copy")),
    };
    let sum = format!("{songs}, {copies}, as seen by {router}\n");
    let trash = trash_line(seen.trash);
    let upkeep = upkeep_lines(cluster);
    let doubts = doubts::lines(&seen.doubts);
    let ring = ring_lines(cluster);
    write_all(format!("{table}\n{sum}{trash}{upkeep}{doubts}{ring}").as_bytes())
}

/// What lies in the trash: its room is free only when it is emptied.
fn trash_line(trash: Option<(u64, u64)>) -> String {
    let Some((songs, bytes)) = trash.filter(|(songs, _)| *songs > 0) else {
        return String::new();
    };
    let (songs, bytes) = (text::count(songs, "song"), text::bytes(bytes));
    format!("{songs} in the trash, {bytes} in each copy (`dispotify trash`)\n")
}

/// When the router last heard of a node. It hears nothing of DNS nodes: they stand outside the ring.
fn heard(node: &NodeStatus) -> String {
    match node.role {
        Role::Dns => String::new(),
        Role::Router | Role::Data => text::ago(node.heard_ms),
    }
}

/// The maintenance that data nodes still have to do.
fn upkeep_lines(cluster: &Cluster) -> String {
    let sum = |of: fn(&NodeStatus) -> u32| cluster.nodes.iter().map(|n| u64::from(of(n))).sum();
    let (repairing, damaged): (u64, u64) = (sum(|n| n.repairing), sum(|n| n.damaged));
    let mut lines = full_lines(cluster) + &sick_lines(cluster);
    if repairing > 0 {
        lines += &format!("{} on the way\n", text::count(repairing, "copy"));
    }
    if damaged > 0 {
        lines += &format!(
            "{} of songs set aside, being fetched again\n",
            text::count(damaged, "damaged part")
        );
    }
    lines
}

/// Each node whose disk is full, and what to do about it.
fn full_lines(cluster: &Cluster) -> String {
    lines_of(cluster, NodeState::Full, |node| {
        format!(
            "the disk of {node} is full: remove songs (`dispotify rm`, then `dispotify trash empty`, which frees \
             their room) or other files from it, \
             or start a data node on another disk\n"
        )
    })
}

/// Each node whose library or disk ails, and what to do about it.
fn sick_lines(cluster: &Cluster) -> String {
    lines_of(cluster, NodeState::Sick, |node| {
        format!(
            "the library of {node} was damaged and fills up again, or its disk does not answer: \
             its log says which; a failing disk must be replaced\n"
        )
    })
}

fn lines_of(cluster: &Cluster, state: NodeState, line: impl Fn(&str) -> String) -> String {
    let nodes = cluster.nodes.iter().filter(|node| node.state == state);
    nodes
        .map(|node| {
            let mut id = node.node.to_string();
            id.truncate(8);
            line(&format!("{id} ({})", node.address))
        })
        .collect()
}

/// The ring in its order, and its latest events.
fn ring_lines(cluster: &Cluster) -> String {
    let short = |id: &NodeId| id.to_string()[..8].to_owned();
    let order: Vec<String> = cluster.ring.iter().map(short).collect();
    let mut lines = match order.as_slice() {
        [] => String::new(),
        [alone] => format!("ring of one: {alone}\n"),
        all => format!("ring: {} and round again\n", all.join(" > ")),
    };
    if let Some(alert) = &cluster.last_alert {
        let LastAlert { epoch, manager, .. } = alert;
        let (ago, about) = (text::ago(alert.ago_ms), short(&epoch.about));
        let manager = short(manager);
        lines += &format!("last alert {ago} ago: about {about}, counted by {manager}\n");
    }
    if let Some(switch) = &cluster.last_switch {
        let (ago, node) = (text::ago(switch.ago_ms), short(&switch.node));
        lines += &format!(
            "last change of role {ago} ago: {node} became {}\n",
            switch.role
        );
    }
    lines
}

/// The number of copies every song has: at most three, and at most one per live data node.
fn in_place(cluster: &Cluster) -> String {
    let live = |node: &&NodeStatus| node.role == Role::Data && node.state != NodeState::Dead;
    match cluster.nodes.iter().filter(live).count() {
        0 => "no data node is alive".to_owned(),
        1 => "one copy each: a second data node would keep another".to_owned(),
        2 => "two copies each: a third data node would keep another".to_owned(),
        _ => "three copies each".to_owned(),
    }
}

/// The cluster in JSON. The field names are a public interface.
#[derive(Serialize)]
pub(crate) struct Object {
    nodes: Vec<Node>,
    songs: u64,
    copies_missing: u64,
    router: String,
    ring: Vec<String>,
    last_alert: Option<Alert>,
    last_switch: Option<Switch>,
    /// Songs in the trash, and the bytes of one copy of each; left out where nobody could say.
    #[serde(skip_serializing_if = "Option::is_none")]
    trash_songs: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trash_bytes: Option<u64>,
    /// What each node doubts that was asked and answered; left out on the page, which asks the router
    /// alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    doubts: Option<Vec<Doubts>>,
}

#[derive(Serialize)]
struct Alert {
    epoch: String,
    about: String,
    manager: String,
    ago_ms: u64,
}

#[derive(Serialize)]
struct Switch {
    node: String,
    role: &'static str,
    ago_ms: u64,
}

#[derive(Serialize)]
struct Node {
    id: String,
    role: &'static str,
    state: &'static str,
    address: String,
    incarnation: u64,
    songs: u64,
    bytes: u64,
    heard_ms: u64,
    repairing: u32,
    damaged: u32,
}

impl Object {
    pub(crate) fn of(cluster: &Cluster, router: Address) -> Self {
        Object {
            nodes: cluster.nodes.iter().map(Node::of).collect(),
            songs: cluster.songs,
            copies_missing: cluster.copies_missing,
            router: router.to_string(),
            ring: cluster.ring.iter().map(NodeId::to_string).collect(),
            last_alert: cluster.last_alert.as_ref().map(Alert::of),
            last_switch: cluster.last_switch.as_ref().map(Switch::of),
            trash_songs: None,
            trash_bytes: None,
            doubts: None,
        }
    }

    fn whole(seen: &Seen) -> Self {
        Object {
            trash_songs: seen.trash.map(|(songs, _)| songs),
            trash_bytes: seen.trash.map(|(_, bytes)| bytes),
            doubts: Some(seen.doubts.iter().map(Doubts::of).collect()),
            ..Object::of(&seen.cluster, seen.router)
        }
    }
}

impl Alert {
    fn of(alert: &LastAlert) -> Self {
        Alert {
            epoch: alert.epoch.to_string(),
            about: alert.epoch.about.to_string(),
            manager: alert.manager.to_string(),
            ago_ms: alert.ago_ms,
        }
    }
}

impl Switch {
    fn of(switch: &LastSwitch) -> Self {
        Switch {
            node: switch.node.to_string(),
            role: switch.role.name(),
            ago_ms: switch.ago_ms,
        }
    }
}

impl Node {
    fn of(node: &NodeStatus) -> Self {
        Node {
            id: node.node.to_string(),
            role: node.role.name(),
            state: node.state.name(),
            address: node.address.to_string(),
            incarnation: node.incarnation.0,
            songs: node.songs,
            bytes: node.bytes,
            heard_ms: node.heard_ms,
            repairing: node.repairing,
            damaged: node.damaged,
        }
    }
}
