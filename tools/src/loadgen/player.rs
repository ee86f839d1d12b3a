//! A listener's buffer: sound that has arrived and is not played yet.
//!
//! Pure: time comes in by argument. A player waits until it has enough sound to begin, then plays
//! in real time. When the buffer runs dry before the song's end, playback stalls until sound comes.

use std::time::Duration;

use roles::contract::time::Time;

/// Sound that must be there before playback begins or goes on, unless the song's end is nearer.
pub(crate) const BEGINS_AT: Duration = Duration::from_secs(1);

/// What the listener waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A song was chosen.
    Start,
    /// The listener jumped within the song.
    Jump,
    /// The buffer has run dry.
    Stall,
}

/// What changed for the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Sound comes, after this wait.
    Plays(Cause, Duration),
    /// The buffer is dry in mid-song.
    Stalled,
    /// The song has been played to its end.
    Ended,
}

/// One listener's player.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Player {
    state: State,
    /// Whether the song's last sound has arrived.
    complete: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Waiting {
        since: Time,
        cause: Cause,
        buffered: Duration,
    },
    Playing {
        dry_at: Time,
    },
}

impl Player {
    /// A player that plays nothing.
    pub(crate) fn new() -> Self {
        Player {
            state: State::Idle,
            complete: false,
        }
    }

    /// The listener asks for sound from another place: what is buffered is dropped.
    pub(crate) fn press(&mut self, now: Time, cause: Cause) {
        self.complete = false;
        self.state = State::Waiting {
            since: now,
            cause,
            buffered: Duration::ZERO,
        };
    }

    /// Stops playback for good.
    pub(crate) fn stop(&mut self) {
        self.state = State::Idle;
    }

    /// Sound has arrived. Call [`Player::on_tick`] for `now` first.
    pub(crate) fn feed(&mut self, now: Time, sound: Duration) -> Option<Change> {
        match &mut self.state {
            State::Idle => None,
            State::Playing { dry_at } => {
                *dry_at = *dry_at + sound;
                None
            }
            State::Waiting { buffered, .. } => {
                *buffered += sound;
                self.begin(now)
            }
        }
    }

    /// No more sound follows in this song.
    pub(crate) fn finish(&mut self, now: Time) -> Option<Change> {
        self.complete = true;
        self.begin(now)
    }

    fn begin(&mut self, now: Time) -> Option<Change> {
        let State::Waiting {
            since,
            cause,
            buffered,
        } = self.state
        else {
            return None;
        };
        if buffered < BEGINS_AT && !self.complete {
            return None;
        }
        self.state = State::Playing {
            dry_at: now + buffered,
        };
        Some(Change::Plays(cause, now - since))
    }

    /// When [`Player::on_tick`] has something to say.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Playing { dry_at } => Some(dry_at),
            State::Idle | State::Waiting { .. } => None,
        }
    }

    /// Notices that the buffer has run dry. The stall counts from the moment it did.
    pub(crate) fn on_tick(&mut self, now: Time) -> Option<Change> {
        let State::Playing { dry_at } = self.state else {
            return None;
        };
        if dry_at > now {
            return None;
        }
        if self.complete {
            self.state = State::Idle;
            return Some(Change::Ended);
        }
        self.press(dry_at, Cause::Stall);
        Some(Change::Stalled)
    }

    /// How much unplayed sound is buffered.
    pub(crate) fn ahead(&self, now: Time) -> Duration {
        match self.state {
            State::Idle => Duration::ZERO,
            State::Waiting { buffered, .. } => buffered,
            State::Playing { dry_at } => dry_at - now,
        }
    }

    /// When only `left` will be buffered; now or in the past if it is less already. None while
    /// nothing plays.
    pub(crate) fn ahead_at(&self, left: Duration) -> Option<Time> {
        match self.state {
            State::Playing { dry_at } => {
                let nanos = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
                Some(Time::from_nanos(dry_at.as_nanos().saturating_sub(nanos)))
            }
            State::Idle | State::Waiting { .. } => None,
        }
    }

    /// Whether sound is heard.
    pub(crate) fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing { .. })
    }

    /// Whether the listener waits for sound, and since when and why.
    pub(crate) fn waits(&self) -> Option<(Cause, Time)> {
        match self.state {
            State::Waiting { since, cause, .. } => Some((cause, since)),
            State::Idle | State::Playing { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    const TEN: Duration = Duration::from_secs(10);

    /// Playback begins with the first second of sound; the wait counts from the press.
    #[test]
    fn sound_begins_when_a_second_is_there() {
        let mut player = Player::new();
        player.press(at(5), Cause::Start);
        assert_eq!(player.feed(at(6), BEGINS_AT / 2), None);
        let plays = Change::Plays(Cause::Start, Duration::from_secs(2));
        assert_eq!(player.feed(at(7), TEN), Some(plays));
        assert_eq!(player.ahead(at(7)), TEN + BEGINS_AT / 2);
    }

    /// A stall begins when the buffer runs dry, not when somebody looks.
    #[test]
    fn a_stall_counts_from_the_dry_moment() {
        let mut player = Player::new();
        player.press(at(0), Cause::Start);
        player.feed(at(0), TEN);
        assert_eq!(player.on_tick(at(9)), None);
        assert_eq!(player.on_tick(at(12)), Some(Change::Stalled));
        let resumed = Change::Plays(Cause::Stall, Duration::from_secs(5));
        assert_eq!(player.feed(at(15), TEN), Some(resumed));
    }

    /// The end of a song is no stall, even of one shorter than the first second.
    #[test]
    fn a_song_that_is_complete_ends() {
        let mut player = Player::new();
        player.press(at(0), Cause::Start);
        player.feed(at(0), BEGINS_AT / 4);
        assert_eq!(
            player.finish(at(0)),
            Some(Change::Plays(Cause::Start, Duration::ZERO))
        );
        assert_eq!(player.on_tick(at(1)), Some(Change::Ended));
        assert_eq!(player.deadline(), None);
    }

    /// A jump drops what was buffered and is a wait of its own kind.
    #[test]
    fn a_jump_begins_from_nothing() {
        let mut player = Player::new();
        player.press(at(0), Cause::Start);
        player.feed(at(0), TEN);
        player.finish(at(0));
        player.press(at(3), Cause::Jump);
        assert_eq!(player.ahead(at(3)), Duration::ZERO);
        let plays = Change::Plays(Cause::Jump, Duration::from_secs(1));
        assert_eq!(player.feed(at(4), TEN), Some(plays));
        assert_eq!(player.ahead_at(Duration::from_secs(4)), Some(at(10)));
    }
}
