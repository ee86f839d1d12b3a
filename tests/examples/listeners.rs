//! What listeners write, in numbers: how long a write takes, beside syncs of a file on the same disk; what
//! many stars and playlists cost a router; how soon a fresh router has all of them:
//! `cargo run --release -p tests --example listeners`.
// Figures go to standard output, and an unexpected event ends the run.
#![allow(clippy::print_stdout, clippy::wildcard_enum_match_arm)]

#[allow(dead_code)]
#[path = "parts/front.rs"]
mod front;
#[allow(dead_code)]
#[path = "../process/lab.rs"]
mod lab;

use std::fs::File;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use roles::annotations::playlist::{Playlist, PlaylistId, head, rename};
use roles::annotations::{Subject, star};
use roles::contract::document::{AccountId, Kind, Reading};
use roles::contract::id::SongId;
use roles::contract::rng::Rng;
use roles::contract::user::{Command, Draft, Notice};

use front::Front;
use lab::{Lab, Server};

const OWNER: AccountId = AccountId::LISTENER;
const STARS: u64 = 10_000;
const LISTS: u128 = 1_000;
const ENTRIES: u64 = 1_000;

fn main() {
    let mut lab = Lab::new("listeners-figures");
    let (names, data) = lab.cluster(2, 2);
    let front = Front::start(&names[0].address);
    one_by_one(&lab, &front);
    let routers: Vec<&Server> = names.iter().filter(|one| one.role == "router").collect();
    let before: Vec<u64> = routers.iter().map(|one| one.resident_kb()).collect();
    let begun = Instant::now();
    stars(&front);
    lists(&front);
    println!("all of it written   {:.1?}", begun.elapsed());
    thread::sleep(Duration::from_secs(2)); // Only here: memory is given back after a quiet second.
    for (router, before) in routers.iter().zip(before) {
        let more = router.resident_kb().saturating_sub(before) as f64 / 1024.0;
        println!("router memory       +{more:.1} MiB");
    }
    for one in &data {
        println!(
            "data node memory    {:.1} MiB",
            one.resident_kb() as f64 / 1024.0
        );
    }
    drop(front);
    fresh(&mut lab, names);
}

/// The time of one write, and of two syncs one after the other: a write waits for two disks.
fn one_by_one(lab: &Lab, front: &Front) {
    let mut writes: Vec<Duration> = (0..200)
        .map(|n| {
            let begun = Instant::now();
            write(front, vec![starred(n)]);
            begun.elapsed()
        })
        .collect();
    let mut file = File::create(lab.dir.join("synced")).expect("a file");
    let mut syncs: Vec<Duration> = (0..200)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..2 {
                file.write_all(&[7; 4096])
                    .and_then(|()| file.sync_data())
                    .expect("room");
            }
            begun.elapsed()
        })
        .collect();
    writes.sort_unstable();
    syncs.sort_unstable();
    println!(
        "a write             {:.1?}, 99 of 100 within {:.1?}",
        writes[100], writes[197]
    );
    println!(
        "two syncs           {:.1?}, 99 of 100 within {:.1?}",
        syncs[100], syncs[197]
    );
}

fn starred(n: u64) -> Draft {
    Draft {
        key: star(OWNER, Subject::Song(SongId(u128::from(n) << 64 | 7))),
        body: Some(Vec::new()),
    }
}

fn stars(front: &Front) {
    let all: Vec<Draft> = (0..STARS).map(starred).collect();
    for some in all.chunks(500) {
        write(front, some.to_vec());
    }
}

fn lists(front: &Front) {
    let mut rng = Rng::from_seed(1);
    for n in 0..LISTS {
        let id = PlaylistId(n);
        let songs: Vec<SongId> = (0..ENTRIES)
            .map(|_| SongId(u128::from(rng.bits()) << 64 | u128::from(rng.bits())))
            .collect();
        let list = Playlist::of(OWNER, id, &[]);
        let mut drafts = list.insert(0, &songs, &mut rng).expect("a place");
        drafts.push(rename(OWNER, id, &format!("list {n}")).expect("a name"));
        write(front, drafts);
    }
}

fn write(front: &Front, drafts: Vec<Draft>) {
    let operation = front.next();
    let plays = Vec::new();
    let command = Command::WriteDocuments {
        operation,
        drafts,
        plays,
    };
    let Notice::Written { copies, .. } = front.ask(command) else {
        panic!("not written");
    };
    assert_eq!(copies, 2);
}

/// A router that starts with nothing, while the others are away, has every list.
fn fresh(lab: &mut Lab, names: Vec<Server>) {
    let dns = names[0].address.clone();
    let mut names = names;
    names
        .iter_mut()
        .filter(|one| one.role == "router")
        .for_each(Server::kill);
    let begun = Instant::now();
    let router = lab.start("router", "fresh", &[]);
    let front = Front::start(&dns);
    loop {
        let operation = front.next();
        let reading = Reading {
            owner: OWNER,
            kind: Kind::PLAYLIST,
            within: head(OWNER, PlaylistId(LISTS - 1)).subject,
            after: None,
            limit: 1,
        };
        front.give(Command::ReadDocuments { operation, reading });
        let notice = front.any();
        if matches!(&notice, Notice::Documents { page, .. } if !page.documents.is_empty()) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{notice:?}");
    }
    println!(
        "a fresh router      has the last list after {:.1?}",
        begun.elapsed()
    );
    thread::sleep(Duration::from_secs(2)); // Only here: it hears the same of the second data node.
    println!(
        "its memory          {:.1} MiB",
        router.resident_kb() as f64 / 1024.0
    );
}
