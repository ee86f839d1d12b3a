//! Accepted connections that are not open yet, and which of them is given up for another.
//!
//! A stranger may connect as often as it likes, so a listener accepts every connection and keeps a
//! bounded number of newcomers. When there is no room, the connection goes that has had the longest
//! time to prove that its peer holds the cluster key, and has not done so. An address that fills
//! its own share makes room from its own connections. Nothing is remembered of a connection that
//! has ended. Closing the socket is the caller's business.

use std::net::{IpAddr, Ipv6Addr};

/// The newcomers of a loop, named by `C`, in the order of their arrival.
#[derive(Debug)]
pub struct Newcomers<C> {
    waiting: Vec<Newcomer<C>>,
    most: usize,
}

#[derive(Debug)]
struct Newcomer<C> {
    conn: C,
    origin: IpAddr,
    /// The peer's opening was made under the cluster key; only its hello is missing.
    proven: bool,
}

impl<C: Copy + PartialEq> Newcomers<C> {
    /// No newcomers, with places for `most`, and at least for one.
    pub fn new(most: usize) -> Self {
        Newcomers {
            waiting: Vec::new(),
            most: most.max(1),
        }
    }

    /// How many newcomers there are.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is no newcomer.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The newcomer that the caller closes before a connection from `from` is added.
    pub fn in_the_way_of(&self, from: IpAddr) -> Option<C> {
        let origin = origin(from);
        let same = || self.unproven().filter(|other| other.origin == origin);
        if same().count() >= self.most.div_ceil(SHARES) {
            return same().next().map(|other| other.conn);
        }
        if self.waiting.len() < self.most {
            return None;
        }
        self.first_to_go()
    }

    /// The newcomer that is worth least: the oldest without a proof, otherwise the oldest.
    pub fn first_to_go(&self) -> Option<C> {
        let first = self.unproven().next().or(self.waiting.first());
        first.map(|newcomer| newcomer.conn)
    }

    fn unproven(&self) -> impl Iterator<Item = &Newcomer<C>> {
        self.waiting.iter().filter(|newcomer| !newcomer.proven)
    }

    /// Adds a connection that was accepted from `from`.
    pub fn arrived(&mut self, conn: C, from: IpAddr) {
        self.waiting.push(Newcomer {
            conn,
            origin: origin(from),
            proven: false,
        });
    }

    /// Notes that the peer's opening was made under the cluster key.
    pub fn proved(&mut self, conn: C) {
        for newcomer in &mut self.waiting {
            newcomer.proven |= newcomer.conn == conn;
        }
    }

    /// Forgets a connection that has opened or ended.
    pub fn left(&mut self, conn: C) {
        self.waiting.retain(|newcomer| newcomer.conn != conn);
    }
}

/// Where a connection comes from. Whoever has one IPv6 address usually has all 2^64 of its network,
/// so the network counts. An IPv4 address is the same in both notations.
pub(crate) fn origin(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() >> HOST_BITS << HOST_BITS;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

/// One address may have one share of this many. Few shares leave room for honest peers that start
/// together behind one address; more than one leaves room for peers at other addresses.
const SHARES: usize = 2;

/// The bits of an IPv6 address that its owner chooses.
const HOST_BITS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_newcomer_without_a_proof_goes_first() {
        let mut newcomers = of_addresses(4, &[1, 2, 3, 4]);
        newcomers.proved(1);
        assert_eq!(newcomers.in_the_way_of(address(5)), Some(2));
        newcomers.left(2);
        assert_eq!(newcomers.in_the_way_of(address(5)), None);
    }

    /// Where every peer has proven itself, the one whose hello is awaited longest goes.
    #[test]
    fn a_proof_does_not_keep_a_place_for_ever() {
        let mut newcomers = of_addresses(2, &[1, 2]);
        newcomers.proved(1);
        newcomers.proved(2);
        assert_eq!(newcomers.in_the_way_of(address(3)), Some(1));
    }

    #[test]
    fn an_address_makes_room_from_its_own_share() {
        let newcomers = of_addresses(4, &[9, 1, 1]);
        assert_eq!(newcomers.in_the_way_of(address(1)), Some(2));
        assert_eq!(newcomers.in_the_way_of(address(9)), None);
    }

    /// Honest peers behind one address are not limited by their share.
    #[test]
    fn a_proven_newcomer_does_not_count_in_its_share() {
        let mut newcomers = of_addresses(4, &[1, 1]);
        assert_eq!(newcomers.in_the_way_of(address(1)), Some(1));
        newcomers.proved(1);
        assert_eq!(newcomers.in_the_way_of(address(1)), None);
    }

    #[test]
    fn nothing_is_kept_of_a_connection_that_has_ended() {
        let mut newcomers = of_addresses(4, &[1, 1]);
        newcomers.left(1);
        newcomers.left(2);
        assert!(newcomers.is_empty());
        assert_eq!(newcomers.in_the_way_of(address(1)), None);
        assert_eq!(newcomers.first_to_go(), None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let at = |text: &str| origin(text.parse().unwrap());
        assert_eq!(at("2001:db8:0:1::1"), at("2001:db8:0:1:ffff::2"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8:0:2::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }

    /// Connections 1, 2 and so on, that have arrived from these addresses in this order.
    fn of_addresses(most: usize, from: &[u8]) -> Newcomers<u32> {
        let mut newcomers = Newcomers::new(most);
        for (conn, number) in (1..).zip(from) {
            newcomers.arrived(conn, address(*number));
        }
        newcomers
    }

    fn address(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }
}
