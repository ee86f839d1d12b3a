//! The simulated world: the second host of the roles.
//!
//! A [`world::World`] holds the same state machines that run on servers and performs their actions
//! in memory: virtual time, one event queue, every random choice drawn from one seed. Faults
//! imitate how transports, disks and processes fail in reality. After every event the invariants in
//! [`checks`] are checked; once everything is mended, [`run`] checks that the cluster recovers. A
//! seed that fails can be run again by its number.
#![forbid(unsafe_code)]

mod births;
pub mod seen;
mod steering;
pub mod world;

pub mod agenda;
pub mod climate;
pub mod decay;
pub mod disk;
pub mod faults;
pub mod jobs;
pub mod liar;
pub mod music;
pub mod network;
pub mod nonsense;
pub mod resident;
pub mod unrest;

pub mod careless;
pub mod checks;
pub mod circle;
pub mod healing;
pub mod keeping;
pub mod mutants;
pub mod ring;
pub mod schedules;

pub mod figures;
pub mod run;
pub mod trace;
pub mod workload;
