//! What is asked, and how often: kinds of requests with weights.

use std::fmt;

use roles::contract::rng::Rng;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A page of the catalogue, from a router.
    List,
    /// A search of one word, at a router.
    Search,
    /// A song's holders, from a router.
    Locate,
    /// The addresses of a group, from a DNS node.
    Resolve,
    /// One fragment, from a holder.
    Fetch,
    /// A whole song, stored by its owner.
    Upload,
}

impl Kind {
    pub(crate) const ALL: [Kind; 6] = [
        Kind::List,
        Kind::Search,
        Kind::Locate,
        Kind::Resolve,
        Kind::Fetch,
        Kind::Upload,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::List => "list",
            Kind::Search => "search",
            Kind::Locate => "locate",
            Kind::Resolve => "resolve",
            Kind::Fetch => "fetch",
            Kind::Upload => "upload",
        }
    }
}

/// Weights of the kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mix(Vec<(Kind, u32)>);

impl Mix {
    /// Reads `list=10,locate=90`; a kind without a weight has weight 1.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        let weights: Vec<(Kind, u32)> = parts.map(weight).collect::<Result<_, _>>()?;
        if weights.iter().all(|(_, weight)| *weight == 0) {
            return Err("at least one kind needs a weight above 0".into());
        }
        Ok(Mix(weights))
    }

    /// Draws a kind.
    pub(crate) fn draw(&self, rng: &mut Rng) -> Kind {
        let sum: u64 = self.0.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut at = rng.below(sum);
        for (kind, weight) in &self.0 {
            match at.checked_sub(u64::from(*weight)) {
                None => return *kind,
                Some(rest) => at = rest,
            }
        }
        Kind::Locate // Not reached: the draw is below the sum of the weights.
    }

    /// Whether requests of this kind are asked.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.0.iter().any(|(k, weight)| *k == kind && *weight > 0)
    }
}

fn weight(part: &str) -> Result<(Kind, u32), String> {
    let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == name.trim());
    let names = || Kind::ALL.map(Kind::name).join(", ");
    let kind = kind.ok_or_else(|| format!("{name}: there are {}", names()))?;
    let weight = weight.trim().parse().ok().filter(|w| *w <= 1_000_000);
    weight
        .map(|weight| (kind, weight))
        .ok_or_else(|| format!("{part}: write a kind, = and a whole number"))
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.0.iter().filter(|(_, weight)| *weight > 0);
        for (n, (kind, weight)) in used.enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{}={weight}", kind.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_come_as_often_as_they_weigh() {
        let mix = Mix::parse("list=1, locate=3,fetch=0").unwrap();
        let mut rng = Rng::from_seed(1);
        let lists = (0..4000).filter(|_| mix.draw(&mut rng) == Kind::List);
        assert!((900..1100).contains(&lists.count()));
        assert!(mix.has(Kind::Locate) && !mix.has(Kind::Fetch));
        assert_eq!(mix.to_string(), "list=1,locate=3");
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in ["", "list=0", "dance=1", "list=many", "list=-1"] {
            assert!(Mix::parse(wrong).is_err(), "{wrong}");
        }
    }
}
