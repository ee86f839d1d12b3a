//! Commands that are run in mid-run: a node is killed, stopped, or cut off.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::units::duration;

/// A command and its moment, counted from the beginning of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stroke {
    pub(crate) at: Duration,
    pub(crate) command: String,
}

impl Stroke {
    /// Reads `5s:kill -9 1234`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = "write a time, a colon and a command, as in '5s:kill -9 1234'";
        let (at, command) = text.split_once(':').ok_or(wrong)?;
        if command.trim().is_empty() {
            return Err(wrong.into());
        }
        Ok(Stroke {
            at: duration(at)?,
            command: command.trim().to_owned(),
        })
    }
}

/// The strokes of a run, those to come and those whose command may still run.
pub(crate) struct Running {
    /// Latest first, so that the next one is taken from the end.
    coming: Vec<Stroke>,
    begun: Vec<(Stroke, Option<Child>)>,
}

impl Running {
    pub(crate) fn new(strokes: &[Stroke]) -> Self {
        let mut coming = strokes.to_vec();
        coming.sort_by_key(|stroke| std::cmp::Reverse(stroke.at));
        Running {
            coming,
            begun: Vec::new(),
        }
    }

    /// The moment of the next stroke.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.coming.last().map(|stroke| stroke.at)
    }

    /// Starts every command that is due, and says which. Never waits for one: clients go on.
    pub(crate) fn strike(&mut self, elapsed: Duration) -> Vec<String> {
        let mut struck = Vec::new();
        while let Some(stroke) = self.coming.pop_if(|stroke| stroke.at <= elapsed) {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(&stroke.command);
            // Standard output holds the report and nothing else.
            let child = shell.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
            struck.push(stroke.command.clone());
            self.begun.push((stroke, child.ok()));
        }
        struck
    }

    /// The commands that failed or have not ended, each with the moment at which it began.
    pub(crate) fn failures(self) -> Vec<(f64, String)> {
        let told = self.begun.into_iter().filter_map(|(stroke, child)| {
            let words = match child.map(|mut child| child.try_wait()) {
                Some(Ok(Some(status))) if status.success() => return None,
                Some(Ok(Some(status))) => format!("{}: ended with {status}", stroke.command),
                Some(Ok(None)) => format!("{}: has not ended", stroke.command),
                Some(Err(_)) | None => format!("{}: could not be run", stroke.command),
            };
            Some((stroke.at.as_secs_f64(), words))
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stroke_has_a_moment_and_a_command() {
        let stroke = Stroke::parse("500ms: kill -9 1:2").unwrap();
        assert_eq!(stroke.at, Duration::from_millis(500));
        assert_eq!(stroke.command, "kill -9 1:2");
        for wrong in ["kill -9 1", "5s:", "soon:true"] {
            assert!(Stroke::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Strokes come in the order of their moments, however they were given.
    #[test]
    fn strokes_come_in_order_and_failures_are_named() {
        let strokes = ["2s:true", "1s:false"].map(|text| Stroke::parse(text).unwrap());
        let mut running = Running::new(&strokes);
        assert_eq!(running.next(), Some(Duration::from_secs(1)));
        assert_eq!(running.strike(Duration::from_millis(900)), [""; 0]);
        assert_eq!(running.strike(Duration::from_secs(1)), ["false"]);
        assert_eq!(running.strike(Duration::from_secs(9)), ["true"]);
        for (_, child) in &mut running.begun {
            child.as_mut().unwrap().wait().unwrap();
        }
        let failures = running.failures();
        assert_eq!(failures.len(), 1);
        assert!(
            failures[0].1.starts_with("false: ended with"),
            "{failures:?}"
        );
    }
}
