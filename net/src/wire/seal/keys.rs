//! The keys of a cluster: the cluster key, and those for one purpose that are derived from it.
//!
//! A node holds the cluster key, so it can derive every other one, and knows by the hint in a preamble
//! which key a dialer has. A derived key names the public key of the cluster's nodes as well: its
//! holder lets only those be a node to it, and other holders of the same key are none.

use roles::contract::id::NodeId;
use roles::contract::rights::Right;
use snow::params::DHChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};

/// A key for one purpose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DerivedKey {
    /// The purpose.
    pub right: Right,
    /// The secret that its holders share with the nodes.
    pub secret: [u8; 32],
    /// The public key of the cluster's nodes.
    pub nodes: [u8; 32],
}

impl DerivedKey {
    /// The key for a purpose in the cluster with this key. `None` for a purpose that only the
    /// cluster key itself has.
    pub fn of(cluster_key: &[u8; 32], right: Right) -> Option<Self> {
        Some(DerivedKey {
            right,
            secret: blake3::derive_key(context(right)?, cluster_key),
            nodes: public_of(&private_of_nodes(cluster_key))?,
        })
    }
}

/// The secrets of a process.
#[derive(Clone)]
pub(super) enum Keys {
    /// Connections are not sealed.
    None,
    /// The process may speak as a node.
    Cluster(Box<Ring>),
    /// The process is a client.
    Derived(DerivedKey),
}

/// The cluster keys that count while one takes the place of another.
#[derive(Clone)]
pub(super) struct Ring {
    /// The one by which this process dials.
    first: ClusterKeys,
    /// Those that it accepts as well.
    others: Vec<ClusterKeys>,
}

/// All keys of a cluster.
#[derive(Clone)]
pub(super) struct ClusterKeys {
    key: [u8; 32],
    /// The private key of the cluster's nodes.
    nodes: [u8; 32],
    derived: [(Right, [u8; 32]); Right::DERIVED.len()],
    /// Makes node ids of clients.
    guests: [u8; 32],
}

/// What one end of a handshake knows.
#[derive(Clone, Copy)]
pub(super) struct Shared<'k> {
    /// What the dialer may ask for.
    pub(super) right: Right,
    pub(super) secret: &'k [u8; 32],
    pub(super) nodes: Nodes<'k>,
}

/// The key pair of the cluster's nodes, as far as a handshake uses it.
#[derive(Clone, Copy)]
pub(super) enum Nodes<'k> {
    /// Both ends have the cluster key, which proves enough.
    Unused,
    /// The listener is a node.
    Private(&'k [u8; 32]),
    /// The dialer makes sure of that.
    Public(&'k [u8; 32]),
}

impl Keys {
    pub(super) fn ring(first: [u8; 32], others: &[[u8; 32]]) -> Self {
        Keys::Cluster(Box::new(Ring {
            first: ClusterKeys::of(first),
            others: others.iter().copied().map(ClusterKeys::of).collect(),
        }))
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Keys::None)
    }

    /// What this process uses when it dials.
    pub(super) fn own(&self) -> Option<Shared<'_>> {
        match self {
            Keys::None => None,
            Keys::Cluster(ring) => Some(ring.first.whole()),
            Keys::Derived(key) => Some(Shared {
                right: key.right,
                secret: &key.secret,
                nodes: Nodes::Public(&key.nodes),
            }),
        }
    }

    /// What a dialer of this process may have. Nobody dials a client.
    pub(super) fn accepted(&self) -> Vec<Shared<'_>> {
        let Keys::Cluster(ring) = self else {
            return Vec::new();
        };
        let all = [&ring.first].into_iter().chain(&ring.others);
        all.flat_map(ClusterKeys::accepted).collect()
    }

    /// What every holder of a key of the cluster can tell, and nobody can make a key of: a hash of the
    /// public key of its nodes.
    pub(super) fn mark(&self) -> Option<[u8; 8]> {
        match self {
            Keys::None => None,
            Keys::Cluster(ring) => ring.first.mark(),
            Keys::Derived(key) => mark_of(&key.nodes),
        }
    }

    /// The same for the further keys that are accepted.
    pub(super) fn accepted_marks(&self) -> Vec<[u8; 8]> {
        match self {
            Keys::None | Keys::Derived(_) => Vec::new(),
            Keys::Cluster(ring) => ring.others.iter().filter_map(ClusterKeys::mark).collect(),
        }
    }

    /// The node id under which a client with a derived key is known here: never that of a node, nor
    /// one that the client can choose.
    pub(super) fn guest(&self, claimed: NodeId) -> NodeId {
        let Keys::Cluster(ring) = self else {
            return claimed;
        };
        let hash = blake3::keyed_hash(&ring.first.guests, &claimed.0.to_le_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.as_bytes()[..16]);
        NodeId(u128::from_le_bytes(id))
    }
}

impl ClusterKeys {
    fn mark(&self) -> Option<[u8; 8]> {
        mark_of(&public_of(&self.nodes)?)
    }

    fn of(key: [u8; 32]) -> Self {
        let derive = |right| {
            let context = context(right).unwrap_or_default();
            (right, blake3::derive_key(context, &key))
        };
        ClusterKeys {
            nodes: private_of_nodes(&key),
            derived: Right::DERIVED.map(derive),
            guests: blake3::derive_key("dispotify 2026-11 node ids of clients", &key),
            key,
        }
    }

    /// This key, and those that are derived from it.
    fn accepted(&self) -> impl Iterator<Item = Shared<'_>> {
        let derived = self.derived.iter().map(|(right, secret)| Shared {
            right: *right,
            secret,
            nodes: Nodes::Private(&self.nodes),
        });
        [self.whole()].into_iter().chain(derived)
    }

    fn whole(&self) -> Shared<'_> {
        Shared {
            right: Right::Node,
            secret: &self.key,
            nodes: Nodes::Unused,
        }
    }
}

impl Shared<'_> {
    /// A short hash that tells keys apart and reveals nothing else about them.
    pub(super) fn hint(&self) -> [u8; 4] {
        let hash = blake3::derive_key("dispotify 2026-11 hint of the cluster key", self.secret);
        let mut hint = [0; 4];
        hint.copy_from_slice(&hash[..4]);
        hint
    }
}

fn mark_of(nodes: &[u8; 32]) -> Option<[u8; 8]> {
    let hash = blake3::derive_key("dispotify 2026-11 mark of the cluster", nodes);
    hash.first_chunk().copied()
}

/// The contexts by which the keys are derived: another version of dispotify must not change them.
fn context(right: Right) -> Option<&'static str> {
    match right {
        Right::Listen => Some("dispotify 2026-11 key to listen"),
        Right::Upload => Some("dispotify 2026-11 key to upload"),
        Right::Admin => Some("dispotify 2026-11 key to administer"),
        Right::Node => None,
    }
}

fn private_of_nodes(cluster_key: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("dispotify 2026-11 private key of the nodes", cluster_key)
}

fn public_of(private: &[u8; 32]) -> Option<[u8; 32]> {
    let mut pair = DefaultResolver.resolve_dh(&DHChoice::Curve25519)?;
    pair.set(private);
    pair.pubkey().try_into().ok()
}
