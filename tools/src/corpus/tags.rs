//! Tags as bytes: ID3v2.4 for MP3 and WAV, Vorbis comments for FLAC and Opus.

use super::Tags;

/// An ID3v2.4 tag.
pub(super) fn id3v2(tags: &Tags) -> Vec<u8> {
    let (year, track) = (tags.year.to_string(), tags.track.to_string());
    let texts: [(&[u8; 4], &str); 6] = [
        (b"TIT2", &tags.title),
        (b"TPE1", &tags.artist),
        (b"TALB", &tags.album),
        (b"TCON", &tags.genre),
        (b"TDRC", &year),
        (b"TRCK", &track),
    ];
    let mut frames = Vec::new();
    for (name, text) in texts {
        frames.extend_from_slice(name);
        frames.extend_from_slice(&synchsafe(text.len() + 1));
        frames.extend_from_slice(&[0, 0, 3]); // No flags; UTF-8.
        frames.extend_from_slice(text.as_bytes());
    }
    let head = [b"ID3\x04\x00\x00".as_slice(), &synchsafe(frames.len())].concat();
    [head, frames].concat()
}

/// Seven bits per byte, so that no length looks like the beginning of a frame.
fn synchsafe(number: usize) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (number >> shift & 0x7f) as u8)
}

/// The body of a Vorbis comment, without framing.
pub(super) fn vorbis(tags: &Tags) -> Vec<u8> {
    let comments = [
        format!("TITLE={}", tags.title),
        format!("ARTIST={}", tags.artist),
        format!("ALBUM={}", tags.album),
        format!("GENRE={}", tags.genre),
        format!("DATE={}", tags.year),
        format!("TRACKNUMBER={}", tags.track),
    ];
    let mut out = counted(b"loadgen");
    out.extend_from_slice(&(comments.len() as u32).to_le_bytes());
    for comment in comments {
        out.extend(counted(comment.as_bytes()));
    }
    out
}

fn counted(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text].concat()
}
