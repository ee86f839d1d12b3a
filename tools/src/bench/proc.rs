//! What the kernel says about a process: bytes written, processor time, memory, wake-ups.

use std::fs;
use std::time::Duration;

/// Ticks per second of `/proc/PID/stat`: a constant of the interface on Linux.
const TICKS: f64 = 100.0;

/// Bytes that a process has caused to be written to disk.
pub(super) fn written(pid: u32) -> f64 {
    field(&read(pid, "io"), "write_bytes:")
}

/// Processor time of a process, all threads together.
pub(super) fn cpu(pid: u32) -> Duration {
    Duration::from_secs_f64(cpu_of(&read(pid, "stat")))
}

/// Proportional memory of a process in bytes: shared pages count in parts.
pub(super) fn memory(pid: u32) -> f64 {
    field(&read(pid, "smaps_rollup"), "Pss:") * 1024.0
}

/// How often the threads of a process have gone to sleep of their own accord.
pub(super) fn sleeps(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    let threads = threads.into_iter().flatten().flatten();
    let status = threads.map(|thread| fs::read_to_string(thread.path().join("status")));
    let status = status.map(Result::unwrap_or_default);
    status
        .map(|text| field(&text, "voluntary_ctxt_switches:"))
        .sum()
}

fn read(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

/// The number behind a name at the beginning of a line; 0 if it is not there.
fn field(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0.0)
}

/// User and system time in seconds. The process's name, in brackets, may hold blanks.
fn cpu_of(stat: &str) -> f64 {
    let Some((_, rest)) = stat.rsplit_once(") ") else {
        return 0.0;
    };
    let ticks = rest.split(' ').skip(11).take(2);
    ticks
        .filter_map(|word| word.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let io = "rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 7\n";
        assert_eq!(field(io, "write_bytes:"), 4096.0);
        assert_eq!(
            field("Pss:      1234 kB\nPss_Dirty: 5 kB\n", "Pss:"),
            1234.0
        );
        assert_eq!(field("", "Pss:"), 0.0);
    }

    #[test]
    fn a_name_with_blanks_does_not_shift_the_times() {
        let stat = "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(cpu_of(stat), 2.0);
    }

    #[test]
    fn this_process_has_memory() {
        assert!(memory(std::process::id()) > 100_000.0);
    }
}
