//! Which songs are made: artists, albums, titles and lengths, all drawn from one seed.

use roles::contract::rng::Rng;

use super::{Args, Choice, Format, Sheet, Tags};
use crate::zipf::Zipf;

/// Songs on an album, and albums of an artist, before the next begins.
const ALBUM_SONGS: u32 = 12;
const ARTIST_ALBUMS: u32 = 4;

/// Longest song of `--size-zipf`, in lengths.
const LENGTHS_MAX: usize = 32;

/// Draws songs.
pub(super) struct Plan {
    format: Choice,
    seconds: f64,
    kbps: u32,
    lengths: Option<Zipf>,
    rng: Rng,
    artist: String,
    album: String,
    genre: String,
    year: u16,
}

impl Plan {
    pub(super) fn new(args: &Args, seed: u64) -> Self {
        Plan {
            format: args.format,
            seconds: args.seconds.as_secs_f64(),
            kbps: args.kbps,
            lengths: args.size_zipf.map(|s| Zipf::new(LENGTHS_MAX, s)),
            rng: Rng::from_seed(seed),
            artist: String::new(),
            album: String::new(),
            genre: String::new(),
            year: 0,
        }
    }

    /// The next song. Numbers count from 0, each once, in order.
    pub(super) fn song(&mut self, number: u32) -> Sheet {
        if number.is_multiple_of(ALBUM_SONGS * ARTIST_ALBUMS) {
            self.artist = format!("The {} {}s", self.word(), self.word());
        }
        if number.is_multiple_of(ALBUM_SONGS) {
            self.album = format!("{} of {}", self.word(), self.word());
            self.genre = self.pick(&GENRES).to_owned();
            self.year = 1960 + self.rng.below(65) as u16;
        }
        let tags = Tags {
            title: format!("{} {} {number}", self.word(), self.word()),
            artist: self.artist.clone(),
            album: self.album.clone(),
            genre: self.genre.clone(),
            year: self.year,
            track: (number % ALBUM_SONGS) as u16 + 1,
        };
        let lengths = self
            .lengths
            .as_ref()
            .map_or(0, |zipf| zipf.draw(&mut self.rng));
        Sheet {
            format: self.format(number),
            seconds: self.seconds * (lengths + 1) as f64,
            kbps: self.kbps,
            tags,
            seed: self.rng.bits(),
        }
    }

    fn format(&self, number: u32) -> Format {
        match self.format {
            Choice::Mp3 => Format::Mp3,
            Choice::Flac => Format::Flac,
            Choice::Opus => Format::Opus,
            Choice::Wav => Format::Wav,
            Choice::Mixed => {
                let turns = [
                    Format::Mp3,
                    Format::Flac,
                    Format::Mp3,
                    Format::Opus,
                    Format::Wav,
                ];
                turns[number as usize % turns.len()]
            }
        }
    }

    fn word(&mut self) -> &'static str {
        self.pick(&WORDS)
    }

    fn pick(&mut self, words: &[&'static str]) -> &'static str {
        words[self.rng.below(words.len() as u64) as usize]
    }
}

const GENRES: [&str; 8] = [
    "Rock",
    "Jazz",
    "Classical",
    "Folk",
    "Electronic",
    "Soul",
    "Hip-Hop",
    "Blues",
];

const WORDS: [&str; 48] = [
    "Amber", "Anchor", "April", "Arrow", "Ash", "Autumn", "Bell", "Birch", "Bridge", "Candle",
    "Canyon", "Cedar", "Cloud", "Copper", "Coral", "Crane", "Dawn", "Delta", "Ember", "Feather",
    "Field", "Flint", "Garden", "Glass", "Harbour", "Hollow", "Island", "Ivory", "Juniper",
    "Lantern", "Linen", "Maple", "Marble", "Meadow", "Mirror", "Moon", "Orchard", "Paper", "Pearl",
    "River", "Saffron", "Salt", "Shadow", "Silver", "Stone", "Thunder", "Willow", "Winter",
];
