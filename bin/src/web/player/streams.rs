//! Streams: opens a few songs at a time, and decides which stream gets the next piece of its song or
//! cover.

use super::*;

impl Player {
    pub(super) fn on_stream(
        &mut self,
        exchange: Exchange,
        song: SongId,
        request: &Request,
        download: bool,
        acts: &mut Vec<Act>,
    ) {
        let tag = stream::tag(song);
        if range::is_known(request.field("if-none-match"), &tag) {
            let mut head = answer::head(304, "", 0);
            head.fields.push(("ETag", tag));
            return self.give(exchange, head, vec![], acts);
        }
        let wish = Wish::of(song, request, download);
        self.exchanges
            .insert(exchange, ExchangeState::OpenWaits(wish));
        self.opens.push_back(exchange);
        self.begin_opens();
    }

    /// Opens waiting songs while fewer than `OPENING_MAX` are being opened.
    pub(super) fn begin_opens(&mut self) {
        while self.opening < OPENING_MAX
            && let Some(exchange) = self.opens.pop_front()
        {
            let Some(ExchangeState::OpenWaits(wish)) = self.exchanges.remove(&exchange) else {
                continue;
            };
            let operation = self.operation(Purpose::Exchange(exchange));
            let song = wish.song.into();
            self.exchanges
                .insert(exchange, ExchangeState::Opening(operation, wish));
            self.opening += 1;
            self.command(Command::Open {
                operation,
                song,
                holders: false,
            });
        }
    }

    /// Notes that a song has been opened or has failed to open.
    pub(super) fn end_open(&mut self) {
        self.opening -= 1;
        self.begin_opens();
    }

    pub(super) fn begin_stream(
        &mut self,
        exchange: Exchange,
        stream: Option<Stream>,
        song: SongId,
    ) {
        let opening = match stream {
            Some(stream) => self
                .exchanges
                .insert(exchange, ExchangeState::Stream(stream)),
            None => self.exchanges.remove(&exchange),
        };
        if let (None, Some(ExchangeState::Opening(operation, _))) =
            (self.exchanges.get(&exchange), opening)
        {
            return self.close(operation);
        }
        self.queue(exchange);
        if self.events.is_heard() && !self.events.knows_holders(song) {
            let operation = self.operation(Purpose::Holders);
            self.open_with_holders(operation, song);
        }
    }

    /// Queues a stream for the memory budget, if the stream needs a fragment.
    pub(super) fn queue(&mut self, exchange: Exchange) {
        let Some(ExchangeState::Stream(stream)) = self.exchanges.get_mut(&exchange) else {
            return;
        };
        let Some((_, length)) = stream.wants() else {
            return;
        };
        // A stream has one request at a time, because a new range replaces the previous one. No
        // stream reads ahead while others wait for the fragment that they play.
        let due = stream.holds_nothing() || self.buffer_budget.is_easy(length);
        if !stream.waits && stream.asked == 0 && due {
            stream.waits = true;
            self.buffer_budget.wait(exchange);
            self.readers_wait = true;
        }
    }

    /// Serves the queue in order while the memory budget allows.
    pub(super) fn feed(&mut self, now: Time, acts: &mut Vec<Act>) {
        (self.readers_wait, self.stalled_at) = (false, None);
        while let Some(exchange) = self.buffer_budget.next() {
            if !self.buffer_budget.may_ask() {
                return; // The next arrival makes room.
            }
            let Some(ExchangeState::Stream(stream)) = self.exchanges.get(&exchange) else {
                self.buffer_budget.step();
                continue;
            };
            let needed = stream.wants().map_or(0, |(_, length)| length);
            if !self.buffer_budget.has(needed) && !self.make_room(now, needed) {
                return;
            }
            self.buffer_budget.step();
            self.fetch(exchange, acts);
        }
    }

    /// Requests the fragments that a stream needs: one, or two while the budget is ample.
    fn fetch(&mut self, exchange: Exchange, acts: &mut Vec<Act>) {
        let Some(ExchangeState::Stream(stream)) = self.exchanges.get_mut(&exchange) else {
            return;
        };
        stream.waits = false;
        let Some((first, _)) = stream.wants() else {
            return;
        };
        let mut end = first;
        while let Some((index, length)) = stream.wants()
            && (index == first || self.buffer_budget.is_easy(length))
        {
            stream.asked += 1;
            self.buffer_budget.pay(length);
            end = index + 1;
        }
        let count = stream.asked;
        match stream.source.clone() {
            Source::Song { operation, .. } => {
                let bytes = stream.needed();
                self.command(Command::Read {
                    operation,
                    first,
                    end,
                    bytes,
                });
                self.command(Command::Take { operation, count });
            }
            Source::Cover(cover) => self.fetch_blocks(exchange, &cover, first..end, acts),
        }
    }

    fn fetch_blocks(
        &mut self,
        exchange: Exchange,
        cover: &Arc<CoverFile>,
        indices: Range<u32>,
        acts: &mut Vec<Act>,
    ) {
        let Some(ExchangeState::Stream(stream)) = self.exchanges.get(&exchange) else {
            return;
        };
        for index in indices {
            let block = Look::Block {
                exchange,
                cover: Arc::clone(cover),
                index,
                at: stream.start_of(index),
                length: stream.length_of(index),
            };
            if !self.workers.look(block) {
                // Readers that left have filled the queue; this one asks again.
                return acts.push(Act::Cut { exchange });
            }
        }
    }

    /// Takes a block of a cover that was read for a stream.
    pub(super) fn on_block(
        &mut self,
        now: Time,
        (exchange, index): (Exchange, u32),
        bytes: std::io::Result<Vec<u8>>,
        acts: &mut Vec<Act>,
    ) {
        let Some(ExchangeState::Stream(stream)) = self.exchanges.get_mut(&exchange) else {
            return; // The reader has left.
        };
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                return self.fail(exchange, 500, &format!("read the cover: {error}"), acts);
            }
        };
        if !stream.on_fragment(now, (index, 0), bytes) {
            return acts.push(Act::Cut { exchange });
        }
        self.buffer_budget.arrived();
        self.readers_wait = true;
        self.queue(exchange);
        acts.push(Act::Wake { exchange });
    }

    /// Drops fragments that stalled listeners do not accept. The cache has them by then.
    pub(super) fn make_room(&mut self, now: Time, needed: usize) -> bool {
        let since =
            Time::from_nanos((now.since(Time::ZERO).saturating_sub(STALLED)).as_nanos() as u64);
        for state in self.exchanges.values_mut() {
            if let ExchangeState::Stream(stream) = state
                && stream.is_stalled(since)
            {
                self.buffer_budget.give_back(stream.let_go());
                if self.buffer_budget.has(needed) {
                    return true;
                }
            }
        }
        self.stalled_at = Some(now + STALLED);
        false
    }

    pub(super) fn end_stream(&mut self, exchange: Exchange, stream: &Stream) {
        if let Source::Song { operation, .. } = stream.source {
            self.close(operation);
        }
        self.buffer_budget.forget(exchange);
        self.buffer_budget.give_back(stream.held_bytes());
        (0..stream.asked).for_each(|_| self.buffer_budget.arrived());
        self.readers_wait = true;
    }
}
