use super::*;
use std::os::unix::fs::PermissionsExt;

use roles::contract::id::{Incarnation, NodeId};
use roles::contract::record::{Address, Features, Role};

use crate::testing::{TempDir, song};

fn hash(bytes: &[u8]) -> ContentHash {
    ContentHash(blake3::hash(bytes).into())
}

fn open(dir: &TempDir, bytes_max: u64) -> Cache {
    Cache::open(dir.path(), bytes_max).expect("a directory of our own")
}

fn id(n: u8) -> SongId {
    SongId(u128::from_be_bytes([n; 16]))
}

/// Stores a fragment of this many equal bytes.
fn keep(cache: &Cache, n: u8, index: u32, length: usize) {
    cache.keep_fragment(id(n), index, &vec![n; length]);
}

fn has(cache: &Cache, n: u8, index: u32, length: usize) -> bool {
    let bytes = vec![n; length];
    let found = cache.fragment(id(n), index, length as u32, &hash(&bytes));
    found.is_some_and(|found| found == bytes)
}

/// The bytes of all files below the songs folder, read from the disk.
fn on_disk(dir: &Path) -> u64 {
    let size = |entry: fs::DirEntry| match entry.metadata().expect("readable") {
        metadata if metadata.is_dir() => on_disk(&entry.path()),
        metadata => metadata.len(),
    };
    let entries = fs::read_dir(dir).expect("readable").flatten();
    entries.map(size).sum()
}

/// Sets the time of a song's last use.
fn age(cache: &Cache, n: u8, seconds: u64) {
    let when = SystemTime::now() - Duration::from_secs(seconds);
    let dir = File::open(cache.song_dir(id(n))).expect("kept before");
    dir.set_modified(when).expect("a directory of our own");
}

#[test]
fn a_fragment_comes_back() {
    let dir = TempDir::new();
    let cache = open(&dir, 1 << 20);
    assert!(!has(&cache, 1, 0, 100));
    keep(&cache, 1, 0, 100);
    assert!(has(&cache, 1, 0, 100));
    assert!(has(&open(&dir, 1 << 20), 1, 0, 100));
    assert!(!has(&cache, 1, 1, 100));
}

/// The cache lists the fragments of a song as ranges, without reading them.
#[test]
fn kept_fragments_are_told_in_runs() {
    let dir = TempDir::new();
    let cache = open(&dir, 1 << 20);
    assert_eq!(cache.kept(id(1)), []);
    for index in [11, 2, 0, 10, 1, 7] {
        keep(&cache, 1, index, 10);
    }
    keep(&cache, 2, 3, 10);
    fs::write(cache.song_dir(id(1)).join(MANIFEST), "").expect("writable");
    assert_eq!(cache.kept(id(1)), [0..3, 7..8, 10..12]);
}

/// A fragment that is shorter, longer or altered is not returned, and is removed.
#[test]
fn a_damaged_fragment_counts_as_missing() {
    let dir = TempDir::new();
    let cache = open(&dir, 1 << 20);
    for damage in [&[1u8; 50][..], &[1; 101], &[2; 100], &[]] {
        keep(&cache, 1, 0, 100);
        let path = cache.song_dir(id(1)).join("0");
        fs::write(&path, damage).expect("writable");
        assert!(!has(&cache, 1, 0, 100));
        assert!(!path.exists());
    }
    keep(&cache, 1, 0, 100);
    assert!(has(&cache, 1, 0, 100));
}

/// The least recently used song goes first, and the cap holds after every single write.
#[test]
fn the_oldest_song_makes_room() {
    let dir = TempDir::new();
    let cache = open(&dir, 10_000);
    for n in 1..=4 {
        keep(&cache, n, 0, 2_400);
        age(&cache, n, 1_000 - u64::from(n));
    }
    assert!(has(&cache, 1, 0, 2_400), "and is used by this");
    keep(&cache, 5, 0, 2_400);

    assert!(on_disk(&dir.path().join("songs")) <= 10_000);
    assert!(has(&cache, 1, 0, 2_400));
    assert!(!has(&cache, 2, 0, 2_400));
    assert!(has(&cache, 5, 0, 2_400));
}

/// A song larger than the cache evicts its own beginning, and the cap holds.
#[test]
fn the_cap_holds_whatever_is_kept() {
    let dir = TempDir::new();
    let (one, two) = (open(&dir, 10_000), open(&dir, 10_000));
    for index in 0..60 {
        let cache = if index % 3 == 0 { &one } else { &two };
        keep(cache, (index % 2) as u8, index, 700 + index as usize);
        let total = on_disk(&dir.path().join("songs"));
        assert!(total <= 10_000, "{total} bytes after {index}");
    }
    assert!(has(&one, 1, 59, 759));
    keep(&one, 9, 0, 10_001);
    assert!(!has(&one, 9, 0, 10_001));
}

