//! The tags of a song beyond those of its entry in the catalogue.
//!
//! They follow from the bytes of the file. A data node reads them from the fragments that it holds
//! and tells them to the routers, so they are no part of an upload and of no manifest.

use alloc::string::String;
use alloc::vec::Vec;

use bincode::{Decode, Encode};

use super::id::SongId;
use super::limits::{MORE_TAGS_BYTES_MAX, NAME_BYTES_MAX, NAMES_MAX};
use super::message::StoreId;
use super::record::Record;

/// The further tags by which songs are grouped and found. What is unknown is empty, 0 or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct MoreTags {
    /// Each performer, at most [`NAMES_MAX`]. Empty: the performer of the song's entry.
    pub artists: Vec<String>,
    /// Whose album it is, at most [`NAMES_MAX`].
    pub album_artists: Vec<String>,
    /// Each genre, at most [`NAMES_MAX`]. Empty: the genre of the song's entry.
    pub genres: Vec<String>,
    /// Each composer, at most [`NAMES_MAX`].
    pub composers: Vec<String>,
    /// The name by which the album's artist is sorted.
    pub artist_sort: String,
    /// The name by which the album is sorted.
    pub album_sort: String,
    /// Whether the album is marked as one of several artists.
    pub compilation: bool,
    /// Discs of the album.
    pub discs: u16,
    /// Tracks of the disc.
    pub tracks: u16,
    /// Year of the first release.
    pub original_year: u16,
    /// The album at MusicBrainz.
    pub album_at_musicbrainz: Option<u128>,
}

/// The further tags of some songs of a data node, told to a router.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TagNews {
    /// The sender's record.
    pub record: Record,
    /// The sender's store.
    pub store: StoreId,
    /// The songs of this message come after this revision of the tags.
    pub since: u64,
    /// The songs in the order in which their tags were read; at most
    /// [`PAGE_SONGS_MAX`](super::limits::PAGE_SONGS_MAX).
    pub songs: Vec<(SongId, MoreTags)>,
    /// The revision of the tags after the last of these songs.
    pub revision: u64,
    /// The revision of the songs that a router must know to have all of these.
    pub needs: u64,
}

impl MoreTags {
    /// Cuts every name and every list to its bound, at a character boundary.
    pub fn bound(&mut self) {
        let mut left = MORE_TAGS_BYTES_MAX - FIXED_BYTES;
        let lists = [
            &mut self.album_artists,
            &mut self.artists,
            &mut self.genres,
            &mut self.composers,
        ];
        for name in [&mut self.artist_sort, &mut self.album_sort] {
            name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
            left -= NAME_OVERHEAD_BYTES + name.len();
        }
        for list in lists {
            list.truncate(NAMES_MAX);
            list.retain_mut(|name| {
                name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
                let bytes = NAME_OVERHEAD_BYTES + name.len();
                let fits = bytes <= left && !name.is_empty();
                left -= if fits { bytes } else { 0 };
                fits
            });
        }
    }

    /// Roughly how many bytes these tags take in a message.
    pub fn page_bytes(&self) -> usize {
        let lists = [
            &self.artists,
            &self.album_artists,
            &self.genres,
            &self.composers,
        ];
        let names = lists.into_iter().flatten();
        let sorts = [&self.artist_sort, &self.album_sort];
        let bytes = |name: &String| NAME_OVERHEAD_BYTES + name.len();
        FIXED_BYTES + names.chain(sorts).map(bytes).sum::<usize>()
    }
}

/// Bytes of the numbers, and of the lengths of the lists.
const FIXED_BYTES: usize = 64;

/// Bytes of the length of a name.
const NAME_OVERHEAD_BYTES: usize = 3;

const _: () =
    assert!(FIXED_BYTES + 2 * (NAME_OVERHEAD_BYTES + NAME_BYTES_MAX) < MORE_TAGS_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    /// Tags of a hostile file come within their bound, and keep what comes first.
    #[test]
    fn tags_are_bounded_as_a_whole() {
        let long = "é".repeat(1000);
        let mut tags = MoreTags {
            artists: vec![long.clone(); 100],
            album_artists: vec!["A".into(), String::new()],
            genres: vec![long.clone(); 100],
            composers: vec![long.clone(); 100],
            artist_sort: long.clone(),
            ..MoreTags::default()
        };
        tags.bound();
        assert!(tags.page_bytes() <= MORE_TAGS_BYTES_MAX);
        assert_eq!(tags.album_artists, ["A"]);
        assert_eq!(tags.artists.first().map(String::len), Some(NAME_BYTES_MAX));
    }
}
