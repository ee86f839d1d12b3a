//! Nodes start, in various orders.

use roles::contract::message::{Audio, Message};
use roles::contract::record::Role;

use super::{assert_fine, list, millis, resolve, secs, unstarted, upload, world};

/// S1: an empty DNS and one data node are a cluster; the original crashed.
#[test]
fn a_data_node_alone_answers_with_an_empty_list() {
    let mut world = unstarted(|c| (c.routers, c.data) = (0, 1));
    world.start_all();
    let data = world.place("data-0");
    let ready =
        |w: &tests::world::World| w.workload.ready().iter().any(|(_, place)| *place == data);
    assert!(
        world.run_till(secs(1), ready),
        "it registers within a second"
    );
    let (after, limit) = (None, 10);
    let kept = world.answer(data, Message::Audio(Audio::ListSongs { after, limit }));
    let (songs, more) = (vec![], false);
    assert_eq!(kept, Some(Message::Audio(Audio::SongPage { songs, more })));
}

/// S2: a router alone lists nothing; as soon as a data node has a song, it lists that.
#[test]
fn a_router_waits_for_its_first_data_node() {
    let mut world = unstarted(|c| c.data = 1);
    for name in ["dns-0", "router-0", "client-0", "probe"] {
        let place = world.place(name);
        world.start(place);
    }
    world.run_for(secs(5));
    assert_eq!(list(&mut world), []);
    let data = world.place("data-0");
    world.start(data);
    world.run_for(secs(8));
    let song = upload(&mut world, 0);
    assert_eq!(list(&mut world), [song]);
}

/// S4: a server that starts before its DNS node is registered within one renewal of the DNS node's
/// start.
#[test]
fn servers_may_start_before_their_dns() {
    let mut world = unstarted(|_| ());
    for name in ["router-0", "data-0", "data-1", "probe"] {
        let place = world.place(name);
        world.start(place);
    }
    world.run_for(secs(40));
    let dns = world.place("dns-0");
    world.start(dns);
    world.run_for(secs(10));
    assert_eq!(resolve(&mut world, "dns-0", Role::Data).len(), 2);
    assert_eq!(resolve(&mut world, "dns-0", Role::Router).len(), 1);
    assert_fine(&world);
}

/// S8: ten servers without a role, one after the other, take the roles that are needed.
#[test]
fn typeless_servers_in_a_row_follow_two_to_three() {
    let mut world = unstarted(|c| (c.routers, c.data, c.auto) = (0, 0, 10));
    for name in ["dns-0", "probe"] {
        let place = world.place(name);
        world.start(place);
    }
    // Until then the DNS node cannot be sure that no server is about to register.
    world.run_for(secs(5));
    let mut roles = Vec::new();
    for number in 0..10 {
        let place = world.place(&format!("auto-{number}"));
        world.start(place);
        world.run_for(secs(3));
        roles.push(world.nodes[place].role());
    }
    let [d, r] = [Some(Role::Data), Some(Role::Router)];
    assert_eq!(roles, [d, r, d, r, r, d, r, r, d, r]);
}

/// S9: ten servers at once reserve their roles one by one: the numbers of each role are the same.
#[test]
fn typeless_servers_at_once_follow_two_to_three() {
    let mut world = world(|c| (c.routers, c.data, c.auto) = (0, 0, 10));
    assert_eq!(world.servers(Role::Data).len(), 4);
    assert_eq!(world.servers(Role::Router).len(), 6);
    world.run_for(secs(60));
    assert_eq!(resolve(&mut world, "dns-0", Role::Router).len(), 6);
}

/// S56: twelve registrations at one moment are twelve records; the original kept four to six.
#[test]
fn twelve_at_once_are_twelve() {
    let mut world = unstarted(|c| (c.routers, c.data, c.clients) = (6, 6, 0));
    world.start_all();
    world.run_for(millis(500));
    assert_eq!(resolve(&mut world, "dns-0", Role::Router).len(), 6);
    assert_eq!(resolve(&mut world, "dns-0", Role::Data).len(), 6);
}
