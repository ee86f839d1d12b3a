//! The answers on one HTTP connection, as far as a player needs them: heads, and how many bytes of
//! body have come. The bodies' bytes are counted and dropped.

/// Longest head that is read.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The status and the length of the body.
    Head { status: u16, length: u64 },
    /// So many bytes of the body have come.
    Body(usize),
    /// The answer is complete.
    End,
}

/// The bytes are not an answer with a known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotUnderstood;

/// Takes the answers of one connection apart.
#[derive(Debug)]
pub(crate) struct Answers {
    head: Vec<u8>,
    /// Bytes of body that are still to come; none between two answers.
    left: Option<u64>,
}

impl Answers {
    /// Before the first answer.
    pub(crate) fn new() -> Self {
        Answers {
            head: Vec::new(),
            left: None,
        }
    }

    /// Takes received bytes; appends what they mean.
    pub(crate) fn receive(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<Piece>,
    ) -> Result<(), NotUnderstood> {
        while !bytes.is_empty() {
            match self.left {
                None => bytes = self.take_head(bytes, out)?,
                Some(left) => {
                    let n = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    out.push(Piece::Body(n));
                    bytes = &bytes[n..];
                    self.go_on(left - n as u64, out);
                }
            }
        }
        Ok(())
    }

    fn go_on(&mut self, left: u64, out: &mut Vec<Piece>) {
        self.left = (left > 0).then_some(left);
        if left == 0 {
            out.push(Piece::End);
        }
    }

    fn take_head<'b>(
        &mut self,
        bytes: &'b [u8],
        out: &mut Vec<Piece>,
    ) -> Result<&'b [u8], NotUnderstood> {
        let before = self.head.len();
        let taken = bytes.len().min(HEAD_BYTES_MAX - before);
        self.head.extend_from_slice(&bytes[..taken]);
        let Some((used, status, length)) = parse(&self.head)? else {
            return match self.head.len() {
                HEAD_BYTES_MAX.. => Err(NotUnderstood),
                _ => Ok(&[]),
            };
        };
        self.head.clear();
        out.push(Piece::Head { status, length });
        self.go_on(length, out);
        Ok(&bytes[used - before..])
    }
}

/// A whole head: its bytes, its status and the length of its body.
fn parse(bytes: &[u8]) -> Result<Option<(usize, u16, u64)>, NotUnderstood> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut fields);
    let parsed = answer.parse(bytes).map_err(|_| NotUnderstood)?;
    let httparse::Status::Complete(used) = parsed else {
        return Ok(None);
    };
    let status = answer.code.ok_or(NotUnderstood)?;
    if status == 204 || status == 304 {
        return Ok(Some((used, status, 0)));
    }
    let field = |name: &str| {
        let mut fields = answer.headers.iter();
        fields.find(|field| field.name.eq_ignore_ascii_case(name))
    };
    let length = field("content-length").ok_or(NotUnderstood)?;
    let length = str::from_utf8(length.value).ok();
    let length = length.and_then(|text| text.trim().parse().ok());
    Ok(Some((used, status, length.ok_or(NotUnderstood)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(chunks: &[&[u8]]) -> Result<Vec<Piece>, NotUnderstood> {
        let (mut answers, mut out) = (Answers::new(), Vec::new());
        for chunk in chunks {
            answers.receive(chunk, &mut out)?;
        }
        Ok(out)
    }

    const TWO: &[u8] =
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 204 No\r\n\r\n";

    /// Two answers come apart wherever the bytes are cut.
    #[test]
    fn answers_come_apart_at_any_cut() {
        for cut in 1..TWO.len() {
            let (first, second) = TWO.split_at(cut);
            let all = pieces(&[first, second]).unwrap();
            let body: usize = all
                .iter()
                .map(|piece| if let Piece::Body(n) = piece { *n } else { 0 })
                .sum();
            assert_eq!(body, 3, "{cut}");
            let heads: Vec<&Piece> = all
                .iter()
                .filter(|piece| !matches!(piece, Piece::Body(_)))
                .collect();
            let head = |status, length| Piece::Head { status, length };
            assert_eq!(
                heads,
                [&head(206, 3), &Piece::End, &head(204, 0), &Piece::End],
                "{cut}"
            );
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert_eq!(pieces(&[b"SSH-2.0-x\r\n\r\n"]), Err(NotUnderstood));
        assert_eq!(pieces(&[b"HTTP/1.1 200 OK\r\n\r\n"]), Err(NotUnderstood));
        let endless = vec![b'x'; HEAD_BYTES_MAX];
        let begun = b"HTTP/1.1 200 OK\r\nX: ";
        assert_eq!(pieces(&[begun, &endless]), Err(NotUnderstood));
    }
}
