//! Files nobody here understands: slices by size.

use roles::contract::limits::FRAGMENT_BYTES_MAX;
use roles::contract::song::{DecoderPrefix, Format, Part};

use super::Properties;
use super::{Cut, Cutting};

/// A file of `bytes` bytes in slices as large as may be, and what is known of its sound.
///
/// All of it is head: a song without sound begins at its first fragment, while of several audio
/// fragments that begin at 0 a look for the first moment would find the last.
pub(super) fn slice(bytes: u64, properties: Properties) -> Cutting {
    let step = FRAGMENT_BYTES_MAX as u64;
    let cut = |offset: u64| Cut {
        offset,
        length: (bytes - offset).min(step) as u32,
        start_ms: 0,
        part: Part::Head,
    };
    Cutting {
        format: Format::Opaque,
        duration_ms: properties.duration_ms,
        sample_rate: properties.sample_rate,
        channels: properties.channels,
        prefix: DecoderPrefix::None,
        cuts: (0..bytes.div_ceil(step)).map(|i| cut(i * step)).collect(),
    }
}
