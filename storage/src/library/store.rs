//! A library within one transaction: its tables, and the segments beside them.

use std::ops::Deref;

use rusqlite::Connection;

use super::segments::Segments;

/// What work on sound needs. Work on tables alone takes it as the connection that it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Store<'a> {
    pub(super) db: &'a Connection,
    pub(super) segments: &'a Segments,
}

impl Deref for Store<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.db
    }
}
