//! Tests of a router through its questions and answers.

use crate::test_support::{self, Host, addr, at, record};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::contract::chord::Chord as ChordMessage;
use crate::contract::id::{Incarnation, RequestId};
use crate::contract::message::{Audio, Change, Digest, Listed, Sort, StoreId};
use crate::contract::node::{Action, Sender};
use crate::contract::song::{Format, Song};
use crate::purpose::Asked;

fn song(n: u8, title: &str, artist: &str) -> Song {
    Song {
        title: title.into(),
        artist: artist.into(),
        year: 1990 + u16::from(n),
        duration_ms: 1_000,
        bytes: 10,
        format: Format::Mp3,
        fragments: 1,
        ..Song::of(SongId(u128::from(n) << 120))
    }
}

struct World {
    router: Router,
    host: Host,
}

impl World {
    fn new() -> Self {
        World {
            router: Router::new(Config::default(), at(0), Rng::from_seed(1)),
            host: Host::default(),
        }
    }

    fn ask(&mut self, now: Time, who: u8, words: CatalogueMessage) -> Message {
        let sender = Sender {
            peer: Peer::Node(addr(who)),
            node: NodeId(u128::from(who)),
            incarnation: Incarnation(1),
        };
        let asker = Asker {
            sender,
            id: RequestId(1),
            until: at(999),
        };
        // One data node is registered, number 7.
        let servers = &[record(7, Role::Data)];
        let sight = Sight {
            unix_ms: 0,
            servers,
            owners: &test_support::owners(servers),
            ring: None,
        };
        self.router
            .on_question(&mut self.host.at(now), asker, words, sight);
        let mut actions = core::iter::from_fn(|| self.host.out.pop());
        let answer = actions.find_map(|action| match action {
            Action::Send { envelope, .. } => Some(envelope.message),
            Action::Tell(_) => None,
            other => panic!("no answer but {other:?}"),
        });
        answer.expect("an answer")
    }

    /// The connection to a data node breaks.
    fn lose(&mut self, now: Time, who: u8) {
        self.router.on_lost(now, Peer::Node(addr(who)));
    }

    /// A data node announces that it has had these songs, in this order, since `since`.
    fn announce(&mut self, now: Time, who: u8, since: u64, songs: &[Song], all: &[Song]) -> u64 {
        self.announce_as(now, record(who, Role::Data), since, songs, all)
    }

    fn announce_as(
        &mut self,
        now: Time,
        record: Record,
        since: u64,
        songs: &[Song],
        all: &[Song],
    ) -> u64 {
        let mut digest = Digest::default();
        all.iter().for_each(|song| digest.insert(song.id));
        let revision = since + songs.len() as u64;
        let news = Announcement {
            record,
            store: StoreId(1),
            since,
            changes: songs.iter().cloned().map(Change::Added).collect(),
            revision,
            latest: all.len() as u64,
            digest,
            bytes: 0,
            load: 0,
            repairing: 0,
            damaged: 0,
        };
        match self.ask(now, record.node.0 as u8, CatalogueMessage::Announce(news)) {
            Message::Catalogue(CatalogueMessage::Announced { revision, .. }) => revision,
            other => panic!("not announced but {other:?}"),
        }
    }

    fn list(
        &mut self,
        query: Query,
    ) -> (Vec<Listed>, u64, Option<crate::contract::message::Cursor>) {
        match self.ask(at(3), 99, CatalogueMessage::List { query }) {
            Message::Catalogue(CatalogueMessage::Songs { songs, total, next }) => {
                (songs, total, next)
            }
            other => panic!("no songs but {other:?}"),
        }
    }

    fn titles(&mut self, words: &str) -> Vec<String> {
        let query = Query {
            words: words.into(),
            ..Query::all(500)
        };
        (self.list(query).0.into_iter())
            .map(|listed| listed.song.title)
            .collect()
    }

    fn holders(&mut self, now: Time, n: u8) -> Vec<Address> {
        let prefix = SongPrefix::from(song(n, "", "").id);
        match self.ask(now, 99, CatalogueMessage::Locate { prefix }) {
            Message::Catalogue(CatalogueMessage::Located { holders, .. }) => {
                holders.iter().map(|holder| holder.address).collect()
            }
            other => panic!("not located but {other:?}"),
        }
    }
}

#[test]
fn a_catalogue_follows_announcements() {
    let mut world = World::new();
    let songs = [song(1, "B", "x"), song(2, "A", "y")];
    assert_eq!(world.announce(at(0), 7, 0, &songs, &songs), 2);
    assert_eq!(world.titles(""), ["B", "A"]);
    assert_eq!(world.holders(at(0), 1), [addr(7)]);
}

