//! Planted faults are found: each rule can fail.

use tests::mutants::Flaw;
use tests::run::{self, Length};
use tests::world::World;

/// Worlds tried for each flaw.
const SEEDS: u64 = 12;

/// The rule that the first of a few worlds breaks.
fn found(flaw: Flaw) -> Option<&'static str> {
    (0..SEEDS).find_map(|seed| {
        let mut world = World::of_seed(seed);
        world.plant(flaw);
        let outcome = run::run_world(seed, world, Length::SHORT);
        outcome.violation.map(|violation| violation.rule)
    })
}

/// A dozen worlds are enough for every flaw, and it is the right rule that is broken.
#[test]
fn every_planted_flaw_is_found() {
    for flaw in Flaw::ALL {
        let rules: &[&str] = match flaw {
            Flaw::AnswersBeforeCommit => &["S2 an acknowledgement is true"],
            Flaw::ForgetsCopies => &["copies are made", "S2 an acknowledgement is true"],
            Flaw::GivesAnotherFragment => &["acknowledged songs can be read", "copies are made"],
            Flaw::ServesTheDead | Flaw::ServesTooFew => &["S9 names"],
            Flaw::DoesTwice => &["S4 at most once"],
            Flaw::OffersOneHolder => &["acknowledged songs can be read"],
            Flaw::ListsNothing => &["routers list every song"],
            Flaw::DeliversOutOfOrder => &["S3 byte exactness"],
            Flaw::EndsTwice => &["one final notice"],
            Flaw::NeverEnds => &["every operation ends"],
            Flaw::LeavesDeadlinesBehind => &["deadlines advance"],
            Flaw::AsksWithoutEnd => &["S8 bounds"],
        };
        let rule = found(flaw);
        assert!(
            rule.is_some_and(|rule| rules.contains(&rule)),
            "{flaw:?}: {rule:?}"
        );
    }
}
