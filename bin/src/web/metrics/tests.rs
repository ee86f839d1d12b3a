use std::collections::BTreeSet;

use net::http::site::Head;
use roles::contract::id::{Incarnation, NodeId};
use roles::contract::message::NodeStatus;
use roles::contract::record::Address;

use super::*;

fn status() -> Status {
    let node = NodeStatus {
        node: NodeId(7),
        role: Role::Data,
        state: NodeState::Full,
        address: Address(([127, 0, 0, 1], 7700).into()),
        incarnation: Incarnation(1),
        songs: 12,
        bytes: 34_000,
        heard_ms: 1_500,
        repairing: 2,
        damaged: 1,
    };
    Status {
        nodes: vec![node],
        songs: 12,
        copies_missing: 3,
        ring: vec![NodeId(7)],
        last_alert: None,
        last_switch: None,
    }
}

fn answered(metrics: &mut Metrics, number: u64, (route, code): (&'static str, u16), ms: u64) {
    let exchange = Exchange::of_test(1, number);
    metrics.begin(Time::ZERO, exchange);
    metrics.is_for(exchange, route);
    let head = Head {
        status: code,
        fields: vec![],
        length: None,
    };
    metrics.note(Time::from_millis(ms), &[Act::Answer { exchange, head }]);
}

fn busy() -> Metrics {
    let mut metrics = Metrics::default();
    answered(&mut metrics, 1, ("songs", 200), 3);
    answered(&mut metrics, 2, ("songs", 200), 9_000);
    answered(&mut metrics, 3, ("none", 421), 0);
    let queue = Figure::Queue {
        name: "copies \"due\"",
        length: 4,
        most: 64,
    };
    let doubts = Figure::Doubts {
        kind: "bytes",
        count: 1,
    };
    let ring = Figure::Ring {
        suspects: 2,
        checks: 1,
        patience: 3,
        cut_off: true,
    };
    metrics.take(LoopFigures {
        of_nodes: vec![(NodeId(7), vec![queue, doubts, ring])],
        ..LoopFigures::default()
    });
    metrics
}

/// Each line is a family's head or a sample of the family above it; no family and no sample comes
/// twice; every value is a number; the buckets of a histogram grow.
fn check(text: &str, open_metrics: bool) {
    let (mut families, mut samples) = (BTreeSet::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    let mut bucket = 0.0;
    let body = text.strip_suffix("# EOF\n");
    assert_eq!(body.is_some(), open_metrics);
    for line in body.unwrap_or(text).lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().expect("a name").to_owned();
            assert!(families.insert(family.clone()), "twice: {line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            kind = rest
                .strip_prefix(&format!("{family} "))
                .expect("the same name")
                .to_owned();
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a value");
        let value: f64 = value.parse().expect("a number");
        assert!(samples.insert(name.to_owned()), "twice: {line}");
        let plain = name.split('{').next().expect("a name");
        let suffix = plain.strip_prefix(&family).expect("of this family");
        match (kind.as_str(), open_metrics) {
            ("counter", true) => assert_eq!(suffix, "_total", "{line}"),
            ("histogram", _) => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
            _ => assert_eq!(suffix, "", "{line}"),
        }
        if suffix == "_bucket" {
            assert!(value >= bucket, "{line}");
            bucket = value;
        } else {
            bucket = 0.0;
        }
    }
}

#[test]
fn both_texts_are_well_formed() {
    let metrics = busy();
    for status in [None, Some(status())] {
        check(&metrics.text(Format::OpenMetrics, status.as_ref(), 5), true);
        check(&metrics.text(Format::Plain, status.as_ref(), 5), false);
    }
}

#[test]
fn what_happened_is_told() {
    let text = busy().text(Format::OpenMetrics, Some(&status()), 5);
    for line in [
        "dispotify_up 1",
        "dispotify_nodes{role=\"data\",state=\"full\"} 1",
        "dispotify_nodes{role=\"router\",state=\"alive\"} 0",
        "dispotify_copies_missing 3",
        "dispotify_repairs 2",
        "dispotify_node_heard_seconds{node=\"00000000000000000000000000000007\",role=\"data\",address=\"127.0.0.1:7700\"} 1.5",
        "dispotify_http_requests_total{route=\"songs\",code=\"200\"} 2",
        "dispotify_http_requests_total{route=\"none\",code=\"421\"} 1",
        "dispotify_http_request_seconds_bucket{route=\"songs\",le=\"0.002\"} 0",
        "dispotify_http_request_seconds_bucket{route=\"songs\",le=\"0.005\"} 1",
        "dispotify_http_request_seconds_bucket{route=\"songs\",le=\"+Inf\"} 2",
        "dispotify_http_request_seconds_sum{route=\"songs\"} 9.003",
        "dispotify_queue_length{node=\"00000000000000000000000000000007\",queue=\"copies \\\"due\\\"\"} 4",
        "dispotify_doubts_total{node=\"00000000000000000000000000000007\",kind=\"bytes\"} 1",
        "dispotify_stream_buffer_bytes 5",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}\n{text}");
    }
    let lonely = busy().text(Format::Plain, None, 0);
    assert!(lonely.contains("dispotify_up 0") && !lonely.contains("dispotify_songs"));
}

/// The dashboard shows what is told, and nothing that is not.
#[test]
fn the_dashboard_asks_for_what_is_told() {
    let text = busy().text(Format::Plain, Some(&status()), 5);
    let dashboard = include_str!("../../../../tools/grafana/dispotify.json");
    let read: serde_json::Value = serde_json::from_str(dashboard).expect("JSON");
    let panels = read["panels"].as_array().expect("panels");
    for panel in panels {
        for target in panel["targets"].as_array().expect("targets") {
            let asked = target["expr"].as_str().expect("an expression");
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let words = asked.split(|c| !is_name(c));
            let names = words.filter(|w| w.starts_with("dispotify_") || w.starts_with("process_"));
            for name in names {
                let told = text.lines().any(|line| line.starts_with(name));
                assert!(told, "{name} of {asked}");
            }
        }
    }
    assert!(panels.len() >= 10);
}

#[test]
fn the_kernels_figures_are_read() {
    assert_eq!(resident_kb("VmPeak: 7 kB\nVmRSS:\t  1234 kB\n"), 1234);
    assert_eq!(
        cpu_seconds("12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0"),
        2.0
    );
    assert_eq!((resident_kb(""), cpu_seconds("")), (0, 0.0));
}
