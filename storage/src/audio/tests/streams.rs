//! Small files made by hand: right in what a scanner looks at, arbitrary elsewhere.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

/// A frame of MPEG-1 layer III: 128 kbit/s, 44.1 kHz, stereo.
pub(super) fn mp3_frame(fill: u8) -> Vec<u8> {
    let mut frame = vec![0xff, 0xfb, 0x90, 0x00];
    frame.resize(417, fill & 0x7f);
    frame
}

pub(super) fn mp3(frames: usize) -> Vec<u8> {
    (0..frames).flat_map(|i| mp3_frame(i as u8)).collect()
}

/// A tag with so many bytes of nothing.
pub(super) fn id3v2(body: usize) -> Vec<u8> {
    let mut tag = b"ID3\x04\0\0".to_vec();
    tag.extend([21, 14, 7, 0].map(|shift| (body >> shift & 0x7f) as u8));
    tag.resize(10 + body, 0);
    tag
}

/// Frames of 4096 samples at 44.1 kHz and where each begins.
pub(super) fn flac(frames: u64, variable: bool) -> (Vec<u8>, Vec<u64>) {
    let mut info = vec![16, 0, 16, 0, 0, 0, 0, 0, 0, 0];
    let fields = 44_100u64 << 44 | 1 << 41 | 15 << 36 | (frames * 4096);
    info.extend(fields.to_be_bytes());
    info.extend([9; 16]);
    let mut file = b"fLaC\x00\0\0\x22".to_vec();
    file.extend(info);
    file.extend(b"\x84\0\0\x05hello");
    let mut starts = Vec::new();
    for i in 0..frames {
        starts.push(file.len() as u64);
        let number = if variable { i * 4096 } else { i };
        let mut header = vec![0xff, 0xf8 | u8::from(variable), 0xc9, 0x18];
        header.extend(coded(number));
        header.push(super::super::flac::crc8(&header));
        file.extend(header);
        file.extend((0..150).map(|n| (n * 7 + i) as u8 | 1));
    }
    (file, starts)
}

/// As FLAC codes a number: like a character of up to seven bytes.
fn coded(number: u64) -> Vec<u8> {
    if number < 0x80 {
        return vec![number as u8];
    }
    let rest = (1..7)
        .find(|rest| number < 1 << (6 * rest + 6 - rest))
        .expect("36 bits are enough");
    let mut bytes = vec![!(0x7f >> rest) | (number >> (6 * rest)) as u8];
    bytes.extend(
        (0..rest)
            .rev()
            .map(|i| 0x80 | (number >> (6 * i)) as u8 & 0x3f),
    );
    bytes
}

/// Pages of half a second, every third of which continues a packet, and where each begins.
pub(super) fn ogg(magic: &[u8], pages: u64, serial: u32) -> (Vec<u8>, Vec<u64>) {
    let opus = magic == b"OpusHead";
    let (rate, headers) = if opus { (48_000, 1) } else { (44_100, 2) };
    let mut first = magic.to_vec();
    match opus {
        true => first.extend([1, 2, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0]),
        false => first.extend([0, 0, 0, 0, 2, 0x44, 0xac, 0, 0]),
    }
    first.resize(30, 0);
    let mut file = page(2, 0, serial, &[30], &first);
    for _ in 0..headers {
        file.extend(page(0, 0, serial, &[40], &[3; 40]));
    }
    let mut starts = Vec::new();
    for i in 0..pages {
        starts.push(file.len() as u64);
        let continues = u8::from(i % 3 == 2);
        let lacing: &[u8] = if i % 3 == 1 { &[90, 255] } else { &[90] };
        let body = vec![i as u8; lacing.iter().map(|n| usize::from(*n)).sum()];
        let granule = (i + 1) * rate / 2;
        file.extend(page(continues, granule, serial, lacing, &body));
    }
    (file, starts)
}

