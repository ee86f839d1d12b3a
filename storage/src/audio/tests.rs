//! Scanners against files made by hand, against real encoders, and against chance.

pub(crate) mod damage;
mod fuzz;
mod odd;
mod others;
mod packages;
mod real;
mod streams;

use super::*;
use std::io::{Cursor, SeekFrom};

use streams::{
    flac, id3v2, long_mp3, mp3, mp3_frame, mp4, ogg, ogg_behind, ogg_flac, old_ogg, wav,
};

/// Cuts bytes in memory, which cannot fail.
fn cut_bytes(bytes: &[u8]) -> Cutting {
    let length = bytes.len() as u64;
    let cutting = cut(&mut Cursor::new(bytes), length).expect("memory can be read");
    assert!(cutting.is_whole(length), "{cutting:?}");
    cutting
}

/// Offset, start and part of every slice.
fn shape(cutting: &Cutting) -> Vec<(u64, u32, Part)> {
    let entry = |cut: &Cut| (cut.offset, cut.start_ms, cut.part);
    cutting.cuts.iter().map(entry).collect()
}

fn parts(cutting: &Cutting, part: Part) -> usize {
    cutting.cuts.iter().filter(|cut| cut.part == part).count()
}

fn expect_opaque(bytes: &[u8]) {
    assert_eq!(cut_bytes(bytes).format, Format::Opaque);
}

#[test]
fn an_empty_file_is_refused() {
    let error = cut(&mut Cursor::new([]), 0).expect_err("nothing to cut");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "the file is empty");
}

#[test]
fn a_file_of_more_fragments_than_a_song_has_is_refused() {
    let error = cut(&mut Cursor::new([]), SONG_BYTES_MAX + 1).expect_err("too large");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

/// Bytes nobody understands are kept, and begin to play at their first fragment.
#[test]
fn an_unknown_file_is_sliced_by_size() {
    let cutting = cut_bytes(&vec![7; 2_500_000]);
    let lengths: Vec<u32> = cutting.cuts.iter().map(|cut| cut.length).collect();
    assert_eq!(lengths, [1_000_000, 1_000_000, 500_000]);
    assert_eq!(parts(&cutting, Part::Head), 3);
    expect_opaque(b"x");
}

/// A source that fails is an error, never an opaque song.
#[test]
fn a_failing_disk_is_an_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    impl Seek for Broken {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Ok(0)
        }
    }
    let error = cut(&mut Broken, 100).expect_err("cannot be read");
    assert_eq!(error.to_string(), "bad sector");
}

/// The check that stands behind every scanner sees each way to be wrong.
#[test]
fn a_wrong_cutting_is_seen() {
    let bytes = mp3(1000);
    let whole = |change: fn(&mut Cutting)| {
        let mut cutting = cut_bytes(&bytes);
        change(&mut cutting);
        cutting.is_whole(bytes.len() as u64)
    };
    assert!(whole(|_| ()));
    assert!(!whole(|c| c.cuts[1].length += 1));
    assert!(!whole(|c| c.cuts[1].offset += 1));
    assert!(!whole(|c| c.cuts[1].start_ms = u32::MAX));
    assert!(!whole(|c| c.cuts[1].part = Part::Tail));
    assert!(!whole(|c| c.cuts.clear()));
    assert!(!whole(|c| c.cuts.truncate(2)));
    assert!(!whole(|c| c.prefix = DecoderPrefix::Head));
    assert!(!whole(|c| c.prefix = DecoderPrefix::Bytes(vec![0; 257])));
    assert!(!whole(|c| c.duration_ms = 1));
}

/// 382 frames of 26.12 ms are just below ten seconds.
#[test]
fn mp3_is_cut_at_frames() {
    let cutting = cut_bytes(&mp3(1000));
    let frame = mp3_frame(0).len() as u64;
    assert_eq!(
        shape(&cutting),
        [
            (0, 0, Part::Audio),
            (382 * frame, 9_978, Part::Audio),
            (764 * frame, 19_957, Part::Audio)
        ]
    );
    assert_eq!(cutting.duration_ms, 26_122);
    assert_eq!((cutting.sample_rate, cutting.channels), (44_100, 2));
}

