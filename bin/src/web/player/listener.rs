//! Stars, plays and playlists: leads the client's notices to the requests that wait for them.

use super::*;
use crate::web::listener::{Step, Work};
use roles::contract::document::Documents;

impl Player {
    /// A browser asks about listeners, or writes something.
    pub(super) fn on_listening(
        &mut self,
        exchange: Exchange,
        route: &Route,
        request: &Request,
        acts: &mut Vec<Act>,
    ) {
        let operation = self.operation(Purpose::Exchange(exchange));
        match Work::begin(route, request, operation) {
            Ok((work, step)) => self.go_on_listening(exchange, (operation, work), step, acts),
            Err(why) => {
                self.operations.remove(&operation);
                self.refuse(exchange, 400, &why, acts);
            }
        }
    }

    pub(super) fn on_documents(
        &mut self,
        operation: OperationId,
        page: Option<Documents>,
        acts: &mut Vec<Act>,
    ) {
        let Some(exchange) = self.answered(operation) else {
            return;
        };
        let Some(ExchangeState::Listening(_, mut work)) = self.exchanges.remove(&exchange) else {
            return;
        };
        let operation = self.operation(Purpose::Exchange(exchange));
        let step = match page {
            Some(page) => work.on_read(operation, page),
            None => work.on_written(operation),
        };
        self.go_on_listening(exchange, (operation, *work), step, acts);
    }

    fn go_on_listening(
        &mut self,
        exchange: Exchange,
        (operation, work): (OperationId, Work),
        step: Step,
        acts: &mut Vec<Act>,
    ) {
        match step {
            Step::Ask(command) => {
                let state = ExchangeState::Listening(operation, Box::new(work));
                self.exchanges.insert(exchange, state);
                self.command(command);
            }
            Step::Done(status, value) => {
                self.operations.remove(&operation);
                let (head, body) = match value {
                    Some(value) => answer::json(status, &value),
                    None => (answer::head(status, "", 0), Vec::new()),
                };
                self.give(exchange, head, body, acts);
            }
        }
    }
}
