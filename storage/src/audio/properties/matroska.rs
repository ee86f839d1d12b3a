//! Matroska and WebM: the information of the segment and its first track of sound.

use std::io::{Read, Seek};

use super::Properties;
use crate::audio::window::{Sure, Window, unsure};
use crate::ebml::{self, Element};

/// Reads a file whose EBML header stands at `begin`.
pub(super) fn read<S: Read + Seek>(window: &mut Window<'_, S>, begin: u64) -> Sure<Properties> {
    let mut walk = Walk::default();
    let (mut at, bytes) = (begin, window.bytes());
    for _ in 0..ELEMENTS_MAX {
        let Some(element) = Element::parse(at, window.up_to(at, ebml::HEAD_BYTES_MAX)?) else {
            return Ok(walk.properties());
        };
        let end = element.end.unwrap_or(bytes).min(bytes);
        at = match element.id {
            // Their children are walked as if they stood beside them.
            SEGMENT | INFO | TRACKS | TRACK | AUDIO => element.body,
            CLUSTER if walk.duration.is_none() => element.body,
            SCALE | DURATION | RATE | CHANNELS | KIND | CLUSTER_TIME => {
                let length = (end - element.body.min(end)).min(8) as usize;
                walk.take(element.id, window.up_to(element.body, length)?);
                end
            }
            _ => end,
        };
        if at >= bytes || element.end.is_none() && at == end {
            return Ok(walk.properties());
        }
    }
    // Too many elements of a file without a duration: the last time was not reached.
    match walk.duration {
        Some(_) => Ok(walk.properties()),
        None => unsure("a long recording that does not say how long"),
    }
}

#[derive(Default)]
struct Walk {
    /// Nanoseconds per unit of time.
    scale: Option<u64>,
    duration: Option<f64>,
    latest: u64,
    /// What the track at hand is.
    kind: u64,
    rate: f64,
    channels: u64,
}

impl Walk {
    fn take(&mut self, id: u32, bytes: &[u8]) {
        let sound = self.kind == SOUND;
        match id {
            SCALE => self.scale = Some(ebml::number(bytes)),
            DURATION => self.duration = ebml::float(bytes).filter(|d| *d > 0.0),
            KIND => self.kind = ebml::number(bytes),
            RATE if sound && self.rate == 0.0 => self.rate = ebml::float(bytes).unwrap_or(0.0),
            CHANNELS if sound && self.channels == 0 => self.channels = ebml::number(bytes),
            CLUSTER_TIME => self.latest = self.latest.max(ebml::number(bytes)),
            _ => (),
        }
    }

    fn properties(&self) -> Properties {
        let scale = self.scale.unwrap_or(1_000_000) as f64 / 1e6;
        let units = self.duration.unwrap_or(self.latest as f64);
        let channels = u32::try_from(self.channels).unwrap_or(0);
        Properties::of_ms((units * scale) as u64, self.rate as u32, channels)
    }
}

const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const SCALE: u32 = 0x2a_d7b1;
const DURATION: u32 = 0x4489;
const TRACKS: u32 = 0x1654_ae6b;
const TRACK: u32 = 0xae;
const KIND: u32 = 0x83;
const AUDIO: u32 = 0xe1;
const RATE: u32 = 0xb5;
const CHANNELS: u32 = 0x9f;
const CLUSTER: u32 = 0x1f43_b675;
const CLUSTER_TIME: u32 = 0xe7;

/// The kind of a track of sound.
const SOUND: u64 = 2;

/// Elements that are walked: some minutes of a live recording, and any file that has a duration.
const ELEMENTS_MAX: usize = 100_000;
