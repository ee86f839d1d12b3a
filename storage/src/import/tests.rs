use super::*;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use roles::contract::song::{Format, Part};

use crate::testing::TempDir;

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().expect("below the directory")).expect("writable");
    fs::write(&path, bytes).expect("writable");
    path
}

/// Half a second of silence at 8 kHz, and chunks behind it.
fn wave(chunks: &[u8]) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).expect("a plain format");
    for sample in 0..4_000i16 {
        writer.write_sample(sample).expect("memory is writable");
    }
    writer.finalize().expect("memory is writable");
    let mut bytes = file.into_inner();
    bytes.extend(chunks);
    let riff = bytes.len() as u32 - 8;
    bytes[4..8].copy_from_slice(&riff.to_le_bytes());
    bytes
}

/// An ID3v2.4 tag with a text per frame, and a picture if there is one.
fn id3(texts: &[(&str, &str)], picture: Option<&[u8]>) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut frame = |id: &str, body: &[u8]| {
        frames.extend(id.as_bytes());
        frames.extend(syncsafe(body.len()));
        frames.extend([0, 0]);
        frames.extend(body);
    };
    for (id, text) in texts {
        frame(id, &[b"\x03", text.as_bytes()].concat());
    }
    if let Some(image) = picture {
        frame("APIC", &[b"\x00text/html\0\x03\0", image].concat());
    }
    [b"ID3\x04\0\0", &syncsafe(frames.len())[..], &frames].concat()
}

fn syncsafe(n: usize) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (n >> shift & 0x7f) as u8)
}

fn mp3(frames: usize) -> Vec<u8> {
    let mut frame = vec![0xff, 0xfb, 0x90, 0x00];
    frame.resize(417, 0);
    frame.repeat(frames)
}

fn why<T>(result: Result<T, JobFault>) -> String {
    match result {
        Ok(_) => panic!("it should have failed"),
        Err(fault) => fault.to_string(),
    }
}

/// What a scan announces is what the file holds, slice by slice.
#[test]
fn a_scan_describes_the_file() {
    let dir = TempDir::new();
    let bytes = wave(b"junk\x02\0\0\0ab");
    let path = write(&dir, "Sing \u{1f3b5}.wav", &bytes);

    let manifest = scan(&path).expect("a whole file");
    assert_eq!(manifest.check(), Ok(()));
    assert_eq!(manifest.song.title, "Sing \u{1f3b5}");
    assert_eq!(manifest.song.format, Format::Wav);
    assert_eq!(manifest.song.duration_ms, 500);
    assert_eq!(blake3::hash(&bytes), manifest.hash.0);
    let parts: Vec<Part> = manifest.fragments.iter().map(|f| f.part).collect();
    assert_eq!(parts, [Part::Head, Part::Audio, Part::Tail]);
    let mut again = Vec::new();
    for fragment in &manifest.fragments {
        let offset = again.len() as u64;
        again
            .extend(read_source(&path, offset, fragment.length, fragment.hash).expect("unchanged"));
    }
    assert_eq!(again, bytes);
}

/// Words as people write them come out whole, in one line, and within the bound.
#[test]
fn tags_are_fit_for_a_catalogue() {
    let dir = TempDir::new();
    let long = "\u{e9}".repeat(10_000);
    let texts = [
        ("TIT2", "  \"So\nWhat\"\u{7}\u{202e} \u{1f3b7} "),
        ("TPE1", "Miles\0Coltrane"),
        ("TALB", long.as_str()),
        ("TDRC", "1959-08-17"),
        ("TRCK", "1/5"),
        ("TPOS", "2"),
        ("TCON", "Jazz"),
    ];
    let image = [0x89, b'P', b'N', b'G', 1, 2, 3];
    let bytes = [id3(&texts, Some(&image)), mp3(10)].concat();
    let path = write(&dir, "x.mp3", &bytes);

    let manifest = scan(&path).expect("a whole file");
    let song = manifest.song;
    assert_eq!(song.title, "\"So What\" \u{1f3b7}");
    assert_eq!(song.artist, "Miles, Coltrane");
    assert_eq!(song.album.len(), 1024);
    assert_eq!((song.year, song.track, song.disc), (1959, 1, 2));
    assert_eq!(song.genre, "Jazz");
    assert!(manifest.picture);
}

