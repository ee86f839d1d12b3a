//! The change feed: what came and went after a revision, in that order.

use roles::contract::job::JobReply;
use roles::contract::message::Change;
use rusqlite::Connection;

use super::fault::Stop;
use super::row::{self, SONG_COLUMNS, song_columns, sql_number};
use super::songs::{Page, totals};

/// About how many bytes a removal takes in a page: a tag and an id.
const REMOVAL_BYTES: usize = 24;

/// Answers [`LibraryJob::Changes`](roles::contract::job::LibraryJob::Changes). A song shows
/// once, as what came of it last: added, or removed.
pub(super) fn page(db: &Connection, since: u64, limit: u32) -> Result<JobReply, Stop> {
    const ADDED: &str = concat!(
        "SELECT ",
        song_columns!(),
        ", revision FROM songs",
        " WHERE revision > ?1 ORDER BY revision LIMIT ?2"
    );
    let mut page = Page::of(limit);
    let removed = removed(db, since, page.rows())?;
    let mut removed = removed.into_iter().peekable();
    let mut statement = db.prepare_cached(ADDED)?;
    let mut rows = statement.query((sql_number(since), page.rows()))?;
    while let Some(row) = rows.next()? {
        let revision = row::number(row, SONG_COLUMNS)?;
        while let Some((earlier, change)) = removed.next_if(|(earlier, _)| *earlier < revision) {
            push_removal(&mut page, earlier, change);
        }
        let song = row::song(row)?;
        let bytes = song.page_bytes();
        page.push((revision, Change::Added(song)), bytes);
        if page.more {
            break;
        }
    }
    for (revision, change) in removed {
        push_removal(&mut page, revision, change);
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

fn push_removal(page: &mut Page<(u64, Change)>, revision: u64, change: Change) {
    // Once something did not fit, nothing later may: the feed has no gaps.
    if !page.more {
        page.push((revision, change), REMOVAL_BYTES);
    }
}

/// An empty page stands at the revision asked for, or at the latest if that lies before it: an
/// asker from the future is told where it is.
fn answer(db: &Connection, since: u64, page: Page<(u64, Change)>) -> Result<JobReply, Stop> {
    let last = page.items.last().map(|(revision, _)| *revision);
    let revision = match last {
        Some(revision) => revision,
        None => since.min(totals(db)?.revision),
    };
    let changes = page.items.into_iter().map(|(_, change)| change).collect();
    Ok(JobReply::Changes { changes, revision })
}