/// A data node comes back with an older disk and an earlier incarnation. Its announcements count as
/// late ones while the later start may live, and are accepted after that start has long been
/// silent.
#[test]
fn an_earlier_start_is_believed_when_the_later_one_is_gone() {
    let mut world = World::new();
    let songs = [song(1, "B", "x"), song(2, "A", "y")];
    let later = Record {
        incarnation: Incarnation(2),
        ..record(7, Role::Data)
    };
    assert_eq!(
        world.announce_as(at(0), later, 0, &songs[..1], &songs[..1]),
        1
    );
    assert_eq!(world.announce(at(59), 7, 1, &songs[1..], &songs), 1);
    assert_eq!(world.titles(""), ["B"]);

    assert_eq!(world.announce(at(60), 7, 1, &songs[1..], &songs), 0);
    assert_eq!(world.announce(at(60), 7, 0, &songs, &songs), 2);
    assert_eq!(world.titles(""), ["B", "A"]);
    assert_eq!(world.holders(at(60), 2), [addr(7)]);
}

/// After a gap the router's revision stays, and the data node sends the changes from there.
#[test]
fn a_gap_is_asked_for_again() {
    let mut world = World::new();
    let songs = [song(1, "B", "x"), song(2, "A", "y")];
    assert_eq!(world.announce(at(0), 7, 1, &songs[1..], &songs), 0);
    assert_eq!(world.titles(""), Vec::<String>::new());
}

/// Equal revisions with unequal songs: the router asks for everything again.
#[test]
fn a_differing_digest_starts_over() {
    let mut world = World::new();
    let (one, two) = ([song(1, "B", "x")], [song(2, "A", "y")]);
    assert_eq!(world.announce(at(0), 7, 0, &one, &one), 1);
    assert_eq!(world.announce(at(1), 7, 1, &[], &two), 0);
    assert_eq!(world.titles(""), Vec::<String>::new());
    assert_eq!(world.announce(at(1), 7, 0, &two, &two), 1);
    assert_eq!(world.titles(""), ["A"]);
}

#[test]
fn a_search_folds_case_and_accents_and_wants_every_word() {
    let mut world = World::new();
    let songs = [song(1, "Canción mixteca", "Lila"), song(2, "Otra", "Lila")];
    world.announce(at(0), 7, 0, &songs, &songs);
    assert_eq!(world.titles("CANCION lila"), ["Canción mixteca"]);
    assert_eq!(world.titles("1992"), ["Otra"]);
    assert_eq!(world.titles("lila nobody"), Vec::<String>::new());
}

/// Pages neither repeat nor skip, in either direction, while songs come between them.
#[test]
fn pages_join_without_gap() {
    let mut world = World::new();
    let songs: Vec<Song> = (1..=9).map(|n| song(n, "t", "a")).collect();
    world.announce(at(0), 7, 0, &songs, &songs);
    for descending in [false, true] {
        let (mut after, mut seen) = (None, vec![]);
        loop {
            let (page, total, next) = world.list(Query {
                after,
                descending,
                sort: Sort::Year,
                ..Query::all(2)
            });
            assert_eq!(total, 9);
            seen.extend(page.into_iter().map(|listed| listed.song.year));
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 9);
        assert!(seen.is_sorted_by(|a, b| if descending { a > b } else { a < b }));
    }
}

#[test]
fn a_query_out_of_bounds_is_refused() {
    let mut world = World::new();
    let refused = |world: &mut World, query| {
        let answer = world.ask(at(3), 99, CatalogueMessage::List { query });
        assert!(matches!(answer, Message::Refused(Refusal::Invalid(_))));
    };
    refused(&mut world, Query::all(0));
    refused(&mut world, Query::all(501));
    refused(
        &mut world,
        Query {
            words: "x".repeat(2000),
            ..Query::all(1)
        },
    );
}

/// A broken connection makes a holder suspected at once, and silence does so after a while. A
/// suspected holder is offered after the others, a dead one not at all.
#[test]
fn a_dead_holder_is_not_offered() {
    let mut world = World::new();
    let songs = [song(1, "B", "x")];
    world.announce(at(0), 7, 0, &songs, &songs);
    world.announce(at(0), 8, 0, &songs, &songs);
    world.lose(at(0), 7);
    assert_eq!(world.holders(at(1), 1), [addr(8), addr(7)]);
    world.announce(at(2), 7, 1, &[], &songs);
    assert_eq!(world.holders(at(46), 1)[0], addr(7));
    assert_eq!(world.holders(at(61), 1), [addr(7)]);
}

