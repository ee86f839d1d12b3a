//! Questions to a router: which router is asked, when its address is looked up, and the one retry
//! with fresh addresses.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Answer, Core, Operation, Progress, Purpose, failed, failure, unreachable};
use crate::contract::browse::{AlbumSort, Browse};
use crate::contract::id::OperationId;
use crate::contract::message::{Catalogue, Message, Refusal, Sort};
use crate::contract::node::Peer;
use crate::contract::record::{Address, Features, Record, Role};
use crate::contract::user::{Failure, Notice};
use crate::cx::Cx;
use crate::purpose::Asked;
use crate::requests::Policy;

/// How long a look-up may take before the routers of an earlier run are asked beside it: far longer than
/// a DNS node needs that lives.
const HEAD_START: Duration = Duration::from_millis(400);

/// An operation that is one question to a router.
#[derive(Debug)]
pub(super) struct Ask {
    operation: OperationId,
    pub(super) routing: Routing,
}

/// The state of an operation's question to a router.
#[derive(Debug, Default)]
pub(super) struct Routing {
    question: Option<Message>,
    /// The operation waits for the addresses of the routers.
    waiting: bool,
    /// The question has failed once, and the addresses of the routers are looked up for a last
    /// attempt.
    asked: bool,
    pub(super) without: WithoutRouter,
}

/// The state of an operation's look-up at the data nodes.
#[derive(Debug, Default)]
pub(super) enum WithoutRouter {
    /// No look-up is under way: routers have not failed, or the look-up has ended.
    #[default]
    No,
    /// The operation waits for the addresses of the data nodes. Holds why no router has answered.
    Waits(Failure),
    /// The operation waits for the data nodes. Holds why no router has answered.
    LooksUp(Failure),
}

impl Routing {
    pub(super) fn wants(question: Message) -> Self {
        Routing {
            question: Some(question),
            waiting: false,
            asked: false,
            without: WithoutRouter::No,
        }
    }
}

impl Ask {
    pub(super) fn new(operation: OperationId) -> Self {
        Ask {
            operation,
            routing: Routing::default(),
        }
    }

    fn on_answer(&self, from: Peer, answer: Catalogue) -> Progress {
        let operation = self.operation;
        let notice = match answer {
            Catalogue::Songs { songs, total, next } => Notice::Songs {
                operation,
                songs,
                total,
                next,
            },
            Catalogue::Status(status) => Notice::Status {
                operation,
                status,
                router: address(from),
            },
            Catalogue::Trash {
                songs,
                total,
                bytes,
                next,
            } => Notice::Trash {
                operation,
                songs,
                total,
                bytes,
                next,
            },
            Catalogue::Browsed(found) => Notice::Browsed { operation, found },
            Catalogue::Documents(page) => Notice::Documents { operation, page },
            Catalogue::List { .. }
            | Catalogue::ListTrash { .. }
            | Catalogue::Locate { .. }
            | Catalogue::Located { .. }
            | Catalogue::Place { .. }
            | Catalogue::Placed { .. }
            | Catalogue::Announce(_)
            | Catalogue::Announced { .. }
            | Catalogue::Browse(_)
            | Catalogue::Read(_)
            | Catalogue::Tag(_)
            | Catalogue::TagAdded(..)
            | Catalogue::Tagged { .. }
            | Catalogue::Inspect => failed(operation, senseless()),
        };
        Progress::Ends(notice)
    }
}

impl Core {
    /// Asks the known routers, or waits for their addresses.
    pub(super) fn ask_router(&mut self, cx: &mut Cx<'_>, operation: OperationId) {
        let fresh = self.shared.resolver.is_fresh(cx.now, Role::Router);
        if !fresh {
            let asking = self.shared.look_up(cx);
            // Expired addresses are used while the look-up runs. The operation waits for the
            // look-up only if there are no addresses, or if none has ended since the start:
            // addresses stored by an earlier run may be very old. They are still better than a DNS
            // node that stands still.
            let nothing = self.shared.resolver.records(Role::Router).is_empty();
            if asking && (nothing || !self.shared.looked_up) {
                if !nothing {
                    self.shared.hurry_at.get_or_insert(cx.now + HEAD_START);
                }
                self.wait_for_routers(operation);
                return;
            }
        }
        self.ask_routers_known(cx, operation);
    }

