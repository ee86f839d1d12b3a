//! The change feed: songs added, removed and marked, and documents written, after a revision, in order
//! of revision.

use roles::contract::job::JobReply;
use roles::contract::message::Change;
use rusqlite::Connection;

use super::fault::Stop;
use super::row::{self, SONG_COLUMNS, song_columns, sql_number};
use super::songs::Page;
use super::totals::totals;
use super::{documents, trash};

/// Approximate size of a removal in a page, in bytes: a tag and an id.
const REMOVAL_BYTES: usize = 24;

/// Answers [`LibraryJob::Changes`](roles::contract::job::LibraryJob::Changes). Each song appears once, with its
/// latest change, added or removed, and once more if it has a mark; each document once.
pub(super) fn page(db: &Connection, since: u64, limit: u32) -> Result<JobReply, Stop> {
    const ADDED: &str = concat!(
        "SELECT ",
        song_columns!(),
        ", revision FROM songs",
        " WHERE revision > ?1 ORDER BY revision LIMIT ?2"
    );
    let mut page = Page::of(limit);
    let mut others = removed(db, since, page.rows())?;
    others.extend(trash::changed(db, since, page.rows())?);
    others.extend(documents::changed(db, since, page.rows())?);
    others.sort_unstable_by_key(|(revision, _)| *revision);
    let mut others = others.into_iter().peekable();
    let mut statement = db.prepare_cached(ADDED)?;
    let mut rows = statement.query((sql_number(since), page.rows()))?;
    while let Some(row) = rows.next()? {
        let revision = row::number(row, SONG_COLUMNS)?;
        while let Some((earlier, change)) = others.next_if(|(earlier, _)| *earlier < revision) {
            push(&mut page, earlier, change);
        }
        // A song behind a change that does not fit must not follow, though it may be smaller.
        if page.more {
            break;
        }
        let song = row::song(row)?;
        let bytes = song.page_bytes();
        page.push((revision, Change::Added(song)), bytes);
        if page.more {
            break;
        }
    }
    for (revision, change) in others {
        push(&mut page, revision, change);
    }
    answer(db, since, page)
}

fn removed(db: &Connection, since: u64, rows: i64) -> rusqlite::Result<Vec<(u64, Change)>> {
    let sql = "SELECT revision, song, song IN (SELECT song FROM tombstones) FROM removals
               WHERE revision > ?1 ORDER BY revision LIMIT ?2";
    db.prepare_cached(sql)?
        .query_map((sql_number(since), rows), |row| {
            let (song, buried) = (row::song_id(row, 1)?, row.get(2)?);
            let change = if buried {
                Change::Buried(song)
            } else {
                Change::Removed(song)
            };
            Ok((row::number(row, 0)?, change))
        })?
        .collect()
}

fn push(page: &mut Page<(u64, Change)>, revision: u64, change: Change) {
    // After the first change that does not fit, no later change may be added. A smaller later
    // change would advance the page's revision past the one left out.
    if page.more {
        return;
    }
    let bytes = match change {
        Change::Marked(_) => trash::MARK_BYTES,
        Change::Wrote(ref document) => document.weight(),
        Change::Added(_) | Change::Removed(_) | Change::Buried(_) => REMOVAL_BYTES,
    };
    page.push((revision, change), bytes);
}

/// Makes the answer. An empty page carries the smaller of `since` and the latest revision, so that
/// an asker whose revision is ahead of the library learns the library's revision.
fn answer(db: &Connection, since: u64, page: Page<(u64, Change)>) -> Result<JobReply, Stop> {
    let last = page.items.last().map(|(revision, _)| *revision);
    let revision = match last {
        Some(revision) => revision,
        None => since.min(totals(db)?.revision),
    };
    let changes = page.items.into_iter().map(|(_, change)| change).collect();
    Ok(JobReply::Changes { changes, revision })
}
