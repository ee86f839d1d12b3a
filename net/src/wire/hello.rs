//! The first and the last frame of a connection: who the peer is, and why it leaves.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use roles::contract::id::{Incarnation, NodeId};
use roles::contract::node::{Identity, Lost};
use roles::contract::record::{Address, Features};

use super::frame::PROTOCOL_VERSION;

/// The identity of the other end, sealed under the cluster key when the cluster has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Node id, incarnation, address and features.
    pub identity: Identity,
    /// The oldest protocol version that the sender speaks.
    pub version_min: u8,
    /// The latest protocol version that the sender speaks.
    pub version_max: u8,
}

/// Why the sender of a goodbye leaves the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The sender stops, or needs this peer no longer.
    Closing = 0,
    /// Another connection between the two nodes takes over. Open questions are still answered.
    Replaced = 1,
    /// The receiver is an earlier incarnation of a node that has restarted.
    Outdated = 2,
    /// The sender has no room for another connection.
    Full = 3,
    /// The receiver has the sender's own node id: a node has dialled itself.
    Oneself = 4,
}

type Wire = (u8, u8, NodeId, Incarnation, Option<Address>, Features);

impl Hello {
    /// The hello of a node of this build.
    pub fn of(identity: Identity) -> Self {
        Hello {
            identity,
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
        }
    }

    /// Whether the sender also speaks the protocol version of this build.
    pub fn is_understood(&self) -> bool {
        (self.version_min..=self.version_max).contains(&PROTOCOL_VERSION)
    }

    /// Encodes the hello into the front of `out`; returns the number of bytes written.
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

    /// Decodes a hello. Bytes after it are ignored, so that a later version can add fields.
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

    /// The reason of loss that the receiver of this goodbye reports.
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
