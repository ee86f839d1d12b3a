//! One song as a virtual file: which fragments a part of it needs, and their bytes in order.
//!
//! Holds at most two fragments. Decides what to ask for; asking, and paying for it, is the player's
//! business.

use std::collections::VecDeque;

use net::http::range::{self, Wanted};
use net::http::request::{Method, Request};
use net::http::site::{Body, Head};
use roles::contract::id::{OperationId, SongId};
use roles::contract::song::Manifest;
use roles::contract::time::Time;
use roles::contract::user::Origin;

use super::answer;
use crate::text;

/// Fragments held or on their way: one that plays, and the next.
const AHEAD: usize = 2;

/// What was asked for, until the song is known.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) song: SongId,
    method: Method,
    range: Option<String>,
    if_range: Option<String>,
    /// It is to be kept as a file.
    download: bool,
}

impl Wish {
    pub(super) fn of(song: SongId, request: &Request, download: bool) -> Self {
        let field = |name| request.field(name).map(str::to_owned);
        // A range is a matter of GET alone (RFC 9110, section 14.2).
        let ranged = request.method == Method::Get;
        Wish {
            song,
            method: request.method,
            range: field("range").filter(|_| ranged),
            if_range: field("if-range"),
            download,
        }
    }
}

/// The tag of a song's bytes: its id is their hash.
pub(super) fn tag(song: SongId) -> String {
    format!("\"{song}\"")
}

/// A part of a song on its way to a listener.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) operation: OperationId,
    pub(super) song: SongId,
    /// Where each fragment ends in the file.
    ends: Vec<u64>,
    /// The next byte to be given, and the one behind the last.
    at: u64,
    end: u64,
    held: VecDeque<Vec<u8>>,
    /// The index of the first fragment held, or else of the next to be asked for.
    first: u32,
    /// Fragments asked for that have not come.
    pub(super) asked: u32,
    /// It stands in the line.
    pub(super) waits: bool,
    /// When its listener last took something, or something came for him.
    moved_at: Time,
    pub(super) origin: Option<Origin>,
}

impl Stream {
    /// The head of the answer, and the stream behind it unless there is nothing to be read.
    pub(super) fn begin(
        now: Time,
        operation: OperationId,
        wish: &Wish,
        manifest: &Manifest,
    ) -> (Head, Option<Stream>) {
        let length = manifest.song.bytes;
        let tag = tag(wish.song);
        let wanted = range::wanted(
            wish.range.as_deref(),
            wish.if_range.as_deref(),
            &tag,
            length,
        );
        let (status, at, end) = match wanted {
            Wanted::Whole => (200, 0, length),
            Wanted::Part { first, end } => (206, first, end),
            Wanted::Nothing => (416, 0, 0),
        };
        let mut head = answer::head(status, manifest.song.format.media_type(), end - at);
        head.fields.push(("ETag", tag));
        head.fields.push(("Accept-Ranges", "bytes".into()));
        // The same id is the same bytes for ever; whether the song is still there is asked again.
        head.fields.push(("Cache-Control", "no-cache".into()));
        match wanted {
            Wanted::Whole => (),
            Wanted::Part { first, end } => {
                let part = format!("bytes {first}-{}/{length}", end - 1);
                head.fields.push(("Content-Range", part));
            }
            Wanted::Nothing => head
                .fields
                .push(("Content-Range", format!("bytes */{length}"))),
        }
        if wish.download {
            let name = disposition(manifest);
            head.fields.push(("Content-Disposition", name));
        }
        if at == end || wish.method == Method::Head {
            return (head, None);
        }
        let ends = manifest.fragments.iter().scan(0, |sum, fragment| {
            *sum += u64::from(fragment.length);
            Some(*sum)
        });
        let mut stream = Stream {
            operation,
            song: wish.song,
            ends: ends.collect(),
            at,
            end,
            held: VecDeque::new(),
            first: 0,
            asked: 0,
            waits: false,
            moved_at: now,
            origin: None,
        };
        stream.first = stream.index_of(at);
        (head, Some(stream))
    }

    /// The fragment in which a byte lies.
    fn index_of(&self, at: u64) -> u32 {
        self.ends.partition_point(|end| *end <= at) as u32
    }

    fn start_of(&self, index: u32) -> u64 {
        match index {
            0 => 0,
            later => self.ends[later as usize - 1],
        }
    }

