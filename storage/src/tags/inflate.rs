//! Deflate (RFC 1951) inside zlib (RFC 1950), as compressed frames of ID3v2 use it.
//!
//! Slow and small: codes are read bit by bit. Checksums are not looked at.

/// The bytes that `zlib` holds; none if it is damaged, or holds more than `room`. What was written,
/// for nothing or not, is taken off the room.
pub(super) fn inflate(zlib: &[u8], room: &mut usize) -> Option<Vec<u8>> {
    let [method, flags, data @ ..] = zlib else {
        return None;
    };
    if method & 15 != 8 || flags & 0x20 != 0 {
        return None;
    }
    let mut inflate = Inflate {
        data,
        bit: 0,
        out: Vec::new(),
        room: *room,
    };
    let whole = inflate.all();
    *room = inflate.room;
    whole.map(|()| inflate.out)
}

struct Inflate<'d> {
    data: &'d [u8],
    /// Bits that have been read.
    bit: usize,
    out: Vec<u8>,
    /// Bytes that may still be written.
    room: usize,
}

impl Inflate<'_> {
    fn all(&mut self) -> Option<()> {
        while !self.block()? {}
        Some(())
    }

    /// Reads one block; whether it was the last.
    fn block(&mut self) -> Option<bool> {
        // Blocks that hold nothing would cost no room otherwise.
        self.room = self.room.checked_sub(BLOCK_COST)?;
        let last = self.bits(1)? == 1;
        match self.bits(2)? {
            0 => self.stored()?,
            1 => self.coded(&Codes::fixed_lengths(), &Codes::new(&[5; 30]))?,
            2 => {
                let (lengths, distances) = self.own_codes()?;
                self.coded(&lengths, &distances)?;
            }
            _ => return None,
        }
        Some(last)
    }

    /// So many bits as a number, the first bit the lowest.
    fn bits(&mut self, count: usize) -> Option<usize> {
        let mut number = 0;
        for i in 0..count {
            let byte = self.data.get(self.bit / 8)?;
            number |= usize::from(byte >> (self.bit % 8) & 1) << i;
            self.bit += 1;
        }
        Some(number)
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        self.room = self.room.checked_sub(1)?;
        self.out.push(byte);
        Some(())
    }

    fn stored(&mut self) -> Option<()> {
        self.bit = self.bit.next_multiple_of(8);
        let (length, complement) = (self.bits(16)?, self.bits(16)?);
        if length ^ complement != 0xffff {
            return None;
        }
        let at = self.bit / 8;
        let bytes = self.data.get(at..at + length)?;
        for byte in bytes {
            self.push(*byte)?;
        }
        self.bit += length * 8;
        Some(())
    }

    fn coded(&mut self, lengths: &Codes, distances: &Codes) -> Option<()> {
        loop {
            let symbol = lengths.read(self)?;
            match symbol {
                0..256 => self.push(symbol as u8)?,
                256 => return Some(()),
                _ => {
                    let (base, extra) = *LENGTHS.get(symbol - 257)?;
                    let length = base + self.bits(extra)?;
                    let (base, extra) = *DISTANCES.get(distances.read(self)?)?;
                    let distance = base + self.bits(extra)?;
                    let from = self.out.len().checked_sub(distance)?;
                    for i in 0..length {
                        self.push(self.out[from + i])?;
                    }
                }
            }
        }
    }

    /// The codes that stand in front of a block.
    fn own_codes(&mut self) -> Option<(Codes, Codes)> {
        let (lengths, distances) = (self.bits(5)? + 257, self.bits(5)? + 1);
        let count = self.bits(4)? + 4;
        let mut widths = [0; 19];
        for place in WIDTH_ORDER.iter().take(count) {
            widths[*place] = self.bits(3)? as u8;
        }
        let codes = Codes::new(&widths);
        let mut widths = Vec::with_capacity(lengths + distances);
        while widths.len() < lengths + distances {
            let (width, times) = match codes.read(self)? {
                16 => (*widths.last()?, 3 + self.bits(2)?),
                17 => (0, 3 + self.bits(3)?),
                18 => (0, 11 + self.bits(7)?),
                width => (width as u8, 1),
            };
            widths.extend(std::iter::repeat_n(width, times));
        }
        let distances = widths.get(lengths..lengths + distances)?;
        Some((Codes::new(&widths[..lengths]), Codes::new(distances)))
    }
}

/// Canonical prefix codes.
struct Codes {
    /// How many codes have each width.
    counts: [usize; 16],
    /// Symbols in the order of their codes.
    symbols: Vec<usize>,
}

impl Codes {
    fn new(widths: &[u8]) -> Self {
        let mut counts = [0; 16];
        let mut symbols: Vec<usize> = (0..widths.len()).filter(|s| widths[*s] > 0).collect();
        symbols.sort_by_key(|symbol| widths[*symbol]);
        for symbol in &symbols {
            counts[usize::from(widths[*symbol] & 15)] += 1;
        }
        Codes { counts, symbols }
    }

    fn fixed_lengths() -> Self {
        let mut widths = [8; 288];
        widths[144..256].fill(9);
        widths[256..280].fill(7);
        Codes::new(&widths)
    }

    fn read(&self, from: &mut Inflate<'_>) -> Option<usize> {
        // The code so far, the first code of its width, and how many symbols have shorter codes.
        let (mut code, mut first, mut shorter) = (0usize, 0usize, 0);
        for count in &self.counts[1..] {
            code |= from.bits(1)?;
            if code < first + count {
                return self
                    .symbols
                    .get(shorter + code.checked_sub(first)?)
                    .copied();
            }
            shorter += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

/// Bytes that every block counts as, besides what it holds.
const BLOCK_COST: usize = 64;

/// Base and bits that are added, of the lengths from symbol 257 on.
const LENGTHS: [(usize, usize); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// Base and bits that are added, of the distances.
const DISTANCES: [(usize, usize); 30] = [
    (1, 0),
    (2, 0),
    (3, 0),
    (4, 0),
    (5, 1),
    (7, 1),
    (9, 2),
    (13, 2),
    (17, 3),
    (25, 3),
    (33, 4),
    (49, 4),
    (65, 5),
    (97, 5),
    (129, 6),
    (193, 6),
    (257, 7),
    (385, 7),
    (513, 8),
    (769, 8),
    (1025, 9),
    (1537, 9),
    (2049, 10),
    (3073, 10),
    (4097, 11),
    (6145, 11),
    (8193, 12),
    (12289, 12),
    (16385, 13),
    (24577, 13),
];

/// In which order the widths of the widths' codes stand.
const WIDTH_ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];
