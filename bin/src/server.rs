//! `dispotify node`: one server on its own loop.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use log::{info, warn};
use net::{DnsListener, Host, HostHandle, Link, Listener, Reactor, StopHandle, own_features};
use rand::random;
use roles::client;
use roles::contract::id::NodeId;
use roles::contract::node::Identity;
use roles::contract::record::{Address, Record};
use roles::contract::rng::Rng;
use roles::contract::user::Notice;
use roles::server::{self, Server};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use storage::data_dir::DataDir;

use crate::args::{DnsPort, Node, RoleChoice};
use crate::data;
use crate::failure::Failure;
use crate::links::{self, Announced, Seen};
use crate::log_lines;
use crate::machine;
use crate::memory;
use crate::notify;
use crate::settings::{self, Settings};
use crate::twin;
use crate::web;

/// The plan of a server: its role, address and directory.
pub(crate) struct Plan {
    pub(crate) choice: RoleChoice,
    pub(crate) host: IpAddr,
    pub(crate) port: u16,
    pub(crate) dir: PathBuf,
    pub(crate) weight: u16,
    /// Where a DNS node answers DNS packets, if the user has said so.
    pub(crate) dns_port: Option<DnsPort>,
    /// Receives the server's record once it is registered.
    pub(crate) ready: Option<Sender<Record>>,
}

/// A server ready to be hosted, and its address. `home` locks the data directory while it runs.
pub(crate) struct Prepared {
    pub(crate) host: Host,
    /// The sockets for DNS packets, of a DNS node.
    pub(crate) names: Option<DnsListener>,
    pub(crate) address: Address,
    pub(crate) home: DataDir,
    /// Set when the server ends because another process has its identity.
    pub(crate) outdated: Arc<AtomicBool>,
}

/// Runs one node until it is told to stop.
pub(crate) fn run(settings: &Settings, node: &Node) -> Result<(), Failure> {
    log_lines::start(settings)?;
    let security = settings.security_of_node()?;
    let host = match node.host {
        Some(host) => host,
        None => {
            let host = machine::only_address()?;
            info!("host {host}, the only address of this machine");
            host
        }
    };
    let plan = plan(node, host)?;
    if node.web.is_none() && (node.allow_delete || !node.allow_host.is_empty()) {
        let why = "--allow-host, --allow-delete: they are for a page (see --web)";
        return Err(Failure::Usage(why.into()));
    }
    let sight = Sight::of(settings, &security, &plan);
    let mut config = server::Config {
        drain: node.drain,
        ..settings.server.clone()
    };
    sight.tell(&mut config, node.role);
    let page = node.web.map(web::listen).transpose()?;
    let (beside, plan) = match sight.begins_dns(&security, &plan) {
        true => {
            // With a DNS node of its own it needs none on loopback.
            config.dns_guesses.clone_from(&sight.seen.told);
            let dns = prepare(settings, &security, &config, &dns_beside(&plan))?;
            config.dns_nodes = vec![dns.address];
            (Some(dns), behind(plan)?)
        }
        false => (None, plan),
    };
    let prepared = prepare(settings, &security, &config, &plan)?;
    let within = config.stop_within();
    let with_names = beside.as_ref().is_some_and(|dns| dns.names.is_some());
    let places = match page {
        Some(_) => web::places(settings),
        None => Places::for_nodes(settings, with_names || prepared.names.is_some()),
    };
    let mut reactor = reactor(settings, security.clone(), places, Some(within))?;
    let dns = match node.role {
        RoleChoice::Dns => Some(&prepared),
        RoleChoice::Auto | RoleChoice::Data | RoleChoice::Router => beside.as_ref(),
    };
    let mut announced = Announced {
        dns: dns.map(|dns| (dns.home.node(), dns.address)),
        page: None,
    };
    let mut nodes = 1;
    let client = client_beside(settings, &config, announced.dns.map(|(_, at)| at));
    let _dns_home = match beside {
        Some(dns) => {
            nodes += 1;
            add(&mut reactor, dns.host, dns.names)?;
            Some(dns.home)
        }
        None => None,
    };
    let _home = prepared.home;
    add(&mut reactor, prepared.host, prepared.names)?;
    let mut page_at = None;
    if let Some(listener) = page {
        let at = listener.address();
        let guard = web::OriginGuard::new(&node.allow_host, at, node.allow_delete);
        let guard = guard.with_mdns(settings.mdns);
        web::attach(&mut reactor, settings, client, listener, guard)?;
        page_at = Some(at);
    }
    announced.page = page_at;
    links::join(
        &mut reactor,
        settings,
        &security,
        (announced, sight.links()),
    );
    notify::expect(nodes + usize::from(page_at.is_some()));
    stop_on_signal(settings, &reactor)?;
    page_at.into_iter().for_each(web::tell_ready);
    if node.with_parent {
        stop_with_parent(reactor.stop_handle())?;
    }
    reactor
        .run()
        .map_err(|error| Failure::failed("run the node", error))?;
    match prepared.outdated.load(Ordering::Relaxed) {
        true => Err(Failure::failed("run the node", OUTDATED)),
        false => Ok(()),
    }
}

