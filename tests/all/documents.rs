//! Worlds about what listeners write keep every rule, and every mutant of it breaks one.

use roles::mutants::DocumentMutant;
use tests::data_mutants::LENGTH;
use tests::{documents, run};

/// Worlds without a mutant.
const SEEDS: u64 = 40;

/// Worlds tried for each mutant.
const SLIPS: u64 = 100;

/// Servers die and come back, disks are lost and begin anew, clocks differ.
#[test]
fn worlds_about_listeners_keep_every_rule() {
    let (mut written, mut read) = (0, 0);
    for seed in 0..SEEDS {
        let outcome = run::run_documents(seed, LENGTH, false);
        assert_eq!(outcome.violation, None, "documents seed {seed:#x}");
        written += outcome.seen.writes;
        read += outcome.seen.documents_read;
    }
    assert!(written > 1000 && read > 500, "{written} {read}");
}

/// Some world breaks an invariant for each mutant, and it is an invariant that the mutant concerns.
#[test]
fn every_slip_about_listeners_is_found() {
    const D1: &str = "D1 a write gives way to none that ended before it began";
    const D2: &str = "D2 data nodes have the same documents";
    const D3: &str = "D3 routers have what the data nodes have";
    const D4: &str = "D4 an answer to a write is true";
    const D5: &str = "D5 a write is read through any router at once";
    for mutant in DocumentMutant::ALL {
        let rules: &[&str] = match mutant {
            DocumentMutant::WritesAlone | DocumentMutant::TellsTheFirst => &[D4],
            DocumentMutant::HidesTheLater | DocumentMutant::StampsLow => &[D4, D1],
            DocumentMutant::AnswersUntold => &[D5],
            DocumentMutant::NeverComparesDocuments
            | DocumentMutant::ComparesHalf
            | DocumentMutant::SendsNoDeletions => &[D2],
            DocumentMutant::FeedsNoDeletions | DocumentMutant::RouterKeepsTheFirst => &[D3, D5],
            DocumentMutant::TrustsAnyClock => &["D7 no clock is far ahead"],
            DocumentMutant::CountsTwice => &["D6 plays add up"],
        };
        let found = documents::found_in_documents(mutant, SLIPS);
        assert!(
            found.is_some_and(|(_, rule)| rules.contains(&rule)),
            "{mutant:?}: {found:?}"
        );
    }
}
