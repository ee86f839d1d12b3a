//! Files damaged at random, from a seed, and readers that must bear them.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Gives `read` damaged copies of `files`: a few in every run of the tests, as many as
/// `DISPOTIFY_FUZZ` says in a run of its own. No input may take long or much memory; one that
/// panics is named by its number, from which it follows.
pub(crate) fn fuzz(reader: &str, files: &[Vec<u8>], read: impl Fn(&[u8])) {
    let wanted = env::var("DISPOTIFY_FUZZ").ok();
    let wanted: Option<u64> = wanted.and_then(|inputs| inputs.parse().ok());
    let inputs = wanted.unwrap_or(INPUTS);
    let (begun, memory) = (Instant::now(), peak_kib());
    for number in 0..inputs {
        let file = damaged(files, number);
        let _named = Named { reader, number };
        if !file.is_empty() && time(&read, &file) > SLOW {
            // Another program may have had the processor: only what is always slow counts.
            let fastest = (0..5).map(|_| time(&read, &file)).min();
            assert!(fastest < Some(SLOW), "{reader}: {number} takes {fastest:?}");
        }
    }
    if wanted.is_some() {
        let grown = peak_kib().saturating_sub(memory);
        let line = format!(
            "{reader}: {inputs} inputs, {:?}, {grown} KiB more\n",
            begun.elapsed()
        );
        io::stdout()
            .write_all(line.as_bytes())
            .expect("standard output");
        assert!(grown < MEMORY_KIB_MAX, "{reader}: {grown} KiB");
    }
}

/// The input of this number.
fn damaged(files: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut dice = Dice::new(number);
    let mut file = files[number as usize % files.len()].clone();
    damage(&mut file, &mut dice);
    file
}

fn time(read: impl Fn(&[u8]), file: &[u8]) -> Duration {
    let begun = Instant::now();
    read(file);
    begun.elapsed()
}

/// The most memory that this process has ever reserved, whether used or not; 0 if unknown.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let number = peak.and_then(|line| line.split_whitespace().next());
    number.and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// Tells which input it was, if reading it panics.
struct Named<'r> {
    reader: &'r str,
    number: u64,
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let line = format!("{}: input {}\n", self.reader, self.number);
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }
}

/// Inputs of each reader in every run of the tests.
const INPUTS: u64 = 1_000;

/// No file of a few kilobytes takes longer.
const SLOW: Duration = Duration::from_millis(100);

/// A tag of 48 MiB, a cover of 32 MiB and a table of 16 MiB, and some more for their copies.
const MEMORY_KIB_MAX: u64 = 192 * 1024;

/// A generator of its own, so that a failure is found again by its number.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `n`, or 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }

    fn garbage(&mut self) -> Vec<u8> {
        let length = self.below(3000);
        (0..length).map(|_| self.roll() as u8).collect()
    }
}

/// Changes a file in one to four places, each in one of the ways files are damaged.
pub(crate) fn damage(file: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(file.len());
        match dice.below(8) {
            0 => file.truncate(at),
            1 => drop(file.splice(at..at, dice.garbage())),
            2 => drop(file.drain(at..(at + dice.below(2000)).min(file.len()))),
            3 => file.extend(dice.garbage()),
            4 => drop(file.splice(0..0, dice.garbage())),
            5 => file.extend_from_within(at..),
            6 => file
                .iter_mut()
                .skip(at)
                .take(8)
                .for_each(|byte| *byte = 0xff),
            _ => {
                for _ in 0..dice.below(20) {
                    // Headers and tables lie in front: they are hit more often than the sound.
                    let near = if dice.below(2) == 0 { 200 } else { file.len() };
                    let place = dice.below(near.min(file.len()));
                    if let Some(byte) = file.get_mut(place) {
                        *byte ^= 1 << dice.below(8);
                    }
                }
            }
        }
    }
}