fn plan(node: &Node, host: IpAddr) -> Result<Plan, Failure> {
    if matches!(node.role, RoleChoice::Data | RoleChoice::Router) && node.dns_port.is_some() {
        return Err(Failure::Usage(
            "--dns-port: only a DNS node answers DNS packets".into(),
        ));
    }
    let name = format!("{}-{host}-{}", node.role.name(), node.port);
    Ok(Plan {
        choice: node.role,
        host,
        port: node.port,
        dir: match &node.data_dir {
            Some(dir) => dir.clone(),
            None => settings::data_dir(&name)?,
        },
        weight: node.weight,
        dns_port: node.dns_port,
        ready: None,
    })
}

/// The DNS node that a node without a role begins beside itself: at its port, where others look for one.
fn dns_beside(plan: &Plan) -> Plan {
    Plan {
        choice: RoleChoice::Dns,
        dir: plan.dir.join(DNS_BESIDE),
        ready: None,
        ..*plan
    }
}

/// The node beside such a DNS node.
fn behind(plan: Plan) -> Result<Plan, Failure> {
    let port = match plan.port {
        0 => 0,
        port => port.checked_add(1).ok_or_else(|| {
            Failure::Usage(format!("--port {port}: the port after it is needed, too"))
        })?,
    };
    Ok(Plan { port, ..plan })
}

/// The folder of a DNS node within that of the node beside it.
const DNS_BESIDE: &str = "dns";

/// A node without a role begins a DNS node where it sees fewer than so many.
const DNS_ENOUGH: usize = 2;

/// What a node sees of its cluster when it starts without `--dns`.
struct Sight {
    seen: Seen,
    /// The link of its address; none where DNS nodes are not sought.
    link: Option<Link>,
}

impl Sight {
    fn of(settings: &Settings, security: &net::Security, plan: &Plan) -> Sight {
        let link = links::of_host(settings, plan.host)
            .filter(|_| !settings.dns_given && security.mark().is_some());
        let seen = match &link {
            Some(link) => links::look(settings, security, &[*link]),
            None => Seen::default(),
        };
        match (&link, seen.on_loopback, seen.told.as_slice()) {
            (None, _, _) => (),
            (Some(_), Some(own), _) => info!("dns {own}, on this machine"),
            (Some(link), None, []) => info!("no dns node on the link of {}", link.address),
            (Some(_), None, told) => info!("dns {}, told of on the link", links::shown(told)),
        }
        Sight { seen, link }
    }

    /// Says where DNS nodes are or may be.
    fn tell(&self, config: &mut server::Config, role: RoleChoice) {
        if self.link.is_none() || self.seen.on_loopback.is_some() {
            return;
        }
        config.seeks_dns = true;
        config.dns_guesses.clone_from(&self.seen.told);
        // One may begin on loopback later. A DNS node has no use for it: others could not reach it.
        let on_loopback = std::mem::take(&mut config.dns_nodes);
        if role != RoleChoice::Dns {
            config.dns_guesses.extend(on_loopback);
        }
    }

    /// Whether a node without a role is to begin a DNS node: where there are too few, or where it has
    /// begun one before.
    fn begins_dns(&self, security: &net::Security, plan: &Plan) -> bool {
        let seen = &self.seen;
        let sought = self.link.is_some() && seen.on_loopback.is_none();
        let here = seen.told.iter().any(|at| at.0.ip() == plan.host);
        let auto = plan.choice == RoleChoice::Auto && sought;
        // Who only says that it is a DNS node is none.
        let few = || links::with_key(security, &seen.told) < DNS_ENOUGH && !here;
        let begins = auto && (plan.dir.join(DNS_BESIDE).is_dir() || few());
        if begins && seen.told.is_empty() {
            let fresh = !plan.dir.is_dir();
            let cure = "if there is a cluster elsewhere, name a DNS node of it by --dns";
            match fresh {
                true => warn!("nobody is there: this node begins a cluster ({cure})"),
                false => info!("nobody is there yet: this node begins with a dns node of its own"),
            }
        }
        begins
    }

    fn links(&self) -> &[Link] {
        self.link.as_slice()
    }
}

