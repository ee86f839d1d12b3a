use super::answers::stored;
use super::*;
use crate::contract::id::JobId;
use crate::contract::id::{Incarnation, RequestId};
use crate::contract::job::FragmentId;
use crate::contract::node::Peer;
use crate::contract::node::{Action, Sender};
use crate::contract::record::{Features, Role};
use crate::purpose::scrub as rot;
use crate::test_support::{Host, record};
use alloc::boxed::Box;
use alloc::string::ToString;

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
        own: record(1, Role::Data),
        draining: false,
    }
}

fn asker() -> Asker {
    let sender = Sender {
        peer: Peer::Guest(1),
        node: NodeId(99),
        incarnation: Incarnation(1),
    };
    Asker {
        sender,
        id: RequestId(1),
        until: Time::from_secs(600),
    }
}

fn ordered(host: &mut Host) -> Option<(JobId, LibraryJob)> {
    let actions = core::iter::from_fn(|| host.out.pop());
    let mut jobs = actions.filter_map(|action| {
        if let Action::Run {
            job,
            work: crate::contract::job::Job::Library(work),
            ..
        } = action
        {
            return Some((job, work));
        }
        None
    });
    jobs.next()
}

/// The job has ended with this reply.
fn done(
    data: &mut Data,
    (host, now): (&mut Host, Time),
    job: JobId,
    reply: JobReply,
    others: Others<'_>,
) {
    let cx = &mut host.at(now);
    let ordered = cx.on_done(job).expect("the job is under way");
    data.on_done(cx, ordered, reply, others);
}

/// While a song is being committed, the node that shall get its copy leaves the DNS. The copies
/// made are those written to disk with the song, as soon as that node is back.
#[test]
fn the_copies_written_down_are_the_copies_made() {
    let mut data = Data::new(Config::default(), Rng::from_seed(1));
    let mut host = Host::default();
    data.sweep_at = Time::NEVER;
    let (song, other) = (SongId(7), [record(2, Role::Data)]);
    let commit = Audio::Commit { song, copy: false };
    data.on_question(
        &mut host.at(Time::ZERO),
        asker(),
        commit,
        Vec::new(),
        others(&other),
    );
    let Some((job, LibraryJob::CommitUpload { copies_due, .. })) = ordered(&mut host) else {
        panic!("no commit");
    };
    assert_eq!(copies_due, [other[0].node]);

    let overview = Overview::default();
    let reply = JobReply::Stored { overview };
    done(
        &mut data,
        (&mut host, Time::from_secs(1)),
        job,
        reply,
        others(&[]),
    );
    while host.out.pop().is_some() {}
    data.on_tick(&mut host.at(Time::from_secs(9)), others(&other));
    let describes = |(_, work)| work == LibraryJob::Describe { song };
    assert!(ordered(&mut host).is_some_and(describes), "the copy begins");
}

/// A second node accepts every offer and stores nothing. Its copies stay on the list on disk, the
/// copies in memory are bounded, and uploads are answered.
#[test]
fn a_peer_that_never_stores_costs_no_memory() {
    let mut data = Data::new(Config::default(), Rng::from_seed(1));
    let mut host = Host::default();
    data.sweep_at = Time::NEVER;
    let other = [record(2, Role::Data)];
    let mut answered = 0;
    for n in 0..3000u128 {
        let commit = Audio::Commit {
            song: SongId(n),
            copy: false,
        };
        data.on_question(
            &mut host.at(Time::ZERO),
            asker(),
            commit,
            Vec::new(),
            others(&other),
        );
        let job = ordered(&mut host).expect("a commit").0;
        let reply = JobReply::Stored {
            overview: Overview::default(),
        };
        done(
            &mut data,
            (&mut host, Time::from_secs(1)),
            job,
            reply,
            others(&other),
        );
        let alone = stored(1);
        let actions = core::iter::from_fn(|| host.out.pop());
        answered += actions
            .filter(|a| matches!(a, Action::Send { envelope, .. } if envelope.message == alone))
            .count();
    }
    assert!(answered > 1900, "{answered} are answered at once");
    for queue in data.queues() {
        assert!(queue.length <= queue.most, "{queue:?}");
    }
}

