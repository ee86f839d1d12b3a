//! The site: hears requests, asks the client, answers.
//!
//! Owns every exchange that is not finished and knows for which of them each of the client's
//! operations is. An exchange that is over takes its operation with it: nothing is fetched for
//! nobody. Who may speak is `guard`'s business, how much may be in memory `larder`'s.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use net::http::range;
use net::http::request::{Method, Request};
use net::http::site::{Act, Body, Exchange, Head, Heard, Site};
use roles::contract::id::{OperationId, SongId, SongPrefix, SourceId};
use roles::contract::message::Holder;
use roles::contract::song::Manifest;
use roles::contract::time::Time;
use roles::contract::timers::earlier;
use roles::contract::user::{Command, Failure, Notice, Origin};
use storage::tags::Picture;

use super::answer;
use super::api::{self, Known, Route, Songs};
use super::assets::Assets;
use super::covers::{COVERS_AT_ONCE, Cover, Covers};
use super::errands::{Done, Errands, Spool};
use super::events::{Events, Lagging};
use super::guard::Guard;
use super::larder::Larder;
use super::stream::{self, Stream, Wish};
use super::uploads::{Added, Uploads};
use crate::commands::status;
use crate::front::Front;

/// A listener who takes nothing for so long gives up what is held for him when others wait.
const STALLED: Duration = Duration::from_millis(500);

/// Songs being opened at once: fewer than a router or a data node answers at a time.
const OPENING_MAX: usize = 32;

/// The site of the web player.
pub(super) struct Player {
    front: Front,
    errands: Errands,
    guard: Guard,
    assets: Assets,
    deeds: BTreeMap<Exchange, Deed>,
    operations: BTreeMap<OperationId, Purpose>,
    /// Commands the client has had no room for.
    owed: VecDeque<Command>,
    larder: Larder,
    /// Somebody waits for fragments that may be there.
    hungry: bool,
    /// When a listener who takes nothing is to give up what is held for him.
    stalled_at: Option<Time>,
    events: Events,
    uploads: Uploads,
    covers: Covers,
    /// Streams whose songs are to be opened, and how many are being opened.
    opens: VecDeque<Exchange>,
    opening: usize,
}

/// What is being done for an exchange.
enum Deed {
    /// A body that is there.
    Page(Cow<'static, [u8]>, usize),
    /// The client has been asked.
    Asked(OperationId),
    /// A song is to be opened when its turn comes.
    OpenWaits(Wish),
    /// A song is being opened.
    Opening(OperationId, Wish),
    Stream(Stream),
    /// A cover waits for its turn.
    CoverWaits,
    Cover(Cover),
    Upload(u64),
    Listener,
}

/// For whom an operation is.
#[derive(Clone, Copy)]
enum Purpose {
    Exchange(Exchange),
    Upload(u64),
    /// The status for everyone who listens.
    Status,
    /// Who holds a song that plays.
    Holders,
}

impl Player {
    pub(super) fn new(front: Front, errands: Errands, guard: Guard) -> Self {
        Player {
            front,
            errands,
            guard,
            assets: Assets::new(),
            deeds: BTreeMap::new(),
            operations: BTreeMap::new(),
            owed: VecDeque::new(),
            larder: Larder::default(),
            hungry: false,
            stalled_at: None,
            events: Events::default(),
            uploads: Uploads::default(),
            covers: Covers::default(),
            opens: VecDeque::new(),
            opening: 0,
        }
    }

