//! Libraries that earlier versions made.

use super::*;

/// The schema of the first version, as it stood in the files it made. Never changed.
const FIRST: &str = "
    PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
    CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1), node BLOB NOT NULL,
        store INTEGER NOT NULL, revision INTEGER NOT NULL, songs INTEGER NOT NULL,
        xor BLOB NOT NULL, bytes INTEGER NOT NULL) STRICT;
    CREATE TABLE songs (row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,
        revision INTEGER UNIQUE, touched INTEGER NOT NULL, title TEXT NOT NULL,
        artist TEXT NOT NULL, album TEXT NOT NULL, genre TEXT NOT NULL, year INTEGER NOT NULL,
        disc INTEGER NOT NULL, track INTEGER NOT NULL, duration_ms INTEGER NOT NULL,
        bytes INTEGER NOT NULL, format TEXT NOT NULL, fragments INTEGER NOT NULL,
        hash BLOB NOT NULL, sample_rate INTEGER NOT NULL, channels INTEGER NOT NULL,
        picture INTEGER NOT NULL, prefix_kind INTEGER NOT NULL, prefix BLOB NOT NULL) STRICT;
    CREATE INDEX songs_staged ON songs (touched) WHERE revision IS NULL;
    CREATE TABLE slices (song INTEGER NOT NULL REFERENCES songs (row) ON DELETE CASCADE,
        number INTEGER NOT NULL, length INTEGER NOT NULL, start_ms INTEGER NOT NULL,
        part INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (song, number))
        STRICT, WITHOUT ROWID;
    CREATE TABLE fragments (row INTEGER PRIMARY KEY,
        song INTEGER NOT NULL REFERENCES songs (row) ON DELETE CASCADE,
        number INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (song, number)) STRICT;
    CREATE TABLE tombstones (song BLOB PRIMARY KEY, revision INTEGER NOT NULL UNIQUE)
        STRICT, WITHOUT ROWID;
    CREATE TABLE copies_due (row INTEGER PRIMARY KEY, song BLOB NOT NULL, node BLOB NOT NULL,
        UNIQUE (song, node)) STRICT;
    PRAGMA application_id = 0x64737074; PRAGMA user_version = 1;
";

/// Two songs of one fragment each, the second still staged, a copy due, and a removal such as
/// that version could have made.
const CONTENT: &str = "
    INSERT INTO meta VALUES (1, x'00000000000000000000000000000abc', -6, 2, 1,
        x'ea8f163db38682925e4491c5e58d4bb3', 5);
    INSERT INTO songs VALUES
        (1, x'ea8f163db38682925e4491c5e58d4bb3', 1, 1700000000, 'hello', '', '', '', 0, 0, 0, 0,
         5, 'opaque', 1, x'ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f',
         0, 0, 0, 0, x''),
        (2, x'00000000000000000000000000000002', NULL, 1700000000, 'staged', '', '', '', 0, 0, 0,
         0, 5, 'opaque', 1, zeroblob(32), 0, 0, 0, 0, x'');
    INSERT INTO slices VALUES
        (1, 0, 5, 0, 1, x'ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f'),
        (2, 0, 5, 0, 1, zeroblob(32));
    INSERT INTO fragments VALUES (1, 1, 0, CAST('hello' AS BLOB));
    INSERT INTO tombstones VALUES (x'00000000000000000000000000000003', 2);
    INSERT INTO copies_due VALUES (1, x'ea8f163db38682925e4491c5e58d4bb3',
        x'00000000000000000000000000000007');
";

/// BLAKE3 of `hello`, as the content above has it.
const HELLO: SongId = SongId(0xea8f_163d_b386_8292_5e44_91c5_e58d_4bb3);

fn first_version() -> TempDir {
    let dir = TempDir::new();
    let db = Connection::open(dir.path().join("library.db")).expect("a writable directory");
    let made = db
        .execute_batch(FIRST)
        .and_then(|()| db.execute_batch(CONTENT));
    made.expect("SQL that the first version ran");
    dir
}

/// A migration keeps songs, uploads, copies due and removals, and computes the running digests.
#[test]
fn a_library_of_the_first_version_is_brought_up_to_date() {
    let dir = first_version();
    for _ in 0..2 {
        let mut library = writer(&dir);
        assert_eq!(pragma(&library, "user_version"), schema::LATEST);
        let expected = Overview {
            store: STORE,
            revision: 2,
            digest: digest(&[HELLO]),
            bytes: 5,
            tombstones: digest(&[SongId(3)]),
            ..Overview::default()
        };
        assert_eq!(
            library.run(LibraryJob::Overview),
            JobReply::Overview(expected)
        );
        assert_eq!(read(&mut library, HELLO, 0), fragment(0, b"hello"));
        let (feed, _) = changes(&mut library, 1, 9);
        assert_eq!(feed, [Change::Buried(SongId(3))]);
        let of = |song, songs: &[SongId], tombstones: &[SongId]| PartitionDigest {
            partition: Partition::of(song),
            songs: digest(songs),
            tombstones: digest(tombstones),
        };
        let digests = vec![of(SongId(3), &[], &[SongId(3)]), of(HELLO, &[HELLO], &[])];
        let reply = library.run(LibraryJob::PartitionDigests);
        assert_eq!(reply, JobReply::PartitionDigests { digests });
        let (after, limit) = (None, 9);
        let (due, more) = (vec![(HELLO, NodeId(7))], false);
        let reply = library.run(LibraryJob::CopiesDue { after, limit });
        assert_eq!(reply, JobReply::CopiesDue { due, more });
        assert_eq!(rows(&library, "songs"), 2);
    }
}

/// A new library and a migrated library have the same tables.
#[test]
fn an_old_library_ends_like_a_fresh_one() {
    let (old, fresh) = (first_version(), TempDir::new());
    let columns = |dir: &TempDir| {
        let library = writer(dir);
        let slot = library.db.lock().expect("nobody panicked");
        let db = slot.as_ref().expect("it is open");
        let sql = "SELECT t.name || '.' || c.name || ' ' || c.type || c.\"notnull\" || c.pk
                   FROM sqlite_schema t, pragma_table_info(t.name) c
                   WHERE t.type = 'table' ORDER BY 1";
        let mut statement = db.prepare(sql).expect("SQL");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<Result<Vec<String>, _>>().expect("text")
    };
    assert_eq!(columns(&old), columns(&fresh));
}
