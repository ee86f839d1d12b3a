//! The web player's site: receives requests, asks the client, sends answers.
//!
//! Owns every unfinished exchange, and maps each operation of the client to its exchange. When an
//! exchange ends, its operation is cancelled, so nothing is fetched in vain; only a complete upload
//! is still added. `origin` decides which requests are allowed, `buffer_budget` how many bytes may be in
//! memory.

mod covers;
mod listener;
mod notices;
mod requests;
mod streams;
mod uploads;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use net::http::range;
use net::http::request::{Method, Request};
use net::http::site::{Act, Body, Exchange, Head, Heard, LoopFigures, Site};
use roles::contract::browse::Browse;
use roles::contract::id::{OperationId, SongId, SourceId};
use roles::contract::message::{Holder, Status};
use roles::contract::song::Manifest;
use roles::contract::time::Time;
use roles::contract::timers::earlier;
use roles::contract::trash::Fate;
use roles::contract::user::{Command, Failure, Notice, Origin};

use super::answer;
use super::api::{self, Known, Route, Songs, Trash};
use super::assets::Assets;
use super::browse;
use super::buffer_budget::BufferBudget;
use super::cover_file::{CoverDone, CoverFile, CoverTask};
use super::covers::{Covers, Reading, Wanted};
use super::events::{Events, Lagging};
use super::listener::Work;
use super::metrics::{Format, Metrics};
use super::origin::{NO_REMOVAL, OriginGuard};
use super::stream::{self, Source, Stream, Wish};
use super::uploads::{Added, TOO_SLOW, Upload, Uploads, Waiting};
use super::workers::{Done, Look, Spool, Workers};
use crate::commands::status;
use crate::session::Session;

/// A listener that accepts no byte for this long loses its held fragments when others wait. Its
/// socket is full, which is seconds of music, and reading the rest again takes a millisecond.
const STALLED: Duration = Duration::from_millis(50);

/// Most songs opened at once: fewer than a router or a data node answers at a time.
const OPENING_MAX: usize = 32;

/// The site of the web player.
pub(super) struct Player {
    session: Session,
    workers: Workers,
    guard: OriginGuard,
    assets: Assets,
    exchanges: BTreeMap<Exchange, ExchangeState>,
    operations: BTreeMap<OperationId, Purpose>,
    /// Commands that wait because the client's queue is full.
    unsent: VecDeque<Command>,
    buffer_budget: BufferBudget,
    /// Whether a queued stream may be served in the next turn.
    readers_wait: bool,
    /// When a stalled listener is to lose its held fragments.
    stalled_at: Option<Time>,
    events: Events,
    metrics: Metrics,
    uploads: Uploads,
    covers: Covers,
    /// Streams whose songs wait to be opened; `opening` counts those being opened.
    opens: VecDeque<Exchange>,
    opening: usize,
}

/// The work in progress for an exchange.
enum ExchangeState {
    /// A complete body, and how many of its bytes have been sent.
    Page(Cow<'static, [u8]>, usize),
    /// A question to the client.
    Asked(OperationId),
    /// Several questions to the client, one after the other.
    Listening(OperationId, Box<Work>),
    /// A song's details, while its cached fragments are being looked up.
    Details(Known),
    /// A stream whose song waits to be opened.
    OpenWaits(Wish),
    /// A stream whose song is being opened.
    Opening(OperationId, Wish),
    Stream(Stream),
    /// A request that waits for the cover or the tags of a song.
    CoverWaits(SongId, Wanted),
    /// A file that waits for a place.
    UploadWaits,
    Upload(u64),
    Listener,
}

/// What an operation of the client is for.
#[derive(Clone, Copy)]
enum Purpose {
    Exchange(Exchange),
    /// The figures of process and cluster, in this text.
    Metrics(Exchange, Format),
    Upload(u64),
    /// A cover or tags, for all who wait for them.
    Cover,
    /// The status for all listeners of `/api/events`.
    Status,
    /// The holders of a song that plays.
    Holders,
}

impl Player {
    pub(super) fn new(session: Session, workers: Workers, guard: OriginGuard) -> Self {
        Player {
            session,
            workers,
            guard,
            assets: Assets::new(),
            exchanges: BTreeMap::new(),
            operations: BTreeMap::new(),
            unsent: VecDeque::new(),
            buffer_budget: BufferBudget::default(),
            readers_wait: false,
            stalled_at: None,
            events: Events::default(),
            metrics: Metrics::default(),
            uploads: Uploads::default(),
            covers: Covers::default(),
            opens: VecDeque::new(),
            opening: 0,
        }
    }

