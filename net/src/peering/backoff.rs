//! Addresses that could not be reached, and the pause before each is dialled again.
//!
//! The pause doubles with every failure in a row, so a dead address costs little, and half of it is
//! random, so that the nodes that lost one peer do not return to it together.

use std::collections::BTreeMap;
use std::time::Duration;

use roles::contract::node::Lost;
use roles::contract::record::Address;
use roles::contract::rng::Rng;
use roles::contract::time::Time;

/// Addresses with failed dials, and the time before which each is not dialled again.
#[derive(Debug, Default)]
pub struct Backoffs(BTreeMap<Address, Backoff>);

#[derive(Clone, Copy, Debug)]
struct Backoff {
    failures: u32,
    until: Time,
}

impl Backoffs {
    /// Whether the backoff still forbids a dial to `address`.
    pub fn holds(&self, address: Address, now: Time) -> bool {
        self.0.get(&address).is_some_and(|b| b.until > now)
    }

    /// Notes a failed dial. The pause doubles; half of it is random, so that nodes spread out.
    pub fn failed(&mut self, address: Address, now: Time, rng: &mut Rng) {
        if self.0.len() >= BACKOFF_ADDRESSES_MAX && !self.0.contains_key(&address) {
            self.0.retain(|_, b| b.until > now);
            if self.0.len() >= BACKOFF_ADDRESSES_MAX {
                self.0.pop_first();
            }
        }
        let backoff = self.0.entry(address).or_insert(Backoff {
            failures: 0,
            until: now,
        });
        let doubled = BACKOFF_FIRST * (1 << backoff.failures.min(10));
        let pause = doubled.min(BACKOFF_LONGEST);
        backoff.failures += 1;
        backoff.until = now + pause / 2 + rng.within(pause / 2);
    }

    /// Ends the backoff of an address that has answered.
    pub fn succeeded(&mut self, address: Address) {
        self.0.remove(&address);
    }
}

/// Whether the loss of a dialled connection counts as a failed dial: before the peer's hello
/// (`opened` is false), or when the peer answered only to refuse this node.
pub fn is_failed_dial(opened: bool, why: Lost) -> bool {
    !opened
        || matches!(
            why,
            Lost::Full | Lost::Outdated | Lost::Version | Lost::Misbehaved
        )
}

/// First pause after a failed dial. Each further failure doubles the pause, up to the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LONGEST: Duration = Duration::from_secs(5);

/// Addresses whose failures are remembered.
const BACKOFF_ADDRESSES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// A table that is full of others keeps the pauses of the addresses that are in it.
    #[test]
    fn a_full_table_forgets_no_address_that_is_in_it() {
        let (mut backoffs, mut rng) = (Backoffs::default(), Rng::from_seed(1));
        let address = |n: u16| Address(([127, 0, 0, 1], n).into());
        let count = u16::try_from(BACKOFF_ADDRESSES_MAX).expect("it fits a port");
        for n in 1..=count {
            backoffs.failed(address(n), Time::ZERO, &mut rng);
        }
        backoffs.failed(address(count), Time::ZERO, &mut rng);
        let held = (1..=count).filter(|n| backoffs.holds(address(*n), Time::ZERO));
        assert_eq!(held.count(), usize::from(count));
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_success() {
        let (mut backoffs, mut rng) = (Backoffs::default(), Rng::from_seed(1));
        let address = Address(([127, 0, 0, 1], 1).into());
        backoffs.failed(address, Time::ZERO, &mut rng);
        assert!(backoffs.holds(address, Time::from_millis(49)));
        assert!(!backoffs.holds(address, Time::from_millis(101)));
        for _ in 0..40 {
            backoffs.failed(address, Time::ZERO, &mut rng);
        }
        assert!(backoffs.holds(address, Time::from_millis(2400)));
        assert!(!backoffs.holds(address, Time::from_millis(5001)));
        backoffs.succeeded(address);
        assert!(!backoffs.holds(address, Time::ZERO));
    }

    /// A connection that served its time and broke is dialled again at once; one that was refused is
    /// not.
    #[test]
    fn a_broken_connection_is_no_failed_dial_but_a_refused_one_is() {
        assert!(!is_failed_dial(true, Lost::Reset));
        assert!(!is_failed_dial(true, Lost::Silent));
        assert!(is_failed_dial(true, Lost::Outdated));
        assert!(is_failed_dial(false, Lost::Silent));
    }

    #[test]
    fn failures_of_any_number_of_addresses_take_bounded_room() {
        let (mut backoffs, mut rng) = (Backoffs::default(), Rng::from_seed(1));
        for port in 1..=u16::MAX {
            let address = Address(([127, 0, 0, 1], port).into());
            backoffs.failed(address, Time::ZERO, &mut rng);
        }
        assert!(backoffs.0.len() <= BACKOFF_ADDRESSES_MAX);
    }
}
