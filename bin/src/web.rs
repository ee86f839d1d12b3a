//! The web player: a site on the event loop, with a client of its own.
//!
//! Owns what a browser asks for until it is answered. `net` moves bytes and time, the client finds
//! songs, and this module connects the two.

mod answer;
mod api;
mod assets;
mod browse;
mod buffer_budget;
mod cover_file;
mod covers;
mod events;
mod listener;
mod metrics;
mod origin;
mod player;
mod spool_dir;
mod stream;
mod uploads;
mod workers;

use std::env;
use std::io;
use std::net::SocketAddr;

use net::{Link, Listener, Reactor};
use roles::client;

use crate::args::Web;
use crate::failure::Failure;
use crate::links::{self, Announced};
use crate::log_lines;
use crate::notify;
use crate::server::{self, Places, stop_on_signal};
use crate::session::Session;
use crate::settings::Settings;

use player::Player;
use workers::Workers;

pub(crate) use cover_file::write_cover;
pub(crate) use covers::ranges as tag_fragments;
pub(crate) use origin::OriginGuard;

/// Runs the player on a loop of its own until told to stop.
pub(crate) fn run(settings: &Settings, web: &Web) -> Result<(), Failure> {
    log_lines::start(settings)?;
    let security = settings.security()?;
    let listener = listen(web.listen)?;
    let mut settings = settings.clone();
    let heard = sight(&mut settings, &security);
    let settings = &settings;
    let mut reactor = reactor(settings, security.clone())?;
    let address = listener.address();
    let guard = OriginGuard::new(&web.allow_host, address, web.allow_delete);
    let guard = guard.with_mdns(settings.mdns);
    let client = settings.client.clone();
    attach(&mut reactor, settings, client, listener, guard)?;
    let announced = Announced {
        page: Some(address),
        ..Announced::default()
    };
    links::join(&mut reactor, settings, &security, (announced, &heard));
    notify::expect(1);
    stop_on_signal(settings, &reactor)?;
    tell_ready(address);
    reactor
        .run()
        .map_err(|error| Failure::failed("run the web player", error))
}

/// Where no DNS nodes are given, takes those that are told of on the links; gives the links on which the
/// page goes on listening.
fn sight(settings: &mut Settings, security: &net::Security) -> Vec<Link> {
    let links = links::of_machine(settings);
    if settings.dns_given || links.is_empty() || security.mark().is_none() {
        return Vec::new();
    }
    let seen = links::look(settings, security, &links);
    if let Some(own) = seen.on_loopback {
        log::info!("dns {own}, on this machine");
        return Vec::new();
    }
    if !seen.told.is_empty() {
        log::info!("dns {}, told of on the link", links::shown(&seen.told));
    }
    settings.use_link(security);
    let client = &mut settings.client;
    // One may begin on loopback later.
    client.dns_guesses = std::mem::take(&mut client.dns_nodes);
    client.dns_guesses.splice(0..0, seen.told);
    client.seeks_dns = true;
    links
}

/// A loop that shares its connections, and so its file descriptors, between nodes and browsers.
pub(crate) fn reactor(settings: &Settings, security: net::Security) -> Result<Reactor, Failure> {
    server::reactor(settings, security, places(settings), None)
}

/// The shares of nodes, browsers and those who ask for names.
pub(crate) fn places(settings: &Settings) -> Places {
    let browsers = (settings.connections_max / BROWSERS_SHARE).min(BROWSERS_MAX);
    let others = Places::for_nodes(settings, true);
    Places {
        nodes: others.nodes - browsers,
        browsers,
        ..others
    }
}

/// Browsers have one of so many shares of the connections.
const BROWSERS_SHARE: usize = 3;

/// Most connections of browsers. Each has at most a request's head in memory, and a share of the
/// budget of streams.
const BROWSERS_MAX: usize = 1024;

/// Adds the player and its client to a loop.
pub(crate) fn attach(
    reactor: &mut Reactor,
    settings: &Settings,
    config: client::Config,
    listener: Listener,
    guard: OriginGuard,
) -> Result<(), Failure> {
    let failed = |error| Failure::failed("start the web player", error);
    let (prepared, host) = Session::prepare(settings, config)?;
    let handle = reactor.add(host).map_err(failed)?;
    // Uploads are spooled next to the cache, which is on a disk: the temporary folder may be in
    // memory.
    let base = settings.cache_dir.clone().unwrap_or_else(env::temp_dir);
    let workers = Workers::start(base, prepared.cache.clone(), &reactor.wake_handle())?;
    let player = Player::new(prepared.attached(handle), workers, guard);
    reactor.serve(listener, Box::new(player)).map_err(failed)
}

/// Binds the page's address.
pub(crate) fn listen(address: SocketAddr) -> Result<Listener, Failure> {
    Listener::bind(address).map_err(|error| {
        let cure = if error.kind() == io::ErrorKind::AddrInUse {
            " (something runs there: choose another port with --web or --listen)"
        } else {
            ""
        };
        Failure::Failed(format!("listen on {address}: {error}{cure}"))
    })
}

/// Prints the page's address on standard output, for people and for parent processes.
pub(crate) fn tell_ready(address: SocketAddr) {
    use std::io::Write;
    let mut out = io::stdout().lock();
    // The reader may be gone; the page is served all the same.
    let _ = writeln!(out, "ready web http://{address}/").and_then(|()| out.flush());
    notify::ready();
}