    /// The fragment to be asked for next, and its length; none while enough is there.
    pub(super) fn wants(&self) -> Option<(u32, usize)> {
        let near = self.held.len() + self.asked as usize;
        let index = self.first + near as u32;
        let inside = (index as usize) < self.ends.len() && self.start_of(index) < self.end;
        (near < AHEAD && inside).then(|| (index, self.length_of(index)))
    }

    fn length_of(&self, index: u32) -> usize {
        (self.ends[index as usize] - self.start_of(index)) as usize
    }

    /// A fragment has come. Whether it is the one that was to come.
    pub(super) fn on_fragment(&mut self, now: Time, index: u32, bytes: Vec<u8>) -> bool {
        let expected = self.first + self.held.len() as u32;
        let right = self.asked > 0 && index == expected && bytes.len() == self.length_of(index);
        if right {
            self.asked -= 1;
            self.held.push_back(bytes);
            // However long it has waited, its listener gets his chance to take it.
            self.moved_at = now;
        }
        right
    }

    /// The bytes that are there.
    pub(super) fn body(&self) -> Body<'_> {
        let Some(bytes) = self.held.front() else {
            return Body::Later;
        };
        let start = self.start_of(self.first);
        let from = (self.at - start) as usize;
        let to = bytes.len().min((self.end - start) as usize);
        Body::Bytes(&bytes[from..to])
    }

    /// So many bytes have gone out; gives the bytes of memory that are free again.
    pub(super) fn on_taken(&mut self, now: Time, bytes: usize) -> usize {
        self.at += bytes as u64;
        self.moved_at = now;
        if self.at < self.end.min(self.ends[self.first as usize]) {
            return 0;
        }
        self.first += 1;
        self.held.pop_front().map_or(0, |done| done.len())
    }

    /// Lets go of everything held, to be asked for again; gives the bytes that are free again.
    pub(super) fn let_go(&mut self) -> usize {
        self.held.drain(..).map(|bytes| bytes.len()).sum()
    }

    /// Bytes paid for and not given back.
    pub(super) fn owed(&self) -> usize {
        let first_asked = self.first + self.held.len() as u32;
        let asked = first_asked..first_asked + self.asked;
        let held: usize = self.held.iter().map(Vec::len).sum();
        held + asked.map(|index| self.length_of(index)).sum::<usize>()
    }

    /// Whether it holds what its listener has not wanted for a while.
    pub(super) fn is_stalled(&self, since: Time) -> bool {
        !self.held.is_empty() && self.asked == 0 && self.moved_at <= since
    }

    /// Whether a listener that reads finds nothing.
    pub(super) fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }
}

