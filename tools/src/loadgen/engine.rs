//! The loop of a run: sockets, time, the driver's work, a line per second, strokes.
//!
//! What load means is the driver's business; the engine only keeps time, and watches itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use roles::contract::time::Time;

use super::chaos::{Running, Stroke};
use super::course::{Course, Row};
use super::failure::Failure;
use super::report::Report;
use super::screen::Screen;
use super::sockets::{self, Sockets};

/// A kind of load.
pub(crate) trait Driver {
    /// Opens what must be open before the run begins.
    fn prepare(&mut self, sockets: &mut Sockets);
    /// Whether the run may begin.
    fn is_ready(&self) -> bool;
    /// Begins the load.
    fn begin(&mut self, now: Time, sockets: &mut Sockets);
    /// Something has happened on a connection.
    fn on_report(&mut self, now: Time, report: sockets::Report, sockets: &mut Sockets);
    /// Does everything that is due.
    fn on_tick(&mut self, now: Time, sockets: &mut Sockets);
    /// When something is due next.
    fn deadline(&self) -> Option<Time>;
    /// Adds no more load.
    fn end(&mut self, now: Time);
    /// Whether nothing is under way that the end should wait for.
    fn is_idle(&self) -> bool;
    /// What happened since the last call.
    fn row(&mut self, now: Time) -> Row;
    /// The result. The engine fills in the course.
    fn report(&mut self, took: Duration) -> Report;
}

/// How one run goes.
pub(crate) struct Plan<'a> {
    pub(crate) seconds: Duration,
    pub(crate) strokes: &'a [Stroke],
    /// Set by Ctrl-C.
    pub(crate) stop: &'a AtomicBool,
}

/// How long all connections may take before the run begins.
const PREPARE: Duration = Duration::from_secs(30);

/// How long answers may take after it has ended.
const GRACE: Duration = Duration::from_secs(5);

const SECOND: Duration = Duration::from_secs(1);

/// Runs a load to its end, or to Ctrl-C.
pub(crate) fn run(
    driver: &mut dyn Driver,
    sockets: &mut Sockets,
    plan: &Plan<'_>,
    screen: &mut Screen,
) -> Result<Report, Failure> {
    let mut engine = Engine {
        driver,
        sockets,
        reports: Vec::new(),
        busy: Duration::ZERO,
        late: Duration::ZERO,
    };
    engine.prepare(plan)?;
    let begun = engine.sockets.now();
    let course = engine.course(begun, plan, screen)?;
    let took = (engine.sockets.now() - begun).min(plan.seconds);
    engine.drain(plan)?;
    let mut report = engine.driver.report(took);
    report.warnings.extend(course.bottleneck());
    if plan.stop.load(Ordering::Relaxed) {
        let words = "stopped before its end: the figures are those until then";
        report.warnings.push(words.into());
    }
    report.course = course;
    Ok(report)
}

struct Engine<'a> {
    driver: &'a mut dyn Driver,
    sockets: &'a mut Sockets,
    reports: Vec<sockets::Report>,
    /// Time that the loop has worked in this second, and the longest turn.
    busy: Duration,
    late: Duration,
}

impl Engine<'_> {
    fn prepare(&mut self, plan: &Plan<'_>) -> Result<(), Failure> {
        self.driver.prepare(self.sockets);
        let until = self.sockets.now() + PREPARE;
        while !self.driver.is_ready() && !plan.stop.load(Ordering::Relaxed) {
            self.turn(until)?;
            if self.sockets.now() >= until {
                let line =
                    "the nodes did not accept all connections within 30 s (see net.connections)";
                return Err(Failure::Unreachable(line.into()));
            }
        }
        (self.busy, self.late) = (Duration::ZERO, Duration::ZERO);
        Ok(())
    }

    fn course(
        &mut self,
        begun: Time,
        plan: &Plan<'_>,
        screen: &mut Screen,
    ) -> Result<Course, Failure> {
        let end = begun + plan.seconds;
        let mut course = Course::default();
        let mut strokes = Running::new(plan.strokes);
        let (mut second, mut row_at) = (1, (begun + SECOND).min(end));
        self.driver.begin(begun, self.sockets);
        screen.begin();
        loop {
            let until = strokes.next().map_or(row_at, |at| row_at.min(begun + at));
            self.turn(until)?;
            let now = self.sockets.now();
            for words in strokes.strike(now - begun) {
                course.events.push(((now - begun).as_secs_f64(), words));
            }
            let stopped = plan.stop.load(Ordering::Relaxed);
            if now >= row_at || stopped {
                let row = self.row(now, second);
                screen.row(&row);
                course.rows.push(row);
                second += 1;
                row_at = (row_at + SECOND).min(end);
            }
            if now >= end || stopped {
                course.events.extend(strokes.failures());
                return Ok(course);
            }
        }
    }

    fn row(&mut self, now: Time, second: u32) -> Row {
        let row = Row {
            second,
            busy: self.busy.as_secs_f64().min(1.0),
            late: self.late,
            ..self.driver.row(now)
        };
        (self.busy, self.late) = (Duration::ZERO, Duration::ZERO);
        row
    }

    /// Waits for what is under way, with no further load.
    fn drain(&mut self, plan: &Plan<'_>) -> Result<(), Failure> {
        let now = self.sockets.now();
        self.driver.end(now);
        let until = now + GRACE;
        while !self.driver.is_idle() && self.sockets.now() < until {
            if plan.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.turn(until)?;
        }
        Ok(())
    }

    fn turn(&mut self, until: Time) -> Result<(), Failure> {
        let before = self.sockets.now();
        let due = self.driver.deadline();
        let until = due.map_or(until, |at| until.min(at));
        let waited = self.sockets.turn(until, &mut self.reports);
        let waited = waited.map_err(|error| Failure::failed("run the event loop", error))?;
        let now = self.sockets.now();
        let mut reports = std::mem::take(&mut self.reports);
        for report in reports.drain(..) {
            self.driver.on_report(now, report, self.sockets);
        }
        self.reports = reports;
        self.driver.on_tick(now, self.sockets);
        let worked = (self.sockets.now() - before).saturating_sub(waited);
        self.busy += worked;
        self.late = self.late.max(worked);
        Ok(())
    }
}
