//! From options to a report: asks the cluster what there is, runs the load once or again and again,
//! and prints what came out.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use net::Security;
use roles::contract::rng::Rng;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::args::{Args, Common, Find, Load, What};
use super::chaos::Stroke;
use super::cluster::{self, Cluster};
use super::descriptors;
use super::engine::{self, Driver, Plan};
use super::failure::Failure;
use super::find::{self, Search};
use super::latencies;
use super::listeners::{self, Listeners};
use super::report::{OF_LATENCY, Report};
use super::requests::mix::Kind;
use super::requests::{self, Requests};
use super::screen::Screen;
use super::sockets::Sockets;
use super::survey::{self, Need, Survey};
use super::svg;

/// Everything that the runs of one process share.
pub(crate) struct Session<'a> {
    pub(super) common: &'a Common,
    load: &'a Load,
    /// None for a run that only speaks with pages.
    security: Option<Security>,
    survey: Survey,
    stop: Arc<AtomicBool>,
    screen: Screen,
    rng: Rng,
}

impl<'a> Session<'a> {
    /// Checks the options and asks the cluster what there is.
    pub(crate) fn new(common: &'a Common, load: &'a Load) -> Result<Self, Failure> {
        check_names(common, load)?;
        let mut rng = Rng::from_seed(common.seed);
        let (security, survey) = look_around(common, load, &mut rng)?;
        Ok(Session {
            common,
            load,
            security,
            survey,
            stop: stop_on_signal()?,
            screen: Screen::new(common.quiet),
            rng,
        })
    }

    /// Runs the load of a command line, and gives the result without printing it.
    pub(crate) fn measure(words: &[&str]) -> Result<Report, Failure> {
        let args = Args::try_parse_from(words);
        let args = args.map_err(|error| Failure::usage("load", error))?;
        let What::Load(load) = &args.what else {
            return Err(Failure::usage("load", "listeners or requests"));
        };
        Session::new(&args.common, load)?.run(load, &[])
    }

    pub(crate) fn once(&mut self, strokes: &[Stroke]) -> Result<ExitCode, Failure> {
        let report = self.run(&self.load.clone(), strokes)?;
        let broken = report.broken(&self.common.fail_on);
        if let Some(file) = &self.common.svg {
            let drawn = fs::write(file, svg::draw(&report));
            drawn.map_err(|error| Failure::failed(format!("write {}", file.display()), error))?;
        }
        if self.common.json {
            print(&format!("{}\n", report.json(&broken)))?;
        } else {
            print(&report.text())?;
        }
        Ok(verdict(&broken))
    }

    pub(super) fn run(&mut self, load: &Load, strokes: &[Stroke]) -> Result<Report, Failure> {
        descriptors::make_room(connections(load, &self.survey))?;
        let security = match &self.security {
            Some(security) => security.clone(),
            None => Security::insecure("").expect("an empty name is short enough"),
        };
        let sockets = Sockets::new(security);
        let mut sockets = sockets.map_err(|error| Failure::failed("start the loop", error))?;
        let mut driver = self.driver(load);
        let plan = Plan {
            seconds: match load {
                Load::Listeners(options) => options.seconds,
                Load::Requests(options) => options.seconds,
            },
            strokes,
            stop: &self.stop,
        };
        engine::run(&mut *driver, &mut sockets, &plan, &mut self.screen)
    }

    fn driver(&mut self, load: &Load) -> Box<dyn Driver> {
        let (survey, rng) = (&self.survey, &mut self.rng);
        match load {
            Load::Listeners(options) => {
                let songs = survey.songs.clone();
                Box::new(Listeners::new(options.clone(), songs, &survey.dns, rng))
            }
            Load::Requests(options) => {
                Box::new(Requests::new(options.clone(), survey.clone(), rng))
            }
        }
    }

