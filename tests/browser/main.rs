//! The web player in a real browser: the binary's own page, real clicks, real sound.
//!
//! Where Chromium or its driver is missing, each test reports a skip and passes.

#[path = "../process/lab.rs"]
#[expect(dead_code, reason = "the process tests use all of it")]
mod lab;
#[path = "../process/sound.rs"]
#[expect(dead_code, reason = "the process tests use all of it")]
mod sound;

mod browser;
mod driver;
mod stage;

mod library;
mod page;
mod survival;
