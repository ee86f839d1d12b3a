//! Admission and encryption: preamble, handshake under the cluster key, sealed records.
//!
//! The dialer opens with a preamble in plain text and the first handshake message (Noise NNpsk0).
//! A peer that does not hold the key gets no byte in return; `opening` is the listener's judgement.
//! A dialer with a key for one purpose makes sure that the listener is a node (Noise NKpsk0), because
//! others have the same key. The handshake covers the preamble as its prologue, so an attacker in between cannot change the
//! suite or the cluster name unnoticed.

mod keys;
mod opening;
mod replays;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use snow::{Builder, HandshakeState, TransportState};

use super::frame::{FRAME_BYTES_MAX, PROTOCOL_VERSION};
use super::record::{LENGTH_BYTES, RECORD_BYTES_MAX, TAG_BYTES};
use roles::contract::id::NodeId;
use roles::contract::record::Features;
use roles::contract::rights::Right;

pub use keys::DerivedKey;
use keys::{Keys, Nodes, Shared};
pub(crate) use opening::answer;
use replays::Openings;

/// Length of either handshake message: an ephemeral key and a tag.
pub(crate) const HANDSHAKE_BYTES: usize = 48;

/// Longest cluster name, in bytes.
pub const CLUSTER_NAME_BYTES_MAX: usize = 32;

/// The preamble before the cluster name: magic, version, suite, key hint, length of the name.
const PREAMBLE_HEAD_BYTES: usize = 11;

/// Where the preamble names the suite.
const SUITE_AT: usize = 5;

/// Where the preamble names the length of the cluster name.
const NAME_LENGTH_AT: usize = 10;

/// Longest preamble.
const PREAMBLE_BYTES_MAX: usize = PREAMBLE_HEAD_BYTES + CLUSTER_NAME_BYTES_MAX;

const MAGIC: [u8; 4] = *b"dspf";

/// Records sealed under one key before both sides derive the next key: at most 16 GiB, far below
/// the safe limit of AES-GCM.
const RECORDS_PER_KEY: u64 = 1 << 20;

/// The key, if any, and the cluster name that all connections of a process use.
#[derive(Clone)]
pub struct Security {
    keys: Keys,
    cluster: String,
    /// Shared by all clones: an opening is accepted once in a process.
    openings: Arc<Mutex<Openings>>,
}

/// A cluster name above [`CLUSTER_NAME_BYTES_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterNameTooLong;

/// How records are sealed. The dialer chooses the suite and names it in the preamble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// No sealing: only between nodes that are configured to run without a key.
    Plain = 0,
    /// ChaCha20-Poly1305: fast on every processor.
    ChaCha = 1,
    /// AES-256-GCM: faster where both processors have instructions for it.
    Aes = 2,
}

/// Why a handshake is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unwelcome {
    /// Another protocol, another version, another key or another cluster.
    Preamble,
    /// A handshake message that was not made under the cluster key.
    Handshake,
    /// A handshake message that was accepted before.
    Replayed,
}

/// A record that was altered, replayed, cut, or sealed under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAuthentic;

impl Security {
    /// Seals connections under `key` and admits only peers of `cluster`.
    pub fn keyed(key: [u8; 32], cluster: &str) -> Result<Self, ClusterNameTooLong> {
        Security::keyed_by_ring(key, &[], cluster)
    }

    /// The same while one key takes the place of another: dials under `first`, and admits peers with
    /// `others`, or with a key derived from them, as well. Each further key costs a few hashes for
    /// every connection that comes.
    pub fn keyed_by_ring(
        first: [u8; 32],
        others: &[[u8; 32]],
        cluster: &str,
    ) -> Result<Self, ClusterNameTooLong> {
        Security::checked(Keys::ring(first, others), cluster)
    }

    /// Seals connections under a key for one purpose: for clients of `cluster`.
    pub fn derived(key: DerivedKey, cluster: &str) -> Result<Self, ClusterNameTooLong> {
        Security::checked(Keys::Derived(key), cluster)
    }

    /// Leaves connections unsealed, so anybody may connect: for benchmarks, on explicit demand.
    pub fn insecure(cluster: &str) -> Result<Self, ClusterNameTooLong> {
        Security::checked(Keys::None, cluster)
    }

    fn checked(keys: Keys, cluster: &str) -> Result<Self, ClusterNameTooLong> {
        if cluster.len() > CLUSTER_NAME_BYTES_MAX {
            return Err(ClusterNameTooLong);
        }
        Ok(Security {
            keys,
            cluster: cluster.to_owned(),
            openings: Arc::default(),
        })
    }

