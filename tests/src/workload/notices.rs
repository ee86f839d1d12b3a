//! Compares what users are told with what they asked for.

use super::{Doing, Ended, Operation, Reading};
use crate::copy_invariants::is_same_sound;
use crate::music::Music;
use crate::resident::Place;
use crate::world::World;
use roles::contract::id::{OperationId, SongId};
use roles::contract::song::Manifest;
use roles::contract::user::{Command, Level, Notice, Origin};
use std::time::Duration;

impl World {
    /// A node gives its user a notice.
    pub(crate) fn on_told(&mut self, place: Place, notice: Notice) {
        let heard = match notice {
            Notice::Fact { level, text } => {
                if level == Level::Error {
                    let name = self.nodes[place].name.clone();
                    self.violated("no error is logged", format!("{name}: {text}"));
                }
                if self.workload.keep && level != Level::Debug {
                    self.workload.facts.push((place, text));
                }
                return;
            }
            Notice::Ready { .. } => {
                let now = self.now;
                return self.workload.ready.push((now, place));
            }
            Notice::Outdated | Notice::Stopped => return,
            Notice::Opened {
                operation,
                manifest,
                ..
            } => return self.on_opened(place, operation, &manifest),
            Notice::Fragment {
                operation,
                index,
                skipped,
                bytes,
                origin,
            } => return self.on_fragment(place, operation, (index, skipped, &bytes), origin),
            Notice::ReadDone { operation } => return self.on_read_done(place, operation),
            Notice::Scanned {
                operation,
                manifest,
            } => return self.on_scanned(place, operation, &manifest),
            Notice::Progress { operation, bytes } => {
                return self.on_progress(place, operation, bytes);
            }
            Notice::Songs {
                operation, songs, ..
            } => (operation, Ended::Songs(songs)),
            Notice::Browsed { operation, found } => (operation, Ended::Browsed(Box::new(found))),
            Notice::Status {
                operation, status, ..
            } => (operation, Ended::Status(Box::new(status))),
            Notice::Records { operation, records } => (operation, Ended::Records(records.len())),
            Notice::Removed {
                operation,
                song,
                copies,
            } => {
                self.on_removed(song, copies);
                let (now, key) = (self.now, (place, operation));
                self.keeping.trash.on_ended(now, key, Some(copies));
                (operation, Ended::Removed(copies))
            }
            Notice::Changed {
                operation, copies, ..
            } => {
                self.seen.changes += 1;
                let (now, key) = (self.now, (place, operation));
                self.keeping.trash.on_ended(now, key, Some(copies));
                (operation, Ended::Changed(copies))
            }
            Notice::Trash {
                operation, songs, ..
            } => (operation, Ended::Trash(songs)),
            Notice::Documents { operation, page } => {
                self.on_documents_read(place, operation, &page);
                (operation, Ended::Documents(Box::new(page)))
            }
            Notice::Written { operation, copies } => {
                self.on_written(place, operation, copies);
                (operation, Ended::Written(copies))
            }
            Notice::Uploaded {
                operation,
                song,
                copies,
                known,
            } => {
                let ended = Ended::Uploaded {
                    song,
                    copies,
                    known,
                };
                self.keeping.trash.on_uploaded(song);
                self.on_uploaded(place, operation, song, copies, known);
                (operation, ended)
            }
            Notice::Failed { operation, failure } => {
                self.count_failure(place, operation);
                self.on_documents_failed(place, operation);
                let (now, key) = (self.now, (place, operation));
                self.keeping.trash.on_ended(now, key, None);
                (operation, Ended::Failed(failure))
            }
        };
        self.on_end(place, heard.0, heard.1);
    }

    pub(super) fn on_end(&mut self, place: Place, operation: OperationId, ended: Ended) {
        if matches!(ended, Ended::Songs(_)) {
            self.seen.lists += 1;
        }
        if self.workload.open.remove(&(place, operation)).is_none() {
            return self.stray(place, operation, &format!("{ended:?}"));
        }
        if self.workload.keep {
            self.workload.ended.insert((place, operation), ended);
        }
    }

