//! What one tag says: its values in the order of the tag, and its best picture.

use super::image_type;

/// A word or number of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Title,
    Artist,
    Album,
    Genre,
    Track,
    Disc,
    RecordingDate,
    Year,
    ReleaseDate,
    OriginalDate,
    /// Each performer by itself, where [`Field::Artist`] is how the performers are written.
    Artists,
    AlbumArtist,
    Composer,
    Compilation,
    Discs,
    Tracks,
    AlbumArtistSort,
    ArtistSort,
    AlbumSort,
    AlbumAtMusicBrainz,
    RecordingAtMusicBrainz,
    TrackGain,
    TrackPeak,
    AlbumGain,
    AlbumPeak,
    Bpm,
    Comment,
    Lyrics,
}

impl Field {
    /// The field that a tag of free names calls so: in any case, and with or without spaces,
    /// underscores and slashes.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let signs = name.iter().filter(|byte| !b" _-/.".contains(byte));
        let name: Vec<u8> = signs.take(NAME_BYTES).map(u8::to_ascii_lowercase).collect();
        Some(match &name[..] {
            b"artists" => Field::Artists,
            b"albumartist" => Field::AlbumArtist,
            b"composer" => Field::Composer,
            b"compilation" => Field::Compilation,
            b"disctotal" | b"totaldiscs" => Field::Discs,
            b"tracktotal" | b"totaltracks" => Field::Tracks,
            b"albumartistsort" => Field::AlbumArtistSort,
            b"artistsort" => Field::ArtistSort,
            b"albumsort" => Field::AlbumSort,
            b"musicbrainzalbumid" => Field::AlbumAtMusicBrainz,
            b"musicbrainztrackid" => Field::RecordingAtMusicBrainz,
            b"replaygaintrackgain" => Field::TrackGain,
            b"replaygaintrackpeak" => Field::TrackPeak,
            b"replaygainalbumgain" => Field::AlbumGain,
            b"replaygainalbumpeak" => Field::AlbumPeak,
            b"bpm" => Field::Bpm,
            b"comment" | b"description" => Field::Comment,
            b"lyrics" | b"unsyncedlyrics" => Field::Lyrics,
            _ => return None,
        })
    }
}

/// Longest free name that is compared.
const NAME_BYTES: usize = 64;

/// How much of a picture is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Whether there is one.
    Words,
    /// All of it.
    Picture,
}

/// The content of one tag.
#[derive(Debug)]
pub(super) struct Found {
    want: Want,
    values: Vec<(Field, String)>,
    picture: Option<Image>,
}

/// An image that a browser shows.
#[derive(Debug)]
pub(super) struct Image {
    /// Whether the tag calls it the front cover.
    pub(super) front: bool,
    pub(super) media_type: &'static str,
    /// Empty if only words are wanted.
    pub(super) bytes: Vec<u8>,
}

impl Found {
    pub(super) fn new(want: Want) -> Self {
        Found {
            want,
            values: Vec::new(),
            picture: None,
        }
    }

    /// Takes the values of a text, which zeros separate.
    pub(super) fn add(&mut self, field: Field, text: &str) {
        for value in text.split('\0') {
            if self.values.len() < VALUES_MAX {
                self.values.push((field, value.to_owned()));
            }
        }
    }

    /// Takes an image, unless it is none, is above [`super::PICTURE_BYTES_MAX`], or one as good is
    /// there already.
    pub(super) fn add_picture(&mut self, front: bool, bytes: &[u8]) {
        let better = match &self.picture {
            None => true,
            Some(image) => front && !image.front,
        };
        let Some(media_type) = image_type(bytes).filter(|_| better) else {
            return;
        };
        if bytes.len() <= super::PICTURE_BYTES_MAX {
            self.picture = Some(Image {
                front,
                media_type,
                bytes: match self.want {
                    Want::Words => Vec::new(),
                    Want::Picture => bytes.to_vec(),
                },
            });
        }
    }

    pub(super) fn values(&self, field: Field) -> impl Iterator<Item = &str> {
        let of_field = move |(f, _): &&(Field, String)| *f == field;
        self.values.iter().filter(of_field).map(|(_, v)| v.as_str())
    }

    pub(super) fn picture(&self) -> Option<&Image> {
        self.picture.as_ref()
    }

    pub(super) fn into_picture(self) -> Option<Image> {
        self.picture
    }
}

/// Values of one tag that are kept; an honest tag has a few dozen.
const VALUES_MAX: usize = 1024;
