//! `dispotify info` and `cover`: what the tags of a song say, read from its first and last fragments.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use roles::contract::id::SongPrefix;
use roles::contract::message::Holder;
use roles::contract::song::Manifest;
use roles::contract::user::{Command, Notice};
use serde::Serialize;
use storage::tags::{self, Details};

use super::{json_line, line, write_all};
use crate::args::{Cover, Info};
use crate::failure::{Failure, output};
use crate::session::{Opened, Session};
use crate::settings::Settings;
use crate::sparse::Sparse;
use crate::text;
use crate::web::tag_fragments;

/// Shows everything that is known of a song.
pub(crate) fn info(settings: &Settings, info: &Info) -> Result<(), Failure> {
    let session = Session::start(settings)?;
    let attempt = format!("look at {}", info.id);
    let (song, holders) = open(&session, &attempt, &info.id)?;
    let mut file = edges(&session, &song, &attempt)?;
    let manifest = &song.manifest;
    let details = tags::details(&mut file, manifest.song.format);
    let object = Object::of(manifest, &holders, &details);
    if info.json {
        return json_line(&object);
    }
    write_all(object.lines().as_bytes())
}

/// Writes the cover inside a song to a file or to standard output.
pub(crate) fn cover(settings: &Settings, cover: &Cover) -> Result<(), Failure> {
    let session = Session::start(settings)?;
    let attempt = format!("find the cover of {}", cover.id);
    let song = session.open(&attempt, &cover.id)?;
    let mut file = edges(&session, &song, &attempt)?;
    let found = tags::picture(&mut file, song.manifest.song.format);
    let picture = found.ok_or_else(|| Failure::failed(&attempt, "the file has none"))?;
    if cover.output == Path::new("-") {
        let mut out = io::stdout().lock();
        return out
            .write_all(&picture.bytes)
            .and_then(|()| out.flush())
            .map_err(output);
    }
    let written = fs::write(&cover.output, &picture.bytes);
    let path = cover.output.display();
    written.map_err(|error| Failure::failed(format!("write {path}"), error))?;
    let size = text::bytes(picture.bytes.len() as u64);
    line(&format!("{path} ({}, {size})", picture.media_type))
}

fn open(session: &Session, attempt: &str, id: &str) -> Result<(Opened, Vec<Holder>), Failure> {
    let song = SongPrefix::parse(id).ok_or_else(|| {
        let cure = "an id is 1 to 32 hexadecimal digits (see `dispotify ls`)";
        Failure::Usage(format!("{attempt}: {cure}"))
    })?;
    let operation = session.operation();
    let holders = true;
    let command = Command::Open {
        operation,
        song,
        holders,
    };
    session.answer(attempt, command, |notice| {
        let Notice::Opened {
            manifest, holders, ..
        } = notice
        else {
            return None;
        };
        let opened = Opened {
            operation,
            manifest,
        };
        Some((opened, holders))
    })
}

/// The parts of the file in which its tags lie.
fn edges(session: &Session, song: &Opened, attempt: &str) -> Result<Sparse, Failure> {
    let manifest = &song.manifest;
    let mut parts = Vec::new();
    for range in tag_fragments(manifest) {
        song.read(session, range, attempt, |index, bytes, _| {
            parts.push((manifest.offset_of(index), bytes.to_vec()));
            Ok(())
        })?;
    }
    Ok(Sparse::new(manifest.song.bytes, parts))
}

/// A song with all its tags, as JSON shows it. The names are an interface.
#[derive(Serialize)]
struct Object<'a> {
    id: String,
    title: &'a str,
    artist: &'a str,
    artists: &'a [String],
    album: &'a str,
    album_artists: &'a [String],
    genre: &'a str,
    genres: &'a [String],
    composers: &'a [String],
    compilation: bool,
    year: u16,
    original_year: u16,
    disc: u16,
    discs: u16,
    track: u16,
    tracks: u16,
    artist_sort: &'a str,
    album_sort: &'a str,
    musicbrainz_album: Option<String>,
    tags: serde_json::Map<String, serde_json::Value>,
    lyrics: bool,
    cover: bool,
    duration_ms: u32,
    bytes: u64,
    format: &'static str,
    sample_rate: u32,
    channels: u8,
    /// Bits of the file per second of sound; 0 if its length is unknown.
    bit_rate: u64,
    fragments: u32,
    holders: Vec<String>,
}

