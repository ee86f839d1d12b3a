//! Files with tags, made by code: right where a case does not make them wrong.

pub(super) fn mp3_frames() -> Vec<u8> {
    let mut frame = vec![0xff, 0xfb, 0x90, 0x00];
    frame.resize(417, 0);
    frame.repeat(10)
}

/// An ID3v2.3 or ID3v2.4 tag of whole frames.
pub(super) fn id3(version: u8, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for frame in frames {
        let mut frame = frame.clone();
        // Frames are made with plain sizes, and sizes below 128 are the same in both versions.
        let size = u32::from_be_bytes(frame[4..8].try_into().expect("a header"));
        if version == 4 && size as usize == frame.len() - 10 {
            frame[4..8].copy_from_slice(&syncsafe(size as usize));
        }
        body.extend(frame);
    }
    [
        &[b'I', b'D', b'3', version, 0, 0][..],
        &syncsafe(body.len()),
        &body,
    ]
    .concat()
}

pub(super) fn id3v22(frames: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (id, text) in frames {
        body.extend(id.as_bytes());
        body.extend(&(text.len() as u32).to_be_bytes()[1..]);
        body.extend(*text);
    }
    [&b"ID3\x02\0\0"[..], &syncsafe(body.len()), &body].concat()
}

pub(super) fn frame(id: &str, body: &[u8]) -> Vec<u8> {
    sized(id, body.len() as u32, body)
}

/// A frame whose size says something else than it has.
pub(super) fn sized(id: &str, size: u32, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), &size.to_be_bytes(), &[0, 0], body].concat()
}

/// A frame whose second byte of flags is `flags`.
pub(super) fn flagged(id: &str, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = frame(id, body);
    frame[9] = flags;
    frame
}

pub(super) fn utf8(id: &str, text: &str) -> Vec<u8> {
    frame(id, &[b"\x03", text.as_bytes()].concat())
}

/// The body of a text frame in UTF-16.
pub(super) fn utf16(text: &str) -> Vec<u8> {
    let mut body = b"\x01\xff\xfe".to_vec();
    body.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    body
}

pub(super) fn utf16_frame(id: &str, text: &str) -> Vec<u8> {
    frame(id, &utf16(text))
}

/// A tag of which every byte behind the header is coded so that no frame of MP3 begins in it.
pub(super) fn unsynchronised(version: u8, frames: &[Vec<u8>]) -> Vec<u8> {
    let body = stuffed(&frames.concat());
    [
        &[b'I', b'D', b'3', version, 0, 0x80][..],
        &syncsafe(body.len()),
        &body,
    ]
    .concat()
}

pub(super) fn stuffed(bytes: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    for (i, byte) in bytes.iter().enumerate() {
        coded.push(*byte);
        let next = bytes.get(i + 1).copied().unwrap_or(0);
        if *byte == 0xff && (next >= 0xe0 || next == 0) {
            coded.push(0);
        }
    }
    coded
}

pub(super) fn syncsafe(n: usize) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (n >> shift & 0x7f) as u8)
}

/// Latin-1, a track of 7.
pub(super) fn id3v1(title: &str, artist: &str, album: &str, year: &str, genre: u8) -> Vec<u8> {
    let mut tag = b"TAG".to_vec();
    for (text, width) in [(title, 30), (artist, 30), (album, 30), (year, 4), ("", 28)] {
        let mut bytes: Vec<u8> = text.chars().map(|c| c as u8).collect();
        bytes.resize(width, 0);
        tag.extend(bytes);
    }
    tag.extend([0, 7, genre]);
    tag
}

/// An APEv2 tag with header and footer.
pub(super) fn ape(items: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in items {
        body.extend((value.len() as u32).to_le_bytes());
        body.extend([0; 4]);
        body.extend(key.as_bytes());
        body.push(0);
        body.extend(*value);
    }
    let ends = |flags: u32| {
        let size = (body.len() as u32 + 32).to_le_bytes();
        let count = (items.len() as u32).to_le_bytes();
        [
            &b"APETAGEX\xd0\x07\0\0"[..],
            &size,
            &count,
            &flags.to_le_bytes(),
            &[0; 8],
        ]
        .concat()
    };
    [ends(0xa000_0000), body.clone(), ends(0x8000_0000)].concat()
}

/// Comments as Vorbis, Opus and FLAC keep them; the count lies at 11.
pub(super) fn comment(comments: &[&str]) -> Vec<u8> {
    let mut body = b"\x07\0\0\0encoder".to_vec();
    body.extend((comments.len() as u32).to_le_bytes());
    for comment in comments {
        body.extend((comment.len() as u32).to_le_bytes());
        body.extend(comment.as_bytes());
    }
    body
}

