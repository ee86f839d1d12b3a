//! The documents of listeners: all of them, on every data node.
//!
//! Each row carries the digest of what was stored, by which damage to the table is seen: a document
//! that is not what was written is never told to anybody. It is removed when the library is counted
//! anew, and the other data nodes send it again. Buckets hold running digests, so that a comparison of
//! two nodes reads 256 rows.

use roles::contract::document::{AccountId, Document, Key, Kind, Play, Version};
use roles::contract::id::NodeId;
use roles::contract::job::JobReply;
use roles::contract::limits::{DOCUMENTS_AT_ONCE_MAX, DOCUMENTS_BUCKETS, PAGE_BYTES_MAX};
use roles::contract::message::Change;
use rusqlite::{Connection, OptionalExtension, Row};

use super::fault::Stop;
use super::row::{number, sql_number, strange};
use super::totals::{advance, totals};
use crate::documents::{self, Bucket, Decided};

/// The documents, and what those of each bucket add up to. `body` is null where a document was deleted.
pub(super) const TABLES: &str = "
    CREATE TABLE documents (
        row         INTEGER PRIMARY KEY,
        bucket      INTEGER NOT NULL,
        owner       BLOB    NOT NULL,
        kind        INTEGER NOT NULL,
        subject     BLOB    NOT NULL,
        clock       INTEGER NOT NULL,
        writer      BLOB    NOT NULL,
        body        BLOB,
        digest      INTEGER NOT NULL,
        revision    INTEGER NOT NULL UNIQUE,
        UNIQUE (bucket, owner, kind, subject)
    ) STRICT;

    CREATE TABLE document_buckets (
        number      INTEGER PRIMARY KEY,
        documents   INTEGER NOT NULL,
        bytes       INTEGER NOT NULL,
        sum         INTEGER NOT NULL
    ) STRICT;
";

/// The columns that [`document`] reads, in its order.
macro_rules! columns {
    () => {
        "owner, kind, subject, clock, writer, body, digest"
    };
}

/// Answers [`LibraryJob::NoteDocuments`](roles::contract::job::LibraryJob::NoteDocuments).
pub(super) fn note(
    db: &Connection,
    (documents, plays): (&[Document], &[Play]),
    by: Option<NodeId>,
) -> Result<JobReply, Stop> {
    let store = totals(db)?.store;
    let decided: Decided = documents::decide((documents, plays), by, store, |key| {
        find(db, key).map_err(Stop::from)
    })?;
    decided.check_room(held(db)?, by.is_some())?;
    for document in &decided.kept {
        write(db, document)?;
    }
    let overview = totals(db)?;
    Ok(JobReply::DocumentsNoted {
        late: decided.late,
        written: decided.written,
        overview,
    })
}

/// Answers [`LibraryJob::Documents`](roles::contract::job::LibraryJob::Documents).
pub(super) fn page(
    db: &Connection,
    buckets: &[u16],
    after: Option<&Key>,
    limit: u32,
) -> Result<JobReply, Stop> {
    let limit = (limit as usize).clamp(1, DOCUMENTS_AT_ONCE_MAX);
    let (mut documents, mut bytes) = (Vec::new(), 0);
    let begin = after.map(Key::bucket);
    let buckets = buckets.iter().filter(|bucket| Some(**bucket) >= begin);
    for bucket in buckets {
        let after = after.filter(|_| Some(*bucket) == begin);
        let mut statement = db.prepare_cached(concat!(
            "SELECT ",
            columns!(),
            " FROM documents WHERE bucket = ?1 AND (owner, kind, subject) > (?2, ?3, ?4)",
            " ORDER BY owner, kind, subject"
        ))?;
        // An empty blob sorts before every owner.
        let owner = after.map(|key| key.owner.0.to_be_bytes());
        let owner: &[u8] = owner.as_ref().map_or(&[], |owner| owner);
        let kind = after.map_or(0, |key| key.kind.0);
        let subject: &[u8] = after.map_or(&[], |key| &key.subject);
        let mut rows = statement.query((bucket, owner, kind, subject))?;
        while let Some(row) = rows.next()? {
            if documents.len() == limit || bytes >= PAGE_BYTES_MAX / 2 {
                let next = documents.last().map(|last: &Document| last.key.clone());
                return Ok(JobReply::Documents { documents, next });
            }
            let document = document(row)?;
            bytes += document.weight();
            documents.push(document);
        }
    }
    let next = None;
    Ok(JobReply::Documents { documents, next })
}

