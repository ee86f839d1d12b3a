//! The network of a ring of real processes is cut: each half goes on, and later the halves merge.

use std::time::Duration;

use serde_json::Value;

use super::lab::{Lab, Server};
use super::netlab::{self, Switches};

/// A DNS node on host 1, data nodes on 2 and 3, routers on 4 and 5.
fn five_hosts(lab: &mut Lab) -> Vec<Server> {
    let names = on(lab, 1, "dns");
    lab.use_dns(&names.address);
    let mut servers = vec![names];
    for (host, role) in [(2, "data"), (3, "data"), (4, "router"), (5, "router")] {
        servers.push(on(lab, host, role));
    }
    lab.host = Some(netlab::host(1));
    servers
}

fn on(lab: &mut Lab, host: u32, role: &str) -> Server {
    lab.host = Some(netlab::host(host));
    let mut command = lab.command(&["node", role, "--host", &netlab::address(host)]);
    command
        .arg("--data-dir")
        .arg(lab.dir.join(role).join(host.to_string()));
    command.args(["--set", "resolve.refresh=500ms", "--log", "debug"]);
    lab.spawn(command)
}

fn ring_of(status: &Value) -> usize {
    status["ring"].as_array().map_or(0, Vec::len)
}

/// Waits until the status shows so many members, as seen from one host's side.
fn await_ring(lab: &mut Lab, host: u32, size: usize) {
    lab.host = Some(netlab::host(host));
    lab.await_status(
        &format!("a ring of {size} seen from host {host}"),
        |status| ring_of(status) == size,
    );
}

/// Each side has a data node and a router, one side has the DNS node. During a cut of `span` both
/// sides serve; afterwards they become one ring.
fn split_and_heal(test: &str, span: Duration) {
    if !netlab::inside(test, 5) {
        return;
    }
    let mut lab = Lab::new("partition");
    let _servers = five_hosts(&mut lab);
    await_ring(&mut lab, 1, 4);
    // A command on the other side finds a router only if it remembers one from before the cut.
    lab.host = Some(netlab::host(3));
    lab.ok(&["status"]);
    let (switches, minority) = (Switches, [3, 5]);
    switches.split(&minority);
    std::thread::sleep(span); // The length of the cut is what is tested.
    if span > Duration::from_secs(30) {
        await_ring(&mut lab, 1, 2);
        await_ring(&mut lab, 3, 2);
    }
    switches.join(&minority);
    await_ring(&mut lab, 1, 4);
    await_ring(&mut lab, 3, 4);
    lab.host = Some(netlab::host(1));
    lab.await_status("everybody is well", |status| {
        let nodes = status["nodes"].as_array();
        nodes.is_some_and(|nodes| nodes.len() == 5 && nodes.iter().all(|n| n["state"] == "alive"))
    });
}

#[test]
fn a_short_partition_heals() {
    split_and_heal("partition::a_short_partition_heals", Duration::from_secs(5));
}

#[test]
fn a_long_partition_heals() {
    split_and_heal("partition::a_long_partition_heals", Duration::from_secs(75));
}

/// A host that vanishes silently is called dead by the members that watch it, and is a member again
/// when its cable is back.
#[test]
fn an_unplugged_host_is_dead_until_it_is_plugged_in() {
    if !netlab::inside(
        "partition::an_unplugged_host_is_dead_until_it_is_plugged_in",
        5,
    ) {
        return;
    }
    let mut lab = Lab::new("unplugged");
    let servers = five_hosts(&mut lab);
    await_ring(&mut lab, 1, 4);
    let state = |status: &Value, wanted: &str| {
        let nodes = status["nodes"].as_array();
        let mut nodes = nodes.into_iter().flatten();
        nodes.any(|n| n["id"] == servers[1].id.as_str() && n["state"] == wanted)
    };
    Switches.unplug(2);
    lab.await_status("it is dead", |status| state(status, "dead"));
    Switches.plug(2);
    lab.await_status("it is back", |status| {
        state(status, "alive") && ring_of(status) == 4
    });
}
