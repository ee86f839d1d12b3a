//! Addresses, roles and DNS records: the A record of the report, with the further fields that a
//! member of the cluster needs.

use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

use super::id::{Incarnation, NodeId};
use super::limits::RECORD_BYTES_MAX;

/// The address and port at which a node listens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub SocketAddr);

impl Encode for Address {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        match self.0.ip() {
            IpAddr::V4(ip) => (4u8, ip.octets()).encode(encoder)?,
            IpAddr::V6(ip) => (6u8, ip.octets()).encode(encoder)?,
        }
        self.0.port().encode(encoder)
    }
}

impl<C> Decode<C> for Address {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let ip: IpAddr = match u8::decode(decoder)? {
            4 => Ipv4Addr::from(<[u8; 4]>::decode(decoder)?).into(),
            6 => Ipv6Addr::from(<[u8; 16]>::decode(decoder)?).into(),
            _ => return Err(DecodeError::Other("an address is of version 4 or 6")),
        };
        Ok(Address(SocketAddr::new(ip, u16::decode(decoder)?)))
    }
}

bincode::impl_borrow_decode!(Address);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The role of a server. Clients have no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Role {
    /// Stores songs.
    Data,
    /// Knows the songs and their holders.
    Router,
    /// Knows the servers and their addresses.
    Dns,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Data, Role::Router, Role::Dns];

    /// The domain name of the group: the label of the report's A record.
    pub fn domain(self) -> &'static str {
        match self {
            Role::Data => "dispotify.data",
            Role::Router => "dispotify.router",
            Role::Dns => "dispotify.dns",
        }
    }

    /// The role's name in tables, JSON and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Role::Data => "data",
            Role::Router => "router",
            Role::Dns => "dns",
        }
    }

    /// The role that a domain name stands for: `dispotify.data`, with or without the final dot, in
    /// either case, or just `data`.
    pub fn from_domain(name: &str) -> Option<Self> {
        let name: String = name.trim_end_matches('.').to_ascii_lowercase();
        Role::ALL
            .into_iter()
            .find(|role| name == role.domain() || name == role.name())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Facts about a node's machine that a peer uses before the first connection to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Features(pub u32);

impl Features {
    /// The processor has AES instructions, so the AES cipher suite is the faster one.
    pub const AES: Features = Features(1);

    /// The disk has no room for songs. A data node sets this in the record of its announcements. A
    /// node that does not know the feature ignores it.
    pub const FULL: Features = Features(2);

    /// The library could not be read, and fills up again. A data node sets this in the record of its
    /// announcements. A node that does not know the feature ignores it.
    pub const MENDING: Features = Features(4);

    /// The node knows the trash. Servers set this in their records; a node that does not know the
    /// feature ignores it. Messages about the trash go only to servers that have set it.
    pub const TRASH: Features = Features(8);

    /// The server understands [`Browse`](super::browse::Browse) and the further tags of songs, if its
    /// role is to answer or to receive them. Neither is sent to a server without this feature.
    pub const ALBUMS: Features = Features(16);

    /// The router begins pages at a number ([`Browse::Songs`](super::browse::Browse::Songs)), and knows
    /// when songs were added. A router without this feature is asked and told neither.
    pub const LISTS: Features = Features(32);

    /// The data node understands [`Audio::FetchPart`](super::message::Audio::FetchPart), which is not
    /// sent to a node without this feature.
    pub const PARTS: Features = Features(64);

    /// The server answers [`Ring::Diagnose`](super::ring::Ring::Diagnose), in any role but that of the DNS. The question is not
    /// sent to a server without this feature.
    pub const DIAGNOSIS: Features = Features(128);

    /// The server knows the documents of listeners ([`super::document`]). Messages about them go only to
    /// servers that have set it.
    pub const DOCUMENTS: Features = Features(1 << 8);

    /// What servers of this version set in their records.
    pub const OF_SERVERS: Features = Features(
        Features::TRASH.0
            | Features::ALBUMS.0
            | Features::LISTS.0
            | Features::PARTS.0
            | Features::DIAGNOSIS.0
            | Features::DOCUMENTS.0,
    );

    /// These features, with `changed` set or cleared.
    pub fn with(self, changed: Features, set: bool) -> Features {
        if set {
            Features(self.0 | changed.0)
        } else {
            Features(self.0 & !changed.0)
        }
    }

    /// Whether all features of `wanted` are set.
    pub fn has(self, wanted: Features) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

/// A server's statement about itself. The report's fields are the label (the domain of the role),
/// the type (A), the class (IN), the TTL, and the data (address and port).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// The server's role, whose holders form one group.
    pub role: Role,
    /// The server's id.
    pub node: NodeId,
    /// The number of its current start.
    pub incarnation: Incarnation,
    /// How often the server has renewed within this start. Of two records, the later one wins.
    pub renewals: u64,
    /// The address at which it listens.
    pub address: Address,
    /// Facts about its machine.
    pub features: Features,
    /// Its share of the hash ring, in units of 256 points; 0 outside the data role.
    pub weight: u16,
    /// How long the record may still be served, in milliseconds.
    pub ttl_ms: u32,
}

const _: () = assert!(core::mem::size_of::<Record>() <= RECORD_BYTES_MAX);

impl Record {
    /// How long the record may still be served.
    pub fn ttl(&self) -> Duration {
        Duration::from_millis(u64::from(self.ttl_ms))
    }

    /// Whether this record replaces `other` of the same node: it is from a later start, or a later
    /// renewal.
    pub fn supersedes(&self, other: &Record) -> bool {
        (self.incarnation, self.renewals) > (other.incarnation, other.renewals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_read_as_people_write_them() {
        assert_eq!(Role::from_domain("dispotify.data"), Some(Role::Data));
        assert_eq!(Role::from_domain("Dispotify.Router."), Some(Role::Router));
        assert_eq!(Role::from_domain("dns"), Some(Role::Dns));
        assert_eq!(Role::from_domain("distpotify.data"), None);
    }

    #[test]
    fn an_address_survives_the_wire() {
        let config = bincode::config::standard();
        for text in ["127.0.0.1:7700", "[::1]:80"] {
            let address = Address(text.parse().expect("an address"));
            let mut buffer = [0; 32];
            let n = bincode::encode_into_slice(address, &mut buffer, config).expect("room");
            let (back, _): (Address, _) =
                bincode::decode_from_slice(&buffer[..n], config).expect("what was encoded");
            assert_eq!(back, address);
        }
        assert!(bincode::decode_from_slice::<Address, _>(&[5, 0, 0, 0, 0, 0], config).is_err());
    }
}
