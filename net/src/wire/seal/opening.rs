//! The first bytes of a dialer, as the listener judges them.
//!
//! A stranger learns nothing from the way in which it is turned away. An opening is read whole
//! before it is judged, and its length follows from its own bytes alone. The judgement compares
//! every byte and checks the tag in any case, so it takes the same time whichever byte is wrong.

use super::{
    CLUSTER_NAME_BYTES_MAX, HANDSHAKE_BYTES, NAME_LENGTH_AT, PREAMBLE_HEAD_BYTES, SUITE_AT,
    Security, Session, Suite, Unwelcome, noise, refused, write_handshake,
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
    let known = is_own(security, preamble);
    let session = session(security, preamble, message, known, reply)?;
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

/// Whether the preamble is that of a peer of this cluster; the suite is the dialer's choice. The
/// comparison of two hashes takes constant time, and says nothing about the bytes before them.
fn is_own(security: &Security, preamble: &[u8]) -> bool {
    let suite = Suite::from_wire(preamble[SUITE_AT]).filter(|suite| security.accepts(*suite));
    let own = security.preamble(suite.unwrap_or(STAND_IN));
    let same = blake3::hash(preamble) == blake3::hash(&own);
    same & suite.is_some()
}

/// The session of a dialer whose preamble is `known` and whose handshake message was made under the
/// cluster key, and for the first time.
fn session(
    security: &Security,
    preamble: &[u8],
    message: &[u8],
    known: bool,
    reply: &mut Vec<u8>,
) -> Result<Session, Unwelcome> {
    let keyed = Suite::from_wire(preamble[SUITE_AT]).filter(|suite| *suite != Suite::Plain);
    let Some(builder) = noise(security, keyed.unwrap_or(STAND_IN), preamble)? else {
        return match known {
            true => Ok(Session::plain()),
            false => Err(Unwelcome::Preamble),
        };
    };
    let mut handshake = builder.build_responder().map_err(refused)?;
    let authentic = handshake.read_message(message, &mut []);
    if !known {
        return Err(Unwelcome::Preamble);
    }
    authentic.map_err(refused)?;
    if !security.is_first(message) {
        return Err(Unwelcome::Replayed);
    }
    write_handshake(&mut handshake, reply)?;
    Session::sealed(handshake)
}

/// The byte that names the suite without a handshake.
const PLAIN: u8 = Suite::Plain as u8;

/// The suite under which an opening is checked that names none of those allowed. It is refused all
/// the same, but takes as long as another.
const STAND_IN: Suite = Suite::ChaCha;
