//! One song, or its cover, as a virtual file: which pieces a part of it needs, and their bytes in
//! order. The pieces of a song are its fragments, those of a cover are blocks of a file on disk.
//!
//! Holds at most two fragments. Decides which fragment is needed next; the player requests it and
//! charges it to the memory budget.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use net::http::range::{self, Wanted};
use net::http::request::{Method, Request};
use net::http::site::{Body, Head};
use roles::contract::id::{OperationId, SongId};
use roles::contract::song::Manifest;
use roles::contract::time::Time;
use roles::contract::user::Origin;
use storage::import::{media_type, suffix};

use super::answer;
use super::cover_file::CoverFile;
use crate::text;

/// Most fragments held or requested: one that plays, and the next.
const AHEAD: usize = 2;

/// A request for a song, kept until the song's manifest is known.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) song: SongId,
    method: Method,
    range: Option<String>,
    if_range: Option<String>,
    /// Whether the browser is to save the song as a file.
    download: bool,
}

impl Wish {
    pub(super) fn of(song: SongId, request: &Request, download: bool) -> Self {
        let field = |name| request.field(name).map(str::to_owned);
        // Only GET has ranges (RFC 9110, section 14.2).
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

/// The entity tag of a song. The song's id is the hash of its bytes, so the tag is strong.
pub(super) fn tag(song: SongId) -> String {
    format!("\"{song}\"")
}

/// Where the pieces of a stream come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Song {
        operation: OperationId,
        song: SongId,
    },
    Cover(Arc<CoverFile>),
}

/// Bytes of a cover that are read at once.
const BLOCK_BYTES: u64 = 128 * 1024;

/// A part of a song, or a cover, that is being sent to a listener.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) source: Source,
    /// The file offset at which each fragment ends.
    ends: Vec<u64>,
    /// The offset of the next byte to send; `end` is the offset after the last.
    at: u64,
    end: u64,
    held: VecDeque<Held>,
    /// The index of the first fragment held, or, when none is held, of the next one needed.
    first: u32,
    /// Fragments requested that have not arrived.
    pub(super) asked: u32,
    /// Whether the stream is in the budget's queue.
    pub(super) waits: bool,
    /// When the listener last accepted bytes, or a fragment last arrived for it.
    moved_at: Time,
    pub(super) origin: Option<Origin>,
}

/// What is needed of a fragment, or more of it.
#[derive(Debug)]
struct Held {
    /// Bytes of the fragment that lie before these.
    skipped: u32,
    bytes: Vec<u8>,
}

