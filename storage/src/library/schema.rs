//! The tables, and how an older library becomes one of this version.

use roles::contract::id::NodeId;
use roles::contract::message::StoreId;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::documents;
use super::further_tags;
use super::open_fault::OpenFault;
use super::partitions;
use super::segments::tables;
use super::trash;

/// Whether `db` is a library this version can work with, or empty.
pub(super) fn check(db: &Connection) -> Result<(), OpenFault> {
    let application = application(db)?;
    let version = version(db)?;
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let empty = (application, version, tables) == (0, 0, 0);
    if !empty && application != APPLICATION {
        return Err(OpenFault::NotALibrary);
    }
    if version > LATEST {
        return Err(OpenFault::Newer {
            theirs: version,
            latest: LATEST,
        });
    }
    if version < 0 || (version == 0) != (tables == 0) {
        let reason = format!("schema {version} with {tables} tables and indexes");
        return Err(OpenFault::Corrupt(reason));
    }
    Ok(())
}

/// Whether no table has been made yet.
pub(super) fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    Ok(version(db)? == 0)
}

/// Whether the library, if it is more than an empty file, is this node's.
pub(super) fn check_owner(db: &Connection, node: NodeId) -> Result<(), OpenFault> {
    if version(db)? == 0 {
        return Ok(());
    }
    let owner = db.query_row("SELECT node FROM meta", [], |row| row.get(0));
    // A library without an owner comes from a first start that ended before `settle`, which writes
    // the owner. The present start runs `settle` again.
    let owner: Option<[u8; 16]> = owner.optional()?;
    let theirs = owner.map_or(node, |bytes| NodeId(u128::from_be_bytes(bytes)));
    if theirs != node {
        return Err(OpenFault::Foreign { theirs, ours: node });
    }
    Ok(())
}

/// Whether `db` is a library that needs no bringing up to date.
pub(super) fn check_latest(db: &Connection) -> Result<(), OpenFault> {
    check(db)?;
    match version(db)? {
        0 => Err(OpenFault::Absent),
        LATEST => Ok(()),
        theirs => Err(OpenFault::Older { theirs }),
    }
}

/// Applies the migrations the library has not seen, each as a whole.
pub(super) fn migrate(db: &mut Connection) -> Result<(), OpenFault> {
    let seen = usize::try_from(version(db)?).unwrap_or(0);
    for (number, Migration { tables, rows }) in (1..).zip(MIGRATIONS).skip(seen) {
        let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        step.execute_batch(tables)?;
        rows(&step)?;
        step.pragma_update(None, "application_id", APPLICATION)?;
        step.pragma_update(None, "user_version", number)?;
        step.commit()?;
    }
    Ok(())
}

/// Gives a library its owner and its identity, if it has none yet.
pub(super) fn settle(db: &Connection, node: NodeId, fresh: StoreId) -> Result<(), OpenFault> {
    // Even a write that changes nothing adds a page to the log, for which a full disk has no room.
    if db.prepare("SELECT 1 FROM meta")?.exists([])? {
        return Ok(());
    }
    db.execute(
        "INSERT OR IGNORE INTO meta (one, node, store, revision, songs, xor, bytes)
         VALUES (1, ?1, ?2, 0, 0, ?3, 0)",
        (node.0.to_be_bytes(), fresh.0.cast_signed(), [0u8; 16]),
    )?;
    Ok(())
}

/// The number by which a database says whose it is.
pub(super) fn application(db: &Connection) -> rusqlite::Result<i64> {
    pragma(db, "application_id")
}

fn version(db: &Connection) -> rusqlite::Result<i64> {
    pragma(db, "user_version")
}

fn pragma(db: &Connection, name: &str) -> rusqlite::Result<i64> {
    db.pragma_query_value(None, name, |row| row.get(0))
}

/// "dspt": tells a library from the databases of other programs.
const APPLICATION: i64 = 0x6473_7074;

/// The schema this version works with.
pub(super) const LATEST: i64 = MIGRATIONS.len() as i64;

/// One step from a schema to the next.
struct Migration {
    /// The part of the step in SQL.
    tables: &'static str,
    /// The part of the step that SQL cannot compute.
    rows: fn(&Connection) -> rusqlite::Result<()>,
}

/// Append only: a released migration never changes. The n-th migration makes schema n.
const MIGRATIONS: &[Migration] = &[
    Migration {
        tables: FIRST,
        rows: |_| Ok(()),
    },
    Migration {
        tables: SECOND,
        rows: partitions::count_all,
    },
    Migration {
        tables: THIRD,
        rows: |_| Ok(()),
    },
    Migration {
        tables: tables::TABLES,
        rows: |_| Ok(()),
    },
    Migration {
        tables: trash::TABLES,
        rows: |_| Ok(()),
    },
    Migration {
        tables: further_tags::TABLES,
        rows: |_| Ok(()),
    },
    Migration {
        tables: SEVENTH,
        rows: |_| Ok(()),
    },
    Migration {
        tables: documents::TABLES,
        rows: |_| Ok(()),
    },
];

