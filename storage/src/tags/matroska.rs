//! Tags, titles and attached covers of Matroska and WebM.

use std::io::{Read, Seek};

use super::TAG_IN_MEMORY_BYTES_MAX;
use super::decode::{TEXT_BYTES_MAX, utf8_or_latin1};
use super::file::File;
use super::found::{Field, Found, Want};
use crate::ebml::{self, Element};

/// The tags of a file whose EBML header stands at `begin`. The title of the segment stands behind
/// those of its tags.
pub(super) fn read<S: Read + Seek>(file: &mut File<'_, S>, begin: u64, want: Want) -> Vec<Found> {
    let (mut tags, mut segment) = (Found::new(want), Found::new(want));
    let mut at = begin;
    for _ in 0..ELEMENTS_MAX {
        let head = file.at(at, ebml::HEAD_BYTES_MAX as u64);
        let Some(element) = Element::parse(at, &head) else {
            break;
        };
        let end = element.end.unwrap_or(file.bytes).min(file.bytes);
        let length = end
            .saturating_sub(element.body)
            .min(TAG_IN_MEMORY_BYTES_MAX);
        at = match element.id {
            SEGMENT | INFO => element.body,
            TITLE => {
                segment.add(
                    Field::Title,
                    &text(&file.at(element.body, length.min(TEXT_BYTES_MAX as u64))),
                );
                end
            }
            TAGS => {
                take_tags(&mut tags, &file.at(element.body, length));
                end
            }
            ATTACHMENTS => {
                take_pictures(&mut tags, &file.at(element.body, length));
                end
            }
            _ if element.end.is_none() => break,
            _ => end,
        };
        if at >= file.bytes {
            break;
        }
    }
    vec![tags, segment]
}

/// The elements one behind the other: each with its content.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let element = Element::parse(0, bytes)?;
        let end = element.end.map_or(bytes.len(), |end| {
            usize::try_from(end).unwrap_or(usize::MAX).min(bytes.len())
        });
        let content = bytes.get(element.body as usize..end)?;
        bytes = &bytes[end..];
        Some((element.id, content))
    })
}

/// Takes the tags of the album and the track; those of chapters are left out.
fn take_tags(found: &mut Found, bytes: &[u8]) {
    let mut album = Vec::new();
    for (_, tag) in elements(bytes).filter(|(id, _)| *id == TAG) {
        let targets = elements(tag).filter(|(id, _)| *id == TARGETS);
        let levels = targets.flat_map(|(_, targets)| elements(targets));
        let level = levels.filter(|(id, _)| *id == LEVEL).last();
        let level = level.map_or(TRACK_OR_ALBUM, |(_, level)| ebml::number(level));
        for (_, simple) in elements(tag).filter(|(id, _)| *id == SIMPLE) {
            let part = |wanted| elements(simple).find(|(id, _)| *id == wanted);
            if let (Some((_, name)), Some((_, value))) = (part(NAME), part(STRING)) {
                let name = text(name).to_ascii_uppercase();
                match (level, name.as_str()) {
                    // The title at the album's level is the album's, where a track has its own.
                    (TRACK_OR_ALBUM, "TITLE") => album.push(text(value)),
                    _ => take_value(found, &name, &text(value)),
                }
            }
        }
    }
    let has_title = found.values(Field::Title).next().is_some();
    let field = if has_title {
        Field::Album
    } else {
        Field::Title
    };
    album.iter().for_each(|title| found.add(field, title));
}

fn take_value(found: &mut Found, name: &str, value: &str) {
    let field = match name {
        "TITLE" => Field::Title,
        "ARTIST" => Field::Artist,
        "ALBUM" => Field::Album,
        "GENRE" => Field::Genre,
        "PART_NUMBER" | "TRACKNUMBER" | "TRACK" => Field::Track,
        "DISC" | "DISCNUMBER" => Field::Disc,
        "DATE_RECORDED" | "DATE" => Field::RecordingDate,
        "YEAR" => Field::Year,
        "DATE_RELEASED" => Field::ReleaseDate,
        _ => match Field::named(name.as_bytes()) {
            Some(field) => field,
            None => return,
        },
    };
    found.add(field, value);
}

fn take_pictures(found: &mut Found, bytes: &[u8]) {
    for (_, file) in elements(bytes).filter(|(id, _)| *id == ATTACHED) {
        let part = |wanted| elements(file).find(|(id, _)| *id == wanted);
        let name = part(FILE_NAME).map(|(_, name)| text(name));
        if let Some((_, data)) = part(FILE_DATA) {
            found.add_picture(name.is_some_and(|name| name.starts_with("cover")), data);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    utf8_or_latin1(bytes).trim_end_matches('\0').to_owned()
}

const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TITLE: u32 = 0x7ba9;
const TAGS: u32 = 0x1254_c367;
const TAG: u32 = 0x7373;
const TARGETS: u32 = 0x63c0;
const LEVEL: u32 = 0x68ca;
const SIMPLE: u32 = 0x67c8;
const NAME: u32 = 0x45a3;
const STRING: u32 = 0x4487;
const ATTACHMENTS: u32 = 0x1941_a469;
const ATTACHED: u32 = 0x61a7;
const FILE_NAME: u32 = 0x466e;
const FILE_DATA: u32 = 0x465c;

/// The level of an album, which a tag has that names none.
const TRACK_OR_ALBUM: u64 = 50;

/// Elements that are walked; an honest file has a cluster per few seconds.
const ELEMENTS_MAX: usize = 10_000;