    fn on_request(
        &mut self,
        now: Time,
        exchange: Exchange,
        request: &Request,
        acts: &mut Vec<Act>,
    ) {
        if let Err((status, why)) = self.guard.check(request) {
            return self.refuse(exchange, status, &why, acts);
        }
        let Some(route) = Route::of(&request.path) else {
            return self.refuse(exchange, 404, "there is nothing at this address", acts);
        };
        if !route.allows(request.method) {
            let (mut head, body) = answer::error(405, "this cannot be done here");
            head.fields.push(("Allow", route.methods().to_owned()));
            return self.give(exchange, head, body, acts);
        }
        match route {
            Route::Songs if request.method == Method::Post => {
                self.on_upload(exchange, request, acts);
            }
            Route::Songs => self.on_list(exchange, request, acts),
            Route::Song(song) => self.on_details(exchange, song),
            Route::Status => {
                let operation = self.asked(exchange);
                self.command(Command::Status { operation });
            }
            Route::Events => self.on_listener(now, exchange, request, acts),
            Route::Stream(song) => self.on_stream(exchange, song, request, false, acts),
            Route::Download(song) => self.on_stream(exchange, song, request, true, acts),
            Route::Cover(song) => self.on_cover(exchange, song, request, acts),
            Route::File(path) => self.on_file(exchange, &path, request, acts),
        }
    }

    fn on_file(&mut self, exchange: Exchange, path: &str, request: &Request, acts: &mut Vec<Act>) {
        let Some(mut asset) = self.assets.find(path) else {
            return self.refuse(exchange, 404, "there is nothing at this address", acts);
        };
        if range::is_known(request.field("if-none-match"), &asset.tag) {
            asset.head.status = 304;
        }
        self.give(exchange, asset.head, asset.bytes, acts);
    }

    fn on_list(&mut self, exchange: Exchange, request: &Request, acts: &mut Vec<Act>) {
        match api::query(request) {
            Ok(query) => {
                let operation = self.asked(exchange);
                self.command(Command::List { operation, query });
            }
            Err(why) => self.refuse(exchange, 400, &why, acts),
        }
    }

    fn on_details(&mut self, exchange: Exchange, song: SongId) {
        let operation = self.asked(exchange);
        self.open_with_holders(operation, song);
    }

    /// Opens a song by all digits but the last: such a song is always looked for at a router, so
    /// that its holders are known even where the cache has all of it.
    fn open_with_holders(&mut self, operation: OperationId, song: SongId) {
        let digits = song.to_string();
        if let Some(song) = SongPrefix::parse(&digits[..31]) {
            self.command(Command::Open { operation, song });
        }
    }

    fn on_stream(
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
        self.deeds.insert(exchange, Deed::OpenWaits(wish));
        self.opens.push_back(exchange);
        self.begin_opens();
    }

    /// Opens songs whose turn has come.
    fn begin_opens(&mut self) {
        while self.opening < OPENING_MAX
            && let Some(exchange) = self.opens.pop_front()
        {
            let Some(Deed::OpenWaits(wish)) = self.deeds.remove(&exchange) else {
                continue;
            };
            let operation = self.operation(Purpose::Exchange(exchange));
            let song = wish.song.into();
            self.deeds.insert(exchange, Deed::Opening(operation, wish));
            self.opening += 1;
            self.command(Command::Open { operation, song });
        }
    }

    /// A song has been opened, or will not be.
    fn end_open(&mut self) {
        self.opening -= 1;
        self.begin_opens();
    }

    fn on_cover(
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
        self.deeds.insert(exchange, Deed::CoverWaits);
        self.covers.line.push_back((exchange, song));
        self.begin_covers();
    }

    fn begin_covers(&mut self) {
        while self.covers.at_work < COVERS_AT_ONCE
            && let Some((exchange, song)) = self.covers.line.pop_front()
        {
            let operation = self.operation(Purpose::Exchange(exchange));
            let deed = Deed::Cover(Cover::new(operation));
            self.deeds.insert(exchange, deed);
            self.covers.at_work += 1;
            let song = song.into();
            self.command(Command::Open { operation, song });
        }
    }

