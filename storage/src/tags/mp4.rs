//! The items of iTunes in MP4: `moov`, `udta`, `meta`, `ilst`.

use std::io::{Read, Seek};

use super::TAG_IN_MEMORY_BYTES_MAX;
use super::container::File;
use super::decode::{utf8_or_latin1, utf16};
use super::found::{Field, Found, Want};
use super::genres;

/// The items of a file that begins with `ftyp`.
pub(super) fn read<S: Read + Seek>(file: &mut File<'_, S>, want: Want) -> Vec<Found> {
    let mut found = Found::new(want);
    if let Some((at, end)) = find_items(file) {
        let bytes = file.at(at, (end - at).min(TAG_IN_MEMORY_BYTES_MAX));
        for item in (Atoms { bytes: &bytes }) {
            take_item(&mut found, &item);
        }
    }
    vec![found]
}

/// Where the items lie.
fn find_items<S: Read + Seek>(file: &mut File<'_, S>) -> Option<(u64, u64)> {
    let moov = child(file, (0, file.bytes), b"moov")?;
    let udta = child(file, moov, b"udta").unwrap_or(moov);
    let (at, end) = child(file, udta, b"meta")?;
    // ISO files begin the box with a version, those of QuickTime do not.
    let quick = file.array::<8>(at)?.ends_with(b"hdlr");
    child(file, (if quick { at } else { at + 4 }, end), b"ilst")
}

/// Where the content of the first box of this kind lies in `from..to`.
fn child<S: Read + Seek>(
    file: &mut File<'_, S>,
    (mut at, to): (u64, u64),
    wanted: &[u8; 4],
) -> Option<(u64, u64)> {
    for _ in 0..BOXES_MAX {
        if at.saturating_add(8) > to {
            return None;
        }
        let [a, b, c, d, kind @ ..] = file.array::<8>(at)?;
        let (head, length) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, to - at),
            1 => (16, u64::from_be_bytes(file.array(at + 8)?)),
            length => (8, u64::from(length)),
        };
        let end = at.saturating_add(length).min(to);
        if length < head || at + head > end {
            return None;
        }
        if &kind == wanted {
            return Some((at + head, end));
        }
        at = end;
    }
    None
}

/// A box in memory.
struct Atom<'b> {
    kind: [u8; 4],
    body: &'b [u8],
    /// Whether the body is as long as the box says.
    whole: bool,
}

/// The boxes one behind the other.
struct Atoms<'b> {
    bytes: &'b [u8],
}

impl<'b> Iterator for Atoms<'b> {
    type Item = Atom<'b>;

    fn next(&mut self) -> Option<Atom<'b>> {
        let ([a, b, c, d, kind @ ..], rest) = self.bytes.split_first_chunk::<8>()?;
        let length = (u32::from_be_bytes([*a, *b, *c, *d]) as usize).checked_sub(8)?;
        let (body, behind) = rest.split_at(length.min(rest.len()));
        self.bytes = behind;
        Some(Atom {
            kind: *kind,
            body,
            whole: body.len() == length,
        })
    }
}

fn take_item(found: &mut Found, item: &Atom<'_>) {
    for data in (Atoms { bytes: item.body }).filter(|atom| &atom.kind == b"data") {
        let Some(([_, kind @ .., _, _, _, _], value)) = data.body.split_first_chunk::<8>() else {
            continue;
        };
        let wide = *kind == [0, 0, 2];
        match &item.kind {
            b"\xa9nam" => found.add(Field::Title, &text(value, wide)),
            b"\xa9ART" => found.add(Field::Artist, &text(value, wide)),
            b"\xa9alb" => found.add(Field::Album, &text(value, wide)),
            b"\xa9gen" => found.add(Field::Genre, &text(value, wide)),
            b"\xa9day" => found.add(Field::RecordingDate, &text(value, wide)),
            b"trkn" => add_number(found, Field::Track, value),
            b"disk" => add_number(found, Field::Disc, value),
            b"gnre" => {
                // Numbers begin with 1 here.
                let number = value.last().and_then(|number| number.checked_sub(1));
                found.add(
                    Field::Genre,
                    number.and_then(genres::name).unwrap_or_default(),
                );
            }
            // The standard knows one kind of picture: the first is the front.
            b"covr" if data.whole => found.add_picture(true, value),
            _ => (),
        }
    }
}

fn text(value: &[u8], wide: bool) -> String {
    match wide {
        true => utf16(value, true),
        false => utf8_or_latin1(value),
    }
}

/// The second of several numbers of 16 bits.
fn add_number(found: &mut Found, field: Field, value: &[u8]) {
    if let Some([_, _, a, b, ..]) = value.get(..4) {
        found.add(field, &u16::from_be_bytes([*a, *b]).to_string());
    }
}

/// Boxes in a row that are passed over; a file in movie fragments has several per fragment.
const BOXES_MAX: usize = 8192;