/// A cover is served as what it is, never as what the file calls it; the head is enough for it.
#[test]
fn a_cover_is_named_by_its_bytes() {
    let image = [0x89, b'P', b'N', b'G', 1, 2, 3];
    let head = id3(&[("TIT2", "t")], Some(&image));
    let cover = |bytes: &[u8]| tags::picture(&mut io::Cursor::new(bytes), Format::Mp3);
    let found = cover(&head).expect("a cover");
    assert_eq!(
        (found.media_type, found.bytes.as_slice()),
        ("image/png", &image[..])
    );
    assert_eq!(cover(&id3(&[], Some(b"<script>"))), None);
    assert_eq!(cover(b"nothing"), None);
}

#[test]
fn what_cannot_be_imported_is_named() {
    let dir = TempDir::new();
    let shown = |path: &Path| path.display().to_string();
    let missing = dir.path().join("missing.mp3");
    let expected = format!("read {}: there is no such file", shown(&missing));
    assert_eq!(why(scan(&missing)), expected);
    let folder = format!("read {}: it is a folder", shown(dir.path()));
    assert_eq!(why(scan(dir.path())), folder);
    let empty = write(&dir, "empty.mp3", b"");
    let expected = format!("read {}: the file is empty", shown(&empty));
    assert_eq!(why(scan(&empty)), expected);
}

/// A file that grows, shrinks, or is written over while it is read is not imported.
#[test]
fn a_file_that_changes_meanwhile_is_refused() {
    let dir = TempDir::new();
    let path = dir.path().join("x.wav");
    let expected = format!("read {}: it changed while it was read", path.display());
    let later = || {
        let when = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
        let file = File::options().write(true).open(&path).expect("written");
        file.set_modified(when).expect("our own");
    };
    let changes: [&dyn Fn(); 4] = [
        &|| fs::write(&path, wave(b"more\0\0\0\0")).expect("writable"),
        &|| fs::write(&path, b"less").expect("writable"),
        &|| fs::rename(write(&dir, "y", &[1; 99]), &path).expect("writable"),
        &later,
    ];
    for change in changes {
        write(&dir, "x.wav", &wave(b""));
        assert_eq!(why(scan_while(&path, change)), expected);
    }
}

/// What was announced under a hash is what is sent, or nothing.
#[test]
fn a_file_that_changed_is_not_sent() {
    let dir = TempDir::new();
    let path = write(&dir, "x.wav", &wave(b""));
    let manifest = scan(&path).expect("a whole file");
    let (length, hash) = (manifest.fragments[0].length, manifest.fragments[0].hash);
    let changed = format!("read {}: {CHANGED}", path.display());

    write(&dir, "x.wav", &[1; 5000]);
    assert_eq!(why(read_source(&path, 0, length, hash)), changed);
    write(&dir, "x.wav", b"short");
    assert_eq!(why(read_source(&path, 0, length, hash)), changed);
    assert!(matches!(
        read_source(&path, 0, u32::MAX, hash),
        Err(JobFault::Invalid(_))
    ));
}

/// A file that nobody has touched since its scan is not hashed again; any other is.
#[test]
fn a_file_that_is_as_it_was_is_not_hashed_again() {
    let dir = TempDir::new();
    let path = write(&dir, "x.wav", &wave(b""));
    let manifest = scan(&path).expect("a whole file");
    let (length, hash) = (manifest.fragments[0].length, ContentHash([7; 32]));
    let changed = format!("read {}: {CHANGED}", path.display());
    let look = || fs::metadata(&path).expect("it is there");
    let (now, later) = (
        SystemTime::now(),
        SystemTime::now() + Duration::from_secs(9),
    );

    assert_eq!(Seen::at(now, &look()), None, "a change could hide");
    let seen = Seen::at(later, &look());
    assert!(slice(&path, 0, length, hash, seen.as_ref()).is_ok());
    fs::rename(write(&dir, "y", &wave(b"")), &path).expect("writable");
    assert_eq!(why(slice(&path, 0, length, hash, seen.as_ref())), changed);
    let seen = Seen::at(later, &look());
    write(&dir, "x.wav", &wave(b"more\0\0\0\0"));
    assert_eq!(why(slice(&path, 0, length, hash, seen.as_ref())), changed);
}

