//! Which names there are, and what is known of each.
//!
//! Each role has a zone, `dispotify.data` for example. The same names also stand below
//! `dispotify.internal`, for resolvers that can be told of one name only. Below the name of a group:
//!
//! ```text
//! dispotify.data                     the addresses of all data nodes, in random order
//! _dispotify._tcp.dispotify.data     their ports and names (SRV)
//! n-ID.dispotify.data                one node: its address and what it is (TXT)
//! ```
//!
//! The structure is fixed; only the nodes' names depend on the records.

use super::packets::Name;
use crate::contract::id::NodeId;
use crate::contract::record::Role;

/// A name that lies in a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// How many labels the zone's name has, from the right.
    pub(super) zone: usize,
    /// The zone is that of one role: its name is also the name of the group.
    pub(super) of_role: bool,
    /// None: there is no such name, whatever the records say.
    pub(super) what: Option<What>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// `dispotify.internal`.
    Root,
    /// All servers of a role.
    Group(Role),
    /// Their ports.
    Service(Role),
    /// One server: one of the role, or a DNS node, which serves the zone.
    Node(Role, NodeId),
    /// `_tcp`: it exists because something exists below it.
    Empty,
}

impl Place {
    /// Where a name lies; none if no zone is served in which it could.
    pub(super) fn of(name: &Name) -> Option<Place> {
        if name.labels() < 2 || name.label_at(1) != b"dispotify" {
            return None;
        }
        let place = |of_role, what| Place {
            zone: 2,
            of_role,
            what,
        };
        if let Some(role) = role_of(name.label_at(0)) {
            return Some(place(true, within(name, 2, role)));
        }
        if name.label_at(0) != b"internal" {
            return None;
        }
        let what = match (name.labels(), role_of(name.label_at(2))) {
            (2, _) => Some(What::Root),
            (_, Some(role)) => within(name, 3, role),
            (_, None) => None,
        };
        Some(place(false, what))
    }

    /// How many labels the group's name has.
    pub(super) fn group(&self) -> usize {
        self.zone + usize::from(!self.of_role)
    }
}

/// What a name stands for whose last `group` labels are the group's name.
fn within(name: &Name, group: usize, role: Role) -> Option<What> {
    let label = |place| name.label_at(group + place);
    match name.labels() - group {
        0 => Some(What::Group(role)),
        1 if label(0) == TCP => Some(What::Empty),
        1 => node_of(label(0)).map(|node| What::Node(role, node)),
        2 if label(0) == TCP && label(1) == SERVICE => Some(What::Service(role)),
        _ => None,
    }
}

fn role_of(label: &[u8]) -> Option<Role> {
    let is = |role: &Role| role.name().as_bytes() == label;
    Role::ALL.into_iter().find(is)
}

fn node_of(label: &[u8]) -> Option<NodeId> {
    NodeId::parse(core::str::from_utf8(label.strip_prefix(b"n-")?).ok()?)
}

const TCP: &[u8] = b"_tcp";

const SERVICE: &[u8] = b"_dispotify";
