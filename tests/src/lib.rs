#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod coverage;
pub mod spawn;
pub mod steering;
pub mod world;

pub mod climate;
pub mod disk;
pub mod disk_faults;
pub mod event_queue;
pub mod faults;
pub mod jobs;
pub mod liar;
pub mod lies;
pub mod malformed;
pub mod music;
pub mod network;
pub mod resident;
pub mod ring_faults;
pub mod strangers;
pub mod switch;

pub mod checks;
pub mod circle;
pub mod convergence;
pub mod copy_invariants;
pub mod data_mutants;
pub mod documents;
pub mod mutants;
pub mod ring;
pub mod schedules;

pub mod figures;
pub mod groups;
pub mod run;
pub mod trace;
pub mod trash;
pub mod workload;
