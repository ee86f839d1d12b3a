//! What a client asks and orders.

use crate::contract::id::OperationId;
use crate::contract::record::Address;

/// The purpose of a question or a job: where its outcome goes.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// A router's answer for an operation.
    Router(OperationId),
    /// The records of a DNS node, for a user who asks to see them.
    Names(OperationId),
    Find(OperationId),
    Read(OperationId, ReadStep),
    Upload(OperationId, UploadStep),
    Remove(OperationId),
    /// Whether a song that was not found is in the trash.
    InTrash(OperationId),
    /// A data node keeps what a listener writes.
    Write(OperationId),
    RecallPeers,
    /// A job whose end no operation waits for.
    Note,
}

/// The purpose of a question or a job of a read.
#[derive(Clone, Debug)]
pub(crate) enum ReadStep {
    Recall(u32),
    Fetch(u32, Address),
    Check(u32, Address),
}

/// The purpose of a question or a job of an upload. The first number is the round, see
/// `Upload::round`.
#[derive(Clone, Debug)]
pub(crate) enum UploadStep {
    Scan,
    Read(u32),
    /// The offer or the commit.
    Ask(u32),
    Give(u32, u32),
}
