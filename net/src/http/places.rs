//! Which browser makes room for another when every place is taken.
//!
//! While there is room, nobody is limited: many browsers may sit behind one address. When there is
//! none, a connection goes that nobody uses, then the one that has been stopped for longest, first
//! among those of an address that holds more than half of the places. A connection that moves goes
//! only for a newcomer from elsewhere, and only if its address holds so many.

use std::collections::BTreeMap;
use std::net::IpAddr;

use roles::contract::time::Time;

use crate::peering::newcomers::origin;

/// What a browser does with its place, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// No request is open.
    Idle(Time),
    /// It reads no answer, or sends nothing of its request.
    Stalled(Time),
    /// It moves bytes, or waits for this end. The time is that of its last progress.
    Moves(Time),
}

/// The browser that is given up, named by `K`. `from` is the address of the newcomer; none: the
/// place is not needed for a browser. `None`: nobody makes room.
pub fn first_to_go<K: Copy + Ord>(
    browsers: &[(K, IpAddr, Use)],
    places: usize,
    from: Option<IpAddr>,
) -> Option<K> {
    let mut held: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for (_, address, _) in browsers {
        *held.entry(origin(*address)).or_default() += 1;
    }
    let share = places.div_ceil(SHARES);
    let crowds = |address: IpAddr| held.get(&origin(address)).is_some_and(|n| *n > share);
    let unused = |crowded: bool| {
        let all = browsers
            .iter()
            .filter(move |browser| !crowded || crowds(browser.1));
        let unused = all.filter(|(_, _, does)| !matches!(does, Use::Moves(_)));
        // Idle ones come before stalled ones, each with the oldest first.
        unused.map(|(key, _, does)| (*does, *key)).min()
    };
    let elsewhere = |address: IpAddr| from.is_some_and(|from| origin(from) != origin(address));
    let slowest = || {
        let all = browsers.iter();
        let moving = all.filter(|(_, address, _)| crowds(*address) && elsewhere(*address));
        moving.map(|(key, _, does)| (*does, *key)).min()
    };
    let first = unused(true).or_else(|| unused(false)).or_else(slowest);
    first.map(|(_, key)| key)
}

/// One address may hold one share of this many before its connections go first.
const SHARES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    #[test]
    fn whoever_uses_a_place_least_goes_first() {
        let one = |key, does| (key, address(key), does);
        let mut browsers = vec![
            one(1, Use::Moves(at(0))),
            one(2, Use::Stalled(at(1))),
            one(3, Use::Stalled(at(2))),
            one(4, Use::Idle(at(9))),
        ];
        let mut gone = Vec::new();
        while let Some(key) = first_to_go(&browsers, 4, Some(address(9))) {
            gone.push(key);
            browsers.retain(|(other, _, _)| *other != key);
        }
        assert_eq!(gone, [4, 2, 3]);
    }

    /// A song that was paused long ago outlives the pauses of an address that holds every place.
    #[test]
    fn an_address_that_holds_most_places_makes_room_first() {
        let mut browsers = vec![(0, address(1), Use::Stalled(at(0)))];
        browsers.extend((1..4).map(|key| (key, address(2), Use::Stalled(at(10)))));
        assert_eq!(first_to_go(&browsers, 4, Some(address(2))), Some(1));
        assert_eq!(first_to_go(&browsers, 4, Some(address(1))), Some(1));
    }

    /// Whoever moves bytes all the time still leaves half of the places to others.
    #[test]
    fn one_address_cannot_keep_the_others_out() {
        let browsers: Vec<_> = (0..4)
            .map(|key| (key, address(2), Use::Moves(at(10 - key))))
            .collect();
        assert_eq!(first_to_go(&browsers, 4, Some(address(2))), None);
        assert_eq!(first_to_go(&browsers, 4, None), None);
        assert_eq!(first_to_go(&browsers, 4, Some(address(1))), Some(3));
        assert_eq!(first_to_go(&browsers, 8, Some(address(1))), None);
    }
}
