//! Tags in MP4: the items of iTunes, those with keys of their own names, and the texts of QuickTime
//! and 3GP. All lie in `moov`, most in its `udta`.

use std::io::{Read, Seek};

use super::TAG_IN_MEMORY_BYTES_MAX;
use super::decode::{utf8_or_latin1, utf16};
use super::file::File;
use super::found::{Field, Found, Want};
use super::genres;

/// The tags of a file, the one that counts most first.
pub(super) fn read<S: Read + Seek>(file: &mut File<'_, S>, want: Want) -> Vec<Found> {
    let Some(moov) = child(file, (0, file.bytes), b"moov") else {
        return Vec::new();
    };
    let udta = child(file, moov, b"udta");
    let mut tags = Vec::new();
    for place in udta.into_iter().chain([moov]) {
        if let Some(meta) = child(file, place, b"meta") {
            tags.push(of_meta(file, meta, want));
        }
    }
    tags.extend(udta.map(|udta| of_user_data(file, udta, want)));
    tags
}

/// The items of iTunes, or those whose keys stand in a list.
fn of_meta<S: Read + Seek>(file: &mut File<'_, S>, (at, end): (u64, u64), want: Want) -> Found {
    let mut found = Found::new(want);
    // ISO files begin the box with a version, those of QuickTime do not.
    let is_quick = (file.array::<8>(at)).is_some_and(|head| head.ends_with(b"hdlr"));
    let meta = (if is_quick { at } else { at + 4 }, end);
    let keys = child(file, meta, b"keys");
    let keys = keys.map(|(at, end)| file.at(at, (end - at).min(KEYS_BYTES_MAX)));
    let keys: Vec<Option<Field>> = keys.as_deref().map_or(Vec::new(), key_fields);
    if let Some((at, end)) = child(file, meta, b"ilst") {
        let bytes = file.at(at, (end - at).min(TAG_IN_MEMORY_BYTES_MAX));
        for item in (Atoms { bytes: &bytes }) {
            let number = u32::from_be_bytes(item.kind) as usize;
            match number.checked_sub(1).and_then(|index| keys.get(index)) {
                Some(field) => take_keyed(&mut found, *field, &item),
                None => take_item(&mut found, &item),
            }
        }
    }
    found
}

/// The fields of the keys in a list: version, how many, then size, name space and name of each.
fn key_fields(list: &[u8]) -> Vec<Option<Field>> {
    let names = Atoms {
        bytes: list.get(8..).unwrap_or_default(),
    };
    names.map(|key| key_field(key.body)).collect()
}

fn key_field(name: &[u8]) -> Option<Field> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix(b"com.apple.quicktime.").unwrap_or(&name);
    Some(match name {
        b"title" | b"displayname" => Field::Title,
        b"artist" | b"author" => Field::Artist,
        b"album" => Field::Album,
        b"genre" => Field::Genre,
        b"track" => Field::Track,
        b"disc" => Field::Disc,
        b"date" | b"creationdate" => Field::RecordingDate,
        b"year" => Field::Year,
        name => return Field::named(name),
    })
}

fn take_keyed(found: &mut Found, field: Option<Field>, item: &Atom<'_>) {
    let Some(field) = field else {
        return;
    };
    for value in values(item) {
        found.add(field, &text(value.bytes, value.wide));
    }
}

/// The texts of QuickTime and of 3GP, which stand among other boxes.
fn of_user_data<S: Read + Seek>(
    file: &mut File<'_, S>,
    (at, end): (u64, u64),
    want: Want,
) -> Found {
    let mut found = Found::new(want);
    let bytes = file.at(at, (end - at).min(TAG_IN_MEMORY_BYTES_MAX));
    for item in (Atoms { bytes: &bytes }) {
        take_user_text(&mut found, &item);
    }
    found
}

/// QuickTime puts length and language before a text; 3GP a version and the language.
fn take_user_text(found: &mut Found, item: &Atom<'_>) {
    let [_, _, _, _, text @ ..] = item.body else {
        return;
    };
    let long = item.body.get(6..).unwrap_or_default();
    match &item.kind {
        b"\xa9nam" => found.add(Field::Title, &sized_text(item.body)),
        b"\xa9ART" => found.add(Field::Artist, &sized_text(item.body)),
        b"\xa9alb" => found.add(Field::Album, &sized_text(item.body)),
        b"\xa9gen" => found.add(Field::Genre, &sized_text(item.body)),
        b"\xa9day" => found.add(Field::RecordingDate, &sized_text(item.body)),
        b"\xa9trk" => found.add(Field::Track, &sized_text(item.body)),
        b"titl" => found.add(Field::Title, &ended_text(long)),
        b"perf" => found.add(Field::Artist, &ended_text(long)),
        b"albm" => found.add(Field::Album, &ended_text(long)),
        b"gnre" => found.add(Field::Genre, &ended_text(long)),
        b"yrrc" if text.len() == 2 => {
            let year = u16::from_be_bytes([text[0], text[1]]);
            found.add(Field::Year, &year.to_string());
        }
        _ => (),
    }
}

