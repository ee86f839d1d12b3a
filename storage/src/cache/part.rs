//! The file of a fragment: its bytes, and behind them the chaining values of its groups.
//!
//! The values are believed only as far as they prove the hash of the fragment. A file without them,
//! from an earlier version, is read and checked as a whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use roles::contract::id::ContentHash;
use roles::contract::limits::FRAGMENT_BYTES_MAX;

use crate::client::Groups;
use crate::groups::{self, GROUP_BYTES};
use crate::private;

/// The bytes `from..to` of a fragment of `length` bytes with this hash; none if the file is another.
pub(super) fn read(
    file: &File,
    (from, to): (u32, u32),
    length: usize,
    hash: &ContentHash,
) -> Option<Vec<u8>> {
    let (from, to) = (from as usize, (to as usize).min(length));
    if from > to || length > FRAGMENT_BYTES_MAX {
        return None;
    }
    let there = file.metadata().ok()?.len();
    let values = groups::values_bytes(length);
    let begin = from / GROUP_BYTES * GROUP_BYTES;
    let end = to.next_multiple_of(GROUP_BYTES).min(length);
    let partly = end - begin < length;
    let mut bytes = if partly && values > 0 && there == (length + values) as u64 {
        read_groups(file, (begin, end), (length, values), hash)?
    } else {
        let is_whole = there == length as u64 || there == (length + values) as u64;
        let whole = is_whole.then(|| read_at(file, 0, length)).flatten()?;
        let right = blake3::hash(&whole) == hash.0;
        return right.then(|| cut(whole, from, to));
    };
    bytes = cut(bytes, from - begin, to - begin);
    Some(bytes)
}

/// The bytes `from..to` of a fragment of which some groups are in this file; none if one of theirs is
/// not.
pub(super) fn read_of_part(
    file: &File,
    part: (u32, u32),
    length: u32,
    hash: &ContentHash,
) -> Option<Vec<u8>> {
    let (begin, end) =
        groups::around(part, length).filter(|_| length <= FRAGMENT_BYTES_MAX as u32)?;
    let whole = (length as usize, groups::values_bytes(length as usize));
    let bytes = read_groups(file, (begin as usize, end as usize), whole, hash)?;
    Some(cut(
        bytes,
        (part.0 - begin) as usize,
        (part.1 - begin) as usize,
    ))
}

/// Writes groups to the file of a fragment of which not all have come, and makes the file if it is not
/// there. Returns whether all are there now.
pub(super) fn add(path: &Path, begin: u32, groups: &Groups) -> io::Result<bool> {
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let file = private::open(path, options)?;
    let length = groups.length as usize;
    let all = (length + groups.values.len()) as u64;
    file.set_len(all)?;
    file.write_all_at(&groups.values, length as u64)?;
    file.write_all_at(&groups.bytes, u64::from(begin))?;
    // A file with holes takes fewer blocks: it is not looked through.
    let (blocks, least) = (file.metadata()?.blocks(), all / BLOCK_BYTES);
    let bytes = (blocks >= least)
        .then(|| read_at(&file, 0, length))
        .flatten();
    Ok(bytes.is_some_and(|bytes| groups::match_values(&groups.values, 0, &bytes)))
}

/// Bytes of the blocks that file systems count in.
const BLOCK_BYTES: u64 = 512;

fn read_groups(
    file: &File,
    (begin, end): (usize, usize),
    (length, values): (usize, usize),
    hash: &ContentHash,
) -> Option<Vec<u8>> {
    let values = read_at(file, length, values)?;
    let bytes = read_at(file, begin, end - begin)?;
    let first = begin / GROUP_BYTES;
    let right = groups::are_of(&values, hash) && groups::match_values(&values, first, &bytes);
    right.then_some(bytes)
}

fn read_at(file: &File, at: usize, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at as u64).ok()?;
    Some(bytes)
}

fn cut(mut bytes: Vec<u8>, from: usize, to: usize) -> Vec<u8> {
    bytes.truncate(to);
    bytes.drain(..from);
    bytes
}
