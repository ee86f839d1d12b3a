//! Which connections a node has with each peer, and which of them is used.
//!
//! Two nodes that dial each other at the same moment have two connections. Both ends keep the one
//! that the node with the lower [`NodeId`] dialled, so they agree without a word. They ask nothing
//! more on the other and close it when nothing is open on it. A peer counts as lost when its last
//! connection in use is gone. The type is generic over the name of a connection, because a loop and
//! a simulated network name theirs differently.

use std::collections::BTreeMap;

use roles::contract::id::{Incarnation, NodeId};
use roles::contract::message::{Envelope, Kind};
use roles::contract::node::Peer;

/// The connections of one node, by peer.
#[derive(Debug)]
pub struct Connections<C> {
    /// Of each peer the connection in use, then others: a dial in progress or a retired connection.
    peers: BTreeMap<Peer, Vec<Entry<C>>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry<C> {
    conn: C,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Dialled; the peer has not said hello.
    Dialling,
    /// Both ends have said hello.
    Open { who: Start, dialled_by: NodeId },
    /// Another connection to the peer replaces this one, which ends when nothing is open on it.
    Retired { who: Start },
}

/// One start of a node: its id, and the incarnation that grows with every start.
pub type Start = (NodeId, Incarnation);

impl<C> Default for Connections<C> {
    fn default() -> Self {
        Connections {
            peers: BTreeMap::new(),
        }
    }
}

impl<C: Copy + Ord> Connections<C> {
    /// Adds a connection that this node dials.
    pub fn dialled(&mut self, peer: Peer, conn: C) {
        let state = State::Dialling;
        let entries = self.peers.entry(peer).or_default();
        entries.push(Entry { conn, state });
    }

    /// Notes that `peer` has said hello on `conn`, selects the connection in use, and returns the
    /// others, which the caller retires.
    pub fn opened(&mut self, peer: Peer, conn: C, who: Start, dialled_by: NodeId) -> Vec<C> {
        let state = State::Open { who, dialled_by };
        let entries = self.peers.entry(peer).or_default();
        entries.retain(|entry| entry.conn != conn);
        // When one side has dialled twice, the later connection wins, because the dialer has
        // probably lost the earlier one. The new connection stands first, so the minimum finds it
        // first.
        entries.insert(0, Entry { conn, state });
        let open = entries.iter().enumerate().filter_map(dialer);
        if let Some((_, used)) = open.min_by_key(|(dialer, _)| *dialer) {
            entries[..=used].rotate_right(1);
        }
        entries[1..].iter_mut().filter_map(Entry::retire).collect()
    }

    /// Removes a connection. When it was the last one in use with `peer`, the peer is lost: the
    /// other connections with it are removed too and returned, and the caller closes them.
    pub fn closed(&mut self, peer: Peer, conn: C) -> Option<Vec<C>> {
        let entries = self.peers.get_mut(&peer)?;
        entries.retain(|entry| entry.conn != conn);
        if entries.iter().any(Entry::is_in_use) {
            return None;
        }
        let retired = self.peers.remove(&peer)?;
        Some(retired.into_iter().map(|entry| entry.conn).collect())
    }

    /// Whether a later start of the same node has a connection. Then this earlier one is refused.
    pub fn is_outdated(&self, (node, incarnation): Start) -> bool {
        self.starts()
            .any(|(_, who)| who.0 == node && who.1 > incarnation)
    }

    /// The connections with earlier starts of the same node, in order. They lead to a process that
    /// is gone, so the caller closes them.
    pub fn outdated_by(&self, (node, incarnation): Start) -> Vec<C> {
        let earlier = |who: &Start| who.0 == node && who.1 < incarnation;
        let outdated = self.starts().filter(|(_, who)| earlier(who));
        let mut outdated: Vec<C> = outdated.map(|(conn, _)| conn).collect();
        outdated.sort_unstable();
        outdated
    }

    fn starts(&self) -> impl Iterator<Item = (C, Start)> {
        let entries = self.peers.values().flatten();
        entries.filter_map(|entry| Some((entry.conn, entry.who()?)))
    }

    /// The connection for an envelope: an answer uses the connection on which the question came
    /// (`owes`), any other envelope the connection in use.
    pub fn carrier(&self, peer: Peer, envelope: &Envelope, owes: impl Fn(C) -> bool) -> Option<C> {
        let entries = self.peers.get(&peer)?;
        let asked_on = match envelope.kind {
            Kind::Answer { .. } if entries.len() > 1 => {
                entries.iter().find(|entry| owes(entry.conn))
            }
            Kind::Answer { .. } | Kind::Question { .. } | Kind::OneWay => None,
        };
        Some(asked_on.or(entries.first())?.conn)
    }

    /// The connection in use with `peer`; a dial in progress if there is no other.
    pub fn in_use(&self, peer: Peer) -> Option<C> {
        Some(self.peers.get(&peer)?.first()?.conn)
    }

    /// Every connection with `peer`, the one in use first.
    pub fn with(&self, peer: Peer) -> Vec<C> {
        let entries = self.peers.get(&peer).into_iter().flatten();
        entries.map(|entry| entry.conn).collect()
    }

    /// Whether there is a connection with `peer`, or a dial in progress.
    pub fn knows(&self, peer: Peer) -> bool {
        self.peers.contains_key(&peer)
    }

    /// The peers with at least one connection.
    pub fn peers(&self) -> impl ExactSizeIterator<Item = Peer> {
        self.peers.keys().copied()
    }