/// Storing a fragment twice takes no more space, and removing a fragment frees its space.
#[test]
fn the_size_is_what_is_there() {
    let dir = TempDir::new();
    let cache = open(&dir, 10_000);
    for _ in 0..50 {
        keep(&cache, 1, 0, 900);
    }
    keep(&cache, 2, 0, 900);
    assert!(has(&cache, 1, 0, 900) && has(&cache, 2, 0, 900));
    fs::write(cache.song_dir(id(1)).join("0"), [7; 900]).expect("writable");
    assert!(!has(&cache, 1, 0, 900));
    let size = fs::read(dir.path().join("size")).expect("written");
    assert_eq!(size, 900u64.to_le_bytes());
}

/// A song of which only a part was evicted is still the next to be evicted.
#[test]
fn a_song_that_has_shrunk_is_as_old_as_before() {
    let dir = TempDir::new();
    let cache = open(&dir, 10_000);
    for (n, index) in [(1, 0), (1, 1), (1, 2), (2, 0)] {
        keep(&cache, n, index, 2_400);
    }
    age(&cache, 1, 1_000);
    age(&cache, 2, 500);
    keep(&cache, 3, 0, 2_400);
    keep(&cache, 3, 1, 2_400);
    assert!(cache.song_dir(id(1)).join("2").exists());
    keep(&cache, 3, 2, 1_000);
    assert!(!cache.song_dir(id(1)).exists());
    assert!(has(&cache, 2, 0, 2_400) && has(&cache, 3, 2, 1_000));
}

/// The next process counts the bytes that a killed process has left uncounted.
#[test]
fn a_size_that_is_wrong_is_set_right() {
    let dir = TempDir::new();
    keep(&open(&dir, 10_000), 1, 0, 6_000);
    for wrong in [&0u64.to_le_bytes()[..], b"", b"?"] {
        fs::write(dir.path().join("size"), wrong).expect("writable");
        for n in [2, 1] {
            keep(&open(&dir, 10_000), n, 0, 6_000);
            assert_eq!(on_disk(&dir.path().join("songs")), 6_000);
        }
    }
}

/// A failed write to the cache does not disturb the reader.
#[test]
fn an_unwritable_cache_is_no_error() {
    let dir = TempDir::new();
    let cache = open(&dir, 10_000);
    keep(&cache, 1, 0, 100);
    fs::remove_file(dir.path().join("size")).expect("writable");
    fs::create_dir(dir.path().join("size")).expect("writable");
    keep(&cache, 1, 1, 100);
    assert!(!has(&cache, 1, 1, 100));
    assert!(has(&cache, 1, 0, 100));

    let locked = fs::Permissions::from_mode(0o500);
    fs::set_permissions(dir.path(), locked).expect("our own");
    assert!(has(&cache, 1, 0, 100));
    let open_again = fs::Permissions::from_mode(0o700);
    fs::set_permissions(dir.path(), open_again).expect("our own");
}

#[test]
fn a_manifest_is_found_by_its_first_digits() {
    let dir = TempDir::new();
    let cache = open(&dir, 1 << 20);
    let (manifest, _) = song(1, &[10, 20]);
    cache.keep_manifest(&manifest);
    let digits = manifest.song.id.to_string();
    for length in [1, 2, 3, 31, 32] {
        let prefix = SongPrefix::parse(&digits[..length]).expect("digits");
        assert_eq!(cache.manifest(prefix), Ok(manifest.clone()));
    }
    let other = SongPrefix::from(SongId(!manifest.song.id.0));
    assert_eq!(cache.manifest(other), Err(JobFault::NotFound));
}

/// If many songs match a prefix, the answer names the first five. Songs without a manifest do not
/// count.
#[test]
fn ambiguous_digits_name_the_songs() {
    let dir = TempDir::new();
    let cache = open(&dir, 1 << 20);
    let mut ids: Vec<SongId> = (0..200u8)
        .map(|seed| song(seed, &[5]).0)
        .inspect(|manifest| cache.keep_manifest(manifest))
        .map(|manifest| manifest.song.id)
        .filter(|id| id.to_string().starts_with('a'))
        .collect();
    keep(&cache, 0xa0, 0, 10);
    ids.sort();
    ids.truncate(5);
    let prefix = SongPrefix::parse("a").expect("a digit");
    assert_eq!(cache.manifest(prefix), Err(JobFault::Ambiguous(ids)));
}

