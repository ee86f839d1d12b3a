//! Songs without a router: the client asks the data nodes where a song is.
//!
//! The addresses of the data nodes come from the DNS nodes. The client treats the result of a
//! look-up like the answer of a router.

use alloc::vec::Vec;

use super::ask::{Routing, WithoutRouter};
use super::{Core, Operation, Shared};
use crate::contract::id::{OperationId, SongPrefix};
use crate::contract::message::Catalogue;
use crate::contract::node::Peer;
use crate::contract::record::Role;
use crate::contract::user::Failure;
use crate::cx::Cx;
use crate::locator::{self, DataNodes, Ending, Locator};
use crate::requests::Policy;

impl Core {
    /// Looks the song of an operation up at the data nodes, if no router can be reached. Returns
    /// false if that is impossible, if a look-up was made before, or if a router has answered.
    pub(super) fn go_without_router(
        &mut self,
        cx: &mut Cx<'_>,
        operation: OperationId,
        failure: &Failure,
    ) -> bool {
        let sought = self.operations.get_mut(&operation).and_then(sought);
        let Some((routing, prefix)) = sought else {
            return false;
        };
        let unreachable = matches!(failure, Failure::Unreachable { .. });
        let before = matches!(routing.without, WithoutRouter::No);
        if !unreachable || !before || !locator::can_find(prefix) {
            return false;
        }
        let fresh = self.shared.resolver.is_fresh(cx.now, Role::Data);
        let waits = !fresh && self.shared.resolver.resolve(cx, Role::Data);
        routing.without = WithoutRouter::Waits(failure.clone());
        if !waits {
            self.look_up(cx, operation);
        }
        true
    }

    /// Starts the look-ups that wait for the addresses of the data nodes: the DNS look-up has
    /// ended, with or without success.
    pub(super) fn look_up_waiting(&mut self, cx: &mut Cx<'_>) {
        let waits = |operation: &mut Operation| {
            sought(operation)
                .is_some_and(|(routing, _)| matches!(routing.without, WithoutRouter::Waits(_)))
        };
        let ids: Vec<OperationId> = (self.operations.iter_mut())
            .filter_map(|(id, operation)| waits(operation).then_some(*id))
            .collect();
        for operation in ids {
            self.look_up(cx, operation);
        }
    }

    fn look_up(&mut self, cx: &mut Cx<'_>, operation: OperationId) {
        let sought = self.operations.get_mut(&operation).and_then(sought);
        let Some((routing, prefix)) = sought else {
            return;
        };
        let WithoutRouter::Waits(failure) = core::mem::take(&mut routing.without) else {
            return;
        };
        // The state changes before the look-up starts, because the look-up may end within this
        // call.
        routing.without = WithoutRouter::LooksUp(failure);
        let asked = (operation, cx.now + Policy::GROUP.deadline);
        let ended =
            (self.shared).with_locator(|locator, nodes| locator.start(cx, asked, prefix, nodes));
        self.on_looked_up(cx, ended);
    }

    /// Lets the operations of ended look-ups go on.
    pub(super) fn on_looked_up(
        &mut self,
        cx: &mut Cx<'_>,
        ended: impl IntoIterator<Item = (OperationId, Ending)>,
    ) {
        for (operation, ending) in ended {
            let sought = self.operations.get_mut(&operation).and_then(sought);
            let Some((routing, _)) = sought else {
                continue; // The operation was closed meanwhile.
            };
            let WithoutRouter::LooksUp(failure) = core::mem::take(&mut routing.without) else {
                continue;
            };
            let failure = match ending {
                Ending::Found(song, holder) => {
                    let from = Peer::Node(holder.address);
                    let holders = [holder].into();
                    let located = Catalogue::Located { song, holders };
                    self.on_catalogue(cx, operation, from, located);
                    continue;
                }
                Ending::Ambiguous(songs) => Failure::Ambiguous(songs),
                Ending::Unknown => Failure::NotFound,
                Ending::Failed => failure,
            };
            self.on_not_found(cx, operation, failure);
        }
    }
}

/// The routing and the song of an operation that needs the holders of one.
fn sought(operation: &mut Operation) -> Option<(&mut Routing, SongPrefix)> {
    match operation {
        Operation::Find(find) => {
            let prefix = find.prefix();
            Some((&mut find.routing, prefix))
        }
        Operation::Read(read) => {
            let prefix = read.prefix();
            Some((&mut read.routing, prefix))
        }
        Operation::Ask(_) | Operation::Upload(_) | Operation::Remove(_) | Operation::Write(_) => {
            None
        }
    }
}

impl Shared {
    /// Lets the look-ups take a step, among the data nodes that the DNS nodes have named.
    pub(super) fn with_locator<R>(
        &mut self,
        step: impl FnOnce(&mut Locator<OperationId>, &DataNodes<'_>) -> R,
    ) -> R {
        let nodes = DataNodes::among(self.resolver.records(Role::Data));
        step(&mut self.locator, &nodes)
    }
}
