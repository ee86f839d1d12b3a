//! How long opaque files sound: formats that are not cut at their frames, read by their headers.
//!
//! AIFF, compressed WAV, Wave64, CAF, AU, ADTS, MPEG layers I and II, WavPack, TTA, Monkey's Audio,
//! Musepack, DSF, WMA, Speex, Matroska, and MP4 in movie fragments. What is unknown is 0. A doubt costs these numbers, never the file.

mod frames;
mod headers;
mod matroska;
mod rare;

use std::io::{Read, Seek};

use super::window::{Sure, Window};
use super::{Properties, mp4, tag_blocks};

/// Reads the properties of a file whose frames nobody here finds.
pub(super) fn read<S: Read + Seek>(window: &mut Window<'_, S>) -> Sure<Properties> {
    let begin = tag_blocks::after_front_tags(window)?;
    let magic = window.up_to(begin, 16)?.to_vec();
    match *magic.as_slice() {
        [b'F', b'O', b'R', b'M', ..] => headers::aiff(window, begin),
        [b'R', b'I', b'F', b'F', ..] => headers::wave(window, begin),
        [b'r', b'i', b'f', b'f', 0x2e, ..] => headers::wave64(window, begin),
        [b'c', b'a', b'f', b'f', ..] => headers::core_audio(window, begin),
        [b'.', b's', b'n', b'd', ..] => headers::au(window, begin),
        [b'w', b'v', b'p', b'k', ..] => headers::wavpack(window, begin),
        [b'T', b'T', b'A', b'1', ..] => headers::true_audio(window, begin),
        [b'M', b'A', b'C', b' ', ..] => rare::monkeys(window, begin),
        [b'M', b'P', b'+', ..] => rare::musepack_7(window, begin),
        [b'M', b'P', b'C', b'K', ..] => rare::musepack_8(window, begin),
        [b'D', b'S', b'D', b' ', ..] => rare::dsf(window, begin),
        [b'O', b'g', b'g', b'S', ..] => rare::speex(window, begin),
        [0x30, 0x26, 0xb2, 0x75, ..] => rare::asf(window, begin),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => matroska::read(window, begin),
        [0xff, 0xf0..=0xff, ..] => frames::read(window, begin),
        _ if super::begins_mp4(&magic) => mp4::fragmented(window),
        _ => Ok(Properties::default()),
    }
}
