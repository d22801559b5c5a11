//! The bytes of an RDB file: counted, summed up, and read as numbers, lengths and strings.

use std::io::Read;

use super::lzf;

/// What is wrong with the bytes that were read last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

const TRUNCATED: Malformed = Malformed("it ends too early");
const UNKNOWN_LENGTH: Malformed = Malformed("a length in an unknown form");

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Bytes that a compressed byte stands for at most: three of them repeat 264.
const MOST_EXPANSION: u64 = 264 / 3 + 1;

/// Strings that are not the bytes that follow.
enum Encoded {
    Bytes(u64),
    Integer(i32),
    Compressed { bytes: u64, whole: u64 },
}

/// A file under way. `summed <= at <= buffer.len()`, and `position <= total`.
pub struct Input<'r> {
    source: &'r mut dyn Read,
    buffer: Vec<u8>,
    at: usize,
    /// The checksum covers the buffer up to here.
    summed: usize,
    sum: u64,
    /// Bytes before the buffer.
    before: u64,
    total: u64,
    /// Compressed bytes on their way.
    compressed: Vec<u8>,
}

impl<'r> Input<'r> {
    /// Bytes of a source that has `total` of them.
    pub fn of(source: &'r mut dyn Read, total: u64) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            at: 0,
            summed: 0,
            sum: 0,
            before: 0,
            total,
            compressed: Vec::new(),
        }
    }

    /// Bytes that were read.
    pub(super) fn position(&self) -> u64 {
        self.before + self.at as u64
    }

    /// Bytes that are still to come.
    pub(super) fn left(&self) -> u64 {
        self.total - self.position()
    }

    /// The checksum of all that was read (CRC-64 of Jones, reflected, as in `crc64.c` of Redis).
    pub(super) fn checksum(&mut self) -> u64 {
        for &byte in &self.buffer[self.summed..self.at] {
            self.sum = TABLE[usize::from(self.sum.to_le_bytes()[0] ^ byte)] ^ self.sum >> 8;
        }
        self.summed = self.at;
        self.sum
    }

    /// What is in the buffer, a byte at least.
    fn buffered(&mut self) -> Result<&[u8], Malformed> {
        if self.at == self.buffer.len() {
            if self.left() == 0 {
                return Err(TRUNCATED);
            }
            self.checksum();
            self.before += self.at as u64;
            (self.at, self.summed) = (0, 0);
            let most =
                usize::try_from(self.total - self.before).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
            self.buffer.resize(most, 0);
            let read = loop {
                match self.source.read(&mut self.buffer) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => {
                        self.buffer.clear();
                        return Err(Malformed("it cannot be read"));
                    }
                    Ok(read) => break read,
                }
            };
            self.buffer.truncate(read);
            if read == 0 {
                return Err(TRUNCATED);
            }
        }
        Ok(&self.buffer[self.at..])
    }

    /// Shows so many bytes, a piece at a time.
    fn pieces(&mut self, count: u64, mut show: impl FnMut(&[u8])) -> Result<(), Malformed> {
        if count > self.left() {
            return Err(TRUNCATED);
        }
        let mut left = count;
        while left > 0 {
            let piece = self.buffered()?;
            let len = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
            show(&piece[..len]);
            self.at += len;
            left -= len as u64;
        }
        Ok(())
    }

    /// Passes over so many bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), Malformed> {
        self.pieces(count, |_| ())
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = self.buffered()?[0];
        self.at += 1;
        Ok(byte)
    }

    /// The next bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        let mut filled = 0;
        self.pieces(N as u64, |piece| {
            array[filled..][..piece.len()].copy_from_slice(piece);
            filled += piece.len();
        })?;
        Ok(array)
    }

    /// A length, a number of things, or another number that is not negative.
    pub(super) fn length(&mut self) -> Result<u64, Malformed> {
        let first = self.byte()?;
        self.plain_length(first)?.ok_or(Malformed("a string where a length belongs"))
    }

    /// The length that a byte begins. `None`: it begins a string that is not the bytes that follow.
    fn plain_length(&mut self, first: u8) -> Result<Option<u64>, Malformed> {
        Ok(Some(match (first >> 6, first & 0x3f) {
            (0, low) => low.into(),
            (1, high) => u64::from(high) << 8 | u64::from(self.byte()?),
            (2, 0) => u32::from_be_bytes(self.array()?).into(),
            (2, 1) => u64::from_be_bytes(self.array()?),
            (3, _) => return Ok(None),
            _ => return Err(UNKNOWN_LENGTH),
        }))
    }

    fn encoded(&mut self) -> Result<Encoded, Malformed> {
        let first = self.byte()?;
        if let Some(length) = self.plain_length(first)? {
            return Ok(Encoded::Bytes(length));
        }
        Ok(match first & 0x3f {
            0 => Encoded::Integer(i8::from_le_bytes(self.array()?).into()),
            1 => Encoded::Integer(i16::from_le_bytes(self.array()?).into()),
            2 => Encoded::Integer(i32::from_le_bytes(self.array()?)),
            // Two lengths, of which neither is such a string again.
            3 => Encoded::Compressed { bytes: self.length()?, whole: self.length()? },
            _ => return Err(UNKNOWN_LENGTH),
        })
    }

    /// Appends a string to `out`. False: it is longer than `most` and was passed over.
    pub(super) fn string(&mut self, out: &mut Vec<u8>, most: usize) -> Result<bool, Malformed> {
        match self.encoded()? {
            Encoded::Integer(number) => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
            Encoded::Bytes(length) if length > most as u64 => {
                self.skip(length)?;
                return Ok(false);
            }
            Encoded::Bytes(length) => self.pieces(length, |piece| out.extend_from_slice(piece))?,
            Encoded::Compressed { bytes, whole } if whole > most as u64 => {
                self.skip(bytes)?;
                return Ok(false);
            }
            Encoded::Compressed { bytes, whole } => {
                if whole > bytes.saturating_mul(MOST_EXPANSION) {
                    return Err(Malformed("a compressed string that tells a length it cannot have"));
                }
                let mut compressed = std::mem::take(&mut self.compressed);
                compressed.clear();
                self.pieces(bytes, |piece| compressed.extend_from_slice(piece))?;
                let whole = usize::try_from(whole).map_err(|_| TRUNCATED)?;
                lzf::expand(&compressed, whole, out)
                    .ok_or(Malformed("a compressed string that is broken"))?;
                self.compressed = compressed;
            }
        }
        Ok(true)
    }

    /// Passes over a string.
    pub(super) fn skip_string(&mut self) -> Result<(), Malformed> {
        match self.encoded()? {
            Encoded::Integer(_) => Ok(()),
            Encoded::Bytes(bytes) | Encoded::Compressed { bytes, .. } => self.skip(bytes),
        }
    }
}

const TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut sum = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0x95ac_9329_ac4b_c9b5 } else { 0 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::Input;

    #[test]
    fn the_checksum_is_that_of_redis() {
        // From the self-test of `crc64.c`.
        let mut bytes: &[u8] = b"123456789";
        let mut input = Input::of(&mut bytes, 9);
        input.skip(9).unwrap();
        assert_eq!(input.checksum(), 0xe9c6_d914_c4b8_d9ca);
    }
}
