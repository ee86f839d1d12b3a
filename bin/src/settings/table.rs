//! Every setting of `--set`, in one table: name, range, and what it trades.
//!
//! `--set help`, the check of a value and the table in the manual come from here. Defaults are those
//! of the parts that use the settings, so none is written twice.

use std::fmt::Write as _;
use std::time::Duration;

use super::Settings;
use super::preset::wan;
use crate::config::setting_like;
use crate::failure::Failure;

/// One setting.
struct Setting {
    name: &'static str,
    /// What it sets.
    meaning: &'static str,
    /// What a smaller and a larger value cost.
    trades: &'static str,
    kind: Kind,
}

/// Where a value is kept, and the least and the most it may be.
enum Kind {
    Duration(fn(&mut Settings) -> &mut Duration, Duration, Duration),
    Bytes(fn(&mut Settings) -> &mut u64, u64, u64),
    Percent(fn(&mut Settings) -> &mut u32, u32, u32),
    Count(fn(&mut Settings) -> &mut usize, usize, usize),
}

use Kind::{Bytes, Count, Percent};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Longest duration that any setting takes.
const MONTH: Duration = secs(30 * 86_400);

/// Longest time in the trash.
const YEAR: Duration = secs(366 * 86_400);

const fn time(place: fn(&mut Settings) -> &mut Duration, least: Duration, most: Duration) -> Kind {
    Kind::Duration(place, least, most)
}

const fn setting(
    name: &'static str,
    kind: Kind,
    meaning: &'static str,
    trades: &'static str,
) -> Setting {
    Setting {
        name,
        meaning,
        trades,
        kind,
    }
}

const SETTINGS: [Setting; 20] = [
    setting(
        "dns.ttl",
        time(|s| &mut s.server.dns.record_ttl, secs(1), MONTH),
        "longest life of a record without renewal",
        "shorter: the dead vanish sooner, more renewals",
    ),
    setting(
        "dns.share",
        time(|s| &mut s.server.dns.share_every, ms(100), MONTH),
        "between two exchanges of DNS nodes",
        "shorter: they agree sooner, more traffic",
    ),
    setting(
        "dns.confirm",
        time(|s| &mut s.server.dns.confirm_patience, ms(1), MONTH),
        "how long a silent server is waited for",
        "shorter: dead servers vanish sooner, but slow ones are dropped as well",
    ),
    setting(
        "dns.rate",
        Count(|s| &mut s.dns_rate, 1, 1_000_000_000),
        "DNS questions of one network (/24) a second, and at once",
        "fewer: a flood in a stranger's name is smaller, a busy resolver waits",
    ),
    setting(
        "resolve.refresh",
        time(|s| &mut s.server.refresh, ms(100), MONTH),
        "longest time between two look-ups of the same role",
        "shorter: newcomers are seen sooner, more look-ups",
    ),
    setting(
        "data.announce",
        time(|s| &mut s.server.data.announce_every, ms(100), MONTH),
        "between two reports of an idle data node to the routers",
        "shorter: counts are fresher, more traffic",
    ),
    setting(
        "data.upload",
        time(|s| &mut s.server.data.upload_untouched, secs(1), MONTH),
        "when an abandoned upload is forgotten",
        "shorter: its room is free sooner, less can be resumed",
    ),
    setting(
        "trash.keep",
        time(|s| &mut s.server.data.trash_keep, Duration::ZERO, YEAR),
        "how long a removed song can be taken back, while nodes run; 0s: it is removed for good at once",
        "shorter: its room is free sooner, a mistake is noticed too late sooner",
    ),
    setting(
        "repair.every",
        time(|s| &mut s.server.data.anti_entropy.every, ms(100), MONTH),
        "between two comparisons of data nodes",
        "shorter: gaps are found sooner, more reading",
    ),
    setting(
        "repair.grace",
        time(|s| &mut s.server.data.anti_entropy.grace, ms(1), MONTH),
        "how long a dead data node is waited for",
        "shorter: copies are whole sooner, a reboot moves songs",
    ),
    setting(
        "repair.share",
        Percent(|s| &mut s.server.data.anti_entropy.share_percent, 1, 90),
        "percent of the bandwidth for copies while clients are served",
        "more: copies are whole sooner, listeners wait longer",
    ),
    setting(
        "scrub.within",
        time(|s| &mut s.server.data.anti_entropy.scrub, secs(1), MONTH),
        "every fragment is read and checked once in this time",
        "shorter: rot is found sooner, more reading",
    ),
    setting(
        "ring.beat",
        time(|s| &mut s.server.ring.beat, ms(100), MONTH),
        "between two reports to the successor",
        "shorter: a death is seen sooner, more traffic",
    ),
    setting(
        "ring.confirm",
        time(|s| &mut s.server.ring.confirm, ms(1), MONTH),
        "how long a silent member may take to answer",
        "shorter: a death is seen sooner, more false alarms",
    ),
    setting(
        "ring.agreed",
        time(|s| &mut s.server.ring.agreed, ms(1), MONTH),
        "from suspicion to verdict if two agree",
        "shorter: a verdict comes sooner, and is wrong more often",
    ),
    setting(
        "ring.alone",
        time(|s| &mut s.server.ring.alone, ms(1), MONTH),
        "from suspicion to verdict if one is alone",
        "shorter: a verdict comes sooner, a node with a bad line is wrong more often",
    ),
    setting(
        "ring.pause",
        time(|s| &mut s.server.ring.switch_pause, ms(1), MONTH),
        "between two changes of a role",
        "shorter: roles are whole sooner, songs move more often",
    ),
    setting(
        "client.hedge",
        time(|s| &mut s.client.hedge_after, ms(1), MONTH),
        "when a late first fragment is asked for twice",
        "shorter: a slow holder is noticed less, more traffic",
    ),
    setting(
        "cache.bytes",
        Bytes(|s| &mut s.client.cache_bytes, 0, 1_000_000_000_000),
        "how much the cache holds",
        "more: less is fetched again, more disk",
    ),
    setting(
        "net.connections",
        Count(|s| &mut s.connections_max, 8, 100_000),
        "connections of a process at once; a third of them for browsers",
        "more: more clients at once, more files and memory",
    ),
];

