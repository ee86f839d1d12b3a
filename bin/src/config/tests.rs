use super::*;

fn faults(text: &str) -> Vec<String> {
    let (mut config, mut faults) = (Config::default(), Vec::new());
    config.take(Path::new("c.toml"), text, &mut faults);
    if faults.is_empty() {
        faults.extend(config.wrong_relation());
    }
    faults.iter().map(Fault::to_string).collect()
}

fn parsed(text: &str, words: &[&str]) -> Args {
    let (mut config, mut faults) = (Config::default(), Vec::new());
    config.take(Path::new("c.toml"), text, &mut faults);
    assert_eq!(faults, []);
    let words = [&["dispotify"], words].concat();
    let first = Args::try_parse_from(&words).expect("words");
    let line = config.as_defaults(Args::command(), &first.command);
    let matches = line.try_get_matches_from(&words).expect("words");
    Args::from_arg_matches(&matches).expect("arguments")
}

/// Each fault is told with its line, what it is, and what may have been meant.
#[test]
fn what_is_wrong_is_told_with_its_line() {
    let cases = [
        (
            "dns = \"10.0.0.1\"\n\nkeyfile = \"x\"",
            "c.toml:3: there is no keyfile: is key-file meant?",
        ),
        (
            "port = 1",
            "c.toml:1: there is no port: is node.port meant?",
        ),
        (
            "[node]\nport = 70000",
            "c.toml:2: node.port: invalid value '70000' for '--port <PORT>'",
        ),
        (
            "[node]\nweight = 1.5",
            "c.toml:2: node.weight: write a text, a number, true, false",
        ),
        (
            "[node]\ndrain = \"yes\"",
            "c.toml:2: node.drain: write true or false",
        ),
        (
            "[node]\nport = [\"1\", \"2\"]",
            "c.toml:2: node.port: write one value",
        ),
        (
            "dns = [\"10.0.0.1\", \"nas\"]",
            "c.toml:1: dns nas: write an IP address",
        ),
        (
            "preset = \"moon\"",
            "c.toml:1: preset: invalid value 'moon' for '--preset",
        ),
        (
            "[set]\nrepair.grace = \"3 weeks\"",
            "c.toml:2: set.repair.grace: a duration is 250ms",
        ),
        (
            "[set]\n\"repair.grace\" = \"3y\"",
            "c.toml:2: set.repair.grace: a duration is 250ms",
        ),
        (
            "[set]\nrepair.grave = \"3s\"",
            "c.toml:2: there is no set.repair.grave: is set.repair.grace meant?",
        ),
        (
            "[set.ring]\nbeat = \"1ms\"",
            "c.toml:2: set.ring.beat: from 100ms to 30d",
        ),
        ("[node]\nhost = ", "c.toml:2: "),
        ("log = \"info\"\nlog = \"warn\"", "c.toml:2: "),
        (
            "[node.data.deep.er]\nx = 1",
            "c.toml:1: there is no node.data.deep.er",
        ),
        (
            "[set]\nring.alone = \"3s\"\nring.confirm = \"4s\"",
            "c.toml:3: ring.confirm, ring.agreed and ring.alone must not shrink",
        ),
        (
            "[set.dns]\nttl = \"1s\"\nconfirm = \"1s\"",
            "c.toml:3: dns.confirm must be shorter than dns.ttl",
        ),
    ];
    for (text, expected) in cases {
        let faults = faults(text);
        assert!(
            faults
                .first()
                .is_some_and(|fault| fault.starts_with(expected)),
            "{text:?}: {faults:?}"
        );
    }
    assert_eq!(faults("a = 1\nb = 2\n[node]\nc = 3").len(), 3);
}

/// A flag wins over a file, one role over all nodes, and the values of other commands count nothing.
#[test]
fn a_file_gives_defaults() {
    let text = "
        dns = [\"10.0.0.1\", \"10.0.0.2:7\"]
        log = \"debug\"
        [node.router]
        port = 7702
        [node]
        host = \"10.0.0.9\"
        port = 7701
        weight = 3
        drain = true
        [serve]
        port = 9000";
    let node = |words: &[&str]| {
        let Command::Node(node) = parsed(text, words).command else {
            panic!("{words:?}");
        };
        node
    };
    let data = node(&["node", "data"]);
    assert_eq!((data.port, data.weight, data.drain), (7701, 3, true));
    assert_eq!(data.host, "10.0.0.9".parse().ok());
    assert_eq!(node(&["node", "router"]).port, 7702);
    assert_eq!(node(&["node", "3", "--port", "5"]).port, 5);
    let common = parsed(text, &["ls", "--log", "warn"]).common;
    assert_eq!(common.log, log::LevelFilter::Warn);
    assert_eq!(common.dns, ["10.0.0.1", "10.0.0.2:7"]);
}

/// Settings of a file come before flags, so that flags win; a preset comes before both.
#[test]
fn a_preset_gives_way_to_single_settings() {
    let mut args = Args::parse_from(["dispotify", "--preset", "wan", "ls"]);
    args.common.set = vec!["ring.confirm=1s".into(), "ring.confirm=3s".into()];
    let values = Settings::of(&args.common).expect("settings").values();
    let value = |name| {
        values
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(value("ring.confirm"), Some("3s"));
    assert_eq!(value("ring.alone"), Some("12s"));
    assert_eq!(value("repair.grace"), Some("5m"));
}

/// The example that is shipped says nothing, and each line of it is right when its sign is taken away.
#[test]
fn the_example_is_right() {
    let example = include_str!("../../../tools/systemd/config.toml");
    assert!(
        example
            .lines()
            .all(|line| line.is_empty() || line.starts_with('#'))
    );
    let in_force = |line: &str| {
        line.strip_prefix('#')
            .filter(|rest| !rest.starts_with(' '))
            .map(str::to_owned)
    };
    let lines: Vec<String> = example.lines().filter_map(in_force).collect();
    let text = lines.join("\n");
    assert!(
        lines.len() > 20 && faults(&text).is_empty(),
        "{:?}",
        faults(&text)
    );
    for name in keys::COMMON {
        assert!(text.contains(&format!("{name} = ")), "{name}");
    }
}