/// What has found no room gives back what it has, in whatever step; the router hears that the disk
/// is full, and later that it is not.
#[test]
fn an_upload_without_room_is_forgotten_at_once() {
    let mut data = Data::new(Config::default(), Rng::from_seed(1));
    let mut host = Host::default();
    data.sweep_at = Time::NEVER;
    let (song, now) = (SongId(7), Time::from_secs(1));
    let full = |data: &Data, host: &mut Host| {
        let news = data.news(&host.at(now), record(1, Role::Data));
        news.record.features.has(Features::FULL)
    };
    let steps = [
        Audio::Give { song, index: 3 },
        Audio::Commit { song, copy: true },
        Audio::Commit { song, copy: false },
    ];
    for step in steps {
        data.on_question(
            &mut host.at(Time::ZERO),
            asker(),
            step,
            [1].into(),
            others(&[]),
        );
        let (job, _) = ordered(&mut host).expect("a step of an upload");
        let reply = JobReply::Failed(JobFault::DiskFull);
        done(&mut data, (&mut host, now), job, reply, others(&[]));
        let (drop, work) = ordered(&mut host).expect("room is given back");
        assert_eq!(work, LibraryJob::DropUpload { song });
        assert!(full(&data, &mut host));

        // The library is busy: once more, a little later, until no room is left to be freed.
        let busy = JobReply::Failed(JobFault::Busy);
        done(&mut data, (&mut host, now), drop, busy, others(&[]));
        assert_eq!(ordered(&mut host), None);
        data.on_tick(&mut host.at(now + LOOK_AGAIN), others(&[]));
        let (drop, work) = ordered(&mut host).expect("another attempt");
        assert_eq!(work, LibraryJob::DropUpload { song });
        let more = JobReply::Reclaimed { more: true };
        done(&mut data, (&mut host, now), drop, more, others(&[]));
        assert_eq!(
            ordered(&mut host).map(|(_, work)| work),
            Some(LibraryJob::Reclaim)
        );
    }

    let look = |data: &mut Data, host: &mut Host, now, full| {
        data.look_at_room(&mut host.at(now));
        let (job, work) = ordered(host).expect("a look");
        let reply = JobReply::Room { full };
        done(data, (host, now), job, reply, others(&[]));
        work
    };
    // A song of 40 MB is refused: the node is full as long as that one does not fit, and not longer
    // than people remember it.
    let purpose = Purpose::Offer(asker(), song, false, 40_000_000);
    data.on_disk_full(&mut host.at(now), &purpose);
    assert!(ordered(&mut host).is_some());
    let bytes = 40_000_000;
    assert_eq!(
        look(&mut data, &mut host, now, true),
        LibraryJob::Room { bytes }
    );
    assert!(full(&data, &mut host));
    assert_eq!(
        look(&mut data, &mut host, now, false),
        LibraryJob::Room { bytes }
    );
    assert!(!full(&data, &mut host));
    let bytes = 1_000_000;
    let later = now + Duration::from_secs(600);
    assert_eq!(
        look(&mut data, &mut host, later, false),
        LibraryJob::Room { bytes }
    );
}