    pub(super) fn stray(&mut self, place: Place, operation: OperationId, what: &str) {
        let name = self.nodes[place].name.clone();
        let text = format!("{name}: {what} of {operation:?}, which is not under way");
        self.violated("one final notice", text);
    }

    pub(super) fn count_failure(&mut self, place: Place, operation: OperationId) {
        let Some(operation) = self.workload.open.get(&(place, operation)) else {
            return;
        };
        match operation.doing {
            Doing::Ask => self.seen.asks_failed += 1,
            Doing::Read(_) => self.seen.reads_failed += 1,
            Doing::Upload { .. } => self.seen.uploads_failed += 1,
            Doing::Remove => self.seen.removals_in_vain += 1,
            Doing::Write => (), // Counted with the documents.
        }
    }

    pub(super) fn on_opened(&mut self, place: Place, operation: OperationId, manifest: &Manifest) {
        let count = manifest.song.fragments;
        let lies = self.lies.are_told();
        let right = (self.music.by_id(manifest.song.id)).is_some_and(|tune| {
            tune.manifest == *manifest || lies && is_same_sound(&tune.manifest, manifest)
        });
        if !right {
            self.violated("S3 byte exactness", "another manifest was opened".into());
        }
        let part = self.workload.keep || self.workload.rng.happens(4, 5);
        let first = if part {
            0
        } else {
            self.workload.rng.below(u64::from(count)) as u32
        };
        let Some(Operation {
            doing: Doing::Read(reading),
            ..
        }) = self.workload.open.get_mut(&(place, operation))
        else {
            return self.stray(place, operation, "Opened");
        };
        if reading.opened || reading.song != manifest.song.id {
            self.violated(
                "S3 byte exactness",
                format!("{operation:?} opened twice, or another song"),
            );
            return;
        }
        reading.opened = true;
        (reading.next, reading.end) = (first, count);
        // Every third user needs the middle of the file alone.
        let whole = manifest.song.bytes;
        if operation.0.is_multiple_of(3) {
            reading.needed = (whole / 4, whole / 2);
        }
        let needed = reading.needed;
        let take = if reading.slow { 1 } else { count };
        let read = Command::Read {
            operation,
            first,
            end: count,
            bytes: needed,
        };
        self.command_soon(place, read, Duration::ZERO);
        let take = Command::Take {
            operation,
            count: take,
        };
        self.command_soon(place, take, Duration::ZERO);
    }

    pub(super) fn on_fragment(
        &mut self,
        place: Place,
        operation: OperationId,
        (index, skipped, bytes): (u32, u32, &[u8]),
        origin: Origin,
    ) {
        self.seen.fragments += 1;
        let now = self.now;
        let Some(Operation {
            doing: Doing::Read(reading),
            ..
        }) = self.workload.open.get_mut(&(place, operation))
        else {
            return self.stray(place, operation, "Fragment");
        };
        if reading.credit == 0 {
            let text = format!("{operation:?} delivers fragment {index} unasked");
            return self.violated("S8 nothing beyond what was allowed", text);
        }
        let right = is_part(&self.music, reading, (index, skipped), bytes);
        if index != reading.next || !right {
            let text = format!(
                "{operation:?} gave {index} where {} was due, or other bytes",
                reading.next
            );
            return self.violated("S3 byte exactness", text);
        }
        reading.credit -= 1;
        reading.next += 1;
        match origin {
            Origin::Cache => reading.cached += 1,
            Origin::Node(_) => reading.fetched += 1,
        }
        reading.longest_wait = reading.longest_wait.max(now - reading.asked_at);
        reading.asked_at = now;
        let slow = reading.slow;
        let closes =
            (reading.close_after).is_some_and(|count| count <= reading.cached + reading.fetched);
        if closes {
            return self.command_soon(place, Command::Close { operation }, Duration::ZERO);
        }
        if slow {
            let think = self.workload.rng.within(Duration::from_millis(400));
            self.command_soon(
                place,
                Command::Take {
                    operation,
                    count: 1,
                },
                think,
            );
        }
    }