    fn on_taken(&mut self, now: Time, exchange: Exchange, bytes: usize) {
        match self.exchanges.get_mut(&exchange) {
            Some(ExchangeState::Page(_, sent)) => *sent += bytes,
            Some(ExchangeState::Stream(stream)) => {
                let free = stream.on_taken(now, bytes);
                self.buffer_budget.give_back(free);
                self.readers_wait |= free > 0;
                self.queue(exchange);
            }
            Some(ExchangeState::Listener) => self.events.on_taken(exchange, bytes),
            Some(
                ExchangeState::Asked(_)
                | ExchangeState::Listening(..)
                | ExchangeState::Details(_)
                | ExchangeState::OpenWaits(_)
                | ExchangeState::Opening(..)
                | ExchangeState::CoverWaits(..)
                | ExchangeState::UploadWaits
                | ExchangeState::Upload(_),
            )
            | None => (),
        }
    }

    /// Ends all work for an exchange that is over, complete or not.
    fn on_over(&mut self, exchange: Exchange) {
        let Some(state) = self.exchanges.remove(&exchange) else {
            return;
        };
        self.covers.quiet.remove(&exchange);
        match state {
            ExchangeState::Page(..) | ExchangeState::Details(_) => (),
            ExchangeState::Asked(operation) | ExchangeState::Listening(operation, _) => {
                self.close(operation);
            }
            ExchangeState::OpenWaits(_) => self.opens.retain(|waiting| *waiting != exchange),
            ExchangeState::Opening(operation, _) => {
                self.close(operation);
                self.end_open();
            }
            ExchangeState::Stream(stream) => self.end_stream(exchange, &stream),
            ExchangeState::CoverWaits(song, wanted) => {
                self.leave_cover(exchange, (song, wanted));
            }
            ExchangeState::Listener => self.events.leave(exchange),
            ExchangeState::UploadWaits => self.uploads.leave_line(exchange),
            ExchangeState::Upload(number) => self.leave_upload(number),
        }
    }

    fn on_done(&mut self, now: Time, done: Done, acts: &mut Vec<Act>) {
        match done {
            Done::Wrote { upload, bytes } => {
                if let Some(upload) = self.uploads.all.get_mut(&upload) {
                    upload.on_written(bytes);
                    let woken = upload.exchange.map(|exchange| Act::Wake { exchange });
                    acts.extend(woken);
                }
            }
            Done::Spooled { upload, path } => {
                let source = self.session.sources.add(path);
                self.add(upload, source);
            }
            Done::Failed { upload, error } => {
                let full = matches!(
                    error.kind(),
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
                );
                let (status, why) = if full {
                    (
                        507,
                        format!("the player's machine has no room for this file: {error}"),
                    )
                } else {
                    (500, format!("keep the file for a moment: {error}"))
                };
                self.drop_upload(upload, (status, &why), acts);
            }
            Done::Cover(done) => self.on_cover_done(now, done, acts),
            Done::Block {
                exchange,
                index,
                bytes,
            } => self.on_block(now, (exchange, index), bytes, acts),
            Done::Kept { exchange, runs } => self.on_kept(exchange, &runs, acts),
        }
    }

    fn give(
        &mut self,
        exchange: Exchange,
        head: Head,
        body: impl Into<Cow<'static, [u8]>>,
        acts: &mut Vec<Act>,
    ) {
        self.exchanges
            .insert(exchange, ExchangeState::Page(body.into(), 0));
        acts.push(Act::Answer { exchange, head });
    }

    fn refuse(&mut self, exchange: Exchange, status: u16, why: &str, acts: &mut Vec<Act>) {
        let (head, body) = answer::error(status, why);
        self.give(exchange, head, body, acts);
    }

    fn operation(&mut self, purpose: Purpose) -> OperationId {
        let operation = self.session.operation();
        self.operations.insert(operation, purpose);
        operation
    }

    fn asked(&mut self, exchange: Exchange) -> OperationId {
        let operation = self.operation(Purpose::Exchange(exchange));
        self.exchanges
            .insert(exchange, ExchangeState::Asked(operation));
        operation
    }

    /// Removes an operation that has ended; returns the exchange that it was for.
    fn answered(&mut self, operation: OperationId) -> Option<Exchange> {
        match self.operations.remove(&operation)? {
            Purpose::Exchange(exchange) => Some(exchange),
            Purpose::Metrics(..)
            | Purpose::Cover
            | Purpose::Upload(_)
            | Purpose::Status
            | Purpose::Holders => None,
        }
    }

