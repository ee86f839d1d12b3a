//! How many questions a network may ask.
//!
//! The sender of a datagram may be forged, and the answer is larger than the question: whoever asks
//! in another's name turns this server against him. So each network (/24 of IPv4, /56 of IPv6) has a
//! bucket. Beyond it every second question gets a short answer that says "come over TCP", where no
//! sender can be forged, and the others get none.

use std::net::IpAddr;
use std::time::Duration;

use roles::contract::time::Time;

/// Buckets. Networks that fall into one share it; `seed` decides which do, so nobody can choose.
const BUCKETS: usize = 4096;

/// What becomes of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is answered.
    Answer,
    /// Its asker is told to come over TCP.
    ComeOverTcp,
    /// It is dropped.
    Drop,
}

/// The buckets of all networks, in 64 kB.
#[derive(Debug)]
pub struct Rates {
    buckets: Box<[Bucket]>,
    /// Between two questions of a network that never pauses.
    pace: Duration,
    seed: u64,
}

/// A bucket as the moment at which it is full again: it holds one second's worth of questions.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: Time,
    refused: u32,
}

impl Rates {
    /// Buckets for `per_second` questions a second, and as many at once.
    pub fn new(per_second: usize, seed: u64) -> Self {
        let per_second = u32::try_from(per_second).unwrap_or(u32::MAX).max(1);
        Rates {
            buckets: vec![Bucket::default(); BUCKETS].into(),
            pace: Duration::from_secs(1) / per_second,
            seed,
        }
    }

    /// Counts a question from `from`.
    pub fn admit(&mut self, now: Time, from: IpAddr) -> Admission {
        let bucket = &mut self.buckets[place(from, self.seed)];
        let full_at = bucket.full_at.max(now) + self.pace;
        if full_at.since(now) <= BURST {
            bucket.full_at = full_at;
            bucket.refused = 0;
            return Admission::Answer;
        }
        bucket.refused = bucket.refused.wrapping_add(1);
        match bucket.refused % 2 {
            0 => Admission::ComeOverTcp,
            _ => Admission::Drop,
        }
    }
}

/// The bucket of an address's network.
fn place(from: IpAddr, seed: u64) -> usize {
    let network = match from.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip) >> 8),
        IpAddr::V6(ip) => (u128::from(ip) >> 72) as u64,
    };
    // The mixer of splitmix64: every bit of the network and the seed moves every bit of the place.
    let mut bits = network ^ seed;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) as usize % BUCKETS
}

/// How much a network may ask at once: what it may ask in this time.
const BURST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn answered(rates: &mut Rates, now: Time, from: IpAddr, asked: usize) -> usize {
        let admitted = (0..asked).map(|_| rates.admit(now, from));
        admitted.filter(|a| *a == Admission::Answer).count()
    }

    /// A flood gets its second's worth, then its rate; half of the rest hears of TCP.
    #[test]
    fn a_network_gets_its_rate() {
        let mut rates = Rates::new(100, 7);
        assert_eq!(answered(&mut rates, at(0), from(1), 1000), 100);
        // Its neighbours share the bucket.
        assert_eq!(answered(&mut rates, at(0), from(2), 10), 0);
        assert_eq!(answered(&mut rates, at(500), from(1), 1000), 50);
        let told = (0..100).map(|_| rates.admit(at(500), from(1)));
        let told = told.filter(|a| *a == Admission::ComeOverTcp).count();
        assert_eq!(told, 50);
    }

    #[test]
    fn a_flood_costs_other_networks_nothing() {
        let mut rates = Rates::new(10, 7);
        answered(&mut rates, at(0), from(1), 1000);
        let others = (0..50u8).map(|n| IpAddr::from([10, 1, n, 1]));
        let served = others.filter(|ip| rates.admit(at(0), *ip) == Admission::Answer);
        assert!(served.count() >= 49);
    }

    #[test]
    fn addresses_of_one_site_share_a_bucket() {
        let place = |text: &str| place(text.parse().expect("an address"), 3);
        assert_eq!(place("2001:db8:0:1200::1"), place("2001:db8:0:12ff::9"));
        assert_ne!(place("2001:db8:0:1200::1"), place("2001:db8:0:1300::1"));
        assert_eq!(place("::ffff:10.0.0.1"), place("10.0.0.9"));
    }
}