    fn ask_routers_known(&mut self, cx: &mut Cx<'_>, operation: OperationId) {
        let question = self.routing(operation).and_then(|r| r.question.as_ref());
        let needed = question.map_or(Features::default(), features_needed);
        let records = self.shared.resolver.records(Role::Router);
        let able = |record: &&Record| record.features.has(needed);
        let routers = records.iter().filter(able);
        let known: Vec<Address> = routers.map(|record| record.address).collect();
        let some = !known.is_empty();
        if !some && !records.is_empty() {
            let why = "its version does not know this (bring the routers up to date)".into();
            return self.on_unrouted(cx, operation, Failure::Refused(Refusal::Invalid(why)));
        }
        let turn = self
            .shared
            .peers
            .in_turn(cx.now, known, &mut self.shared.rng);
        let mut candidates: Vec<Peer> = turn.into_iter().map(Peer::Node).collect();
        let question = self.routing(operation).and_then(|routing| {
            routing.waiting = false;
            routing.question.clone()
        });
        let Some(question) = question else {
            return;
        };
        if matches!(question, Message::Catalogue(Catalogue::ListTrash { .. })) {
            candidates = self.routers_with_trash(cx);
            if some && candidates.is_empty() {
                return self.on_unrouted(cx, operation, without_trash());
            }
        }
        let purpose = Purpose::Router(operation);
        let policy = Policy::GROUP;
        let asked = cx.ask(Asked::Client(purpose), candidates, question, policy);
        if asked.is_none() {
            let (role, last) = match self.shared.dns_lost {
                Some(lost) => (Role::Dns, Some(lost)),
                None => (Role::Router, None),
            };
            self.on_unrouted(cx, operation, unreachable(role, last));
        }
    }

    fn wait_for_routers(&mut self, operation: OperationId) {
        if let Some(routing) = self.routing(operation) {
            routing.waiting = true;
        }
    }

    /// Asks the questions that wait for the addresses of the routers: the look-up has ended, with
    /// or without success.
    pub(super) fn ask_waiting_routers(&mut self, cx: &mut Cx<'_>) {
        let waiting = |operation: &mut Operation| routing_of(operation).waiting;
        let ids: Vec<OperationId> = (self.operations.iter_mut())
            .filter_map(|(id, operation)| waiting(operation).then_some(*id))
            .collect();
        for operation in ids {
            self.ask_routers_known(cx, operation);
        }
    }

    /// Takes a router's answer, or the failure of all routers.
    pub(super) fn on_routed(&mut self, cx: &mut Cx<'_>, operation: OperationId, reply: Answer) {
        match reply {
            Ok((from, message, _)) => self.on_router_answer(cx, operation, from, message),
            Err((refusal, lost)) => {
                // The addresses may be outdated, so the question is asked once more with fresh
                // ones.
                // No answer, or a server that is no router: other refusals come from a live router,
                // and fresh addresses would not change them.
                let old = matches!(refusal, None | Some(Refusal::WrongRole));
                let again = old
                    && self.routing(operation).is_some_and(|r| !r.asked)
                    && self.shared.resolver.resolve(cx, Role::Router);
                if again && let Some(routing) = self.routing(operation) {
                    (routing.asked, routing.waiting) = (true, true);
                    return;
                }
                let failure = failure(Role::Router, refusal, lost);
                self.on_unrouted(cx, operation, failure);
            }
        }
    }

    fn on_router_answer(
        &mut self,
        cx: &mut Cx<'_>,
        operation: OperationId,
        from: Peer,
        message: Message,
    ) {
        let answer = match message {
            Message::Catalogue(answer) => answer,
            Message::Refused(why) => {
                let failure = failure(Role::Router, Some(why), None);
                return self.on_unrouted(cx, operation, failure);
            }
            Message::Names(_)
            | Message::Audio(_)
            | Message::Ring(_)
            | Message::Upkeep(_)
            | Message::Chord(_) => {
                return self.on_unrouted(cx, operation, senseless());
            }
        };
        self.on_catalogue(cx, operation, from, answer);
    }

    /// Continues an operation with the answer of a router, or with what takes its place.
    pub(super) fn on_catalogue(
        &mut self,
        cx: &mut Cx<'_>,
        operation: OperationId,
        from: Peer,
        answer: Catalogue,
    ) {
        let shared = &mut self.shared;
        let progress = match self.operations.get_mut(&operation) {
            Some(Operation::Ask(ask)) => ask.on_answer(from, answer),
            Some(Operation::Find(find)) => find.on_router(cx, answer, shared),
            Some(Operation::Read(read)) => read.on_router(cx, answer, shared),
            Some(Operation::Upload(upload)) => upload.on_router(cx, answer, shared),
            Some(Operation::Remove(remove)) => remove.on_router(cx, answer),
            Some(Operation::Write(write)) => write.on_router(cx, answer, shared),
            None => Progress::Waits,
        };
        self.go_on(cx, operation, progress);
    }

