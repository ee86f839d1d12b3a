//! Vorbis comments, as FLAC, Vorbis, Opus and Speex keep them, and the pictures beside them.

use std::io::{Read, Seek};

use super::TAG_IN_MEMORY_BYTES_MAX;
use super::decode::{base64, utf8_or_latin1};
use super::file::File;
use super::found::{Field, Found, Want};

/// The comments and pictures in the metadata blocks behind the `fLaC` at `begin`.
pub(super) fn of_flac<S: Read + Seek>(
    file: &mut File<'_, S>,
    begin: u64,
    want: Want,
) -> Vec<Found> {
    let mut found = Found::new(want);
    let mut at = begin + 4;
    for _ in 0..BLOCKS_MAX {
        let Some([kind, a, b, c]) = file.array(at) else {
            break;
        };
        let mut length = u64::from(u32::from_be_bytes([0, a, b, c]));
        if matches!(kind & 0x7f, COMMENTS | PICTURE) {
            let mut body = file.at(at + 4, length + LYING_BYTES_MAX);
            length = length.max(inner_length(kind, &body).unwrap_or(0));
            if length > body.len() as u64 {
                body = file.at(at + 4, length.min(TAG_IN_MEMORY_BYTES_MAX));
            }
            take_block(&mut found, kind, &body[..body.len().min(length as usize)]);
        }
        at += 4 + length;
        if kind & LAST != 0 {
            break;
        }
    }
    vec![found]
}

/// The comments behind the first header packet of the first stream of sound in Ogg.
pub(super) fn of_ogg<S: Read + Seek>(file: &mut File<'_, S>, begin: u64, want: Want) -> Vec<Found> {
    let mut found = Found::new(want);
    let mut packets = Packets::of(file, begin);
    match packets.next_packet() {
        Some(first) if first.starts_with(b"\x7fFLAC") => {
            for _ in 0..BLOCKS_MAX {
                let Some(block) = packets.next_packet() else {
                    break;
                };
                let Some((&[kind, ..], body)) = block.split_first_chunk::<4>() else {
                    break;
                };
                take_block(&mut found, kind, body);
                if kind & LAST != 0 {
                    break;
                }
            }
        }
        Some(first) => {
            let magic: &[u8] = match first.first() {
                Some(1) => b"\x03vorbis",
                Some(b'O') => b"OpusTags",
                _ => b"",
            };
            let packet = packets.next_packet().unwrap_or_default();
            if let Some(body) = packet.strip_prefix(magic) {
                take_comments(&mut found, body);
            }
        }
        None => (),
    }
    vec![found]
}

/// How long the content of a block is by its own numbers. The length of a block has no room for a
/// large cover, and some writers get it wrong. None if `body` is too short to tell.
fn inner_length(kind: u8, body: &[u8]) -> Option<u64> {
    let length = match kind & 0x7f {
        PICTURE => {
            let (_, rest) = counted(body.get(4..)?, u32::from_be_bytes)?;
            let (_, rest) = counted(rest, u32::from_be_bytes)?;
            let image = rest.get(16..)?.first_chunk()?;
            body.len() - rest.len() + 20 + u32::from_be_bytes(*image) as usize
        }
        _ => {
            let (_, rest) = counted(body, u32::from_le_bytes)?;
            let (count, mut rest) = rest.split_first_chunk()?;
            for _ in 0..u32::from_le_bytes(*count) {
                (_, rest) = counted(rest, u32::from_le_bytes)?;
            }
            body.len() - rest.len()
        }
    };
    Some(length as u64)
}

fn take_block(found: &mut Found, kind: u8, body: &[u8]) {
    match kind & 0x7f {
        COMMENTS => take_comments(found, body),
        PICTURE => take_picture(found, body),
        _ => (),
    }
}

/// Takes comments one by one, up to the first that is not whole, however many are announced.
fn take_comments(found: &mut Found, body: &[u8]) {
    let Some((_, rest)) = counted(body, u32::from_le_bytes) else {
        return;
    };
    let mut rest = rest.get(4..).unwrap_or_default();
    while let Some((comment, behind)) = counted(rest, u32::from_le_bytes) {
        take_comment(found, comment);
        rest = behind;
    }
}

