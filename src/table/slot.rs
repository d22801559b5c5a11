//! One slot of a segment, and the name by which a key is recognised in it. Knows neither hashing nor time.
//!
//! A slot is half a cache line, so that the look-up of a short key that holds a number touches one line:
//!
//! | word | key of at most 22 bytes             | longer key            |
//! |------|-------------------------------------|-----------------------|
//! | 0    | bytes 0–7                           | its hash              |
//! | 1    | bytes 8–15                          | its length            |
//! | 2    | bits 0–47: bytes 16–21              | bits 0–47: 0          |
//! |      | bits 48–55: length                  | bits 48–55: `LONG`    |
//! |      | bits 56–63: kind                    | bits 56–63: kind      |
//! | 3    | the number, or the record's index   | the record's index    |
//!
//! Bytes are little-endian within a word and absent ones are 0: two short keys are equal when three words are.

use super::Key;

/// Longest key that is kept in its slot, in bytes.
pub(super) const INLINE_BYTES: usize = 22;

/// Slots of a cache line. A search begins with the first of a line, so that it goes through a whole one.
pub(super) const LINE_SLOTS: usize = 2;

/// Length byte of a key that is too long for its slot.
const LONG: u64 = 0xFF;
const LENGTH_SHIFT: u32 = 48;
const KIND_SHIFT: u32 = 56;
const INT: u64 = 1 << KIND_SHIFT;
const RECORD: u64 = 2 << KIND_SHIFT;
const KIND: u64 = 0xFF << KIND_SHIFT;

/// The first three words of a slot for some key, the kind left 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name([u64; 3]);

impl Name {
    /// The name of a key. Equal keys have equal names; equal names of short keys mean equal keys.
    #[inline]
    pub(super) fn of(key: Key<'_>) -> Self {
        let len = key.bytes.len();
        if len > INLINE_BYTES {
            return Self([key.hash.0, len as u64, LONG << LENGTH_SHIFT]);
        }
        let mut words = pad(key.bytes);
        words[2] |= (len as u64) << LENGTH_SHIFT;
        Self(words)
    }

    /// Whether the whole key is in the name.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        (self.0[2] >> LENGTH_SHIFT) & 0xFF != LONG
    }
}

/// At most 22 bytes as three words, absent bytes 0.
///
/// The last, incomplete word is cut out of the key's last eight bytes: loads of fixed width instead of a copy of
/// variable length.
#[inline]
fn pad(bytes: &[u8]) -> [u64; 3] {
    let Some(last) = bytes.last_chunk::<8>() else { return [pad_word(bytes), 0, 0] };
    let (whole, rest) = bytes.as_chunks::<8>();
    let rest = if rest.is_empty() { 0 } else { u64::from_le_bytes(*last) >> (64 - 8 * rest.len()) };
    match whole {
        [first] => [u64::from_le_bytes(*first), rest, 0],
        [first, second] => [u64::from_le_bytes(*first), u64::from_le_bytes(*second), rest],
        _ => unreachable!("a short key has 8 to 22 bytes here"),
    }
}

/// At most seven bytes as a word, absent bytes 0.
#[inline]
fn pad_word(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // The two overlap unless there are eight bytes; where they do, they agree.
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return u64::from(first) | u64::from(last) << (8 * (bytes.len() - 4));
    }
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// No key.
    Empty,
    /// A short key without a deadline, and its number.
    Int(i64),
    /// Any other key: the index of its record.
    Record(usize),
}

/// A key's bytes, copied out of its slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct InlineKey {
    bytes: [u8; 24],
    len: usize,
}

impl InlineKey {
    /// The bytes.
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Half a cache line; see the table above.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct Slot {
    words: [u64; 3],
    payload: u64,
}

const _: () = assert!(size_of::<Slot>() == 32 && align_of::<Slot>() == 32 && LINE_SLOTS * 32 == 64);

impl Slot {
    /// No key.
    pub(super) const EMPTY: Self = Self { words: [0; 3], payload: 0 };

