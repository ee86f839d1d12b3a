//! A library checked as a whole, offline: every table, every manifest, every byte.
//!
//! Reads a library that no node has open and writes nothing, not even SQLite's own side files. A
//! part that cannot be read becomes a finding, and the check goes on with the rest. Each finding
//! says what to do about it; the repair itself is not this module's business.

mod finding;
mod sound;
mod tables;

use std::path::Path;

use roles::contract::id::NodeId;
use rusqlite::Connection;

pub use finding::{Finding, FindingKind};

use super::fault::Stop;
use super::open;
use super::open_fault::{OpenError, OpenFault};
use super::schema;
use super::segments::Segments;
use super::store::Store;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Everything, the sound included, once for its structure and once for its hashes.
    Whole,
    /// Everything but the sound.
    Quick,
}

/// How far the check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The structure of the database is being checked. How far this has come is unknown.
    Structure,
    /// The songs are about to be checked.
    Songs {
        /// Bytes of all committed songs.
        bytes: u64,
    },
    /// A song has been checked.
    Checked {
        /// Bytes of this song.
        bytes: u64,
    },
}

/// What a library holds, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Committed songs.
    pub songs: u64,
    /// Their fragments.
    pub fragments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Songs whose upload is not committed.
    pub staged: u64,
    /// Songs that have left but still take up space.
    pub leaving: u64,
    /// Songs removed for good.
    pub tombstones: u64,
    /// Copies that this node still owes others.
    pub copies_due: u64,
    /// When the last scrub of everything ended, in seconds since 1970.
    pub scrubbed_at: Option<i64>,
    /// What is wrong; at most [`FINDINGS_MAX`] findings.
    pub findings: Vec<Finding>,
    /// How many further findings there were.
    pub more: u64,
}

/// Most findings in a report. The bound exists because a faulty disk can cause one per fragment.
pub const FINDINGS_MAX: usize = 1000;

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    /// Adds a finding if a part of the check failed.
    fn attempt(&mut self, what: &'static str, ended: Result<(), Stop>) {
        if let Err(stop) = ended {
            let reason = reason_of(stop);
            self.find(Finding::Unreadable { what, reason });
        }
    }
}

fn reason_of(stop: Stop) -> String {
    match stop {
        Stop::Sql(reason) => reason.to_string(),
        Stop::Disk(reason) => reason.to_string(),
        Stop::Fault(fault) => fault.to_string(),
    }
}

/// Checks the library of this node in this directory. The caller holds the directory's lock.
pub fn verify(
    dir: &Path,
    node: NodeId,
    depth: Depth,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, OpenError> {
    let path = dir.join("library.db");
    let opened = opened(&path, node).map_err(|why| OpenError::at(&path, why))?;
    let segments = Segments::around(dir);
    Ok(check(&opened, &segments, depth, progress))
}

fn opened(path: &Path, node: NodeId) -> Result<Connection, OpenFault> {
    let db = open::look(path)?;
    schema::check_latest(&db)?;
    schema::check_owner(&db, node)?;
    Ok(db)
}

/// Whether the tables without the sound are whole, and the stored totals and digests are what songs
/// and tombstones add up to.
pub(super) fn adds_up(db: &Connection) -> Result<bool, Stop> {
    let mut report = Report::default();
    tables::structure(db, Depth::Quick, &mut report)?;
    tables::count(db, &mut report)?;
    tables::totals(db, &mut report)?;
    tables::partitions(db, &mut report)?;
    tables::documents(db, &mut report)?;
    Ok(report.is_clean())
}

/// The tables without the sound that are damaged, or contradict their indexes.
pub(super) fn damaged_tables(db: &Connection) -> Result<Vec<&'static str>, Stop> {
    tables::damaged(db)
}

fn check(
    db: &Connection,
    segments: &Segments,
    depth: Depth,
    progress: &mut dyn FnMut(Progress),
) -> Report {
    let mut report = Report::default();
    progress(Progress::Structure);
    let ended = tables::structure(db, depth, &mut report);
    report.attempt("the structure of the database", ended);
    let ended = tables::count(db, &mut report);
    report.attempt("what there is", ended);
    let parts: [(&'static str, tables::Check); 5] = [
        ("rows that belong together", tables::strays),
        ("the totals", tables::totals),
        ("the digests of the partitions", tables::partitions),
        ("the tombstones", tables::tombstones),
        ("what listeners have written", tables::documents),
    ];
    for (what, part) in parts {
        let ended = part(db, &mut report);
        report.attempt(what, ended);
    }
    let bytes = report.bytes;
    progress(Progress::Songs { bytes });
    let ended = sound::songs(&Store { db, segments }, depth, &mut report, progress);
    report.attempt("the songs", ended);
    report
}