    /// Continues an operation that no router could help.
    fn on_unrouted(&mut self, cx: &mut Cx<'_>, operation: OperationId, failure: Failure) {
        let goes_on = self.look_in_trash(cx, operation, &failure)
            || self.go_without_router(cx, operation, &failure);
        if !goes_on {
            self.on_not_found(cx, operation, failure);
        }
    }

    /// Continues an operation that neither a router nor a look-up could help.
    pub(super) fn on_not_found(
        &mut self,
        cx: &mut Cx<'_>,
        operation: OperationId,
        failure: Failure,
    ) {
        let shared = &mut self.shared;
        let progress = match self.operations.get_mut(&operation) {
            Some(Operation::Ask(_) | Operation::Remove(_) | Operation::Write(_)) => {
                Progress::Ends(failed(operation, failure))
            }
            Some(Operation::Find(find)) => find.on_unrouted(cx, failure),
            Some(Operation::Read(read)) => read.on_unrouted(cx.now, failure, shared),
            Some(Operation::Upload(upload)) => upload.on_unrouted(cx.now, failure, shared),
            None => Progress::Waits,
        };
        self.go_on(cx, operation, progress);
    }

    pub(super) fn routing(&mut self, operation: OperationId) -> Option<&mut Routing> {
        self.operations.get_mut(&operation).map(routing_of)
    }
}

fn routing_of(operation: &mut Operation) -> &mut Routing {
    match operation {
        Operation::Ask(ask) => &mut ask.routing,
        Operation::Find(find) => &mut find.routing,
        Operation::Read(read) => &mut read.routing,
        Operation::Upload(upload) => &mut upload.routing,
        Operation::Remove(remove) => &mut remove.routing,
        Operation::Write(write) => &mut write.routing,
    }
}

fn address(peer: Peer) -> Address {
    match peer {
        Peer::Node(address) => address,
        Peer::Guest(_) => Address(([0, 0, 0, 0], 0).into()),
    }
}

/// The failure for an answer that makes no sense, from a peer that has the cluster's key.
pub(super) fn senseless() -> Failure {
    unreachable(Role::Router, Some(crate::contract::node::Lost::Misbehaved))
}

/// The failure where only nodes of an earlier version can be asked.
pub(super) fn without_trash() -> Failure {
    let why = "no node that can be asked knows the trash: start this version on all of them";
    Failure::Refused(Refusal::Invalid(why.into()))
}