impl<'a> Object<'a> {
    fn of(manifest: &'a Manifest, holders: &[Holder], details: &'a Details) -> Self {
        let (song, more) = (&manifest.song, &details.more);
        let others = details.others.iter();
        let tags = others.map(|(name, value)| ((*name).to_owned(), value.clone().into()));
        Object {
            id: song.id.to_string(),
            title: &song.title,
            artist: &song.artist,
            artists: &more.artists,
            album: &song.album,
            album_artists: &more.album_artists,
            genre: &song.genre,
            genres: &more.genres,
            composers: &more.composers,
            compilation: more.compilation,
            year: song.year,
            original_year: more.original_year,
            disc: song.disc,
            discs: more.discs,
            track: song.track,
            tracks: more.tracks,
            artist_sort: &more.artist_sort,
            album_sort: &more.album_sort,
            musicbrainz_album: more.album_at_musicbrainz.map(|id| format!("{id:032x}")),
            tags: tags.collect(),
            lyrics: !details.lyrics.is_empty(),
            cover: manifest.picture,
            duration_ms: song.duration_ms,
            bytes: song.bytes,
            format: song.format.name(),
            sample_rate: manifest.sample_rate,
            channels: manifest.channels,
            bit_rate: (song.bytes * 8 * 1000)
                .checked_div(u64::from(song.duration_ms))
                .unwrap_or(0),
            fragments: song.fragments,
            holders: holders
                .iter()
                .map(|holder| holder.address.to_string())
                .collect(),
        }
    }

    /// What is known, one line each; what is unknown is left out.
    fn lines(&self) -> String {
        let of_total = |number: u16, total: u16| match (number, total) {
            (0, 0) => String::new(),
            (number, 0) => number.to_string(),
            (number, total) => format!("{number} of {total}"),
        };
        let yes = |set: bool| if set { "yes" } else { "" }.to_owned();
        let number = |value: u64, unit: &str| match value {
            0 => String::new(),
            value => format!("{value}{unit}"),
        };
        let mut rows: Vec<(&str, String)> = vec![
            ("id", self.id.clone()),
            ("title", self.title.into()),
            ("artist", self.artist.into()),
            ("artists", self.artists.join("; ")),
            ("album", self.album.into()),
            ("album artist", self.album_artists.join("; ")),
            ("compilation", yes(self.compilation)),
            ("disc", of_total(self.disc, self.discs)),
            ("track", of_total(self.track, self.tracks)),
            ("year", number(self.year.into(), "")),
            ("first released", number(self.original_year.into(), "")),
            ("genre", self.genre.into()),
            ("composer", self.composers.join("; ")),
        ];
        for (name, value) in &self.tags {
            rows.push((name, value.as_str().unwrap_or_default().to_owned()));
        }
        rows.extend([
            ("lyrics", yes(self.lyrics)),
            ("cover", yes(self.cover)),
            ("length", text::length(self.duration_ms)),
            ("size", text::bytes(self.bytes)),
            ("format", self.format.into()),
            ("sample rate", number(self.sample_rate.into(), " Hz")),
            ("channels", number(self.channels.into(), "")),
            ("bit rate", number(self.bit_rate / 1000, " kbit/s")),
            ("fragments", self.fragments.to_string()),
            ("holders", self.holders.join(", ")),
        ]);
        let known = rows.iter().filter(|(_, value)| !value.is_empty());
        let lines = known.map(|(name, value)| format!("{name:>16}  {value}\n"));
        lines.collect()
    }
}
