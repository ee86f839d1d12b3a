//! Where the tags lie in a file: in front, behind, and inside its container.

use std::io::{Read, Seek, SeekFrom};

use roles::contract::song::Format;

use super::found::{Found, Want};
use super::{TAG_IN_MEMORY_BYTES_MAX, id3v2, matroska, mp4, riff, tail, vorbis};
use crate::audio::{self, JUNK_BYTES_MAX};

/// The tags of a file, the one that counts most first.
pub(super) fn tags_of<S: Read + Seek>(source: &mut S, format: Format, want: Want) -> Vec<Found> {
    let Ok(bytes) = source.seek(SeekFrom::End(0)) else {
        return Vec::new();
    };
    let mut file = File { source, bytes };
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
        [b'R' | b'F', b'I' | b'F' | b'O', ..] => riff::read(&mut file, begin, &magic, want),
        _ if audio::begins_mp4(&magic) => mp4::read(&mut file, want),
        _ => Vec::new(),
    };
    tags.append(&mut front);
    tags.append(&mut tail::read(&mut file, want));
    tags
}

/// The tags in front, and where they end.
fn front_tags<S: Read + Seek>(file: &mut File<'_, S>, want: Want) -> (Vec<Found>, u64) {
    let (mut tags, mut at) = (Vec::new(), 0);
    while tags.len() < FRONT_TAGS_MAX {
        let id3v2 = id3v2_at(file, at, want);
        let Some((tag, length)) = id3v2.or_else(|| tail::ape_at(file, at, want)) else {
            break;
        };
        tags.push(tag);
        at += length;
    }
    (tags, at)
}

/// The tag at `at`, and how long it says it is.
pub(super) fn id3v2_at<S: Read + Seek>(
    file: &mut File<'_, S>,
    at: u64,
    want: Want,
) -> Option<(Found, u64)> {
    let header = id3v2::Header::parse(&file.at(at, id3v2::HEADER_BYTES as u64))?;
    let room = header.length.saturating_add(BEHIND_TAG_BYTES);
    let bytes = file.at(at, room.min(TAG_IN_MEMORY_BYTES_MAX));
    Some((id3v2::read(header, &bytes, want), header.length))
}

/// A file of which parts are read. What cannot be read is missing, as what lies past the end is.
pub(super) struct File<'s, S> {
    source: &'s mut S,
    pub(super) bytes: u64,
}

impl<S: Read + Seek> File<'_, S> {
    /// The bytes from `offset` on, `length` or as many as there are.
    pub(super) fn at(&mut self, offset: u64, length: u64) -> Vec<u8> {
        let length = length.min(self.bytes.saturating_sub(offset));
        let mut bytes = Vec::new();
        if length > 0 && self.source.seek(SeekFrom::Start(offset)).is_ok() {
            // No more than the file has: doubling would take up to twice as much.
            bytes.reserve_exact(length as usize);
            let _ = self.source.by_ref().take(length).read_to_end(&mut bytes);
        }
        bytes
    }

    /// Exactly `N` bytes from `offset` on.
    pub(super) fn array<const N: usize>(&mut self, offset: u64) -> Option<[u8; N]> {
        self.at(offset, N as u64).try_into().ok()
    }
}

/// Tags in front of one file; nobody writes more.
const FRONT_TAGS_MAX: usize = 8;

/// Bytes behind a tag that are searched for the frames that its size shuts out.
const BEHIND_TAG_BYTES: u64 = 64 * 1024;
