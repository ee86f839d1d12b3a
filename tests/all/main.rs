//! All tests of the simulated world, in one binary.

mod copies;
mod maps;
mod mutants;
mod replay;
mod scenarios;
mod schedules;
mod seeds;
