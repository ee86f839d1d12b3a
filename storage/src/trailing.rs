//! What stands at the end of a file behind the sound: ID3v1, APE, ID3v2 with a footer, Lyrics3.
//!
//! Pure: the caller gives the last bytes of the file, and asks again for what is left before a
//! block. [`crate::audio`] takes the blocks off, [`crate::tags`] reads them.

/// What kind of block ends a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The last 128 bytes.
    Id3v1,
    /// So many bytes of items and footer, perhaps behind a header.
    Ape(u64),
    /// A header, frames, a footer.
    Id3v2,
    /// Words that are not read: Lyrics3, or the longer fields that belong to an ID3v1 tag.
    Unread,
}

/// The block that ends with `last`, the end of a file or of what is left of it, and its length as it
/// says; none if sound stands there. Of the bytes, the last [`LOOK_BYTES`] are enough.
pub(crate) fn block_before(last: &[u8]) -> Option<(Kind, u64)> {
    let begins = |length: usize, magic: &[u8]| {
        let from = last.len().checked_sub(length);
        from.is_some_and(|from| last[from..].starts_with(magic))
    };
    if begins(128, b"TAG") {
        return Some((Kind::Id3v1, 128));
    }
    if begins(ENHANCED_BYTES, b"TAG+") {
        return Some((Kind::Unread, ENHANCED_BYTES as u64));
    }
    ape(last)
        .or_else(|| id3v2_length(last).map(|length| (Kind::Id3v2, length)))
        .or_else(|| lyrics_length(last).map(|length| (Kind::Unread, length)))
}

/// Bytes of items and footer of the APE tag that begins with this header.
pub(crate) fn ape_behind(header: &[u8]) -> Option<u64> {
    ape_size(header).map(|(size, _)| size)
}

fn ape(last: &[u8]) -> Option<(Kind, u64)> {
    let (size, flags) = ape_size(last.last_chunk::<32>()?)?;
    let header = if flags & HAS_HEADER != 0 { 32 } else { 0 };
    Some((Kind::Ape(size), size + header))
}

/// The size and the flags in a header or a footer.
fn ape_size(end: &[u8]) -> Option<(u64, u32)> {
    let rest = end.strip_prefix(b"APETAGEX")?;
    let number = |at: usize| Some(u32::from_le_bytes(*rest.get(at..)?.first_chunk()?));
    let (size, flags) = (number(4)?, number(12)?);
    (size >= 32).then_some((u64::from(size), flags))
}

fn id3v2_length(last: &[u8]) -> Option<u64> {
    let [b'3', b'D', b'I', _, _, _, size @ ..] = last.last_chunk::<10>()? else {
        return None;
    };
    let body = size
        .iter()
        .fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
    Some(body + 20)
}

/// The second version says its length; the first begins with a word within a bounded distance.
fn lyrics_length(last: &[u8]) -> Option<u64> {
    if let Some(digits) = last.last_chunk::<15>()?.strip_suffix(b"LYRICS200") {
        let size: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        return Some(size + 15);
    }
    let words = last.strip_suffix(b"LYRICSEND")?;
    let words = &words[words.len().saturating_sub(LYRICS_BYTES_MAX)..];
    let begin = words.windows(11).rposition(|word| word == b"LYRICSBEGIN")?;
    Some((words.len() - begin + 9) as u64)
}

/// Bytes before an end that tell which block ends there.
pub(crate) const LOOK_BYTES: usize = LYRICS_BYTES_MAX + 9;

/// Longest Lyrics3 of the first version without its last word.
const LYRICS_BYTES_MAX: usize = 11 + 5100;

/// Longer fields that stand before an ID3v1 tag.
const ENHANCED_BYTES: usize = 227;

/// An APE tag has a header beside its footer.
const HAS_HEADER: u32 = 0x8000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind of block is known by its end, and nothing else is.
    #[test]
    fn blocks_are_known_by_their_ends() {
        let ape = |size: u32, flags: u32| {
            let number = |n: u32| n.to_le_bytes();
            let head = [&b"APETAGEX"[..], &number(2000), &number(size), &number(1)];
            [&head.concat()[..], &number(flags), &[0; 8]].concat()
        };
        let lyrics = [&b"LYRICSBEGIN"[..], &[b'x'; 100], b"LYRICSEND"].concat();
        let endless = [&b"LYRICSBEGIN"[..], &[b'x'; 5101], b"LYRICSEND"].concat();
        let cases = [
            ([&b"TAG"[..], &[0; 125]].concat(), Some((Kind::Id3v1, 128))),
            (
                [&b"TAG+"[..], &[0; 223]].concat(),
                Some((Kind::Unread, 227)),
            ),
            (ape(100, 0), Some((Kind::Ape(100), 100))),
            (ape(100, HAS_HEADER), Some((Kind::Ape(100), 132))),
            (ape(31, 0), None),
            (
                b"3DI\x04\0\0\0\0\x01\x00".to_vec(),
                Some((Kind::Id3v2, 148)),
            ),
            (b"000100LYRICS200".to_vec(), Some((Kind::Unread, 115))),
            (b"0001x0LYRICS200".to_vec(), None),
            (lyrics, Some((Kind::Unread, 120))),
            (endless, None),
            (b"TAG".to_vec(), None),
            (Vec::new(), None),
        ];
        for (end, expected) in cases {
            assert_eq!(block_before(&end), expected, "{end:?}");
            let file = [&[7; 300][..], &end].concat();
            assert_eq!(block_before(&file), expected, "behind sound: {end:?}");
        }
    }
}
