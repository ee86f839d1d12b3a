//! `dispotify health`: one node, or one page, in one line and an exit code.
//!
//! The node itself is asked, not the cluster: its loop, its key and, of a data node, its library. So a
//! supervisor restarts what hangs, and nothing that only waits for others.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use net::ask_at;
use roles::contract::message::{Audio, Catalogue, Message, Names, NodeState, Refusal, Status};
use roles::contract::node::Lost;
use roles::contract::record::{Address, Role};

use super::line;
use crate::args::Health;
use crate::failure::Failure;
use crate::machine;
use crate::session::guest;
use crate::settings::{self, Settings};
use crate::text;

/// How long each wait may last.
const PATIENCE: Duration = Duration::from_secs(2);

/// Looks at one node, or at one page.
pub(crate) fn run(settings: &Settings, health: &Health) -> Result<(), Failure> {
    if let Some(page) = health.web {
        return line(&of_page(page)?);
    }
    let candidates = match &health.node {
        Some(text) => settings::addresses("ADDR", std::slice::from_ref(text))?,
        None => own(),
    };
    line(&of_first(settings, &candidates)?)
}

/// Where a node of this machine listens if nothing else was said.
fn own() -> Vec<Address> {
    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let all = machine::addresses().into_iter().chain(loopback);
    let at = |ip: IpAddr| Address(SocketAddr::new(ip, settings::PORT));
    all.map(at).collect()
}

/// The state of the first of these nodes that is there.
fn of_first(settings: &Settings, candidates: &[Address]) -> Result<String, Failure> {
    let security = settings.security()?;
    for address in candidates {
        settings.check_reach("ADDR", address.0.ip())?;
        let attempt = format!("ask {address} for its health");
        match ask_at(&security, *address, guest(), questions(), PATIENCE) {
            Ok(answers) => return judge(*address, answers),
            Err(Lost::ConnectRefused) => (),
            Err(Lost::HandshakeRefused) => {
                let why = "it refuses this key or cluster name (see --key-file, --cluster)";
                return Err(Failure::Unreachable(format!("{attempt}: {why}")));
            }
            Err(lost) => return Err(Failure::Unreachable(format!("{attempt}: {lost}"))),
        }
    }
    let tried: Vec<String> = candidates.iter().map(ToString::to_string).collect();
    let tried = tried.join(", ");
    Err(Failure::Unreachable(format!(
        "no node listens at {tried} (give ADDR:PORT of the node)"
    )))
}

/// One question for each role: a node answers that of its own, and refuses the others.
fn questions() -> Vec<Message> {
    vec![
        Message::Names(Names::Resolve { role: Role::Dns }),
        Message::Catalogue(Catalogue::Inspect),
        Message::Audio(Audio::ListSongs {
            after: None,
            limit: 1,
        }),
    ]
}

/// What the answers say of the node.
fn judge(address: Address, answers: Vec<Message>) -> Result<String, Failure> {
    let unhealthy = |why: &str| Err(Failure::Failed(format!("{address}: {why}")));
    let mut refused = None;
    for answer in answers {
        match answer {
            Message::Names(Names::Records { settled, .. }) => {
                let state = if settled { "" } else { ", still filling" };
                return Ok(format!("healthy dns {address}{state}"));
            }
            Message::Catalogue(Catalogue::Status(status)) => {
                return Ok(of_router(address, &status));
            }
            Message::Audio(Audio::SongPage { .. }) => return Ok(format!("healthy data {address}")),
            Message::Refused(Refusal::WrongRole) => (),
            Message::Refused(refusal) => refused = Some(refusal),
            Message::Names(_)
            | Message::Catalogue(_)
            | Message::Audio(_)
            | Message::Ring(_)
            | Message::Upkeep(_)
            | Message::Chord(_) => return unhealthy("it answers what was not asked"),
        }
    }
    match refused {
        Some(refusal) => unhealthy(&refusal.to_string()),
        None => unhealthy("it has no role yet: it waits for a DNS node (see its log)"),
    }
}

fn of_router(address: Address, status: &Status) -> String {
    let not_well = status.nodes.iter().filter(|n| n.state != NodeState::Alive);
    let (nodes, not_well) = (status.nodes.len() as u64, not_well.count());
    let missing = text::count(status.copies_missing, "copy");
    format!(
        "healthy router {address}, sees {}, {not_well} not well, {missing} missing",
        text::count(nodes, "node"),
    )
}

/// Whether a page answers, and a router behind it.
fn of_page(page: SocketAddr) -> Result<String, Failure> {
    let attempt = format!("ask http://{page}/ for its health");
    let unreachable = |error| Failure::Unreachable(format!("{attempt}: {error}"));
    let mut stream = TcpStream::connect_timeout(&page, PATIENCE).map_err(unreachable)?;
    // The page's own client asks several routers before it gives up.
    let patience = Some(3 * PATIENCE);
    stream.set_read_timeout(patience).map_err(unreachable)?;
    stream.set_write_timeout(patience).map_err(unreachable)?;
    let request = format!("GET /api/status HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut answer = Vec::new();
    let read = stream.take(HEAD_BYTES_MAX).read_to_end(&mut answer);
    let begins = String::from_utf8_lossy(&answer);
    let code = begins.split(' ').nth(1).unwrap_or_default();
    match (read, code) {
        (_, "200") => Ok(format!("healthy web http://{page}/")),
        (Err(error), "") => Err(unreachable(error)),
        (_, "") => Err(Failure::Failed(format!("{attempt}: it speaks no HTTP"))),
        (_, code) => Err(Failure::Failed(format!(
            "{attempt}: status {code}, no router answers (see its log)"
        ))),
    }
}

/// As much of an answer as is looked at.
const HEAD_BYTES_MAX: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_judged_by_the_answer_of_its_role() {
        let at = Address(([127, 0, 0, 1], 7700).into());
        let wrong = || Message::Refused(Refusal::WrongRole);
        let page = || {
            Message::Audio(Audio::SongPage {
                songs: vec![],
                more: false,
            })
        };
        let said = judge(at, vec![wrong(), wrong(), page()]).expect("it is well");
        assert_eq!(said, "healthy data 127.0.0.1:7700");
        let names = Message::Names(Names::Records {
            records: vec![],
            settled: false,
        });
        let said = judge(at, vec![names, wrong(), wrong()]).expect("it is well");
        assert_eq!(said, "healthy dns 127.0.0.1:7700, still filling");
        let said = judge(at, vec![wrong(), wrong(), wrong()]).expect_err("no role");
        assert!(said.to_string().contains("no role yet"));
        let ends = Message::Refused(Refusal::ShuttingDown);
        let said = judge(at, vec![wrong(), ends, wrong()]).expect_err("it ends");
        assert!(said.to_string().starts_with("127.0.0.1:7700: "), "{said}");
    }
}
