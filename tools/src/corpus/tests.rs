//! The product accepts every song, with the length and the tags that it was made with.

use std::time::Duration;

use roles::contract::song as product;
use storage::import;

use super::*;

/// A folder that is gone at the end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let unique = format!("dispotify-corpus-{name}-{}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(unique));
        let _ = fs::remove_dir_all(&folder.0);
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn args(out: &Folder, format: Choice, kbps: u32) -> Args {
    Args {
        out: out.0.clone(),
        count: 3,
        format,
        seconds: Duration::from_secs(25),
        kbps,
        size_zipf: None,
    }
}

fn expected(format: Format) -> product::Format {
    match format {
        Format::Mp3 => product::Format::Mp3,
        Format::Flac => product::Format::Flac,
        Format::Opus => product::Format::Opus,
        Format::Wav => product::Format::Wav,
    }
}

/// Every format has the right length, tags and bit rate for the product, and is cut where it may
/// be played from.
#[test]
fn the_product_reads_what_was_written() {
    let kinds = [
        (Choice::Mp3, 128),
        (Choice::Mp3, 320),
        (Choice::Flac, 700),
        (Choice::Opus, 96),
        (Choice::Wav, 1411),
    ];
    for (choice, kbps) in kinds {
        let folder = Folder::new(&format!("{choice:?}{kbps}"));
        let args = args(&folder, choice, kbps);
        let mut plan = Plan::new(&args, 7);
        let sheet = plan.song(0);
        fs::create_dir_all(&folder.0).unwrap();
        let path = folder.0.join("song");
        fs::write(&path, sheet.bytes().unwrap()).unwrap();
        let manifest = import::scan(&path).unwrap();
        let song = &manifest.song;
        assert_eq!(song.format, expected(sheet.format), "{choice:?}");
        assert!(
            song.duration_ms.abs_diff(25_000) < 100,
            "{choice:?} {song:?}"
        );
        assert_eq!(song.title, sheet.tags.title);
        assert_eq!(song.artist, sheet.tags.artist);
        assert_eq!(song.album, sheet.tags.album);
        assert_eq!(song.genre, sheet.tags.genre);
        assert_eq!((song.year, song.track), (sheet.tags.year, sheet.tags.track));
        let rate = song.bytes as f64 / 125.0 / 25.0;
        assert!(
            (rate / f64::from(kbps) - 1.0).abs() < 0.05,
            "{choice:?} {rate}"
        );
        assert!(
            manifest.sound().is_some(),
            "{choice:?} is not cut at its frames"
        );
    }
}

/// The same seed makes the same files, another seed others.
#[test]
fn a_seed_decides_every_byte() {
    let songs = |seed| {
        let folder = Folder::new(&format!("seed{seed}"));
        let mut plan = Plan::new(&args(&folder, Choice::Mixed, 96), seed);
        let all = (0..5).map(|number| plan.song(number));
        all.map(|sheet| blake3::hash(&sheet.bytes().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(songs(1), songs(1));
    assert_ne!(songs(1), songs(2));
}

/// Most songs are short and a few are long.
#[test]
fn lengths_follow_their_law() {
    let folder = Folder::new("lengths");
    let long = Args {
        size_zipf: Some(1.5),
        ..args(&folder, Choice::Mp3, 32)
    };
    let mut plan = Plan::new(&long, 1);
    let lengths: Vec<f64> = (0..1000).map(|n| plan.song(n).seconds / 25.0).collect();
    let shortest = lengths.iter().filter(|length| **length == 1.0).count();
    assert!((350..600).contains(&shortest), "{shortest}");
    assert!(lengths.iter().any(|length| *length > 8.0));
}

/// Somebody's music is not mixed with made songs.
#[test]
fn a_folder_with_files_is_left_alone() {
    let folder = Folder::new("full");
    let args = args(&folder, Choice::Opus, 32);
    let said = make(&args, 1).unwrap();
    assert!(said.starts_with("3 songs"), "{said}");
    let refused = make(&args, 1).unwrap_err();
    assert!(refused.to_string().contains("not empty"), "{refused}");
}
