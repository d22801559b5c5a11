//! How a fuzzer's bytes are read: a few that turn dials, and the rest. Knows nothing of what is tested.

/// Small, reproducible random numbers (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        // Any state but 0 will do, and small seeds shall differ from the first number on.
        let mut random = Self((seed ^ 0x9e37_79b9_7f4a_7c15).max(1));
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    /// A number below `bound`, which is positive and below 2^32.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).expect("32 bits fit") % bound
    }

    /// Whether one of `sides` equal chances came.
    pub fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }
}

/// The dials at the start of an input. Changing one leaves the bytes that are delivered as they are.
#[derive(Clone, Copy, Debug)]
pub struct Dials {
    /// Eight switches, different ones for each target.
    pub switches: u8,
    /// Decides where bytes are cut, and when what happens.
    pub seed: u16,
}

impl Dials {
    /// Bytes that they take.
    pub const BYTES: usize = 3;

    /// The dials and the rest of an input, if it has any.
    pub fn split(data: &[u8]) -> Option<(Self, &[u8])> {
        let (&[switches, low, high], rest) = data.split_first_chunk()?;
        Some((Self { switches, seed: u16::from_le_bytes([low, high]) }, rest))
    }

    /// Whether a switch is on.
    pub fn on(&self, switch: u8) -> bool {
        self.switches & 1 << switch != 0
    }

    /// The input that these dials and `rest` are.
    pub fn join(&self, rest: &[u8]) -> Vec<u8> {
        let [low, high] = self.seed.to_le_bytes();
        let mut data = vec![self.switches, low, high];
        data.extend_from_slice(rest);
        data
    }
}

/// Lets a small input stand for a large one: `FF n b` becomes n² times the byte `b`.
pub fn expanded(bytes: &[u8]) -> Vec<u8> {
    let mut large = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        if let (0xff, [times, byte, tail @ ..]) = (first, after) {
            large.extend(std::iter::repeat_n(*byte, usize::from(*times).pow(2)));
            rest = tail;
        } else {
            large.push(first);
            rest = after;
        }
    }
    large
}

/// Cuts bytes into pieces of at most `longest`, none empty: many of them short, unless there are very many bytes.
pub fn pieces<'a>(bytes: &'a [u8], longest: usize, random: &mut Random) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    let scale = 1 + bytes.len() / 4096;
    while !rest.is_empty() {
        let bound = *random.pick(&[1, 2, 4, 16, 64, 700, longest]) * scale;
        let (piece, after) = rest.split_at((1 + random.below(bound.min(longest))).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