/// A manifest with one bit altered on disk is not returned, so that it is fetched again.
#[test]
fn a_damaged_manifest_counts_as_missing() {
    let dir = TempDir::new();
    let cache = open(&dir, 1 << 20);
    let (manifest, _) = song(1, &[10, 20]);
    let path = cache.song_dir(manifest.song.id).join(MANIFEST);
    cache.keep_manifest(&manifest);
    let length = fs::metadata(&path).expect("kept").len() as usize;
    for at in (0..length).step_by(7) {
        cache.keep_manifest(&manifest);
        let mut bytes = fs::read(&path).expect("kept");
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("writable");
        let prefix = SongPrefix::from(manifest.song.id);
        assert_eq!(cache.manifest(prefix), Err(JobFault::NotFound));
        assert!(!path.exists());
    }
}

#[test]
fn known_servers_come_back_and_garbage_does_not() {
    let dir = TempDir::new();
    let cache = open(&dir, 1 << 20);
    let record = Record {
        role: Role::Router,
        node: NodeId(7),
        incarnation: Incarnation(1),
        renewals: 2,
        address: Address("127.0.0.12:7700".parse().expect("an address")),
        features: Features::AES,
        weight: 0,
        ttl_ms: 1000,
    };
    assert_eq!(cache.peers(), []);
    cache.keep_peers(&vec![record; RECORDS_MAX + 1]);
    assert_eq!(cache.peers(), vec![record; RECORDS_MAX]);
    cache.keep_peers(&[record]);
    assert_eq!(open(&dir, 0).peers(), [record]);
    fs::write(dir.path().join(PEERS), [0xff; 100]).expect("writable");
    assert_eq!(cache.peers(), []);
}

/// A song in use is marked as used once, not for every fragment.
#[test]
fn reading_does_not_write_each_time() {
    let dir = TempDir::new();
    let cache = open(&dir, 10_000);
    keep(&cache, 1, 0, 10);
    assert!(has(&cache, 1, 0, 10));
    age(&cache, 1, 500);
    assert!(has(&cache, 1, 0, 10));
    let modified = fs::metadata(cache.song_dir(id(1))).and_then(|m| m.modified());
    let age = modified.expect("kept").elapsed().expect("in the past");
    assert!(age > Duration::from_secs(400));
}

/// Threads that write and read at the same time keep the cap together, and the stored size is
/// right.
#[test]
fn several_writers_share_a_cache() {
    let dir = TempDir::new();
    let caches = [open(&dir, 50_000), open(&dir, 50_000)];
    std::thread::scope(|scope| {
        for (n, cache) in caches.iter().enumerate() {
            scope.spawn(move || {
                for index in 0..100 {
                    keep(cache, n as u8, index, 1_000);
                    has(cache, 1 - n as u8, index, 1_000);
                }
            });
        }
    });
    let total = on_disk(&dir.path().join("songs"));
    assert!((25_000..=50_000).contains(&total), "{total}");
    let size = fs::read(dir.path().join("size")).expect("written");
    assert_eq!(size, total.to_le_bytes());
}

/// A process that was stopped while it held the lock does not block other processes.
#[test]
fn a_held_lock_does_not_stop_the_music() {
    let dir = TempDir::new();
    let cache = open(&dir, 10_000);
    keep(&cache, 1, 0, 100);
    let held = File::open(dir.path().join("size")).expect("written");
    held.lock().expect("nobody else holds it");
    keep(&cache, 1, 1, 100);
    assert!(has(&cache, 1, 0, 100) && !has(&cache, 1, 1, 100));
    held.unlock().expect("held");
    keep(&cache, 1, 1, 100);
    assert!(has(&cache, 1, 1, 100));
}

/// A fragment of four groups, and its file.
fn long(dir: &TempDir) -> (Cache, Vec<u8>, PathBuf) {
    let cache = open(dir, 1 << 20);
    let bytes: Vec<u8> = (0..250_000_u32)
        .map(|n| (n / 3 + n / 65_536) as u8)
        .collect();
    cache.keep_fragment(id(1), 0, &bytes);
    let path = cache.song_dir(id(1)).join("0");
    (cache, bytes, path)
}

/// Every part is that part, whatever groups it begins and ends in.
#[test]
fn a_part_is_that_part_of_the_fragment() {
    let dir = TempDir::new();
    let (cache, bytes, _) = long(&dir);
    let edges = [
        0, 1, 65_535, 65_536, 65_537, 131_072, 200_000, 249_999, 250_000,
    ];
    for from in edges {
        for to in edges.into_iter().filter(|to| *to >= from) {
            let part = cache.part(id(1), 0, (from, to), 250_000, &hash(&bytes));
            assert_eq!(part.as_deref(), Some(&bytes[from as usize..to as usize]));
        }
    }
    assert_eq!(cache.part(id(1), 0, (9, 3), 250_000, &hash(&bytes)), None);
}

