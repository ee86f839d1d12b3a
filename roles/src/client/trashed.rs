//! A song that no router finds may be in the trash: the user is told so.

use alloc::vec::Vec;

use super::remove::{in_trash, one_of};
use super::{Answer, Core, Operation, Progress, Purpose};
use crate::contract::id::{OperationId, SongId, SongPrefix};
use crate::contract::message::{Catalogue, Message};
use crate::contract::node::Peer;
use crate::contract::record::{Features, Role};
use crate::contract::user::Failure;
use crate::cx::Cx;
use crate::purpose::Asked;
use crate::requests::Policy;

impl Core {
    /// Routers that know the trash, in the order in which they are to be asked.
    pub(super) fn routers_with_trash(&mut self, cx: &Cx<'_>) -> Vec<Peer> {
        let records = self.shared.resolver.records(Role::Router);
        let know = records.iter().filter(|r| r.features.has(Features::TRASH));
        let know = know.map(|record| record.address).collect();
        let turn = (self.shared.peers).in_turn(cx.now, know, &mut self.shared.rng);
        turn.into_iter().map(Peer::Node).collect()
    }

    /// Asks whether a song that was not found is in the trash. Returns false if nobody can be asked.
    pub(super) fn look_in_trash(
        &mut self,
        cx: &mut Cx<'_>,
        operation: OperationId,
        failure: &Failure,
    ) -> bool {
        let sought = self.operations.get(&operation).and_then(sought);
        let Some(prefix) = sought.filter(|_| *failure == Failure::NotFound) else {
            return false;
        };
        let routers = self.routers_with_trash(cx);
        let question = Message::Catalogue(in_trash(prefix));
        let purpose = Asked::Client(Purpose::InTrash(operation));
        cx.ask(purpose, routers, question, Policy::GROUP).is_some()
    }

    /// Takes what a router has found in the trash.
    pub(super) fn on_looked_in_trash(
        &mut self,
        cx: &mut Cx<'_>,
        operation: OperationId,
        reply: Answer,
    ) {
        let found = match reply {
            Ok((_, Message::Catalogue(Catalogue::Trash { songs, .. }), _)) => one_of(&songs),
            Ok(_) | Err(_) => Err(Failure::NotFound),
        };
        match found {
            Ok(song) => self.on_trashed(cx, operation, song),
            Err(failure) => self.on_not_there(cx, operation, failure),
        }
    }

    fn on_trashed(&mut self, cx: &mut Cx<'_>, operation: OperationId, song: SongId) {
        if let Some(Operation::Remove(remove)) = self.operations.get_mut(&operation) {
            let progress = remove.on_trashed(song);
            return self.go_on(cx, operation, progress);
        }
        self.on_not_there(cx, operation, Failure::Trashed(song));
    }
}

/// The digits of a song that a user looks for outside the trash.
fn sought(operation: &Operation) -> Option<SongPrefix> {
    match operation {
        Operation::Find(find) => Some(find.prefix()),
        Operation::Remove(remove) => remove.seeks_outside(),
        // A file that is added comes out of the trash; a song that is read was found before.
        Operation::Ask(_) | Operation::Read(_) | Operation::Upload(_) | Operation::Write(_) => None,
    }
}

impl Core {
    /// Ends what a song was needed for that is not there.
    fn on_not_there(&mut self, cx: &mut Cx<'_>, operation: OperationId, failure: Failure) {
        let progress = match self.operations.get_mut(&operation) {
            Some(Operation::Find(find)) => find.on_unrouted(cx, failure),
            Some(_) => Progress::Ends(super::failed(operation, failure)),
            None => Progress::Waits,
        };
        self.go_on(cx, operation, progress);
    }
}
