//! From notes to samples.

use std::f32::consts::TAU;

use super::{Piece, RATE};

/// One turn of a sine, looked up instead of computed: a piece has millions of them.
const TABLE: usize = 1024;

/// Seconds added to the piece, so that its last echo fades out.
const TAIL_S: f32 = 3.0;

/// Between a sound and its echo on the other side.
const ECHO_S: f32 = 0.33;
const ECHO: f32 = 0.32;

/// The loudest sample.
const PEAK: f32 = 26_000.0;

/// A piece as interleaved stereo samples.
pub(super) fn play(piece: &Piece) -> Vec<i16> {
    let beat = 60.0 / piece.tempo;
    let bars = piece.chords.len() as u32 * piece.rounds;
    let seconds = bars as f32 * 4.0 * beat + TAIL_S;
    let mut sheet = Sheet::new(seconds);
    for bar in 0..bars {
        let start = bar as f32 * 4.0 * beat;
        let chord = piece.chords[bar as usize % piece.chords.len()];
        accompany(&mut sheet, piece, start, beat, chord);
        // The first round is the accompaniment alone, unless it is the only one.
        if bar >= piece.chords.len() as u32 || piece.rounds == 1 {
            sing(&mut sheet, piece, start, beat, bar);
        }
    }
    sheet.echo();
    sheet.finish()
}

fn accompany(sheet: &mut Sheet, piece: &Piece, start: f32, beat: f32, chord: [i32; 4]) {
    let pitch = |note: i32| hertz(piece.key + note);
    sheet.note(&BASS, start, 3.6 * beat, pitch(chord[0] - 12), 0.30, 0.5);
    for (place, note) in (0..).zip(chord) {
        let side = 0.2 + 0.2 * place as f32;
        sheet.note(&PAD, start, 4.2 * beat, pitch(note), 0.055, side);
    }
    for (eighth, index) in (0..).zip(piece.pattern) {
        if let Some(index) = index {
            let at = start + eighth as f32 * beat / 2.0;
            let side = if eighth % 2 == 0 { 0.3 } else { 0.7 };
            sheet.note(&PLUCK, at, 1.6, pitch(chord[index] + 12), 0.16, side);
        }
    }
}

fn sing(sheet: &mut Sheet, piece: &Piece, start: f32, beat: f32, bar: u32) {
    for quarter in 0..4 {
        let place = (bar * 4 + quarter) as usize % piece.tune.len();
        if let Some(note) = piece.tune[place] {
            let at = start + quarter as f32 * beat;
            let held = (place + 1..piece.tune.len()).take_while(|n| piece.tune[*n].is_none());
            let length = (1 + held.count()) as f32 * beat;
            sheet.note(&BELL, at, length + 0.8, hertz(piece.key + note), 0.17, 0.5);
        }
    }
}

/// Semitones above the C of 65 Hz.
fn hertz(semitones: i32) -> f32 {
    65.406 * 2_f32.powf(semitones as f32 / 12.0)
}

/// How something sounds: overtones with their strengths, and how it swells and fades.
struct Instrument {
    overtones: [(f32, f32); 3],
    attack_s: f32,
    /// In how many seconds it fades to a third; none holds until its end.
    decay_s: Option<f32>,
}

const BASS: Instrument = Instrument {
    overtones: [(1.0, 1.0), (2.0, 0.3), (3.0, 0.08)],
    attack_s: 0.02,
    decay_s: Some(0.9),
};
const PAD: Instrument = Instrument {
    overtones: [(1.0, 1.0), (1.004, 0.8), (2.002, 0.3)],
    attack_s: 0.5,
    decay_s: None,
};
const PLUCK: Instrument = Instrument {
    overtones: [(1.0, 1.0), (2.0, 0.35), (3.0, 0.15)],
    attack_s: 0.006,
    decay_s: Some(0.32),
};
const BELL: Instrument = Instrument {
    overtones: [(1.0, 1.0), (2.0, 0.2), (4.0, 0.06)],
    attack_s: 0.03,
    decay_s: Some(0.8),
};

/// How long every note takes to end: nothing clicks.
const RELEASE_S: f32 = 0.25;

/// Both sides of the sound.
struct Sheet {
    sides: [Vec<f32>; 2],
    sine: Vec<f32>,
}

impl Sheet {
    fn new(seconds: f32) -> Self {
        let samples = (seconds * RATE as f32) as usize;
        let sine = |n| (n as f32 / TABLE as f32 * TAU).sin();
        Sheet {
            sides: [vec![0.0; samples], vec![0.0; samples]],
            sine: (0..TABLE).map(sine).collect(),
        }
    }

    /// Plays a note. `side`: 0 is left, 1 is right.
    fn note(
        &mut self,
        instrument: &Instrument,
        start: f32,
        length: f32,
        hertz: f32,
        loud: f32,
        side: f32,
    ) {
        let rate = RATE as f32;
        let (first, count) = ((start * rate) as usize, (length * rate) as usize);
        let fade = instrument
            .decay_s
            .map_or(1.0, |s| (-1.0 / (s * rate)).exp());
        let steps = instrument
            .overtones
            .map(|(n, _)| n * hertz / rate * TABLE as f32);
        let (mut phases, mut strength) = ([0.0_f32; 3], loud);
        let count = count.min(self.sides[0].len().saturating_sub(first));
        for n in 0..count {
            let swell = (n as f32 / (instrument.attack_s * rate)).min(1.0);
            let end = ((count - n) as f32 / (RELEASE_S * rate)).min(1.0);
            let mut sum = 0.0;
            for (phase, (step, (_, part))) in phases
                .iter_mut()
                .zip(steps.iter().zip(instrument.overtones))
            {
                sum += self.sine[*phase as usize % TABLE] * part;
                *phase = (*phase + step) % TABLE as f32;
            }
            let sample = sum * strength * swell * end;
            self.sides[0][first + n] += sample * (1.0 - side);
            self.sides[1][first + n] += sample * side;
            strength *= fade;
        }
    }

    /// Each side answers the other, softer each time.
    fn echo(&mut self) {
        let delay = (ECHO_S * RATE as f32) as usize;
        for n in delay..self.sides[0].len() {
            let (left, right) = (self.sides[0][n - delay], self.sides[1][n - delay]);
            self.sides[0][n] += right * ECHO;
            self.sides[1][n] += left * ECHO;
        }
    }

    /// Fades the end out, and makes everything as loud as it may be.
    fn finish(self) -> Vec<i16> {
        let [left, right] = self.sides;
        let loudest = |side: &[f32]| side.iter().fold(0.01_f32, |most, s| most.max(s.abs()));
        let scale = PEAK / loudest(&left).max(loudest(&right));
        let fade = TAIL_S / 2.0 * RATE as f32;
        let length = left.len();
        let sides = left.into_iter().zip(right).enumerate();
        let samples = sides.flat_map(|(n, (left, right))| {
            let end = ((length - 1 - n) as f32 / fade).min(1.0);
            [left, right].map(|sample| (sample * scale * end) as i16)
        });
        samples.collect()
    }
}
