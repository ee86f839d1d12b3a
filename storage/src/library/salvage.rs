//! The salvage: takes out of a library that was set aside what can be read of it.
//!
//! Removals first, because a song that was removed must not return; then the documents of listeners,
//! because they are small. Then song after song: one whose
//! manifest says what was stored comes with every fragment that matches it; fragments that do not are
//! quarantined, and the scrub fetches them. Each step is one transaction of bounded size. A step that
//! is cut off costs nothing: the salvage begins again, and skips what is there already.

use std::path::Path;

use roles::contract::id::SongId;
use roles::contract::job::{JobFault, JobReply};
use roles::contract::limits::{MARKS_MAX, REMOVALS_MAX};
use roles::contract::song::Manifest;
use rusqlite::{Connection, OptionalExtension};

use super::fault::Stop;
use super::open;
use super::open_fault::OpenFault;
use super::removal;
use super::room::Room;
use super::row::song_id;
use super::seal::{Verdict, judge};
use super::segments::{Segments, begin, places};
use super::store::Store;
use super::{documents, fragments, trash, uploads};

/// Bytes of sound after which a step ends.
const STEP_BYTES: usize = 8 << 20;

/// Songs after which a step ends.
const STEP_SONGS: u32 = 64;

/// Rows skipped at most in search of the next page that can be read.
const SKIP_MAX: i64 = 1 << 20;

/// A library that is being salvaged.
#[derive(Debug)]
pub(super) struct Salvage {
    old: Connection,
    /// Where its sound lies: beside that of the new library, under numbers of its own.
    sound: Segments,
    /// The last row of `songs` that is done with.
    after: i64,
    removals_taken: bool,
    /// The last row of `documents` that is done with; none: all are.
    documents: Option<i64>,
    /// Fragments of the present song that cannot be had.
    lacking: Vec<u32>,
    taken: u64,
    /// Songs of which something could not be had, as far as they could be found.
    left_out: u64,
    /// A part of the tables could not be read at all.
    blind: bool,
}

/// How a song ended.
enum Ended {
    Taken,
    LeftOut,
    /// The step has read enough; the next one goes on with this song.
    Later,
}

impl Salvage {
    /// Opens the library that was set aside. An error: nothing can be had of it.
    pub(super) fn begin(aside: &Path, dir: &Path) -> Result<Salvage, OpenFault> {
        Ok(Salvage {
            old: open::look(aside)?,
            sound: Segments::around(dir),
            after: i64::MIN,
            removals_taken: false,
            documents: Some(i64::MIN),
            lacking: Vec::new(),
            taken: 0,
            left_out: 0,
            blind: false,
        })
    }

    /// Ends the salvage. If all of the old library is in the new one, returns the segments that are
    /// of no use any longer.
    pub(super) fn end(self) -> Option<Vec<u32>> {
        let (taken, left_out) = (self.taken, self.left_out);
        log::info!("library salvaged songs={taken} left_out={left_out}");
        let whole = left_out == 0 && !self.blind;
        whole.then(|| places::numbers(&self.old).ok()).flatten()
    }

    /// The numbers of segments that the old library has written down and never used, as far as its
    /// tables can be read.
    pub(super) fn unmade(&self) -> Vec<u32> {
        begin::unmade(&self.old).unwrap_or_default()
    }

    /// Takes the next songs over into `db`. False: there is no further song.
    pub(super) fn step(&mut self, db: &Store<'_>, room: &Room) -> Result<bool, Stop> {
        if !self.removals_taken {
            self.take_removals(db)?;
            self.removals_taken = true;
        }
        if let Some(after) = self.documents {
            return self.take_documents(db, after).map(|()| true);
        }
        let mut budget = STEP_BYTES;
        for _ in 0..STEP_SONGS {
            let Some((song, row)) = self.next() else {
                return Ok(false);
            };
            match self.take(db, room, (song, row), &mut budget)? {
                Ended::Later => return Ok(true),
                Ended::Taken => self.taken += 1,
                Ended::LeftOut => self.left_out += 1,
            }
            self.after = row;
            self.lacking.clear();
        }
        Ok(true)
    }

    fn take_removals(&mut self, db: &Store<'_>) -> Result<(), Stop> {
        let (songs, whole) = removed(&self.old);
        self.blind |= !whole;
        for page in songs.chunks(REMOVALS_MAX) {
            removal::remove(db, page)?;
        }
        for page in trash::salvaged(&self.old).chunks(MARKS_MAX) {
            trash::note(db, page, 0)?;
        }
        Ok(())
    }

