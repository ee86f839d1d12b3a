//! The addresses of this machine, as the kernel lists them below `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use net::Link;

use crate::failure::Failure;

/// The address by which others reach this machine, where there is one only. An IPv4 address goes before
/// those of IPv6.
pub(crate) fn only_address() -> Result<IpAddr, Failure> {
    choose(&addresses())
}

/// All addresses of this machine but those of loopback and of single links.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let four = four(&read("/proc/net/fib_trie")).into_iter();
    let six = six(&read("/proc/net/if_inet6")).into_iter();
    four.map(IpAddr::V4).chain(six.map(IpAddr::V6)).collect()
}

/// The links of this machine that have IPv4, each with this machine's address on it.
pub(crate) fn links() -> Vec<Link> {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let own = four(&read("/proc/net/fib_trie"));
    links_of(&own, &networks(&read("/proc/net/route")))
}

/// The link of an address is the smallest network without a gateway that it lies in.
fn links_of(own: &BTreeSet<Ipv4Addr>, networks: &[(u32, u32)]) -> Vec<Link> {
    let link = |address: &Ipv4Addr| {
        let lies_in = |(network, mask): &&(u32, u32)| u32::from(*address) & mask == *network;
        let prefix = networks
            .iter()
            .filter(lies_in)
            .map(|(_, mask)| mask.count_ones());
        Some(Link {
            address: *address,
            prefix: prefix.max()? as u8,
        })
    };
    own.iter().filter_map(link).collect()
}

/// The networks of the kernel's table of routes that have no gateway, each with its mask. Both stand there
/// in the order of bytes in memory.
fn networks(table: &str) -> Vec<(u32, u32)> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    let network = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, destination, "00000000", _, _, _, _, mask, ..] = words.as_slice() else {
            return None;
        };
        Some((number(destination)?, number(mask)?)).filter(|(_, mask)| *mask != 0)
    };
    table.lines().filter_map(network).collect()
}

fn choose(all: &[IpAddr]) -> Result<IpAddr, Failure> {
    let four: Vec<IpAddr> = all.iter().copied().filter(IpAddr::is_ipv4).collect();
    let usable = if four.is_empty() { all } else { &four };
    match usable {
        [only] => Ok(*only),
        [] => Err(Failure::Usage(
            "--host: this machine has no address but loopback: give --host 127.0.0.1 to stay on it"
                .into(),
        )),
        several => {
            let shown: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(Failure::Usage(format!(
                "--host: this machine has several addresses: give the one by which the others reach it, of {}",
                shown.join(", ")
            )))
        }
    }
}

/// In the kernel's table of routes each own address is a leaf with the line `/32 host LOCAL`.
fn four(table: &str) -> BTreeSet<Ipv4Addr> {
    let mut found = BTreeSet::new();
    let mut leaf = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            let usable = |ip: &Ipv4Addr| !ip.is_loopback() && !ip.is_link_local();
            found.extend(leaf.filter(usable));
        }
    }
    found
}

/// Each line has an address of 32 digits, and in the fourth place its scope: 00 is everywhere.
fn six(table: &str) -> BTreeSet<Ipv6Addr> {
    let address = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [digits, _, _, "00", ..] = words.as_slice() else {
            return None;
        };
        u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from)
    };
    table.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
        |-- 127.0.0.1\n           /32 host LOCAL\n     |-- 192.168.1.0\n        /24 link UNICAST\n     \
        |-- 192.168.1.11\n           /32 host LOCAL\nLocal:\n     |-- 192.168.1.11\n           /32 host LOCAL\n     \
        |-- 169.254.3.4\n           /32 host LOCAL\n     |-- 192.168.1.255\n           /32 link BROADCAST\n";

    #[test]
    fn own_addresses_are_found_in_the_kernels_tables() {
        let found: Vec<_> = four(ROUTES).into_iter().collect();
        assert_eq!(found, [Ipv4Addr::new(192, 168, 1, 11)]);
        let text = "00000000000000000000000000000001 01 80 10 80       lo\n\
                    fe800000000000000042acfffe110002 02 40 20 80     eth0\n\
                    fd000000000000000000000000000007 02 40 00 80     eth0\n";
        let found: Vec<_> = six(text).into_iter().collect();
        assert_eq!(found, ["fd00::7".parse::<Ipv6Addr>().expect("an address")]);
    }

    #[test]
    fn a_link_has_the_smallest_network_of_its_address() {
        let table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                     eth0 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0\n\
                     eth0 0000A8C0 00000000 0001 0 0 0 0000FFFF 0 0 0\n\
                     eth0 0001A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
        let own = [Ipv4Addr::new(192, 168, 1, 11), Ipv4Addr::new(10, 9, 8, 7)];
        let found = links_of(&own.into(), &networks(table));
        let link = Link {
            address: own[0],
            prefix: 24,
        };
        assert_eq!(found, [link]);
    }

    #[test]
    fn one_address_is_taken_and_several_are_named() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let chosen = choose(&[ip("10.0.0.1"), ip("fd00::7")]).expect("one of IPv4");
        assert_eq!(chosen, ip("10.0.0.1"));
        assert_eq!(
            choose(&[ip("fd00::7")]).expect("the only one"),
            ip("fd00::7")
        );
        let said = choose(&[ip("10.0.0.1"), ip("10.1.0.1")])
            .expect_err("two")
            .to_string();
        assert!(said.contains("10.0.0.1, 10.1.0.1"), "{said}");
        let said = choose(&[]).expect_err("none").to_string();
        assert!(said.contains("127.0.0.1"), "{said}");
    }
}
