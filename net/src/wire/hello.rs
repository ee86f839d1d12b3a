//! The first and the last frame: who speaks, and why it ends.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use roles::contract::id::{Incarnation, NodeId};
use roles::contract::node::{Identity, Lost};
use roles::contract::record::{Address, Features};

use super::frame::PROTOCOL_VERSION;

/// Who is at the other end, as told under the cluster key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Node, start, address, features.
    pub identity: Identity,
    /// The oldest protocol it speaks.
    pub version_min: u8,
    /// The latest.
    pub version_max: u8,
}

/// Why one end takes its leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It ends, or has no more to do with the other.
    Closing = 0,
    /// Another connection between the two takes over; questions on their way are still answered.
    Replaced = 1,
    /// The other is an old start of a node that has started again since.
    Outdated = 2,
    /// It has no room for another connection.
    Full = 3,
    /// The other is itself.
    Oneself = 4,
}

type Wire = (u8, u8, NodeId, Incarnation, Option<Address>, Features);

impl Hello {
    /// What a node of this build says.
    pub fn of(identity: Identity) -> Self {
        Hello {
            identity,
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
        }
    }

    /// Whether both ends share the version that frames of this build have.
    pub fn is_understood(&self) -> bool {
        (self.version_min..=self.version_max).contains(&PROTOCOL_VERSION)
    }

    /// Appends the hello to `out`.
    pub(crate) fn write(&self, out: &mut [u8]) -> usize {
        let Identity {
            node,
            incarnation,
            address,
            features,
        } = self.identity;
        let wire: Wire = (
            self.version_min,
            self.version_max,
            node,
            incarnation,
            address,
            features,
        );
        bincode::encode_into_slice(wire, out, CONFIG).expect("a hello is far shorter than a frame")
    }

    /// Reads a hello; bytes behind it are left to later versions.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let (wire, _): (Wire, usize) = bincode::decode_from_slice(body, CONFIG).ok()?;
        let (version_min, version_max, node, incarnation, address, features) = wire;
        Some(Hello {
            identity: Identity {
                node,
                incarnation,
                address,
                features,
            },
            version_min,
            version_max,
        })
    }
}

impl Farewell {
    pub(crate) fn from_wire(body: &[u8]) -> Option<Self> {
        Some(match body {
            [0] => Farewell::Closing,
            [1] => Farewell::Replaced,
            [2] => Farewell::Outdated,
            [3] => Farewell::Full,
            [4] => Farewell::Oneself,
            _ => return None,
        })
    }

    /// What the one who hears it makes of it.
    pub(crate) fn as_lost(self) -> Lost {
        match self {
            Farewell::Closing | Farewell::Replaced => Lost::Closed,
            Farewell::Outdated => Lost::Outdated,
            Farewell::Full => Lost::Full,
            Farewell::Oneself => Lost::Misbehaved,
        }
    }
}

const CONFIG: Configuration<LittleEndian, Varint, Limit<1024>> =
    bincode::config::standard().with_limit::<1024>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_comes_back_as_it_was() {
        let hello = Hello::of(Identity {
            node: NodeId(u128::MAX),
            incarnation: Incarnation(3),
            address: Some(Address(([127, 0, 0, 1], 7700).into())),
            features: Features::AES,
        });
        let mut body = [0; 256];
        let n = hello.write(&mut body);
        assert_eq!(Hello::read(&body[..n]), Some(hello));
        assert_eq!(Hello::read(&body[..n - 1]), None);
        assert!(hello.is_understood());
    }
}
