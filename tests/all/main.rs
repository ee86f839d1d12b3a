//! Everything that is tested from outside a crate, in one binary.

mod copies;
mod mutants;
mod replay;
mod scenarios;
mod schedules;
mod seeds;