impl Stream {
    /// The head of the answer, and the stream for its body unless the body is empty.
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
        let mut head = answer::head(status, media_type(manifest), end - at);
        head.fields.push(("ETag", tag));
        head.fields.push(("Accept-Ranges", "bytes".into()));
        // The bytes of an id never change, but the song may be removed, so a browser must
        // revalidate.
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
        let source = Source::Song {
            operation,
            song: wish.song,
        };
        (
            head,
            Some(Stream::of(now, source, ends.collect(), (at, end))),
        )
    }

    /// The head of the answer, and the stream for its body, of a cover.
    pub(super) fn of_cover(now: Time, cover: &Arc<CoverFile>) -> (Head, Stream) {
        let mut head = answer::head(200, cover.media_type, cover.bytes);
        let for_ever = "public, max-age=31536000, immutable";
        head.fields.push(("Cache-Control", for_ever.to_owned()));
        let blocks = 1..=cover.bytes.div_ceil(BLOCK_BYTES);
        let ends = blocks.map(|number| (number * BLOCK_BYTES).min(cover.bytes));
        let source = Source::Cover(Arc::clone(cover));
        let stream = Stream::of(now, source, ends.collect(), (0, cover.bytes));
        (head, stream)
    }

    fn of(now: Time, source: Source, ends: Vec<u64>, (at, end): (u64, u64)) -> Self {
        let mut stream = Stream {
            source,
            ends,
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
        stream
    }

    /// The index of the fragment that contains the byte at offset `at`.
    fn index_of(&self, at: u64) -> u32 {
        self.ends.partition_point(|end| *end <= at) as u32
    }

    pub(super) fn start_of(&self, index: u32) -> u64 {
        match index {
            0 => 0,
            later => self.ends[later as usize - 1],
        }
    }

    /// The next fragment to request, and its length; `None` while enough is held or requested.
    pub(super) fn wants(&self) -> Option<(u32, usize)> {
        let near = self.held.len() + self.asked as usize;
        let index = self.first + near as u32;
        let inside = (index as usize) < self.ends.len() && self.start_of(index) < self.end;
        (near < AHEAD && inside).then(|| (index, self.length_of(index)))
    }

    pub(super) fn length_of(&self, index: u32) -> usize {
        (self.ends[index as usize] - self.start_of(index)) as usize
    }

    /// The bytes of the file that are still to be sent: from this offset, to before that.
    pub(super) fn needed(&self) -> (u64, u64) {
        (self.at, self.end)
    }

    /// Takes a fragment, `skipped` bytes of which are left out at its beginning; returns false, and
    /// keeps nothing, unless it is the expected one with all that is needed of it.
    pub(super) fn on_fragment(
        &mut self,
        now: Time,
        (index, skipped): (u32, u32),
        bytes: Vec<u8>,
    ) -> bool {
        let expected = self.first + self.held.len() as u32;
        let right = self.asked > 0 && index == expected && self.suffices(index, skipped, &bytes);
        if right {
            self.asked -= 1;
            self.held.push_back(Held { skipped, bytes });
            // The stall timer restarts, so that the listener has time to accept the fragment.
            self.moved_at = now;
        }
        right
    }

    fn suffices(&self, index: u32, skipped: u32, bytes: &[u8]) -> bool {
        let (start, length) = (self.start_of(index), self.length_of(index) as u64);
        let (from, to) = (u64::from(skipped), u64::from(skipped) + bytes.len() as u64);
        let needed_from = self.at.saturating_sub(start);
        let needed_to = (self.end - start).min(length);
        from <= needed_from && needed_to <= to && to <= length
    }

    /// The held bytes of the first fragment that belong to the requested part.
    pub(super) fn body(&self) -> Body<'_> {
        let Some(Held { skipped, bytes }) = self.held.front() else {
            return Body::Later;
        };
        let begin = self.start_of(self.first) + u64::from(*skipped);
        let from = (self.at - begin) as usize;
        let to = bytes.len().min((self.end - begin) as usize);
        Body::Bytes(&bytes[from..to])
    }

    /// Notes that `bytes` have been sent; returns how many bytes of the memory budget became free.
    pub(super) fn on_taken(&mut self, now: Time, bytes: usize) -> usize {
        self.at += bytes as u64;
        self.moved_at = now;
        if self.at < self.end.min(self.ends[self.first as usize]) {
            return 0;
        }
        let done = self.held.pop_front();
        self.first += 1;
        done.map_or(0, |_| self.length_of(self.first - 1))
    }

    /// Drops all held fragments, to be requested again; returns the bytes that became free.
    pub(super) fn let_go(&mut self) -> usize {
        let dropped = self.held.len() as u32;
        self.held.clear();
        self.lengths(self.first..self.first + dropped)
    }

    /// Bytes charged to the memory budget and not yet credited: whole fragments, because what is asked
    /// for may come as a whole.
    pub(super) fn held_bytes(&self) -> usize {
        let count = self.held.len() as u32 + self.asked;
        self.lengths(self.first..self.first + count)
    }

    fn lengths(&self, indices: Range<u32>) -> usize {
        indices.map(|index| self.length_of(index)).sum()
    }

    /// Whether the stream holds fragments and its listener has accepted nothing since `since`.
    pub(super) fn is_stalled(&self, since: Time) -> bool {
        !self.held.is_empty() && self.asked == 0 && self.moved_at <= since
    }

    /// Whether no fragment is held, so that a reading listener must wait.
    pub(super) fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }
}

