//! `dispotify serve`: DNS, data and router as three nodes on one loop, and the web player.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, bounded};
use net::Listener;
use roles::contract::record::{Address, Record};
use storage::private;

use crate::args::{self, Page, RoleChoice, Serve};
use crate::commands::add::{self, Report};
use crate::commands::watch;
use crate::failure::{self, Failure};
use crate::links::{self, Announced};
use crate::log_lines;
use crate::notify;
use crate::server::{self, Places, Plan, prepare, reactor, stop_on_signal};
use crate::session::Session;
use crate::settings::{self, Settings};
use crate::web;

/// DNS, data and router.
const NODES: usize = 3;

/// Runs the three nodes until told to stop, and adds the paths meanwhile.
pub(crate) fn run(settings: &Settings, serve: &Serve) -> Result<(), Failure> {
    log_lines::start(settings)?;
    settings.check_reach("--host", serve.host)?;
    let security = settings.security_or_make()?;
    let dir = match &serve.data_dir {
        Some(dir) => dir.clone(),
        None => settings::data_dir("serve")?,
    };
    private::claim_dir(&dir)
        .map_err(|error| Failure::failed(format!("make {}", dir.display()), error))?;
    let added = Added::of(serve, &dir)?;
    let page = page(serve)?;
    let mut reactor = match page {
        Some(_) => web::reactor(settings, security.clone())?,
        None => reactor(
            settings,
            security.clone(),
            Places::for_nodes(settings, true),
            None,
        )?,
    };
    let mut announced = Announced::default();
    let mut homes = Vec::new();
    let (mut dns, mut here) = (Vec::new(), Vec::new());
    let (ready, up) = bounded(NODES);
    for (choice, offset) in [
        (RoleChoice::Dns, 0),
        (RoleChoice::Data, 1),
        (RoleChoice::Router, 2),
    ] {
        let (config, _) = settings.with_dns(dns.clone());
        let plan = Plan {
            ready: Some(ready.clone()),
            ..plan(serve, choice, offset, &dir)?
        };
        let prepared = prepare(settings, &security, &config, &plan)?;
        if dns.is_empty() {
            dns.push(prepared.address);
            announced.dns = Some((prepared.home.node(), prepared.address));
        }
        here.push(prepared.address);
        homes.push(prepared.home);
        server::add(&mut reactor, prepared.host, prepared.names)?;
    }
    let (_, mut config) = settings.with_dns(dns.clone());
    config.here = here;
    let page = match page {
        Some(listener) => {
            let address = listener.address();
            let guard = web::OriginGuard::new(&serve.allow_host, address, serve.allow_delete);
            let guard = guard.with_mdns(settings.mdns);
            web::attach(&mut reactor, settings, config.clone(), listener, guard)?;
            Some(address)
        }
        None => None,
    };
    let (session, host) = Session::prepare(settings, config)?;
    let handle = server::add(&mut reactor, host, None)?;
    announced.page = page;
    links::join(&mut reactor, settings, &security, (announced, &[]));
    notify::expect(NODES);
    stop_on_signal(settings, &reactor)?;
    welcome(settings, &dir, &dns, page).map_err(failure::output)?;
    let adding = add_in_background(session.attached(handle), up, added)?;
    reactor
        .run()
        .map_err(|error| Failure::failed("run the nodes", error))?;
    drop(adding); // The thread ends by itself when its client is gone.
    Ok(())
}

fn plan(serve: &Serve, choice: RoleChoice, offset: u16, dir: &Path) -> Result<Plan, Failure> {
    let port = match serve.port {
        0 => 0,
        base => base.checked_add(offset).ok_or_else(|| {
            Failure::Usage(format!(
                "--port {base}: the two ports after it are needed, too"
            ))
        })?,
    };
    Ok(Plan {
        choice,
        host: serve.host,
        port,
        dir: dir.join(choice.name()),
        weight: serve.weight,
        dns_port: serve.dns_port,
        ready: None,
    })
}

/// The listener of the web player. When the default address is taken, `serve` runs without a page;
/// when an address from the user is taken, it fails.
fn page(serve: &Serve) -> Result<Option<Listener>, Failure> {
    match serve.web {
        Some(Page::Off) => Ok(None),
        Some(Page::At(address)) => web::listen(address).map(Some),
        None => {
            let address = args::WEB
                .parse()
                .map_err(|_| Failure::Usage(args::WEB.into()))?;
            let listener = web::listen(address);
            Ok(listener
                .inspect_err(|failure| log::warn!("no web player: {failure} (see --web)"))
                .ok())
        }
    }
}

fn welcome(
    settings: &Settings,
    dir: &Path,
    dns: &[Address],
    page: Option<SocketAddr>,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if let Some(page) = page {
        writeln!(out, "web      http://{page}/")?;
    }
    writeln!(out, "library  {}", dir.display())?;
    if let Some(file) = settings.key_file() {
        writeln!(out, "key      {}", file.display())?;
    }
    if let Some(dns) = dns.first() {
        let default = "127.0.0.1:7700";
        let at = dns.to_string();
        let option = if at == default {
            String::new()
        } else {
            format!(" --dns {at}")
        };
        writeln!(out, "try      dispotify ls{option}    (Ctrl-C ends)")?;
    }
    out.flush()
}

/// What `serve` adds.
struct Added {
    /// Files and folders, once.
    paths: Vec<PathBuf>,
    /// Folders, for as long as `serve` runs.
    watched: Option<watch::Plan>,
}

impl Added {
    fn of(serve: &Serve, dir: &Path) -> Result<Self, Failure> {
        let is_watched = |path: &PathBuf| serve.watch && path.is_dir();
        let (folders, paths): (Vec<PathBuf>, Vec<PathBuf>) =
            serve.paths.iter().cloned().partition(is_watched);
        let mut watched = None;
        if serve.watch && folders.is_empty() {
            let why = "--watch: name the folders that are to be watched";
            return Err(Failure::Usage(why.into()));
        }
        if serve.watch {
            let mut plan = watch::Plan::of(&folders)?;
            plan.memory = dir.join("watched");
            watched = Some(plan);
        }
        Ok(Added { paths, watched })
    }
}

/// Adds the paths once all nodes are up.
fn add_in_background(
    session: Session,
    up: Receiver<Record>,
    added: Added,
) -> Result<std::thread::JoinHandle<()>, Failure> {
    let work = move || {
        let all_up = up.iter().take(NODES).count() == NODES;
        if !all_up {
            return;
        }
        if let Err(failure) = add_or_watch(&session, added) {
            failure.report();
        }
    };
    std::thread::Builder::new()
        .name("add".into())
        .spawn(work)
        .map_err(|error| Failure::failed("start adding", error))
}

fn add_or_watch(session: &Session, added: Added) -> Result<(), Failure> {
    let report = Report {
        alone: true,
        ..Report::default()
    };
    if !added.paths.is_empty()
        && let Err(failure) = add::add_all(session, &added.paths, report)
    {
        failure.report();
    }
    match added.watched {
        Some(plan) => watch::watch_with(session, plan, report),
        None => Ok(()),
    }
}