    /// Raises the load until a condition is true.
    pub(crate) fn find(&mut self, find: &Find) -> Result<ExitCode, Failure> {
        if self.common.fail_on.0.is_empty() {
            let why = "say when a load is too high, for example 'p99>5ms,failed>0'";
            return Err(Failure::usage("find needs --fail-on", why));
        }
        let mut search = Search::new(find.from, find.to, find.within);
        let (mut curve, mut lines) = (Vec::new(), vec![find_head()]);
        while let Some(load) = search.next().filter(|_| !self.stop.load(Ordering::Relaxed)) {
            let report = self.run(&at(&find.load, load), &[])?;
            let broken = report.broken(&self.common.fail_on);
            let p99 = report.value("p99").unwrap_or(0.0);
            curve.push((load, p99));
            let line = find_line(load, &report, &broken);
            self.screen.say(&line);
            lines.push(line);
            search.on_outcome(broken.is_empty());
        }
        let knee = find::knee(&curve);
        print(&self.found(search.held(), knee, &curve, &lines))?;
        let held = search.held().is_some();
        Ok(if held {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn found(
        &self,
        held: Option<f64>,
        knee: Option<f64>,
        curve: &[(f64, f64)],
        lines: &[String],
    ) -> String {
        if self.common.json {
            let points = curve
                .iter()
                .map(|(load, p99)| serde_json::json!({"load": load, "p99": p99}));
            let points: Vec<serde_json::Value> = points.collect();
            return format!(
                "{}\n",
                serde_json::json!({"held": held, "knee": knee, "tried": points})
            );
        }
        let held = held.map_or("none held".into(), |held| {
            format!("highest that held: {held:.0}")
        });
        let knee = knee.map_or("no knee".into(), |knee| format!("knee: {knee:.0}"));
        format!("{}\n{held}, {knee}\n", lines.join("\n"))
    }
}

/// The load at another rate, or with another number of listeners.
fn at(load: &Load, value: f64) -> Load {
    let mut load = load.clone();
    match &mut load {
        Load::Listeners(options) => options.count = value.round().max(1.0) as u32,
        Load::Requests(options) => options.rate = Some(value),
    }
    load
}

fn find_head() -> String {
    format!("{:>10} {:>10} {:>10} {:>10}", "load", "p50", "p99", "max")
}

fn find_line(load: f64, report: &Report, broken: &[String]) -> String {
    let words = |name: &str| {
        let seconds = report.value(name).unwrap_or(0.0);
        latencies::in_words(Duration::from_secs_f64(seconds))
    };
    let verdict = match broken {
        [] => "held".to_owned(),
        [..] => broken.join(", "),
    };
    let late = report
        .course
        .bottleneck()
        .map_or("", |_| " (loadgen itself was late)");
    let (p50, p99, max) = (words("p50"), words("p99"), words("max"));
    format!("{load:>10.0} {p50:>10} {p99:>10} {max:>10}  {verdict}{late}")
}

/// Asks the cluster, or a page, for what the load needs to know.
fn look_around(
    common: &Common,
    load: &Load,
    rng: &mut Rng,
) -> Result<(Option<Security>, Survey), Failure> {
    if let Load::Listeners(options) = load
        && !options.http.is_empty()
    {
        cluster::check_pages(&options.http, common)?;
        let songs = survey::songs_of_page(&options.http, rng)?;
        let survey = Survey {
            songs,
            ..Survey::default()
        };
        survey::need_songs(&survey)?;
        return Ok((None, survey));
    }
    let cluster = Cluster::of(common)?;
    let need = match load {
        Load::Listeners(_) => Need::Songs,
        Load::Requests(options) if options.mix.has(Kind::Fetch) => Need::SongsAndHolders,
        Load::Requests(options) if requests::needs_songs(options) => Need::Songs,
        Load::Requests(_) => Need::Nothing,
    };
    let survey = survey::ask(&cluster, need, rng)?;
    if need != Need::Nothing {
        survey::need_songs(&survey)?;
    }
    Ok((Some(cluster.security), survey))
}

/// Connections that a load may have open at once.
fn connections(load: &Load, survey: &Survey) -> u64 {
    match load {
        Load::Listeners(options) if options.http.is_empty() => {
            u64::from(options.count) * listeners::CONNECTIONS_EACH
        }
        Load::Listeners(options) => u64::from(options.count),
        Load::Requests(options) => {
            let nodes = requests::targets(options, survey).len() as u64;
            u64::from(options.connections) * nodes
        }
    }
}

/// Refuses conditions on figures that the load does not have.
fn check_names(common: &Common, load: &Load) -> Result<(), Failure> {
    let own: &[&str] = match load {
        Load::Listeners(_) => &listeners::FIGURES,
        Load::Requests(_) => &requests::FIGURES,
    };
    let known = [own, &OF_LATENCY].concat();
    let checked = common.fail_on.check_names(&known);
    checked.map_err(|why| Failure::usage("--fail-on", why))
}

/// The first Ctrl-C ends the run with what there is; the second ends the process.
fn stop_on_signal() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        let ends = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop));
        let stops = ends.and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)));
        stops.map_err(|error| Failure::failed("catch Ctrl-C", error))?;
    }
    Ok(stop)
}

/// Says on standard error which conditions are true.
pub(super) fn verdict(broken: &[String]) -> ExitCode {
    if broken.is_empty() {
        return ExitCode::SUCCESS;
    }
    Failure::Failed(format!("failed: {}", broken.join(", "))).report("loadgen")
}

/// Prints to standard output.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match printed {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(|error| Failure::failed("print the report", error)),
    }
}
