//! Covers: a few at a time, read out of the first and last fragments of songs.

use super::*;

impl Player {
    pub(super) fn on_cover(
        &mut self,
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
        if request.query == "missing=204" {
            self.covers.quiet.insert(exchange);
        }
        self.exchanges.insert(exchange, ExchangeState::CoverWaits);
        self.covers.line.push_back((exchange, song));
        self.begin_covers();
    }

    pub(super) fn begin_covers(&mut self) {
        while self.covers.at_work < COVERS_AT_ONCE
            && let Some((exchange, song)) = self.covers.line.pop_front()
        {
            let operation = self.operation(Purpose::Exchange(exchange));
            let state = ExchangeState::Cover(Cover::new(operation));
            self.exchanges.insert(exchange, state);
            self.covers.at_work += 1;
            let song = song.into();
            self.command(Command::Open {
                operation,
                song,
                holders: false,
            });
        }
    }

    pub(super) fn end_cover(&mut self, operation: OperationId) {
        self.close(operation);
        self.covers.at_work -= 1;
        self.begin_covers();
    }

    pub(super) fn read_cover(&mut self, exchange: Exchange, acts: &mut Vec<Act>) {
        let Some(ExchangeState::Cover(cover)) = self.exchanges.get_mut(&exchange) else {
            return;
        };
        let operation = cover.operation;
        if let Some((first, end)) = cover.next_range() {
            let count = end - first;
            self.command(Command::Read {
                operation,
                first,
                end,
            });
            return self.command(Command::Take { operation, count });
        }
        let pieces = cover.take_pieces();
        if !pieces.is_some_and(|pieces| self.workers.look(Look::Cover(pieces))) {
            self.end_cover(operation);
            self.refuse(exchange, 503, "too many covers are being looked for", acts);
        }
    }

    pub(super) fn on_picture(
        &mut self,
        exchange: Exchange,
        picture: Option<Picture>,
        acts: &mut Vec<Act>,
    ) {
        let Some(ExchangeState::Cover(cover)) = self.exchanges.get(&exchange) else {
            return;
        };
        self.end_cover(cover.operation);
        let Some(picture) = picture else {
            return self.give_no_cover(exchange, acts);
        };
        let mut head = answer::head(200, picture.media_type, picture.bytes.len() as u64);
        let for_ever = "public, max-age=31536000, immutable";
        head.fields.push(("Cache-Control", for_ever.to_owned()));
        self.give(exchange, head, picture.bytes, acts);
    }

    pub(super) fn give_no_cover(&mut self, exchange: Exchange, acts: &mut Vec<Act>) {
        if self.covers.quiet.remove(&exchange) {
            let mut head = answer::head(204, "", 0);
            let a_day = "public, max-age=86400";
            head.fields.push(("Cache-Control", a_day.to_owned()));
            return self.give(exchange, head, vec![], acts);
        }
        self.refuse(exchange, 404, "this song has no cover", acts);
    }
}
