//! Notices from the client, and the exchanges that they belong to.

use super::*;
use crate::failure;

impl Player {
    pub(super) fn on_notice(&mut self, now: Time, notice: Notice, acts: &mut Vec<Act>) {
        match notice {
            Notice::Songs {
                operation,
                songs,
                total,
                next,
            } => {
                if let Some(exchange) = self.answered(operation) {
                    let page = Songs::of(&songs, total, next.as_ref());
                    let (head, body) = answer::json(200, &page);
                    self.give(exchange, head, body, acts);
                }
            }
            Notice::Status {
                operation,
                status,
                router,
            } => match self.operations.remove(&operation) {
                Some(Purpose::Exchange(exchange)) => {
                    let (head, body) = answer::json(200, &status::Object::of(&status, router));
                    self.give(exchange, head, body, acts);
                }
                Some(Purpose::Status) => {
                    wake(self.events.on_status(now, Some((status, router))), acts);
                }
                Some(Purpose::Metrics(exchange, format)) => {
                    self.give_metrics((exchange, format), Some(&status), acts);
                }
                Some(Purpose::Cover | Purpose::Upload(_) | Purpose::Holders) | None => (),
            },
            Notice::Opened {
                operation,
                manifest,
                holders,
            } => self.on_opened(now, operation, &manifest, &holders, acts),
            Notice::Fragment {
                operation,
                index,
                skipped,
                bytes,
                origin,
            } => self.on_fragment(now, operation, (index, skipped, origin), bytes, acts),
            Notice::Scanned {
                operation,
                manifest,
            } => {
                if let Some(Purpose::Upload(upload)) = self.operations.get(&operation)
                    && let Some(upload) = self.uploads.all.get_mut(upload)
                {
                    upload.title = manifest.song.title;
                }
            }
            Notice::Uploaded {
                operation,
                song,
                copies,
                known,
            } => self.on_uploaded(operation, song, (copies, known), acts),
            Notice::Changed {
                operation,
                song,
                to,
                ..
            } => {
                if let Some(exchange) = self.answered(operation) {
                    let mut head = answer::head(204, "", 0);
                    if to == Fate::Trash {
                        // From there it can be taken back.
                        head.fields.push(("Location", format!("/api/trash/{song}")));
                    }
                    self.give(exchange, head, Vec::new(), acts);
                }
            }
            Notice::Trash {
                operation,
                songs,
                total,
                bytes,
                next,
            } => {
                if let Some(exchange) = self.answered(operation) {
                    let allowed = self.guard.may_remove();
                    let page = Trash::of(&songs, (total, bytes), next, allowed);
                    let (head, body) = answer::json(200, &page);
                    self.give(exchange, head, body, acts);
                }
            }
            Notice::Browsed { operation, found } => {
                if let Some(exchange) = self.answered(operation) {
                    let (head, body) = answer::json(200, &browse::Page::of(&found));
                    self.give(exchange, head, body, acts);
                }
            }
            Notice::Documents { operation, page } => {
                self.on_documents(operation, Some(page), acts);
            }
            Notice::Written { operation, .. } => self.on_documents(operation, None, acts),
            Notice::Removed { operation, .. } => {
                if let Some(exchange) = self.answered(operation) {
                    self.give(exchange, answer::head(204, "", 0), Vec::new(), acts);
                }
            }
            Notice::Failed { operation, failure } => {
                self.on_failed(now, operation, &failure, acts);
            }
            Notice::Fact { .. }
            | Notice::Ready { .. }
            | Notice::Outdated
            | Notice::ReadDone { .. }
            | Notice::Stopped
            | Notice::Records { .. } => (), // The page asks for none of these, and counts what it reads.
            Notice::Progress { operation, .. } => {
                if let Some(Purpose::Upload(upload)) = self.operations.get(&operation)
                    && let Some(upload) = self.uploads.all.get_mut(upload)
                {
                    upload.arrived = true;
                }
            }
        }
    }

    fn on_opened(
        &mut self,
        now: Time,
        operation: OperationId,
        manifest: &Manifest,
        holders: &[Holder],
        acts: &mut Vec<Act>,
    ) {
        let song = manifest.song.id;
        self.events
            .on_holders(song, holders.iter().map(|h| h.address));
        let exchange = match self.operations.get(&operation) {
            Some(Purpose::Exchange(exchange)) => *exchange,
            Some(Purpose::Holders) => return self.close(operation),
            Some(Purpose::Cover) => return self.on_cover_opened(operation, manifest, acts),
            Some(Purpose::Status | Purpose::Metrics(..) | Purpose::Upload(_)) | None => return,
        };
        match self.exchanges.get_mut(&exchange) {
            Some(ExchangeState::Opening(_, wish)) => {
                let (head, stream) = Stream::begin(now, operation, wish, manifest);
                acts.push(Act::Answer { exchange, head });
                self.begin_stream(exchange, stream, song);
                self.end_open();
            }
            Some(ExchangeState::Asked(_) | ExchangeState::Listening(..)) => {
                let known = Known::of(manifest, holders);
                self.close(operation);
                self.exchanges
                    .insert(exchange, ExchangeState::Details(known));
                if !self.workers.look(Look::Kept { exchange, song }) {
                    // The cached ranges are only a hint for the eye: the page must not wait for a
                    // full queue.
                    self.on_kept(exchange, &[], acts);
                }
            }
            Some(
                ExchangeState::Page(..)
                | ExchangeState::Details(_)
                | ExchangeState::OpenWaits(_)
                | ExchangeState::Stream(_)
                | ExchangeState::CoverWaits(..)
                | ExchangeState::UploadWaits
                | ExchangeState::Upload(_)
                | ExchangeState::Listener,
            )
            | None => (),
        }
    }