    /// All connections with all peers.
    pub fn all(&self) -> impl Iterator<Item = C> {
        self.peers.values().flatten().map(|entry| entry.conn)
    }
}

impl<C: Copy> Entry<C> {
    fn is_in_use(&self) -> bool {
        !matches!(self.state, State::Retired { .. })
    }

    fn who(&self) -> Option<Start> {
        match self.state {
            State::Dialling => None,
            State::Open { who, .. } | State::Retired { who } => Some(who),
        }
    }

    /// Retires an open connection; `None` for any other.
    fn retire(&mut self) -> Option<C> {
        match self.state {
            State::Open { who, .. } => self.state = State::Retired { who },
            State::Dialling | State::Retired { .. } => return None,
        }
        Some(self.conn)
    }
}

/// The node that dialled an open connection, with the connection's index.
fn dialer<C>((index, entry): (usize, &Entry<C>)) -> Option<(NodeId, usize)> {
    match entry.state {
        State::Open { dialled_by, .. } => Some((dialled_by, index)),
        State::Dialling | State::Retired { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roles::contract::id::RequestId;
    use roles::contract::message::{Message, Refusal};

    const LOW: NodeId = NodeId(1);
    const HIGH: NodeId = NodeId(2);
    const PEER: Peer = Peer::Guest(7);

    /// Whichever of two crossing connections opens first, both ends use the same one.
    #[test]
    fn the_connection_that_the_lower_node_dialled_is_used() {
        for order in [[(1, LOW), (2, HIGH)], [(2, HIGH), (1, LOW)]] {
            let mut conns = Connections::default();
            let retired = order.map(|(conn, by)| conns.opened(PEER, conn, start(1), by));
            assert_eq!(conns.in_use(PEER), Some(1));
            assert_eq!(retired, [vec![], vec![2]]);
        }
    }

    #[test]
    fn of_two_connections_from_one_dialer_the_later_is_used() {
        let mut conns = opened_by([LOW, LOW, LOW]);
        assert_eq!(conns.in_use(PEER), Some(3));
        assert_eq!(conns.closed(PEER, 3), Some(vec![2, 1]));
    }

    /// A retired connection is retired for good: it is never selected again.
    #[test]
    fn a_retired_connection_does_not_come_back() {
        let mut conns = opened_by([LOW, HIGH]);
        assert_eq!(conns.with(PEER), [1, 2]);
        conns.dialled(PEER, 3);
        assert_eq!(conns.closed(PEER, 1), None, "a dial is under way");
        assert_eq!(conns.opened(PEER, 3, start(1), HIGH), []);
        assert_eq!(conns.in_use(PEER), Some(3));
    }

    #[test]
    fn a_peer_is_lost_with_its_last_connection_in_use() {
        let mut conns = opened_by([LOW, HIGH]);
        assert_eq!(conns.closed(PEER, 1), Some(vec![2]));
        assert!(!conns.knows(PEER));
        assert_eq!(conns.closed(PEER, 2), None, "the loss is told once");
    }

    #[test]
    fn the_end_of_a_retired_connection_is_no_loss() {
        let mut conns = opened_by([LOW, HIGH]);
        assert_eq!(conns.closed(PEER, 2), None);
        assert_eq!(conns.in_use(PEER), Some(1));
    }

    #[test]
    fn a_dial_carries_envelopes_until_something_better_is_open() {
        let mut conns = Connections::default();
        conns.dialled(PEER, 1);
        assert_eq!(conns.in_use(PEER), Some(1));
        assert_eq!(conns.opened(PEER, 2, start(1), HIGH), []);
        assert_eq!(conns.with(PEER), [2, 1]);
    }

    #[test]
    fn a_later_start_outdates_the_connections_of_earlier_ones() {
        let mut conns = Connections::default();
        conns.opened(Peer::Guest(9), 1, start(1), HIGH);
        conns.opened(Peer::Guest(8), 2, start(1), HIGH);
        conns.opened(PEER, 3, (LOW, Incarnation(1)), LOW);
        assert_eq!(conns.outdated_by(start(2)), [1, 2]);
        assert_eq!(conns.outdated_by(start(1)), []);
        assert!(conns.is_outdated(start(0)));
        assert!(!conns.is_outdated(start(1)));
    }

    #[test]
    fn an_answer_uses_the_connection_of_its_question() {
        let conns = opened_by([LOW, HIGH]);
        let envelope = |kind| Envelope {
            id: RequestId(1),
            kind,
            message: Message::Refused(Refusal::WrongRole),
            body: Vec::new(),
        };
        let answer = envelope(Kind::Answer { more: false });
        assert_eq!(conns.carrier(PEER, &answer, |conn| conn == 2), Some(2));
        assert_eq!(conns.carrier(PEER, &answer, |_| false), Some(1));
        let news = envelope(Kind::OneWay);
        assert_eq!(conns.carrier(PEER, &news, |conn| conn == 2), Some(1));
    }

    /// Connections 1, 2, ... with [`PEER`], opened in order by these dialers.
    fn opened_by<const N: usize>(dialers: [NodeId; N]) -> Connections<usize> {
        let mut conns = Connections::default();
        for (index, dialer) in dialers.into_iter().enumerate() {
            conns.opened(PEER, index + 1, start(1), dialer);
        }
        conns
    }

    fn start(incarnation: u64) -> Start {
        (HIGH, Incarnation(incarnation))
    }
}
