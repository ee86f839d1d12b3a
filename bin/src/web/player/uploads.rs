//! Uploads: spooled to disk, then added the way `dispotify add` does it.

use super::*;

impl Player {
    pub(super) fn on_upload(
        &mut self,
        now: Time,
        exchange: Exchange,
        request: &Request,
        acts: &mut Vec<Act>,
    ) {
        if let Err((status, why)) = self.uploads.wait(exchange, request) {
            return self.refuse(exchange, status, why, acts);
        }
        self.exchanges.insert(exchange, ExchangeState::UploadWaits);
        self.begin_uploads(now, acts);
    }

    /// Begins the files in line for which there is a place, or a slow upload gives its own.
    pub(super) fn begin_uploads(&mut self, now: Time, acts: &mut Vec<Act>) {
        loop {
            while let Some((waiting, upload)) = self.uploads.begin(now) {
                self.begin_upload(waiting, upload, acts);
            }
            let Some(slow) = self.uploads.too_slow(now) else {
                return;
            };
            self.drop_upload(slow, TOO_SLOW, acts);
        }
    }

    fn begin_upload(&mut self, waiting: Waiting, upload: u64, acts: &mut Vec<Act>) {
        let Waiting {
            exchange,
            name,
            bytes,
        } = waiting;
        self.exchanges
            .insert(exchange, ExchangeState::Upload(upload));
        acts.push(Act::Wake { exchange });
        let begin = Spool::Begin {
            upload,
            name,
            bytes,
        };
        if !self.workers.spool(begin) {
            self.drop_upload(upload, BUSY, acts);
        }
    }

    pub(super) fn on_body(&mut self, exchange: Exchange, bytes: &[u8], acts: &mut Vec<Act>) {
        let Some(ExchangeState::Upload(upload)) = self.exchanges.get(&exchange) else {
            return; // The upload has been answered already.
        };
        let number = *upload;
        let Some(upload) = self.uploads.all.get_mut(&number) else {
            return;
        };
        let counted = upload.on_bytes(bytes.len());
        let write = Spool::Write {
            upload: number,
            bytes: bytes.to_vec(),
        };
        if let Err(refusal) = counted {
            self.drop_upload(number, refusal, acts);
        } else if !self.workers.spool(write) {
            self.drop_upload(number, BUSY, acts);
        }
    }

    pub(super) fn on_body_end(&mut self, exchange: Exchange, acts: &mut Vec<Act>) {
        let Some(ExchangeState::Upload(upload)) = self.exchanges.get(&exchange) else {
            return;
        };
        let upload = *upload;
        let whole = self.uploads.all.get_mut(&upload).map(Upload::on_end);
        if let Some(Err(refusal)) = whole {
            self.drop_upload(upload, refusal, acts);
        } else if !self.workers.spool(Spool::Finish { upload }) {
            self.drop_upload(upload, BUSY, acts);
        }
    }

    /// Drops an upload, and sends the reason to the browser if it still waits.
    pub(super) fn drop_upload(
        &mut self,
        upload: u64,
        (status, why): (u16, &str),
        acts: &mut Vec<Act>,
    ) {
        if let Some(exchange) = self.end_upload(upload) {
            self.refuse(exchange, status, why, acts);
        }
    }

    /// Removes an upload and its spooled file; returns the exchange that waits for the result.
    pub(super) fn end_upload(&mut self, upload: u64) -> Option<Exchange> {
        let ended = self.uploads.all.remove(&upload)?;
        self.workers.spool(Spool::Remove { upload });
        if let Some((operation, source)) = ended.adding {
            self.operations.remove(&operation);
            self.session.sources.forget(source);
        }
        ended.exchange
    }

    /// Handles a browser that is gone. A complete file is still added; a partial one is dropped.
    pub(super) fn leave_upload(&mut self, number: u64) {
        let Some(upload) = self.uploads.all.get_mut(&number) else {
            return;
        };
        upload.exchange = None;
        if upload.adding.is_none() {
            self.end_upload(number);
        }
    }

    pub(super) fn on_uploaded(
        &mut self,
        operation: OperationId,
        song: SongId,
        (copies, known): (u8, bool),
        acts: &mut Vec<Act>,
    ) {
        let Some(Purpose::Upload(number)) = self.operations.get(&operation).copied() else {
            return;
        };
        let Some(upload) = self.uploads.all.get_mut(&number) else {
            return;
        };
        let title = std::mem::take(&mut upload.title);
        let added = Added {
            id: song.to_string(),
            outcome: if known { "known" } else { "added" },
            copies,
            title: &title,
        };
        let (head, body) = answer::json(201, &added);
        if let Some(exchange) = self.end_upload(number) {
            self.give(exchange, head, body, acts);
        }
    }

    /// Adds a file that is complete on this machine's disk, as `dispotify add` does.
    pub(super) fn add(&mut self, number: u64, source: SourceId) {
        if !self.uploads.all.contains_key(&number) {
            return self.session.sources.forget(source);
        }
        let operation = self.operation(Purpose::Upload(number));
        if let Some(upload) = self.uploads.all.get_mut(&number) {
            upload.adding = Some((operation, source));
        }
        self.command(Command::Upload { operation, source });
    }
}