/// Tags in front, the frame with the table, and old tags behind lie in fragments of their own.
#[test]
fn mp3_tags_lie_apart_from_the_sound() {
    let mut table = mp3_frame(0);
    table[36..40].copy_from_slice(b"Info");
    let mut ape = b"APETAGEX".to_vec();
    ape.extend([0xd0, 7, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0]);
    ape.extend([0; 12]);
    let mut id3v1 = b"TAG".to_vec();
    id3v1.resize(128, b' ');
    let head = [id3v2(3000), id3v2(20), table].concat();
    let tail = [vec![0xff; 8], ape, b"xx000002LYRICS200".to_vec(), id3v1].concat();
    let song = mp3(100);
    let cutting = cut_bytes(&[head.clone(), song.clone(), tail].concat());

    let sound = head.len() as u64;
    assert_eq!(
        shape(&cutting),
        [
            (0, 0, Part::Head),
            (sound, 0, Part::Audio),
            (sound + song.len() as u64, 2_612, Part::Tail)
        ]
    );
}

/// A tag that repeats its header at its end is ten bytes longer than it says.
#[test]
fn a_tag_may_have_a_footer() {
    let mut tag = id3v2(300);
    tag[5] = 0x10;
    tag.extend(b"3DI\x04\0\x10\0\0\x02\x2c");
    let (file, frames) = flac(3, false);
    let cutting = cut_bytes(&[tag, file].concat());
    assert_eq!(shape(&cutting)[1], (320 + frames[0], 0, Part::Audio));
}

/// A cover above a million bytes takes several fragments; the sound begins in the one after.
#[test]
fn a_large_cover_is_several_head_fragments() {
    let cutting = cut_bytes(&[id3v2(2_100_000), mp3(50)].concat());
    assert_eq!(parts(&cutting, Part::Head), 3);
    assert_eq!(parts(&cutting, Part::Audio), 1);
}

/// Junk between frames stays, costs no time, and the sound goes on behind it.
#[test]
fn mp3_goes_on_behind_junk() {
    let junk = vec![0xff; 1000];
    let file = [junk.clone(), mp3(500), junk, mp3(500), id3v2(400), mp3(10)].concat();
    let cutting = cut_bytes(&file);
    assert_eq!(cutting.format, Format::Mp3);
    assert_eq!(cutting.duration_ms, 26_383);
    assert_eq!(shape(&cutting)[1], (1000, 0, Part::Audio));
}

/// A tag between songs that claims to reach past the end hides no frame behind it.
#[test]
fn mp3_goes_on_behind_a_tag_that_lies() {
    let mut lie = id3v2(0);
    lie[6..10].fill(0x7f);
    let cutting = cut_bytes(&[mp3(20), lie, mp3(20)].concat());
    assert_eq!(cutting.duration_ms, 1_044);
}

/// A tag in front that says it is shorter or longer than it is hides no frame of the sound.
#[test]
fn mp3_begins_behind_a_tag_that_lies() {
    let tag = id3v2(400_000);
    let file = [tag.clone(), mp3(50)].concat();
    for size in [
        [0, 0, 0, 0],
        [0, 0, 9, 9],
        [0x7f, 0x7f, 0x7f, 0x7f],
        400_000u32.to_be_bytes(),
        [0, 24, 53, 9],
    ] {
        let mut file = file.clone();
        file[6..10].copy_from_slice(&size);
        let cutting = cut_bytes(&file);
        assert_eq!(cutting.format, Format::Mp3, "{size:?}");
        let sound = cutting.cuts.iter().find(|cut| cut.part == Part::Audio);
        let begin = sound.map(|cut| cut.offset as usize);
        let frame = mp3_frame(0).len();
        // Where the size leads into the sound, its frames up to there are not heard.
        let begins = [tag.len(), tag.len() + frame];
        assert!(
            begin.is_some_and(|at| begins.contains(&at)),
            "{size:?}: {begin:?}"
        );
    }
}