    fn take_documents(&mut self, db: &Store<'_>, after: i64) -> Result<(), Stop> {
        let (documents, last) = documents::salvaged(&self.old, after);
        documents::note(db, (&documents, &[]), None)?;
        self.documents = last;
        Ok(())
    }

    /// The next committed song by row. Where a page cannot be read, rows are skipped.
    fn next(&mut self) -> Option<(Option<SongId>, i64)> {
        let mut skip = 1;
        loop {
            match after(&self.old, self.after) {
                Ok(next) => return next,
                Err(_) if skip > SKIP_MAX => {
                    self.blind = true;
                    return None;
                }
                Err(_) => {
                    self.blind = true;
                    self.after = self.after.max(0).saturating_add(skip);
                    skip *= 2;
                }
            }
        }
    }

    fn take(
        &mut self,
        db: &Store<'_>,
        room: &Room,
        (song, row): (Option<SongId>, i64),
        budget: &mut usize,
    ) -> Result<Ended, Stop> {
        let Some(song) = song else {
            return Ok(Ended::LeftOut);
        };
        let (manifest, sealed) = match judge(&self.old, song, row) {
            Ok(Verdict::True(manifest)) => (*manifest, true),
            Ok(Verdict::Unsealed(manifest)) => (*manifest, false),
            Ok(Verdict::Altered(_)) | Err(_) => return Ok(Ended::LeftOut),
        };
        let ranges = match uploads::begin(db, room, &manifest) {
            Ok(JobReply::Missing { ranges }) => ranges,
            // It has come from another node, or was removed.
            Ok(_) | Err(Stop::Fault(JobFault::Removed)) => return Ok(Ended::Taken),
            Err(stop) => return Err(stop),
        };
        for index in ranges.into_iter().flat_map(|(from, to)| from..to) {
            if self.lacking.contains(&index) {
                continue;
            }
            if *budget == 0 {
                return Ok(Ended::Later);
            }
            self.take_fragment(db, (row, &manifest), index, budget)?;
        }
        self.finish(db, &manifest, sealed)
    }

    fn take_fragment(
        &mut self,
        db: &Store<'_>,
        (row, manifest): (i64, &Manifest),
        index: u32,
        budget: &mut usize,
    ) -> Result<(), Stop> {
        let Some(slice) = manifest.fragments.get(index as usize) else {
            return Ok(());
        };
        let old = Store {
            db: &self.old,
            segments: &self.sound,
        };
        let Ok(bytes) = fragments::read(&old, row, index, slice) else {
            self.lacking.push(index);
            return Ok(());
        };
        *budget = budget.saturating_sub(bytes.len());
        uploads::keep(db, manifest.song.id, index, &bytes)?;
        Ok(())
    }

    /// Every fragment was tried. A song without a seal is taken only whole: its id then proves it.
    fn finish(&mut self, db: &Store<'_>, manifest: &Manifest, sealed: bool) -> Result<Ended, Stop> {
        let song = manifest.song.id;
        if self.lacking.is_empty() {
            let reply = uploads::commit(db, song, &[])?;
            let stored = matches!(reply, JobReply::Stored { .. });
            return Ok(if stored { Ended::Taken } else { Ended::LeftOut });
        }
        let some = self.lacking.len() < manifest.fragments.len();
        if sealed && some {
            uploads::publish_in_part(db, song, &self.lacking)?;
        } else {
            uploads::withdraw_offer(db, song)?;
        }
        Ok(Ended::LeftOut)
    }
}

/// The songs with a tombstone, and whether the list is whole.
fn removed(db: &Connection) -> (Vec<SongId>, bool) {
    let mut songs = Vec::new();
    let mut read = || -> rusqlite::Result<()> {
        let mut statement = db.prepare("SELECT song FROM tombstones")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            songs.push(song_id(row, 0)?);
        }
        Ok(())
    };
    let whole = read().is_ok();
    (songs, whole)
}

/// The first committed song behind this row, from the table itself: its indexes may be damaged. The
/// id is none if it is no song's.
fn after(db: &Connection, row: i64) -> rusqlite::Result<Option<(Option<SongId>, i64)>> {
    let sql = "SELECT id, row FROM songs NOT INDEXED
               WHERE row > ?1 AND revision IS NOT NULL ORDER BY row LIMIT 1";
    db.prepare_cached(sql)?
        .query_row((row,), |row| Ok((song_id(row, 0).ok(), row.get(1)?)))
        .optional()
}
