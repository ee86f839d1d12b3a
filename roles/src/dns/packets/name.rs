//! The name in a question: read without an allocation, compared without regard to case.

/// Longest name, with its length bytes and the root (RFC 1035, section 3.1).
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Longest label.
pub(crate) const LABEL_BYTES_MAX: usize = 63;

/// Most labels of a name: each has a length and a letter, and the root has one byte.
const LABELS_MAX: usize = NAME_BYTES_MAX / 2;

/// A name in lower case.
#[derive(Clone)]
pub(crate) struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    /// Where each label begins, at its length.
    begins: [u8; LABELS_MAX],
    labels: usize,
}

impl Name {
    /// Reads a name without pointers from the beginning of `bytes`; also gives its length.
    pub(super) fn read(bytes: &[u8]) -> Option<(Name, usize)> {
        let mut name = Name {
            bytes: [0; NAME_BYTES_MAX],
            begins: [0; LABELS_MAX],
            labels: 0,
        };
        let mut at = 0;
        loop {
            let length = usize::from(*bytes.get(at)?);
            if length == 0 {
                return Some((name, at + 1));
            }
            let end = at + 1 + length;
            // The root's byte must fit as well.
            if length > LABEL_BYTES_MAX || end >= NAME_BYTES_MAX {
                return None;
            }
            let label = bytes.get(at..end)?;
            let place = &mut name.bytes[at..end];
            place.copy_from_slice(label);
            place.make_ascii_lowercase();
            name.begins[name.labels] = at as u8;
            name.labels += 1;
            at = end;
        }
    }

    /// How many labels the name has; the root has none.
    pub(crate) fn labels(&self) -> usize {
        self.labels
    }

    /// The label at this place from the right: 0 is the top level. Empty if there is none.
    pub(crate) fn label_at(&self, place: usize) -> &[u8] {
        let begin = self.begin(place);
        match self.bytes.get(begin) {
            Some(length) => &self.bytes[begin + 1..begin + 1 + usize::from(*length)],
            None => &[],
        }
    }

    /// Where the label at this place from the right begins, counted from the name's first byte;
    /// behind the name if there is none.
    pub(crate) fn begin(&self, place: usize) -> usize {
        let number = self.labels.checked_sub(place + 1);
        number.map_or(NAME_BYTES_MAX, |number| usize::from(self.begins[number]))
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for place in (0..self.labels).rev() {
            write!(f, "{}.", self.label_at(place).escape_ascii())?;
        }
        Ok(())
    }
}
