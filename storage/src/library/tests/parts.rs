//! Parts of fragments: what is read of them, and what is believed.

use super::*;
use crate::groups;

fn read_part(library: &mut LibraryWorker, fragment: FragmentId, part: (u32, u32)) -> JobReply {
    library.run(LibraryJob::ReadPart { fragment, part })
}

/// The reply for the groups of a fragment in which this part lies.
fn groups_of(index: u32, bytes: &[u8], part: (u32, u32)) -> JobReply {
    let (begin, end) = groups::around(part, bytes.len() as u32).expect("a part of it");
    JobReply::Part {
        index,
        values: groups::values(bytes),
        bytes: bytes[begin as usize..end as usize].to_vec(),
    }
}

/// Lengths of fragments: in the tables, a single group, and several.
const LENGTHS: [usize; 4] = [800, 60_000, 65_537, 300_000];

fn assert_parts_are_right(library: &mut LibraryWorker, song: SongId, pieces: &[Vec<u8>]) {
    for (index, bytes) in (0..).zip(pieces) {
        let length = bytes.len() as u32;
        for part in [
            (0, 1),
            (0, length),
            (length / 2, length / 2 + 1),
            (length - 1, length),
        ] {
            let got = read_part(library, FragmentId { song, index }, part);
            assert!(
                got == groups_of(index, bytes, part),
                "{index} {part:?}: {got:?}"
            );
        }
    }
}

#[test]
fn a_part_comes_with_what_proves_it() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &LENGTHS);
    let song = manifest.song.id;
    upload(&mut library, &manifest, &pieces);
    assert_parts_are_right(&mut library, song, &pieces);
    let fragment = FragmentId { song, index: 3 };
    for part in [(5, 5), (9, 3), (0, 300_001)] {
        let refused = read_part(&mut library, fragment, part);
        assert!(matches!(refused, JobReply::Failed(JobFault::Invalid(_))));
    }
    let beyond = FragmentId { song, index: 4 };
    let missing = read_part(&mut library, beyond, (0, 1));
    assert_eq!(missing, failed(JobFault::NotFound));
}

/// Fragments that an earlier version has stored have no values, and a disk may alter values: the
/// whole fragment is read then, and the part is right.
#[test]
fn a_part_is_right_without_its_values() {
    for altered in ["NULL", "zeroblob(160)", "x'01'"] {
        let dir = TempDir::new();
        let mut library = writer(&dir);
        let (manifest, pieces) = song(1, &LENGTHS);
        upload(&mut library, &manifest, &pieces);
        sql(
            &library,
            &format!("UPDATE fragments SET groups = {altered}"),
        );
        assert_parts_are_right(&mut library, manifest.song.id, &pieces);
    }
}

/// Damage in the part is noticed, and damage beside it is not read.
#[test]
fn a_damaged_part_goes_to_nobody() {
    let dir = TempDir::new();
    let mut library = writer(&dir);
    let (manifest, pieces) = song(1, &[300_000]);
    let song = manifest.song.id;
    upload(&mut library, &manifest, &pieces);
    let path = dir.path().join("segment.1");
    let mut sound = fs::read(&path).expect("it is there");
    sound[200_000] ^= 1;
    fs::write(&path, sound).expect("a directory of our own");
    let fragment = FragmentId { song, index: 0 };
    let damaged = read_part(&mut library, fragment, (150_000, 210_000));
    assert_eq!(damaged, failed(JobFault::Damaged));
    let beside = read_part(&mut library, fragment, (0, 100_000));
    assert!(beside == groups_of(0, &pieces[0], (0, 100_000)));
    library.run(LibraryJob::Quarantine { fragment });
    let aside = read_part(&mut library, fragment, (0, 1));
    assert_eq!(aside, failed(JobFault::Quarantined));
}
