//! The command line. The doc comments of arguments are the texts of `--help`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use super::chaos::Stroke;
use super::fail_on::FailOn;
use super::requests::mix::Mix;
use crate::corpus;
use crate::units::{duration, number_of};

/// Load for a dispotify cluster: thousands of clients on one loop.
#[derive(Debug, Parser)]
#[command(
    name = "loadgen",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed or a condition of --fail-on is true, 2 usage, 3 nobody reachable."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) what: What,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Options of every run.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Options of every run")]
pub(crate) struct Common {
    /// DNS nodes of the cluster, separated by commas; the port defaults to 7700
    #[arg(
        long,
        global = true,
        env = "DISPOTIFY_DNS",
        value_name = "ADDR[:PORT],...",
        default_value = "127.0.0.1",
        value_delimiter = ','
    )]
    pub(crate) dns: Vec<String>,
    /// File with the cluster key [env: DISPOTIFY_KEY, the digits themselves]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Name of the cluster
    #[arg(
        long,
        global = true,
        env = "DISPOTIFY_CLUSTER",
        default_value = "dispotify"
    )]
    pub(crate) cluster: String,
    /// Speak without encryption; the nodes must be started with --insecure, too
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
    /// Allow load on addresses beyond this machine's loopback
    #[arg(long, global = true)]
    pub(crate) anywhere: bool,
    /// Same seed, same choices
    #[arg(long, global = true, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Exit with 1 if one of these is true, for example 'p99>5ms,stalls>0'
    #[arg(long, global = true, value_name = "CONDITIONS", value_parser = FailOn::parse, default_value = "")]
    pub(crate) fail_on: FailOn,
    /// Print one JSON object instead of the summary
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Draw percentiles and course into this file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Print no line per second
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum What {
    #[command(flatten)]
    Load(Load),
    /// Raise the load until a condition of --fail-on is true; print the highest that held
    Find(Find),
    /// Ask for several times what the nodes can serve; print what they can, and how they are afterwards
    Overload(Overload),
    /// Run commands in mid-run, and print what the clients felt, second by second
    Chaos(Chaos),
    /// Make songs to load a cluster with; same seed, same bytes
    Corpus(corpus::Args),
}

/// A kind of load.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Load {
    /// People who listen: each plays songs in real time, with a buffer of its own
    Listeners(Listeners),
    /// Requests in a mix, at a fixed rate or as fast as they are answered
    Requests(Requests),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Listeners {
    /// How many listeners
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) count: u32,
    /// Listen at this rate whatever the songs' own is
    #[arg(long, value_name = "KBIT/S", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) kbps: Option<u32>,
    /// How long the run takes, from the first listener on
    #[arg(long, default_value = "30", value_name = "TIME", value_parser = duration)]
    pub(crate) seconds: Duration,
    /// All listeners have begun after this time
    #[arg(long, default_value = "5", value_name = "TIME", value_parser = duration)]
    pub(crate) ramp: Duration,
    /// Sound that a listener keeps ahead
    #[arg(long, default_value = "20", value_name = "TIME", value_parser = duration)]
    pub(crate) buffer: Duration,
    /// How much more the favourite songs are heard: 0 not at all
    #[arg(long, default_value_t = 1.0, value_parser = exponent)]
    pub(crate) zipf: f64,
    /// Jumps within the song, per listener and minute
    #[arg(long, default_value_t = 0.0, value_parser = rate)]
    pub(crate) jumps: f64,
    /// Skips to another song, per listener and minute
    #[arg(long, default_value_t = 0.0, value_parser = rate)]
    pub(crate) skips: f64,
    /// Listen at these pages' /stream instead; a listener whose page dies goes to the next
    #[arg(long, value_name = "http://ADDR:PORT,...", value_delimiter = ',', value_parser = page)]
    pub(crate) http: Vec<SocketAddr>,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Requests {
    /// What is asked, with weights; kinds: list, search, locate, resolve, fetch, upload
    #[arg(long, value_parser = Mix::parse, default_value = "list=10,search=10,locate=50,resolve=10,fetch=20")]
    pub(crate) mix: Mix,
    /// Open loop: this many requests per second, whether they are answered or not
    #[arg(long, value_name = "PER-SECOND", value_parser = above_zero, conflicts_with = "pipeline")]
    pub(crate) rate: Option<f64>,
    /// Connections to each node
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connections: u32,
    /// Closed loop: requests that each connection keeps in flight [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) pipeline: Option<u32>,
    /// How long the run takes
    #[arg(long, default_value = "10", value_name = "TIME", value_parser = duration)]
    pub(crate) seconds: Duration,
    /// How much more the favourite songs are asked for: 0 not at all
    #[arg(long, default_value_t = 1.0, value_parser = exponent)]
    pub(crate) zipf: f64,
    /// Bytes of an uploaded song
    #[arg(long, default_value_t = 27_000, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub(crate) upload_bytes: u32,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Find {
    /// The first rate, or number of listeners
    #[arg(long, default_value = "100", value_parser = above_zero)]
    pub(crate) from: f64,
    /// Where to stop although everything held
    #[arg(long, default_value = "1M", value_parser = above_zero)]
    pub(crate) to: f64,
    /// End when the highest that held and the lowest that broke differ by no more than this
    #[arg(long, default_value = "5%", value_parser = above_zero)]
    pub(crate) within: f64,
    #[command(subcommand)]
    pub(crate) load: Load,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Overload {
    /// How many times what is answered in a closed loop
    #[arg(long, default_value_t = 3.0, value_parser = rate)]
    pub(crate) times: f64,
    #[command(flatten)]
    pub(crate) requests: Requests,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Chaos {
    /// When to run which command, for example '5s:kill -9 1234'; may be given several times
    #[arg(long = "run", value_name = "TIME:COMMAND", required = true, value_parser = Stroke::parse)]
    pub(crate) strokes: Vec<Stroke>,
    #[command(subcommand)]
    pub(crate) load: Load,
}

fn above_zero(text: &str) -> Result<f64, String> {
    let number = number_of(text).filter(|n| *n > 0.0 && *n <= 1e9);
    number.ok_or_else(|| "write a number above 0".into())
}

fn rate(text: &str) -> Result<f64, String> {
    let number = number_of(text).filter(|n| (0.0..=600.0).contains(n));
    number.ok_or_else(|| "write a number from 0 to 600".into())
}

fn exponent(text: &str) -> Result<f64, String> {
    let number = number_of(text).filter(|n| (0.0..=5.0).contains(n));
    number.ok_or_else(|| "write a number from 0 to 5".into())
}

fn page(text: &str) -> Result<SocketAddr, String> {
    let address = text
        .trim()
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let read = address.parse();
    read.map_err(|_| "write http://ADDRESS:PORT, with an IP address".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn impossible_options_are_refused() {
        let lines = [
            "loadgen listeners --count 0",
            "loadgen listeners --kbps 0",
            "loadgen listeners --seconds soon",
            "loadgen listeners --http localhost",
            "loadgen requests --rate 0",
            "loadgen requests --pipeline 65",
            "loadgen requests --rate 5 --pipeline 2",
            "loadgen requests --mix dance=1",
            "loadgen requests --fail-on p99",
            "loadgen chaos requests",
            "loadgen chaos --run 5s requests",
            "loadgen corpus",
        ];
        for line in lines {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
