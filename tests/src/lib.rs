//! Placeholder page of the crate.
