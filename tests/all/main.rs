//! All tests of the simulated world, in one binary.

mod copies;
mod dependencies;
mod documents;
mod liars;
mod maps;
mod mutants;
mod replay;
mod scenarios;
mod schedules;
mod seeds;
mod strangers;
