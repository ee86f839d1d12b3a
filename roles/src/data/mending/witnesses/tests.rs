use super::*;
use crate::contract::id::{ContentHash, RequestId};
use crate::contract::job::Job;
use crate::contract::node::Action;
use crate::contract::record::{Record, Role};
use crate::contract::song::{Fragment, Part};
use crate::contract::time::Time;
use crate::test_support::{Host, at, record};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;

fn manifest(title: &str) -> Manifest {
    let fragments = vec![Fragment {
        length: 10,
        start_ms: 0,
        part: Part::Audio,
        hash: ContentHash([3; 32]),
    }];
    let mut manifest = Manifest::of(ContentHash([7; 32]), fragments);
    manifest.song.title = title.into();
    manifest
}

fn others(data: &[Record]) -> Others<'_> {
    let own = record(1, Role::Data);
    let owners = crate::test_support::owners(data.iter().chain([&own]));
    Others {
        unix_ms: 0,
        data,
        owners: Box::leak(Box::new(Arc::new(owners))),
        leaving: &[],
        dead: &[],
        routers: &[],
        own,
        draining: false,
    }
}

/// The questions that were sent, and the job that was ordered.
fn sent(host: &mut Host) -> (Vec<(Peer, RequestId)>, Option<LibraryJob>) {
    let (mut asked, mut job) = (vec![], None);
    while let Some(action) = host.out.pop() {
        match action {
            Action::Send { to, envelope } => asked.push((to, envelope.id)),
            Action::Run {
                work: Job::Library(work),
                ..
            } => job = Some(work),
            _ => (),
        }
    }
    (asked, job)
}

/// Asks two other owners about a song, and gives their answers. Returns the job that follows.
fn asked(answers: [Message; 2]) -> Option<LibraryJob> {
    let data = [record(2, Role::Data), record(3, Role::Data)];
    let (mut witnesses, mut host) = (Witnesses::default(), Host::default());
    let song = manifest("").song.id;
    witnesses.ask(&mut host.at(at(0)), vec![song], others(&data));
    let (questions, job) = sent(&mut host);
    assert_eq!((questions.len(), job), (2, None));
    for ((from, id), answer) in questions.into_iter().zip(answers) {
        let answered = host.answered(at(1), from, (id, answer));
        let Some((Asked::Witness(song), reply)) = answered else {
            continue;
        };
        witnesses.conclude(&mut host.at(at(1)), song, reply);
    }
    let ended = host.at(Time::from_secs(60)).on_tick();
    for outcome in ended {
        witnesses.conclude(&mut host.at(at(60)), song, outcome.reply);
    }
    sent(&mut host).1
}

fn described(title: &str) -> Message {
    let manifest = manifest(title);
    Message::Audio(Audio::Described { manifest })
}

fn sealing(titles: &[&str]) -> Option<LibraryJob> {
    let song = manifest("").song.id;
    let manifests = titles.iter().map(|title| manifest(title)).collect();
    let songs = vec![Witnessed { song, manifests }];
    Some(LibraryJob::Seal { songs })
}

/// The library compares what both owners say.
#[test]
fn the_library_learns_what_the_owners_say() {
    let job = asked([described("a"), described("b")]);
    assert_eq!(job, sealing(&["a", "b"]));
    let lacks = || Message::Refused(Refusal::NotFound);
    assert_eq!(asked([described("a"), lacks()]), sealing(&["a"]));
    assert_eq!(asked([lacks(), lacks()]), sealing(&[]));
}

/// An owner that does not say anything may have the song: it is not sealed as it is found.
#[test]
fn silence_seals_nothing() {
    let lacks = || Message::Refused(Refusal::NotFound);
    let broken = || Message::Refused(Refusal::Broken("its tables".into()));
    assert_eq!(asked([lacks(), broken()]), None);
    assert_eq!(asked([described("a"), broken()]), sealing(&["a"]));
}

/// Where no other data node is known, there is nobody to ask. A dead one may come back with a copy.
#[test]
fn a_node_alone_seals_what_it_finds() {
    let song = manifest("").song.id;
    let (mut witnesses, mut host) = (Witnesses::default(), Host::default());
    let dead = [(record(2, Role::Data), at(0))];
    let with_dead = Others {
        dead: &dead,
        ..others(&[])
    };
    witnesses.ask(&mut host.at(at(1)), vec![song], with_dead);
    assert_eq!(sent(&mut host), (vec![], None));
    witnesses.ask(&mut host.at(at(2)), vec![song], others(&[]));
    assert_eq!(sent(&mut host), (vec![], sealing(&[])));
}