/// A Vorbis stream whose last header packet shares its page with sound, as encoders of 2004 write
/// it, and where its second page of sound begins. With `continued`, every page continues a packet.
pub(super) fn old_ogg(pages: u64, continued: bool) -> (Vec<u8>, u64) {
    let mut first = b"\x01vorbis\0\0\0\0\x02\x44\xac\0\0".to_vec();
    first.resize(30, 0);
    let mut file = page(2, 0, 1, &[30], &first);
    let last = if continued { 255 } else { 90 };
    let lacing = [40, 40, 90, last];
    let bytes = lacing.iter().map(|n| usize::from(*n)).sum();
    file.extend(page(0, 22_050, 1, &lacing, &vec![3; bytes]));
    let sound = file.len() as u64;
    for i in 1..pages {
        let lacing = [90, last];
        let body = vec![i as u8; 90 + usize::from(last)];
        let granule = (i + 1) * 22_050;
        file.extend(page(u8::from(continued), granule, 1, &lacing, &body));
    }
    (file, sound)
}

/// A stream of Vorbis behind the first page of another stream, whose pages lie between its own.
pub(super) fn ogg_behind(other: &[u8], pages: u64) -> Vec<u8> {
    let (file, starts) = ogg(b"\x01vorbis", pages, 1);
    let foreign =
        |flags, granule| page(flags, granule, 9, &[50], &[other, &[0; 50]].concat()[..50]);
    let first = 27 + 1 + 30;
    let mut mixed = [&foreign(2, 0)[..], &file[..first], &foreign(0, 0)].concat();
    mixed.extend(&file[first..starts[0] as usize]);
    mixed.extend(foreign(0, 0));
    for (i, from) in starts.iter().enumerate() {
        let to = starts.get(i + 1).map_or(file.len(), |to| *to as usize);
        mixed.extend(&file[*from as usize..to]);
        if i % 5 == 0 {
            mixed.extend(foreign(0, i as u64));
        }
    }
    mixed
}

/// FLAC in Ogg: pages of half a second at 44.1 kHz.
pub(super) fn ogg_flac(pages: u64) -> Vec<u8> {
    let (native, _) = flac(1, false);
    let first = [b"\x7fFLAC\x01\0\0\x01", &native[..42]].concat();
    let mut file = page(2, 0, 5, &[51], &first);
    file.extend(page(
        0,
        0,
        5,
        &[20],
        &[&[0x84, 0, 0, 16][..], &[0; 16]].concat(),
    ));
    for i in 0..pages {
        file.extend(page(0, (i + 1) * 22_050, 5, &[90], &[i as u8; 90]));
    }
    file
}

fn page(flags: u8, granule: u64, serial: u32, lacing: &[u8], body: &[u8]) -> Vec<u8> {
    let mut page = vec![b'O', b'g', b'g', b'S', 0, flags];
    page.extend(granule.to_le_bytes());
    page.extend(serial.to_le_bytes());
    page.extend([0; 8]);
    page.push(lacing.len() as u8);
    page.extend(lacing);
    page.extend(body);
    page
}

/// Samples of 1024 ticks in chunks of ten, and where the first lies.
pub(super) fn mp4(samples: u32, index_in_front: bool, codec: &[u8; 4]) -> (Vec<u8>, u64) {
    let ftyp = atom(b"ftyp", &[b"M4A \0\0\0\0"]);
    let sound: Vec<u8> = (0..samples).flat_map(|i| vec![i as u8; size(i)]).collect();
    let mdat = atom(b"mdat", &[&sound]);
    let at = match index_in_front {
        true => ftyp.len() + moov(samples, 0, codec).len() + 8,
        false => ftyp.len() + 8,
    };
    let moov = moov(samples, at as u32, codec);
    let file = match index_in_front {
        true => [ftyp, moov, mdat].concat(),
        false => [ftyp, mdat, moov].concat(),
    };
    (file, at as u64)
}

fn size(sample: u32) -> usize {
    100 + sample as usize % 7
}

