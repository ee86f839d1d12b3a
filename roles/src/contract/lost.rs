//! Why a connection with a peer ended, or never came to be.

use core::fmt;

/// Why a peer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No process listens at the peer's address.
    ConnectRefused,
    /// The peer's address does not answer, or cannot be reached.
    ConnectTimeout,
    /// The peer closed the connection during the handshake, before it had proven that it has the same
    /// key: it has another one, or another cluster name, or was stopped at that moment.
    HandshakeRefused,
    /// The peer speaks another version of the protocol.
    Version,
    /// The peer knows a later start of this node.
    Outdated,
    /// The peer closed the connection.
    Closed,
    /// The connection broke.
    Reset,
    /// The peer has stayed silent although it was asked for a sign of life.
    Silent,
    /// The peer has not acknowledged an answer in time.
    Unacknowledged,
    /// The peer broke the protocol.
    Misbehaved,
    /// The peer, or this node, has no room for another connection.
    Full,
    /// A recent dial has failed, and the backoff is not over. The peer is not dialled before then.
    Backoff,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lost::ConnectRefused => "nobody listens there",
            Lost::ConnectTimeout => "the address does not answer",
            Lost::HandshakeRefused => {
                "it closed during the handshake: another key or cluster name, or it was stopped"
            }
            Lost::Version => "it speaks another version of the protocol",
            Lost::Outdated => "it knows a newer start of this node",
            Lost::Closed => "it closed the connection",
            Lost::Reset => "the connection broke",
            Lost::Silent => "it went silent",
            Lost::Unacknowledged => "it did not acknowledge an answer",
            Lost::Misbehaved => "it broke the protocol",
            Lost::Full => "too many connections are open",
            Lost::Backoff => "it could not be reached a moment ago",
        })
    }
}
