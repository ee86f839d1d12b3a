#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod args;
mod config;
mod settings;

mod commands;

mod demo;
mod serve;
mod server;
mod session;
mod web;

mod data;

mod key;
mod links;
mod log_lines;
mod machine;
mod memory;
mod notify;
mod patience;
mod sparse;
mod stale_dirs;
mod template;
mod text;
mod twin;

mod failure;

use std::process::ExitCode;
use std::sync::Arc;

use roles::contract::browse::ValueOf;

use args::Command;
use config::Loaded;
use failure::Failure;
use settings::Settings;

fn main() -> ExitCode {
    memory::keep_small();
    outlive_size_limit();
    let result = config::load().and_then(run);
    log::logger().flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// SIGXFSZ, sent where a file would grow beyond a limit of the process, is caught, so that the write fails
/// with a reason instead of killing the process. SIGPIPE is ignored by every Rust program.
fn outlive_size_limit() {
    // Where a handler cannot be set, the signal does what it does to other programs.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default());
}

fn run(loaded: Loaded) -> Result<(), Failure> {
    let args = &loaded.args;
    let mut settings = Settings::of(&args.common)?;
    if args.command.is_of_client() {
        links::find(&mut settings)?;
    }
    match &args.command {
        Command::Node(node) => server::run(&settings, node),
        Command::Demo(demo) => demo::run(settings, &args.common, demo),
        Command::Serve(serve) => serve::run(&settings, serve),
        Command::Web(web) => web::run(&settings, web),
        Command::Add(add) => commands::add::run(&settings, add),
        Command::Watch(watch) => commands::watch::run(&settings, watch),
        Command::Ls(list) => commands::list::run(&settings, list),
        Command::Search(search) => commands::list::search(&settings, search),
        Command::Albums(list) => commands::albums::albums(&settings, list),
        Command::Artists(list) => commands::albums::artists(&settings, list),
        Command::Genres(list) => commands::albums::values(&settings, list, ValueOf::Genre),
        Command::Years(list) => commands::albums::values(&settings, list, ValueOf::Year),
        Command::Info(info) => commands::info::info(&settings, info),
        Command::Cover(cover) => commands::info::cover(&settings, cover),
        Command::Get(get) => commands::get::run(&settings, get),
        Command::Export(export) => commands::export::run(settings, export),
        Command::Play(play) => commands::play::run(&settings, play),
        Command::Star(star) => commands::star::run(&settings, star, true),
        Command::Unstar(star) => commands::star::run(&settings, star, false),
        Command::Rate(rate) => commands::star::rate(&settings, rate),
        Command::Playlist(lists) => commands::playlist::run(&settings, lists),
        Command::Rm(rm) => commands::rm::run(&settings, rm),
        Command::Trash(trash) => commands::trash::run(&settings, trash),
        Command::Status(status) => commands::status::run(&settings, status),
        Command::Health(health) => commands::health::run(&settings, health),
        Command::Resolve(resolve) => commands::resolve::run(&settings, resolve),
        Command::Completions(completions) => commands::manual::completions(completions),
        Command::Man(man) => commands::manual::pages(man),
        Command::Key(key) => commands::key::run(&settings, key),
        Command::Config(config) => commands::config::run(&loaded, config),
        Command::FindCover(find) => commands::find_cover::run(find),
        Command::Verify(verify) => commands::verify::run(verify),
    }
}
