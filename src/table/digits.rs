//! Decimal numbers in keys: where they stand, and what they are. By words of eight bytes, as this is done for every key.
#![expect(clippy::cast_possible_truncation, reason = "what is cut off is zero")]

/// Most digits of an id: 10^19 - 1 fits 64 bits.
const ID_DIGITS: usize = 19;

/// A run of digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Run {
    /// The last run among the digits of a key, see [`digits_of`].
    pub(super) fn of(bits: u64) -> Option<Self> {
        let end = 64 - bits.leading_zeros() as usize;
        if end == 0 {
            return None;
        }
        // The run's last digit at the top, so that the ones from there on are the run.
        let ones = (bits << (64 - end)).leading_ones() as usize;
        Some(Self { start: end - ones, end })
    }

    /// The bits below the run.
    pub(super) fn below(self, bits: u64) -> u64 {
        bits & ((1 << self.start) - 1)
    }

    /// Whether it is short enough to be an id.
    pub(super) fn is_id(self) -> bool {
        self.end - self.start <= ID_DIGITS
    }

    /// Digits of an id with leading zeros, 0 where there are none: what is printed with as many digits is the same.
    pub(super) fn width(self, key: &[u8]) -> u8 {
        let digits = self.end - self.start;
        if digits > 1 && key[self.start] == b'0' { digits as u8 } else { 0 }
    }
}

/// A bit for each byte that is a digit, the first byte's the lowest. At most 64 bytes.
#[inline]
pub(super) fn digits_of(key: &[u8]) -> u64 {
    let (words, rest) = key.as_chunks::<8>();
    let mut bits = 0;
    let mut shift = 0;
    for word in words {
        bits |= digits_of_word(u64::from_le_bytes(*word)) << shift;
        shift += 8;
    }
    if !rest.is_empty() {
        let word = match key.last_chunk::<8>() {
            // The last eight bytes, those before the rest shifted out: no copy of variable length.
            Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
            None => rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        };
        bits |= digits_of_word(word) << shift;
    }
    bits
}

/// A bit for each byte of a word that is a digit.
#[inline]
fn digits_of_word(word: u64) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let offset = word ^ (LOW * 0x30);
    // The high bit of a byte is set where the byte, less '0', is above 9: without carries between bytes.
    let above = ((offset & (LOW * 0x7F)) + LOW * 0x76) | offset;
    let digit = (!above >> 7) & LOW;
    // Gathers the lowest bits of the eight bytes in the topmost byte.
    digit.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// The number that a run of at most 19 digits is.
#[inline]
pub(super) fn decimal(key: &[u8], run: Run) -> u64 {
    let mut end = run.end;
    let mut number = 0;
    let mut scale = 1;
    // Eight digits at a time, from the last one on, where there are eight bytes to load.
    while end > run.start
        && let Some(word) = key[..end].last_chunk::<8>()
    {
        let digits = (end - run.start).min(8);
        number += eight_digits(u64::from_le_bytes(*word), digits) * scale;
        // After the last digits, where it may overflow, it is not used.
        scale = 100_000_000_u64.wrapping_mul(scale);
        end -= digits;
    }
    for (&byte, power) in key[run.start..end].iter().rev().zip(0..) {
        number += u64::from(byte - b'0') * scale * 10_u64.pow(power);
    }
    number
}

/// The number in the last `digits` bytes, if they are digits.
#[inline]
pub(super) fn eight_digits_checked(bytes: [u8; 8], digits: usize) -> Option<u64> {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(bytes);
    let value = (word ^ 0x3030_3030_3030_3030) & (u64::MAX << (64 - 8 * digits));
    // A byte above 9 gets its high bit set, or has it. What is carried into the next one was above 137 and has it too.
    let above = value.wrapping_add(0x7676_7676_7676_7676) | value;
    (above & HIGH == 0).then(|| eight_digits(word, digits))
}

/// Whether two texts of one length, which are short, are the same: by words, without a call.
#[inline]
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    let (a_words, a_rest) = a.as_chunks::<8>();
    let (b_words, b_rest) = b.as_chunks::<8>();
    let mut differs = 0;
    for (a, b) in a_words.iter().zip(b_words) {
        differs |= u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
    }
    if let (Some(a), Some(b)) = (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        // The last eight bytes, of which some were compared already.
        return a.len() == b.len() && differs | (u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b)) == 0;
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        differs |= u64::from(a ^ b);
    }
    differs == 0
}

/// The number in the last `digits` bytes of a word, its last byte being the units.
#[inline]
fn eight_digits(word: u64, digits: usize) -> u64 {
    // Bytes that are not of the number become zeros in front of it.
    let mut value = (word ^ 0x3030_3030_3030_3030) & (u64::MAX << (64 - 8 * digits));
    value = value.wrapping_mul(10).wrapping_add(value >> 8) & 0x00FF_00FF_00FF_00FF;
    value = value.wrapping_mul(100).wrapping_add(value >> 16) & 0x0000_FFFF_0000_FFFF;
    value.wrapping_mul(10_000).wrapping_add(value >> 32) & 0xFFFF_FFFF
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{Run, decimal, digits_of};

    #[test]
    fn digits_are_found_wherever_they_stand() {
        for byte in 0..=u8::MAX {
            for at in 0..40 {
                let mut key = [b':'; 40];
                key[at] = byte;
                let expected = if byte.is_ascii_digit() { 1 << at } else { 0 };
                assert_eq!(digits_of(&key), expected, "{byte} at {at}");
                assert_eq!(digits_of(&key[..=at]), expected, "{byte} at the end, {at}");
            }
        }
        assert_eq!(digits_of(&[b'0'; 64]), u64::MAX);
        assert_eq!(digits_of(b""), 0);
    }

    proptest! {
        #[test]
        fn numbers_are_read(prefix in "[a-z:]{0,30}", id in 0..10_000_000_000_000_000_000_u64, suffix in "[a-z:]{0,9}") {
            let key = format!("{prefix}{id}{suffix}").into_bytes();
            let run = Run::of(digits_of(&key)).unwrap();
            prop_assert_eq!((run.start, run.end), (prefix.len(), key.len() - suffix.len()));
            prop_assert_eq!(decimal(&key, run), id);
        }
    }
}
