//! The types that nodes, their hosts and the disk share: messages, events, actions and jobs.

pub mod browse;
pub mod chord;
pub mod document;
pub mod id;
pub mod job;
pub mod limits;
mod lost;
pub mod member;
pub mod message;
pub mod node;
pub mod partition;
pub mod permissions;
pub mod record;
pub mod repeats;
pub mod rights;
pub mod ring;
pub mod rng;
pub mod song;
pub mod tags;
pub mod time;
pub mod timers;
pub mod trash;
pub mod upkeep;
pub mod user;
