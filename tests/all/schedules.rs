//! The Chord circle under random schedules, and that its checks can fail.

use roles::chord::flaws::{Flaw, Flaws};
use tests::schedules;

/// Schedules that are run, and tried for each flaw.
const SCHEDULES: u64 = 40;

/// The corrected operations keep every rule after every message, and the circle becomes ideal.
#[test]
fn schedules_keep_every_rule() {
    for seed in 0..SCHEDULES {
        let ran = schedules::run(seed, Flaws::default());
        assert_eq!(ran.broken, None, "schedule {seed}");
        assert!(ran.lookups > 0 && ran.steps > 1000);
    }
}

/// Each node of either asks the one that its member table has next.
#[test]
fn two_circles_become_one() {
    for seed in 0..SCHEDULES {
        assert_eq!(schedules::mend(seed).broken, None, "schedule {seed}");
    }
}

/// Each planted flaw breaks one of them, those of the published Chord among them.
#[test]
fn every_flaw_of_the_circle_is_found() {
    for flaw in Flaw::ALL {
        let found = schedules::found(flaw, SCHEDULES);
        assert!(found.is_some(), "{flaw:?}");
    }
}
