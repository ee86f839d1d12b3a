//! Real processes on loopback. The tests are few, because they prove the wiring and not the logic.

mod lab;
mod netlab;
mod sound;

mod albums;
mod copies;
mod dns_nodes;
mod failures;
mod full_disk;
mod hostile;
mod laboratory;
mod library;
mod link;
mod load;
mod names;
mod operator;
mod outages;
mod partition;
mod powercut;
mod privacy;
mod refusals;
mod rights;
mod ring;
#[cfg(not(debug_assertions))]
mod speed;
mod tables;
mod trash;
mod verify;
mod web;
