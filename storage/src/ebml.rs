//! Elements of EBML, the container of Matroska and WebM.

/// The head of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) id: u32,
    /// Where its content begins.
    pub(crate) body: u64,
    /// Where it ends; none if it does not know.
    pub(crate) end: Option<u64>,
}

impl Element {
    /// The element that `bytes` begin with, which stand at `at`; none if they are no element.
    pub(crate) fn parse(at: u64, bytes: &[u8]) -> Option<Self> {
        let id_bytes = bytes.first()?.leading_zeros() as usize + 1;
        let size_bytes = bytes.get(id_bytes)?.leading_zeros() as usize + 1;
        if id_bytes > 4 || size_bytes > 8 {
            return None;
        }
        let size = number(bytes.get(id_bytes..id_bytes + size_bytes)?);
        let unknown = (1u64 << (7 * size_bytes)) - 1;
        let size = size & unknown;
        let body = at + (id_bytes + size_bytes) as u64;
        Some(Element {
            id: number(&bytes[..id_bytes]) as u32,
            body,
            end: (size != unknown).then(|| body.saturating_add(size)),
        })
    }
}

/// An unsigned number of at most eight bytes.
pub(crate) fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// A float of four or eight bytes that is finite.
pub(crate) fn float(bytes: &[u8]) -> Option<f64> {
    let value = match bytes.len() {
        4 => f64::from(f32::from_be_bytes(bytes.try_into().ok()?)),
        8 => f64::from_be_bytes(bytes.try_into().ok()?),
        _ => return None,
    };
    value.is_finite().then_some(value)
}

/// Longest head of an element.
pub(crate) const HEAD_BYTES_MAX: usize = 12;
