use super::*;
use crate::testing::TempDir;
use std::fs::File;

/// The reserve holds bytes and inodes, and gives back both.
#[test]
fn the_reserve_is_taken_given_up_and_taken_again() {
    let dir = TempDir::new();
    let space = DiskSpace::around(dir.path());
    let whole = space.reserve_missing();
    assert!(whole >= u64::from(RESERVE_FILES) * RESERVE_FILE_BYTES_MIN);
    assert!(!space.give_up_reserve(), "there is none yet");

    for _ in 0..2 {
        assert!(space.restore_reserve(), "the system's disk has room");
        assert_eq!(space.reserve_missing(), 0);
        let files = fs::read_dir(dir.path()).expect("our own");
        assert_eq!(files.count(), RESERVE_FILES as usize);
        assert!(space.give_up_reserve());
        assert_eq!(space.reserve_missing(), whole);
    }
}

/// A part of the reserve that was lost is made anew, and nothing else.
#[test]
fn a_reserve_in_part_is_completed() {
    let dir = TempDir::new();
    let space = DiskSpace::around(dir.path());
    assert!(space.restore_reserve());
    let file = File::options()
        .write(true)
        .open(dir.path().join(reserve_name(1)));
    file.and_then(|file| file.set_len(BLOCK_BYTES))
        .expect("our own");
    assert_ne!(space.reserve_missing(), 0);
    assert!(space.restore_reserve());
    assert_eq!(space.reserve_missing(), 0);
}

#[test]
fn a_disk_that_takes_nothing_is_named_with_what_to_do() {
    let (enospc, edquot, erofs, eacces) = (28, 122, 30, 13);
    let said = |code| in_words(Path::new("/proc/self"), &io::Error::from_raw_os_error(code));
    assert_eq!(said(enospc), FULL);
    assert_eq!(said(edquot), QUOTA);
    assert_eq!(said(erofs), READ_ONLY);
    assert!(
        said(eacces).contains("ermission denied"),
        "others stay as they are"
    );
    assert!(is_no_room(&io::Error::from_raw_os_error(edquot)));
}

/// Where something can be written there is no obstacle, and no trace of the question.
#[test]
fn a_probe_leaves_nothing() {
    let dir = TempDir::new();
    assert!(DiskSpace::around(dir.path()).obstacle().is_none());
    assert_eq!(fs::read_dir(dir.path()).expect("our own").count(), 0);
}
