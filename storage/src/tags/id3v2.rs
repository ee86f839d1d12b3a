//! ID3v2.2, 2.3 and 2.4, frame by frame.
//!
//! A frame that cannot be read costs itself: after a header that makes no sense, or a size that
//! leads to none, reading goes on at the next frame that the catalogue wants. Encrypted frames
//! are left out.

mod content;

use std::borrow::Cow;
use std::io::{Read, Seek};

use content::{Known, take};

use super::TAG_IN_MEMORY_BYTES_MAX;
use super::file::File;
use super::found::{Found, Want};
use super::inflate::inflate;

/// The header of a tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    version: u8,
    unsynchronised: bool,
    extended: bool,
    /// Bytes between the header and the end of the frames, as the tag says.
    body: u32,
    /// Bytes of the whole tag, as it says.
    pub(super) length: u64,
}

impl Header {
    /// The header in the first [`HEADER_BYTES`] bytes of a tag. A size that is not coded in sevens,
    /// as the standard wants it, is taken as it stands.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[b'I', b'D', b'3', version, minor, flags, a, b, c, d] = bytes.get(..HEADER_BYTES)?
        else {
            return None;
        };
        if !(2..=4).contains(&version) || minor == 0xff {
            return None;
        }
        let body = size_in_sevens([a, b, c, d]);
        let footer = if version == 4 && flags & 0x10 != 0 {
            10
        } else {
            0
        };
        Some(Header {
            version,
            unsynchronised: flags & 0x80 != 0,
            extended: version > 2 && flags & 0x40 != 0,
            body,
            length: HEADER_BYTES as u64 + u64::from(body) + footer,
        })
    }
}

/// The tag at `at`, and how long it says it is.
pub(super) fn at<S: Read + Seek>(
    file: &mut File<'_, S>,
    at: u64,
    want: Want,
) -> Option<(Found, u64)> {
    let header = Header::parse(&file.at(at, HEADER_BYTES as u64))?;
    let room = header.length.saturating_add(BEHIND_TAG_BYTES);
    let bytes = file.at(at, room.min(TAG_IN_MEMORY_BYTES_MAX));
    Some((read(header, &bytes, want), header.length))
}

/// Reads a tag. `bytes` begin with its header, and go on behind its end: frames that a short size
/// shuts out are read as well.
pub(super) fn read(header: Header, bytes: &[u8], want: Want) -> Found {
    let mut found = Found::new(want);
    let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let end = (header.body as usize).min(body.len());
    let whole = header.unsynchronised && header.version < 4;
    let (body, end) = match whole {
        true => (Cow::from(resynchronised(&body[..end])), usize::MAX),
        false => (Cow::from(body), end),
    };
    let mut reader = Reader {
        header,
        bytes: &body,
        end: end.min(body.len()),
        at: 0,
        inflated_left: INFLATED_BYTES_MAX,
    };
    reader.skip_extended_header();
    while let Some(frame) = reader.next_frame() {
        take(&mut found, frame.known, &frame.body);
    }
    found
}

struct Reader<'b> {
    header: Header,
    bytes: &'b [u8],
    /// Where the tag ends, as it says.
    end: usize,
    at: usize,
    /// Bytes that compressed frames may still become.
    inflated_left: usize,
}

/// A frame whose body is as it was before it was stored.
struct Frame<'b> {
    known: Known,
    body: Cow<'b, [u8]>,
}

impl<'b> Reader<'b> {
    fn skip_extended_header(&mut self) {
        if !self.header.extended {
            return;
        }
        let Some(size) = self.bytes.first_chunk::<4>() else {
            return;
        };
        let length = match self.header.version {
            4 => u64::from(size_in_sevens(*size)),
            _ => u64::from(u32::from_be_bytes(*size)) + 4,
        };
        // A flag without the header that it announces is left out: frames begin at once.
        if self.frame_at(length as usize).is_some() {
            self.at = length as usize;
        }
    }

