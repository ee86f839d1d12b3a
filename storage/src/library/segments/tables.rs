//! The tables of the segments: the migration to the schema that has them.

/// Rows of `fragments` with a segment have empty `data`; their bytes lie at `place` in the segment.
/// `length` is where a segment's named part ends. `freed` are places that no row names any longer
/// and whose room is still to be given back. What earlier versions kept in `data` stays there until
/// it is moved: the last index finds it, and is empty afterwards.
pub(in crate::library) const TABLES: &str = "
    ALTER TABLE fragments ADD COLUMN segment INTEGER;
    ALTER TABLE fragments ADD COLUMN place INTEGER;

    CREATE TABLE segments (
        number      INTEGER PRIMARY KEY,
        length      INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE freed (
        row         INTEGER PRIMARY KEY,
        segment     INTEGER NOT NULL,
        place       INTEGER NOT NULL,
        length      INTEGER NOT NULL
    ) STRICT;

    CREATE INDEX fragments_inside ON fragments (row)
        WHERE segment IS NULL AND length(data) > 1024;
";

const _: () = assert!(super::INSIDE_BYTES_MAX == 1024, "as the index has it");