/// Names in order, loops of links walked once; what is hidden, leads nowhere or is no music is
/// left out, and named. A file named by itself is taken whatever it is called.
#[test]
fn a_walk_finds_the_songs() {
    let dir = TempDir::new();
    let names = [
        "b/2.FLAC",
        "b/1.mp3",
        "a.ogg",
        ".hidden.mp3",
        "b/.git/3.mp3",
        "note.txt",
        "...And So On.flac",
        "..c/4.mp3",
    ];
    for name in names {
        write(&dir, name, b"x");
    }
    let folder = dir.path().to_owned();
    symlink(&folder, folder.join("b/loop")).expect("links can be made");
    symlink(folder.join("gone"), folder.join("z.mp3")).expect("links can be made");
    symlink(folder.join("circle.mp3"), folder.join("circle.mp3")).expect("links can be made");
    let _socket = UnixListener::bind(folder.join("socket.mp3")).expect("a socket can be made");
    let named = [
        folder.join("note.txt"),
        folder.clone(),
        folder.join("nowhere"),
    ];

    let found = walk(&named);
    let expected = [
        "note.txt",
        "...And So On.flac",
        "..c/4.mp3",
        "a.ogg",
        "b/1.mp3",
        "b/2.FLAC",
    ];
    assert_eq!(found.files, expected.map(|name| folder.join(name)));
    let nowhere = folder.join("nowhere");
    let why = format!("read {}: there is no such file", nowhere.display());
    assert_eq!(found.faults, [(nowhere, JobFault::Broken(why))]);
    let skipped = [
        (".hidden.mp3", Skipped::Hidden),
        ("b/.git", Skipped::Hidden),
        ("circle.mp3", Skipped::DeadLink),
        ("note.txt", Skipped::Name),
        ("socket.mp3", Skipped::Special),
        ("z.mp3", Skipped::DeadLink),
    ];
    assert_eq!(
        found.skipped,
        skipped.map(|(name, why)| (folder.join(name), why))
    );
}

/// Every suffix under which ffmpeg or a browser plays sound is taken from folders.
#[test]
fn a_walk_takes_all_that_sounds() {
    let dir = TempDir::new();
    let names = [
        "a.webm", "b.w64", "c.caf", "d.au", "e.weba", "f.AMR", "g.wv",
    ];
    for name in names {
        write(&dir, name, b"x");
    }
    let walked = walk(&[dir.path().to_owned()]);
    assert_eq!(walked.files, names.map(|name| dir.path().join(name)));
    assert!(walked.faults.is_empty());
}

/// What is not understood goes out as it came in, unless its suffix is none.
#[test]
fn an_opaque_file_keeps_its_suffix_and_type() {
    let dir = TempDir::new();
    for (name, suffix, kind) in [
        ("a.WebM", "webm", "audio/webm"),
        ("a.aiff", "aiff", "audio/aiff"),
        ("a.b.mka", "mka", "audio/x-matroska"),
        ("a.aac", "aac", "audio/aac"),
        ("a.html", "html", "application/octet-stream"),
        ("a.123456789", "bin", "application/octet-stream"),
        ("a.m\u{e9}p", "bin", "application/octet-stream"),
        ("a.", "bin", "application/octet-stream"),
        ("a", "bin", "application/octet-stream"),
    ] {
        let path = write(&dir, name, b"nothing that is known");
        let manifest = scan(&path).expect("a whole file");
        assert_eq!(manifest.song.format, Format::Opaque, "{name}");
        assert_eq!(super::suffix(&manifest), suffix, "{name}");
        assert_eq!(media_type(&manifest), kind, "{name}");
        assert_eq!(decodable(&manifest, b"head", b"bytes"), b"bytes");
    }
}

