//! The first bytes of a dialer, as the listener judges them.
//!
//! A stranger learns nothing from the way in which it is turned away. An opening is read whole
//! before it is judged, and its length follows from its own bytes alone. The judgement compares
//! every byte and checks the tag in any case, so it takes the same time whichever byte is wrong.

use super::{
    CLUSTER_NAME_BYTES_MAX, HANDSHAKE_BYTES, NAME_LENGTH_AT, PREAMBLE_HEAD_BYTES, SUITE_AT,
    Security, Session, Shared, Suite, Unwelcome, noise, refused, write_handshake,
};

/// The responder's half of the handshake. `bytes` holds everything received so far. Returns `None`
/// while more bytes are needed, then the number of bytes used and the session; the reply to send
/// is appended to `reply`.
pub(crate) fn answer(
    security: &Security,
    bytes: &[u8],
    reply: &mut Vec<u8>,
) -> Result<Option<(usize, Session)>, Unwelcome> {
    let Some((preamble, message)) = split(bytes) else {
        return Ok(None);
    };
    let shared = key_of(security, preamble);
    let session = session(security, (preamble, message), shared, reply)?;
    Ok(Some((preamble.len() + message.len(), session)))
}

/// The preamble and the handshake message, once both are complete. A length that no cluster name
/// can have counts as the longest.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let name_bytes = usize::from(*bytes.get(NAME_LENGTH_AT)?).min(CLUSTER_NAME_BYTES_MAX);
    let message_bytes = match bytes[SUITE_AT] {
        PLAIN => 0,
        _ => HANDSHAKE_BYTES,
    };
    let (preamble, rest) = bytes.split_at_checked(PREAMBLE_HEAD_BYTES + name_bytes)?;
    Some((preamble, rest.get(..message_bytes)?))
}

/// The key of a peer of this cluster with this preamble; the suite is the dialer's choice, and the
/// hint names one of several keys. The comparison of two hashes takes constant time, and says nothing
/// about the bytes before them. `Some(None)`: the peer has no key and needs none.
fn key_of<'s>(security: &'s Security, preamble: &[u8]) -> Option<Option<Shared<'s>>> {
    let suite = Suite::from_wire(preamble[SUITE_AT]).filter(|suite| security.accepts(*suite));
    let theirs = blake3::hash(preamble);
    let mut found = None;
    let keys = security.keys.accepted().into_iter().map(Some);
    let unkeyed = security.keys.is_none().then_some(None);
    for shared in keys.chain(unkeyed) {
        let own = security.preamble(suite.unwrap_or(STAND_IN), shared.as_ref());
        if blake3::hash(&own) == theirs {
            found = Some(shared);
        }
    }
    found.filter(|_| suite.is_some())
}

/// The session of a dialer whose handshake message was made under the key that its preamble names,
/// and for the first time. The message of a preamble that names none is checked under the cluster
/// key, so that the refusal takes as long.
fn session(
    security: &Security,
    (preamble, message): (&[u8], &[u8]),
    known: Option<Option<Shared<'_>>>,
    reply: &mut Vec<u8>,
) -> Result<Session, Unwelcome> {
    let keyed = Suite::from_wire(preamble[SUITE_AT]).filter(|suite| *suite != Suite::Plain);
    let shared = known.flatten().or_else(|| security.keys.own());
    let Some(builder) = noise(shared, keyed.unwrap_or(STAND_IN), preamble)? else {
        return match known {
            Some(_) => Ok(Session::plain()),
            None => Err(Unwelcome::Preamble),
        };
    };
    let mut handshake = builder.build_responder().map_err(refused)?;
    let authentic = handshake.read_message(message, &mut []);
    let Some(Some(shared)) = known else {
        return Err(Unwelcome::Preamble);
    };
    authentic.map_err(refused)?;
    if !security.is_first(message) {
        return Err(Unwelcome::Replayed);
    }
    write_handshake(&mut handshake, reply)?;
    Session::sealed(handshake, shared.right)
}

/// The byte that names the suite without a handshake.
const PLAIN: u8 = Suite::Plain as u8;

/// The suite under which an opening is checked that names none of those allowed. It is refused all
/// the same, but takes as long as another.
const STAND_IN: Suite = Suite::ChaCha;