fn sized_text(body: &[u8]) -> String {
    let Some(([a, b, _, _], text)) = body.split_first_chunk::<4>() else {
        return String::new();
    };
    let length = usize::from(u16::from_be_bytes([*a, *b]));
    utf8_or_latin1(&text[..length.min(text.len())])
}

/// UTF-16 with a mark, or UTF-8, up to a zero.
fn ended_text(bytes: &[u8]) -> String {
    let text = match bytes {
        [0xfe, 0xff, ..] => utf16(bytes, true),
        bytes => utf8_or_latin1(bytes),
    };
    text.split('\0').next().unwrap_or_default().to_owned()
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
    for Value { bytes, wide, whole } in values(item) {
        match &item.kind {
            b"\xa9nam" => found.add(Field::Title, &text(bytes, wide)),
            b"\xa9ART" => found.add(Field::Artist, &text(bytes, wide)),
            b"\xa9alb" => found.add(Field::Album, &text(bytes, wide)),
            b"\xa9gen" => found.add(Field::Genre, &text(bytes, wide)),
            b"\xa9day" => found.add(Field::RecordingDate, &text(bytes, wide)),
            b"aART" => found.add(Field::AlbumArtist, &text(bytes, wide)),
            b"\xa9wrt" => found.add(Field::Composer, &text(bytes, wide)),
            b"\xa9cmt" => found.add(Field::Comment, &text(bytes, wide)),
            b"\xa9lyr" => found.add(Field::Lyrics, &text(bytes, wide)),
            b"soaa" => found.add(Field::AlbumArtistSort, &text(bytes, wide)),
            b"soar" => found.add(Field::ArtistSort, &text(bytes, wide)),
            b"soal" => found.add(Field::AlbumSort, &text(bytes, wide)),
            b"cpil" if bytes.iter().any(|byte| *byte != 0) => found.add(Field::Compilation, "1"),
            b"tmpo" => add_number(found, Field::Bpm, &[&[0, 0], bytes].concat()),
            b"----" => {
                if let Some(field) = free_field(item) {
                    found.add(field, &text(bytes, wide));
                }
            }
            b"trkn" => {
                add_number(found, Field::Track, bytes);
                add_number(found, Field::Tracks, bytes.get(2..).unwrap_or_default());
            }
            b"disk" => {
                add_number(found, Field::Disc, bytes);
                add_number(found, Field::Discs, bytes.get(2..).unwrap_or_default());
            }
            b"gnre" => {
                // Numbers begin with 1 here.
                let number = bytes.last().and_then(|number| number.checked_sub(1));
                found.add(
                    Field::Genre,
                    number.and_then(genres::name).unwrap_or_default(),
                );
            }
            // The standard knows one kind of picture: the first is the front.
            b"covr" if whole => found.add_picture(true, bytes),
            _ => (),
        }
    }
}

/// The field of an item with a free name: version and flags, then the name.
fn free_field(item: &Atom<'_>) -> Option<Field> {
    let name = (Atoms { bytes: item.body }).find(|atom| &atom.kind == b"name")?;
    Field::named(name.body.get(4..)?)
}

/// A value of an item.
struct Value<'b> {
    bytes: &'b [u8],
    /// Whether it is UTF-16.
    wide: bool,
    /// Whether it is as long as it says.
    whole: bool,
}

fn values<'b>(item: &Atom<'b>) -> impl Iterator<Item = Value<'b>> {
    let data = (Atoms { bytes: item.body }).filter(|atom| &atom.kind == b"data");
    data.filter_map(|data| {
        let ([_, kind @ .., _, _, _, _], bytes) = data.body.split_first_chunk::<8>()?;
        Some(Value {
            bytes,
            wide: *kind == [0, 0, 2],
            whole: data.whole,
        })
    })
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

/// Most of a list of keys that is read; an honest one has a few dozen.
const KEYS_BYTES_MAX: u64 = 64 * 1024;

/// Boxes in a row that are passed over; a file in movie fragments has several per fragment.
const BOXES_MAX: usize = 8192;