#[test]
fn a_truncated_frame_is_tail() {
    let mut file = mp3(20);
    file.truncate(file.len() - 100);
    let cutting = cut_bytes(&file);
    assert_eq!(cutting.duration_ms, 496);
    assert_eq!(parts(&cutting, Part::Tail), 1);
}

#[test]
fn free_format_and_layer_two_are_opaque() {
    let with = |at: usize, byte: u8| {
        let frame = |i| {
            let mut frame = mp3_frame(i);
            frame[at] = byte;
            frame
        };
        (0..50).flat_map(frame).collect::<Vec<u8>>()
    };
    expect_opaque(&with(2, 0x00));
    expect_opaque(&with(1, 0xfd));
}

/// A number of frames per fragment, and a header for any of them.
#[test]
fn flac_is_cut_at_frames() {
    for variable in [false, true] {
        let (file, frames) = flac(300, variable);
        let cutting = cut_bytes(&file);
        assert_eq!(cutting.format, Format::Flac);
        assert_eq!(cutting.duration_ms, 27_863);
        assert_eq!(parts(&cutting, Part::Head), 1);
        let sound: Vec<u64> = cutting.cuts[1..].iter().map(|cut| cut.offset).collect();
        assert_eq!(sound, [frames[0], frames[107], frames[214]]);
        let DecoderPrefix::Bytes(prefix) = &cutting.prefix else {
            panic!("a prefix of bytes");
        };
        assert_eq!(prefix.len(), 42);
        assert_eq!(prefix[..8], *b"fLaC\x80\0\0\x22");
        assert_eq!(prefix[21] & 15, 0);
        assert_eq!(prefix[22..], [0; 20]);
    }
}

/// Of a recording of days that was broken off, the header says no more than of any other.
#[test]
fn a_flac_prefix_forgets_how_long_the_song_is() {
    let (mut file, _) = flac(3, false);
    file[8 + 13] |= 5;
    let DecoderPrefix::Bytes(prefix) = cut_bytes(&file).prefix else {
        panic!("a prefix of bytes");
    };
    assert_eq!(prefix[8 + 13], file[8 + 13] & 0xf0);
}

/// What looks like a header in the sound, even with the right checksum, has not the next number.
#[test]
fn flac_is_not_fooled_by_its_sound() {
    let (file, frames) = flac(50, false);
    let mut fooled = file.clone();
    let header = file[frames[30] as usize..][..6].to_vec();
    fooled[frames[10] as usize + 40..][..6].copy_from_slice(&header);
    assert_eq!(cut_bytes(&fooled), cut_bytes(&file));
}

/// A frame whose header is damaged, zeros over several, and frames that are missing lie inside a
/// fragment; the sound behind them begins when it did.
#[test]
fn flac_goes_on_behind_damage() {
    for variable in [false, true] {
        let (file, frames) = flac(300, variable);
        let whole = shape(&cut_bytes(&file));
        for frame in [0, 1, 50, 298, 299] {
            let mut damaged = file.clone();
            damaged[frames[frame] as usize + 2] ^= 0x10;
            let cutting = cut_bytes(&damaged);
            assert_eq!(cutting.format, Format::Flac, "{variable} {frame}");
            assert_eq!(shape(&cutting)[1..3], whole[1..3], "{variable} {frame}");
            let lost = if frame == 299 { 93 } else { 0 };
            assert_eq!(cutting.duration_ms.div_ceil(10), (27_863 - lost) / 10 + 1);
        }
        let mut zeros = file.clone();
        zeros[frames[50] as usize + 70..][..4096].fill(0);
        assert_eq!(shape(&cut_bytes(&zeros)), whole, "{variable}");
        let mut cut = file.clone();
        cut.drain(frames[20] as usize..frames[21] as usize);
        let cutting = cut_bytes(&cut);
        assert_eq!(
            (cutting.format, cutting.duration_ms),
            (Format::Flac, 27_863)
        );
    }
}

