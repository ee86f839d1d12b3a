//! A drawn cover: a ring of six dots in front of a sky, one of them dark, as a bitmap.

use std::f32::consts::TAU;

/// Width and height.
const SIZE: usize = 240;

/// Shades between the two colours.
const SHADES: usize = 64;

/// Bytes before the picture: two headers and the colours.
const HEAD_BYTES: u32 = 14 + 40 + 4 * (SHADES as u32 + 2);

const DOT: u8 = SHADES as u8;
const DARK_DOT: u8 = SHADES as u8 + 1;

/// A bitmap of 256 colours. `seed` says which dot is dark.
pub(super) fn draw(colours: ([u8; 3], [u8; 3]), seed: &str) -> Vec<u8> {
    let mut picture = head();
    palette(&mut picture, colours);
    let dark = seed.bytes().map(usize::from).sum::<usize>() % 6;
    for y in (0..SIZE).rev() {
        picture.extend((0..SIZE).map(|x| pixel(x, y, dark)));
    }
    picture
}

fn head() -> Vec<u8> {
    let (size, pixels) = (SIZE as u32, (SIZE * SIZE) as u32);
    let mut head = b"BM".to_vec();
    for number in [HEAD_BYTES + pixels, 0, HEAD_BYTES, 40, size, size] {
        head.extend_from_slice(&number.to_le_bytes());
    }
    head.extend_from_slice(&[1, 0, 8, 0]); // One plane of eight bits.
    for number in [0, pixels, 2835, 2835, SHADES as u32 + 2, 0] {
        head.extend_from_slice(&number.to_le_bytes());
    }
    head
}

fn palette(picture: &mut Vec<u8>, (top, bottom): ([u8; 3], [u8; 3])) {
    let mut colour = |[red, green, blue]: [u8; 3]| {
        picture.extend_from_slice(&[blue, green, red, 0]);
    };
    for shade in 0..SHADES {
        let part = shade as f32 / (SHADES - 1) as f32;
        let mix = |n: usize| f32::from(top[n]) * (1.0 - part) + f32::from(bottom[n]) * part;
        colour([0, 1, 2].map(|n| mix(n) as u8));
    }
    colour([255, 248, 231]);
    colour(bottom.map(|part| part / 2));
}

fn pixel(x: usize, y: usize, dark: usize) -> u8 {
    let middle = SIZE as f32 / 2.0;
    let (right, down) = (x as f32 - middle, y as f32 - middle);
    for dot in 0..6 {
        let angle = TAU * dot as f32 / 6.0;
        let near = (right - 70.0 * angle.sin()).hypot(down + 70.0 * angle.cos());
        if near < 16.0 {
            return if dot == dark { DARK_DOT } else { DOT };
        }
    }
    if (right.hypot(down) - 70.0).abs() < 1.5 {
        return DOT;
    }
    // The sky gets darker towards the ground, in soft waves.
    let wave = 14.0 * (x as f32 / SIZE as f32 * TAU).sin();
    let part = ((y as f32 + wave) / SIZE as f32).clamp(0.0, 1.0);
    (part * (SHADES - 1) as f32) as u8
}
