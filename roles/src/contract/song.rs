//! A song: its tags and its fragments, how to check them, and how to play one fragment alone.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bincode::{Decode, Encode};

use super::id::{ContentHash, SongId};
use super::limits::{
    FRAGMENT_BYTES_MAX, FRAGMENTS_MAX, MANIFEST_ENTRY_BYTES_MAX, PREFIX_BYTES_MAX, TAG_BYTES_MAX,
};

/// The format of a file, found from its bytes and never from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Format {
    /// RIFF, RF64 or RIFX wave.
    Wav,
    /// MPEG-1, 2 or 2.5 layer III.
    Mp3,
    /// FLAC, native or in Ogg.
    Flac,
    /// Vorbis in Ogg.
    Vorbis,
    /// Opus in Ogg.
    Opus,
    /// AAC, ALAC, or another codec, in MP4.
    M4a,
    /// Any other format. The file is stored and returned byte for byte, and cut by size.
    Opaque,
}

impl Format {
    /// The suffix a downloaded file gets, without the dot.
    pub fn suffix(self) -> &'static str {
        match self {
            Format::Wav => "wav",
            Format::Mp3 => "mp3",
            Format::Flac => "flac",
            Format::Vorbis => "ogg",
            Format::Opus => "opus",
            Format::M4a => "m4a",
            Format::Opaque => "bin",
        }
    }

    /// The media type for a browser.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Wav => "audio/wav",
            Format::Mp3 => "audio/mpeg",
            Format::Flac => "audio/flac",
            Format::Vorbis | Format::Opus => "audio/ogg",
            Format::M4a => "audio/mp4",
            Format::Opaque => "application/octet-stream",
        }
    }

    /// The format's name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Format::Vorbis => "vorbis",
            Format::Opaque => "opaque",
            Format::Wav | Format::Mp3 | Format::Flac | Format::Opus | Format::M4a => self.suffix(),
        }
    }

    /// The format whose [`Format::name`] is `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Every format.
    pub const ALL: [Format; 7] = [
        Format::Wav,
        Format::Mp3,
        Format::Flac,
        Format::Vorbis,
        Format::Opus,
        Format::M4a,
        Format::Opaque,
    ];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A song's entry in the catalogue. Tags are at most [`TAG_BYTES_MAX`] bytes; an unknown one is
/// empty.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Song {
    /// The song's id, from the hash of its file.
    pub id: SongId,
    /// Title; the file's name without its suffix if the tags have none.
    pub title: String,
    /// Performer.
    pub artist: String,
    /// Album.
    pub album: String,
    /// Genre.
    pub genre: String,
    /// Year of release; 0 if unknown.
    pub year: u16,
    /// Disc within the album; 0 if unknown.
    pub disc: u16,
    /// Track within the disc; 0 if unknown.
    pub track: u16,
    /// Length in milliseconds; 0 if unknown.
    pub duration_ms: u32,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Format of the file.
    pub format: Format,
    /// Number of fragments, at most [`FRAGMENTS_MAX`].
    pub fragments: u32,
}

impl Song {
    /// A song of which only the id is known.
    pub fn of(id: SongId) -> Self {
        Song {
            id,
            title: String::new(),
            artist: String::new(),
            album: String::new(),
            genre: String::new(),
            year: 0,
            disc: 0,
            track: 0,
            duration_ms: 0,
            bytes: 0,
            format: Format::Opaque,
            fragments: 0,
        }
    }

    /// Roughly how many bytes this song takes in a page of a list.
    pub fn page_bytes(&self) -> usize {
        let tags = [&self.title, &self.artist, &self.album, &self.genre];
        128 + tags.iter().map(|tag| tag.len()).sum::<usize>()
    }

    /// Cuts every tag to its bound, at a character boundary.
    pub fn bound_tags(&mut self) {
        for tag in [
            &mut self.title,
            &mut self.artist,
            &mut self.album,
            &mut self.genre,
        ] {
            tag.truncate(tag.floor_char_boundary(TAG_BYTES_MAX));
        }
    }
}

/// The content of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Part {
    /// The bytes before the sound: tags, covers, headers.
    Head,
    /// Sound.
    Audio,
    /// The bytes after the sound, such as old tags or an index.
    Tail,
}

/// One slice of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Fragment {
    /// Its size in bytes, from 1 to [`FRAGMENT_BYTES_MAX`].
    pub length: u32,
    /// The moment at which its sound begins, in milliseconds. The head begins at 0, the tail at the
    /// end.
    pub start_ms: u32,
    /// Its content.
    pub part: Part,
    /// The hash that its bytes must have.
    pub hash: ContentHash,
}

