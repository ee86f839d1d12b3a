//! Worlds about copies keep every invariant, and every mutant of keeping copies breaks one.

use roles::lapses::Lapse;
use tests::careless::{self, Slip};
use tests::run;

/// Worlds without a mutant.
const SEEDS: u64 = 60;

/// Worlds tried for each mutant: three times as many as the last mutant to be found needs.
const SLIPS: u64 = 60;

/// Data nodes come late, die for good and hand over; disks rot, go back in time, fail and fill up.
#[test]
fn worlds_about_copies_keep_every_rule() {
    for seed in 0..SEEDS {
        let outcome = run::run_copies(seed, careless::LENGTH, false);
        assert_eq!(outcome.violation, None, "copies seed {seed:#x}");
    }
}

/// Some world breaks an invariant for each mutant, and it is an invariant that the mutant concerns.
#[test]
fn every_slip_in_keeping_copies_is_found() {
    for slip in Slip::all() {
        let rules: &[&str] = match slip {
            Slip::Planted(Lapse::LetsGoUnconfirmed) => &["S2 nothing is let go that others lack"],
            Slip::Planted(
                Lapse::NeverLetsGo
                | Lapse::TrustsAStaleTable
                | Lapse::RepairNeverStarts
                | Lapse::NeverCompares
                | Lapse::GivesNewcomersNothing,
            ) => &["L4 every song is where it belongs", "copies are made"],
            Slip::Planted(Lapse::CountsRefusedCopies) => &["S2 an acknowledgement is true"],
            Slip::Planted(Lapse::DrainsAtOnce) => &["S7 who hands over leaves with nothing"],
            Slip::Planted(Lapse::ScrubLooksAway) => {
                &["L4 every song is where it belongs", "copies are made"]
            }
            Slip::Planted(Lapse::BuriesAlone) | Slip::BuriesNothing | Slip::AnswersRemovalEarly => {
                &["S5 a removal's answer is true"]
            }
            Slip::ForgetsRemovals => &["S5 a removal lasts"],
            Slip::OwesInMemoryOnly => &["S2 what is owed is written down"],
            Slip::ServesRotten => &["S3 no wrong byte leaves a data node"],
            Slip::CommitsUnchecked => &["S3 the whole is what its id says"],
            Slip::ResumesTooLate => &["uploads are taken", "copies are made"],
        };
        let found = careless::found_in_copies(slip, SLIPS);
        assert!(
            found.is_some_and(|(_, rule)| rules.contains(&rule)),
            "{slip:?}: {found:?}"
        );
    }
}
