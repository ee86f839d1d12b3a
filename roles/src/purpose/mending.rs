//! What a data node orders to look at the tables of its library, and to put them right.

#[derive(Debug)]
pub(crate) enum Purpose {
    Inspect,
    /// The songs and totals that are being put right.
    Mend,
    /// Songs without a seal are sealed by what others say of them.
    Seal,
    /// A withdrawn song is taken into the list again; so many were withdrawn before.
    Restore(u64),
    Rebuild,
    Salvage,
}