    fn on_listener(
        &mut self,
        now: Time,
        exchange: Exchange,
        request: &Request,
        acts: &mut Vec<Act>,
    ) {
        let mut head = answer::head(200, "text/event-stream", 0);
        head.fields.push(("Cache-Control", "no-store".to_owned()));
        head.length = None;
        if request.method == Method::Head {
            return acts.push(Act::Answer { exchange, head });
        }
        if !self.events.listen(now, exchange) {
            return self.refuse(exchange, 503, "too many pages listen already", acts);
        }
        self.deeds.insert(exchange, Deed::Listener);
        acts.push(Act::Answer { exchange, head });
    }

    fn on_upload(&mut self, exchange: Exchange, request: &Request, acts: &mut Vec<Act>) {
        match self.uploads.begin(exchange, request) {
            Ok((upload, name)) => {
                self.deeds.insert(exchange, Deed::Upload(upload));
                if !self.errands.spool(Spool::Begin { upload, name }) {
                    self.drop_upload(upload, BUSY, acts);
                }
            }
            Err((status, why)) => self.refuse(exchange, status, why, acts),
        }
    }

    fn on_body(&mut self, exchange: Exchange, bytes: &[u8], acts: &mut Vec<Act>) {
        let Some(Deed::Upload(upload)) = self.deeds.get(&exchange) else {
            return; // It has been answered already.
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
        } else if !self.errands.spool(write) {
            self.drop_upload(number, BUSY, acts);
        }
    }

    fn on_body_end(&mut self, exchange: Exchange, acts: &mut Vec<Act>) {
        let Some(Deed::Upload(upload)) = self.deeds.get(&exchange) else {
            return;
        };
        let upload = *upload;
        let whole = self.uploads.all.get(&upload).map(|upload| upload.on_end());
        if let Some(Err(refusal)) = whole {
            self.drop_upload(upload, refusal, acts);
        } else if !self.errands.spool(Spool::Finish { upload }) {
            self.drop_upload(upload, BUSY, acts);
        }
    }

    /// Gives up a file, and says why to whoever waits.
    fn drop_upload(&mut self, upload: u64, (status, why): (u16, &str), acts: &mut Vec<Act>) {
        if let Some(exchange) = self.end_upload(upload) {
            self.refuse(exchange, status, why, acts);
        }
    }

    /// Forgets a file; gives who waits for its answer.
    fn end_upload(&mut self, upload: u64) -> Option<Exchange> {
        let ended = self.uploads.all.remove(&upload)?;
        self.errands.spool(Spool::Remove { upload });
        if let Some((operation, source)) = ended.adding {
            self.operations.remove(&operation);
            self.front.sources.forget(source);
        }
        ended.exchange
    }

    fn on_taken(&mut self, now: Time, exchange: Exchange, bytes: usize) {
        match self.deeds.get_mut(&exchange) {
            Some(Deed::Page(_, sent)) => *sent += bytes,
            Some(Deed::Stream(stream)) => {
                let free = stream.on_taken(now, bytes);
                self.larder.give_back(free);
                self.hungry |= free > 0;
                self.queue(exchange);
            }
            Some(Deed::Listener) => self.events.on_taken(exchange, bytes),
            Some(
                Deed::Asked(_)
                | Deed::OpenWaits(_)
                | Deed::Opening(..)
                | Deed::CoverWaits
                | Deed::Cover(_)
                | Deed::Upload(_),
            )
            | None => (),
        }
    }

    /// An exchange is over, well or not: so is all that was done for it.
    fn on_over(&mut self, exchange: Exchange) {
        let Some(deed) = self.deeds.remove(&exchange) else {
            return;
        };
        match deed {
            Deed::Page(..) => (),
            Deed::Asked(operation) => self.close(operation),
            Deed::OpenWaits(_) => self.opens.retain(|waiting| *waiting != exchange),
            Deed::Opening(operation, _) => {
                self.close(operation);
                self.end_open();
            }
            Deed::Stream(stream) => self.end_stream(exchange, &stream),
            Deed::CoverWaits => self.covers.line.retain(|(waiting, _)| *waiting != exchange),
            Deed::Cover(cover) => self.end_cover(cover.operation),
            Deed::Listener => self.events.leave(exchange),
            Deed::Upload(number) => self.leave_upload(number),
        }
    }

