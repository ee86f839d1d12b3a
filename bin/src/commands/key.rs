//! `dispotify key`: derive, show, check, rotate.
//!
//! A cluster key is changed in three steps, so that at every moment each node accepts what any other
//! dials by: all accept the new key, all use it, the old one is gone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use net::ask_at;
use roles::contract::message::{Message, Names};
use roles::contract::node::Lost;
use roles::contract::record::{Address, Role};
use serde::Serialize;

use super::{json_line, line};
use crate::args::{self, KeyAction, RotateStep};
use crate::failure::Failure;
use crate::key::{self, KEYS_MAX, Key, KeyRing, derived_text, fingerprint, hex};
use crate::session::guest;
use crate::settings::Settings;

/// How long each node is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn run(settings: &Settings, key: &args::Key) -> Result<(), Failure> {
    match key.action {
        KeyAction::Derive { right } => line(&derived_text(&settings.derive(right.into())?)),
        KeyAction::Show { secret, json } => show(settings, secret, json),
        KeyAction::Check { json } => check(settings, json),
        KeyAction::Rotate { step } => rotate(settings, step),
    }
}

/// One key of this machine.
struct Own {
    key: Key,
    purpose: &'static str,
    fingerprint: String,
    secret: String,
}

/// The keys of this machine, the one by which it dials in front.
fn own(settings: &Settings) -> Result<Vec<Own>, Failure> {
    match settings.own_key()? {
        None => Err(Failure::Usage("--insecure: there is no key".into())),
        Some(Key::Derived(key)) => Ok(vec![Own {
            purpose: key.right.name(),
            fingerprint: fingerprint(&key.secret),
            secret: derived_text(&key),
            key: Key::Derived(key),
        }]),
        Some(Key::Cluster(ring)) => Ok(ring.all().map(Own::of_cluster).collect()),
    }
}

impl Own {
    fn of_cluster(key: &[u8; 32]) -> Self {
        Own {
            key: Key::Cluster(KeyRing::of(*key)),
            purpose: "cluster",
            fingerprint: fingerprint(key),
            secret: hex(key),
        }
    }
}

fn show(settings: &Settings, secret: bool, json: bool) -> Result<(), Failure> {
    let source = settings.key_source();
    for (number, own) in own(settings)?.iter().enumerate() {
        let shown = Shown {
            fingerprint: &own.fingerprint,
            purpose: own.purpose,
            used: number == 0,
            source: &source,
            secret: secret.then_some(&*own.secret),
        };
        match json {
            true => json_line(&shown)?,
            false => line(&shown.line())?,
        }
    }
    Ok(())
}

/// A key in JSON. The field names are a public interface.
#[derive(Serialize)]
struct Shown<'a> {
    fingerprint: &'a str,
    purpose: &'a str,
    /// This machine dials by it; others are only accepted.
    used: bool,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

impl Shown<'_> {
    fn line(&self) -> String {
        let use_ = if self.used { "used" } else { "accepted" };
        let purpose = match self.purpose {
            "cluster" => "the cluster key".to_owned(),
            purpose => format!("a key to {purpose}"),
        };
        let secret = self.secret.map(|secret| format!("  {secret}"));
        let (fingerprint, source) = (self.fingerprint, self.source);
        let secret = secret.unwrap_or_default();
        format!("{fingerprint}  {use_:8}  {purpose}, from {source}{secret}")
    }
}

/// What a node says to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
    Silent,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Verdict::Accepted => "accepted",
            Verdict::Refused => "refused",
            Verdict::Silent => "silent",
        }
    }
}

/// A node, and what it says to a key.
struct Heard {
    address: Address,
    /// None of a DNS node that was named and does not answer.
    role: Option<Role>,
    verdict: Verdict,
}

