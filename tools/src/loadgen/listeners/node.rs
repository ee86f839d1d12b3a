//! Sound by the node protocol: a song is opened, read, and taken one fragment at a time.

use std::time::Duration;

use roles::contract::id::OperationId;
use roles::contract::record::Address;
use roles::contract::song::{Manifest, Part};
use roles::contract::time::Time;
use roles::contract::user::{ALL_BYTES, Command, Notice, Origin};

use super::super::sockets::{ConnId, Happened};
use super::super::survey::Known;
use super::heard::Heard;
use super::machine::{Machine, World};

/// A machine that plays songs.
pub(crate) struct NodeSource {
    machine: Machine,
    /// Bytes per second of sound, if the songs' own rates do not count.
    bytes_per_second: Option<f64>,
    /// The number of the present song's operation.
    operation: u64,
    /// How long each fragment of the opened song sounds.
    lasts: Vec<Duration>,
    /// Whether a fragment has been allowed and has not come.
    granted: bool,
    /// Whether the song's last fragment has come.
    complete: bool,
    holder: Option<Address>,
}

impl NodeSource {
    pub(crate) fn new(machine: Machine, bytes_per_second: Option<f64>) -> Self {
        NodeSource {
            machine,
            bytes_per_second,
            operation: 0,
            lasts: Vec::new(),
            granted: false,
            complete: true,
            holder: None,
        }
    }

    /// Switches the machine on.
    pub(crate) fn start(&mut self, now: Time, world: &mut World<'_>) {
        self.machine.start(now, world);
    }

    pub(crate) fn open(
        &mut self,
        now: Time,
        song: &Known,
        world: &mut World<'_>,
        heard: &mut Vec<Heard>,
    ) {
        let operation = OperationId(self.operation);
        self.give(now, Command::Close { operation }, world, heard);
        self.operation += 1;
        self.lasts.clear();
        (self.granted, self.complete, self.holder) = (false, false, None);
        let command = Command::Open {
            operation: OperationId(self.operation),
            song: song.id.into(),
            holders: false,
        };
        self.give(now, command, world, heard);
    }

    pub(crate) fn jump(
        &mut self,
        now: Time,
        part: f64,
        world: &mut World<'_>,
        heard: &mut Vec<Heard>,
    ) -> bool {
        if self.lasts.is_empty() {
            return false;
        }
        let whole: Duration = self.lasts.iter().sum();
        let first = index_at(&self.lasts, whole.mul_f64(part));
        self.complete = false;
        self.read(now, first, world, heard);
        true
    }

    fn read(&mut self, now: Time, first: u32, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        let command = Command::Read {
            operation: OperationId(self.operation),
            first,
            end: self.lasts.len() as u32,
            bytes: ALL_BYTES,
        };
        self.give(now, command, world, heard);
        self.grant(now, world, heard);
    }

    /// Allows the next fragment.
    pub(crate) fn grant(&mut self, now: Time, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        if self.granted || self.complete || self.lasts.is_empty() {
            return;
        }
        self.granted = true;
        let command = Command::Take {
            operation: OperationId(self.operation),
            count: 1,
        };
        self.give(now, command, world, heard);
    }

    pub(crate) fn wants_call(&self) -> bool {
        !self.granted && !self.complete && !self.lasts.is_empty()
    }

    pub(crate) fn on_happened(
        &mut self,
        now: Time,
        conn: ConnId,
        happened: Happened,
        world: &mut World<'_>,
        heard: &mut Vec<Heard>,
    ) {
        self.machine.on_happened(now, conn, happened, world);
        self.hear(now, world, heard);
    }

    pub(crate) fn on_tick(&mut self, now: Time, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        self.machine.on_tick(now, world);
        self.hear(now, world, heard);
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.machine.deadline()
    }

    fn give(&mut self, now: Time, command: Command, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        self.machine.command(now, command, world);
        self.hear(now, world, heard);
    }

    fn hear(&mut self, now: Time, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        let mut notices = std::mem::take(world.notices);
        for notice in notices.drain(..) {
            self.on_notice(now, notice, world, heard);
        }
        // The buffer goes back, unless a notice has led to further ones.
        if world.notices.is_empty() {
            *world.notices = notices;
        }
    }

