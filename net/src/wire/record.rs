//! Records: `[length: u16][bytes]`, the units that [`super::seal`] encrypts.
//!
//! The reader accepts any number of bytes at a time. A complete record is returned in place,
//! without a copy. Only an incomplete record is kept, so the reader holds at most one record.

use super::frame::{FRAME_BYTES_MAX, FRAME_HEAD_BYTES};

/// Length of the field that announces a record's length.
pub(crate) const LENGTH_BYTES: usize = 2;

/// Length of the authentication tag that sealing adds to a frame.
pub(crate) const TAG_BYTES: usize = 16;

/// Longest record: a full frame and its authentication tag.
pub(crate) const RECORD_BYTES_MAX: usize = FRAME_BYTES_MAX + TAG_BYTES;

const _: () = assert!(RECORD_BYTES_MAX <= u16::MAX as usize);

/// An announced length that no record can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadLength;

/// Splits a stream into records.
#[derive(Debug, Default)]
pub(crate) struct RecordReader {
    begun: Vec<u8>,
}

impl RecordReader {
    /// Returns the next complete record and moves `bytes` past it, or keeps the incomplete rest.
    /// `room` receives a copy only when the record arrived in several pieces.
    pub(crate) fn next<'room, 'bytes: 'room>(
        &mut self,
        bytes: &mut &'bytes [u8],
        room: &'room mut Vec<u8>,
    ) -> Result<Option<&'room [u8]>, BadLength> {
        if self.begun.is_empty() {
            return self.next_in_place(bytes);
        }
        self.fill_up_to(LENGTH_BYTES, bytes);
        let Some(length) = announced(&self.begun)? else {
            return Ok(None);
        };
        self.fill_up_to(LENGTH_BYTES + length, bytes);
        if self.begun.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        room.clear();
        room.extend_from_slice(&self.begun[LENGTH_BYTES..]);
        self.begun.clear();
        Ok(Some(room))
    }

    fn next_in_place<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BadLength> {
        let all = *bytes;
        if let Some(length) = announced(all)?
            && let Some(record) = all.get(LENGTH_BYTES..LENGTH_BYTES + length)
        {
            *bytes = &all[LENGTH_BYTES + length..];
            return Ok(Some(record));
        }
        self.begun.extend_from_slice(all);
        *bytes = &[];
        Ok(None)
    }

    fn fill_up_to(&mut self, length: usize, bytes: &mut &[u8]) {
        let missing = length.saturating_sub(self.begun.len());
        let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
        self.begun.extend_from_slice(taken);
        *bytes = rest;
    }

    /// Frees the buffer while no incomplete record is kept.
    pub(crate) fn trim(&mut self) {
        if self.begun.is_empty() {
            self.begun = Vec::new();
        }
    }
}

/// The announced length; `None` while its two bytes are incomplete.
fn announced(bytes: &[u8]) -> Result<Option<usize>, BadLength> {
    let Some((length, _)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_le_bytes(*length));
    if !(FRAME_HEAD_BYTES..=RECORD_BYTES_MAX).contains(&length) {
        return Err(BadLength);
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wherever the stream is cut, the same records come out.
    #[test]
    fn records_come_out_whatever_the_pieces() {
        let stream = [record(40, 1), record(100, 2), record(32, 3)].concat();
        for step in 1..stream.len() {
            let mut reader = RecordReader::default();
            let mut found = Vec::new();
            for piece in stream.chunks(step) {
                drain(&mut reader, piece, &mut found);
            }
            assert_eq!(found, [(40, 1), (100, 2), (32, 3)], "pieces of {step}");
        }
    }

    #[test]
    fn lengths_no_record_has_are_refused() {
        for length in [0, 31, RECORD_BYTES_MAX as u16 + 1, u16::MAX] {
            let mut reader = RecordReader::default();
            let bytes = length.to_le_bytes();
            assert_eq!(
                reader.next(&mut &bytes[..], &mut Vec::new()),
                Err(BadLength)
            );
        }
    }

    fn record(length: u16, fill: u8) -> Vec<u8> {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.resize(LENGTH_BYTES + usize::from(length), fill);
        bytes
    }

    fn drain(reader: &mut RecordReader, mut piece: &[u8], found: &mut Vec<(usize, u8)>) {
        loop {
            let mut room = Vec::new();
            match reader.next(&mut piece, &mut room).unwrap() {
                Some(record) => found.push((record.len(), record[0])),
                None => return,
            }
        }
    }
}
