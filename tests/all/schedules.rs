//! The Chord circle under random schedules, and mutants that its checks must find.

use roles::mutants::{ChordMutant, ChordMutants};
use tests::schedules;

/// Schedules that are run, and schedules that are tried for each mutant.
const SCHEDULES: u64 = 40;

/// The corrected operations keep every invariant after every message, and the circle becomes ideal.
#[test]
fn schedules_keep_every_rule() {
    for seed in 0..SCHEDULES {
        let ran = schedules::run(seed, ChordMutants::default());
        assert_eq!(ran.broken, None, "schedule {seed}");
        assert!(ran.lookups > 0 && ran.steps > 1000);
    }
}

/// In two circles, each node asks the successor that its member table gives, and they become one.
#[test]
fn two_circles_become_one() {
    for seed in 0..SCHEDULES {
        assert_eq!(schedules::mend(seed).broken, None, "schedule {seed}");
    }
}

/// Each mutant breaks an invariant; the mistakes of the published Chord are among the mutants. One
/// is left out: only nodes that lie lead a look-up round, and the scenario of S44 has such nodes.
#[test]
fn every_flaw_of_the_circle_is_found() {
    let honest = |mutant: &ChordMutant| *mutant != ChordMutant::NoHopLimit;
    for mutant in ChordMutant::ALL.into_iter().filter(honest) {
        let found = schedules::found(mutant, SCHEDULES);
        assert!(found.is_some(), "{mutant:?}");
    }
}
