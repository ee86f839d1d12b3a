//! Songs checked against their manifests, fragment by fragment.

use roles::contract::id::SongId;
use roles::contract::job::FragmentId;
use roles::contract::song::{Fragment, Manifest};
use rusqlite::{Connection, OptionalExtension};

use super::super::fault::Stop;
use super::super::fragments::Kept;
use super::super::row::{song_id, song_key};
use super::super::seal::{Verdict, judge};
use super::super::segments::Place;
use super::super::store::Store;
use super::super::{fragments, quarantine, songs};
use super::{Depth, Finding, FindingKind, Progress, Report, reason_of};

/// Checks every committed song.
pub(super) fn songs(
    db: &Store<'_>,
    depth: Depth,
    report: &mut Report,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Stop> {
    let mut after = None;
    while let Some((song, row)) = next(db, after)? {
        match songs::manifest(db, row) {
            Ok(manifest) => {
                check(db, (row, &manifest), depth, report)?;
                let bytes = manifest.song.bytes;
                progress(Progress::Checked { bytes });
            }
            Err(reason) => {
                let reason = reason.to_string();
                report.find(Finding::ManifestUnreadable { song, reason });
            }
        }
        after = Some(song);
    }
    Ok(())
}

/// The next committed song and its row. Each song has its own query, because one query over all
/// songs would end at the first page that cannot be read.
fn next(db: &Connection, after: Option<SongId>) -> rusqlite::Result<Option<(SongId, i64)>> {
    let sql = "SELECT id, row FROM songs WHERE revision IS NOT NULL AND id > ?1 AND length(id) = 16
               ORDER BY id LIMIT 1";
    let key = after.map(song_key);
    // An empty blob sorts before every id.
    let key: &[u8] = key.as_ref().map_or(&[], |key| key);
    db.prepare_cached(sql)?
        .query_row((key,), |row| Ok((song_id(row, 0)?, row.get(1)?)))
        .optional()
}

fn check(
    db: &Store<'_>,
    (row, manifest): (i64, &Manifest),
    depth: Depth,
    report: &mut Report,
) -> Result<(), Stop> {
    let song = manifest.song.id;
    if let Err(fault) = manifest.check() {
        report.find(Finding::Manifest { song, fault });
    } else if let Verdict::Altered(reason) = judge(db, song, row)? {
        report.find(Finding::ManifestUnreadable { song, reason });
    }
    let (mut whole, mut bytes, mut flawed) = (blake3::Hasher::new(), Vec::new(), false);
    for (index, slice) in (0..).zip(&manifest.fragments) {
        match flaw(db, (row, index), slice, depth, &mut bytes)? {
            None if depth == Depth::Whole => drop(whole.update(&bytes)),
            None => (),
            Some(flaw) => {
                flawed = true;
                let fragment = FragmentId { song, index };
                report.find(Finding::Fragment { fragment, flaw });
            }
        }
    }
    // With a bad fragment the whole cannot match either, and a second finding adds nothing.
    if depth == Depth::Whole && !flawed && whole.finalize() != manifest.hash.0 {
        report.find(Finding::Whole { song });
    }
    Ok(())
}

/// What is wrong with a fragment. If none and the depth is `Whole`, `bytes` holds its bytes.
fn flaw(
    db: &Store<'_>,
    (song, index): (i64, u32),
    slice: &Fragment,
    depth: Depth,
    bytes: &mut Vec<u8>,
) -> Result<Option<FindingKind>, Stop> {
    if quarantine::holds(db, song, index)? {
        return Ok(Some(FindingKind::Quarantined));
    }
    let sql = "SELECT row, segment, place, length(data) FROM fragments
               WHERE song = ?1 AND number = ?2";
    let found = db.prepare_cached(sql)?.query_row((song, index), |row| {
        Ok((fragments::kept(row, 0)?, row.get(3)?))
    });
    let (kept, inside): (Kept, i64) = match found.optional() {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Some(FindingKind::Missing)),
        Err(reason) => return Ok(Some(FindingKind::Unreadable(reason.to_string()))),
    };
    let length = u64::from(slice.length);
    let is_long = match kept.place {
        Some(Place { segment, begin }) => db.segments.reach(segment, begin.saturating_add(length)),
        None => inside == i64::from(slice.length),
    };
    if !is_long {
        return Ok(Some(FindingKind::Length));
    }
    if depth == Depth::Quick {
        return Ok(None);
    }
    if let Err(stop) = fragments::load(db, &kept, slice.length, bytes) {
        return Ok(Some(FindingKind::Unreadable(reason_of(stop))));
    }
    Ok((!fragments::is_true(slice, bytes)).then_some(FindingKind::Hash))
}
