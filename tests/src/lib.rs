//! The simulated world: the second host of the roles.
//!
//! A [`world::World`] holds the same state machines that run on servers and performs their actions
//! in memory: virtual time, one event queue, every random choice drawn from one seed. Faults
//! imitate how transports, disks and processes fail in reality. After every event the invariants in
//! [`checks`] are checked; once everything is mended, [`run`] checks that the cluster recovers. A
//! seed that fails can be run again by its number.
#![forbid(unsafe_code)]

pub mod coverage;
mod spawn;
mod steering;
pub mod world;

pub mod climate;
pub mod disk;
pub mod disk_faults;
pub mod event_queue;
pub mod faults;
pub mod jobs;
pub mod liar;
pub mod malformed;
pub mod music;
pub mod network;
pub mod resident;
pub mod ring_faults;

pub mod checks;
pub mod circle;
pub mod convergence;
pub mod copy_invariants;
pub mod data_mutants;
pub mod mutants;
pub mod ring;
pub mod schedules;

pub mod figures;
pub mod run;
pub mod trace;
pub mod workload;
