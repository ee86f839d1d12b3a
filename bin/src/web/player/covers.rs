//! Covers and tags: a few at a time, read out of the first and last fragments of songs.

use super::*;
use storage::tags::Details;

impl Player {
    pub(super) fn on_cover(
        &mut self,
        now: Time,
        exchange: Exchange,
        song: SongId,
        request: &Request,
        acts: &mut Vec<Act>,
    ) {
        let tag = stream::tag(song);
        if range::is_known(request.field("if-none-match"), &tag) {
            let mut head = answer::head(304, "", 0);
            head.fields.push(("ETag", tag));
            return self.give(exchange, head, vec![], acts);
        }
        if let Some(cover) = self.covers.find(song) {
            return self.give_cover(now, exchange, &cover, acts);
        }
        if request.query == "missing=204" {
            self.covers.quiet.insert(exchange);
        }
        self.exchanges
            .insert(exchange, ExchangeState::CoverWaits(song, Wanted::Cover));
        self.covers.wait(exchange, (song, Wanted::Cover));
        self.begin_covers();
    }

    /// Answers with what the tags of a song say beside its entry.
    pub(super) fn on_tags(&mut self, exchange: Exchange, song: SongId) {
        self.exchanges
            .insert(exchange, ExchangeState::CoverWaits(song, Wanted::Tags));
        self.covers.wait(exchange, (song, Wanted::Tags));
        self.begin_covers();
    }

    fn begin_covers(&mut self) {
        while let Some(what) = self.covers.next() {
            let operation = self.operation(Purpose::Cover);
            self.covers.reading.insert(operation, Reading::of(what));
            let song = what.0.into();
            self.command(Command::Open {
                operation,
                song,
                holders: false,
            });
        }
    }

    pub(super) fn on_cover_opened(
        &mut self,
        operation: OperationId,
        manifest: &Manifest,
        acts: &mut Vec<Act>,
    ) {
        let reading = self.covers.reading.get_mut(&operation);
        match reading.map(|reading| reading.on_opened(manifest)) {
            Some(true) => self.read_cover(operation, acts),
            Some(false) => self.end_with_nothing(operation, acts),
            None => self.close(operation),
        }
    }

    /// Requests the next fragment. When all are on disk, what is wanted is looked for in them.
    fn read_cover(&mut self, operation: OperationId, acts: &mut Vec<Act>) {
        let Some(reading) = self.covers.reading.get_mut(&operation) else {
            return;
        };
        let (format, wanted) = (reading.format, reading.wanted);
        if let Some(first) = reading.next_fragment() {
            let end = first + 1;
            self.command(Command::Read {
                operation,
                first,
                end,
                bytes: roles::contract::user::ALL_BYTES,
            });
            let count = 1;
            self.command(Command::Take { operation, count });
        } else {
            let find = CoverTask::Find {
                operation,
                format,
                wanted,
            };
            if !self.workers.cover(find) {
                self.fail_cover(operation, TOO_MANY_COVERS, acts);
            }
        }
    }

    pub(super) fn on_cover_piece(
        &mut self,
        operation: OperationId,
        bytes: Vec<u8>,
        acts: &mut Vec<Act>,
    ) {
        let Some(reading) = self.covers.reading.get(&operation) else {
            return;
        };
        let at = reading.at;
        let piece = CoverTask::Piece {
            operation,
            at,
            bytes,
        };
        if !self.workers.cover(piece) {
            self.fail_cover(operation, TOO_MANY_COVERS, acts);
        }
    }

    pub(super) fn on_cover_done(&mut self, now: Time, done: CoverDone, acts: &mut Vec<Act>) {
        match done {
            CoverDone::Kept { operation } => self.read_cover(operation, acts),
            CoverDone::Found { operation, cover } => match cover {
                Some(cover) => self.on_found(now, operation, Arc::new(cover), acts),
                None => self.end_with_nothing(operation, acts),
            },
            CoverDone::Tags { operation, details } => self.give_tags(operation, &details, acts),
            CoverDone::Failed { operation, error } => {
                let full = error.kind() == std::io::ErrorKind::StorageFull;
                let status = if full { 507 } else { 500 };
                let why = format!("read the cover: {error}");
                self.fail_cover(operation, (status, &why), acts);
            }
        }
    }

