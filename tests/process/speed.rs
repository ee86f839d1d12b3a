//! The hot paths need no more instructions than their table says. Only in a release build, because
//! the counts of another one mean nothing: `cargo test --release -p tests --test process speed`.

use std::process::Command;

use super::lab;
use super::sound::skipped;

/// A path that needs 3 % more instructions than in `tools/src/bench/instructions.txt` is slower,
/// however busy the machine is.
#[test]
fn hot_paths_are_as_fast_as_their_table() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return skipped("instruction counts, valgrind is not installed");
    }
    let mut bench = Command::new(lab::bench());
    bench.arg("--dispotify").arg(lab::dispotify());
    let output = bench.arg("instructions").output().expect("bench runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let counts = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{counts}");
}
