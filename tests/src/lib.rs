//! The simulated world: the second host of the roles.
//!
//! A [`world::World`] holds the very state machines that run on servers, and performs every
//! action of theirs in memory: virtual time, one queue, everything drawn from one seed. Faults
//! follow the transport, the disks and the processes as they really fail; after every event the
//! rules in [`checks`] are looked at, and once all is mended [`run`] demands that everything
//! comes right. A seed that fails is repeated by its number.
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