/// A known format is named by its bytes. FLAC in Ogg is a file of Ogg.
#[test]
fn a_known_file_is_named_by_its_bytes() {
    let dir = TempDir::new();
    let path = write(&dir, "x.mp3", &wave(b""));
    let mut manifest = scan(&path).expect("a whole file");
    assert_eq!(super::suffix(&manifest), "wav");
    assert_eq!(media_type(&manifest), "audio/wav");
    manifest.song.format = Format::Flac;
    assert_eq!(media_type(&manifest), "audio/flac");
    manifest.prefix = DecoderPrefix::Head;
    assert_eq!(super::suffix(&manifest), "oga");
    assert_eq!(media_type(&manifest), "audio/ogg");
}

#[test]
fn sources_are_shared_and_forgotten() {
    let sources = Sources::default();
    let id = sources.add("x");
    let other = sources.clone().add("y");
    assert_eq!(sources.path(other), Some("y".into()));
    sources.forget(id);
    assert_eq!(sources.path(id), None);
    assert!(sources.add("z") > other);
}

#[test]
fn a_fragment_becomes_playable() {
    let (mut manifest, _) = crate::testing::song(1, &[10, 20]);
    assert_eq!(
        decodable(&manifest, b"head", b"sound"),
        b"\x01\x02\x03sound"
    );
    manifest.prefix = DecoderPrefix::Head;
    assert_eq!(decodable(&manifest, b"head", b"sound"), b"headsound");
    manifest.prefix = DecoderPrefix::None;
    assert_eq!(decodable(&manifest, b"head", b"sound"), b"sound");
}

/// The kernel tells of files that are closed, moved and linked, of folders that come and move, and of
/// nothing that is no music.
#[test]
fn what_comes_into_a_folder_is_seen() {
    let dir = TempDir::new();
    write(&dir, "root/old/a.flac", b"a");
    let root = dir.path().join("root");
    let at = |name: &str| root.join(name);
    let (mut folders, events) = watch().expect("this system has inotify");
    let walked = folders.look_through(std::slice::from_ref(&root));
    assert_eq!(walked.files, [at("old/a.flac")]);
    assert!(folders.has(&root) && folders.has(&at("old")) && !folders.is_short());

    let outside = write(&dir, "b.flac", b"b");
    fs::write(at("cover.jpg"), "c").expect("writable");
    fs::write(at(".hidden.flac"), "c").expect("writable");
    fs::write(at("new.flac"), "c").expect("writable");
    fs::hard_link(&outside, at("linked.flac")).expect("a link");
    fs::rename(outside, at("old/b.flac")).expect("movable");
    fs::create_dir(at("sub")).expect("writable");
    fs::rename(at("old"), at("renamed")).expect("movable");
    fs::remove_file(at("new.flac")).expect("removable");
    fs::write(at("last.flac"), "c").expect("writable");

    let last = Change::Ended(at("last.flac"));
    let mut seen = Vec::new();
    let read = events.read(|event| {
        let change = folders.change(&event);
        if let Some(Change::Folder(folder)) = &change {
            folders.look_through(std::slice::from_ref(folder));
        }
        seen.extend(change);
        seen.last() != Some(&last)
    });
    read.expect("events");
    let expected = [
        Change::Begun(at("new.flac")),
        Change::Ended(at("new.flac")),
        Change::Ended(at("linked.flac")),
        Change::Ended(at("old/b.flac")),
        Change::Folder(at("sub")),
        Change::Folder(at("renamed")),
        Change::Begun(at("last.flac")),
        last.clone(),
    ];
    assert_eq!(seen, expected);
    assert!(folders.has(&at("renamed")) && folders.has(&at("sub")) && !folders.has(&at("old")));
}