    /// Whoever sent a file is gone. A whole file is added all the same; a part of one is not.
    fn leave_upload(&mut self, number: u64) {
        let Some(upload) = self.uploads.all.get_mut(&number) else {
            return;
        };
        upload.exchange = None;
        if upload.adding.is_none() {
            self.end_upload(number);
        }
    }

    fn end_stream(&mut self, exchange: Exchange, stream: &Stream) {
        self.close(stream.operation);
        self.larder.forget(exchange);
        self.larder.give_back(stream.owed());
        (0..stream.asked).for_each(|_| self.larder.arrived());
        self.hungry = true;
    }

    fn end_cover(&mut self, operation: OperationId) {
        self.close(operation);
        self.covers.at_work -= 1;
        self.begin_covers();
    }

    // Streams: who gets the next fragment.

    /// Puts a stream into the line, if it wants something.
    fn queue(&mut self, exchange: Exchange) {
        let Some(Deed::Stream(stream)) = self.deeds.get_mut(&exchange) else {
            return;
        };
        let Some((_, length)) = stream.wants() else {
            return;
        };
        // One question at a time, because a range replaces the one before it; and nobody reads
        // ahead while others wait for what they play.
        let due = stream.holds_nothing() || self.larder.is_easy(length);
        if !stream.waits && stream.asked == 0 && due {
            stream.waits = true;
            self.larder.wait(exchange);
            self.hungry = true;
        }
    }

    /// Serves the line as far as there is room.
    fn feed(&mut self, now: Time) {
        (self.hungry, self.stalled_at) = (false, None);
        while let Some(exchange) = self.larder.next() {
            if !self.larder.may_ask() {
                return; // The next arrival makes room.
            }
            let Some(Deed::Stream(stream)) = self.deeds.get(&exchange) else {
                self.larder.step();
                continue;
            };
            let needed = stream.wants().map_or(0, |(_, length)| length);
            if !self.larder.has(needed) && !self.make_room(now, needed) {
                return;
            }
            self.larder.step();
            self.fetch(exchange);
        }
    }

    /// Asks for the fragments a stream wants: one, or two while there is plenty.
    fn fetch(&mut self, exchange: Exchange) {
        let Some(Deed::Stream(stream)) = self.deeds.get_mut(&exchange) else {
            return;
        };
        stream.waits = false;
        let Some((first, _)) = stream.wants() else {
            return;
        };
        let mut end = first;
        while let Some((index, length)) = stream.wants()
            && (index == first || self.larder.is_easy(length))
        {
            stream.asked += 1;
            self.larder.pay(length);
            end = index + 1;
        }
        let (operation, count) = (stream.operation, stream.asked);
        self.command(Command::Read {
            operation,
            first,
            end,
        });
        self.command(Command::Take { operation, count });
    }

    /// Lets go of what stalled listeners do not take. It is in the cache by now.
    fn make_room(&mut self, now: Time, needed: usize) -> bool {
        let since =
            Time::from_nanos((now.since(Time::ZERO).saturating_sub(STALLED)).as_nanos() as u64);
        for deed in self.deeds.values_mut() {
            if let Deed::Stream(stream) = deed
                && stream.is_stalled(since)
            {
                self.larder.give_back(stream.let_go());
                if self.larder.has(needed) {
                    return true;
                }
            }
        }
        self.stalled_at = Some(now + STALLED);
        false
    }

    // What the client tells.

