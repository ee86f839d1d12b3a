//! The servers this node works with: the living members of the ring, and the servers that only the
//! DNS names.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::contract::id::NodeId;
use crate::contract::member::Traits;
use crate::contract::record::{Record, Role};
use crate::contract::time::Time;
use crate::data::Others;
use crate::members::{Members, takes_songs};
use crate::ownership::Owners;
use crate::resolver::Resolver;

/// Lists made from the member table and the DNS records. They are remade when either has changed.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Other data nodes that may receive songs.
    pub(super) data: Vec<Record>,
    /// Other data nodes that live and take no songs: draining or sick.
    pub(super) leaving: Vec<Record>,
    /// Data nodes that have been declared dead, and when.
    pub(super) dead: Vec<(Record, Time)>,
    /// Other routers.
    pub(super) routers: Vec<Record>,
    /// The owners of each song, among the other data nodes that take songs and this one.
    pub(super) owners: Arc<Owners>,
    /// The clock of this machine: milliseconds since 1970.
    pub(super) unix_ms: u64,
    draining: bool,
    made_of: Option<(u64, u64, NodeId)>,
}

impl Known {
    /// Brings the lists up to date. Returns true if they were outdated.
    pub(super) fn refresh(
        &mut self,
        me: NodeId,
        members: Option<&Members>,
        resolver: &Resolver,
    ) -> bool {
        let revision = members.map_or(0, Members::revision);
        let made_of = Some((revision, resolver.revision(), me));
        if self.made_of == made_of {
            return false;
        }
        self.made_of = made_of;
        self.data = together(me, Role::Data, members, resolver);
        self.routers = together(me, Role::Router, members, resolver);
        self.leaving = members.map_or(Vec::new(), leaving);
        self.dead = members.map_or(Vec::new(), dead);
        self.draining = members.is_some_and(|m| m.me().traits.has(Traits::DRAINING));
        self.see_takers(members);
        true
    }

    /// Rebuilds the owners if the set of data nodes that take songs has changed.
    fn see_takers(&mut self, members: Option<&Members>) {
        let own = members.map(Members::me);
        let own = own.filter(|me| me.role == Role::Data && !self.draining);
        let others = self.data.iter().map(|record| (record.node, record.weight));
        let takers: Vec<_> = others.chain(own.map(|me| (me.node, me.weight))).collect();
        if self.owners.takers() != takers {
            self.owners = Arc::new(Owners::of(takers));
        }
    }

    /// The lists in the form that a data node takes them.
    pub(super) fn others(&self, own: Record) -> Others<'_> {
        Others {
            data: &self.data,
            leaving: &self.leaving,
            dead: &self.dead,
            routers: &self.routers,
            owners: &self.owners,
            own,
            draining: self.draining,
            unix_ms: self.unix_ms,
        }
    }
}

fn leaving(members: &Members) -> Vec<Record> {
    let others = members.others();
    let leaving = others.filter(|m| m.role == Role::Data && !takes_songs(m));
    leaving.map(|member| member.record()).collect()
}

fn dead(members: &Members) -> Vec<(Record, Time)> {
    let dead = members
        .dead()
        .filter(|(member, _)| member.role == Role::Data);
    dead.map(|(member, at)| (member.record(), at)).collect()
}

/// The entries of the member table, and the DNS records of nodes that the table lacks. For a node
/// in both, the table wins, because a DNS record may be half a minute old.
fn together(me: NodeId, role: Role, members: Option<&Members>, resolver: &Resolver) -> Vec<Record> {
    let in_ring = |node: NodeId| members.is_some_and(|m| m.get(node).is_some());
    let named = resolver.records(role).iter().copied();
    let outside = named.filter(|r| r.node != me && !in_ring(r.node));
    let living = members.into_iter().flat_map(Members::others);
    let fit = living.filter(|m| m.role == role && (role != Role::Data || takes_songs(m)));
    fit.map(|m| m.record()).chain(outside).collect()
}
