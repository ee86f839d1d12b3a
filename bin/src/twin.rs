//! A copy of a data directory does not start while its node runs.
//!
//! The directory names the address at which its node was reached last. A copy has that name, too, so
//! the start of a copy elsewhere asks there first. Without this, the copy would have the higher number
//! of starts, and the cluster would end the original. Where the original cannot be reached, nobody can
//! know that it runs.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use net::{Security, node_at};
use roles::contract::record::Address;
use storage::data_dir::DataDir;
use storage::private;

use crate::failure::Failure;
use crate::session::guest;

/// Refuses to start a node at `own` whose directory is that of a node that runs elsewhere; else notes
/// the address.
pub(crate) fn check(home: &DataDir, own: Address, security: &Security) -> Result<(), Failure> {
    let file = home.dir().join(FILE);
    let known = fs::read_to_string(&file).unwrap_or_default();
    let last = known.trim_end().parse().map(Address).ok();
    if last == Some(own) {
        return Ok(());
    }
    if let Some(last) = last
        && node_at(security, last, guest(), PATIENCE) == Some(home.node())
    {
        return Err(Failure::Failed(format!(
            "start the node of {}: it runs at {last}: never run a data directory and its copy at \
             once (stop it there first, if it shall move here)",
            home.dir().display()
        )));
    }
    // On a full disk the node starts all the same, and the next start asks once more.
    if let Err(error) = note(&file, own) {
        log::warn!("address not noted file={} error={error}", file.display());
    }
    Ok(())
}

fn note(file: &Path, own: Address) -> io::Result<()> {
    writeln!(private::create(file)?, "{own}")
}

const FILE: &str = "address";

/// How long the address is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
