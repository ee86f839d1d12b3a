//! Sound from a page's `/stream`, as a browser's audio element asks for it.
//!
//! One answer brings the song from an offset to its end; while the buffer is full the connection is
//! not read. When a page dies, or is silent for too long while the listener waits, the song goes on
//! at the same offset from the next page.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use roles::contract::time::Time;

use super::super::answers::Piece;
use super::super::sockets::{ConnId, Happened};
use super::super::survey::Known;
use super::heard::Heard;
use super::machine::World;

/// How long a page may bring nothing before the next one is asked.
const SILENCE: Duration = Duration::from_secs(3);

/// The pause after every page has failed.
const PAUSE: Duration = Duration::from_millis(500);

/// A listener at one of several pages.
pub(crate) struct PageSource {
    owner: usize,
    pages: Rc<[SocketAddr]>,
    /// Bytes per second of sound, if the songs' own rates do not count.
    forced: Option<f64>,
    bytes_per_second: f64,
    /// Index of the present page.
    at: usize,
    conn: Option<ConnId>,
    state: State,
    path: String,
    /// The next byte of the song.
    offset: u64,
    paused: bool,
    /// Pages that failed one after the other without a byte.
    failures: usize,
    again_at: Option<Time>,
    /// When bytes came last, or were asked for.
    moved_at: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is wanted.
    Idle,
    /// The request leaves when the connection stands.
    Connecting,
    /// The request has left.
    Asked,
    /// The answer's body is coming.
    Coming,
}

impl PageSource {
    /// A listener whose first page is number `owner`, so that all pages are used alike.
    pub(crate) fn new(owner: usize, pages: Rc<[SocketAddr]>, forced: Option<f64>) -> Self {
        PageSource {
            owner,
            at: owner % pages.len(),
            pages,
            forced,
            bytes_per_second: 1.0,
            conn: None,
            state: State::Idle,
            path: String::new(),
            offset: 0,
            paused: false,
            failures: 0,
            again_at: None,
            moved_at: Time::ZERO,
        }
    }

    /// Asks for a song from this part of it on, 0 to 1.
    pub(crate) fn open(&mut self, now: Time, song: &Known, part: f64, world: &mut World<'_>) {
        // An answer under way cannot be called back: browsers close the connection, too.
        if self.state != State::Idle {
            self.close(world);
        }
        self.bytes_per_second = self.forced.unwrap_or_else(|| song.bytes_per_second());
        self.path = format!("/stream/{}", song.id);
        self.offset = ((song.bytes as f64 * part) as u64).min(song.bytes.saturating_sub(1));
        self.failures = 0;
        self.ask(now, world);
    }

    fn ask(&mut self, now: Time, world: &mut World<'_>) {
        self.moved_at = now;
        self.again_at = None;
        if let Some(conn) = self.conn {
            if self.paused {
                self.paused = false;
                world.sockets.resume(conn);
            }
            return self.request(conn, world);
        }
        self.state = State::Connecting;
        self.paused = false;
        match world.sockets.dial_page(self.owner, self.pages[self.at]) {
            Ok(conn) => self.conn = Some(conn),
            Err(_) => self.again_at = Some(now + PAUSE),
        }
    }

    fn request(&mut self, conn: ConnId, world: &mut World<'_>) {
        let (path, host, offset) = (&self.path, self.pages[self.at], self.offset);
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes={offset}-\r\n\r\n");
        world.sockets.request(conn, &head);
        self.state = State::Asked;
    }

    fn close(&mut self, world: &mut World<'_>) {
        if let Some(conn) = self.conn.take() {
            world.sockets.close(conn);
        }
        self.state = State::Idle;
    }

    /// Reads on, or not.
    pub(crate) fn want(&mut self, more: bool, world: &mut World<'_>) {
        let Some(conn) = self.conn.filter(|_| self.paused == more) else {
            return;
        };
        self.paused = !more;
        if more {
            world.sockets.resume(conn);
        } else {
            world.sockets.pause(conn);
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(crate) fn on_happened(
        &mut self,
        now: Time,
        conn: ConnId,
        happened: Happened,
        world: &mut World<'_>,
        heard: &mut Vec<Heard>,
    ) {
        if self.conn != Some(conn) {
            return;
        }
        match happened {
            Happened::Connected if self.state == State::Connecting => self.request(conn, world),
            Happened::Answer(piece) => self.on_piece(now, piece, world, heard),
            Happened::Lost(_) => {
                self.conn = None;
                self.on_lost(now, world, heard);
            }
            Happened::Connected | Happened::Opened(_) | Happened::Envelope(_) => (),
        }
    }

    fn on_piece(&mut self, now: Time, piece: Piece, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        self.moved_at = now;
        match piece {
            Piece::Head { status: 206, .. } => self.state = State::Coming,
            Piece::Head { status: 404, .. } => {
                self.close(world);
                heard.push(Heard::Refused);
            }
            // Overloaded, or its cluster is not there: another page may do better.
            Piece::Head { .. } => {
                self.close(world);
                self.on_lost_page(now, world, heard);
            }
            Piece::Body(n) if self.state == State::Coming => {
                self.failures = 0;
                self.offset += n as u64;
                let lasts = Duration::from_secs_f64(n as f64 / self.bytes_per_second);
                let bytes = n as u64;
                heard.push(Heard::Sound { bytes, lasts });
            }
            Piece::End if self.state == State::Coming => {
                self.state = State::Idle;
                heard.push(Heard::Last);
            }
            Piece::Body(_) | Piece::End => (),
        }
    }

    fn on_lost(&mut self, now: Time, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        // An idle connection is closed by the page after a while; the next song dials again.
        if self.state != State::Idle {
            self.on_lost_page(now, world, heard);
        }
    }

    fn on_lost_page(&mut self, now: Time, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        self.state = State::Connecting;
        self.failures += 1;
        if self.pages.len() > 1 {
            self.at = (self.at + 1) % self.pages.len();
            heard.push(Heard::Switch);
        }
        if self.failures > 3 * self.pages.len() {
            self.state = State::Idle;
            heard.push(Heard::Refused);
        } else if self.failures < self.pages.len() {
            self.ask(now, world);
        } else {
            self.again_at = Some(now + PAUSE);
        }
    }

    pub(crate) fn on_tick(&mut self, now: Time, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.ask(now, world);
        }
        if self.silent_at().is_some_and(|at| at <= now) {
            self.close(world);
            self.on_lost_page(now, world, heard);
        }
    }

    /// When the page counts as dead.
    fn silent_at(&self) -> Option<Time> {
        let waits = self.conn.is_some() && self.state != State::Idle && !self.paused;
        waits.then_some(self.moved_at + SILENCE)
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.again_at.into_iter().chain(self.silent_at()).min()
    }
}