fn check(settings: &Settings, json: bool) -> Result<(), Failure> {
    let (source, keys) = (settings.key_source(), own(settings)?);
    let nodes = nodes(settings, &keys)?;
    let mut refusals = 0_u64;
    for (number, own) in keys.iter().enumerate() {
        let heard = hear(settings, &own.key, &nodes)?;
        refusals += count(&heard, Verdict::Refused) as u64;
        if !json {
            let use_ = if number == 0 { "used" } else { "accepted" };
            line(&format!(
                "{}  {use_}, {}, from {source}",
                own.fingerprint, own.purpose
            ))?;
        }
        for one in heard {
            one.print(own, json)?;
        }
        if number == 0 && refusals as usize == nodes.len() {
            let why = "every node refuses it (see --key-file, --cluster)";
            return Err(Failure::Unreachable(format!("check the key: {why}")));
        }
    }
    match refusals {
        0 => Ok(()),
        _ => Err(Failure::Failed(
            "check the key: a node refuses it (copy the key file there, and restart the node)"
                .into(),
        )),
    }
}

impl Heard {
    fn print(&self, own: &Own, json: bool) -> Result<(), Failure> {
        let role = self.role.map_or("", Role::name);
        let (address, verdict) = (self.address.to_string(), self.verdict.name());
        if json {
            return json_line(&OnNode {
                fingerprint: &own.fingerprint,
                purpose: own.purpose,
                address: &address,
                role,
                verdict,
            });
        }
        line(&format!("  {address:22} {role:7} {verdict}"))
    }
}

/// A key and a node in JSON. The field names are a public interface.
#[derive(Serialize)]
struct OnNode<'a> {
    fingerprint: &'a str,
    purpose: &'a str,
    address: &'a str,
    role: &'a str,
    verdict: &'a str,
}

fn count(heard: &[Heard], verdict: Verdict) -> usize {
    heard.iter().filter(|one| one.verdict == verdict).count()
}

/// Every node that the DNS nodes know, and these themselves. Any key that one of them accepts will do.
fn nodes(settings: &Settings, keys: &[Own]) -> Result<BTreeMap<Address, Option<Role>>, Failure> {
    let named = &settings.client.dns_nodes;
    let mut nodes: BTreeMap<Address, Option<Role>> =
        named.iter().map(|address| (*address, None)).collect();
    let mut last = None;
    for own in keys {
        let security = settings.security_with(Some(own.key.clone()))?;
        for address in named {
            match ask_at(&security, *address, guest(), questions(), PATIENCE) {
                Ok(answers) => {
                    nodes.extend(records(answers).map(|(address, role)| (address, Some(role))));
                }
                Err(lost) => last = Some((*address, lost)),
            }
        }
    }
    let told = nodes.values().any(Option::is_some);
    match last {
        Some((address, lost)) if !told && lost != Lost::HandshakeRefused => {
            let why = format!("ask {address} for the nodes: {lost} (is a node running? see --dns)");
            Err(Failure::Unreachable(why))
        }
        Some(_) | None => Ok(nodes),
    }
}

fn questions() -> Vec<Message> {
    let roles = [Role::Dns, Role::Router, Role::Data];
    let ask = |role| Message::Names(Names::Resolve { role });
    roles.map(ask).to_vec()
}

fn records(answers: Vec<Message>) -> impl Iterator<Item = (Address, Role)> {
    let records = answers.into_iter().filter_map(|answer| match answer {
        Message::Names(Names::Records { records, .. }) => Some(records),
        Message::Names(_)
        | Message::Catalogue(_)
        | Message::Audio(_)
        | Message::Ring(_)
        | Message::Upkeep(_)
        | Message::Chord(_)
        | Message::Refused(_) => None,
    });
    records
        .flatten()
        .map(|record| (record.address, record.role))
}

