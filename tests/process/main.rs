//! Real processes on loopback. The tests are few, because they prove the wiring and not the logic.

mod lab;
mod netlab;
mod sound;

mod albums;
mod config;
mod copies;
mod dns_nodes;
mod export;
mod failures;
mod full_disk;
mod hostile;
mod keys;
mod laboratory;
mod library;
mod link;
mod listeners;
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
mod signals;
#[cfg(not(debug_assertions))]
mod speed;
mod tables;
mod trash;
mod verify;
mod watch;
mod web;