/// Answers [`LibraryJob::DocumentSums`](roles::contract::job::LibraryJob::DocumentSums).
pub(super) fn sums(db: &Connection) -> Result<JobReply, Stop> {
    let sums = documents::sums(buckets(db)?.into_iter());
    Ok(JobReply::DocumentSums { sums })
}

/// The documents written after a revision, in the order of their changes: as many as a page takes, and
/// one more.
pub(super) fn changed(
    db: &Connection,
    since: u64,
    rows: i64,
) -> rusqlite::Result<Vec<(u64, Change)>> {
    let (mut changes, mut bytes) = (Vec::new(), 0);
    let mut statement = db.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        ", revision FROM documents WHERE revision > ?1 ORDER BY revision LIMIT ?2"
    ))?;
    let mut found = statement.query((sql_number(since), rows))?;
    while bytes <= PAGE_BYTES_MAX
        && let Some(row) = found.next()?
    {
        let document = document(row)?;
        bytes += document.weight();
        changes.push((number(row, 7)?, Change::Wrote(document)));
    }
    Ok(changes)
}

/// The next documents of a library that was set aside, behind a row, as far as they can be read; and
/// the row after which the next ones begin, none at the end.
pub(super) fn salvaged(db: &Connection, after: i64) -> (Vec<Document>, Option<i64>) {
    let (mut documents, mut last, mut bytes) = (Vec::new(), None, 0);
    let mut read = || -> rusqlite::Result<()> {
        let mut statement = db.prepare_cached(concat!(
            "SELECT ",
            columns!(),
            ", row FROM documents NOT INDEXED WHERE row > ?1 ORDER BY row LIMIT ?2"
        ))?;
        let mut rows = statement.query((after, DOCUMENTS_AT_ONCE_MAX as i64))?;
        while bytes < PAGE_BYTES_MAX / 2
            && let Some(row) = rows.next()?
        {
            last = Some(row.get(7)?);
            if let Ok(document) = document(row) {
                bytes += document.weight();
                documents.push(document);
            }
        }
        Ok(())
    };
    // What is missing comes from the other data nodes, which keep every document.
    let _ = read();
    (documents, last)
}

/// Removes what is not what was written, and counts the rest anew.
pub(super) fn count_anew(db: &Connection) -> rusqlite::Result<()> {
    let mut statement = db.prepare(concat!(
        "SELECT ",
        columns!(),
        ", row, bucket FROM documents NOT INDEXED"
    ))?;
    let mut rows = statement.query([])?;
    let mut altered: Vec<i64> = Vec::new();
    let mut counted = vec![Bucket::default(); DOCUMENTS_BUCKETS];
    while let Some(row) = rows.next()? {
        match in_its_bucket(row) {
            Ok(document) => counted[usize::from(document.key.bucket())].insert(&document),
            Err(_) => altered.push(row.get(7)?),
        }
    }
    for row in &altered {
        db.execute("DELETE FROM documents WHERE row = ?1", (row,))?;
    }
    if !altered.is_empty() {
        log::warn!(
            "documents of listeners were damaged and are fetched again count={}",
            altered.len()
        );
    }
    db.execute("DELETE FROM document_buckets", [])?;
    for (number, bucket) in (0..).zip(counted).filter(|(_, bucket)| bucket.count > 0) {
        write_bucket(db, number, &bucket)?;
    }
    Ok(())
}

/// What is wrong with the documents, in words; none if nothing is.
pub(super) fn wrong(db: &Connection) -> rusqlite::Result<Option<&'static str>> {
    let mut statement = db.prepare(concat!(
        "SELECT ",
        columns!(),
        ", row, bucket FROM documents ORDER BY row"
    ))?;
    let mut rows = statement.query([])?;
    let mut counted = vec![Bucket::default(); DOCUMENTS_BUCKETS];
    while let Some(row) = rows.next()? {
        match in_its_bucket(row) {
            Ok(document) => counted[usize::from(document.key.bucket())].insert(&document),
            Err(_) => return Ok(Some("a document of a listener")),
        }
    }
    let counted = (0..).zip(counted).filter(|(_, bucket)| bucket.count > 0);
    let alike = counted.eq(buckets(db)?);
    Ok((!alike).then_some("the digests of the documents of listeners"))
}

