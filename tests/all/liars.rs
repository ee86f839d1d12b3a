//! Worlds in which one member lies keep every invariant, and a credulous member breaks one.

use tests::mutants::{self, CREDULOUS, RING_LENGTH};
use tests::run;

/// Worlds without a mutant.
const SEEDS: u64 = 40;

/// Worlds tried for each mutant: ten times as many as are needed.
const CREDULOUS_SEEDS: u64 = 40;

/// One bit in one of ten of its envelopes is false. No other member stops, no song is lost, no living
/// node is called dead, and when the lying ends all is as it should be.
#[test]
fn a_member_that_lies_harms_no_other() {
    let mut altered = 0;
    for seed in 0..SEEDS {
        let outcome = run::run_liars(seed, RING_LENGTH, false);
        assert_eq!(outcome.violation, None, "liars seed {seed:#x}");
        altered += outcome.seen.words_altered;
    }
    assert!(altered > 20 * SEEDS, "{altered} envelopes");
}

/// Some world breaks an invariant for each mutant that believes what others say of a process.
#[test]
fn credulity_is_found() {
    for mutant in CREDULOUS {
        let found = mutants::found_in_liars(mutant, CREDULOUS_SEEDS);
        assert!(found.is_some(), "{mutant:?}");
    }
}