/// The configuration of the page's client in a node's process: it asks where the node asks, a DNS node
/// of this process first.
fn client_beside(
    settings: &Settings,
    node: &server::Config,
    own: Option<Address>,
) -> client::Config {
    let mut config = client::Config {
        dns_nodes: node.dns_nodes.clone(),
        dns_guesses: node.dns_guesses.clone(),
        seeks_dns: node.seeks_dns,
        ..settings.client.clone()
    };
    if let Some(own) = own
        && !config.dns_nodes.contains(&own)
    {
        config.dns_nodes.insert(0, own);
    }
    config
}

/// Most connections of a loop, each of which takes a file descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    /// To and from nodes and clients.
    pub(crate) nodes: usize,
    pub(crate) browsers: usize,
    /// From those who ask for names over TCP.
    pub(crate) names: usize,
}

/// Those who ask for names have one of so many shares of the connections.
const NAMES_SHARE: usize = 8;

/// Most connections of those who ask for names.
const NAMES_MAX: usize = 100;

impl Places {
    /// All for nodes and clients, where there is no page, but for those who ask for names.
    pub(crate) fn for_nodes(settings: &Settings, with_names: bool) -> Self {
        let all = settings.connections_max;
        let names = if with_names {
            (all / NAMES_SHARE).min(NAMES_MAX)
        } else {
            0
        };
        Places {
            nodes: all - names,
            browsers: 0,
            names,
        }
    }
}

/// Adds a prepared server to a loop.
pub(crate) fn add(
    reactor: &mut Reactor,
    host: Host,
    names: Option<DnsListener>,
) -> Result<HostHandle, Failure> {
    let added = match names {
        Some(listener) => reactor.add_dns(host, listener),
        None => reactor.add(host),
    };
    added.map_err(|error| Failure::failed("start the node", error))
}

/// Builds this process's loop. `stop_within` is the time that nodes may take to stop, `None` for the
/// default.
pub(crate) fn reactor(
    settings: &Settings,
    security: net::Security,
    places: Places,
    stop_within: Option<Duration>,
) -> Result<Reactor, Failure> {
    let default = net::Settings::default();
    let tuning = net::Settings {
        connections_max: places.nodes,
        web_connections_max: places.browsers,
        dns_connections_max: places.names,
        dns_questions_per_second: settings.dns_rate,
        on_quiet: Some(memory::give_back),
        stop_within: stop_within.unwrap_or(default.stop_within),
        ..default
    };
    Reactor::new(security, tuning, random())
        .map_err(|error| Failure::failed("start the event loop", error))
}

/// Opens a server's directory, library and socket.
pub(crate) fn prepare(
    settings: &Settings,
    security: &net::Security,
    config: &server::Config,
    plan: &Plan,
) -> Result<Prepared, Failure> {
    let kind = plan.choice.name();
    if plan.host.is_unspecified() {
        let why = "give the address by which the others reach this machine";
        return Err(Failure::Usage(format!("--host {}: {why}", plan.host)));
    }
    settings.check_reach("--host", plan.host)?;
    let home = DataDir::open(&plan.dir, kind, NodeId(random()))
        .map_err(|error| Failure::Failed(error.to_string()))?;
    let (readers, writer) = match plan.choice {
        RoleChoice::Data => data::workers(&plan.dir, home.node(), settings.readers)?,
        RoleChoice::Auto => data::workers_on_demand(&plan.dir, home.node(), settings.readers),
        RoleChoice::Router | RoleChoice::Dns => data::memory_only(&plan.dir),
    };
    let listener = listen(plan)?;
    let names = match plan.choice {
        RoleChoice::Dns => listen_for_names(plan)?,
        RoleChoice::Auto | RoleChoice::Data | RoleChoice::Router => None,
    };
    let address = Address(listener.address());
    twin::check(&home, address, security)?;
    let identity = Identity {
        node: home.node(),
        incarnation: home.incarnation(),
        address: Some(address),
        features: own_features(),
    };
    let config = server::Config {
        role: plan.choice.role(),
        weight: plan.weight,
        ..config.clone()
    };
    let rng = Rng::from_seed(random());
    info!(
        "start {kind} {address} node={} start={}",
        identity.node, identity.incarnation.0
    );
    let outdated = Arc::default();
    let host = Host {
        node: Box::new(Server::new(config, identity, address, rng)),
        identity,
        listener: Some(listener),
        bind_from: Some(plan.host),
        readers,
        writer,
        tell: teller(kind, plan.ready.clone(), Arc::clone(&outdated)),
    };
    Ok(Prepared {
        host,
        names,
        address,
        home,
        outdated,
    })
}

fn listen(plan: &Plan) -> Result<Listener, Failure> {
    let address = SocketAddr::new(plan.host, plan.port);
    Listener::bind(address).map_err(|error| {
        let cure = if error.kind() == io::ErrorKind::AddrInUse {
            " (another node runs there: choose --host or --port)"
        } else if error.kind() == io::ErrorKind::AddrNotAvailable {
            " (this machine has no such address)"
        } else {
            ""
        };
        Failure::Failed(format!("listen on {address}: {error}{cure}"))
    })
}

