//! Decodes a chunked body piece by piece.
//!
//! Stricter than RFC 9112 asks: lines end in CR LF, sizes are plain hexadecimal digits, extensions
//! and trailers are short and ignored. Where two readers can disagree, the body is refused.

use super::Refused;

/// Longest size line, extensions included.
const SIZE_LINE_BYTES_MAX: usize = 256;

/// Hexadecimal digits of a size: 2^60 is more than any disk holds.
const SIZE_DIGITS_MAX: usize = 15;

/// Most bytes of all trailers together.
const TRAILER_BYTES_MAX: usize = 4096;

/// The reader's position in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Before a size line.
    Size,
    /// Inside a chunk.
    Data { left: u64 },
    /// After a chunk's data, before its line end.
    DataEnd,
    /// After the last chunk, with `bytes` of trailers read.
    Trailers { bytes: usize },
}

/// The meaning of the next bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More input is needed.
    Need,
    /// This many bytes of framing.
    Skip(usize),
    /// This many bytes of the body.
    Data(usize),
    /// This many bytes of framing, and the body is complete.
    End(usize),
}

impl Chunks {
    /// Interprets the input; the caller consumes as many bytes as the step names.
    pub(super) fn step(&mut self, input: &[u8]) -> Result<Step, Refused> {
        match *self {
            Chunks::Size => self.size(input),
            Chunks::Data { left } => Ok(self.data(left, input)),
            Chunks::DataEnd => self.data_end(input),
            Chunks::Trailers { bytes } => self.trailers(bytes, input),
        }
    }

    fn size(&mut self, input: &[u8]) -> Result<Step, Refused> {
        let Some(line) = line(input, SIZE_LINE_BYTES_MAX)? else {
            return Ok(Step::Need);
        };
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit());
        let digits = digits.count();
        let plain = digits == line.len() || line.get(digits) == Some(&b';');
        let text = str::from_utf8(&line[..digits]).unwrap_or_default();
        let size = u64::from_str_radix(text, 16).ok();
        let size = size.filter(|_| plain && digits <= SIZE_DIGITS_MAX);
        *self = match size {
            None => return Err(Refused::bad("a chunk's size is no size")),
            Some(0) => Chunks::Trailers { bytes: 0 },
            Some(left) => Chunks::Data { left },
        };
        Ok(Step::Skip(line.len() + 2))
    }

    fn data(&mut self, left: u64, input: &[u8]) -> Step {
        let take = left.min(input.len() as u64);
        if take == 0 {
            return Step::Need;
        }
        *self = if take == left {
            Chunks::DataEnd
        } else {
            Chunks::Data { left: left - take }
        };
        Step::Data(take as usize)
    }

    fn data_end(&mut self, input: &[u8]) -> Result<Step, Refused> {
        match input {
            [b'\r', b'\n', ..] => {
                *self = Chunks::Size;
                Ok(Step::Skip(2))
            }
            [] | [b'\r'] => Ok(Step::Need),
            _ => Err(Refused::bad("a chunk is longer than its size")),
        }
    }

    fn trailers(&mut self, bytes: usize, input: &[u8]) -> Result<Step, Refused> {
        let Some(line) = line(input, TRAILER_BYTES_MAX - bytes)? else {
            return Ok(Step::Need);
        };
        if line.is_empty() {
            return Ok(Step::End(2));
        }
        let taken = line.len() + 2;
        *self = Chunks::Trailers {
            bytes: (bytes + taken).min(TRAILER_BYTES_MAX),
        };
        Ok(Step::Skip(taken))
    }
}

/// The next line without its CR LF; `None` while it is incomplete.
fn line(input: &[u8], bytes_max: usize) -> Result<Option<&[u8]>, Refused> {
    let end = input.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let length = end.unwrap_or(input.len());
    if length > bytes_max {
        return Err(Refused::bad("a line between chunks is too long"));
    }
    match end.map(|end| &input[end..]) {
        Some([b'\r', b'\n', ..]) => Ok(Some(&input[..length])),
        None | Some([b'\r']) => Ok(None),
        Some(_) => Err(Refused::bad("a line between chunks ends oddly")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a body, given in pieces of `size` bytes; gives it and what follows.
    fn read(input: &[u8], size: usize) -> Result<Option<(Vec<u8>, usize)>, Refused> {
        let (mut chunks, mut body, mut from) = (Chunks::Size, Vec::new(), 0);
        for end in (0..=input.len()).step_by(size).chain([input.len()]) {
            loop {
                match chunks.step(&input[from..end.max(from)])? {
                    Step::Need => break,
                    Step::Skip(n) => from += n,
                    Step::Data(n) => {
                        body.extend_from_slice(&input[from..from + n]);
                        from += n;
                    }
                    Step::End(n) => return Ok(Some((body, from + n))),
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn a_body_is_read_however_it_is_cut() {
        let input = b"4\r\nwiki\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nA: b\r\n\r\nGET";
        for size in 1..input.len() {
            let read = read(input, size);
            assert_eq!(
                read,
                Ok(Some((b"wiki0123456789".to_vec(), input.len() - 3)))
            );
        }
        assert_eq!(read(&input[..input.len() - 4], 1), Ok(None));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let long_line = format!("4;{}\r\n", "x".repeat(300));
        let long_trailers = format!("0\r\n{}", "A: b\r\n".repeat(1000));
        let wrong: [&[u8]; 14] = [
            b"\r\n",
            b"+4\r\nwiki\r\n",
            b"0x4\r\nwiki\r\n",
            b" 4\r\nwiki\r\n",
            b"4 \r\nwiki\r\n",
            b"4\nwiki\r\n",
            b"4\rwiki",
            b"-1\r\n",
            b"g\r\n",
            b"1000000000000000\r\n",
            b"4\r\nwikix\r\n",
            b"4\r\nwiki\n0\r\n\r\n",
            long_line.as_bytes(),
            long_trailers.as_bytes(),
        ];
        for input in wrong {
            assert!(read(input, 1).is_err(), "{:?}", str::from_utf8(input));
        }
    }

    /// A line that never ends is refused while it comes.
    #[test]
    fn an_endless_line_is_not_waited_for() {
        assert!(Chunks::Size.step(&[b'1'; 300]).is_err());
        assert_eq!(Chunks::Size.step(&[b'1'; 10]), Ok(Step::Need));
    }
}