/// What a router must know to be asked this.
fn features_needed(question: &Message) -> Features {
    let lists = Features::ALBUMS.with(Features::LISTS, true);
    let browse = match question {
        Message::Catalogue(Catalogue::List { query }) if query.sort == Sort::Added => return lists,
        Message::Catalogue(Catalogue::Browse(browse)) => browse,
        Message::Catalogue(Catalogue::Read(_)) => return Features::DOCUMENTS,
        Message::Names(_)
        | Message::Catalogue(_)
        | Message::Audio(_)
        | Message::Ring(_)
        | Message::Chord(_)
        | Message::Refused(_)
        | Message::Upkeep(_) => return Features::default(),
    };
    match browse {
        Browse::Songs { .. }
        | Browse::Albums {
            sort: AlbumSort::Added,
            ..
        } => lists,
        Browse::Albums { .. }
        | Browse::Artists { .. }
        | Browse::Album { .. }
        | Browse::Values { .. } => Features::ALBUMS,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Client;
    use super::*;
    use crate::client::Config;
    use crate::contract::id::{Incarnation, NodeId, RequestId};
    use crate::contract::job::JobReply;
    use crate::contract::message::{Envelope, Kind, Names};
    use crate::contract::node::{Action, Event, Lost, Node, Sender};
    use crate::contract::rng::Rng;
    use crate::contract::time::Time;

    use crate::contract::user::Command;
    use crate::test_support::{Host, addr, record};

    const DNS: u8 = 1;

    fn is_about_dns(envelope: &Envelope) -> bool {
        envelope.message == Message::Names(Names::Resolve { role: Role::Dns })
    }

    struct Requester {
        client: Client,
        host: Host,
        now: Time,
    }

    impl Requester {
        fn handle(&mut self, event: Event) {
            self.client.handle(self.now, event, &mut self.host.out);
        }

        /// The next question: its receiver and its id.
        fn asked(&mut self) -> Option<(u8, RequestId)> {
            loop {
                let due = self.client.deadline();
                match self.host.out.pop() {
                    // The DNS nodes are looked up beside the routers.
                    Some(Action::Send { envelope, .. }) if is_about_dns(&envelope) => (),
                    Some(Action::Send { to, envelope }) => {
                        let number = |n: &u8| to == Peer::Node(addr(*n));
                        return Some(((1..9).find(number)?, envelope.id));
                    }
                    Some(_) => (),
                    None => {
                        self.now = due?;
                        self.handle(Event::Tick);
                    }
                }
            }
        }

        fn answer(&mut self, from: u8, id: RequestId, message: Message) {
            let from = Sender {
                peer: Peer::Node(addr(from)),
                node: NodeId(u128::from(from)),
                incarnation: Incarnation(1),
            };
            let envelope = Envelope {
                id,
                kind: Kind::Answer { more: false },
                message,
                body: Vec::new(),
            };
            self.handle(Event::Message { from, envelope });
        }

        fn name(&mut self, id: RequestId, routers: &[u8]) {
            let records = routers.iter().map(|n| record(*n, Role::Router)).collect();
            let settled = true;
            let names = Names::Records { records, settled };
            self.answer(DNS, id, Message::Names(names));
        }
    }

    /// The only known router has become a data node. The client looks the routers up again and asks
    /// the router found.
    #[test]
    fn who_is_a_router_no_longer_is_looked_up_again() {
        let config = Config {
            dns_nodes: [addr(DNS)].into(),
            ..Config::default()
        };
        let mut shared = Requester {
            client: Client::new(config, Rng::from_seed(1)),
            host: Host::default(),
            now: Time::ZERO,
        };
        let status = |n| {
            Event::User(Command::Status {
                operation: OperationId(n),
            })
        };
        shared.handle(status(1));
        let (to, id) = shared.asked().expect("a look-up");
        assert_eq!(to, DNS);
        shared.name(id, &[2]);
        let (to, id) = shared.asked().expect("a question");
        assert_eq!(to, 2);
        shared.answer(2, id, Message::Refused(Refusal::NotFound));

        shared.now = shared.now + Duration::from_secs(60);
        shared.handle(status(2));
        let (to, names) = shared.asked().expect("a look-up");
        assert_eq!(to, DNS);
        let (to, id) = shared.asked().expect("a question meanwhile");
        assert_eq!(to, 2);
        shared.answer(2, id, Message::Refused(Refusal::WrongRole));
        shared.name(names, &[3]);
        assert_eq!(shared.asked().map(|(to, _)| to), Some(3));
    }

    /// The DNS node stands still and its connection stays open: the router of an earlier run is asked soon.
    #[test]
    fn a_dns_node_that_stands_still_is_not_waited_for() {
        let config = Config {
            dns_nodes: [addr(DNS)].into(),
            ..Config::default()
        };
        let mut shared = Requester {
            client: Client::new(config, Rng::from_seed(1)),
            host: Host::default(),
            now: Time::ZERO,
        };
        shared.handle(Event::Start);
        // A command that comes before the client has read what it remembers waits for that.
        let operation = OperationId(1);
        shared.handle(Event::User(Command::Status { operation }));
        let Some(Action::Run { job, .. }) = shared.host.out.pop() else {
            panic!("it reads what it remembers");
        };
        assert!(shared.host.out.is_empty());
        let records = [record(2, Role::Router)].into();
        let reply = JobReply::Peers { records };
        shared.handle(Event::Done { job, reply });
        assert_eq!(shared.asked().map(|(to, _)| to), Some(DNS));
        assert_eq!(shared.asked().map(|(to, _)| to), Some(2));
        assert_eq!(shared.now, Time::ZERO + HEAD_START);
    }

    /// The first look-up ends because the DNS node refuses the key. The second look-up comes while
    /// the DNS node is not dialled again, and reports the same cause.
    #[test]
    fn a_backoff_is_told_by_its_cause() {
        let config = Config {
            dns_nodes: [addr(DNS)].into(),
            ..Config::default()
        };
        let mut shared = Requester {
            client: Client::new(config, Rng::from_seed(1)),
            host: Host::default(),
            now: Time::ZERO,
        };
        let mut failure = |n, why| {
            let operation = OperationId(n);
            shared.handle(Event::User(Command::Status { operation }));
            loop {
                match shared.host.out.pop() {
                    Some(Action::Tell(Notice::Failed { failure, .. })) => return failure,
                    Some(Action::Send { .. }) => {
                        let peer = Peer::Node(addr(DNS));
                        shared.handle(Event::Lost { peer, why });
                    }
                    Some(_) => (),
                    None => {
                        shared.now = shared.client.deadline().expect("it waits for something");
                        shared.handle(Event::Tick);
                    }
                }
            }
        };
        assert_eq!(failure(1, Lost::HandshakeRefused), Failure::KeyRefused);
        assert_eq!(failure(2, Lost::Backoff), Failure::KeyRefused);
        let gone = Failure::Unreachable {
            role: Role::Dns,
            last: Some(Lost::ConnectRefused),
        };
        assert_eq!(failure(3, Lost::ConnectRefused), gone);
        assert_eq!(failure(4, Lost::Backoff), gone);
    }
}