/// Where more is damaged than not, or nothing confirms a frame, the file is cut by size.
#[test]
fn flac_of_little_but_damage_is_opaque() {
    let (mut file, frames) = flac(50, false);
    let from = frames[5] as usize;
    file[from..frames[48] as usize].fill(0);
    expect_opaque(&file);
    let (file, frames) = flac(200, false);
    let header = &file[frames[150] as usize..][..7];
    let fooling = [&file[..frames[10] as usize], &header.repeat(20_000)].concat();
    expect_opaque(&fooling);
}

#[test]
fn flac_ends_where_its_tags_begin() {
    let (mut file, _) = flac(50, false);
    let end = file.len() as u64;
    file.extend(b"TAG");
    file.extend([b' '; 125]);
    let last = *shape(&cut_bytes(&file)).last().expect("some");
    assert_eq!(last, (end, 4_643, Part::Tail));
}

/// Header pages are head; a page that continues a packet does not begin a fragment.
#[test]
fn ogg_is_cut_before_whole_packets() {
    let (file, pages) = ogg(b"\x01vorbis", 60, 1);
    let cutting = cut_bytes(&file);
    assert_eq!(cutting.format, Format::Vorbis);
    assert_eq!(cutting.prefix, DecoderPrefix::Head);
    // Half a second a page; every third continues, so the 20th page cannot begin a fragment.
    assert_eq!(
        shape(&cutting),
        [
            (0, 0, Part::Head),
            (pages[0], 0, Part::Audio),
            (pages[19], 9_500, Part::Audio),
            (pages[39], 19_500, Part::Audio),
            (pages[58], 29_000, Part::Audio)
        ]
    );
    assert_eq!(cutting.duration_ms, 30_000);
}

/// The page in which the header ends may hold sound: it is head, and time goes on behind it.
#[test]
fn ogg_headers_may_share_a_page_with_sound() {
    for continued in [false, true] {
        let (file, sound) = old_ogg(61, continued);
        let cutting = cut_bytes(&file);
        assert_eq!(cutting.format, Format::Vorbis);
        assert_eq!(cutting.duration_ms, 30_500);
        let begins: Vec<_> = cutting.cuts.iter().map(|c| (c.start_ms, c.part)).collect();
        assert_eq!(
            begins,
            [
                (0, Part::Head),
                (500, Part::Audio),
                (10_500, Part::Audio),
                (20_500, Part::Audio)
            ]
        );
        assert_eq!(cutting.cuts[1].offset, sound);
    }
}

/// A cover or an index in a stream of its own stands in front and between, and is not sound.
#[test]
fn ogg_may_hold_streams_without_sound() {
    for other in [&b"\x80theora"[..], b"fishead\0", b"BBCD\0", b"something"] {
        let file = ogg_behind(other, 60);
        let cutting = cut_bytes(&file);
        assert_eq!(cutting.format, Format::Vorbis);
        assert_eq!(cutting.duration_ms, 30_000);
        let (lone, _) = ogg(b"\x01vorbis", 60, 1);
        let starts =
            |file| -> Vec<u32> { cut_bytes(file).cuts.iter().map(|c| c.start_ms).collect() };
        assert_eq!(starts(&file), starts(&lone));
    }
}

#[test]
fn flac_in_ogg_is_cut_at_pages() {
    let cutting = cut_bytes(&ogg_flac(61));
    assert_eq!(
        (cutting.format, cutting.duration_ms),
        (Format::Flac, 30_500)
    );
    assert_eq!(cutting.prefix, DecoderPrefix::Head);
    assert_eq!((cutting.sample_rate, cutting.channels), (44_100, 2));
    assert_eq!(parts(&cutting, Part::Audio), 4);
}

