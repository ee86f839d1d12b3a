//! Bad input about copies, from nodes that have the key: no good copy changes, each anomaly is
//! counted, and the log has one line for all of a kind.

use roles::anomalies::Anomaly;
use roles::contract::id::SongId;
use roles::contract::message::{Audio, Catalogue, Envelope, Message, Refusal};
use roles::contract::upkeep::Upkeep;
use tests::faults::Death;
use tests::liar::Liar;
use tests::resident::{Place, Resident};
use tests::world::World;

use super::{assert_fine, assert_read, list, read, secs, upload, world};

/// Three data nodes with a copy of each of twelve songs.
fn library() -> (World, Vec<SongId>) {
    let mut world = world(|climate| {
        climate.data = 3;
        climate.upkeep.anti_entropy.every = secs(10);
    });
    let songs = (0..12).map(|source| upload(&mut world, source)).collect();
    world.run_for(secs(10));
    (world, songs)
}

/// The third data node restarts as a liar.
fn corrupt(world: &mut World, lie: impl Fn(Liar) -> Liar + 'static) -> Place {
    let liar = world.place("data-2");
    world.crash(liar, Death::Kill);
    let wrap = move |inner| Box::new(lie(Liar::new(inner))) as Box<dyn Resident>;
    world.wrap(liar, Box::new(wrap));
    world.start(liar);
    liar
}

/// How many anomalies of this kind a node has counted.
fn anomalies(world: &World, place: Place, doubt: Anomaly) -> u64 {
    let node = world.nodes[place].resident.as_ref();
    let server = node.and_then(|node| node.server()?.anomalies());
    let client = node.and_then(|node| Some(node.client()?.anomalies()));
    server
        .or(client)
        .map_or(0, |anomalies| anomalies.count(doubt))
}

fn lines(world: &World, place: Place, doubt: Anomaly) -> usize {
    let begins = format!("doubt: {doubt}, from=");
    let facts = world.workload.facts().iter();
    let found = facts.filter(|(at, text)| *at == place && text.starts_with(&begins));
    found.count()
}

/// The two honest data nodes have every song, unaltered.
fn assert_good(world: &World, songs: &[SongId]) {
    assert_fine(world);
    for name in ["data-0", "data-1"] {
        let disk = world.nodes[world.place(name)].disk.as_ref();
        let disk = disk.expect("servers have one");
        for song in songs {
            assert_eq!(disk.unsound(*song), Some(vec![]), "{name} {song:?}");
        }
    }
}

/// Sends the first data node the same question three times. It must refuse each one, or none, as
/// `refused` says.
fn say_thrice(world: &mut World, lie: &Message, body: &[u8], refused: bool) {
    for _ in 0..3 {
        let place = world.place("data-0");
        let id = world.ask_with(place, lie.clone(), body.to_vec());
        assert!(world.run_till(secs(5), |w| w.tap.has_answer(id)));
        let answer = world.tap.take_answer(id).expect("it is there");
        let is_refused = matches!(answer, Message::Refused(_));
        assert_eq!(is_refused, refused, "{lie:?}: {answer:?}");
    }
}

/// Fragments of a stored song whose hash is wrong; fragments with an index that no song has.
#[test]
fn false_bytes_are_counted_and_told_once() {
    let (mut world, songs) = library();
    let place = world.place("data-0");
    let song = songs[0];
    for (index, body) in [(0, &[7; 99][..]), (999, &[7]), (0, &[])] {
        let give = Message::Audio(Audio::Give { song, index });
        say_thrice(&mut world, &give, body, true);
    }
    assert_eq!(anomalies(&world, place, Anomaly::Bytes), 9);
    assert_eq!(lines(&world, place, Anomaly::Bytes), 1);
    assert_good(&world, &songs);
}

/// A holder sends copies with one byte altered. They are refused, and after a while the other
/// holder sends the songs that were this one's to send.
#[test]
fn a_holder_that_alters_copies_spoils_none() {
    let (mut world, songs) = library();
    let alters = |envelope: &mut Envelope| {
        if let Message::Audio(Audio::Give { .. }) = envelope.message {
            envelope.body[0] ^= 1;
        }
    };
    corrupt(&mut world, move |liar| liar.saying(alters));
    let late = world.place("data-0");
    world.crash(late, Death::PowerCut);
    world.wipe(late);
    world.start(late);
    world.run_for(secs(90));
    assert!(anomalies(&world, late, Anomaly::Bytes) > 1);
    assert_eq!(lines(&world, late, Anomaly::Bytes), 1);
    assert_good(&world, &songs);
    songs
        .iter()
        .for_each(|song| assert_read(&read(&mut world, *song)));
}

/// A data node announces songs that it does not have: the asker goes on to the next holder.
#[test]
fn a_holder_that_lacks_its_songs_is_passed_over() {
    let (mut world, songs) = library();
    let lacks = |envelope: &Envelope| {
        if !matches!(
            envelope.message,
            Message::Audio(Audio::Describe { .. } | Audio::Fetch { .. })
        ) {
            return None;
        }
        Some(Message::Refused(Refusal::NotFound))
    };
    corrupt(&mut world, move |liar| liar.hearing(lacks));
    world.run_for(secs(20));
    let client = world.place("client-0");
    for song in &songs {
        assert_read(&read(&mut world, *song));
    }
    assert!(anomalies(&world, client, Anomaly::Holder) > 1);
    assert_eq!(lines(&world, client, Anomaly::Holder), 1);
    assert_good(&world, &songs);
}

