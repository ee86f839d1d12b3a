#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod args;
mod settings;

mod commands;

mod demo;
mod serve;
mod server;
mod session;
mod web;

mod data;

mod key;
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

use clap::Parser;
use roles::contract::browse::ValueOf;

use args::{Args, Command};
use failure::Failure;
use settings::Settings;

fn main() -> ExitCode {
    memory::keep_small();
    let args = Args::parse();
    let result = run(args);
    log::logger().flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let settings = Settings::of(&args.common)?;
    match args.command {
        Command::Node(node) => server::run(&settings, &node),
        Command::Demo(demo) => demo::run(settings, &args.common, &demo),
        Command::Serve(serve) => serve::run(&settings, &serve),
        Command::Web(web) => web::run(&settings, &web),
        Command::Add(add) => commands::add::run(&settings, &add),
        Command::Ls(list) => commands::list::run(&settings, &list),
        Command::Search(search) => commands::list::search(&settings, &search),
        Command::Albums(list) => commands::albums::albums(&settings, &list),
        Command::Artists(list) => commands::albums::artists(&settings, &list),
        Command::Genres(list) => commands::albums::values(&settings, &list, ValueOf::Genre),
        Command::Years(list) => commands::albums::values(&settings, &list, ValueOf::Year),
        Command::Info(info) => commands::info::info(&settings, &info),
        Command::Cover(cover) => commands::info::cover(&settings, &cover),
        Command::Get(get) => commands::get::run(&settings, &get),
        Command::Play(play) => commands::play::run(&settings, &play),
        Command::Rm(rm) => commands::rm::run(&settings, &rm),
        Command::Trash(trash) => commands::trash::run(&settings, &trash),
        Command::Status(status) => commands::status::run(&settings, &status),
        Command::Health(health) => commands::health::run(&settings, &health),
        Command::Resolve(resolve) => commands::resolve::run(&settings, &resolve),
        Command::Completions(completions) => commands::manual::completions(&completions),
        Command::Man(man) => commands::manual::pages(&man),
        Command::Key(key) => commands::key::run(&settings, &key),
        Command::FindCover(find) => commands::find_cover::run(&find),
        Command::Verify(verify) => commands::verify::run(&verify),
    }
}
