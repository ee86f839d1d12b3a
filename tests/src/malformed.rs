//! Well-formed messages that cannot be true or are out of date, from a sender with the cluster key.
//! The member refuses and counts them, and its table stays as it is.

use roles::contract::id::{Incarnation, NodeId, RequestId};
use roles::contract::limits::{CLAIMS_MAX, MEMBERS_MAX};
use roles::contract::member::{Epoch, Member, MemberState, Tally, Traits};
use roles::contract::message::{Envelope, Kind, Message};
use roles::contract::node::{Event, Peer, Sender};
use roles::contract::record::Role;
use roles::contract::ring::{Claim, Ring as RingMessage};

use crate::resident::{Place, State};
use crate::world::World;

/// Number of kinds of nonsense.
const KINDS: u64 = 14;

/// A message, and whether the receiver must count it as absurd. If not, it may look merely old.
type Said = (RingMessage, bool);

impl World {
    /// A random member receives a random kind of nonsense.
    pub(crate) fn talk_nonsense(&mut self) {
        let members = |w: &World, p: Place| w.nodes[p].state == State::Up && w.is_member(p);
        if let Some(place) = self.some(members) {
            let kind = self.faults.rng.below(KINDS);
            self.say_nonsense(place, kind);
        }
    }

    /// Hands one kind of nonsense to a member, and checks that it is refused and counted.
    pub fn say_nonsense(&mut self, place: Place, kind: u64) {
        let Some(before) = self.table_of(place) else {
            return;
        };
        let Some((words, absurd)) = self.nonsense(place, kind) else {
            return;
        };
        let left =
            |m: &Member| m.node == self.nodes[place].identity.node && m.state == MemberState::Left;
        if before.iter().any(left) {
            return; // It is saying goodbye and answers nothing any longer.
        }
        let counted = self.absurd_at(place);
        let probe = self.place("probe");
        let identity = self.nodes[probe].identity;
        self.nodes[probe].question += 1;
        let id = RequestId(0xfe << 56 | self.nodes[probe].question);
        let kind = if is_word(&words) {
            Kind::OneWay
        } else {
            let patience = std::time::Duration::from_secs(1);
            Kind::Question { patience }
        };
        let from = Sender {
            peer: Peer::Guest(u64::MAX),
            node: identity.node,
            incarnation: identity.incarnation,
        };
        let text = format!("{words:?}");
        let envelope = Envelope {
            id,
            kind,
            message: Message::Ring(words),
            body: Vec::new(),
        };
        self.seen.nonsense += 1;
        self.hand(place, Event::Message { from, envelope });
        let name = self.nodes[place].name.clone();
        if self.table_of(place).as_ref() != Some(&before) {
            let text = format!("{name} was changed by {text}");
            self.violated("nonsense changes nothing", text);
        }
        if absurd && self.absurd_at(place) == counted {
            let text = format!("{name} has not counted {text}");
            self.violated("nonsense is counted", text);
        }
    }

    fn absurd_at(&self, place: Place) -> u64 {
        let server = self.nodes[place].resident.as_ref().and_then(|n| n.server());
        let ring = server.and_then(|server| server.ring());
        ring.map_or(0, roles::ring::Ring::absurd_claims)
    }

    fn table_of(&self, place: Place) -> Option<Vec<Member>> {
        let server = self.nodes[place].resident.as_ref()?.server()?;
        Some(server.ring()?.members().all().copied().collect())
    }

    fn nonsense(&mut self, place: Place, kind: u64) -> Option<Said> {
        let table = self.table_of(place)?;
        let me = *(table.iter()).find(|m| m.node == self.nodes[place].identity.node)?;
        let somebody = self.faults.rng.pick(&table).copied()?;
        let other = *table.iter().find(|m| m.node != me.node)?;
        let news = |member| RingMessage::News {
            claims: vec![claim(member)],
        };
        let said = match kind {
            0 => {
                let (me, view) = (other, 7);
                (RingMessage::Report { me, view }, true)
            }
            1 => {
                let claims = vec![claim(somebody); CLAIMS_MAX + 1];
                (RingMessage::News { claims }, true)
            }
            2 => (news(with(somebody, |m| m.role = Role::Dns)), true),
            3 => (
                news(with(other, |m| m.incarnation = Incarnation(u64::MAX))),
                true,
            ),
            4 => (news(with(other, |m| m.version = u32::MAX / 2 - 1)), true),
            5 => (news(with(somebody, |m| m.traits = Traits(0x88))), true),
            6 => (news(with(me, |m| m.version += 2 << 20)), true),
            7 => (alert(me, u16::MAX, 0), true),
            8 => (alert(me, 3, MEMBERS_MAX + 1), true),
            9 => (old_table(&table), false),
            10 => {
                let manager = other.node;
                let epoch = epoch(other);
                (RingMessage::Count { epoch, manager }, true)
            }
            11 => {
                let (epoch, manager, named) = (epoch(other), other.node, me.node);
                let (wanted, missing) = (Role::Data, u16::MAX);
                let order = RingMessage::Unbalance {
                    epoch,
                    manager,
                    wanted,
                    missing,
                    named,
                };
                (order, true)
            }
            12 => {
                let members = vec![other; MEMBERS_MAX + 1];
                (RingMessage::Join { members }, true)
            }
            _ => (news(past(other)?), false),
        };
        Some(said)
    }
}

fn is_word(words: &RingMessage) -> bool {
    matches!(words, RingMessage::Report { .. } | RingMessage::News { .. })
}

fn claim(member: Member) -> Claim {
    let observers = vec![NodeId(1); 3];
    Claim { member, observers }
}

fn with(mut member: Member, change: impl FnOnce(&mut Member)) -> Member {
    change(&mut member);
    member
}

/// A member one version ago, as if it had been dead then.
fn past(member: Member) -> Option<Member> {
    let version = member.version.checked_sub(1)?;
    let state = MemberState::Dead;
    Some(Member {
        version,
        state,
        ..member
    })
}

fn old_table(table: &[Member]) -> RingMessage {
    let members = table.iter().filter_map(|m| past(*m)).collect();
    RingMessage::Join { members }
}

fn epoch(about: Member) -> Epoch {
    Epoch {
        about: about.node,
        incarnation: about.incarnation,
        attempt: 77,
    }
}

fn alert(me: Member, hops: u16, visited: usize) -> RingMessage {
    let tally = Tally {
        node: NodeId(3),
        incarnation: Incarnation(1),
        role: Role::Data,
        load: 0,
        traits: Traits::default(),
        spent: false,
    };
    let manager = with(me, |m| {
        m.role = if visited == 0 { Role::Dns } else { m.role }
    });
    RingMessage::Alert {
        epoch: epoch(me),
        manager,
        hops,
        tallies: vec![tally; visited],
    }
}
