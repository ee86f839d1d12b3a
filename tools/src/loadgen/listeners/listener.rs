//! One listener: chooses songs, jumps, skips, and keeps the buffer full.

use std::time::Duration;

use roles::contract::rng::Rng;
use roles::contract::time::Time;

use super::super::args;
use super::super::player::{Cause, Change, Player};
use super::super::survey::Known;
use super::heard::Heard;
use super::machine::World;
use super::source::Source;
use super::tally::Tally;
use crate::zipf::{self, Zipf};

/// The pause before another song after one did not come.
const AGAIN: Duration = Duration::from_secs(1);

/// One listener.
pub(super) struct Listener {
    pub(super) begins_at: Time,
    /// Whether it has begun, and whether it has ever heard sound.
    pub(super) begun: bool,
    pub(super) started: bool,
    rng: Rng,
    song: usize,
    pub(super) player: Player,
    pub(super) source: Source,
    jump_at: Time,
    skip_at: Time,
    again_at: Option<Time>,
    /// A stall that ended because the listener asked for something else.
    left: Option<Duration>,
    pub(super) armed: Option<Time>,
}

/// What is the same for all listeners.
pub(super) struct Stage<'a> {
    pub(super) now: Time,
    pub(super) options: &'a args::Listeners,
    pub(super) songs: &'a [Known],
    pub(super) zipf: &'a Zipf,
}

impl Listener {
    pub(super) fn new(source: Source, rng: Rng) -> Self {
        Listener {
            begins_at: Time::NEVER,
            begun: false,
            started: false,
            rng,
            song: 0,
            player: Player::new(),
            source,
            jump_at: Time::NEVER,
            skip_at: Time::NEVER,
            again_at: None,
            left: None,
            armed: None,
        }
    }

    pub(super) fn on_tick(
        &mut self,
        stage: &Stage<'_>,
        world: &mut World<'_>,
        heard: &mut Vec<Heard>,
    ) {
        let now = stage.now;
        if !self.begun {
            return self.begin(stage, world, heard);
        }
        self.source.on_tick(now, world, heard);
        if self.again_at.is_some_and(|at| at <= now) || self.skip_at <= now {
            self.skip_at = self.next(now, stage.options.skips);
            self.choose(stage, world, heard);
        }
        if self.jump_at <= now {
            self.jump_at = self.next(now, stage.options.jumps);
            self.jump(stage, world, heard);
        }
    }

    fn begin(&mut self, stage: &Stage<'_>, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        self.begun = true;
        if let Source::Node(node) = &mut self.source {
            node.start(stage.now, world);
        }
        self.jump_at = self.next(stage.now, stage.options.jumps);
        self.skip_at = self.next(stage.now, stage.options.skips);
        self.choose(stage, world, heard);
    }

    /// The moment of the next jump or skip at this rate per minute.
    fn next(&mut self, now: Time, per_minute: f64) -> Time {
        let gap = zipf::gap(&mut self.rng, per_minute / 60.0);
        Duration::try_from_secs_f64(gap).map_or(Time::NEVER, |gap| now + gap)
    }

    /// Presses play on a song.
    fn choose(&mut self, stage: &Stage<'_>, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        if let Some((Cause::Stall, since)) = self.player.waits() {
            self.left = Some(stage.now - since);
        }
        self.again_at = None;
        self.song = stage.zipf.draw(&mut self.rng);
        self.player.press(stage.now, Cause::Start);
        let song = &stage.songs[self.song];
        self.source.open(stage.now, song, world, heard);
    }

    fn jump(&mut self, stage: &Stage<'_>, world: &mut World<'_>, heard: &mut Vec<Heard>) {
        let (now, song) = (stage.now, &stage.songs[self.song]);
        // Not into the last seconds: the jump would be over before it is heard.
        let part = zipf::unit(&mut self.rng) * 0.9;
        if self.player.is_playing() && self.source.jump(now, song, part, world, heard) {
            self.player.press(now, Cause::Jump);
        }
    }

    /// Plays what has come, notes what changed, and asks for more while the buffer has room.
    pub(super) fn settle(
        &mut self,
        stage: &Stage<'_>,
        world: &mut World<'_>,
        heard: &mut Vec<Heard>,
        tally: &mut Tally,
    ) {
        let now = stage.now;
        if let Some(after) = self.left.take() {
            tally.on_stall_left(after);
        }
        loop {
            if let Some(change) = self.player.on_tick(now) {
                tally.on_change(change);
                if change == Change::Ended {
                    self.choose(stage, world, heard);
                }
            }
            for heard in std::mem::take(heard) {
                tally.on_heard(heard);
                self.take(now, heard, tally);
            }
            let more = self.player.ahead(now) < stage.options.buffer;
            self.source.want(now, more, world, heard);
            if heard.is_empty() {
                return;
            }
        }
    }

    fn take(&mut self, now: Time, heard: Heard, tally: &mut Tally) {
        let change = match heard {
            Heard::Sound { lasts, .. } => self.player.feed(now, lasts),
            Heard::Last => self.player.finish(now),
            Heard::Switch => None,
            Heard::Refused => {
                self.again_at = Some(now + AGAIN);
                None
            }
        };
        if let Some(change) = change {
            self.started = true;
            tally.on_change(change);
        }
    }

    pub(super) fn deadline(&self, options: &args::Listeners) -> Option<Time> {
        if !self.begun {
            return Some(self.begins_at);
        }
        let sinks = || self.player.ahead_at(options.buffer);
        let wants = self.source.wants_call().then(sinks).flatten();
        let all = [
            self.player.deadline(),
            self.source.deadline(),
            self.again_at,
            wants,
        ];
        let chosen = [self.jump_at, self.skip_at];
        let chosen = chosen.into_iter().filter(|at| *at != Time::NEVER);
        all.into_iter().flatten().chain(chosen).min()
    }
}
