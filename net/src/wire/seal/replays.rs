//! Openings that were accepted under the cluster key, so that none is accepted twice.
//!
//! Whoever has recorded an honest opening can send it again. Only openings that were made under the
//! key are remembered, so a stranger can neither fill this memory nor push anything out of it. An
//! opening that was recorded before this process started, or at another process, is accepted once.
//! That leads its sender no further, because a hello takes the dialer's secret.

use std::collections::{BTreeSet, VecDeque};

/// The latest openings of all listeners that share a [`Security`](super::Security).
#[derive(Debug, Default)]
pub(super) struct Openings {
    seen: BTreeSet<Mark>,
    /// The same, in the order of their arrival.
    order: VecDeque<Mark>,
}

/// The beginning of a handshake message: half of the dialer's ephemeral key. Every dial makes that
/// key anew, and the message's tag covers it.
type Mark = [u8; 16];

impl Openings {
    /// Remembers an authentic handshake message; false if it is among those remembered.
    pub(super) fn is_first(&mut self, message: &[u8]) -> bool {
        let Some((mark, _)) = message.split_first_chunk() else {
            return false;
        };
        if !self.seen.insert(*mark) {
            return false;
        }
        self.order.push_back(*mark);
        if self.order.len() > OPENINGS_MAX {
            let oldest = self.order.pop_front();
            oldest.map(|mark| self.seen.remove(&mark));
        }
        true
    }
}

/// Most openings remembered: about 300 kB, and the commands of hours.
const OPENINGS_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_openings_are_remembered() {
        let mut openings = Openings::default();
        let message = |n: usize| (n as u128).to_le_bytes();
        for n in 0..=OPENINGS_MAX {
            assert!(openings.is_first(&message(n)));
        }
        assert!(!openings.is_first(&message(1)));
        assert!(!openings.is_first(&message(OPENINGS_MAX)));
        assert_eq!(openings.seen.len(), OPENINGS_MAX);
        assert_eq!(openings.order.len(), OPENINGS_MAX);
    }
}