/// The sockets for DNS packets. When the default port is taken, the node runs without them; when a
/// port from the user is taken, it does not start.
fn listen_for_names(plan: &Plan) -> Result<Option<DnsListener>, Failure> {
    let port = match plan.dns_port {
        Some(DnsPort::Off) => return Ok(None),
        Some(DnsPort::Any) => 0,
        Some(DnsPort::At(port)) => port,
        None => DNS_PORT,
    };
    let address = SocketAddr::new(plan.host, port);
    match DnsListener::bind(address) {
        Ok(listener) => {
            info!("dns packets at {}", listener.address());
            Ok(Some(listener))
        }
        Err(error) if plan.dns_port.is_none() => {
            warn!("no dns packets: listen on {address}: {error} (see --dns-port)");
            Ok(None)
        }
        Err(error) => {
            let attempt = format!("listen for DNS packets on {address}");
            let cure = "choose another --dns-port, or 0 for none";
            Err(Failure::Failed(format!("{attempt}: {error} ({cure})")))
        }
    }
}

/// The default port for DNS packets: it needs no privilege.
const DNS_PORT: u16 = 5300;

/// Logs a server's notices. The ready notice also goes to standard output, where a parent process
/// reads the address.
fn teller(
    name: &'static str,
    ready: Option<Sender<Record>>,
    outdated: Arc<AtomicBool>,
) -> Box<dyn FnMut(Notice) + Send> {
    Box::new(move |notice| {
        outdated.fetch_or(notice == Notice::Outdated, Ordering::Relaxed);
        if let (Notice::Ready { record }, Some(ready)) = (&notice, &ready) {
            // The receiver may be gone; the server continues regardless.
            let _ = ready.try_send(*record);
        }
        tell(name, notice);
    })
}

fn tell(name: &str, notice: Notice) {
    match notice {
        Notice::Fact { level, text } => log_lines::fact(level, name, &text),
        Notice::Ready { record } => print_ready(record),
        Notice::Stopped => info!("{name} stopped"),
        Notice::Outdated
        | Notice::Songs { .. }
        | Notice::Browsed { .. }
        | Notice::Status { .. }
        | Notice::Records { .. }
        | Notice::Opened { .. }
        | Notice::Fragment { .. }
        | Notice::ReadDone { .. }
        | Notice::Scanned { .. }
        | Notice::Progress { .. }
        | Notice::Uploaded { .. }
        | Notice::Removed { .. }
        | Notice::Changed { .. }
        | Notice::Trash { .. }
        | Notice::Documents { .. }
        | Notice::Written { .. }
        | Notice::Failed { .. } => (), // The log has it already, or a server has no user.
    }
}

fn print_ready(record: Record) {
    let Record {
        role,
        address,
        node,
        ..
    } = record;
    // The reader of standard output may be gone; the node continues regardless.
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "ready {role} {address} {node}").and_then(|()| out.flush());
    notify::ready();
}

/// SIGINT and SIGTERM stop the process in order. SIGHUP begins a new log file; without one it stops the
/// process, too, because its terminal is gone.
pub(crate) fn stop_on_signal(settings: &Settings, reactor: &Reactor) -> Result<(), Failure> {
    let (stop, to_file) = (reactor.stop_handle(), settings.log_file.is_some());
    notify::watch(reactor.pulse_handle())?;
    let failed = |error| Failure::failed("listen for signals", error);
    let mut signals =
        signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    std::thread::Builder::new()
        .name("signals".into())
        .stack_size(128 * 1024)
        .spawn(move || {
            for signal in signals.forever() {
                if signal == SIGHUP && to_file {
                    log_lines::reopen();
                    continue;
                }
                notify::stopping();
                stop.stop();
            }
        })
        .map(drop)
        .map_err(failed)
}

/// Ends the process with its parent. However the parent ends, the system closes its end of this
/// process's standard input. A loop that does not stop in time is killed with the process.
fn stop_with_parent(stop: StopHandle) -> Result<(), Failure> {
    let watch = move || {
        // The input itself is discarded; only its end matters, whether clean or by an error.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        stop.stop();
        std::thread::sleep(STOP_PATIENCE);
        std::process::exit(1);
    };
    std::thread::Builder::new()
        .name("parent".into())
        .stack_size(128 * 1024)
        .spawn(watch)
        .map(drop)
        .map_err(|error| Failure::failed("watch the parent", error))
}

/// Why a node ends whose identity another process has.
const OUTDATED: &str = "a later start of this node is known, or the same one at another address: never run a \
     data directory and its copy at once";

/// How long a node may take to end when its parent has ended.
const STOP_PATIENCE: Duration = Duration::from_secs(4);
