//! The answers to uploads, through the data node that gives them.

use super::super::removal::Removal;
use super::super::{Config, Data, Others};
use super::*;
use crate::contract::id::{Incarnation, JobId, NodeId, RequestId, SongId};
use crate::contract::job::{Job, JobReply, LibraryJob, Overview};
use crate::contract::message::{Announcement, Audio, Catalogue, Message, StoreId};
use crate::contract::node::{Action, Asker, Peer, Sender};
use crate::contract::record::{Record, Role};
use crate::contract::rng::Rng;
use crate::contract::trash::Fate;
use crate::mutants::CopyMutants;
use crate::test_support::{Host, record};

/// The only data node, and a router that knows everything so far.
struct Lone {
    data: Data,
    routers: [Record; 1],
    host: Host,
}

fn at(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

/// A client that waits until then.
fn guest(id: u64, until: Time) -> Asker {
    let sender = Sender {
        peer: Peer::Guest(1),
        node: NodeId(99),
        incarnation: Incarnation(1),
    };
    Asker {
        sender,
        id: RequestId(id),
        until,
    }
}

impl Lone {
    fn new() -> Self {
        let mut lone = Lone {
            data: Data::new(Config::default(), Rng::from_seed(1)),
            routers: [record(2, Role::Router)],
            host: Host::default(),
        };
        (lone.data.sweep_at, lone.data.overview) = (Time::NEVER, Some(Overview::default()));
        lone.with(|data, others, host| data.announce(&mut host.at(at(0)), others));
        let (id, _) = lone.announced().expect("a word for the router");
        lone.hear(at(1), id, 0);
        lone
    }

    fn with(&mut self, step: impl FnOnce(&mut Data, Others<'_>, &mut Host)) {
        let others = Others {
            unix_ms: 0,
            data: &[],
            leaving: &[],
            dead: &[],
            routers: &self.routers,
            owners: &alloc::sync::Arc::new(crate::test_support::owners([&record(1, Role::Data)])),
            own: record(1, Role::Data),
            draining: false,
        };
        step(&mut self.data, others, &mut self.host);
    }

    /// The next announcement to the router; drops the actions before it.
    fn announced(&mut self) -> Option<(RequestId, Announcement)> {
        core::iter::from_fn(|| self.host.out.pop()).find_map(|action| match action {
            Action::Send { envelope, .. } => match envelope.message {
                Message::Catalogue(Catalogue::Announce(news)) => Some((envelope.id, news)),
                _ => None,
            },
            _ => None,
        })
    }

    /// The router says that it knows everything up to this revision.
    fn hear(&mut self, now: Time, id: RequestId, revision: u64) {
        let store = StoreId::default();
        let message = Message::Catalogue(Catalogue::Announced { store, revision });
        let router = Peer::Node(self.routers[0].address);
        let ended = self.host.answered(now, router, (id, message));
        let (asked, reply) = ended.expect("an announcement is under way");
        self.with(|data, others, host| data.conclude(&mut host.at(now), asked, reply, others));
    }

    /// A guest's song becomes durable, at this revision.
    fn commit(&mut self, now: Time, revision: u64) {
        let asker = guest(revision, at(600_000));
        let song = SongId(7);
        let commit = Audio::Commit { song, copy: false };
        self.with(|data, others, host| {
            data.on_question(&mut host.at(Time::ZERO), asker, commit, Vec::new(), others)
        });
        let job = self.ordered(|work| matches!(work, LibraryJob::CommitUpload { .. }));
        let overview = Overview {
            revision,
            ..Overview::default()
        };
        let reply = JobReply::Stored { overview };
        self.done(now, job, reply);
    }

    fn done(&mut self, now: Time, job: JobId, reply: JobReply) {
        self.with(|data, others, host| {
            let cx = &mut host.at(now);
            let ordered = cx.on_done(job).expect("the job is under way");
            data.on_done(cx, ordered, reply, others);
        });
    }

    fn ordered(&mut self, wanted: impl Fn(&LibraryJob) -> bool) -> JobId {
        let found = core::iter::from_fn(|| self.host.out.pop()).find_map(|action| match action {
            Action::Run {
                job,
                work: Job::Library(work),
                ..
            } if wanted(&work) => Some(job),
            _ => None,
        });
        found.expect("such a job")
    }

    /// Completes the read of the changes, and returns the announcement's id.
    fn announce(&mut self, now: Time, revision: u64) -> RequestId {
        let job = self.ordered(|work| matches!(work, LibraryJob::Changes { .. }));
        let changes = Vec::new();
        let reply = JobReply::Changes { changes, revision };
        self.done(now, job, reply);
        self.announced().expect("a word for the router").0
    }

    /// Whether the guest has been told that the song is stored.
    fn is_answered(&mut self) -> bool {
        core::iter::from_fn(|| self.host.out.pop()).any(|action| match action {
            Action::Send { to, envelope } => {
                to == Peer::Guest(1)
                    && matches!(envelope.message, Message::Audio(Audio::Stored { .. }))
            }
            _ => false,
        })
    }
}

/// A client that asks for the song as soon as it is stored finds it.
#[test]
fn an_upload_is_answered_when_the_router_knows_the_song() {
    let mut lone = Lone::new();
    lone.commit(at(10), 1);
    let id = lone.announce(at(11), 1);
    assert!(!lone.is_answered());
    lone.hear(at(12), id, 1);
    assert!(lone.is_answered());
}

/// A stalled router delays one upload, and delays uploads again after it has answered.
#[test]
fn a_silent_router_delays_one_upload() {
    let mut lone = Lone::new();
    lone.commit(at(10), 1);
    let id = lone.announce(at(11), 1);
    let due = lone.data.deadline().expect("an end of the wait");
    assert!(due <= at(10) + ROUTERS_PATIENCE);
    let over = at(10) + ROUTERS_PATIENCE;
    lone.with(|data, others, host| data.on_tick(&mut host.at(over), others));
    assert!(lone.is_answered());
    lone.commit(at(300), 2);
    assert!(lone.is_answered());

    lone.hear(at(400), id, 1);
    let id = lone.announce(at(401), 2);
    lone.hear(at(402), id, 2);
    lone.commit(at(410), 3);
    let id = lone.announce(at(411), 3);
    assert!(!lone.is_answered());
    lone.hear(at(412), id, 3);
    assert!(lone.is_answered());
}

/// The node that shall get the second copy is busy for ever. The client is answered with one copy
/// while it still waits.
#[test]
fn a_copy_that_never_ends_does_not_keep_the_client() {
    let mut waits = Acknowledgements::default();
    let asker = guest(1, at(100_000));
    let upload = Upload {
        asker,
        song: SongId(7),
        revision: 1,
    };
    waits.wait(at(0), upload, [NodeId(2)].into());
    let due = waits.deadline().expect("an end of the wait");
    assert_eq!(due + GIVE_PATIENCE, asker.until);
    let mut host = Host::default();
    waits.on_tick(due);
    waits.answer(None, &mut host.out);
    let Some(Action::Send { envelope, .. }) = host.out.pop() else {
        panic!("no answer");
    };
    assert_eq!(envelope.message, stored(1));
    assert!(waits.is_empty());
}

/// The library is set aside while a client waits: what was durable in it is not acknowledged.
#[test]
fn a_library_set_aside_acknowledges_nothing() {
    let mut lone = Lone::new();
    lone.commit(at(10), 1);
    lone.announce(at(11), 1);
    let another = Overview {
        store: StoreId(9),
        ..Overview::default()
    };
    lone.with(|data, _, host| data.renew(&mut host.at(at(12)), another));
    let Some(Action::Send { to, envelope }) = lone.host.out.pop() else {
        panic!("no answer");
    };
    assert_eq!((to, envelope.message), (Peer::Guest(1), set_aside()));
    assert!(lone.data.acknowledgements.is_empty());
}

/// The same for a change of the trash.
#[test]
fn a_library_set_aside_has_changed_nothing() {
    let mut lone = Lone::new();
    let asker = guest(1, at(60_000));
    lone.with(|data, _, host| {
        let cx = &mut host.at(at(10));
        data.on_fate(cx, asker, (SongId(7), Fate::Here, 0));
    });
    assert_eq!(lone.data.trash.changes(), 1);
    while lone.host.out.pop().is_some() {}
    let another = Overview {
        store: StoreId(9),
        ..Overview::default()
    };
    lone.with(|data, _, host| data.renew(&mut host.at(at(12)), another));
    let mut answers = core::iter::from_fn(|| lone.host.out.pop());
    let refused = answers.any(|action| {
        matches!(action, Action::Send { to: Peer::Guest(1), envelope } if envelope.message == set_aside())
    });
    assert!(refused, "no answer");
    assert_eq!(lone.data.trash.changes(), 0);
}

/// The same for a removal that waits for a second node.
#[test]
fn a_library_set_aside_has_removed_nothing() {
    let mut host = Host::default();
    let mut removal = Removal::new(CopyMutants::default());
    let others = [record(2, Role::Data)];
    let asker = guest(1, at(60_000));
    let mut lone = Lone::new();
    lone.with(|_, own, _| {
        let others = Others {
            unix_ms: 0,
            data: &others,
            ..own
        };
        removal.spread(&mut host.at(at(0)), asker, &[SongId(7)], others);
    });
    assert_eq!(removal.waiting(), 1);
    while host.out.pop().is_some() {}
    removal.refuse(&mut host.out);
    let Some(Action::Send { to, envelope }) = host.out.pop() else {
        panic!("no answer");
    };
    assert_eq!((to, envelope.message), (Peer::Guest(1), set_aside()));
    assert_eq!(removal.waiting(), 0);
}
