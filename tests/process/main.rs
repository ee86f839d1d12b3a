//! Real processes on loopback: few, because they prove the wiring, not the logic.

mod lab;
mod sound;

mod failures;
mod hostile;
mod library;
mod refusals;
mod ring;