/// Reads a document from the columns of `columns!`, a row and a bucket.
fn in_its_bucket(row: &Row<'_>) -> rusqlite::Result<Document> {
    let document = document(row)?;
    let bucket: u16 = row.get(8)?;
    if bucket == document.key.bucket() {
        return Ok(document);
    }
    Err(strange(8, "a document's bucket"))
}

fn find(db: &Connection, key: &Key) -> rusqlite::Result<Option<Document>> {
    db.prepare_cached(concat!(
        "SELECT ",
        columns!(),
        " FROM documents WHERE bucket = ?1 AND owner = ?2 AND kind = ?3 AND subject = ?4"
    ))?
    .query_row(
        (
            key.bucket(),
            key.owner.0.to_be_bytes(),
            key.kind.0,
            &key.subject,
        ),
        document,
    )
    .optional()
}

fn write(db: &Connection, document: &Document) -> rusqlite::Result<()> {
    let Document { key, version, body } = document;
    let number = key.bucket();
    let mut bucket = bucket_of(db, number)?;
    if let Some(before) = find(db, key)? {
        bucket.remove(&before);
    }
    bucket.insert(document);
    write_bucket(db, number, &bucket)?;
    let revision = advance(db, &totals(db)?)?;
    let sql = "INSERT INTO documents
                   (bucket, owner, kind, subject, clock, writer, body, digest, revision)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
               ON CONFLICT (bucket, owner, kind, subject) DO UPDATE SET
                   clock = ?5, writer = ?6, body = ?7, digest = ?8, revision = ?9";
    db.prepare_cached(sql)?.execute((
        number,
        key.owner.0.to_be_bytes(),
        key.kind.0,
        &key.subject,
        sql_number(version.clock),
        version.writer.to_be_bytes(),
        body,
        document.digest().cast_signed(),
        sql_number(revision),
    ))?;
    Ok(())
}

/// Reads a document. One that is not what was stored is an error, as every other damage is.
fn document(row: &Row<'_>) -> rusqlite::Result<Document> {
    let document = Document {
        key: Key {
            owner: AccountId(u128::from_be_bytes(row.get(0)?)),
            kind: Kind(row.get(1)?),
            subject: row.get(2)?,
        },
        version: Version {
            clock: number(row, 3)?,
            writer: u128::from_be_bytes(row.get(4)?),
        },
        body: row.get(5)?,
    };
    let digest: i64 = row.get(6)?;
    if digest.cast_unsigned() == document.digest() {
        return Ok(document);
    }
    Err(strange(6, "a document's digest"))
}

/// How many documents there are, and their bytes.
fn held(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    let sql = "SELECT coalesce(sum(documents), 0), coalesce(sum(bytes), 0) FROM document_buckets";
    db.prepare_cached(sql)?
        .query_row([], |row| Ok((number(row, 0)?, number(row, 1)?)))
}

/// The buckets that hold anything, by number.
fn buckets(db: &Connection) -> rusqlite::Result<Vec<(u16, Bucket)>> {
    let sql = "SELECT documents, bytes, sum, number FROM document_buckets ORDER BY number";
    db.prepare_cached(sql)?
        .query_map([], |row| Ok((row.get(3)?, bucket(row)?)))?
        .collect()
}

fn bucket_of(db: &Connection, number: u16) -> rusqlite::Result<Bucket> {
    let sql = "SELECT documents, bytes, sum FROM document_buckets WHERE number = ?1";
    let found = db.prepare_cached(sql)?.query_row((number,), bucket);
    Ok(found.optional()?.unwrap_or_default())
}

fn bucket(row: &Row<'_>) -> rusqlite::Result<Bucket> {
    let sum: i64 = row.get(2)?;
    Ok(Bucket {
        count: number(row, 0)?,
        bytes: number(row, 1)?,
        sum: sum.cast_unsigned(),
    })
}

fn write_bucket(db: &Connection, number: u16, bucket: &Bucket) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO document_buckets (number, documents, bytes, sum)
               VALUES (?1, ?2, ?3, ?4)";
    db.prepare_cached(sql)?.execute((
        number,
        sql_number(bucket.count),
        sql_number(bucket.bytes),
        bucket.sum.cast_signed(),
    ))?;
    Ok(())
}