/// A FLAC file of metadata blocks and no sound.
pub(super) fn flac(blocks: &[(u8, &[u8])]) -> Vec<u8> {
    let mut file = b"fLaC\0\0\0\x22".to_vec();
    file.extend([16, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0xc4, 0x42, 0xf0]);
    file.resize(42, 0);
    for (i, (kind, body)) in blocks.iter().enumerate() {
        let last = if i + 1 == blocks.len() { 0x80 } else { 0 };
        file.push(kind | last);
        file.extend(&(body.len() as u32).to_be_bytes()[1..]);
        file.extend(*body);
    }
    file
}

pub(super) fn picture_block(kind: u32, image: &[u8]) -> Vec<u8> {
    [
        &kind.to_be_bytes()[..],
        b"\0\0\0\x09image/png\0\0\0\x02ab",
        &[0; 16],
        &(image.len() as u32).to_be_bytes(),
        image,
    ]
    .concat()
}

/// An image by its first bytes.
pub(super) fn image(bytes: usize) -> Vec<u8> {
    let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
    image.extend((image.len()..bytes).map(|i| (i * 7 + i / 250) as u8));
    image
}

pub(super) fn base64(bytes: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..group.len()].copy_from_slice(group);
        let [a, b, c] = three;
        let bits = u32::from_be_bytes([0, a, b, c]);
        for (i, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = digits[(bits >> shift & 63) as usize] as char;
            text.push(if i <= group.len() { digit } else { '=' });
        }
    }
    text
}

/// An Ogg stream of its header packets.
pub(super) fn ogg(first: &[u8], magic: &[u8], comments: &[u8]) -> Vec<u8> {
    let mut begin = first.to_vec();
    begin.extend([1, 2, 0, 0, 2, 0x44, 0xac, 0, 0]);
    begin.resize(30, 0);
    let comments = [magic, comments, &[1]].concat();
    let mut file = pages(2, &begin);
    file.extend(pages(0, &comments));
    file.extend(pages(0, &[5; 40]));
    file
}

/// A packet in as many pages as it takes.
fn pages(flags: u8, packet: &[u8]) -> Vec<u8> {
    let mut lacing: Vec<u8> = vec![255; packet.len() / 255];
    lacing.push((packet.len() % 255) as u8);
    let mut bytes = Vec::new();
    for (i, (lacing, body)) in lacing.chunks(255).zip(packet.chunks(255 * 255)).enumerate() {
        bytes.extend(b"OggS\0");
        bytes.push(if i == 0 { flags } else { 1 });
        bytes.extend([0; 8]);
        bytes.extend([7, 0, 0, 0]);
        bytes.extend([0; 8]);
        bytes.push(lacing.len() as u8);
        bytes.extend(lacing);
        bytes.extend(body);
    }
    bytes
}

/// An M4A file of an index with these items and no sound.
pub(super) fn mp4(items: &[Vec<u8>]) -> Vec<u8> {
    let hdlr = atom(b"hdlr", b"\0\0\0\0\0\0\0\0mdirappl\0\0\0\0\0\0\0\0\0");
    let meta = [&[0; 4][..], &hdlr, &atom(b"ilst", &items.concat())].concat();
    let moov = atom(b"moov", &atom(b"udta", &atom(b"meta", &meta)));
    [
        atom(b"ftyp", b"M4A \0\0\0\0"),
        atom(b"mdat", &[1; 50]),
        moov,
    ]
    .concat()
}

pub(super) fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), &kind[..], body].concat()
}

/// A value of an item: 1 is UTF-8, 14 is PNG, 0 is numbers.
pub(super) fn data(kind: u32, value: &[u8]) -> Vec<u8> {
    atom(b"data", &[&kind.to_be_bytes()[..], &[0; 4], value].concat())
}

pub(super) fn text_item(kind: &[u8; 4], text: &str) -> Vec<u8> {
    atom(kind, &data(1, text.as_bytes()))
}

/// A WAV file with items of INFO behind its samples.
pub(super) fn wave(items: &[(&str, &[u8])]) -> Vec<u8> {
    let mut info = b"INFO".to_vec();
    for (id, value) in items {
        info.extend(id.as_bytes());
        info.extend((value.len() as u32).to_le_bytes());
        info.extend(*value);
        info.extend(vec![0; value.len() % 2]);
    }
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
    file.extend([1, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x80, 0x3e, 0, 0, 2, 0, 16, 0]);
    file.extend(b"data\x08\0\0\0abcdefghLIST");
    file.extend((info.len() as u32).to_le_bytes());
    file.extend(info);
    let riff = file.len() as u32 - 8;
    file[4..8].copy_from_slice(&riff.to_le_bytes());
    file
}

