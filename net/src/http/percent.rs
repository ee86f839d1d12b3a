//! Percent-encoding of URLs and header fields.

use std::fmt::Write;

/// Decodes `%41`-like escapes; `None` if an escape is malformed or the bytes are not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let digits = str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

/// The fields of `a=1&b=two+words`, in order; `None` if any of them cannot be decoded.
pub fn fields(query: &str) -> Option<Vec<(String, String)>> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let decoded = parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let plain = |text: &str| decode(&text.replace('+', " "));
        Some((plain(name)?, plain(value)?))
    });
    decoded.collect()
}

/// Escapes every byte except letters, digits and `-._~`: the result fits any header or URL.
pub fn encode(text: &str) -> String {
    encode_bytes(text.as_bytes())
}

/// The same for bytes that need not be UTF-8.
pub fn encode_bytes(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_comes_back() {
        for text in ["", "a b", "Ñandú/100%.flac", "\u{1f3b5}", "\"\r\n"] {
            assert_eq!(decode(&encode(text)).as_deref(), Some(text));
            assert!(encode(text).is_ascii());
        }
    }

    #[test]
    fn half_a_sign_is_refused() {
        for wrong in ["%", "%4", "a%4", "%zz", "%+1", "%é", "%ff", "%C3", "%c3%28"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn fields_are_split_before_they_are_decoded() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let read = fields("q=a%26b+c%2B&&x&limit=5=6");
        let meant = [pair("q", "a&b c+"), pair("x", ""), pair("limit", "5=6")];
        assert_eq!(read, Some(meant.to_vec()));
        assert_eq!(fields("a=%"), None);
        assert_eq!(fields(""), Some(vec![]));
    }
}