/// Applies `name=value`. An error says what was wrong with it.
pub(super) fn apply(settings: &mut Settings, set: &str) -> Result<(), Failure> {
    let usage = |why: String| Failure::Usage(format!("--set {set}: {why}"));
    let (name, value) = (set.split_once('=')).ok_or_else(|| usage("write name=value".into()))?;
    assign(settings, name.trim(), value.trim()).map_err(usage)
}

/// Gives a setting a value. The error says what was wrong.
pub(super) fn assign(settings: &mut Settings, name: &str, value: &str) -> Result<(), String> {
    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
        let like = setting_like(name).map(|like| format!(": is {like} meant?"));
        let like = like.unwrap_or_else(|| " (see --set help)".into());
        return Err(format!("no such setting{like}"));
    };
    setting.kind.assign(settings, value)
}

/// The names of all settings.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|setting| setting.name)
}

/// Every setting with its value.
pub(super) fn values(settings: &mut Settings) -> Vec<(&'static str, String)> {
    let value = |setting: &Setting| (setting.name, setting.kind.values(settings).0);
    SETTINGS.iter().map(value).collect()
}

/// What `--set help` prints.
pub(super) fn help(defaults: &mut Settings) -> String {
    let mut text = String::new();
    for setting in &SETTINGS {
        let (default, least, most) = setting.kind.values(defaults);
        let Setting {
            name,
            meaning,
            trades,
            ..
        } = setting;
        let wan = wan(name).map(|wan| format!("; wan: {wan}"));
        let wan = wan.unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:16} {meaning} [{default}{wan}]");
        let _ = writeln!(text, "  {:16} from {least} to {most}; {trades}", "");
    }
    text.pop();
    text
}

impl Kind {
    fn assign(&self, settings: &mut Settings, text: &str) -> Result<(), String> {
        match self {
            Kind::Duration(place, least, most) => {
                *place(settings) = bounded(duration(text)?, *least, *most, shown)?;
            }
            Bytes(place, least, most) => {
                *place(settings) = bounded(size(text)?, *least, *most, sized)?;
            }
            Percent(place, least, most) => {
                *place(settings) = bounded(number(text)?, *least, *most, |n| n.to_string())?;
            }
            Count(place, least, most) => {
                *place(settings) = bounded(number(text)?, *least, *most, |n| n.to_string())?;
            }
        }
        Ok(())
    }

    /// The present value, the least and the most, as a user writes them.
    fn values(&self, settings: &mut Settings) -> (String, String, String) {
        match self {
            Kind::Duration(place, least, most) => {
                (shown(*place(settings)), shown(*least), shown(*most))
            }
            Bytes(place, least, most) => (sized(*place(settings)), sized(*least), sized(*most)),
            Percent(place, least, most) => {
                let value = *place(settings);
                (value.to_string(), least.to_string(), most.to_string())
            }
            Count(place, least, most) => {
                let value = *place(settings);
                (value.to_string(), least.to_string(), most.to_string())
            }
        }
    }
}

