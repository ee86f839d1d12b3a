//! What a client has learned of the servers: which failed lately, and which are busy.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::message::Holder;
use crate::contract::record::Address;
use crate::contract::rng::Rng;
use crate::contract::time::Time;

/// How long a server that failed is asked after all others.
const AVOID: Duration = Duration::from_secs(10);

/// Most servers remembered. When it is reached, all entries are dropped.
const PEERS_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<Address, Known>,
}

#[derive(Debug, Default)]
struct Known {
    avoid_until: Time,
    /// Jobs that waited at the server when it last reported its load.
    load: u16,
    /// Questions of this client that the server has not answered.
    open: u16,
}

impl Peers {
    pub(super) fn on_lost(&mut self, now: Time, address: Address) {
        self.entry(address).avoid_until = now + AVOID;
    }

    pub(super) fn on_load(&mut self, address: Address, load: u16) {
        self.entry(address).load = load;
    }

    pub(super) fn on_asked(&mut self, address: Address) {
        let known = self.entry(address);
        known.open = known.open.saturating_add(1);
    }

    pub(super) fn on_ended(&mut self, address: Address) {
        let known = self.entry(address);
        known.open = known.open.saturating_sub(1);
    }

    /// Servers of a group in the order in which to ask them: random, but servers that failed lately
    /// come last.
    pub(super) fn in_turn(
        &self,
        now: Time,
        mut addresses: Vec<Address>,
        rng: &mut Rng,
    ) -> Vec<Address> {
        rng.shuffle(&mut addresses);
        addresses.sort_by_key(|at| self.avoided(now, *at));
        addresses
    }

    /// Holders in the order in which to ask them: the less loaded of two random holders first
    /// (Mitzenmacher, "The Power of Two Choices"), and holders that failed lately last.
    pub(super) fn better_of_two(
        &self,
        now: Time,
        holders: &[Holder],
        rng: &mut Rng,
    ) -> Vec<Address> {
        let addresses = holders.iter().map(|holder| holder.address).collect();
        let mut addresses = self.in_turn(now, addresses, rng);
        if let [first, second, ..] = &mut addresses[..]
            // The load decides only among equals: a failed holder must not come first because it is
            // idle.
            && self.avoided(now, *first) == self.avoided(now, *second)
            && self.burden(*second) < self.burden(*first)
        {
            core::mem::swap(first, second);
        }
        addresses
    }

    fn avoided(&self, now: Time, address: Address) -> bool {
        (self.known.get(&address)).is_some_and(|known| now < known.avoid_until)
    }

    fn burden(&self, address: Address) -> u32 {
        (self.known.get(&address)).map_or(0, |known| u32::from(known.load) + u32::from(known.open))
    }

    fn entry(&mut self, address: Address) -> &mut Known {
        if self.known.len() >= PEERS_MAX {
            self.known.clear();
        }
        self.known.entry(address).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::id::NodeId;
    use crate::contract::record::Features;
    use crate::test_support::addr;

    fn holders() -> [Holder; 3] {
        [1, 2, 3].map(|n| Holder {
            node: NodeId(u128::from(n)),
            address: addr(n),
            features: Features::default(),
            load: 0,
        })
    }

    #[test]
    fn a_failed_holder_is_asked_last_until_it_is_forgiven() {
        let (mut peers, mut rng) = (Peers::default(), Rng::from_seed(1));
        peers.on_lost(Time::from_secs(1), addr(2));
        for _ in 0..20 {
            let order = peers.better_of_two(Time::from_secs(5), &holders(), &mut rng);
            assert_eq!(order[2], addr(2));
        }
        let first = |_| peers.better_of_two(Time::from_secs(11), &holders(), &mut rng)[0];
        assert!((0..50).map(first).any(|at| at == addr(2)));
    }

    /// The busiest of three is never first, because any holder it is compared with has less load.
    #[test]
    fn the_busiest_holder_is_not_asked_first() {
        let (mut peers, mut rng) = (Peers::default(), Rng::from_seed(1));
        peers.on_load(addr(3), 9);
        for _ in 0..50 {
            let order = peers.better_of_two(Time::ZERO, &holders(), &mut rng);
            assert_ne!(order[0], addr(3));
        }
    }
}
