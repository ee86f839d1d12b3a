//! A process killed at any moment: acknowledged changes stand, and the others are whole or absent.

use super::*;
use crate::library::verify::{Depth, Finding, Report, verify};
use std::collections::BTreeMap;
use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const DIR: &str = "DISPOTIFY_TEST_KILLED_DIR";
const ROUND: &str = "DISPOTIFY_TEST_KILLED_ROUND";
const KILLS: u8 = 30;

/// The acknowledged state of a song.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Stored,
    Dropped,
    Removed,
}

/// The process that is killed. It uploads, removes and repairs songs, and prints each answer.
#[test]
#[ignore = "it is started, and killed, by the next test"]
fn victim() {
    let Some(dir) = env::var_os(DIR) else {
        return;
    };
    let round: u8 = env::var(ROUND)
        .expect("a number")
        .parse()
        .expect("a number");
    let library = Library::open(Path::new(&dir), NODE, STORE).expect("its own library");
    let mut library = library.writer().expect("it is open");
    for number in 0..u8::MAX {
        live(&mut library, number.wrapping_mul(KILLS).wrapping_add(round));
    }
}

fn live(library: &mut LibraryWorker, seed: u8) {
    let (manifest, pieces) = song(seed, &[3000; 130]);
    let song = manifest.song.id;
    let JobReply::Missing { .. } = begin(library, &manifest) else {
        return;
    };
    for (index, bytes) in (0..).zip(&pieces) {
        keep(library, song, index, bytes);
    }
    tell(song, "stored", commit(library, song, &[NodeId(3)]));
    let (fragment, bytes) = (FragmentId { song, index: 7 }, pieces[7].clone());
    library.rot(fragment);
    library.run(LibraryJob::Quarantine { fragment });
    library.run(LibraryJob::ReplaceFragment { fragment, bytes });
    let (songs, until) = (vec![song], u64::MAX);
    match seed % 3 {
        0 => tell(
            song,
            "removed",
            library.run(LibraryJob::RemoveSongs { songs }),
        ),
        1 => tell(
            song,
            "dropped",
            library.run(LibraryJob::DropSongs { songs, until }),
        ),
        _ => return,
    }
    library.run(LibraryJob::Reclaim);
}

fn tell(song: SongId, what: &str, reply: JobReply) {
    assert!(!matches!(reply, JobReply::Failed(_)), "{reply:?}");
    // Written past the test harness, which captures prints and may have begun a line of its own.
    let told = writeln!(io::stderr(), "told {song} {what}");
    told.expect("somebody listens until the kill");
}

fn start(dir: &TempDir, round: u8) -> Child {
    let mut victim = Command::new(env::current_exe().expect("this test"));
    let name = "library::tests::killed::victim";
    victim.args([name, "--exact", "--ignored", "--nocapture"]);
    victim.env(DIR, dir.path()).env(ROUND, round.to_string());
    let piped = victim.stderr(Stdio::piped()).stdout(Stdio::null()).spawn();
    piped.expect("it starts")
}

/// Reads a number of answers, kills the process, and notes all answers printed until then.
fn kill_after(mut victim: Child, answers: usize, told: &mut BTreeMap<SongId, Told>) {
    let out = BufReader::new(victim.stderr.take().expect("it is piped"));
    let mut lines = out.lines().map_while(Result::ok);
    let mut note = |line: String| {
        let (song, what) = line.strip_prefix("told ")?.split_once(' ')?;
        let what = match what {
            "stored" => Told::Stored,
            "dropped" => Told::Dropped,
            _ => Told::Removed,
        };
        told.insert(SongId::parse(song)?, what)
    };
    for line in lines.by_ref().take(answers) {
        note(line);
    }
    victim.kill().expect("it runs");
    for line in lines {
        note(line);
    }
    victim.wait().expect("it was ours");
}

/// Kills a process thirty times while it uploads, removes, repairs and reclaims.
#[test]
fn what_was_acknowledged_survives_a_kill() {
    let dir = TempDir::new();
    let mut told = BTreeMap::new();
    for round in 0..KILLS {
        let victim = start(&dir, round);
        kill_after(victim, 1 + usize::from(round % 7), &mut told);
        let report = verify(dir.path(), NODE, Depth::Whole, &mut |_| ());
        assert_sound(&report.expect("a library"), round);
        let mut library = writer(&dir);
        for (song, what) in &told {
            assert_stands(&mut library, *song, *what);
        }
    }
    let mut kinds: Vec<_> = told.values().map(|what| *what as u8).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 3, "songs of every fate");
}

/// At most one fragment is wrong: the one that the killed process had altered itself.
fn assert_sound(report: &Report, round: u8) {
    let spoiled = |finding: &Finding| finding.fragment() == Some(7);
    let others = report.findings.iter().filter(|finding| !spoiled(finding));
    assert_eq!(others.count(), 0, "round {round}: {:?}", report.findings);
    assert!(report.findings.len() <= usize::from(round) + 1);
}

fn assert_stands(library: &mut LibraryWorker, song: SongId, what: Told) {
    let described = matches!(
        library.run(LibraryJob::Describe { song }),
        JobReply::Described { .. }
    );
    match what {
        // The song may have left since, in a change that was not acknowledged.
        Told::Stored => assert!(described || is_in_feed_as_removed(library, song)),
        Told::Dropped | Told::Removed => assert!(!described, "{song} {what:?}"),
    }
    if what == Told::Removed {
        let commit = commit(library, song, &[]);
        assert_eq!(commit, failed(JobFault::Removed));
    }
}

fn is_in_feed_as_removed(library: &mut LibraryWorker, song: SongId) -> bool {
    let (feed, _) = changes(library, 0, 500);
    feed.contains(&Change::Removed(song)) || feed.contains(&Change::Buried(song))
}
