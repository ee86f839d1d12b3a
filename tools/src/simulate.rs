//! Runs many seeds.
fn main() {}