    /// Answers a request for a song's details, now that the cached fragments are known.
    pub(super) fn on_kept(&mut self, exchange: Exchange, runs: &[Range<u32>], acts: &mut Vec<Act>) {
        if let Some(ExchangeState::Details(known)) = self.exchanges.get(&exchange) {
            let (head, body) = answer::json(200, &known.details(runs));
            self.give(exchange, head, body, acts);
        }
    }

    fn on_fragment(
        &mut self,
        now: Time,
        operation: OperationId,
        (index, skipped, origin): (u32, u32, Origin),
        bytes: Vec<u8>,
        acts: &mut Vec<Act>,
    ) {
        let exchange = match self.operations.get(&operation).copied() {
            Some(Purpose::Exchange(exchange)) => exchange,
            Some(Purpose::Cover) => return self.on_cover_piece(operation, bytes, acts),
            Some(
                Purpose::Metrics(..) | Purpose::Upload(_) | Purpose::Status | Purpose::Holders,
            )
            | None => return,
        };
        match self.exchanges.get_mut(&exchange) {
            Some(ExchangeState::Stream(stream)) => {
                if !stream.on_fragment(now, (index, skipped), bytes) {
                    log::error!("web stream out of order index={index}");
                    return acts.push(Act::Cut { exchange });
                }
                let Source::Song { song, .. } = stream.source else {
                    return;
                };
                let before = stream.origin.replace(origin);
                self.buffer_budget.arrived();
                self.readers_wait = true;
                self.queue(exchange);
                acts.push(Act::Wake { exchange });
                wake(
                    self.events.on_fragment(now, (song, index), origin, before),
                    acts,
                );
            }
            Some(
                ExchangeState::Page(..)
                | ExchangeState::Asked(_)
                | ExchangeState::Listening(..)
                | ExchangeState::Details(_)
                | ExchangeState::OpenWaits(_)
                | ExchangeState::Opening(..)
                | ExchangeState::CoverWaits(..)
                | ExchangeState::UploadWaits
                | ExchangeState::Upload(_)
                | ExchangeState::Listener,
            )
            | None => (),
        }
    }

    fn on_failed(
        &mut self,
        now: Time,
        operation: OperationId,
        failure: &Failure,
        acts: &mut Vec<Act>,
    ) {
        let (status, why) = (answer::status(failure), failure.to_string());
        match self.operations.remove(&operation) {
            Some(Purpose::Exchange(exchange)) => self.fail(exchange, status, &why, acts),
            Some(Purpose::Upload(upload)) => {
                let arrived = self.uploads.all.get(&upload).is_some_and(|u| u.arrived);
                let kept_for = self.session.uploads_kept_for;
                let why = failure::of_upload(failure, arrived, kept_for);
                self.drop_upload(upload, (status, &why), acts);
            }
            Some(Purpose::Cover) => self.fail_cover(operation, (status, &why), acts),
            Some(Purpose::Status) => wake(self.events.on_status(now, None), acts),
            Some(Purpose::Metrics(exchange, format)) => {
                self.give_metrics((exchange, format), None, acts);
            }
            Some(Purpose::Holders) | None => (),
        }
    }

    pub(super) fn fail(&mut self, exchange: Exchange, status: u16, why: &str, acts: &mut Vec<Act>) {
        match self.exchanges.remove(&exchange) {
            Some(ExchangeState::Stream(stream)) => {
                match &stream.source {
                    Source::Song { song, .. } => {
                        log::warn!("web stream given up song={song}: {why}")
                    }
                    Source::Cover(_) => log::warn!("web cover given up: {why}"),
                }
                self.end_stream(exchange, &stream);
                acts.push(Act::Cut { exchange });
            }
            Some(ExchangeState::Opening(..)) => {
                self.end_open();
                self.refuse(exchange, status, why, acts);
            }
            Some(
                ExchangeState::Page(..)
                | ExchangeState::Asked(_)
                | ExchangeState::Listening(..)
                | ExchangeState::Details(_)
                | ExchangeState::OpenWaits(_)
                | ExchangeState::CoverWaits(..)
                | ExchangeState::UploadWaits
                | ExchangeState::Upload(_)
                | ExchangeState::Listener,
            )
            | None => self.refuse(exchange, status, why, acts),
        }
    }
}