    /// The name of the cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Tells clusters apart whose names are the same, and says nothing about their keys. `None` without
    /// a key.
    pub fn mark(&self) -> Option<[u8; 8]> {
        self.keys.mark()
    }

    /// The marks of further keys that are accepted while the cluster's key is changed.
    pub fn accepted_marks(&self) -> Vec<[u8; 8]> {
        self.keys.accepted_marks()
    }

    /// The suite for a connection between machines with these features; unknown features count as
    /// none. AES needs hardware support on both sides.
    pub fn suite(&self, own: Features, theirs: Option<Features>) -> Suite {
        if self.keys.is_none() {
            return Suite::Plain;
        }
        let aes = own.has(Features::AES) && theirs.is_some_and(|f| f.has(Features::AES));
        if aes { Suite::Aes } else { Suite::ChaCha }
    }

    /// Whether a dialer may choose `suite`.
    fn accepts(&self, suite: Suite) -> bool {
        (suite == Suite::Plain) == self.keys.is_none()
    }

    /// Remembers an authentic handshake message; false if it was accepted before.
    fn is_first(&self, message: &[u8]) -> bool {
        let openings = self.openings.lock();
        let mut openings = openings.unwrap_or_else(PoisonError::into_inner);
        openings.is_first(message)
    }

    /// The node id under which a client with a derived key is known.
    pub(crate) fn guest(&self, claimed: NodeId) -> NodeId {
        self.keys.guest(claimed)
    }

    fn preamble(&self, suite: Suite, shared: Option<&Shared<'_>>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PREAMBLE_BYTES_MAX);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[PROTOCOL_VERSION, suite as u8]);
        bytes.extend_from_slice(&shared.map(Shared::hint).unwrap_or_default());
        bytes.push(self.cluster.len() as u8);
        bytes.extend_from_slice(self.cluster.as_bytes());
        bytes
    }
}

impl Suite {
    fn from_wire(suite: u8) -> Option<Self> {
        Some(match suite {
            0 => Suite::Plain,
            1 => Suite::ChaCha,
            2 => Suite::Aes,
            _ => return None,
        })
    }