const _: () = assert!(core::mem::size_of::<Fragment>() <= MANIFEST_ENTRY_BYTES_MAX);

/// The bytes that a decoder needs before a fragment in order to play the fragment alone.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum DecoderPrefix {
    /// None. Each fragment can be played alone, or the format cannot be played in pieces.
    None,
    /// Bytes made at import (a WAV header, or `fLaC` and STREAMINFO); at most [`PREFIX_BYTES_MAX`].
    /// For an opaque song, which is never decoded in pieces, these are the suffix of the added
    /// file's name.
    Bytes(Vec<u8>),
    /// The song's own head fragments (the header pages of Ogg).
    Head,
}

/// Everything that a client needs to fetch a song from any holder and to check it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Manifest {
    /// The song's entry in the catalogue.
    pub song: Song,
    /// BLAKE3-256 of the whole file.
    pub hash: ContentHash,
    /// Samples per second; 0 if unknown.
    pub sample_rate: u32,
    /// Channels; 0 if unknown.
    pub channels: u8,
    /// Whether its tags hold a cover picture.
    pub picture: bool,
    /// The bytes that a decoder needs to play one fragment alone.
    pub prefix: DecoderPrefix,
    /// The fragments, from the file's first byte to its last, without gap or overlap.
    pub fragments: Vec<Fragment>,
}

/// Why a manifest cannot be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestFault {
    /// There is no fragment, or more than [`FRAGMENTS_MAX`], or another number than the song
    /// states.
    Count,
    /// A fragment is empty or larger than [`FRAGMENT_BYTES_MAX`].
    Length,
    /// The fragments together are shorter or longer than the file.
    Sum,
    /// The song's id is not the beginning of the file's hash.
    Identity,
    /// A tag or the decoder prefix exceeds its bound.
    Tags,
    /// A fragment begins to sound before the fragment that precedes it in the file.
    Order,
}

impl Manifest {
    /// The manifest of a file that is cut into these fragments. What does not follow from them is
    /// unknown: it has no tags, and its format is opaque.
    pub fn of(hash: ContentHash, fragments: Vec<Fragment>) -> Self {
        let bytes = fragments.iter().map(|f| u64::from(f.length)).sum();
        Manifest {
            song: Song {
                bytes,
                fragments: fragments.len() as u32,
                ..Song::of(SongId::of(&hash))
            },
            hash,
            sample_rate: 0,
            channels: 0,
            picture: false,
            prefix: DecoderPrefix::None,
            fragments,
        }
    }

    /// Checks everything that can be checked without the file's bytes.
    pub fn check(&self) -> Result<(), ManifestFault> {
        let count = self.fragments.len();
        if count == 0 || count > FRAGMENTS_MAX || count != self.song.fragments as usize {
            return Err(ManifestFault::Count);
        }
        let fits = |f: &Fragment| (1..=FRAGMENT_BYTES_MAX).contains(&(f.length as usize));
        if !self.fragments.iter().all(fits) {
            return Err(ManifestFault::Length);
        }
        if self.bytes() != self.song.bytes {
            return Err(ManifestFault::Sum);
        }
        if SongId::of(&self.hash) != self.song.id {
            return Err(ManifestFault::Identity);
        }
        if !self.fragments.is_sorted_by_key(|f| f.start_ms) {
            return Err(ManifestFault::Order);
        }
        self.check_tags()
    }

    fn check_tags(&self) -> Result<(), ManifestFault> {
        let song = &self.song;
        let tags = [&song.title, &song.artist, &song.album, &song.genre];
        let prefix = match &self.prefix {
            DecoderPrefix::Bytes(bytes) => bytes.len(),
            DecoderPrefix::None | DecoderPrefix::Head => 0,
        };
        let fits = tags.iter().all(|tag| tag.len() <= TAG_BYTES_MAX) && prefix <= PREFIX_BYTES_MAX;
        fits.then_some(()).ok_or(ManifestFault::Tags)
    }

    /// The indexes in half-open index ranges, in which a holder names the fragments that it lacks.
    /// None if a range is empty, out of order or out of bounds.
    pub fn missing(&self, ranges: &[(u32, u32)]) -> Option<VecDeque<u32>> {
        let inside = |(from, to): &(u32, u32)| from < to && *to <= self.song.fragments;
        let ordered = ranges.is_sorted_by(|a, b| a.1 <= b.0);
        let indexes = ranges.iter().flat_map(|(from, to)| *from..*to);
        (ordered && ranges.iter().all(inside)).then(|| indexes.collect())
    }

    /// Bytes of all fragments together.
    pub fn bytes(&self) -> u64 {
        self.fragments.iter().map(|f| u64::from(f.length)).sum()
    }