/// A file name for everyone: in plain letters, and as RFC 6266 writes any letters.
fn disposition(manifest: &Manifest) -> String {
    let song = &manifest.song;
    let name = text::file_name(&song.artist, &song.title, song.format.suffix());
    let plain = |c: char| if c.is_ascii() && c != '%' { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    let whole = net::http::percent::encode(&name);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{whole}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::id::ContentHash;
    use roles::contract::song::{DecoderPrefix, Format, Fragment, Part, Song};

    fn manifest(lengths: &[u32]) -> Manifest {
        let hash = ContentHash([7; 32]);
        let fragment = |length: &u32| Fragment {
            length: *length,
            start_ms: 0,
            part: Part::Audio,
            hash,
        };
        let fragments: Vec<Fragment> = lengths.iter().map(fragment).collect();
        let song = Song {
            id: SongId::of(&hash),
            title: "Así \"es\"".into(),
            artist: "Ñandú".into(),
            album: String::new(),
            genre: String::new(),
            year: 0,
            disc: 0,
            track: 0,
            duration_ms: 0,
            bytes: fragments.iter().map(|f| u64::from(f.length)).sum(),
            format: Format::Flac,
            fragments: fragments.len() as u32,
        };
        Manifest {
            song,
            hash,
            sample_rate: 44_100,
            channels: 2,
            picture: false,
            prefix: DecoderPrefix::None,
            fragments,
        }
    }

    fn wish(range: Option<&str>, method: Method) -> Wish {
        Wish {
            song: SongId::of(&ContentHash([7; 32])),
            method,
            range: range.map(str::to_owned),
            if_range: None,
            download: false,
        }
    }

    fn begin(range: Option<&str>, lengths: &[u32]) -> (Head, Option<Stream>) {
        let wish = wish(range, Method::Get);
        Stream::begin(Time::ZERO, OperationId(1), &wish, &manifest(lengths))
    }

    /// Plays the stream, taking `step` bytes at a time; gives its bytes and the fragments asked for.
    fn play(stream: &mut Stream, lengths: &[u32], step: usize) -> (Vec<u8>, Vec<u32>) {
        let (mut given, mut asked) = (vec![], vec![]);
        let file: Vec<u8> = (0..lengths.iter().sum::<u32>()).map(|n| n as u8).collect();
        loop {
            while let Some((index, length)) = stream.wants() {
                stream.asked += 1;
                asked.push(index);
                let start: u32 = lengths[..index as usize].iter().sum();
                let bytes = file[start as usize..start as usize + length].to_vec();
                assert!(stream.on_fragment(Time::ZERO, index, bytes));
            }
            assert!(stream.owed() <= 2 * 10, "at most two fragments");
            let Body::Bytes(bytes) = stream.body() else {
                return (given, asked);
            };
            let take = bytes.len().min(step);
            given.extend_from_slice(&bytes[..take]);
            stream.on_taken(Time::ZERO, take);
        }
    }

    /// Every part of the file, however it is taken, is the part of the file.
    #[test]
    fn every_part_is_that_part_of_the_file() {
        let lengths = [10, 1, 7, 10, 3];
        for first in 0..31_u64 {
            for last in first..31 {
                for step in [1, 4, 100] {
                    let range = format!("bytes={first}-{last}");
                    let (head, stream) = begin(Some(&range), &lengths);
                    let mut stream = stream.expect("a part");
                    let (bytes, asked) = play(&mut stream, &lengths, step);
                    let meant: Vec<u8> = (first as u8..=last as u8).collect();
                    assert_eq!(bytes, meant, "{range}");
                    assert_eq!(head.length, Some(last - first + 1));
                    let needed = stream.index_of(first)..=stream.index_of(last);
                    assert_eq!(asked, needed.collect::<Vec<u32>>(), "{range}");
                }
            }
        }
    }

    #[test]
    fn a_stream_that_lets_go_goes_on_where_it_was() {
        let lengths = [10, 10, 10];
        let (_, stream) = begin(None, &lengths);
        let mut stream = stream.expect("the whole");
        for index in [0, 1] {
            stream.asked += 1;
            assert!(stream.on_fragment(Time::ZERO, index, vec![0; 10]));
        }
        assert_eq!(stream.on_taken(Time::ZERO, 5), 0);
        assert_eq!(stream.let_go(), 20);
        assert_eq!(stream.wants(), Some((0, 10)));
        let (rest, _) = play(&mut stream, &lengths, 3);
        assert_eq!(rest, (5..30).collect::<Vec<u8>>());
    }

    #[test]
    fn heads_say_what_follows() {
        let field = |head: &Head, name: &str| {
            let found = head.fields.iter().find(|(theirs, _)| *theirs == name);
            found.map(|(_, value)| value.clone())
        };
        let (head, _) = begin(Some("bytes=2-3"), &[10]);
        assert_eq!((head.status, head.length), (206, Some(2)));
        assert_eq!(
            field(&head, "Content-Range").as_deref(),
            Some("bytes 2-3/10")
        );
        let (head, stream) = begin(Some("bytes=10-"), &[10]);
        assert_eq!((head.status, stream.is_none()), (416, true));
        assert_eq!(field(&head, "Content-Range").as_deref(), Some("bytes */10"));
        let asked = wish(None, Method::Head);
        let (head, stream) = Stream::begin(Time::ZERO, OperationId(1), &asked, &manifest(&[10]));
        assert_eq!((head.length, stream.is_none()), (Some(10), true));
        assert_eq!(field(&head, "ETag"), Some(tag(asked.song)));
    }

    #[test]
    fn a_downloaded_file_has_its_name() {
        let name = disposition(&manifest(&[10]));
        let plain = "attachment; filename=\"_and_ - As_ _es_.flac\"";
        let whole = "filename*=UTF-8''%C3%91and%C3%BA%20-%20As%C3%AD%20_es_.flac";
        assert_eq!(name, format!("{plain}; {whole}"));
    }
}