    fn on_notice(
        &mut self,
        now: Time,
        notice: Notice,
        world: &mut World<'_>,
        heard: &mut Vec<Heard>,
    ) {
        let present = |operation: OperationId| operation.0 == self.operation;
        match notice {
            Notice::Opened {
                operation,
                manifest,
                ..
            } if present(operation) => {
                self.lasts = lasts(&manifest, self.bytes_per_second);
                self.read(now, 0, world, heard);
            }
            Notice::Fragment {
                operation,
                index,
                skipped: _,
                bytes,
                origin,
            } if present(operation) => self.on_fragment(index, bytes.len() as u64, origin, heard),
            Notice::Failed { operation, .. } if present(operation) => {
                self.complete = true;
                heard.push(Heard::Refused);
            }
            Notice::Opened { .. }
            | Notice::Fragment { .. }
            | Notice::Failed { .. }
            | Notice::Fact { .. }
            | Notice::Ready { .. }
            | Notice::Outdated
            | Notice::Stopped
            | Notice::Songs { .. }
            | Notice::Browsed { .. }
            | Notice::Status { .. }
            | Notice::Records { .. }
            | Notice::ReadDone { .. }
            | Notice::Scanned { .. }
            | Notice::Progress { .. }
            | Notice::Uploaded { .. }
            | Notice::Removed { .. }
            | Notice::Changed { .. }
            | Notice::Trash { .. }
            | Notice::Documents { .. }
            | Notice::Written { .. } => (),
        }
    }

    fn on_fragment(&mut self, index: u32, bytes: u64, origin: Origin, heard: &mut Vec<Heard>) {
        self.granted = false;
        if let Origin::Node(address) = origin
            && self
                .holder
                .replace(address)
                .is_some_and(|old| old != address)
        {
            heard.push(Heard::Switch);
        }
        let lasts = self.lasts.get(index as usize).copied().unwrap_or_default();
        heard.push(Heard::Sound { bytes, lasts });
        if index as usize + 1 == self.lasts.len() {
            self.complete = true;
            heard.push(Heard::Last);
        }
    }
}

/// How long each fragment sounds: at a forced rate, else until the next one with sound begins.
fn lasts(manifest: &Manifest, bytes_per_second: Option<f64>) -> Vec<Duration> {
    let song = &manifest.song;
    let seconds = f64::from(song.duration_ms) / 1000.0;
    let forced = bytes_per_second.or_else(|| {
        // Without a known length, or with no fragment of sound, the song's mean rate must do.
        let mean = song.bytes as f64 / seconds;
        (manifest.sound().is_none()).then_some(if seconds > 0.0 { mean } else { 16_000.0 })
    });
    let fragments = manifest.fragments.iter();
    if let Some(rate) = forced {
        let sounds = |length: u32| Duration::from_secs_f64(f64::from(length) / rate);
        return fragments.map(|f| sounds(f.length)).collect();
    }
    let ends = manifest.fragments.iter().skip(1).map(|f| f.start_ms);
    let ends = ends.chain([song.duration_ms]);
    let sounds = fragments.zip(ends).map(|(fragment, end)| {
        let millis = match fragment.part {
            Part::Audio => end.saturating_sub(fragment.start_ms),
            Part::Head | Part::Tail => 0,
        };
        Duration::from_millis(millis.into())
    });
    sounds.collect()
}

/// The fragment that sounds at a moment.
fn index_at(lasts: &[Duration], moment: Duration) -> u32 {
    let mut begins = Duration::ZERO;
    for (index, lasts) in lasts.iter().enumerate() {
        begins += *lasts;
        if begins > moment {
            return index as u32;
        }
    }
    lasts.len().saturating_sub(1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::id::ContentHash;
    use roles::contract::song::{Format, Fragment};

    fn manifest() -> Manifest {
        let hash = ContentHash([7; 32]);
        let fragment = |part, start_ms| Fragment {
            length: 40_000,
            start_ms,
            part,
            hash,
        };
        let parts = [
            fragment(Part::Head, 0),
            fragment(Part::Audio, 0),
            fragment(Part::Audio, 10_000),
            fragment(Part::Tail, 15_000),
        ];
        let mut manifest = Manifest::of(hash, parts.to_vec());
        (manifest.song.format, manifest.song.duration_ms) = (Format::Mp3, 15_000);
        manifest
    }

    /// Tags are not heard; sound lasts until the next sound or the end.
    #[test]
    fn only_sound_lasts() {
        let seconds = |d: Vec<Duration>| d.iter().map(Duration::as_secs).collect::<Vec<_>>();
        assert_eq!(seconds(lasts(&manifest(), None)), [0, 10, 5, 0]);
        assert_eq!(seconds(lasts(&manifest(), Some(20_000.0))), [2, 2, 2, 2]);
    }

    #[test]
    fn a_moment_finds_its_fragment() {
        let lasts = lasts(&manifest(), None);
        let at = |seconds| index_at(&lasts, Duration::from_secs(seconds));
        assert_eq!([at(0), at(9), at(10), at(14), at(99)], [1, 1, 2, 2, 3]);
    }
}