    fn on_found(
        &mut self,
        now: Time,
        operation: OperationId,
        cover: Arc<CoverFile>,
        acts: &mut Vec<Act>,
    ) {
        let Some(reading) = self.covers.reading.get(&operation) else {
            return;
        };
        self.covers.keep(reading.song, &cover);
        for exchange in self.end_cover(operation) {
            self.covers.quiet.remove(&exchange);
            self.give_cover(now, exchange, &cover, acts);
        }
    }

    fn give_cover(
        &mut self,
        now: Time,
        exchange: Exchange,
        cover: &Arc<CoverFile>,
        acts: &mut Vec<Act>,
    ) {
        let (head, stream) = Stream::of_cover(now, cover);
        acts.push(Act::Answer { exchange, head });
        self.exchanges
            .insert(exchange, ExchangeState::Stream(stream));
        self.queue(exchange);
    }

    /// The tags of a song follow from its bytes: a browser may keep them for a day, after which a
    /// newer version may read more.
    fn give_tags(&mut self, operation: OperationId, details: &Details, acts: &mut Vec<Act>) {
        let tags = browse::SongTags::of(details);
        for exchange in self.end_cover(operation) {
            let (mut head, body) = answer::json(200, &tags);
            head.fields.retain(|(name, _)| *name != "Cache-Control");
            let a_day = "private, max-age=86400";
            head.fields.push(("Cache-Control", a_day.to_owned()));
            self.give(exchange, head, body, acts);
        }
    }

    /// Ends the reading of a song that has no cover, or whose tags are too far apart to be read.
    fn end_with_nothing(&mut self, operation: OperationId, acts: &mut Vec<Act>) {
        let reading = self.covers.reading.get(&operation);
        if reading.is_some_and(|reading| reading.wanted == Wanted::Tags) {
            return self.give_tags(operation, &Details::default(), acts);
        }
        for exchange in self.end_cover(operation) {
            self.give_no_cover(exchange, acts);
        }
    }

    /// Refuses every request for what cannot be read.
    pub(super) fn fail_cover(
        &mut self,
        operation: OperationId,
        (status, why): (u16, &str),
        acts: &mut Vec<Act>,
    ) {
        for exchange in self.end_cover(operation) {
            self.refuse(exchange, status, why, acts);
        }
    }

    /// Ends a reading; returns the requests that wait for it.
    fn end_cover(&mut self, operation: OperationId) -> Vec<Exchange> {
        self.close(operation);
        // A full queue loses the order to forget; the pieces then make room for later ones.
        self.workers.cover(CoverTask::Forget { operation });
        let ended = self.covers.reading.remove(&operation);
        let waiting = ended.map(|reading| self.covers.take_waiting(reading.what()));
        self.begin_covers();
        waiting.unwrap_or_default()
    }

    /// Handles a browser that does not wait any more.
    pub(super) fn leave_cover(&mut self, exchange: Exchange, what: (SongId, Wanted)) {
        if let Some(operation) = self.covers.leave(exchange, what) {
            self.end_cover(operation);
        }
    }

    fn give_no_cover(&mut self, exchange: Exchange, acts: &mut Vec<Act>) {
        if self.covers.quiet.remove(&exchange) {
            let mut head = answer::head(204, "", 0);
            let a_day = "public, max-age=86400";
            head.fields.push(("Cache-Control", a_day.to_owned()));
            return self.give(exchange, head, vec![], acts);
        }
        self.refuse(exchange, 404, "this song has no cover", acts);
    }
}

const TOO_MANY_COVERS: (u16, &str) = (503, "too many covers and tags are being looked for");
