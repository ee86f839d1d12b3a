//! What a data node orders to find and replace damage.

use crate::contract::job::FragmentId;
use crate::contract::node::Peer;

#[derive(Debug)]
pub(crate) enum Purpose {
    Step,
    Note,
    SetAside(FragmentId),
    List,
    /// Replaces a fragment with the bytes that this peer has given.
    Replace(FragmentId, Peer),
}
