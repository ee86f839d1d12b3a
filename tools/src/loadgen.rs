//! Load for a cluster: thousands of client machines on one event loop.
//!
//! Reading order: `args` says what can be asked for, `session` what becomes of it, `engine` keeps the time of a run, `listeners`
//! and `requests` are the two kinds of load, `report` is what comes out.

mod args;
mod session;

mod engine;

mod listeners;
mod requests;

mod chaos;
mod fail_on;
mod find;
mod overload;
mod player;
mod schedule;

mod answers;
mod sockets;

mod asker;
mod cluster;
mod descriptors;
mod failure;
mod survey;

mod course;
mod latencies;
mod report;
mod screen;
mod svg;

use std::process::ExitCode;

use clap::Parser;

pub(crate) use failure::Failure;
pub(crate) use report::Report;
pub(crate) use requests::one_fragment;
pub(crate) use session::Session;

use args::{Args, Load, What};

/// Runs the load generator with the process's arguments.
pub fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(code) => code,
        Err(failure) => failure.report("loadgen"),
    }
}

fn run(args: &Args) -> Result<ExitCode, Failure> {
    let common = &args.common;
    match &args.what {
        What::Load(load) => Session::new(common, load)?.once(&[]),
        What::Chaos(chaos) => Session::new(common, &chaos.load)?.once(&chaos.strokes),
        What::Overload(options) => {
            let load = Load::Requests(options.requests.clone());
            let mut session = Session::new(common, &load)?;
            overload::run(&mut session, &options.requests, options.times)
        }
        What::Find(find) => Session::new(common, &find.load)?.find(find),
        What::Corpus(corpus) => {
            let made = crate::corpus::make(corpus, common.seed);
            let line = made.map_err(|error| Failure::failed("make songs", error))?;
            session::print(&format!("{line}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