/// Reads a duration within these bounds.
pub(super) fn duration_within(
    text: &str,
    least: Duration,
    most: Duration,
) -> Result<Duration, String> {
    bounded(duration(text)?, least, most, shown)
}

fn bounded<T: PartialOrd + Copy>(
    value: T,
    least: T,
    most: T,
    shown: impl Fn(T) -> String,
) -> Result<T, String> {
    if value < least || most < value {
        return Err(format!("from {} to {}", shown(least), shown(most)));
    }
    Ok(value)
}

/// A duration in the largest unit that leaves no rest.
fn shown(duration: Duration) -> String {
    let millis = duration.as_millis();
    if !millis.is_multiple_of(1000) {
        return format!("{millis}ms");
    }
    let seconds = millis / 1000;
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let fits = |(unit, _): &&(u128, &str)| seconds >= *unit && seconds.is_multiple_of(*unit);
    match units.iter().find(fits) {
        Some((unit, name)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// A size in the largest unit that leaves no rest.
fn sized(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let fits = |(unit, _): &&(u64, &str)| bytes >= *unit && bytes.is_multiple_of(*unit);
    match units.iter().find(fits) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    text.split_at(digits.unwrap_or(text.len()))
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is 250ms, 3s, 5m, 2h or 1d".to_owned();
    let (digits, unit) = split_unit(text);
    let value: u64 = digits.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => Some(value),
        "s" => value.checked_mul(1000),
        "m" => value.checked_mul(60_000),
        "h" => value.checked_mul(3_600_000),
        "d" => value.checked_mul(86_400_000),
        _ => None,
    };
    millis.map(Duration::from_millis).ok_or_else(wrong)
}

fn size(text: &str) -> Result<u64, String> {
    let wrong = || "a size is 500kB, 200MB or 1GB".to_owned();
    let (digits, unit) = split_unit(text);
    let value: u64 = digits.parse().map_err(|_| wrong())?;
    let factor = match unit {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    value.checked_mul(factor).ok_or_else(wrong)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "it is no number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn settings() -> Settings {
        let args = crate::args::Args::parse_from(["dispotify", "ls"]);
        Settings::of(&args.common).expect("defaults")
    }

    #[test]
    fn durations_and_sizes_need_their_units() {
        assert_eq!(duration("250ms"), Ok(ms(250)));
        assert_eq!(duration("5m"), Ok(secs(300)));
        assert!(duration("5").is_err() && duration("s").is_err());
        assert_eq!(size("200MB"), Ok(200_000_000));
        assert!(size("2PB").is_err() && size("99999999999999999999").is_err());
    }

    /// The manual lists the same settings.
    #[test]
    fn the_manual_has_this_table() {
        let mut settings = settings();
        // It depends on the machine's limit of open files.
        settings.connections_max = 1000;
        let mut table = String::from(
            "| setting | what it sets | default | from, to | what it trades |\n|---|---|---|---|---|\n",
        );
        for setting in &SETTINGS {
            let (default, least, most) = setting.kind.values(&mut settings);
            let Setting {
                name,
                meaning,
                trades,
                ..
            } = setting;
            let wan = wan(name).map(|wan| format!(" (wan: {wan})"));
            let wan = wan.unwrap_or_default();
            let _ = writeln!(
                table,
                "| `{name}` | {meaning} | {default}{wan} | {least}, {most} | {trades} |"
            );
        }
        let page = include_str!("../../manual/operating.md");
        assert!(
            page.contains(&table),
            "bin/manual/operating.md needs this:\n{table}"
        );
    }

    /// Every default lies in its range, and what is shown can be given.
    #[test]
    fn what_is_shown_can_be_given() {
        let mut settings = settings();
        for setting in &SETTINGS {
            let (default, least, most) = setting.kind.values(&mut settings);
            for value in [default, least, most] {
                let given = setting.kind.assign(&mut settings, &value);
                assert_eq!(given, Ok(()), "{}={value}", setting.name);
                assert_eq!(setting.kind.values(&mut settings).0, value);
            }
        }
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        let refused = |set| format!("{:?}", apply(&mut settings(), set).expect_err("refused"));
        assert!(refused("ring.beat=99ms").contains("from 100ms to 30d"));
        assert!(refused("repair.share=91").contains("from 1 to 90"));
        assert!(refused("ring.beat=0s").contains("from 100ms"));
        assert!(refused("net.connections=x").contains("no number"));
    }
}
