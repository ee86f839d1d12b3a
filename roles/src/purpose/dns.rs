//! What a DNS node asks for.

use crate::contract::id::NodeId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Confirm(NodeId),
    Share,
}