fn take_comment(found: &mut Found, comment: &[u8]) {
    let Some(equals) = comment.iter().position(|byte| *byte == b'=') else {
        return;
    };
    let (key, value) = (&comment[..equals], &comment[equals + 1..]);
    let field = match &*key.to_ascii_uppercase() {
        b"TITLE" => Field::Title,
        b"ARTIST" => Field::Artist,
        b"ALBUM" => Field::Album,
        b"GENRE" => Field::Genre,
        b"TRACKNUMBER" | b"TRACK" => Field::Track,
        b"DISCNUMBER" | b"DISC" => Field::Disc,
        b"DATE" => Field::RecordingDate,
        b"YEAR" => Field::Year,
        b"RELEASEDATE" | b"RELEASE DATE" => Field::ReleaseDate,
        b"ORIGINALDATE" | b"ORIGINALYEAR" => Field::OriginalDate,
        b"METADATA_BLOCK_PICTURE" => return take_picture(found, &image_of(value)),
        b"COVERART" => return found.add_picture(false, &image_of(value)),
        name => match Field::named(name) {
            Some(field) => field,
            None => return,
        },
    };
    found.add(field, &utf8_or_latin1(value));
}

fn image_of(value: &[u8]) -> Vec<u8> {
    base64(value, TAG_IN_MEMORY_BYTES_MAX as usize)
}

/// Kind, type of the image, what it shows, its measures, the image: one that is cut off is none.
fn take_picture(found: &mut Found, body: &[u8]) {
    let picture = || {
        let (kind, rest) = body.split_first_chunk::<4>()?;
        let (_, rest) = counted(rest, u32::from_be_bytes)?;
        let (_, rest) = counted(rest, u32::from_be_bytes)?;
        let (image, _) = counted(rest.get(16..)?, u32::from_be_bytes)?;
        Some((u32::from_be_bytes(*kind), image))
    };
    if let Some((kind, image)) = picture() {
        found.add_picture(kind == FRONT_COVER, image);
    }
}

/// The bytes behind their number, and what follows them.
fn counted(bytes: &[u8], number: fn([u8; 4]) -> u32) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(number(*length) as usize)
}

/// The packets of the first stream of sound.
struct Packets<'f, 's, S> {
    file: &'f mut File<'s, S>,
    at: u64,
    serial: Option<u32>,
    /// Segments of the page that were not taken yet, the next one last, and where they lie.
    lacing: Vec<u8>,
    body: Vec<u8>,
    used: usize,
}

impl<'f, 's, S: Read + Seek> Packets<'f, 's, S> {
    fn of(file: &'f mut File<'s, S>, begin: u64) -> Self {
        Packets {
            file,
            at: begin,
            serial: None,
            lacing: Vec::new(),
            body: Vec::new(),
            used: 0,
        }
    }

    /// The next packet; one above the bound is cut off there.
    fn next_packet(&mut self) -> Option<Vec<u8>> {
        let mut packet = Vec::new();
        loop {
            let Some(length) = self.lacing.pop() else {
                self.next_page()?;
                continue;
            };
            let end = (self.used + usize::from(length)).min(self.body.len());
            if (packet.len() as u64) < TAG_IN_MEMORY_BYTES_MAX {
                packet.extend_from_slice(&self.body[self.used..end]);
            }
            self.used = end;
            if length < 255 {
                return Some(packet);
            }
            if packet.len() as u64 >= TAG_IN_MEMORY_BYTES_MAX {
                self.lacing.clear();
                return Some(packet);
            }
        }
    }

    /// Moves to the next page of the stream, or to the first page of a stream of sound.
    fn next_page(&mut self) -> Option<()> {
        for _ in 0..FOREIGN_PAGES_MAX {
            let head = self.file.at(self.at, 27 + 255);
            let serial = u32::from_le_bytes(*head.get(14..)?.first_chunk()?);
            let segments = usize::from(*head.get(26)?);
            let lacing = head.get(27..27 + segments)?;
            if !head.starts_with(b"OggS") {
                return None;
            }
            let length: u64 = lacing.iter().map(|n| u64::from(*n)).sum();
            let body = self.at + 27 + segments as u64;
            self.at = body + length;
            let sound = match self.serial {
                Some(known) => known == serial,
                None => is_sound(&self.file.at(body, 8)),
            };
            if sound {
                self.serial = Some(serial);
                self.lacing = lacing.iter().rev().copied().collect();
                self.body = self.file.at(body, length);
                self.used = 0;
                return Some(());
            }
        }
        None
    }
}

fn is_sound(packet: &[u8]) -> bool {
    let magics: [&[u8]; 4] = [b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   "];
    magics.iter().any(|magic| packet.starts_with(magic))
}

const COMMENTS: u8 = 4;
const PICTURE: u8 = 6;
const FRONT_COVER: u32 = 3;

/// The last metadata block.
const LAST: u8 = 0x80;

/// Metadata blocks of one file; an honest one has a handful.
const BLOCKS_MAX: usize = 1024;

/// Bytes behind a block that may belong to it, if its length lies.
const LYING_BYTES_MAX: u64 = 64 * 1024;

/// Pages of other streams in a row that are passed over.
const FOREIGN_PAGES_MAX: usize = 4096;
