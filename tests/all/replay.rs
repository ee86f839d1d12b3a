//! A seed determines the whole run.

use tests::run::{self, Length};

/// Two runs of one seed agree in every event: nothing comes from a clock, a hasher or a thread.
#[test]
fn two_runs_of_a_seed_agree() {
    for seed in [0, 1, 7, 23, 42, 49] {
        let (first, second) = (run::run(seed, Length::SHORT), run::run(seed, Length::SHORT));
        assert_eq!(first.hash, second.hash, "seed {seed:#x}");
        assert_eq!(first.events, second.events, "seed {seed:#x}");
        assert_eq!(first.seen, second.seen, "seed {seed:#x}");
    }
}

/// Writing the trace as text changes nothing; otherwise the text would describe another run.
#[test]
fn a_run_told_in_words_is_the_same_run() {
    let (silent, told) = (run::run(5, Length::SHORT), run::tell(5, Length::SHORT));
    assert_eq!(silent.hash, told.hash);
    assert!(!told.lines.is_empty());
}

/// A hash that is the same for every seed would prove nothing.
#[test]
fn other_seeds_are_other_runs() {
    assert_ne!(
        run::run(1, Length::SHORT).hash,
        run::run(2, Length::SHORT).hash
    );
}
