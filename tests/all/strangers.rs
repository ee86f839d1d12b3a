//! Worlds with silent strangers keep every invariant, and each mistake at the border breaks one.

use tests::mutants::RING_LENGTH;
use tests::run;
use tests::strangers::{BorderMutant, found_among_strangers};

/// Worlds without a mutant.
const SEEDS: u64 = 40;

/// Worlds tried for each mutant: ten times as many as are needed.
const WRONG: u64 = 40;

/// Strangers fill the places of newcomers many times a second. Who has the key is let in all the same,
/// and is answered within two seconds.
#[test]
fn strangers_keep_nobody_out() {
    let (mut strangers, mut answered) = (0, 0);
    for seed in 0..SEEDS {
        let outcome = run::run_strangers(seed, RING_LENGTH, false);
        assert_eq!(outcome.violation, None, "strangers seed {seed:#x}");
        strangers += outcome.seen.strangers;
        answered += outcome.seen.answered_at_borders;
    }
    let enough = strangers > 1000 * SEEDS && answered > 10 * SEEDS;
    assert!(enough, "{strangers} strangers, {answered} answers");
}

/// Some world breaks an invariant for each mistake.
#[test]
fn every_mistake_at_the_border_is_found() {
    for mutant in BorderMutant::ALL {
        let found = found_among_strangers(mutant, WRONG);
        assert!(found.is_some(), "{mutant:?}");
    }
}