    /// The name of the Noise protocol; `None` for the unsealed suite.
    fn pattern(self, nodes: Nodes<'_>) -> Option<&'static str> {
        match (self, nodes) {
            (Suite::Plain, _) => None,
            (Suite::ChaCha, Nodes::Unused) => Some("Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s"),
            (Suite::Aes, Nodes::Unused) => Some("Noise_NNpsk0_25519_AESGCM_BLAKE2s"),
            (Suite::ChaCha, _) => Some("Noise_NKpsk0_25519_ChaChaPoly_BLAKE2s"),
            (Suite::Aes, _) => Some("Noise_NKpsk0_25519_AESGCM_BLAKE2s"),
        }
    }
}

/// The features of this machine's processor, as hello and address record announce them.
pub fn own_features() -> Features {
    if has_aes() {
        Features::AES
    } else {
        Features::default()
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn has_aes() -> bool {
    // GCM also needs the carry-less multiplication.
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

/// The dialer's half of a handshake, waiting for the answer.
pub(crate) struct Call(Box<HandshakeState>);

/// Begins a connection as the dialer and appends its first bytes to `first`. Without a key there
/// is no handshake: the session is ready at once.
pub(crate) fn call(
    security: &Security,
    suite: Suite,
    first: &mut Vec<u8>,
) -> Result<Opening, Unwelcome> {
    let own = security.keys.own();
    let preamble = security.preamble(suite, own.as_ref());
    first.extend_from_slice(&preamble);
    let Some(builder) = noise(own, suite, &preamble)? else {
        return Ok(Opening::Done(Session::plain()));
    };
    let mut handshake = builder.build_initiator().map_err(refused)?;
    write_handshake(&mut handshake, first)?;
    Ok(Opening::Waiting(Call(Box::new(handshake))))
}

/// The state of a dialer's handshake after its first message.
pub(crate) enum Opening {
    /// No reply is needed: the session is ready.
    Done(Session),
    /// The responder's handshake message is awaited.
    Waiting(Call),
}

impl Call {
    /// Completes the handshake with the responder's message of [`HANDSHAKE_BYTES`] bytes.
    pub(crate) fn answered(mut self, message: &[u8]) -> Result<Session, Unwelcome> {
        self.0.read_message(message, &mut []).map_err(refused)?;
        // Only a node has the key that completes this, whatever the key of the dialer is.
        Session::sealed(*self.0, Right::Node)
    }
}

fn noise<'a>(
    shared: Option<Shared<'a>>,
    suite: Suite,
    prologue: &'a [u8],
) -> Result<Option<Builder<'a>>, Unwelcome> {
    let Some(shared) = shared else {
        return Ok(None);
    };
    let Some(pattern) = suite.pattern(shared.nodes) else {
        return Ok(None);
    };
    let params = pattern.parse().map_err(refused)?;
    let builder = Builder::new(params)
        .psk(0, shared.secret)
        .map_err(refused)?;
    let builder = match shared.nodes {
        Nodes::Unused => Ok(builder),
        Nodes::Private(key) => builder.local_private_key(key),
        Nodes::Public(key) => builder.remote_public_key(key),
    };
    let builder = builder.and_then(|builder| builder.prologue(prologue));
    builder.map(Some).map_err(refused)
}

fn write_handshake(handshake: &mut HandshakeState, out: &mut Vec<u8>) -> Result<(), Unwelcome> {
    let mut message = [0; HANDSHAKE_BYTES];
    let n = handshake
        .write_message(&[], &mut message)
        .map_err(refused)?;
    out.extend_from_slice(&message[..n]);
    Ok(())
}

fn refused(_: snow::Error) -> Unwelcome {
    Unwelcome::Handshake
}

/// Seals frames into records and opens records into frames.
pub(crate) struct Session {
    cipher: Option<Box<TransportState>>,
    /// What the peer may ask for.
    right: Right,
    sealed: u64,
    opened: u64,
    records_per_key: u64,
}

impl Session {
    fn plain() -> Self {
        Session {
            cipher: None,
            right: Right::Node,
            sealed: 0,
            opened: 0,
            records_per_key: RECORDS_PER_KEY,
        }
    }

    fn sealed(handshake: HandshakeState, right: Right) -> Result<Self, Unwelcome> {
        let cipher = handshake.into_transport_mode().map_err(refused)?;
        Ok(Session {
            cipher: Some(Box::new(cipher)),
            right,
            ..Session::plain()
        })
    }

    /// What the peer may ask for, by the key that it has.
    pub(crate) fn right(&self) -> Right {
        self.right
    }

    /// Whether the peer has proven that it holds the key.
    pub(crate) fn is_sealed(&self) -> bool {
        self.cipher.is_some()
    }

    /// Seals `frame` and appends it to `out` as a record with its length in front.
    pub(crate) fn seal(&mut self, frame: &[u8], out: &mut Vec<u8>) {
        let tag = if self.cipher.is_some() { TAG_BYTES } else { 0 };
        let record = frame.len() + tag;
        out.extend_from_slice(&(record as u16).to_le_bytes());
        let Some(cipher) = &mut self.cipher else {
            return out.extend_from_slice(frame);
        };
        let from = out.len();
        out.resize(from + record, 0);
        cipher.write_message(frame, &mut out[from..]).expect(
            "a frame fits a noise message, and a key is changed long before its nonces end",
        );
        self.sealed += 1;
        if self.sealed.is_multiple_of(self.records_per_key) {
            cipher.rekey_outgoing();
        }
    }

    /// The frame inside `record`; `room` of [`RECORD_BYTES_MAX`] bytes receives a decrypted frame.
    pub(crate) fn open<'a>(
        &mut self,
        record: &'a [u8],
        room: &'a mut [u8],
    ) -> Result<&'a [u8], NotAuthentic> {
        let Some(cipher) = &mut self.cipher else {
            return Ok(record);
        };
        let n = cipher
            .read_message(record, room)
            .map_err(|_| NotAuthentic)?;
        self.opened += 1;
        if self.opened.is_multiple_of(self.records_per_key) {
            cipher.rekey_incoming();
        }
        Ok(&room[..n])
    }
}

/// Work buffers shared by all links of a thread. Their contents do not outlive a call.
#[derive(Debug)]
pub struct Scratch {
    /// A frame before it is sealed.
    pub(crate) frame: Box<[u8]>,
    /// A record after it is opened.
    pub(crate) opened: Box<[u8]>,
    /// A record that arrives in pieces.
    pub(crate) record: Vec<u8>,
}

impl Scratch {
    /// Allocates about 50 kB.
    pub fn new() -> Self {
        Scratch {
            frame: vec![0; FRAME_BYTES_MAX].into(),
            opened: vec![0; RECORD_BYTES_MAX].into(),
            record: Vec::with_capacity(LENGTH_BYTES + RECORD_BYTES_MAX),
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match &self.keys {
            Keys::None => "insecure",
            Keys::Cluster(_) => "keyed",
            Keys::Derived(key) => key.right.name(),
        };
        write!(f, "Security({how}, {:?})", self.cluster)
    }
}

impl fmt::Display for ClusterNameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a cluster name has at most {CLUSTER_NAME_BYTES_MAX} bytes"
        )
    }
}

impl std::error::Error for ClusterNameTooLong {}

#[cfg(test)]
mod tests;