    fn on_notice(&mut self, now: Time, notice: Notice, acts: &mut Vec<Act>) {
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
                Some(Purpose::Upload(_) | Purpose::Holders) | None => (),
            },
            Notice::Opened {
                operation,
                manifest,
                holders,
            } => self.on_opened(now, operation, &manifest, &holders, acts),
            Notice::Fragment {
                operation,
                index,
                bytes,
                origin,
            } => self.on_fragment(now, operation, (index, origin), bytes, acts),
            Notice::ReadDone { operation } => self.on_read_done(operation, acts),
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
            Notice::Failed { operation, failure } => {
                self.on_failed(now, operation, &failure, acts);
            }
            Notice::Fact { .. }
            | Notice::Ready { .. }
            | Notice::Stopped
            | Notice::Records { .. }
            | Notice::Progress { .. } => (), // Nothing the page asks for.
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
            Some(Purpose::Status | Purpose::Upload(_)) | None => return,
        };
        match self.deeds.get_mut(&exchange) {
            Some(Deed::Opening(_, wish)) => {
                let (head, stream) = Stream::begin(now, operation, wish, manifest);
                acts.push(Act::Answer { exchange, head });
                self.begin_stream(exchange, stream, song);
                self.end_open();
            }
            Some(Deed::Cover(cover)) => {
                if cover.on_opened(exchange, manifest) {
                    self.read_cover(exchange, acts);
                } else {
                    self.end_cover(operation);
                    self.refuse(exchange, 404, "this song has no cover", acts);
                }
            }
            Some(Deed::Asked(_)) => {
                let known = Known::of(manifest, holders);
                let (head, body) = answer::json(200, &known.details());
                self.close(operation);
                self.give(exchange, head, body, acts);
            }
            Some(
                Deed::Page(..)
                | Deed::OpenWaits(_)
                | Deed::Stream(_)
                | Deed::CoverWaits
                | Deed::Upload(_)
                | Deed::Listener,
            )
            | None => (),
        }
    }

    fn begin_stream(&mut self, exchange: Exchange, stream: Option<Stream>, song: SongId) {
        let opening = match stream {
            Some(stream) => self.deeds.insert(exchange, Deed::Stream(stream)),
            None => self.deeds.remove(&exchange),
        };
        if let (None, Some(Deed::Opening(operation, _))) = (self.deeds.get(&exchange), opening) {
            return self.close(operation);
        }
        self.queue(exchange);
        if self.events.is_heard() && !self.events.knows_holders(song) {
            let operation = self.operation(Purpose::Holders);
            self.open_with_holders(operation, song);
        }
    }

    fn on_fragment(
        &mut self,
        now: Time,
        operation: OperationId,
        (index, origin): (u32, Origin),
        bytes: Vec<u8>,
        acts: &mut Vec<Act>,
    ) {
        let Some(Purpose::Exchange(exchange)) = self.operations.get(&operation).copied() else {
            return; // Nobody waits for it any longer.
        };
        match self.deeds.get_mut(&exchange) {
            Some(Deed::Stream(stream)) => {
                if !stream.on_fragment(now, index, bytes) {
                    log::error!("web stream out of order index={index}");
                    return acts.push(Act::Cut { exchange });
                }
                let (song, before) = (stream.song, stream.origin.replace(origin));
                self.larder.arrived();
                self.hungry = true;
                self.queue(exchange);
                acts.push(Act::Wake { exchange });
                wake(
                    self.events.on_fragment(now, (song, index), origin, before),
                    acts,
                );
            }
            Some(Deed::Cover(cover)) => cover.on_fragment(index, bytes),
            Some(
                Deed::Page(..)
                | Deed::Asked(_)
                | Deed::OpenWaits(_)
                | Deed::Opening(..)
                | Deed::CoverWaits
                | Deed::Upload(_)
                | Deed::Listener,
            )
            | None => (),
        }
    }

    /// Streams know when they are done; a cover goes on with its next fragments.
    fn on_read_done(&mut self, operation: OperationId, acts: &mut Vec<Act>) {
        if let Some(Purpose::Exchange(exchange)) = self.operations.get(&operation).copied() {
            self.read_cover(exchange, acts);
        }
    }

    fn read_cover(&mut self, exchange: Exchange, acts: &mut Vec<Act>) {
        let Some(Deed::Cover(cover)) = self.deeds.get_mut(&exchange) else {
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
        if !pieces.is_some_and(|pieces| self.errands.cover(pieces)) {
            self.end_cover(operation);
            self.refuse(exchange, 503, "too many covers are being looked for", acts);
        }
    }

    fn on_picture(&mut self, exchange: Exchange, picture: Option<Picture>, acts: &mut Vec<Act>) {
        let Some(Deed::Cover(cover)) = self.deeds.get(&exchange) else {
            return;
        };
        self.end_cover(cover.operation);
        let Some(picture) = picture else {
            return self.refuse(exchange, 404, "this song has no cover", acts);
        };
        let mut head = answer::head(200, picture.media_type, picture.bytes.len() as u64);
        let for_ever = "public, max-age=31536000, immutable";
        head.fields.push(("Cache-Control", for_ever.to_owned()));
        self.give(exchange, head, picture.bytes, acts);
    }

    fn on_uploaded(
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
            Some(Purpose::Upload(upload)) => self.drop_upload(upload, (status, &why), acts),
            Some(Purpose::Status) => wake(self.events.on_status(now, None), acts),
            Some(Purpose::Holders) | None => (),
        }
    }

    fn fail(&mut self, exchange: Exchange, status: u16, why: &str, acts: &mut Vec<Act>) {
        match self.deeds.remove(&exchange) {
            Some(Deed::Stream(stream)) => {
                log::warn!("web stream given up song={}: {why}", stream.song);
                self.end_stream(exchange, &stream);
                acts.push(Act::Cut { exchange });
            }
            Some(Deed::Cover(cover)) => {
                self.end_cover(cover.operation);
                self.refuse(exchange, status, why, acts);
            }
            Some(Deed::Opening(..)) => {
                self.end_open();
                self.refuse(exchange, status, why, acts);
            }
            Some(
                Deed::Page(..)
                | Deed::Asked(_)
                | Deed::OpenWaits(_)
                | Deed::CoverWaits
                | Deed::Upload(_)
                | Deed::Listener,
            )
            | None => self.refuse(exchange, status, why, acts),
        }
    }

    fn on_done(&mut self, done: Done, acts: &mut Vec<Act>) {
        match done {
            Done::Wrote { upload, bytes } => {
                if let Some(upload) = self.uploads.all.get_mut(&upload) {
                    upload.on_written(bytes);
                    let woken = upload.exchange.map(|exchange| Act::Wake { exchange });
                    acts.extend(woken);
                }
            }
            Done::Spooled { upload, path } => {
                let source = self.front.sources.add(path);
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
                        "the player's machine has no room for this file".to_owned(),
                    )
                } else {
                    (500, format!("keep the file for a moment: {error}"))
                };
                self.drop_upload(upload, (status, &why), acts);
            }
            Done::Cover { exchange, picture } => self.on_picture(exchange, picture, acts),
        }
    }

    /// A file lies on this machine: from here on it goes the way of `dispotify add`.
    fn add(&mut self, number: u64, source: SourceId) {
        if !self.uploads.all.contains_key(&number) {
            return self.front.sources.forget(source);
        }
        let operation = self.operation(Purpose::Upload(number));
        if let Some(upload) = self.uploads.all.get_mut(&number) {
            upload.adding = Some((operation, source));
        }
        self.command(Command::Upload { operation, source });
    }

    // Answers and commands.

    fn give(
        &mut self,
        exchange: Exchange,
        head: Head,
        body: impl Into<Cow<'static, [u8]>>,
        acts: &mut Vec<Act>,
    ) {
        self.deeds.insert(exchange, Deed::Page(body.into(), 0));
        acts.push(Act::Answer { exchange, head });
    }

    fn refuse(&mut self, exchange: Exchange, status: u16, why: &str, acts: &mut Vec<Act>) {
        let (head, body) = answer::error(status, why);
        self.give(exchange, head, body, acts);
    }

    fn operation(&mut self, purpose: Purpose) -> OperationId {
        let operation = self.front.operation();
        self.operations.insert(operation, purpose);
        operation
    }

    fn asked(&mut self, exchange: Exchange) -> OperationId {
        let operation = self.operation(Purpose::Exchange(exchange));
        self.deeds.insert(exchange, Deed::Asked(operation));
        operation
    }

    /// An operation has ended with an answer for this exchange.
    fn answered(&mut self, operation: OperationId) -> Option<Exchange> {
        match self.operations.remove(&operation)? {
            Purpose::Exchange(exchange) => Some(exchange),
            Purpose::Upload(_) | Purpose::Status | Purpose::Holders => None,
        }
    }

    fn close(&mut self, operation: OperationId) {
        self.operations.remove(&operation);
        self.command(Command::Close { operation });
    }

    /// Gives a command, after those the client had no room for. Exchanges are bounded, and so are
    /// the commands given for each.
    fn command(&mut self, command: Command) {
        self.owed.push_back(command);
        while let Some(command) = self.owed.pop_front() {
            if self.front.give(command.clone()).is_err() {
                return self.owed.push_front(command);
            }
        }
    }

    fn give_owed(&mut self) {
        if let Some(command) = self.owed.pop_front() {
            self.owed.push_front(command.clone());
            if self.front.give(command).is_ok() {
                self.owed.pop_front();
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
        match heard {
            Heard::Request(request) => self.on_request(now, exchange, &request, acts),
            Heard::Body(bytes) => self.on_body(exchange, bytes, acts),
            Heard::BodyEnd => self.on_body_end(exchange, acts),
            Heard::Taken(bytes) => self.on_taken(now, exchange, bytes),
            Heard::Answered | Heard::Aborted => self.on_over(exchange),
        }
    }

    fn is_hungry(&self, exchange: Exchange) -> bool {
        let Some(Deed::Upload(upload)) = self.deeds.get(&exchange) else {
            return true;
        };
        self.uploads
            .all
            .get(upload)
            .is_none_or(|upload| upload.is_hungry())
    }

    fn body(&mut self, exchange: Exchange) -> Body<'_> {
        if let Some(Deed::Stream(stream)) = self.deeds.get(&exchange)
            && stream.holds_nothing()
        {
            // Its listener reads again after everything was let go.
            self.queue(exchange);
        }
        match self.deeds.get(&exchange) {
            Some(Deed::Page(bytes, sent)) => Body::Bytes(&bytes[*sent..]),
            Some(Deed::Stream(stream)) => stream.body(),
            Some(Deed::Listener) => self.events.body(exchange),
            Some(
                Deed::Asked(_)
                | Deed::OpenWaits(_)
                | Deed::Opening(..)
                | Deed::CoverWaits
                | Deed::Cover(_)
                | Deed::Upload(_),
            ) => Body::Later,
            None => Body::End,
        }
    }

    fn attend(&mut self, now: Time, acts: &mut Vec<Act>) {
        self.give_owed();
        while let Some(notice) = self.front.heard() {
            self.on_notice(now, notice, acts);
        }
        while let Ok(done) = self.errands.done.try_recv() {
            self.on_done(done, acts);
        }
        if self.events.asks(now) {
            let operation = self.operation(Purpose::Status);
            self.command(Command::Status { operation });
        }
        wake(self.events.on_tick(now), acts);
        if self.hungry || self.stalled_at.is_some_and(|at| at <= now) {
            self.feed(now);
        }
    }

    fn deadline(&self) -> Option<Time> {
        let soon = self.hungry.then_some(Time::ZERO);
        earlier(earlier(soon, self.stalled_at), self.events.deadline())
    }
}

/// Wakes those who have something to read, and ends those who lag too far behind.
fn wake(lagging: Lagging, acts: &mut Vec<Act>) {
    acts.extend(lagging.into_iter().map(|(exchange, lags)| {
        if lags {
            Act::Cut { exchange }
        } else {
            Act::Wake { exchange }
        }
    }));
}