#[test]
fn opus_time_leaves_the_pre_skip_out() {
    let (file, _) = ogg(b"OpusHead", 60, 1);
    let cutting = cut_bytes(&file);
    assert_eq!(cutting.format, Format::Opus);
    assert_eq!(cutting.sample_rate, 48_000);
    assert_eq!(cutting.duration_ms, 29_993);
}

/// The next stream of a chain begins a fragment, and time goes on.
#[test]
fn a_chain_of_streams_is_one_song() {
    let (one, _) = ogg(b"\x01vorbis", 4, 1);
    let (two, _) = ogg(b"\x01vorbis", 4, 2);
    let cutting = cut_bytes(&[one.clone(), two].concat());
    assert_eq!(cutting.duration_ms, 4_000);
    assert_eq!(
        *shape(&cutting).last().expect("some"),
        (one.len() as u64, 2_000, Part::Audio)
    );
}

#[test]
fn streams_side_by_side_are_opaque() {
    let (one, pages) = ogg(b"\x01vorbis", 4, 1);
    let (two, _) = ogg(b"\x01vorbis", 4, 2);
    let mut mixed = one[..pages[1] as usize].to_vec();
    mixed.extend(&two[pages[1] as usize..]);
    mixed.extend(&one[pages[1] as usize..]);
    expect_opaque(&mixed);
    let (other, _) = ogg(b"\x80theora", 4, 1);
    expect_opaque(&other);
}

/// The index may stand in front or behind: what is not sound is head or tail.
#[test]
fn mp4_is_cut_at_samples() {
    for index_in_front in [true, false] {
        let (file, sound) = mp4(1000, index_in_front, b"mp4a");
        let cutting = cut_bytes(&file);
        assert_eq!(cutting.format, Format::M4a);
        assert_eq!((cutting.sample_rate, cutting.channels), (44_100, 2));
        assert_eq!(cutting.duration_ms, 23_219);
        assert_eq!(parts(&cutting, Part::Head), 1);
        assert_eq!(parts(&cutting, Part::Tail), usize::from(!index_in_front));
        let first = cutting.cuts.iter().find(|cut| cut.part == Part::Audio);
        assert_eq!(first.map(|cut| cut.offset), Some(sound));
        assert_eq!(parts(&cutting, Part::Audio), 3);
    }
    let (video, _) = mp4(10, true, b"avc1");
    expect_opaque(&video);
}

/// From any fragment on, the file plays behind a head that is made of its index.
#[test]
fn mp4_plays_from_any_fragment() {
    for index_in_front in [true, false] {
        let (file, _) = mp4(1000, index_in_front, b"mp4a");
        let cutting = cut_bytes(&file);
        let audio = || cutting.cuts.iter().filter(|cut| cut.part == Part::Audio);
        let end = audio().map(|cut| cut.offset + u64::from(cut.length)).max();
        let end = end.expect("sound");
        for cut in audio() {
            let range = (cut.offset, end);
            let head = playable_head(&mut Cursor::new(&file), file.len() as u64, range);
            let head = head.expect("an index");
            let bytes = &file[cut.offset as usize..end as usize];
            let alone = cut_bytes(&[head.as_slice(), bytes].concat());
            assert_eq!(alone.format, Format::M4a);
            let left = cutting.duration_ms - cut.start_ms;
            assert!(alone.duration_ms.abs_diff(left) <= 1, "{left}");
            let first = alone.cuts.iter().find(|cut| cut.part == Part::Audio);
            assert_eq!(first.map(|cut| cut.offset), Some(head.len() as u64));
        }
        let nowhere = (file.len() as u64, file.len() as u64);
        assert_eq!(
            playable_head(&mut Cursor::new(&file), file.len() as u64, nowhere),
            None
        );
    }
}