    /// Offset of fragment `index` in the file, in bytes.
    pub fn offset_of(&self, index: u32) -> u64 {
        let before = &self.fragments[..self.fragments.len().min(index as usize)];
        before.iter().map(|f| u64::from(f.length)).sum()
    }

    /// The fragments with sound: the first, and the one behind the last. None: it has no sound, or
    /// is not cut at its frames.
    pub fn sound(&self) -> Option<(u32, u32)> {
        let sounds = |f: &Fragment| f.part == Part::Audio;
        let first = self.fragments.iter().position(sounds)?;
        let last = self.fragments.iter().rposition(sounds)?;
        Some((first as u32, last as u32 + 1))
    }

    /// Bytes of the fragments that hold no sound: tags, headers, an index.
    pub fn silent_bytes(&self) -> u64 {
        let silent = self.fragments.iter().filter(|f| f.part != Part::Audio);
        silent.map(|f| u64::from(f.length)).sum()
    }

    /// The fragment that plays at `ms`: the last audio fragment that begins no later. 0 if there is
    /// none.
    pub fn index_at(&self, ms: u32) -> u32 {
        let sounding = |f: &Fragment| f.part == Part::Audio && f.start_ms <= ms;
        self.fragments.iter().rposition(sounding).unwrap_or(0) as u32
    }
}

impl fmt::Display for ManifestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ManifestFault::Count => "its number of fragments is wrong or out of bounds",
            ManifestFault::Length => "a fragment is empty or above a million bytes",
            ManifestFault::Sum => "its fragments are not as long as the file",
            ManifestFault::Identity => "its id does not belong to the hash of the file",
            ManifestFault::Tags => "a tag is longer than the catalogue keeps",
            ManifestFault::Order => "its fragments begin out of order",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn manifest() -> Manifest {
        let hash = ContentHash([7; 32]);
        let part = |part, start_ms| Fragment {
            length: 10,
            start_ms,
            part,
            hash,
        };
        let fragments = vec![
            part(Part::Head, 0),
            part(Part::Audio, 0),
            part(Part::Audio, 9_980),
            part(Part::Tail, 15_000),
        ];
        let mut manifest = Manifest::of(hash, fragments);
        manifest.song.duration_ms = 15_000;
        manifest
    }

    #[test]
    fn a_true_manifest_passes() {
        assert_eq!(manifest().check(), Ok(()));
    }

    /// `check` names each false statement that a peer could make about a song.
    #[test]
    fn a_false_manifest_is_named() {
        let fault = |change: fn(&mut Manifest)| {
            let mut m = manifest();
            change(&mut m);
            m.check()
        };
        use ManifestFault::*;
        assert_eq!(fault(|m| m.fragments.clear()), Err(Count));
        assert_eq!(fault(|m| m.song.fragments = 3), Err(Count));
        assert_eq!(fault(|m| m.fragments[1].length = 0), Err(Length));
        assert_eq!(fault(|m| m.fragments[1].length = 1_000_001), Err(Length));
        assert_eq!(fault(|m| m.song.bytes = 41), Err(Sum));
        assert_eq!(fault(|m| m.song.id = SongId(1)), Err(Identity));
        assert_eq!(fault(|m| m.song.title = "x".repeat(1025)), Err(Tags));
        assert_eq!(fault(|m| m.fragments[3].start_ms = 1), Err(Order));
    }

    #[test]
    fn what_is_lacking_is_named_in_order_and_in_bounds() {
        let m = manifest();
        assert_eq!(m.missing(&[(0, 2), (3, 4)]), Some([0, 1, 3].into()));
        assert_eq!(m.missing(&[]), Some(VecDeque::new()));
        for wrong in [&[(2, 2)][..], &[(0, 5)], &[(2, 3), (0, 1)], &[(3, 1)]] {
            assert_eq!(m.missing(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_moment_finds_its_fragment() {
        let m = manifest();
        assert_eq!(m.index_at(0), 1);
        assert_eq!(m.index_at(9_979), 1);
        assert_eq!(m.index_at(9_980), 2);
        assert_eq!(m.index_at(u32::MAX), 2);
        assert_eq!(m.offset_of(2), 20);
        assert_eq!(m.offset_of(99), 40);
    }

    /// A tag is cut between characters, never inside one.
    #[test]
    fn a_long_tag_is_cut_at_a_character() {
        let mut song = manifest().song;
        song.title = "é".repeat(600);
        song.bound_tags();
        assert_eq!(song.title.len(), 1024);
        song.title = alloc::format!("x{}", "é".repeat(600));
        song.bound_tags();
        assert_eq!(song.title.len(), 1023);
    }
}
