//! Servers that watch each other: real processes and real kills.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::lab::{Lab, PATIENCE, Server};

/// A short pause between two changes of role: the usual one spares people, and no test needs it.
const IMPATIENT: [&str; 2] = ["--set", "ring.pause=1s"];

/// Starts a DNS node and so many servers without a role, all at once.
fn autos(lab: &mut Lab, count: usize) -> (Server, Vec<Server>) {
    let dns = lab.start("dns", "dns", &[]);
    lab.use_dns(&dns.address);
    let lab: &Lab = lab;
    let begin = &|n: usize| {
        let mut command = lab.node("auto", &format!("auto{n}"), "0");
        command.args(IMPATIENT);
        command
    };
    let servers = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..count)
            .map(|n| scope.spawn(move || lab.spawn(begin(n))))
            .collect();
        let started = starting.into_iter().map(|s| s.join());
        started.map(|server| server.expect("it starts")).collect()
    });
    (dns, servers)
}

/// The ids of these servers, sorted as the status lists the living members.
fn ids(servers: &[Server]) -> Vec<&str> {
    let mut ids: Vec<&str> = servers.iter().map(|server| server.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

fn ring(status: &Value) -> Vec<&str> {
    let ring = status["ring"].as_array();
    let ids = ring.into_iter().flatten().filter_map(Value::as_str);
    ids.collect()
}

/// How many data nodes and routers are neither dead nor suspected.
fn roles(status: &Value) -> (usize, usize) {
    let nodes = status["nodes"].as_array();
    let nodes: Vec<&Value> = nodes.into_iter().flatten().collect();
    let with = |role: &str| {
        let alive = nodes.iter().filter(|node| node["state"] == "alive");
        alive.filter(|node| node["role"] == role).count()
    };
    (with("data"), with("router"))
}

/// Waits until these servers are one ring with the wanted number of data nodes and routers.
fn await_balance(lab: &Lab, servers: &[Server], wanted: (usize, usize)) -> Value {
    let all = ids(servers);
    lab.await_status(&format!("one ring with {wanted:?}"), |status| {
        let (data, routers) = roles(status);
        ring(status) == all && data.abs_diff(wanted.0) + routers.abs_diff(wanted.1) == 0
    })
}

/// How often the common log of all servers has this text.
fn count(lab: &Lab, line: &str) -> usize {
    lab.read_log().matches(line).count()
}

/// Seven servers are three data nodes and four routers. One dies, then two neighbours, then the
/// manager of the last census. Each time the others become one ring in balance, and no role is
/// empty for long.
#[test]
fn seven_servers_stay_one_ring_in_balance() {
    let mut lab = Lab::new("seven");
    let (_dns, mut servers) = autos(&mut lab, 7);
    await_balance(&lab, &servers, (3, 4));

    // The status shows a verdict a moment before the alert that follows from it.
    servers.remove(3).kill();
    await_balance(&lab, &servers, (3, 3));
    lab.await_status("an alert", |status| {
        status["last_alert"]["epoch"].is_string()
    });

    servers.sort_by(|a, b| a.id.cmp(&b.id));
    servers.remove(2).kill();
    servers.remove(2).kill();
    let status = await_balance(&lab, &servers, (2, 2));

    let manager = status["last_alert"]["manager"]
        .as_str()
        .expect("one has counted");
    let place = servers.iter().position(|server| server.id == manager);
    servers.remove(place.unwrap_or(0)).kill();
    await_balance(&lab, &servers, (2, 1));
}

/// In rings of three, four and six, one death makes exactly one alert, which visits all survivors.
#[test]
fn one_death_is_one_alert_that_visits_everybody() {
    for size in [3, 4, 6] {
        let mut lab = Lab::new("alert");
        let (_dns, mut servers) = autos(&mut lab, size);
        let all = ids(&servers);
        lab.await_status("one ring", |status| ring(status) == all);
        let dead = servers.remove(1);
        let about = format!("epoch={}/", &dead.id[..8]);
        drop(dead);
        let left = ids(&servers);
        lab.await_status("one ring without it", |status| {
            ring(status) == left && status["last_alert"]["epoch"].is_string()
        });
        await_lines(&lab, &format!("ring census {about}"), 1);
        assert_eq!(count(&lab, &format!("ring alert {about}")), 1);
        let passed = count(&lab, &format!("ring passes alert {about}"));
        assert_eq!(passed, size - 2, "all survivors but the manager");
        let reached = format!("reached={} ", size - 1);
        assert_eq!(count(&lab, &reached), 1, "{}", lab.read_log());
    }
}

fn await_lines(lab: &Lab, line: &str, wanted: usize) {
    let begun = Instant::now();
    while count(lab, line) < wanted {
        assert!(begun.elapsed() < PATIENCE, "{line}: {}", lab.read_log());
    }
}

/// Of two data nodes and three routers without fixed roles, a data node dies: exactly one router
/// takes its role, and is registered as a data node and no longer as a router.
#[test]
fn a_router_becomes_a_data_node() {
    let mut lab = Lab::new("switch");
    let (_dns, mut servers) = autos(&mut lab, 5);
    let status = await_balance(&lab, &servers, (2, 3));
    let is_data = |server: &Server| {
        let nodes = status["nodes"].as_array();
        let mut nodes = nodes.into_iter().flatten();
        nodes.any(|node| node["id"] == server.id.as_str() && node["role"] == "data")
    };
    let place = servers.iter().position(is_data).expect("there are two");
    servers.remove(place).kill();
    let status = await_balance(&lab, &servers, (2, 2));
    let changed = status["last_switch"]["node"].as_str().expect("one changed");
    assert_eq!(status["last_switch"]["role"], "data");
    assert_eq!(count(&lab, "role data from here on"), 1);
    let named = |group: &str| -> Vec<String> {
        let records = lab.json(&["resolve", group]);
        let node = |record: &Value| record["node"].as_str().map(str::to_owned);
        records.iter().filter_map(node).collect()
    };
    assert!(named("dispotify.data").iter().any(|node| node == changed));
    assert!(named("dispotify.router").iter().all(|node| node != changed));
}

/// A node that is frozen for two seconds is called dead by no member. One that is frozen for ten is
/// called dead, and rejoins by itself.
#[test]
fn a_node_that_stood_still_comes_back() {
    let mut lab = Lab::new("still");
    let (_dns, servers) = autos(&mut lab, 5);
    let all = ids(&servers);
    lab.await_status("one ring", |status| ring(status) == all);
    let lost = format!("ring lost node={}", servers[2].id);

    servers[2].signal("STOP");
    wait(Duration::from_secs(2));
    servers[2].signal("CONT");
    let stood = count(&lab, "stood still");
    wait(Duration::from_secs(4));
    assert_eq!(count(&lab, &lost), 0, "{}", lab.read_log());
    assert!(stood <= 1);

    servers[2].signal("STOP");
    await_lines(&lab, &lost, 4);
    servers[2].signal("CONT");
    lab.await_status("one ring again", |status| {
        let heals = |node: &Value| node["state"] == "alive" || node["role"] == "dns";
        ring(status) == all
            && status["nodes"]
                .as_array()
                .is_some_and(|n| n.iter().all(heals))
    });
}

/// Sleeps: the length of a freeze is what is tested, so there is no event to wait for.
fn wait(span: Duration) {
    std::thread::sleep(span);
}

/// A server that restarts with its data directory, but without any DNS node, finds the others and
/// its role.
#[test]
fn a_server_restarts_without_dns() {
    let mut lab = Lab::new("memory");
    let (mut dns, mut servers) = autos(&mut lab, 3);
    let all: Vec<String> = ids(&servers).iter().map(|id| (*id).to_owned()).collect();
    lab.await_status("one ring", |status| ring(status) == all);
    let remembered = lab.dir.join("auto1").join("members.json");
    let begun = Instant::now();
    let knows_all = || {
        let text = std::fs::read_to_string(&remembered).unwrap_or_default();
        all.iter().all(|id| text.contains(id.as_str()))
    };
    while !knows_all() {
        assert!(begun.elapsed() < PATIENCE, "{}", lab.read_log());
    }
    dns.kill();
    let mut old = servers.remove(1);
    old.kill();
    let (_, port) = old.address.rsplit_once(':').expect("an address");
    let mut command = lab.node("auto", "auto1", port);
    command.args(IMPATIENT);
    let _silent = lab.launch(command);
    // The command asks the router that it remembers, because no DNS node answers.
    lab.await_status("the same ring", |status| {
        let back = |node: &Value| node["id"] == old.id.as_str() && node["state"] == "alive";
        let nodes = status["nodes"].as_array();
        ring(status) == all && nodes.is_some_and(|nodes| nodes.iter().any(back))
    });
}

/// A node that stands still is in doubt before it is dead, and the status says whose doubt it is. A key
/// to listen suffices to see it.
#[test]
fn doubts_are_in_the_status() {
    let mut lab = Lab::new("doubts");
    // A suspicion that lasts, so that the status sees it.
    lab.settings = vec!["--set", "ring.agreed=30s", "--set", "ring.alone=30s"];
    let (_names, data) = lab.cluster(1, 2);
    let calm = lab.await_status("every data node and router answers", |status| {
        ring(status).len() == 3 && status["doubts"].as_array().map_or(0, Vec::len) == 3
    });
    let first = &calm["doubts"][0];
    assert_eq!(first["cut_off"], false, "{first}");
    assert!(
        first["patience"].is_u64() && first["anomalies"].is_object(),
        "{first}"
    );
    data[1].signal("STOP");
    let suspected = |doubts: &Value| {
        let suspects = doubts["suspects"].as_array();
        let mut suspects = suspects.into_iter().flatten();
        suspects.any(|suspect| suspect["node"] == *data[1].id)
    };
    lab.await_status("the others doubt", |status| {
        let doubts = status["doubts"].as_array();
        let doubts: Vec<&Value> = doubts.into_iter().flatten().collect();
        doubts.len() == 2 && doubts.iter().all(|one| suspected(one))
    });
    let shown = String::from_utf8(lab.ok(&["status"])).expect("text");
    let line = format!(") suspects {} for ", &data[1].id[..8]);
    assert_eq!(shown.matches(&line).count(), 2, "{shown}");
    data[1].signal("CONT");
    lab.await_status("nobody doubts", |status| {
        let doubts = status["doubts"].as_array();
        doubts.is_some_and(|all| all.len() == 3 && !all.iter().any(suspected))
    });
}
