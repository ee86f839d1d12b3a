//! Opens connections to a library, and their settings.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use roles::contract::id::NodeId;
use roles::contract::message::StoreId;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::open_fault::OpenFault;
use super::row::{number, sql_number};
use super::schema;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A connection for every job.
    Writer,
    /// A connection for jobs that only read.
    Reader,
}

/// Makes the library in `db`, or checks that `db` is a library of this node and migrates it to the
/// latest schema. A refused library is left unchanged.
pub(super) fn found(db: &mut Connection, node: NodeId, fresh: StoreId) -> Result<(), OpenFault> {
    db.busy_timeout(BUSY_TIMEOUT)?;
    schema::check(db)?;
    schema::check_owner(db, node)?;
    // Both take effect only before the first table is made; later the second one would be a write.
    if schema::is_empty(db)? {
        db.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    schema::migrate(db)?;
    schema::settle(db, node, fresh)
}

/// A connection to the file with exactly this name: a name like `file:x` is not read as a URI. Only
/// one thread at a time uses a connection, so SQLite's own mutexes are off.
pub(super) fn reach(path: &Path, more: OpenFlags) -> Result<Connection, OpenFault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(path, flags | more)?)
}

/// A further connection to a library that [`found`] has seen.
pub(super) fn connect(path: &Path, part: Part) -> Result<Connection, OpenFault> {
    let db = reach(path, OpenFlags::empty())?;
    prepare(&db, part)?;
    Ok(db)
}

/// A connection that writes, makes and removes no file, not even the index of the log. Only for a
/// library that no other connection has open.
pub(super) fn look(path: &Path) -> Result<Connection, OpenFault> {
    let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    if length(path) == 0 {
        return Err(OpenFault::Absent);
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = if length(Path::new(&log)) == 0 {
        // Where there is no log, SQLite would make one unless the file is opened as immutable.
        Connection::open_with_flags(unchanging(path), flags | OpenFlags::SQLITE_OPEN_URI)?
    } else {
        Connection::open_with_flags_and_vfs(path, flags, c"unix-none")?
    };
    // In exclusive mode SQLite keeps the index of the log in memory, not in a file. Without the
    // checkpoint on close, the log stays in place when the connection closes.
    db.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA query_only = ON;")?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.execute_batch(SETTINGS)?;
    Ok(db)
}

/// The URI that opens a file as immutable.
fn unchanging(path: &Path) -> String {
    let mut address = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"/-_.".contains(byte);
        if plain {
            address.push(char::from(*byte));
        } else {
            address.push_str(&format!("%{byte:02x}"));
        }
    }
    address + "?immutable=1"
}

/// Settings that last as long as the connection.
pub(super) fn prepare(db: &Connection, part: Part) -> Result<(), OpenFault> {
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.execute_batch(SETTINGS)?;
    db.execute_batch(match part {
        Part::Writer => WRITER_SETTINGS,
        Part::Reader => READER_SETTINGS,
    })?;
    if part == Part::Writer {
        let pages = sql_number(CHECKPOINT_BYTES / page_bytes(db)?.max(1));
        db.pragma_update(None, "wal_autocheckpoint", pages)?;
    }
    Ok(())
}

/// Bytes of a page of this library: earlier versions kept the sound in pages of 16 KiB, a library of
/// rows alone writes less with small ones.
pub(super) fn page_bytes(db: &Connection) -> rusqlite::Result<u64> {
    db.pragma_query_value(None, "page_size", |row| number(row, 0))
}

/// How long one writer waits for another: far longer than any transaction of the library.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Capacity of the cache of prepared statements: more than the library has.
const STATEMENTS: usize = 64;

/// No memory map: it would count the file as the process's memory (393 MiB for 480 MB of songs).
const SETTINGS: &str = "
    PRAGMA mmap_size = 0;
    PRAGMA temp_store = MEMORY;
    PRAGMA foreign_keys = ON;
";

/// A checkpoint at 4 MiB of log keeps the slowest commit at about 20 ms; at 64 MiB it is 120.
const CHECKPOINT_BYTES: u64 = 4 << 20;

const WRITER_SETTINGS: &str = "
    PRAGMA cache_size = -500;
    PRAGMA journal_size_limit = 8388608;
";

/// A reader that is given a writing job fails, so that it does not compete with the writer.
const READER_SETTINGS: &str = "
    PRAGMA cache_size = -256;
    PRAGMA query_only = ON;
";