/// Ids are 16 bytes, big end first, so that they sort as numbers. A song is staged while its
/// revision is null. The manifest's slices stand apart from the sound, and the sound in a table
/// with a row id: metadata is listed 30 times faster, a fragment read 8 times faster.
const FIRST: &str = "
    CREATE TABLE meta (
        one         INTEGER PRIMARY KEY CHECK (one = 1),
        node        BLOB    NOT NULL,
        store       INTEGER NOT NULL,
        revision    INTEGER NOT NULL,
        songs       INTEGER NOT NULL,
        xor         BLOB    NOT NULL,
        bytes       INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE songs (
        row         INTEGER PRIMARY KEY,
        id          BLOB    NOT NULL UNIQUE,
        revision    INTEGER UNIQUE,
        touched     INTEGER NOT NULL,
        title       TEXT    NOT NULL,
        artist      TEXT    NOT NULL,
        album       TEXT    NOT NULL,
        genre       TEXT    NOT NULL,
        year        INTEGER NOT NULL,
        disc        INTEGER NOT NULL,
        track       INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL,
        bytes       INTEGER NOT NULL,
        format      TEXT    NOT NULL,
        fragments   INTEGER NOT NULL,
        hash        BLOB    NOT NULL,
        sample_rate INTEGER NOT NULL,
        channels    INTEGER NOT NULL,
        picture     INTEGER NOT NULL,
        prefix_kind INTEGER NOT NULL,
        prefix      BLOB    NOT NULL
    ) STRICT;

    CREATE INDEX songs_staged ON songs (touched) WHERE revision IS NULL;

    CREATE TABLE slices (
        song        INTEGER NOT NULL REFERENCES songs (row) ON DELETE CASCADE,
        number      INTEGER NOT NULL,
        length      INTEGER NOT NULL,
        start_ms    INTEGER NOT NULL,
        part        INTEGER NOT NULL,
        hash        BLOB    NOT NULL,
        PRIMARY KEY (song, number)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE fragments (
        row         INTEGER PRIMARY KEY,
        song        INTEGER NOT NULL REFERENCES songs (row) ON DELETE CASCADE,
        number      INTEGER NOT NULL,
        data        BLOB    NOT NULL,
        UNIQUE (song, number)
    ) STRICT;

    CREATE TABLE tombstones (
        song        BLOB    PRIMARY KEY,
        revision    INTEGER NOT NULL UNIQUE
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE copies_due (
        row         INTEGER PRIMARY KEY,
        song        BLOB    NOT NULL,
        node        BLOB    NOT NULL,
        UNIQUE (song, node)
    ) STRICT;
";

/// Tombstones stand apart from the change feed, because a song that is let go leaves a removal and
/// no tombstone. Partitions hold running digests, so that comparing two nodes never reads their
/// songs.
const SECOND: &str = "
    ALTER TABLE tombstones RENAME TO removals;

    CREATE TABLE tombstones (
        song        BLOB    PRIMARY KEY,
        noted_at    INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    INSERT INTO tombstones SELECT song, unixepoch() FROM removals;

    CREATE TABLE partitions (
        number      INTEGER PRIMARY KEY,
        songs       INTEGER NOT NULL,
        xor         BLOB    NOT NULL,
        removed     INTEGER NOT NULL,
        removed_xor BLOB    NOT NULL
    ) STRICT;

    CREATE TABLE quarantine (
        song        INTEGER NOT NULL REFERENCES songs (row) ON DELETE CASCADE,
        number      INTEGER NOT NULL,
        PRIMARY KEY (song, number)
    ) STRICT, WITHOUT ROWID;

    ALTER TABLE meta ADD COLUMN removed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE meta ADD COLUMN removed_xor BLOB NOT NULL
        DEFAULT x'00000000000000000000000000000000';
    ALTER TABLE meta ADD COLUMN scrub_rounds INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE meta ADD COLUMN scrub_song BLOB;
    ALTER TABLE meta ADD COLUMN scrub_number INTEGER;
    ALTER TABLE meta ADD COLUMN scrubbed_at INTEGER;
";

/// The chaining values of a fragment's groups (`groups.rs`), by which a part of it is read and checked
/// alone. A fragment that an earlier version has stored has none: it is read as a whole.
const SEVENTH: &str = "
    ALTER TABLE fragments ADD COLUMN groups BLOB;
";

/// The seal of a manifest: a hash over all that the tables say of the song (`seal.rs`). A song of an
/// earlier version has none until an inspection has looked at it, because a start must not wait for
/// all songs to be read.
const THIRD: &str = "
    ALTER TABLE songs ADD COLUMN seal BLOB;
";
