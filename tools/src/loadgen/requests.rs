//! Requests in a mix, at a fixed rate (open loop) or as fast as they are answered (closed loop).
//!
//! Owns the requests in flight and those that wait for a free connection. A latency counts from the
//! moment at which the request should have left, so waiting counts.

pub(crate) mod mix;

mod lines;
mod questions;
mod tally;
mod upload;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use roles::contract::id::RequestId;
use roles::contract::message::{Envelope, Kind as Direction, Message};
use roles::contract::rng::Rng;
use roles::contract::time::Time;

use super::args;
use super::course::Row;
use super::engine::Driver;
use super::report::Report;
use super::schedule::Schedule;
use super::sockets::{self, ConnId, Happened, Sockets};
use super::survey::Survey;

use lines::Lines;
use mix::Kind;
use questions::{Questions, Request};
use tally::{Ended, Tally};
use upload::{Next, Upload};

pub(crate) use questions::{needs_songs, targets};
pub(crate) use tally::FIGURES;
pub(crate) use upload::one_fragment;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests that may wait for a free connection. Beyond it a run only measures its own queue.
const WAITING_MAX: usize = 200_000;

/// Requests that a connection may have in flight in an open loop: as many as a node accepts.
const OPEN_PIPELINE: u32 = 64;

/// All requests of a run.
pub(crate) struct Requests {
    options: args::Requests,
    /// The nodes that are asked.
    targets: Vec<SocketAddr>,
    questions: Questions,
    lines: Lines,
    schedule: Option<Schedule>,
    /// Whether the first request may leave, and whether no more begin.
    begun: bool,
    ended: bool,
    flying: BTreeMap<RequestId, Flight>,
    /// Requests that wait for a free connection to their node.
    waiting: BTreeMap<SocketAddr, VecDeque<Request>>,
    queued: usize,
    count: u64,
    tally: Tally,
}

/// A question that waits for its answer.
struct Flight {
    kind: Kind,
    due: Time,
    until: Time,
    line: usize,
    upload: Option<Box<Upload>>,
}

impl Requests {
    pub(crate) fn new(options: args::Requests, survey: Survey, rng: &mut Rng) -> Self {
        let mut part = || Rng::from_seed(rng.bits());
        let pipeline = match options.rate {
            Some(_) => OPEN_PIPELINE,
            None => options.pipeline.unwrap_or(1),
        };
        Requests {
            targets: targets(&options, &survey),
            lines: Lines::new(
                options.connections,
                pipeline,
                survey.features.clone(),
                part(),
            ),
            questions: Questions::new(options.clone(), survey, part()),
            options,
            schedule: None,
            begun: false,
            ended: false,
            flying: BTreeMap::new(),
            waiting: BTreeMap::new(),
            queued: 0,
            count: 0,
            tally: Tally::new(),
        }
    }

    /// Begins a request that is due, or says that nobody can take it.
    fn begin_request(&mut self, now: Time, due: Time, sockets: &mut Sockets) {
        match self.questions.draw(due, &self.lines) {
            Ok(request) => self.send_or_wait(now, request, sockets),
            Err(kind) => self.tally.on_end(kind, Ended::Unreachable, now - due),
        }
    }

    fn send_or_wait(&mut self, now: Time, request: Request, sockets: &mut Sockets) {
        if let Some((line, conn)) = self.lines.free(request.to) {
            return self.send(now, request, (line, conn), sockets);
        }
        // A node without a connection takes nothing; one that is busy will.
        if !self.lines.reaches(request.to) || self.queued >= WAITING_MAX {
            let waited = now - request.due;
            return self.tally.on_end(request.kind, Ended::Unreachable, waited);
        }
        self.queued += 1;
        self.waiting
            .entry(request.to)
            .or_default()
            .push_back(request);
    }

    fn send(
        &mut self,
        now: Time,
        request: Request,
        (line, conn): (usize, ConnId),
        sockets: &mut Sockets,
    ) {
        self.count += 1;
        let id = RequestId(self.count);
        let envelope = Envelope {
            id,
            kind: Direction::Question { patience: PATIENCE },
            message: request.message,
            body: request.body,
        };
        sockets.send(conn, envelope);
        self.lines.line(line).flying.push(id);
        let flight = Flight {
            kind: request.kind,
            due: request.due,
            until: now + PATIENCE,
            line,
            upload: request.upload,
        };
        self.flying.insert(id, flight);
    }

    fn on_answer(&mut self, now: Time, envelope: Envelope, sockets: &mut Sockets) {
        let Some(flight) = self.land(envelope.id) else {
            return; // Late: it has been counted as such.
        };
        let from = self.lines.line(flight.line).address;
        let took = now - flight.due;
        if let Message::Refused(_) = envelope.message {
            self.tally.on_end(flight.kind, Ended::Refused, took);
            return self.go_on(now, from, sockets);
        }
        self.tally.on_bytes(envelope.body.len() as u64);
        match flight.upload {
            Some(upload) => self.on_upload(now, (flight.due, upload), &envelope.message, sockets),
            None => self.tally.on_end(flight.kind, Ended::Answered, took),
        }
        self.go_on(now, from, sockets);
    }

