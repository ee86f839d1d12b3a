//! `--fail-on 'p99>5ms,stalls>0'`: conditions under which a run counts as failed.
//!
//! Each condition compares a figure of the report with a number. Durations are in seconds inside.

use std::fmt;

use crate::units::number_of;

/// One condition; the run fails when it is true.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    /// The figure's name in the report.
    pub(crate) figure: String,
    sign: Sign,
    bound: f64,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// All conditions of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FailOn(pub(crate) Vec<Condition>);

impl FailOn {
    /// Reads conditions separated by commas.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        parts
            .map(Condition::parse)
            .collect::<Result<_, _>>()
            .map(FailOn)
    }

    /// The conditions that are true, given the figures. A figure that the run does not have is no
    /// failure: `check_names` has refused unknown ones before.
    pub(crate) fn broken(&self, figure: impl Fn(&str) -> Option<f64>) -> Vec<&Condition> {
        let holds = |c: &&Condition| figure(&c.figure).is_some_and(|value| c.is_true(value));
        self.0.iter().filter(holds).collect()
    }

    /// An error that names the first figure that is none of `known`.
    pub(crate) fn check_names(&self, known: &[&str]) -> Result<(), String> {
        let unknown = |c: &&Condition| !known.contains(&&*c.figure);
        let Some(stranger) = self.0.iter().find(unknown) else {
            return Ok(());
        };
        let names = known.join(", ");
        Err(format!(
            "{stranger}: there is no figure of this name (there are {names})"
        ))
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text}: write a figure, one of > >= < <=, and a number, as in p99>5ms");
        let at = text.find(['<', '>']).ok_or_else(wrong)?;
        let (figure, rest) = text.split_at(at);
        if figure.trim().is_empty() {
            return Err(wrong());
        }
        let (sign, number) = if let Some(number) = rest.strip_prefix(">=") {
            (Sign::AtLeast, number)
        } else if let Some(number) = rest.strip_prefix("<=") {
            (Sign::AtMost, number)
        } else if let Some(number) = rest.strip_prefix('>') {
            (Sign::Above, number)
        } else {
            (Sign::Below, rest.trim_start_matches('<'))
        };
        Ok(Condition {
            figure: figure.trim().to_owned(),
            sign,
            bound: number_of(number.trim()).ok_or_else(wrong)?,
            text: text.to_owned(),
        })
    }

    fn is_true(&self, value: f64) -> bool {
        match self.sign {
            Sign::Above => value > self.bound,
            Sign::AtLeast => value >= self.bound,
            Sign::Below => value < self.bound,
            Sign::AtMost => value <= self.bound,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(name: &str) -> Option<f64> {
        match name {
            "p99" => Some(0.006),
            "stalls" => Some(0.0),
            "rate" => Some(950.0),
            _ => None,
        }
    }

    fn broken(text: &str) -> Vec<String> {
        let conditions = FailOn::parse(text).unwrap();
        let broken = conditions.broken(figures);
        broken.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_true_condition_is_named() {
        assert_eq!(broken("p99>5ms,stalls>0"), ["p99>5ms"]);
        assert_eq!(broken("p99>0.006s"), [""; 0]);
        assert_eq!(
            broken(" p99 >= 6000us , rate<1k, rate<=950"),
            ["p99 >= 6000us", "rate<1k", "rate<=950"]
        );
        assert_eq!(broken(""), [""; 0]);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for wrong in ["p99", "p99>", "p99>fast", "p99=5", ">>1", "p99>5parsecs"] {
            let read = FailOn::parse(wrong);
            assert!(read.is_err(), "{wrong}: {read:?}");
        }
    }

    #[test]
    fn an_unknown_figure_is_refused_with_the_known_ones() {
        let conditions = FailOn::parse("p99>1,p98>1").unwrap();
        let said = conditions.check_names(&["p50", "p99"]).unwrap_err();
        assert!(
            said.contains("p98>1") && said.contains("p50, p99"),
            "{said}"
        );
    }
}