/// A router that has just started does not give an empty list before the data nodes have announced
/// their songs.
#[test]
fn a_fresh_router_is_not_an_empty_library() {
    let mut world = World::new();
    let list = CatalogueMessage::List {
        query: Query::all(1),
    };
    let not_ready = Message::Refused(Refusal::NotReady);
    assert_eq!(world.ask(at(0), 9, list.clone()), not_ready);
    let songs = [song(1, "B", "x"), song(2, "A", "y")];
    world.announce(at(1), 7, 0, &songs[..1], &songs);
    assert_eq!(world.ask(at(1), 9, list.clone()), not_ready);
    world.announce(at(1), 7, 1, &songs[1..], &songs);
    assert_ne!(world.ask(at(1), 9, list), not_ready);
}

impl World {
    /// The messages sent since the last call: receiver, request id and message.
    fn sent(&mut self) -> Vec<(Peer, RequestId, Message)> {
        let actions = core::iter::from_fn(|| self.host.out.pop());
        let sent = actions.filter_map(|action| match action {
            Action::Send { to, envelope } => Some((to, envelope.id, envelope.message)),
            _ => None,
        });
        sent.collect()
    }

    /// A client asks for song 1, which no data node has announced. The data nodes are 7 and 8.
    fn locate(&mut self, now: Time) {
        let sender = Sender {
            peer: Peer::Node(addr(9)),
            node: NodeId(9),
            incarnation: Incarnation(1),
        };
        let asker = Asker {
            sender,
            id: RequestId(1),
            until: at(999),
        };
        let words = CatalogueMessage::Locate {
            prefix: SongPrefix::from(song(1, "", "").id),
        };
        let servers = [record(7, Role::Data), record(8, Role::Data)];
        let sight = Sight {
            unix_ms: 0,
            servers: &servers,
            owners: &test_support::owners(&servers),
            ring: None,
        };
        let router = &mut self.router;
        router.on_question(&mut self.host.at(now), asker, words, sight);
    }

    fn answer(&mut self, now: Time, who: u8, id: RequestId, message: Message) {
        let servers = [record(7, Role::Data), record(8, Role::Data)];
        let sight = Sight {
            unix_ms: 0,
            servers: &servers,
            owners: &test_support::owners(&servers),
            ring: None,
        };
        let ended = (self.host).answered(now, Peer::Node(addr(who)), (id, message));
        if let Some((Asked::Locator(step), reply)) = ended {
            let cx = &mut self.host.at(now);
            self.router.conclude(cx, step, reply, sight);
        }
    }

    /// The time of the questions that are open at `now` is over.
    fn end_patience(&mut self, now: Time) {
        let servers = [record(7, Role::Data), record(8, Role::Data)];
        let sight = Sight {
            unix_ms: 0,
            servers: &servers,
            owners: &test_support::owners(&servers),
            ring: None,
        };
        for ended in self.host.at(now).on_tick() {
            if let Asked::Locator(step) = ended.purpose {
                let cx = &mut self.host.at(now);
                self.router.conclude(cx, step, ended.reply, sight);
            }
        }
    }

    /// The look-up on the hash ring has led to the owners, 7 and 8. Returns the question to each.
    fn asked_owners(&mut self, now: Time) -> Vec<(Peer, RequestId, Message)> {
        self.locate(now);
        let sent = self.sent();
        let [(Peer::Node(at), id, Message::Chord(ChordMessage::Find { .. }))] = sent[..] else {
            panic!("no look-up: {sent:?}");
        };
        let owners = [NodeId(7), NodeId(8)].into();
        let who = if at == addr(7) { 7 } else { 8 };
        self.answer(now, who, id, Message::Chord(ChordMessage::Found { owners }));
        let sent = self.sent();
        assert_eq!(sent.len(), 2, "{sent:?}");
        sent
    }
}

fn page(songs: &[Song]) -> Message {
    let (songs, more) = (songs.to_vec(), false);
    Message::Audio(Audio::SongPage { songs, more })
}