/// Bytes as zlib keeps them without compression.
pub(super) fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u16;
    let head = [
        &[0x78, 0x01, 1][..],
        &length.to_le_bytes(),
        &(!length).to_le_bytes(),
    ];
    [&head.concat(), bytes, &[0; 4]].concat()
}

/// Twenty times "Compressed ", packed by zlib with the codes of the standard.
pub(super) const FIXED_CODES: &[u8] = &[
    0x78, 0x01, 0x63, 0x76, 0xce, 0xcf, 0x2d, 0x28, 0x4a, 0x2d, 0x2e, 0x4e, 0x4d, 0x51, 0x18, 0x76,
    0x4c, 0x00, 0x69, 0x8a, 0x54, 0x28,
];

/// Words without sense, packed by zlib with codes of their own.
pub(super) const OWN_CODES: &[u8] = &[
    0x78, 0xda, 0x4d, 0x51, 0x4b, 0x0a, 0xc4, 0x30, 0x08, 0x5d, 0xcc, 0x45, 0xbc, 0x9a, 0xa0, 0xa0,
    0x20, 0x0a, 0x1a, 0xef, 0x3f, 0xb6, 0xd3, 0x64, 0xba, 0x09, 0x21, 0x3e, 0xdf, 0x2f, 0x1f, 0xa5,
    0x34, 0x6d, 0x0e, 0x50, 0x07, 0x37, 0x15, 0x4d, 0x90, 0x00, 0xf6, 0xb9, 0xa1, 0x30, 0x9c, 0xb1,
    0x91, 0xc0, 0xd2, 0x4c, 0x27, 0x50, 0xc6, 0x62, 0x88, 0x34, 0x0b, 0xec, 0x0b, 0xed, 0x58, 0x45,
    0x06, 0xa5, 0xec, 0x05, 0xe8, 0xda, 0xb9, 0x74, 0x50, 0xb5, 0xc2, 0x13, 0x5c, 0xcd, 0xbb, 0x1c,
    0xda, 0xaf, 0xa9, 0x60, 0xf3, 0x22, 0x20, 0x19, 0xfc, 0x46, 0xd4, 0xea, 0x74, 0x7e, 0xa9, 0xe7,
    0xc8, 0x2c, 0x07, 0x8e, 0xa6, 0xf1, 0x61, 0x80, 0x6c, 0x2c, 0x1e, 0x38, 0xb3, 0xe4, 0xed, 0x82,
    0x28, 0xd1, 0x6d, 0xdc, 0xf4, 0x6a, 0xeb, 0x42, 0xda, 0xfa, 0x6b, 0xa4, 0xba, 0x2d, 0x81, 0x62,
    0x05, 0xb4, 0xb8, 0x6f, 0xc2, 0x7b, 0x3d, 0x53, 0x43, 0x38, 0x44, 0x01, 0x91, 0x39, 0x02, 0x51,
    0xef, 0x70, 0xf7, 0x70, 0x9b, 0x15, 0x69, 0xdc, 0x34, 0xa2, 0x2a, 0x35, 0xac, 0x82, 0x48, 0x35,
    0xc0, 0x5a, 0xe7, 0xe9, 0xb4, 0x93, 0x18, 0xb3, 0xe4, 0x65, 0xb4, 0x28, 0x9e, 0xa8, 0x61, 0x68,
    0x57, 0x9a, 0x29, 0x16, 0x89, 0xb4, 0x27, 0xdd, 0x4b, 0xbc, 0x6a, 0x4e, 0xe9, 0x02, 0xab, 0x85,
    0x77, 0xf9, 0xc8, 0x35, 0x95, 0xd3, 0xcf, 0xc8, 0xd9, 0x78, 0xca, 0xb9, 0x0d, 0xfd, 0x8a, 0xdf,
    0xb5, 0x3d, 0xa1, 0x0e, 0xd1, 0xf3, 0x0b, 0x1d, 0xe7, 0x0b, 0xce, 0x68, 0x27, 0xd9, 0x06, 0x77,
    0x94, 0x93, 0xe3, 0x74, 0xb8, 0xc9, 0xe5, 0x0f, 0x52, 0x7f, 0x77, 0xf6, 0x50, 0xa3, 0x8e, 0x34,
    0x11, 0x93, 0xf5, 0x05, 0xf8, 0x47, 0xbf, 0xea, 0x9e, 0x3a, 0xbf, 0x0e, 0xf8, 0xe2, 0x3a,
];
