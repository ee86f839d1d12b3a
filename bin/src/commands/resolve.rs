//! `dispotify resolve`.

use roles::contract::record::{Record, Role};
use roles::contract::user::{Command, Notice};
use serde::Serialize;

use super::{json_line, line};
use crate::args::Resolve;
use crate::failure::Failure;
use crate::session::Session;
use crate::settings::Settings;

/// Shows the records of a group, as the DNS answers at this moment.
pub(crate) fn run(settings: &Settings, resolve: &Resolve) -> Result<(), Failure> {
    let attempt = format!("resolve {}", resolve.name);
    let role = Role::from_domain(&resolve.name).ok_or_else(|| {
        let names = Role::ALL.map(Role::domain).join(", ");
        Failure::Usage(format!("{attempt}: no such name (there are {names})"))
    })?;
    let session = Session::start(settings)?;
    let operation = session.operation();
    let command = Command::Resolve { operation, role };
    let records = session.answer(&attempt, command, |notice| {
        if let Notice::Records { records, .. } = notice {
            return Some(records);
        }
        None
    })?;
    if records.is_empty() {
        return Err(Failure::failed(attempt, "nobody is registered"));
    }
    records.iter().try_for_each(|record| {
        if resolve.json {
            json_line(&Line::of(record))
        } else {
            line(&dig_line(record))
        }
    })
}

/// Label, TTL in seconds, class, type, address, and the port behind it.
fn dig_line(record: &Record) -> String {
    let (domain, at) = (record.role.domain(), record.address.0);
    let ttl = record.ttl_ms.div_ceil(1000);
    let kind = if at.is_ipv4() { "A" } else { "AAAA" };
    format!("{domain}.\t{ttl}\tIN\t{kind}\t{}\t{}", at.ip(), at.port())
}

/// A record as JSON shows it. The names are an interface.
#[derive(Serialize)]
struct Line {
    name: &'static str,
    ttl_ms: u32,
    address: String,
    port: u16,
    node: String,
    incarnation: u64,
    weight: u16,
}

impl Line {
    fn of(record: &Record) -> Self {
        Line {
            name: record.role.domain(),
            ttl_ms: record.ttl_ms,
            address: record.address.0.ip().to_string(),
            port: record.address.0.port(),
            node: record.node.to_string(),
            incarnation: record.incarnation.0,
            weight: record.weight,
        }
    }
}
