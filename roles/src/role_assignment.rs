//! The role of a server that was started without one.
//!
//! Owns the rule, and the state machine of a joining server that asks for its role until one is
//! reserved. It asks the DNS nodes, then the members it knew in an earlier run. It never guesses:
//! when it reaches none of them, it waits and asks again.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use crate::contract::id::NodeId;
use crate::contract::limits::{DNS_NODES_MAX, RECORDS_MAX};
use crate::contract::message::{Message, Names};
use crate::contract::node::Peer;
use crate::contract::record::{Address, Role};
use crate::contract::rng::Rng;
use crate::contract::time::Time;
use crate::cx::Cx;
use crate::purpose::Asked;
use crate::requests::{Policy, Reply};

/// The role that is needed most, given the numbers of data nodes and routers. The order of joins is
/// D R D R R; after that data nodes and routers stay at 2 to 3.
pub fn needed_role(data: usize, routers: usize) -> Role {
    let wants_data = match (data, routers) {
        (0, _) => true,
        (_, 0) => false,
        (1, _) => true,
        (data, routers) => 3 * data <= 2 * routers,
    };
    if wants_data { Role::Data } else { Role::Router }
}

/// Roles promised to servers that have not taken them yet. Without them, servers that join at the
/// same moment would all get the same role.
#[derive(Debug, Default)]
pub struct Reservations {
    promised: BTreeMap<NodeId, (Role, Time)>,
}

impl Reservations {
    /// Returns the role `asker` should take, given the numbers of other data nodes and routers, and
    /// promises it until `until`. An earlier promise to `asker` is replaced.
    pub fn reserve(
        &mut self,
        now: Time,
        asker: NodeId,
        (data, routers): (usize, usize),
        until: Time,
    ) -> Role {
        self.promised
            .retain(|node, (_, until)| *until > now && *node != asker);
        let coming = |wanted| {
            let promised = self.promised.values();
            promised.filter(|(role, _)| *role == wanted).count()
        };
        let role = needed_role(data + coming(Role::Data), routers + coming(Role::Router));
        if self.promised.len() < RECORDS_MAX {
            self.promised.insert(asker, (role, until));
        }
        role
    }

    /// Ends the promise to a node that has taken a role, or is gone.
    pub fn release(&mut self, node: NodeId) {
        self.promised.remove(&node);
    }
}

/// Longest pause between a failure and the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// The first node is asked alone; the next one is asked, too, when the first is silent for an
/// attempt.
const RESERVE: Policy = Policy {
    deadline: Duration::from_secs(5),
    attempt: Duration::from_secs(1),
    rounds: 1,
};

/// A joining server that asks for its role.
#[derive(Debug)]
pub struct Assignment {
    dns: Vec<Address>,
    /// Members of an earlier run, the lowest id first.
    members: Vec<Address>,
    again: Option<Time>,
    rng: Rng,
}

impl Assignment {
    /// Will ask these DNS nodes, the lowest address first. Servers that join at the same moment
    /// then ask the same node, which does not give all of them the same role.
    pub fn new(mut dns: Vec<Address>, rng: Rng) -> Self {
        dns.sort_unstable();
        Assignment {
            dns,
            members: Vec::new(),
            again: None,
            rng,
        }
    }

    /// Sets the members of an earlier run, in the order of their ids. They are asked when no DNS
    /// node answers.
    pub fn remember(&mut self, members: Vec<Address>) {
        self.members = members;
    }

    /// Adds what may be DNS nodes, and asks soon.
    pub fn find(&mut self, now: Time, dns: &[Address]) {
        let fresh = dns.iter().filter(|at| !self.dns.contains(at));
        let room = DNS_NODES_MAX.saturating_sub(self.dns.len());
        let fresh: Vec<Address> = fresh.copied().take(room).collect();
        if fresh.is_empty() {
            return;
        }
        self.dns.extend(fresh);
        self.dns.sort_unstable();
        if self.again.is_some() {
            self.again = Some(now);
        }
    }

    /// Begins to ask.
    pub fn start(&mut self, cx: &mut Cx<'_>) {
        let all = self.dns.iter().chain(&self.members);
        let candidates = all.map(|at| Peer::Node(*at)).collect();
        let question = Message::Names(Names::Reserve);
        self.again = None;
        let asked = cx.ask(Asked::Assignment, candidates, question, RESERVE);
        if asked.is_none() {
            self.wait(cx.now);
        }
    }

    /// Returns the role when an answer reserves one. Otherwise it waits, and asks again.
    pub(crate) fn conclude(&mut self, now: Time, reply: Reply) -> Option<Role> {
        if let Some(Message::Names(Names::Reserved { role })) = reply.message() {
            return Some(role);
        }
        self.wait(now);
        None
    }

    /// Asks again when it is time.
    pub fn on_tick(&mut self, cx: &mut Cx<'_>) {
        if self.again.is_some_and(|at| at <= cx.now) {
            self.start(cx);
        }
    }

    /// When [`Assignment::on_tick`] wants to run.
    pub fn deadline(&self) -> Option<Time> {
        self.again
    }

    fn wait(&mut self, now: Time) {
        self.again = Some(now + PAUSE / 4 + self.rng.within(PAUSE * 3 / 4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Role::{Data, Router};

    /// The order of the first ten, and the ratio of the first hundred.
    #[test]
    fn roles_follow_two_to_three() {
        let (mut data, mut routers, mut order) = (0, 0, Vec::new());
        for _ in 0..100 {
            let role = needed_role(data, routers);
            match role {
                Data => data += 1,
                Router | Role::Dns => routers += 1,
            }
            order.push(role);
        }
        let ten = [
            Data, Router, Data, Router, Router, Data, Router, Router, Data, Router,
        ];
        assert_eq!(order[..10], ten);
        assert_eq!((data, routers), (40, 60));
    }

    #[test]
    fn no_role_stays_empty_from_two_on() {
        assert_eq!(needed_role(0, 9), Data);
        assert_eq!(needed_role(9, 0), Router);
        assert_eq!(needed_role(1, 1), Data);
    }
}