/// A `Content-Disposition` value: the file name in ASCII, and in full as RFC 6266 encodes it.
fn disposition(manifest: &Manifest) -> String {
    let song = &manifest.song;
    let name = text::file_name(&song.artist, &song.title, suffix(manifest));
    let plain = |c: char| if c.is_ascii() && c != '%' { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    let whole = net::http::percent::encode(&name);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{whole}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::id::ContentHash;
    use roles::contract::song::{Format, Fragment, Part, Song};

    fn manifest(lengths: &[u32]) -> Manifest {
        let hash = ContentHash([7; 32]);
        let fragment = |length: &u32| Fragment {
            length: *length,
            start_ms: 0,
            part: Part::Audio,
            hash,
        };
        let fragments: Vec<Fragment> = lengths.iter().map(fragment).collect();
        let manifest = Manifest::of(hash, fragments);
        Manifest {
            song: Song {
                title: "Así \"es\"".into(),
                artist: "Ñandú".into(),
                format: Format::Flac,
                ..manifest.song
            },
            ..manifest
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
                let (from, to) = stream.needed();
                let part = |at: u64| (at.saturating_sub(u64::from(start)) as usize).min(length);
                // Every other fragment comes with what is needed alone.
                let (from, to) = match index % 2 {
                    0 => (part(from), part(to)),
                    _ => (0, length),
                };
                let taken = (index, from as u32);
                assert!(stream.on_fragment(Time::ZERO, taken, bytes[from..to].to_vec()));
            }
            assert!(stream.held_bytes() <= 2 * 10, "at most two fragments");
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
            assert!(stream.on_fragment(Time::ZERO, (index, 0), vec![0; 10]));
        }
        assert_eq!(stream.on_taken(Time::ZERO, 5), 0);
        assert_eq!(stream.let_go(), 20);
        assert_eq!(stream.wants(), Some((0, 10)));
        let (rest, _) = play(&mut stream, &lengths, 3);
        assert_eq!(rest, (5..30).collect::<Vec<u8>>());
    }

    /// A part that lacks a byte that is needed is refused, as is one that reaches too far.
    #[test]
    fn a_part_with_too_little_is_refused() {
        let (_, stream) = begin(Some("bytes=12-27"), &[10, 10, 10]);
        let mut stream = stream.expect("a part");
        stream.asked = 1;
        for (skipped, length) in [(3, 7), (2, 7), (2, 9), (0, 9)] {
            assert!(!stream.on_fragment(Time::ZERO, (1, skipped), vec![0; length]));
        }
        assert!(stream.on_fragment(Time::ZERO, (1, 2), vec![0; 8]));
        assert_eq!(stream.on_taken(Time::ZERO, 8), 10, "as was paid");
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

    /// A cover that ends inside a block has a short last one.
    #[test]
    fn a_cover_comes_in_blocks() {
        let cover = Arc::new(CoverFile::at("/nowhere/cover".into(), 300_000, "image/png"));
        let (head, stream) = Stream::of_cover(Time::ZERO, &cover);
        assert_eq!((head.status, head.length), (200, Some(300_000)));
        assert_eq!(stream.ends, [131_072, 262_144, 300_000]);
        assert_eq!(stream.wants(), Some((0, 131_072)));
    }

    #[test]
    fn a_downloaded_file_has_its_name() {
        let name = disposition(&manifest(&[10]));
        let plain = "attachment; filename=\"_and_ - As_ _es_.flac\"";
        let whole = "filename*=UTF-8''%C3%91and%C3%BA%20-%20As%C3%AD%20_es_.flac";
        assert_eq!(name, format!("{plain}; {whole}"));
    }
}
