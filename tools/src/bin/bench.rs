//! The benchmarks' executable.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::bench::main()
}
