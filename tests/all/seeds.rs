//! Many worlds, and a check that each kind of fault happened in some of them.

use std::env;
use std::fmt::Write;

use tests::coverage::COUNTED;
use tests::run::{self, Length, Outcome};

/// The first seed: from here on even the rarest fault, the death of a node that was just named to
/// switch roles, happens within the number of seeds below.
const FIRST: u64 = 200;

/// As many seeds as an unoptimised build runs in half a minute on one core.
const SEEDS: u64 = 80;

/// Lines of the trace that are shown of a seed that fails.
const LINES_SHOWN: usize = 80;

/// Every invariant holds in every world. `DISPOTIFY_SEED=0x2a cargo test -p tests seeds` repeats
/// one.
#[test]
fn every_seed_keeps_every_rule() {
    if let Some(seed) = asked_for() {
        return keep_rules(seed, run::tell(seed, Length::SHORT));
    }
    let mut outcomes = Vec::new();
    for seed in FIRST..FIRST + SEEDS {
        let outcome = run::run(seed, Length::SHORT);
        if outcome.violation.is_some() {
            keep_rules(seed, run::tell(seed, Length::SHORT));
        }
        outcomes.push(outcome);
    }
    check_exercised(&outcomes);
}

fn asked_for() -> Option<u64> {
    let text = env::var("DISPOTIFY_SEED").ok()?;
    let seed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(seed.expect("DISPOTIFY_SEED is a number, decimal or 0x..."))
}

fn keep_rules(seed: u64, outcome: Outcome) {
    let Some(violation) = outcome.violation else {
        return;
    };
    let first = outcome.lines.len().saturating_sub(LINES_SHOWN);
    panic!(
        "{}\nseed {seed:#x}: {violation}\nrepeat: DISPOTIFY_SEED={seed:#x} cargo test -p tests seeds",
        outcome.lines[first..].join("\n")
    );
}

/// A fault that never happens and a check that never runs prove nothing.
fn check_exercised(outcomes: &[Outcome]) {
    let mut summary = String::new();
    let mut idle = Vec::new();
    for (name, of) in COUNTED {
        let count: u64 = outcomes.iter().map(|outcome| of(&outcome.seen)).sum();
        let _ = write!(summary, "{name} {count}, ");
        if count == 0 {
            idle.push(*name);
        }
    }
    assert!(idle.is_empty(), "never happened: {idle:?} ({summary})");
    let untroubled = outcomes
        .iter()
        .filter(|o| o.seen.crashes + o.seen.cuts == 0);
    assert!(untroubled.count() > 5, "some worlds are calm");
}