/// Only the groups of a part are read, and each is checked: damage outside them does not matter,
/// damage in them, or in the values, costs the fragment.
#[test]
fn a_part_is_checked_by_itself() {
    for (at, survives) in [
        (0, true),
        (70_000, false),
        (140_000, true),
        (250_040, false),
    ] {
        let dir = TempDir::new();
        let (cache, bytes, path) = long(&dir);
        let mut file = fs::read(&path).expect("kept before");
        file[at] ^= 1;
        fs::write(&path, file).expect("writable");
        let part = cache.part(id(1), 0, (66_000, 131_072), 250_000, &hash(&bytes));
        assert_eq!(part.is_some(), survives, "{at}");
        assert_eq!(path.exists(), survives, "{at}");
    }
}

/// Files of an earlier version end with the fragment: parts of them are served, too.
#[test]
fn a_file_without_values_is_read_as_a_whole() {
    let dir = TempDir::new();
    let (cache, bytes, path) = long(&dir);
    fs::write(&path, &bytes).expect("writable");
    let part = || cache.part(id(1), 0, (66_000, 131_072), 250_000, &hash(&bytes));
    assert_eq!(part().as_deref(), Some(&bytes[66_000..131_072]));
    let mut damaged = bytes.clone();
    damaged[0] ^= 1;
    fs::write(&path, damaged).expect("writable");
    assert_eq!(part(), None);
    assert!(!path.exists());
}

/// Groups of a fragment of random-looking bytes, as they come from a holder.
fn groups_of(bytes: &[u8], begin: usize, end: usize) -> Groups {
    Groups {
        length: bytes.len() as u32,
        values: groups::values(bytes),
        bytes: bytes[begin..end].to_vec(),
    }
}

/// Parts of a fragment come back as soon as they are there; together they are the fragment, counted
/// once.
#[test]
fn parts_of_a_fragment_become_the_whole() {
    let dir = TempDir::new();
    let cache = open(&dir, 1 << 20);
    let bytes: Vec<u8> = (0..300_000_u32)
        .map(|n| (n / 7 + n / 65_536) as u8)
        .collect();
    let (length, hash) = (bytes.len() as u32, hash(&bytes));
    let part = |part: (u32, u32)| cache.part(id(1), 2, part, length, &hash);
    let groups = [(131_072, 196_608), (0, 131_072), (196_608, 262_144)];
    for (begin, end) in groups {
        assert_eq!(part((begin as u32, begin as u32 + 1)), None);
        cache.keep_part(id(1), 2, begin as u32, &groups_of(&bytes, begin, end));
        let (from, to) = (begin as u32 + 5, end as u32 - 1);
        let got = part((from, to)).expect("it was kept");
        assert!(got == bytes[from as usize..to as usize]);
        assert_eq!(part((0, length)), None);
        assert_eq!(cache.kept(id(1)), []);
    }
    cache.keep_part(id(1), 2, 262_144, &groups_of(&bytes, 262_144, 300_000));
    assert!(part((0, length)).expect("all is there") == bytes);
    assert_eq!(cache.kept(id(1)), vec![2..3; 1]);
    let counted = fs::read(dir.path().join("size")).expect("it is there");
    let counted = u64::from_le_bytes(counted[..8].try_into().expect("eight bytes"));
    assert_eq!(counted, on_disk(&dir.path().join("songs")));

    // The whole takes the place of parts.
    cache.keep_part(id(1), 3, 0, &groups_of(&bytes, 0, 65_536));
    cache.keep_fragment(id(1), 3, &bytes);
    let size = on_disk(&dir.path().join("songs"));
    assert_eq!(size, 2 * (300_000 + 5 * 32));
}

/// What a disk has altered in a part is not given, and what has not come is no damage.
#[test]
fn an_altered_part_is_not_given() {
    let dir = TempDir::new();
    let cache = open(&dir, 1 << 20);
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n / 5) as u8).collect();
    let (length, hash) = (bytes.len() as u32, hash(&bytes));
    cache.keep_part(id(1), 0, 0, &groups_of(&bytes, 0, 131_072));
    let path = cache.song_dir(id(1)).join("0.part");
    let mut file = fs::read(&path).expect("it is there");
    file[70_000] ^= 1;
    fs::write(&path, file).expect("a directory of our own");
    let part = |part: (u32, u32)| cache.part(id(1), 0, part, length, &hash);
    assert_eq!(part((65_536, 65_537)), None);
    assert!(part((0, 65_536)).expect("it is right") == bytes[..65_536]);
    cache.keep_part(id(1), 0, 65_536, &groups_of(&bytes, 65_536, 131_072));
    assert!(part((0, 131_072)).is_some());
}