/// A router without announcements finds a song at its owners.
#[test]
fn a_song_that_no_node_has_announced_is_looked_up_at_its_owners() {
    let mut world = World::new();
    let owners = world.asked_owners(at(0));
    let wanted = song(1, "B", "x");
    // The owner's page begins with the song and goes on with the next one.
    let listed = [wanted.clone(), song(2, "C", "y")];
    world.answer(at(0), 8, owners[1].1, page(&listed));
    let sent = world.sent();
    let [(to, _, Message::Catalogue(CatalogueMessage::Located { song, holders }))] = &sent[..]
    else {
        panic!("no answer: {sent:?}");
    };
    assert_eq!((to, song), (&Peer::Node(addr(9)), &wanted));
    let places: Vec<Address> = holders.iter().map(|holder| holder.address).collect();
    assert_eq!(places, [addr(8)]);
    world.answer(at(0), 7, owners[0].1, page(&[]));
    assert!(world.sent().is_empty(), "one question, one answer");
}

/// A song that its owners lack does not exist. While no owner has answered, a router that has just
/// started cannot know that.
#[test]
fn a_song_that_its_owners_do_not_keep_is_not_found() {
    let mut world = World::new();
    let owners = world.asked_owners(at(0));
    world.answer(at(0), 7, owners[0].1, page(&[]));
    assert!(world.sent().is_empty(), "the other owner may have it");
    world.answer(at(0), 8, owners[1].1, page(&[song(2, "C", "y")]));
    let refused = |why| [(Peer::Node(addr(9)), RequestId(1), Message::Refused(why))];
    assert_eq!(world.sent(), refused(Refusal::NotFound));

    for (to, id, _) in world.asked_owners(at(1)) {
        assert!(world.sent().is_empty(), "the other owner may have it");
        let who = if to == Peer::Node(addr(7)) { 7 } else { 8 };
        world.answer(at(1), who, id, Message::Refused(Refusal::NotReady));
    }
    world.end_patience(at(3));
    assert_eq!(world.sent(), refused(Refusal::NotReady));
}

/// A song that has been removed for good stays removed, although an owner has not heard of it yet.
#[test]
fn a_removed_song_is_not_looked_up_again() {
    let mut world = World::new();
    let gone = song(1, "B", "x");
    let news = Announcement {
        record: record(7, Role::Data),
        store: StoreId(1),
        since: 0,
        changes: vec![Change::Buried(gone.id)],
        revision: 1,
        latest: 1,
        digest: Digest::default(),
        bytes: 0,
        load: 0,
        repairing: 0,
        damaged: 0,
    };
    world.ask(at(0), 7, CatalogueMessage::Announce(news));
    let owners = world.asked_owners(at(0));
    world.answer(at(0), 8, owners[1].1, page(&[gone]));
    let refused = Message::Refused(Refusal::NotFound);
    assert_eq!(world.sent(), [(Peer::Node(addr(9)), RequestId(1), refused)]);
}

#[test]
fn a_short_prefix_is_ambiguous_and_an_unknown_one_not_found() {
    let mut world = World::new();
    let songs = [song(0x10, "B", "x"), song(0x11, "A", "y")];
    world.announce(at(0), 7, 0, &songs, &songs);
    let locate = |text| CatalogueMessage::Locate {
        prefix: SongPrefix::parse(text).expect("digits"),
    };
    let ambiguous = world.ask(at(0), 9, locate("1"));
    let both = vec![songs[0].id, songs[1].id];
    assert_eq!(ambiguous, Message::Refused(Refusal::Ambiguous(both)));
    let none = world.ask(at(3), 9, locate("2"));
    assert_eq!(none, Message::Refused(Refusal::NotFound));
}

#[test]
fn a_status_counts_what_is_missing() {
    let mut world = World::new();
    let songs = [song(1, "B", "x"), song(2, "A", "y")];
    world.announce(at(0), 7, 0, &songs, &songs);
    world.announce(at(0), 8, 0, &songs[..1], &songs[..1]);
    let Message::Catalogue(CatalogueMessage::Status(status)) =
        world.ask(at(0), 9, CatalogueMessage::Inspect)
    else {
        panic!("no status");
    };
    assert_eq!((status.songs, status.copies_missing), (2, 1));
    assert_eq!(status.nodes.len(), 2);
}

/// A router refuses the announcement of one node for another.
#[test]
fn nobody_announces_for_another() {
    let mut world = World::new();
    let news = Announcement {
        record: record(7, Role::Data),
        store: StoreId(1),
        since: 0,
        changes: vec![],
        revision: 0,
        latest: 0,
        digest: Digest::default(),
        bytes: 0,
        load: 0,
        repairing: 0,
        damaged: 0,
    };
    let answer = world.ask(at(0), 8, CatalogueMessage::Announce(news));
    assert!(matches!(answer, Message::Refused(Refusal::Invalid(_))));
    assert_eq!(world.router.anomalies().count(Anomaly::Announcement), 1);
}