fn moov(samples: u32, at: u32, codec: &[u8; 4]) -> Vec<u8> {
    let sizes: Vec<u8> = (0..samples)
        .flat_map(|i| (size(i) as u32).to_be_bytes())
        .collect();
    let before = |sample: u32| (0..sample).map(|i| size(i) as u32).sum::<u32>();
    let chunks: Vec<u8> = (0..samples.div_ceil(10))
        .flat_map(|chunk| (at + before(chunk * 10)).to_be_bytes())
        .collect();
    let mut entry = vec![0; 28];
    entry[7] = 1;
    entry[17] = 2;
    entry[19] = 16;
    entry[24..26].copy_from_slice(&44_100u16.to_be_bytes());
    let stbl = atom(
        b"stbl",
        &[
            &atom(
                b"stsd",
                &[&[0, 0, 0, 0, 0, 0, 0, 1], &atom(codec, &[&entry])],
            ),
            &atom(b"stts", &[&numbers(&[0, 1, samples, 1024])]),
            &atom(b"stsc", &[&numbers(&[0, 1, 1, 10, 1])]),
            &atom(b"stsz", &[&numbers(&[0, 0, samples]), &sizes]),
            &atom(b"stco", &[&numbers(&[0, samples.div_ceil(10)]), &chunks]),
        ],
    );
    let mdia = atom(
        b"mdia",
        &[
            &atom(b"mdhd", &[&numbers(&[0, 0, 0, 44_100, samples * 1024, 0])]),
            &atom(b"hdlr", &[&numbers(&[0, 0]), b"soun", &[0; 12]]),
            &atom(b"minf", &[&stbl]),
        ],
    );
    let tkhd = atom(b"tkhd", &[&numbers(&[0, 0, 0, 1, 0, samples, 0])]);
    let mvhd = atom(b"mvhd", &[&numbers(&[0, 0, 0, 1000, samples, 0])]);
    atom(b"moov", &[&mvhd, &atom(b"trak", &[&tkhd, &mdia])])
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

fn atom(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = body.len() as u32 + 8;
    [&length.to_be_bytes(), &kind[..], &body].concat()
}

/// 16-bit samples of a few tones and some noise, through hound.
pub(super) fn wav(rate: u32, channels: u16, frames: u32) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).expect("a plain format");
    for i in 0..frames * u32::from(channels) {
        let noise = i.wrapping_mul(2_654_435_761) >> 22;
        let tone = (f64::from(i) * 0.031).sin() * 9_000.0;
        let sample = tone as i16 + noise as i16;
        writer.write_sample(sample).expect("memory is writable");
    }
    writer.finalize().expect("memory is writable");
    file.into_inner()
}

/// A file that is never in memory: a beginning, and then one block again and again.
pub(super) struct Endless {
    begin: Vec<u8>,
    block: Vec<u8>,
    blocks: u64,
    at: u64,
    pub(super) read: u64,
    pub(super) largest_read: usize,
}

impl Endless {
    fn new(begin: Vec<u8>, block: Vec<u8>, blocks: u64) -> Self {
        Endless {
            begin,
            block,
            blocks,
            at: 0,
            read: 0,
            largest_read: 0,
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.begin.len() as u64 + self.block.len() as u64 * self.blocks
    }
}

/// So many seconds of 128 kbit/s.
pub(super) fn long_mp3(seconds: u64) -> Endless {
    let frames = seconds * 44_100 / 1152 + 1;
    Endless::new(id3v2(1000), mp3_frame(1), frames)
}

/// So many seconds of CD sound.
pub(super) fn long_wav(seconds: u64) -> Endless {
    let mut header = wav(44_100, 2, 0);
    let bytes = seconds as u32 * 176_400;
    header[40..44].copy_from_slice(&bytes.to_le_bytes());
    Endless::new(header, vec![1; 176_400], seconds)
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.largest_read = self.largest_read.max(buffer.len());
        let left = self.length().saturating_sub(self.at);
        let begin = self.begin.len() as u64;
        let source = match self.begin.get(self.at as usize..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => &self.block[((self.at - begin) % self.block.len() as u64) as usize..],
        };
        let n = buffer.len().min(source.len()).min(left as usize);
        buffer[..n].copy_from_slice(&source[..n]);
        self.at += n as u64;
        self.read += n as u64;
        Ok(n)
    }
}

impl Seek for Endless {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.length().saturating_add_signed(by),
            SeekFrom::Current(by) => self.at.saturating_add_signed(by),
        };
        Ok(self.at)
    }
}