#[test]
fn wave_is_cut_at_ten_seconds_or_a_million_bytes() {
    let low = cut_bytes(&wav(8_000, 1, 8_000 * 25));
    let starts: Vec<u32> = low.cuts[1..].iter().map(|cut| cut.start_ms).collect();
    assert_eq!(starts, [0, 10_000, 20_000]);
    assert_eq!(low.duration_ms, 25_000);

    let high = cut_bytes(&wav(44_100, 2, 44_100 * 10));
    assert_eq!(high.cuts[1].length, 1_000_000);
    assert_eq!(high.cuts[2].start_ms, 5_668);
}

/// Sizes that lie, in either direction, cost no byte and no sound that is there.
#[test]
fn wave_sizes_that_lie_mean_the_end_of_the_file() {
    let file = wav(8_000, 1, 8_000);
    for size in [0, u32::MAX, 1 << 30] {
        let mut lying = file.clone();
        lying[40..44].copy_from_slice(&size.to_le_bytes());
        assert_eq!(cut_bytes(&lying).duration_ms, 1_000);
    }
    let mut short = file.clone();
    short[40..44].copy_from_slice(&8_001u32.to_le_bytes());
    let cutting = cut_bytes(&short);
    assert_eq!(cutting.duration_ms, 500);
    assert_eq!(shape(&cutting).last(), Some(&(44 + 8_000, 500, Part::Tail)));
}

/// Chunks may stand before and behind the samples, and RF64 says their length elsewhere.
#[test]
fn wave_chunks_around_the_samples_lie_apart() {
    let file = wav(8_000, 1, 8_000);
    let ds64 = [
        &b"ds64\x1c\0\0\0"[..],
        &[0; 8],
        &16_000u64.to_le_bytes(),
        &[0; 12],
    ]
    .concat();
    let mut long = [b"RF64\xff\xff\xff\xffWAVE", &ds64[..]].concat();
    long.extend(b"LIST\x03\0\0\0abc\0");
    long.extend(&file[12..40]);
    long.extend([0xff; 4]);
    long.extend(&file[44..]);
    let end = long.len() as u64;
    long.extend(b"id3 \x02\0\0\0xx");
    let cutting = cut_bytes(&long);
    assert_eq!(cutting.format, Format::Wav);
    assert_eq!(cutting.duration_ms, 1_000);
    assert_eq!(
        shape(&cutting),
        [
            (0, 0, Part::Head),
            (end - 16_000, 0, Part::Audio),
            (end, 1_000, Part::Tail)
        ]
    );
}

/// Numbers that follow from others may be wrong: players work them out, and so does the prefix.
#[test]
fn wave_without_a_block_size_is_cut() {
    let mut file = wav(8_000, 1, 8_000);
    let right = cut_bytes(&file);
    file[28..34].fill(0);
    assert_eq!(cut_bytes(&file), right);
}

#[test]
fn compressed_wave_is_opaque() {
    let mut file = wav(8_000, 1, 8_000);
    file[20] = 0x11;
    expect_opaque(&file);
}

/// Three hours are cut through a window: no read is larger, and hardly a byte is read twice.
#[test]
fn a_long_file_is_never_in_memory() {
    let mut song = long_mp3(3 * 3600);
    let bytes = song.length();
    let cutting = cut(&mut song, bytes).expect("a source that does not fail");
    assert!(cutting.is_whole(bytes));
    assert_eq!(cutting.format, Format::Mp3);
    assert_eq!(cutting.duration_ms / 1000, 3 * 3600);
    assert!(song.largest_read <= window::WINDOW_BYTES);
    assert!(song.read < bytes + bytes / 100);
}

#[test]
fn an_hour_of_wave_is_cut_by_its_header() {
    let mut song = streams::long_wav(3600);
    let bytes = song.length();
    let cutting = cut(&mut song, bytes).expect("a source that does not fail");
    assert!(cutting.is_whole(bytes));
    assert_eq!(cutting.duration_ms, 3_600_000);
    assert!(song.read < 4 * window::WINDOW_BYTES as u64);
}
