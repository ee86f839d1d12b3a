//! Worlds about copies keep every invariant, and every mutant of keeping copies breaks one.

use roles::mutants::CopyMutant;
use tests::data_mutants::{self, DataMutant};
use tests::run;

/// Worlds without a mutant.
const SEEDS: u64 = 60;

/// Worlds tried for each mutant: nearly twice as many as the last mutant to be found needs.
const SLIPS: u64 = 200;

/// Data nodes come late, die for good and hand over; disks rot, go back in time, fail and fill up.
#[test]
fn worlds_about_copies_keep_every_rule() {
    for seed in 0..SEEDS {
        let outcome = run::run_copies(seed, data_mutants::LENGTH, false);
        assert_eq!(outcome.violation, None, "copies seed {seed:#x}");
    }
}

/// Some world breaks an invariant for each mutant, and it is an invariant that the mutant concerns.
#[test]
fn every_slip_in_keeping_copies_is_found() {
    for mutant in DataMutant::all() {
        let rules: &[&str] = match mutant {
            DataMutant::Planted(CopyMutant::LetsGoUnconfirmed) => {
                &["S2 nothing is let go that others lack"]
            }
            DataMutant::Planted(
                CopyMutant::NeverLetsGo
                | CopyMutant::TrustsAStaleTable
                | CopyMutant::NeverCompares
                | CopyMutant::GivesNewcomersNothing,
            ) => &["L4 every song is where it belongs", "copies are made"],
            // Who waits for a dead owner without end counts its copy when it lets its own go.
            DataMutant::Planted(CopyMutant::RepairNeverStarts) => &[
                "L4 every song is where it belongs",
                "copies are made",
                "S2 nothing is let go that others lack",
            ],
            DataMutant::Planted(CopyMutant::CountsRefusedCopies) => {
                &["S2 an acknowledgement is true"]
            }
            DataMutant::Planted(CopyMutant::DrainsAtOnce) => {
                &["S7 who hands over leaves with nothing"]
            }
            DataMutant::Planted(CopyMutant::ScrubLooksAway) => {
                &["L4 every song is where it belongs", "copies are made"]
            }
            DataMutant::Planted(CopyMutant::BuriesAlone)
            | DataMutant::BuriesNothing
            | DataMutant::AnswersRemovalEarly => &["S5 a removal's answer is true"],
            // No node answers for the songs of a node that can read nothing and says nothing of it.
            DataMutant::Planted(CopyMutant::HidesWhatItCannotRead) => &[
                "L4 every song is where it belongs",
                "copies are made",
                "L3 look-ups",
            ],
            DataMutant::Planted(CopyMutant::HidesTheHealed) => &[
                "L4 every song is where it belongs",
                "routers list every song",
            ],
            // A song that was restored and thrown away again leaves by its first mark.
            DataMutant::Planted(CopyMutant::ExpiresUnasked) => &[
                "T2 an acknowledged restore stands",
                "T1 nothing leaves the trash before its time",
            ],
            DataMutant::Planted(CopyMutant::RestoresUnversioned | CopyMutant::MarksAlone) => {
                &["T3 a change's answer is true"]
            }
            DataMutant::Planted(CopyMutant::NeverComparesMarks) => &[
                "T5 data nodes have the same marks",
                "T6 what is over is gone, with its bytes",
            ],
            DataMutant::Planted(CopyMutant::AgesTwice) => {
                &["T1 nothing leaves the trash before its time"]
            }
            DataMutant::BelievesItsTables => &[
                "S3 no altered manifest leaves a data node",
                "L4 every song is where it belongs",
            ],
            DataMutant::ForgetsRemovals => &["S5 a removal lasts"],
            DataMutant::OwesInMemoryOnly => &["S2 what is owed is written down"],
            DataMutant::ServesRotten => &["S3 no wrong byte leaves a data node"],
            DataMutant::CommitsUnchecked => &["S3 the whole is what its id says"],
            DataMutant::ResumesTooLate => &["uploads are taken", "copies are made"],
        };
        let found = data_mutants::found_in_copies(mutant, SLIPS);
        assert!(
            found.is_some_and(|(_, rule)| rules.contains(&rule)),
            "{mutant:?}: {found:?}"
        );
    }
}