    /// A short key and its number.
    #[inline]
    pub(super) fn int(name: &Name, value: i64) -> Self {
        debug_assert!(name.is_short());
        let [first, second, third] = name.0;
        Self { words: [first, second, third | INT], payload: value.cast_unsigned() }
    }

    /// A key and the index of its record.
    #[inline]
    pub(super) fn record(name: &Name, index: usize) -> Self {
        let [first, second, third] = name.0;
        Self { words: [first, second, third | RECORD], payload: index as u64 }
    }

    /// What the slot holds.
    #[inline]
    pub(super) fn holds(&self) -> Holds {
        match self.words[2] & KIND {
            0 => Holds::Empty,
            INT => Holds::Int(self.payload.cast_signed()),
            _ => Holds::Record(
                usize::try_from(self.payload).expect("the index was a usize when it was stored"),
            ),
        }
    }

    /// Changes the number of a slot that holds one.
    #[inline]
    pub(super) fn set_number(&mut self, value: i64) {
        debug_assert!(self.words[2] & KIND == INT);
        self.payload = value.cast_unsigned();
    }

    /// Whether the slot holds no key.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.words[2] & KIND == 0
    }

    /// The name of its key.
    #[inline]
    pub(super) fn name(&self) -> Name {
        let [first, second, third] = self.words;
        Name([first, second, third & !KIND])
    }

    /// Whether its key has this name, given that it holds one.
    #[inline]
    pub(super) fn is_named(&self, name: &Name) -> bool {
        self.name() == *name
    }

    /// The key, unless it is too long to be here.
    #[inline]
    pub(super) fn inline_key(&self) -> Option<InlineKey> {
        let mut bytes = [0; 24];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.words) {
            *bytes = word.to_le_bytes();
        }
        let len = usize::from(bytes[INLINE_BYTES]);
        (len <= INLINE_BYTES).then_some(InlineKey { bytes, len })
    }

    /// The hash of a key that is too long to be here.
    #[inline]
    pub(super) fn long_hash(&self) -> u64 {
        self.words[0]
    }
}

#[cfg(test)]
mod tests {
    use super::{Holds, INLINE_BYTES, Name, Slot};
    use crate::table::{Key, KeyHash};

    fn name(bytes: &[u8]) -> Name {
        Name::of(Key { bytes, hash: KeyHash(7) })
    }

    #[test]
    fn a_short_key_comes_back_from_its_slot() {
        let alphabet: Vec<u8> = (1..=INLINE_BYTES).map(|byte| u8::try_from(byte).unwrap() | 0x80).collect();
        for len in 0..=INLINE_BYTES {
            let key = &alphabet[..len];
            let slot = Slot::int(&name(key), -5);
            assert_eq!(slot.inline_key().unwrap().as_bytes(), key);
            assert_eq!(slot.holds(), Holds::Int(-5));
            assert!(slot.is_named(&name(key)) && name(key).is_short());
            assert_eq!(Slot::record(&name(key), 9).inline_key().unwrap().as_bytes(), key);
        }
    }

    #[test]
    fn names_of_different_keys_differ() {
        // Trailing zero bytes look like padding: only the length tells these apart.
        let zeros = [0_u8; 40];
        for a in 0..=INLINE_BYTES + 2 {
            for b in 0..=INLINE_BYTES + 2 {
                assert_eq!(name(&zeros[..a]) == name(&zeros[..b]), a == b, "{a} and {b} zero bytes");
            }
        }
        assert_ne!(name(b"views:article:1"), name(b"views:article:2"));
    }

    #[test]
    fn a_long_key_leaves_its_hash() {
        let key = [b'x'; INLINE_BYTES + 1];
        let slot = Slot::record(&name(&key), 3);
        assert!(slot.inline_key().is_none() && !name(&key).is_short());
        assert_eq!((slot.long_hash(), slot.holds()), (7, Holds::Record(3)));
        assert!(Slot::EMPTY.is_empty() && !slot.is_empty());
    }
}
