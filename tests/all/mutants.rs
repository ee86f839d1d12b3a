//! Planted faults are found: each rule can fail.

use roles::chord::flaws::Flaw as Circular;
use roles::flaws::Flaw as Planted;
use tests::mutants::{self, Flaw};
use tests::run::{self, Length};
use tests::world::World;

/// Worlds tried for each flaw.
const SEEDS: u64 = 12;

/// Worlds about the ring that are tried for each flaw of the roles themselves.
const RINGS: u64 = 60;

/// Worlds about the circle.
const CIRCLES: u64 = 24;

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
            Flaw::ForgetsCopies => &["S2 what is owed is written down"],
            Flaw::GivesAnotherFragment => &[
                "acknowledged songs can be read",
                "copies are made",
                "uploads are taken",
            ],
            Flaw::ServesTheDead | Flaw::ServesTooFew => &["S9 names"],
            Flaw::DoesTwice => &["S4 at most once"],
            Flaw::OffersOneHolder => &["acknowledged songs can be read"],
            Flaw::ListsNothing => &["routers list every song"],
            Flaw::DeliversOutOfOrder => &["S3 byte exactness"],
            Flaw::EndsTwice => &["one final notice"],
            Flaw::NeverEnds => &["every operation ends", "uploads are taken"],
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

/// So are those that are planted in the roles themselves, in worlds about the ring; but for two
/// that the other members make good: who is not watched is probed by somebody a little later, and
/// a suspicion raised after standing still is refuted in time.
#[test]
fn every_flaw_of_the_roles_is_found() {
    let made_good = [Planted::NeverWatches, Planted::TrustsItsClock];
    let missed: Vec<Planted> = (Planted::ALL.into_iter())
        .filter(|flaw| !made_good.contains(flaw))
        .filter(|flaw| mutants::found_in_rings(*flaw, RINGS).is_none())
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// Whoever takes the word of the wrong node, or mends its list piece by piece, is found in worlds
/// about the circle. What only goes wrong on the way, and is right when all is mended, is for the
/// schedules to find: there every flaw of the circle is planted.
#[test]
fn flaws_of_the_circle_that_last_are_found() {
    let lasting = [
        Circular::RepairsPiecemeal,
        Circular::FoundsAlone,
        Circular::ListOfTwo,
        Circular::TrustsFingers,
    ];
    for flaw in lasting {
        assert!(mutants::found_in_circles(flaw, 6).is_some(), "{flaw:?}");
    }
}

/// Without a flaw the same worlds keep every rule.
#[test]
fn worlds_about_the_circle_keep_every_rule() {
    for seed in 0..CIRCLES {
        let outcome = run::run_world(seed, World::of_circle(seed), mutants::RING_LENGTH);
        assert_eq!(outcome.violation, None, "circle seed {seed:#x}");
    }
}

/// Without a flaw the same worlds keep every rule.
#[test]
fn worlds_about_the_ring_keep_every_rule() {
    for seed in 0..RINGS {
        let outcome = run::run_world(seed, World::of_ring(seed), mutants::RING_LENGTH);
        assert_eq!(outcome.violation, None, "ring seed {seed:#x}");
    }
}