/// A data node's announcement does not match its digest: the router starts over with that node, and
/// with no other.
#[test]
fn announcements_that_do_not_add_up_cost_only_their_sender() {
    let (mut world, songs) = library();
    let adds = |envelope: &mut Envelope| {
        if let Message::Catalogue(Catalogue::Announce(news)) = &mut envelope.message {
            news.digest.insert(SongId(7));
        }
    };
    corrupt(&mut world, move |liar| liar.saying(adds));
    world.run_for(secs(90));
    let router = world.place("router-0");
    assert!(anomalies(&world, router, Anomaly::Announcement) > 1);
    assert_eq!(lines(&world, router, Anomaly::Announcement), 1);
    assert_eq!(list(&mut world).len(), songs.len());
    assert_good(&world, &songs);
    songs
        .iter()
        .for_each(|song| assert_read(&read(&mut world, *song)));
}

/// Removals of songs that no node knows are recorded, and touch nothing else.
#[test]
fn tombstones_of_unknown_songs_bury_nothing() {
    let (mut world, songs) = library();
    let place = world.place("data-0");
    for unknown in [SongId(7), SongId(8)] {
        let bury = Upkeep::Bury {
            songs: vec![unknown],
            copy: true,
        };
        say_thrice(&mut world, &Message::Upkeep(bury), &[], false);
    }
    let too_many = Upkeep::Bury {
        songs: vec![SongId(9); 501],
        copy: true,
    };
    say_thrice(&mut world, &Message::Upkeep(too_many), &[], true);
    assert_eq!(anomalies(&world, place, Anomaly::Removal), 6);
    assert_eq!(lines(&world, place, Anomaly::Removal), 1);
    assert_eq!(anomalies(&world, place, Anomaly::Upkeep), 3);
    world.run_for(secs(40));
    assert_good(&world, &songs);
    assert_eq!(list(&mut world).len(), songs.len());
}

/// Questions about a different number of partitions are refused.
#[test]
fn questions_of_another_circle_are_counted_and_told_once() {
    let (mut world, songs) = library();
    let place = world.place("data-0");
    let view = view(&mut world);
    let (each, after, chosen) = (false, None, vec![u64::MAX; 63]);
    let sums = Upkeep::Sums { view, chosen, each };
    let partition = 4096;
    let holdings = Upkeep::Holdings {
        view,
        partition,
        after,
    };
    for words in [sums, holdings] {
        say_thrice(&mut world, &Message::Upkeep(words), &[], true);
    }
    assert_eq!(anomalies(&world, place, Anomaly::Upkeep), 6);
    assert_eq!(lines(&world, place, Anomaly::Upkeep), 1);
    assert_good(&world, &songs);
}

/// The current view of the data nodes, read from the questions that they exchange.
fn view(world: &mut World) -> u64 {
    world.tap.record();
    world.run_for(secs(30));
    let view = world
        .tap
        .sent()
        .iter()
        .rev()
        .find_map(|(_, _, _, envelope)| {
            if let Message::Upkeep(Upkeep::Sums { view, .. }) = envelope.message {
                return Some(view);
            }
            None
        });
    view.expect("they compare")
}

/// Digests for a different number of partitions are no answer: no node concludes from them that a
/// song is there or is missing.
#[test]
fn sums_of_another_circle_change_nothing() {
    let (mut world, songs) = library();
    let sums = |envelope: &Envelope| {
        if !matches!(envelope.message, Message::Upkeep(Upkeep::Sums { .. })) {
            return None;
        }
        let sums = vec![0; 65];
        Some(Message::Upkeep(Upkeep::Summed { sums }))
    };
    let liar = corrupt(&mut world, move |liar| liar.hearing(sums));
    world.run_for(secs(90));
    for name in ["data-0", "data-1"] {
        let place = world.place(name);
        assert!(anomalies(&world, place, Anomaly::Upkeep) > 1, "{name}");
        assert_eq!(lines(&world, place, Anomaly::Upkeep), 1, "{name}");
    }
    let disk = world.nodes[liar].disk.as_ref().expect("servers have one");
    assert!(songs.iter().all(|song| disk.unsound(*song) == Some(vec![])));
    assert_good(&world, &songs);
}

/// Three liars: one accepts every copy at once and stores none; one takes all fragments and asks
/// for them again; one refuses every commit.
#[test]
fn who_accepts_and_never_stores_is_found_out() {
    let stored = |envelope: &Envelope| {
        if !matches!(
            envelope.message,
            Message::Audio(Audio::Offer { copy: true, .. })
        ) {
            return None;
        }
        Some(Message::Audio(Audio::Stored { copies: 1 }))
    };
    let again = |envelope: &Envelope| {
        if !matches!(
            envelope.message,
            Message::Audio(Audio::Commit { copy: true, .. })
        ) {
            return None;
        }
        let missing = vec![(0, 1)];
        Some(Message::Audio(Audio::Wanted { missing }))
    };
    let broken = |envelope: &Envelope| {
        if !matches!(
            envelope.message,
            Message::Audio(Audio::Commit { copy: true, .. })
        ) {
            return None;
        }
        Some(Message::Refused(Refusal::Broken("no".into())))
    };
    for hear in [stored, again, broken] {
        let (mut world, songs) = library();
        let liar = world.place("data-2");
        world.crash(liar, Death::PowerCut);
        world.wipe(liar);
        corrupt(&mut world, move |liar| liar.hearing(hear));
        world.run_for(secs(120));
        let honest = [world.place("data-0"), world.place("data-1")];
        let count = |doubt| honest.map(|place| anomalies(&world, place, doubt));
        assert!(count(Anomaly::Copy).iter().sum::<u64>() > 1);
        for place in honest {
            let told = usize::from(anomalies(&world, place, Anomaly::Copy) > 0);
            assert_eq!(lines(&world, place, Anomaly::Copy), told);
        }
        assert_good(&world, &songs);
        songs
            .iter()
            .for_each(|song| assert_read(&read(&mut world, *song)));
    }
}
