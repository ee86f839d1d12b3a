//! Text out of bytes: whatever the bytes are, decoding gives some text.

/// UTF-8, or Latin-1 if the bytes are no UTF-8.
pub(super) fn utf8_or_latin1(bytes: &[u8]) -> String {
    let bytes = bounded(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => latin1(bytes),
    }
}

/// Latin-1 as Windows writes it: what the standard leaves to control characters are signs.
pub(super) fn latin1(bytes: &[u8]) -> String {
    bounded(bytes)
        .iter()
        .map(|byte| latin1_char(*byte))
        .collect()
}

fn latin1_char(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// UTF-16, each value with or without a mark of the byte order; a last half unit is left out.
/// `big_endian` counts where there is no mark.
pub(super) fn utf16(bytes: &[u8], big_endian: bool) -> String {
    let mut big = big_endian;
    let mut units = Vec::with_capacity(bounded(bytes).len() / 2);
    for pair in bounded(bytes).chunks_exact(2) {
        match [pair[0], pair[1]] {
            [0xfe, 0xff] => big = true,
            [0xff, 0xfe] => big = false,
            pair if big => units.push(u16::from_be_bytes(pair)),
            pair => units.push(u16::from_le_bytes(pair)),
        }
    }
    String::from_utf16_lossy(&units)
}

/// Whether UTF-16 without a mark looks as if its high bytes stood first.
pub(super) fn seems_big_endian(bytes: &[u8]) -> bool {
    let zeros = |at: usize| {
        bounded(bytes)
            .chunks_exact(2)
            .filter(|pair| pair[at] == 0)
            .count()
    };
    zeros(0) > zeros(1)
}

/// The bytes that `text` codes in base 64, at most `bytes_max`; nothing after a sign of no meaning.
pub(super) fn base64(text: &[u8], bytes_max: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((text.len() / 4 * 3 + 3).min(bytes_max));
    let (mut bits, mut held) = (0u32, 0);
    for digit in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            if bytes.len() == bytes_max {
                break;
            }
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

/// The part of a text that is decoded.
fn bounded(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(TEXT_BYTES_MAX)]
}

/// Most bytes of one text that are decoded, in any tag.
pub(super) const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Windows-1252 from 0x80 on; a control character where it has none.
const WINDOWS: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}',
    '\u{2c6}', '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}',
    '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}',
    '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];
