//! Where the tags lie in a file: in front, behind, and inside its container.

use std::io::{Read, Seek, SeekFrom};

use roles::contract::song::Format;

use super::file::File;
use super::found::{Found, Want};
use super::{asf, id3v2, matroska, mp4, riff, tail, vorbis};
use crate::audio::{self, JUNK_BYTES_MAX};

/// The tags of a file, the one that counts most first.
pub(super) fn tags_of<S: Read + Seek>(source: &mut S, format: Format, want: Want) -> Vec<Found> {
    let Ok(bytes) = source.seek(SeekFrom::End(0)) else {
        return Vec::new();
    };
    let mut file = File::new(source, bytes);
    let (mut front, mut begin) = front_tags(&mut file, want);
    if matches!(format, Format::Flac | Format::Vorbis | Format::Opus) {
        let junk = file.at(begin, JUNK_BYTES_MAX);
        begin += audio::magic_behind_junk(&junk).unwrap_or(0) as u64;
    }
    let magic = file.at(begin, 12);
    let mut tags = match *magic {
        [b'f', b'L', b'a', b'C', ..] => vorbis::of_flac(&mut file, begin, want),
        [b'O', b'g', b'g', b'S', ..] => vorbis::of_ogg(&mut file, begin, want),
        [0x1a, 0x45, 0xdf, 0xa3, ..] => matroska::read(&mut file, begin, want),
        [0x30, 0x26, 0xb2, 0x75, ..] => asf::read(&mut file, begin, want),
        [b'D', b'S', b'D', b' ', ..] => of_dsf(&mut file, begin, want),
        [b'R' | b'F', b'I' | b'F' | b'O', ..] => riff::read(&mut file, begin, &magic, want),
        _ if audio::begins_mp4(&magic) => mp4::read(&mut file, want),
        _ => Vec::new(),
    };
    tags.append(&mut front);
    tags.append(&mut tail::read(&mut file, want));
    tags
}

/// The tag of a DSF file lies where its head says.
fn of_dsf<S: Read + Seek>(file: &mut File<'_, S>, begin: u64, want: Want) -> Vec<Found> {
    let place = file.array(begin + 20).map(u64::from_le_bytes);
    let tag = place.and_then(|place| id3v2::at(file, place, want));
    tag.map(|(tag, _)| tag).into_iter().collect()
}

/// The tags in front, and where they end.
fn front_tags<S: Read + Seek>(file: &mut File<'_, S>, want: Want) -> (Vec<Found>, u64) {
    let (mut tags, mut at) = (Vec::new(), 0);
    while tags.len() < FRONT_TAGS_MAX {
        let id3v2 = id3v2::at(file, at, want);
        let Some((tag, length)) = id3v2.or_else(|| tail::ape_at(file, at, want)) else {
            break;
        };
        tags.push(tag);
        at += length;
    }
    (tags, at)
}

/// Tags in front of one file; nobody writes more.
const FRONT_TAGS_MAX: usize = 8;