    fn on_upload(
        &mut self,
        now: Time,
        (due, mut upload): (Time, Box<Upload>),
        answer: &Message,
        sockets: &mut Sockets,
    ) {
        let (to, message, body) = match upload.on_answer(answer) {
            Next::AskOwner(to, message, body) => (to, message, body),
            Next::Done => return self.tally.on_end(Kind::Upload, Ended::Answered, now - due),
            Next::AskRouter(_) | Next::Failed => {
                return self.tally.on_end(Kind::Upload, Ended::Refused, now - due);
            }
        };
        self.tally.on_bytes(body.len() as u64);
        let request = Request {
            kind: Kind::Upload,
            due,
            to,
            message,
            body,
            upload: Some(upload),
        };
        self.send_or_wait(now, request, sockets);
    }

    /// Takes a request out of the air.
    fn land(&mut self, id: RequestId) -> Option<Flight> {
        let flight = self.flying.remove(&id)?;
        let line = self.lines.line(flight.line);
        line.flying.retain(|other| *other != id);
        Some(flight)
    }

    /// After a connection to a node has become free: its waiting requests, or in a closed loop the
    /// next one.
    fn go_on(&mut self, now: Time, free: SocketAddr, sockets: &mut Sockets) {
        while let Some(queue) = self
            .waiting
            .get_mut(&free)
            .filter(|queue| !queue.is_empty())
            && let Some(line) = self.lines.free(free)
            && let Some(request) = queue.pop_front()
        {
            self.queued -= 1;
            self.send(now, request, line, sockets);
        }
        if self.options.rate.is_none() && !self.ended {
            self.fill(now, sockets);
        }
    }

    /// Closed loop: keeps as many requests under way as the connections may carry.
    fn fill(&mut self, now: Time, sockets: &mut Sockets) {
        let users = self.options.connections as usize * self.options.pipeline.unwrap_or(1) as usize;
        // One failure per turn is enough: without a node there is nothing to keep up.
        let failed = self.tally.unreachable();
        while self.flying.len() + self.queued < users && self.tally.unreachable() == failed {
            self.begin_request(now, now, sockets);
        }
    }

    fn on_lost(&mut self, now: Time, line: usize) {
        for id in self.lines.on_lost(now, line) {
            if let Some(flight) = self.flying.remove(&id) {
                self.tally
                    .on_end(flight.kind, Ended::Lost, now - flight.due);
            }
        }
    }

    fn expire(&mut self, now: Time) {
        // All wait equally long, so the oldest is the first to be late.
        while let Some((id, flight)) = self.flying.first_key_value()
            && flight.until <= now
        {
            let id = *id;
            if let Some(flight) = self.land(id) {
                self.tally
                    .on_end(flight.kind, Ended::Late, now - flight.due);
            }
        }
        let late = |request: &Request| request.due + PATIENCE <= now;
        for queue in self.waiting.values_mut() {
            while queue.front().is_some_and(late)
                && let Some(request) = queue.pop_front()
            {
                self.queued -= 1;
                let waited = now - request.due;
                self.tally.on_end(request.kind, Ended::Late, waited);
            }
        }
    }
}

impl Driver for Requests {
    fn prepare(&mut self, sockets: &mut Sockets) {
        let now = sockets.now();
        for address in &self.targets {
            self.lines.meet(now, *address);
        }
        self.lines.on_tick(now, sockets);
    }

    fn is_ready(&self) -> bool {
        self.lines.are_open()
    }

    fn begin(&mut self, now: Time, sockets: &mut Sockets) {
        self.begun = true;
        match self.options.rate {
            Some(rate) => self.schedule = Some(Schedule::new(now, rate)),
            None => self.fill(now, sockets),
        }
    }

    fn on_report(&mut self, now: Time, report: sockets::Report, sockets: &mut Sockets) {
        let line = report.owner;
        if !self.lines.uses(line, report.conn) {
            return;
        }
        match report.happened {
            Happened::Opened(_) => {
                self.lines.on_opened(line);
                if self.begun {
                    let address = self.lines.line(line).address;
                    self.go_on(now, address, sockets);
                }
            }
            Happened::Envelope(envelope) => self.on_answer(now, envelope, sockets),
            Happened::Lost(_) => self.on_lost(now, line),
            Happened::Connected | Happened::Answer(_) => (),
        }
    }

    fn on_tick(&mut self, now: Time, sockets: &mut Sockets) {
        self.lines.on_tick(now, sockets);
        self.expire(now);
        while !self.ended
            && let Some(due) = self
                .schedule
                .as_mut()
                .and_then(|schedule| schedule.due(now))
        {
            self.begin_request(now, due, sockets);
        }
    }

    fn deadline(&self) -> Option<Time> {
        let next = self.schedule.filter(|_| !self.ended).map(|s| s.next());
        let oldest = self.flying.first_key_value().map(|(_, f)| f.until);
        let firsts = self.waiting.values().filter_map(|queue| queue.front());
        let waiting = firsts.map(|r| r.due + PATIENCE).min();
        [next, oldest, waiting, self.lines.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn end(&mut self, _now: Time) {
        self.ended = true;
    }

    fn is_idle(&self) -> bool {
        self.flying.is_empty() && self.queued == 0
    }

    fn row(&mut self, _now: Time) -> Row {
        let (open, waiting) = (self.flying.len() as u64, self.queued as u64);
        self.tally.row(open, waiting)
    }

    fn report(&mut self, took: Duration) -> Report {
        let (mix, lines) = (&self.options.mix, self.lines.len());
        let title = match self.options.rate {
            Some(rate) => {
                format!("requests {mix}, open loop at {rate} per second, {lines} connections")
            }
            None => format!("requests {mix}, closed loop, {lines} connections"),
        };
        self.tally.report(title, took)
    }
}