    fn close(&mut self, operation: OperationId) {
        self.operations.remove(&operation);
        self.command(Command::Close { operation });
    }

    /// Sends a command to the client, after those that wait. The backlog is bounded, because
    /// exchanges are bounded and so are the commands of each.
    fn command(&mut self, command: Command) {
        self.unsent.push_back(command);
        while let Some(command) = self.unsent.pop_front() {
            if self.session.give(command.clone()).is_err() {
                return self.unsent.push_front(command);
            }
        }
    }

    fn give_owed(&mut self) {
        if let Some(command) = self.unsent.pop_front() {
            self.unsent.push_front(command.clone());
            if self.session.give(command).is_ok() {
                self.unsent.pop_front();
            }
        }
    }
}

const BUSY: (u16, &str) = (
    503,
    "the disk is too slow for so many files: try again soon",
);

impl Site for Player {
    fn hear(&mut self, now: Time, exchange: Exchange, heard: Heard<'_>, acts: &mut Vec<Act>) {
        let mark = acts.len();
        match heard {
            Heard::Request(request) => {
                self.metrics.begin(now, exchange);
                self.on_request(now, exchange, &request, acts);
            }
            Heard::Body(bytes) => {
                self.metrics.received(bytes.len());
                self.on_body(exchange, bytes, acts);
            }
            Heard::BodyEnd => self.on_body_end(exchange, acts),
            Heard::Taken(bytes) => {
                self.metrics.sent(bytes);
                self.on_taken(now, exchange, bytes);
            }
            Heard::Answered | Heard::Aborted => {
                self.metrics.over(exchange);
                self.on_over(exchange);
            }
        }
        self.metrics.note(now, &acts[mark..]);
    }

    fn wants_body(&self, exchange: Exchange) -> bool {
        let state = self.exchanges.get(&exchange);
        let Some(ExchangeState::Upload(upload)) = state else {
            return !matches!(state, Some(ExchangeState::UploadWaits));
        };
        self.uploads
            .all
            .get(upload)
            .is_none_or(|upload| upload.wants_body())
    }

    fn body(&mut self, exchange: Exchange) -> Body<'_> {
        if let Some(ExchangeState::Stream(stream)) = self.exchanges.get(&exchange)
            && stream.holds_nothing()
        {
            // The listener reads again after its fragments were dropped, so the stream queues anew.
            self.queue(exchange);
        }
        match self.exchanges.get(&exchange) {
            Some(ExchangeState::Page(bytes, sent)) => Body::Bytes(&bytes[*sent..]),
            Some(ExchangeState::Stream(stream)) => stream.body(),
            Some(ExchangeState::Listener) => self.events.body(exchange),
            Some(
                ExchangeState::Asked(_)
                | ExchangeState::Listening(..)
                | ExchangeState::Details(_)
                | ExchangeState::OpenWaits(_)
                | ExchangeState::Opening(..)
                | ExchangeState::CoverWaits(..)
                | ExchangeState::UploadWaits
                | ExchangeState::Upload(_),
            ) => Body::Later,
            None => Body::End,
        }
    }

    fn wants_figures(&self) -> bool {
        self.metrics.wants()
    }

    fn take_figures(&mut self, figures: LoopFigures) {
        self.metrics.take(figures);
    }

    fn attend(&mut self, now: Time, acts: &mut Vec<Act>) {
        let mark = acts.len();
        self.give_owed();
        while let Some(notice) = self.session.heard() {
            self.on_notice(now, notice, acts);
        }
        while let Ok(done) = self.workers.done.try_recv() {
            self.on_done(now, done, acts);
        }
        if self.events.asks(now) {
            let operation = self.operation(Purpose::Status);
            self.command(Command::Status { operation });
        }
        wake(self.events.on_tick(now), acts);
        self.begin_uploads(now, acts);
        if self.readers_wait || self.stalled_at.is_some_and(|at| at <= now) {
            self.feed(now, acts);
        }
        self.metrics.note(now, &acts[mark..]);
    }

    fn deadline(&self) -> Option<Time> {
        let soon = self.readers_wait.then_some(Time::ZERO);
        let streams = earlier(soon, self.stalled_at);
        earlier(
            earlier(streams, self.events.deadline()),
            self.uploads.deadline(),
        )
    }
}

/// Wakes listeners that have something to read, and cuts off those that lag too far behind.
fn wake(lagging: Lagging, acts: &mut Vec<Act>) {
    acts.extend(lagging.into_iter().map(|(exchange, lags)| {
        if lags {
            Act::Cut { exchange }
        } else {
            Act::Wake { exchange }
        }
    }));
}
