//! The search for the highest load that holds, and the knee of the curve on the way there.

/// Which load to try next: doubled until one breaks, then halfway between the highest that held and
/// the lowest that broke.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    next: f64,
    most: f64,
    within: f64,
    held: Option<f64>,
    broke: Option<f64>,
}

impl Search {
    /// A search from `first` up to `most`, to this relative precision.
    pub(crate) fn new(first: f64, most: f64, within: f64) -> Self {
        Search {
            next: first.min(most),
            most,
            within,
            held: None,
            broke: None,
        }
    }

    /// The load to try; none when the answer is known.
    pub(crate) fn next(&self) -> Option<f64> {
        match (self.held, self.broke) {
            (Some(held), Some(broke)) if broke - held <= held * self.within => None,
            (Some(held), None) if held >= self.most => None,
            // Even the first load may break; then smaller ones are tried, down to one.
            (None, Some(broke)) if broke <= 1.0 => None,
            (Some(_) | None, Some(_) | None) => Some(self.next),
        }
    }

    /// Takes the outcome of the last load that was tried.
    pub(crate) fn on_outcome(&mut self, held: bool) {
        let tried = self.next;
        if held {
            self.held = Some(tried);
        } else {
            self.broke = Some(tried);
        }
        self.next = match (self.held, self.broke) {
            (Some(held), Some(broke)) => (held + broke) / 2.0,
            (Some(held), None) => (held * 2.0).min(self.most),
            (None, Some(broke)) => (broke / 2.0).max(1.0),
            (None, None) => tried,
        };
    }

    /// The highest load that held.
    pub(crate) fn held(&self) -> Option<f64> {
        self.held
    }
}

/// The load at which a curve of (load, latency) bends most: the point farthest below the straight
/// line from its first to its last point, both axes scaled to 1 (Satopää and others, "Finding a
/// Kneedle in a Haystack", 2011). None for fewer than three points or a curve without a bend.
pub(crate) fn knee(curve: &[(f64, f64)]) -> Option<f64> {
    let mut curve = curve.to_vec();
    curve.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (first, last) = (*curve.first()?, *curve.last()?);
    let (wide, high) = (last.0 - first.0, last.1 - first.1);
    if curve.len() < 3 || wide <= 0.0 || high <= 0.0 {
        return None;
    }
    let below = |(load, latency): &(f64, f64)| (load - first.0) / wide - (latency - first.1) / high;
    let bend = curve.iter().max_by(|a, b| below(a).total_cmp(&below(b)))?;
    (below(bend) > 0.05).then_some(bend.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(first: f64, most: f64, limit: f64) -> (Option<f64>, usize) {
        let mut search = Search::new(first, most, 0.05);
        let mut tries = 0;
        while let Some(load) = search.next() {
            search.on_outcome(load <= limit);
            tries += 1;
            assert!(tries < 60, "{search:?}");
        }
        (search.held(), tries)
    }

    #[test]
    fn the_limit_is_found_from_both_sides() {
        for limit in [130.0, 1000.0, 77_777.0, 9.0] {
            let held = find(100.0, 1e6, limit).0.unwrap();
            assert!(held <= limit && held > limit * 0.94, "{held} of {limit}");
        }
    }

    /// Everything holds, or nothing does: the search ends all the same.
    #[test]
    fn a_search_ends_at_its_bounds() {
        assert_eq!(find(100.0, 5000.0, f64::INFINITY).0, Some(5000.0));
        assert_eq!(find(100.0, 5000.0, 0.0).0, None);
        assert_eq!(find(9000.0, 5000.0, 1e9), (Some(5000.0), 1));
    }

    #[test]
    fn the_knee_is_where_the_curve_turns_up() {
        let curve: Vec<(f64, f64)> = (1..=9)
            .map(|n| f64::from(n) * 100.0)
            .map(|load| (load, 1.0 / (1000.0 - load)))
            .collect();
        let knee_at = knee(&curve).unwrap();
        assert!((600.0..=800.0).contains(&knee_at), "{knee_at}");
        assert_eq!(knee(&[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]), None);
        assert_eq!(knee(&curve[..2]), None);
    }
}