/// The list on disk has many copies for a node that is gone. One job strikes all of them off.
#[test]
fn a_lost_node_is_forgotten_once() {
    let config = Config::default().anti_entropy;
    let mut copies = Replication::new(&config, Rng::from_seed(1));
    let (lost, other) = (record(2, Role::Data).node, [record(3, Role::Data)]);
    let due: Vec<_> = (1..9).map(|song| (SongId(song), lost)).collect();
    let mut forgotten = 0;
    for now in [0, 400].map(Time::from_secs) {
        let mut host = Host::default();
        copies.start(&mut host.at(Time::ZERO));
        let (job, _) = ordered(&mut host).expect("the list is read");
        let (due, more) = (due.clone(), false);
        let reply = JobReply::CopiesDue { due, more };
        let cx = &mut host.at(now);
        let Some(Ordered::Replication(purpose)) = cx.on_done(job) else {
            panic!("a job of another part");
        };
        copies.on_done(cx, purpose, reply, &other);
        while let Some((_, work)) = ordered(&mut host) {
            forgotten += usize::from(work == LibraryJob::ForgetCopiesDue { node: lost });
        }
    }
    assert_eq!(forgotten, 1);
}

/// A scrub that has found the first fragment of a song damaged and asks others for it.
fn asking(data: &[Record], host: &mut Host) -> (Scrub, FragmentId) {
    let config = Config::default().anti_entropy;
    let mut scrub = Scrub::new(&config, Rng::from_seed(1));
    let (song, index) = (SongId(7), 0);
    let fragment = FragmentId { song, index };
    scrub.on_rot(&mut host.at(Time::ZERO), fragment);
    let set_aside = rot::Purpose::SetAside(fragment);
    let cx = &mut host.at(Time::ZERO);
    scrub.on_done(cx, set_aside, JobReply::Done, others(data));
    (scrub, fragment)
}

/// Whether the song counts as unreadable after two other data nodes have refused so.
fn unreadable_after(refusals: [Refusal; 2]) -> bool {
    let data = [record(2, Role::Data), record(3, Role::Data)];
    let mut host = Host::default();
    let (mut scrub, fragment) = asking(&data, &mut host);
    for refusal in refusals {
        assert!(scrub.unreadable().is_empty(), "not every node is asked");
        let reply = Reply::GaveUp {
            refusal: Some(refusal),
            lost: None,
        };
        scrub.conclude(&mut host.at(Time::ZERO), fragment, reply);
    }
    scrub.unreadable().contains(&fragment.song)
}

/// A fragment is nowhere only when every other data node has said that it lacks it.
#[test]
fn a_busy_node_may_have_the_fragment() {
    let damaged = || Refusal::Broken(JobFault::Quarantined.to_string());
    let failed = Refusal::Broken("the disk did not answer".into());
    assert!(unreadable_after([Refusal::NotFound, damaged()]));
    assert!(!unreadable_after([Refusal::NotReady, damaged()]));
    assert!(!unreadable_after([damaged(), failed]));
}

/// A fragment was found bad and is nowhere. Its song is stored anew, or removed: the list of bad
/// fragments lacks it.
#[test]
fn what_is_listed_no_longer_is_bad_no_longer() {
    let mut host = Host::default();
    let (mut scrub, fragment) = asking(&[record(2, Role::Data)], &mut host);
    let refused = Reply::GaveUp {
        refusal: Some(Refusal::NotFound),
        lost: None,
    };
    scrub.conclude(&mut host.at(Time::ZERO), fragment, refused);
    assert!(scrub.unreadable().contains(&fragment.song));

    let overview = Overview {
        quarantined: 1,
        ..Overview::default()
    };
    let listed = || JobReply::Quarantined {
        fragments: Vec::new(),
        more: false,
    };
    let cx = &mut host.at(Time::ZERO);
    scrub.start(cx, &overview);
    // This one is set aside after the list was ordered.
    let index = 1;
    scrub.on_rot(cx, FragmentId { index, ..fragment });
    scrub.on_done(cx, rot::Purpose::List, listed(), others(&[]));
    assert_eq!(scrub.bad(), 2, "that list lacks the second");
    let set_aside = rot::Purpose::SetAside(FragmentId { index, ..fragment });
    scrub.on_done(cx, set_aside, JobReply::Done, others(&[]));
    scrub.list(cx);
    scrub.on_done(cx, rot::Purpose::List, listed(), others(&[]));
    assert!(scrub.unreadable().is_empty());
    assert_eq!(scrub.bad(), 0);
}
