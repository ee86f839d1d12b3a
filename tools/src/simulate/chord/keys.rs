//! Keys per node: how even the shares are, and how many keys a joining node moves.

use std::collections::BTreeMap;
use std::io::{self, Write};

use roles::contract::id::NodeId;
use roles::contract::partition::{PARTITIONS, Partition};
use roles::contract::rng::Rng;
use roles::hash_ring::{HashRing, POINTS_PER_WEIGHT};

use super::{ids, verdict};

/// Hash rings averaged for each figure.
const CIRCLES: u64 = 20;

/// Hash rings averaged for a figure of plain points, which has no partitions.
const CIRCLES_OF_POINTS: u64 = 400;

fn partitions() -> impl Iterator<Item = Partition> {
    Partition::all()
}

/// Measures the share of the fullest node over the mean. The target applies to three copies of
/// every partition, which is what nodes store; three copies are more even than first owners alone.
pub(super) fn shares(out: &mut impl Write) -> io::Result<bool> {
    writeln!(
        out,
        "\nfullest node over the mean; in brackets the reference; ours: {POINTS_PER_WEIGHT} points, {PARTITIONS} partitions"
    )?;
    writeln!(
        out,
        "\n  nodes       1 point     64 points    256 points   ours, first owner   three copies  target"
    )?;
    let rows = [
        (5, None, ["2.36", "1.16", "1.07"]),
        (10, Some(1.12), ["2.97", "1.19", "1.10"]),
        (20, None, ["3.61", "1.25", "1.12"]),
        (50, Some(1.18), ["4.61", "1.31", "1.15"]),
    ];
    let mut all = true;
    for (count, target, reference) in rows {
        write!(out, "{count:7}")?;
        for (points, reference) in [1, 64, 256].into_iter().zip(reference) {
            let hottest = over(CIRCLES_OF_POINTS, |seed| {
                hottest_of_points(count, points, seed)
            });
            write!(out, " {hottest:6.2} ({reference})")?;
        }
        let first = over(CIRCLES, |seed| hottest(count, 1, seed));
        let three = over(CIRCLES, |seed| hottest(count, 3, seed));
        let fine = target.is_none_or(|target| three <= target);
        all &= fine;
        let target = target.map_or("-".into(), |target| format!("{target:.2}"));
        writeln!(
            out,
            " {first:19.2} {three:14.2} {target:>7}{}",
            verdict(fine)
        )?;
    }
    Ok(all)
}

fn over(circles: u64, figure: impl Fn(u64) -> f64) -> f64 {
    (0..circles).map(figure).sum::<f64>() / circles as f64
}

/// The fullest share with random points, where each point owns the keys before it.
fn hottest_of_points(count: usize, points: usize, seed: u64) -> f64 {
    let mut rng = Rng::from_seed(seed);
    let owner = |number: usize| number % count;
    let mut all: Vec<(u64, usize)> = (0..count * points)
        .map(|number| (rng.bits(), owner(number)))
        .collect();
    all.sort_unstable();
    let mut shares = vec![0.0; count];
    let mut before = all.last().map_or(0, |(at, _)| *at);
    for (at, owner) in all {
        shares[owner] += at.wrapping_sub(before) as f64;
        before = at;
    }
    let most = shares.iter().copied().fold(0.0, f64::max);
    most * count as f64 / 2f64.powi(64)
}

/// The fullest share with the hash ring of real nodes.
fn hottest(count: usize, copies: usize, seed: u64) -> f64 {
    let nodes = ids(count, &mut Rng::from_seed(seed));
    let circle = HashRing::of(nodes.iter().map(|node| (*node, 1)));
    let mut shares: BTreeMap<NodeId, usize> = BTreeMap::new();
    for partition in partitions() {
        for owner in circle.owners(partition, copies) {
            *shares.entry(owner).or_default() += 1;
        }
    }
    let most = shares.values().max().copied().unwrap_or(0);
    most as f64 * count as f64 / (f64::from(PARTITIONS) * count.min(copies) as f64)
}

/// Measures the copies that a tenth node moves, over its fair share.
pub(super) fn newcomers(out: &mut impl Write) -> io::Result<bool> {
    let moved = |seed: u64| {
        let nodes = ids(10, &mut Rng::from_seed(seed));
        let of = |nodes: &[NodeId]| HashRing::of(nodes.iter().map(|node| (*node, 1)));
        let (before, after) = (of(&nodes[1..]), of(&nodes));
        let moves = |partition: Partition| {
            let old = before.owners(partition, 3);
            let new = after.owners(partition, 3);
            new.iter().filter(|node| !old.contains(node)).count()
        };
        partitions().map(moves).sum::<usize>() as f64
    };
    let share = f64::from(PARTITIONS) * 3.0 / 10.0;
    let mean = over(CIRCLES, |seed| moved(seed) / share);
    let fine = mean <= 1.1;
    writeln!(
        out,
        "\na tenth node moves {mean:.3} of its share (target 1.1){}",
        verdict(fine)
    )?;
    Ok(fine)
}
