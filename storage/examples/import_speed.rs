//! How fast a file becomes a manifest: `cargo run --release -p storage --example import_speed`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use storage::{audio, import};

fn main() -> io::Result<()> {
    let dir = std::env::temp_dir().join(format!("import-speed-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let measured = [("wav", wav()), ("mp3", mp3()), ("flac", flac())]
        .into_iter()
        .try_for_each(|(name, bytes)| measure(&dir, name, &bytes));
    fs::remove_dir_all(&dir)?;
    measured
}

fn measure(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = dir.join(name);
    fs::write(&path, bytes)?;
    let megabytes = bytes.len() as f64 / 1e6;

    let begun = Instant::now();
    let cutting = audio::cut(&mut File::open(&path)?, bytes.len() as u64)?;
    let cut_ms = begun.elapsed().as_secs_f64() * 1e3;

    let begun = Instant::now();
    import::scan(&path).map_err(|fault| io::Error::other(fault.to_string()))?;
    let scan_s = begun.elapsed().as_secs_f64();
    writeln!(
        io::stdout(),
        "{name}: {megabytes:.0} MB as {} in {} fragments: cut {cut_ms:.1} ms, scan {:.0} ms, {:.0} MB/s",
        cutting.format,
        cutting.cuts.len(),
        scan_s * 1e3,
        megabytes / scan_s
    )
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn wav() -> Vec<u8> {
    let mut file = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0".to_vec();
    file.extend(44_100u32.to_le_bytes());
    file.extend(176_400u32.to_le_bytes());
    file.extend(b"\x04\0\x10\0data\xff\xff\xff\xff");
    file.extend(noise(BYTES));
    file
}

fn mp3() -> Vec<u8> {
    let mut file = noise(BYTES);
    for frame in file.chunks_mut(417) {
        let header = [0xff, 0xfb, 0x90, 0x00];
        frame
            .iter_mut()
            .zip(header)
            .for_each(|(to, from)| *to = from);
    }
    file
}

/// Frames of 8 kB, filled with noise among which the headers must be found.
fn flac() -> Vec<u8> {
    let mut file = b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0".to_vec();
    file.extend((44_100u64 << 44 | 1 << 41 | 15 << 36).to_be_bytes());
    file.extend([0; 16]);
    let mut sound = noise(BYTES);
    for (number, frame) in (0u32..).zip(sound.chunks_mut(8_000)) {
        let digit = |shift| 0x80 | (number >> shift) as u8 & 0x3f;
        let mut header = vec![
            0xff,
            0xf8,
            0xc9,
            0x18,
            0xe0 | (number >> 12) as u8,
            digit(6),
            digit(0),
        ];
        header.push(header.iter().fold(0, |crc, byte| crc8(crc ^ byte)));
        frame
            .iter_mut()
            .zip(header)
            .for_each(|(to, from)| *to = from);
    }
    file.extend(sound);
    file
}

fn crc8(byte: u8) -> u8 {
    (0..8).fold(byte, |crc, _| {
        crc << 1 ^ if crc & 0x80 != 0 { 7 } else { 0 }
    })
}

const BYTES: usize = 100_000_000;