    pub(super) fn on_read_done(&mut self, place: Place, operation: OperationId) {
        self.seen.reads += 1;
        let again = !self.workload.keep && self.workload.rng.happens(1, 5);
        let now = self.now;
        let Some(Operation {
            doing: Doing::Read(reading),
            ..
        }) = self.workload.open.get_mut(&(place, operation))
        else {
            return self.stray(place, operation, "ReadDone");
        };
        if reading.next != reading.end {
            let text = format!(
                "{operation:?} is done at {} of {}",
                reading.next, reading.end
            );
            return self.violated("S3 byte exactness", text);
        }
        if again && reading.end > 1 {
            // The user jumps back into the song.
            (reading.next, reading.end) = (reading.end / 2, reading.end);
            reading.asked_at = now;
            let (first, end) = (reading.next, reading.end);
            let needed = reading.needed;
            let read = Command::Read {
                operation,
                first,
                end,
                bytes: needed,
            };
            let take = Command::Take {
                operation,
                count: end - first,
            };
            self.command_soon(place, read, Duration::ZERO);
            return self.command_soon(place, take, Duration::ZERO);
        }
        let ended = Ended::Read {
            cached: reading.cached,
            fetched: reading.fetched,
            longest_wait: reading.longest_wait,
        };
        if self.workload.keep {
            self.workload.ended.insert((place, operation), ended);
        }
        self.command_soon(place, Command::Close { operation }, Duration::ZERO);
    }

    pub(super) fn on_scanned(&mut self, place: Place, operation: OperationId, manifest: &Manifest) {
        match self.workload.open.get_mut(&(place, operation)) {
            Some(Operation {
                doing: Doing::Upload { song, .. },
                ..
            }) if song.is_none() => *song = Some(manifest.song.id),
            Some(_) | None => self.stray(place, operation, "Scanned"),
        }
    }

    pub(super) fn on_progress(&mut self, place: Place, operation: OperationId, so_far: u64) {
        let Some(Operation {
            doing: Doing::Upload { song, bytes },
            ..
        }) = self.workload.open.get_mut(&(place, operation))
        else {
            return self.stray(place, operation, "Progress");
        };
        *bytes = so_far;
        let whole = (song.as_ref())
            .and_then(|song| self.music.by_id(*song))
            .map_or(0, |tune| tune.manifest.song.bytes);
        if so_far > whole {
            let text = format!("{operation:?} has sent {so_far} of {whole} bytes");
            self.violated("S8 nothing beyond what was allowed", text);
        }
    }

    pub(super) fn on_uploaded(
        &mut self,
        place: Place,
        operation: OperationId,
        song: SongId,
        copies: u8,
        known: bool,
    ) {
        self.seen.uploads += 1;
        self.seen.uploads_known += u64::from(known);
        self.seen.uploads_one_copy += u64::from(!known && copies < 2);
        let asked = match self.workload.open.get(&(place, operation)) {
            Some(Operation {
                doing: Doing::Upload { song, .. },
                ..
            }) => *song,
            Some(_) | None => None,
        };
        if asked != Some(song) {
            return self.stray(place, operation, "Uploaded");
        }
        let now = self.now;
        // A liar may say that it has stored a copy. The copy of the node that answers stands.
        let copies = if self.lies.are_told() { 1 } else { copies };
        if let Some(text) = self.checks.on_promise(now, song, copies) {
            self.violated("S2 an acknowledgement is true", text);
        }
    }
}

/// Whether these are bytes of the fragment behind the first `skipped`, with all that the user needs.
fn is_part(music: &Music, reading: &Reading, (index, skipped): (u32, u32), bytes: &[u8]) -> bool {
    let fragment = |index| music.fragment(reading.song, index).unwrap_or_default();
    let start: u64 = (0..index).map(|before| fragment(before).len() as u64).sum();
    let whole = fragment(index);
    let within = |at: u64| at.saturating_sub(start).min(whole.len() as u64);
    let (from, to) = (within(reading.needed.0), within(reading.needed.1));
    let (begin, end) = (u64::from(skipped), u64::from(skipped) + bytes.len() as u64);
    let enough = begin <= from.min(to) && to <= end;
    enough && whole.get(begin as usize..end as usize) == Some(bytes)
}