/// Asks every node whether it accepts the key.
fn hear(
    settings: &Settings,
    key: &Key,
    nodes: &BTreeMap<Address, Option<Role>>,
) -> Result<Vec<Heard>, Failure> {
    let security = settings.security_with(Some(key.clone()))?;
    let ask = |(address, role): (&Address, &Option<Role>)| Heard {
        address: *address,
        role: *role,
        verdict: match ask_at(&security, *address, guest(), Vec::new(), PATIENCE) {
            Ok(_) => Verdict::Accepted,
            Err(Lost::HandshakeRefused) => Verdict::Refused,
            Err(_) => Verdict::Silent,
        },
    };
    Ok(nodes.iter().map(ask).collect())
}

fn rotate(settings: &Settings, step: RotateStep) -> Result<(), Failure> {
    let Some(file) = settings.key_file() else {
        let why =
            "the key comes from DISPOTIFY_KEY, and only a file can be changed (give --key-file)";
        return Err(Failure::Usage(format!("key rotate: {why}")));
    };
    let Some(Key::Cluster(ring)) = settings.own_key()? else {
        let why = "this key is for one purpose: the cluster key is changed (see --key-file)";
        return Err(Failure::Usage(format!("key rotate: {why}")));
    };
    let (next, told) = match step {
        RotateStep::Add => (add(ring)?, "accept the new key as well"),
        RotateStep::Use { force } => (put_in_front(settings, ring, force)?, "use the new key"),
        RotateStep::Remove { force } => (
            keep_first(settings, ring, force)?,
            "refuse the old key. Keys of `key derive` are to be made anew",
        ),
    };
    write(file, &next)?;
    line(&format!(
        "{}: copy it to all machines, and restart one node after the other: then they {told}",
        file.display()
    ))
}

fn add(ring: KeyRing) -> Result<KeyRing, Failure> {
    if ring.others.len() + 1 >= KEYS_MAX {
        let why = "it has four keys already (`dispotify key rotate remove` keeps the first)";
        return Err(Failure::failed("add a key", why));
    }
    let new = key::random().map_err(|error| Failure::failed("make a key", error))?;
    let others = [&[new], &ring.others[..]].concat();
    Ok(KeyRing { others, ..ring })
}

/// The key added last dials from here on.
fn put_in_front(settings: &Settings, ring: KeyRing, force: bool) -> Result<KeyRing, Failure> {
    let Some((new, rest)) = ring.others.split_first() else {
        let why = "there is one key only (begin with `dispotify key rotate add`)";
        return Err(Failure::failed("use a new key", why));
    };
    if !force {
        all_accept(settings, &ring, *new)?;
    }
    Ok(KeyRing {
        first: *new,
        others: [&[ring.first], rest].concat(),
    })
}

fn keep_first(settings: &Settings, ring: KeyRing, force: bool) -> Result<KeyRing, Failure> {
    if ring.others.is_empty() {
        let why = "there is one key only";
        return Err(Failure::failed("remove the old key", why));
    }
    if !force {
        all_accept(settings, &ring, ring.first)?;
    }
    Ok(KeyRing::of(ring.first))
}

/// Makes sure that each node accepts this key: one that does not would be shut out.
fn all_accept(settings: &Settings, ring: &KeyRing, key: [u8; 32]) -> Result<(), Failure> {
    let keys: Vec<Own> = ring.all().map(Own::of_cluster).collect();
    let nodes = nodes(settings, &keys)?;
    let heard = hear(settings, &Key::Cluster(KeyRing::of(key)), &nodes)?;
    let not = heard.iter().find(|one| one.verdict != Verdict::Accepted);
    let Some(one) = not else {
        return Ok(());
    };
    let (address, key) = (one.address, fingerprint(&key));
    let why = match one.verdict {
        Verdict::Accepted | Verdict::Refused => "copy the key file there, and restart the node",
        Verdict::Silent => "start it, or say --force if it is gone for good",
    };
    let attempt = format!("{address} does not accept the key {key}");
    Err(Failure::failed(attempt, why))
}

fn write(file: &Path, ring: &KeyRing) -> Result<(), Failure> {
    let attempt = format!("write {}", file.display());
    key::replace(file, ring).map_err(|error| Failure::failed(attempt, error))
}