    /// The next frame that the catalogue wants.
    fn next_frame(&mut self) -> Option<Frame<'b>> {
        loop {
            let Some(place) = self.frame_at(self.at) else {
                // Zeros are padding, unless they stand between frames.
                self.at = self.find_known(self.at, self.end)?;
                continue;
            };
            let Some(known) = place.known.filter(|_| place.body <= self.bytes.len()) else {
                if self.at >= self.end {
                    return None;
                }
                self.at = place.end;
                continue;
            };
            self.at = place.end;
            if let Some(body) = self.body_of(&place) {
                return Some(Frame { known, body });
            }
        }
    }

    /// What stands at `at`, if it looks like a frame. Its end is where the next frame begins.
    fn frame_at(&self, at: usize) -> Option<Place> {
        let head = self.id_bytes() + if self.header.version == 2 { 3 } else { 6 };
        let bytes = self.bytes.get(at..at.checked_add(head)?)?;
        let id = bytes.get(..self.id_bytes())?;
        if !is_id(id) {
            return None;
        }
        let body = at + head;
        let (size, flags) = match *bytes {
            [_, _, _, a, b, c] => (self.settled(body, [u32::from_be_bytes([0, a, b, c]); 2]), 0),
            [_, _, _, _, a, b, c, d, _, flags] => {
                let (plain, sevens) = (
                    u32::from_be_bytes([a, b, c, d]),
                    size_in_sevens([a, b, c, d]),
                );
                let sizes = match self.header.version {
                    4 => [sevens, plain],
                    _ => [plain, sevens],
                };
                (self.settled(body, sizes), flags)
            }
            _ => return None,
        };
        let known = Known::of(id);
        let (end, whole) = match size {
            Ok(size) => (body + size, true),
            Err(first) => self.bounded(body, first),
        };
        Some(Place {
            known,
            flags,
            body,
            end,
            whole,
        })
    }

    /// The first of the sizes behind which another frame, padding or the end stands; else the
    /// first size.
    fn settled(&self, body: usize, sizes: [u32; 2]) -> Result<usize, usize> {
        let sizes = sizes.map(|size| size as usize);
        let leads_on = |size: &usize| {
            let end = body.saturating_add(*size);
            end <= self.bytes.len() && (end == self.end || self.goes_on_at(end))
        };
        sizes.into_iter().find(leads_on).ok_or(sizes[0])
    }

    /// Where a frame ends whose size leads to nothing: where the next frame begins that is known,
    /// unless the size ends before. And whether the frame has its size.
    fn bounded(&self, body: usize, size: usize) -> (usize, bool) {
        let limit = self.end.max(body);
        let next = self.find_known(body, limit).unwrap_or(limit);
        match body.saturating_add(size) {
            end if end <= next => (end, true),
            _ => (next, false),
        }
    }

    fn goes_on_at(&self, at: usize) -> bool {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let id = &rest[..rest.len().min(self.id_bytes())];
        let inside = at < self.end
            && (id.iter().all(|byte| *byte == 0) || is_id(id) && self.has_sane_size(at));
        // Where the tag names a wrong end, only what is surely a frame, or sound, counts.
        let sound = matches!(
            rest,
            [] | [0xff, 0xe0..=0xff, ..] | [b'f', b'L', b'a', b'C', ..]
        );
        inside || sound || Known::of(id).is_some()
    }

    /// Where in `from..to` the next frame begins that the catalogue wants.
    fn find_known(&self, from: usize, to: usize) -> Option<usize> {
        let width = self.id_bytes();
        let to = to.min(self.bytes.len());
        let looks = |at: &usize| {
            let id = self.bytes.get(*at..*at + width);
            id.is_some_and(|id| Known::of(id).is_some()) && self.has_sane_size(*at)
        };
        (from..to).find(looks)
    }

    /// Whether the frame at `at` would lie inside the bytes at hand.
    fn has_sane_size(&self, at: usize) -> bool {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let (head, size) = match *rest {
            [_, _, _, a, b, c, ..] if self.header.version == 2 => {
                (6, u32::from_be_bytes([0, a, b, c]))
            }
            [_, _, _, _, a, b, c, d, ..] => (10, size_in_sevens([a, b, c, d])),
            _ => return false,
        };
        rest.len()
            .checked_sub(head)
            .is_some_and(|room| size as usize <= room)
    }

    fn id_bytes(&self) -> usize {
        if self.header.version == 2 { 3 } else { 4 }
    }

    /// The body as it was before it was compressed for the file; none if that cannot be undone.
    fn body_of(&mut self, place: &Place) -> Option<Cow<'b, [u8]>> {
        let body = self.bytes.get(place.body..place.end)?;
        // A picture that is cut off is no picture.
        if !place.whole && place.known == Some(Known::Picture) {
            return None;
        }
        let flag = |bit| place.flags & bit != 0;
        let flags = match self.header.version {
            4 => Flags {
                encrypted: flag(0x04),
                compressed: flag(0x08),
                unsynchronised: flag(0x02) || self.header.unsynchronised,
                // The group, and how many bytes the frame had.
                skip: usize::from(flag(0x40)) + if flag(0x01) { 4 } else { 0 },
            },
            _ => Flags {
                encrypted: flag(0x40),
                compressed: flag(0x80),
                unsynchronised: false,
                skip: usize::from(flag(0x20)) + if flag(0x80) { 4 } else { 0 },
            },
        };
        if flags.encrypted {
            return None;
        }
        let body = body.get(flags.skip..)?;
        let body = match flags.unsynchronised {
            true => Cow::from(resynchronised(body)),
            false => Cow::from(body),
        };
        match flags.compressed {
            true => inflate(&body, &mut self.inflated_left).map(Cow::from),
            false => Some(body),
        }
    }
}

/// How a frame was stored.
struct Flags {
    encrypted: bool,
    compressed: bool,
    unsynchronised: bool,
    /// Bytes between the frame's header and its body.
    skip: usize,
}

/// Where a frame lies.
struct Place {
    known: Option<Known>,
    flags: u8,
    body: usize,
    end: usize,
    /// Whether the frame has the size that it says.
    whole: bool,
}

/// Whether `id` may be one: capitals and digits, a capital first.
fn is_id(id: &[u8]) -> bool {
    let sign = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let letter = id.first().is_some_and(u8::is_ascii_uppercase);
    letter && (id.iter().all(sign) || Known::of(id).is_some())
}

/// The bytes without the zeros that keep an ff from looking like the begin of a frame of MP3.
fn resynchronised(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut after_ff = false;
    for byte in bytes {
        if !(after_ff && *byte == 0) {
            plain.push(*byte);
        }
        after_ff = *byte == 0xff;
    }
    plain
}

/// A number of seven bits a byte, or a plain one if a byte has eight.
fn size_in_sevens(bytes: [u8; 4]) -> u32 {
    match bytes.iter().any(|byte| *byte >= 0x80) {
        true => u32::from_be_bytes(bytes),
        false => bytes
            .iter()
            .fold(0, |sum, byte| sum << 7 | u32::from(*byte)),
    }
}

/// Bytes of a tag's header.
pub(super) const HEADER_BYTES: usize = 10;

/// Most bytes that the compressed frames of one tag become: words, and a small cover.
const INFLATED_BYTES_MAX: usize = 2 << 20;

/// Bytes behind a tag that are searched for the frames that its size shuts out.
const BEHIND_TAG_BYTES: u64 = 64 * 1024;
