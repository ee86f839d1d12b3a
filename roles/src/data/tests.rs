use super::answers::stored;
use super::*;
use crate::contract::id::{Incarnation, RequestId};
use crate::contract::node::{Action, Sender};
use crate::contract::record::Role;
use crate::test_support::record;
use alloc::boxed::Box;

fn others(data: &[Record]) -> Others<'_> {
    let own = record(1, Role::Data);
    let owners = crate::test_support::owners(data.iter().chain([&own]));
    Others {
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

fn ordered(out: &mut Outbox) -> Option<(JobId, LibraryJob)> {
    let actions = core::iter::from_fn(|| out.pop());
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

/// While a song is being committed, the node that shall get its copy leaves the DNS. The copies
/// made are those written to disk with the song, as soon as that node is back.
#[test]
fn the_copies_written_down_are_the_copies_made() {
    let mut data = Data::new(Config::default(), Rng::from_seed(1));
    let mut out = Outbox::new();
    data.sweep_at = Time::NEVER;
    let (song, other) = (SongId(7), [record(2, Role::Data)]);
    let commit = Audio::Commit { song, copy: false };
    data.on_question(asker(), commit, Vec::new(), others(&other), &mut out);
    let Some((job, LibraryJob::CommitUpload { copies_due, .. })) = ordered(&mut out) else {
        panic!("no commit");
    };
    assert_eq!(copies_due, [other[0].node]);

    let overview = Overview::default();
    let reply = JobReply::Stored { overview };
    data.on_done(Time::from_secs(1), job, reply, others(&[]), &mut out);
    while out.pop().is_some() {}
    data.on_tick(Time::from_secs(9), others(&other), &mut out);
    let describes = |(_, work)| work == LibraryJob::Describe { song };
    assert!(ordered(&mut out).is_some_and(describes), "the copy begins");
}

/// A second node accepts every offer and stores nothing. Its copies stay on the list on disk, the
/// copies in memory are bounded, and uploads are answered.
#[test]
fn a_peer_that_never_stores_costs_no_memory() {
    let mut data = Data::new(Config::default(), Rng::from_seed(1));
    let mut out = Outbox::new();
    data.sweep_at = Time::NEVER;
    let other = [record(2, Role::Data)];
    let mut answered = 0;
    for n in 0..3000u128 {
        let commit = Audio::Commit {
            song: SongId(n),
            copy: false,
        };
        data.on_question(asker(), commit, Vec::new(), others(&other), &mut out);
        let job = ordered(&mut out).expect("a commit").0;
        let reply = JobReply::Stored {
            overview: Overview::default(),
        };
        data.on_done(Time::from_secs(1), job, reply, others(&other), &mut out);
        let alone = stored(1);
        let actions = core::iter::from_fn(|| out.pop());
        answered += actions
            .filter(|a| matches!(a, Action::Send { envelope, .. } if envelope.message == alone))
            .count();
    }
    assert!(answered > 1900, "{answered} are answered at once");
    for queue in data.queues() {
        assert!(queue.length <= queue.most, "{queue:?}");
    }
}

/// A node that was to get a copy is gone for good. Its copy is struck off the list after the grace,
/// not before, and not by a node that sees no other.
#[test]
fn the_copies_for_a_lost_node_are_forgotten() {
    let mut data = Data::new(Config::default(), Rng::from_seed(1));
    let mut out = Outbox::new();
    data.sweep_at = Time::NEVER;
    let song = SongId(7);
    let (lost, other) = ([record(2, Role::Data)], [record(3, Role::Data)]);
    let commit = Audio::Commit { song, copy: false };
    data.on_question(asker(), commit, Vec::new(), others(&lost), &mut out);
    let (job, _) = ordered(&mut out).expect("a commit");
    let overview = Overview::default();
    let reply = JobReply::Stored { overview };
    data.on_done(Time::from_secs(1), job, reply, others(&[]), &mut out);

    let forgets = LibraryJob::ForgetCopiesDue { node: lost[0].node };
    let mut forgotten = |now, others: Others<'_>| {
        while out.pop().is_some() {}
        data.on_tick(Time::from_secs(now), others, &mut out);
        let mut actions = core::iter::from_fn(|| out.pop());
        actions.any(|action| match action {
            Action::Run { work, .. } => work == forgets.clone().into(),
            _ => false,
        })
    };
    assert!(!forgotten(1000, others(&[])), "this node may be cut off");
    assert!(!forgotten(2000, others(&other)), "it may come back");
    assert!(!forgotten(2200, others(&other)), "it may come back");
    assert!(forgotten(2400, others(&other)), "after five minutes");
    assert!(!forgotten(2600, others(&other)), "once is enough");
}
