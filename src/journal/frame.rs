//! Frames: the effects that are replayed together or not at all, behind a header of one word that tells where it belongs.
//! Knows how a header is read and written, not where.
//!
//! ```text
//! header   [ tag of the position 44 bits | length in words 16 | boxed 1 | bytes of padding 3 ]
//! frame    [ header | records | padding to a word ]
//! boxed    [ header | length of the records ] in the ring; in a file, records and padding follow
//! ```
//!
//! A ring is never cleared. A header is told from what an earlier round left in its place by its tag, a permutation of
//! the position keyed with the ring's secret: two positions less than 2^47 bytes apart have different tags, and a client
//! that writes words at random hits one in 2^44.

use super::record::{self, Malformed};
use crate::table::effect::{Effect, Lsn};

/// Bytes of a word: headers and frames are aligned to it.
pub const WORD: u64 = WORD_LEN as u64;
pub(super) const WORD_LEN: usize = 8;

/// Bytes of a boxed frame in the stream of the ring.
pub const BOXED_BYTES: u64 = BOXED_LEN as u64;
pub(super) const BOXED_LEN: usize = 2 * WORD_LEN;

/// Bytes of records that a boxed frame may have: with what is around them, their number fits 32 bits.
pub const MOST_BOXED: u64 = 1 << 31;

/// Bytes of the longest frame that is not boxed: its length in words has 16 bits.
pub const MOST_BYTES: u64 = WORD * 0xffff;

const PADDING: u64 = 0x7;
const BOXED: u64 = 0x8;
const LENGTH_SHIFT: u32 = 4;
const TAG_SHIFT: u32 = 20;
const TAG_BITS: u32 = u64::BITS - TAG_SHIFT;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;

/// What a header tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the whole frame in the stream of LSNs: a multiple of [`WORD`], two of them at least.
    pub bytes: u64,
    /// Bytes behind the records, up to the next word. 0 of a boxed frame, which tells its length itself.
    pub padding: u64,
    /// Its records are not in the ring.
    pub boxed: bool,
}

impl Header {
    /// The header of a frame with so many bytes of records; `None`: it has to be boxed.
    pub fn of(records: usize) -> Option<Self> {
        let records = records as u64;
        let bytes = WORD + records.next_multiple_of(WORD);
        let header = Self { bytes, padding: bytes - WORD - records, boxed: false };
        (bytes <= MOST_BYTES).then_some(header)
    }

    /// The header of a boxed frame.
    pub const BOXED: Self = Self { bytes: BOXED_BYTES, padding: 0, boxed: true };

    /// As a word, with a tag.
    #[inline]
    pub fn word(self, tag: u64) -> u64 {
        tag << TAG_SHIFT
            | (self.bytes / WORD) << LENGTH_SHIFT
            | if self.boxed { BOXED } else { 0 }
            | self.padding
    }

    /// What a word tells, if it can be a header, whatever its tag.
    #[inline]
    pub fn parse(word: u64) -> Option<Self> {
        let header = Self {
            bytes: (word >> LENGTH_SHIFT & 0xffff) * WORD,
            padding: word & PADDING,
            boxed: word & BOXED != 0,
        };
        let fits = if header.boxed { header == Self::BOXED } else { header.bytes > WORD };
        fits.then_some(header)
    }
}

/// The secret that tags depend on.
#[derive(Clone, Copy)]
pub struct Key {
    add: u64,
    /// Odd, so that multiplying by it loses nothing.
    multiply: u64,
}

impl Key {
    /// The key of a secret.
    pub fn new(secret: u64) -> Self {
        Self { add: mix(secret), multiply: mix(secret ^ u64::MAX) | 1 }
    }

    /// The tag of a position. Each step can be undone, so that different positions have different tags.
    #[inline]
    pub fn tag(self, at: Lsn) -> u64 {
        let mut tag = (at / WORD).wrapping_add(self.add).wrapping_mul(self.multiply) & TAG_MASK;
        tag ^= tag >> (TAG_BITS / 2);
        tag = tag.wrapping_mul(0x9e37_79b9_7f4a_7c15) & TAG_MASK;
        tag ^ tag >> (TAG_BITS / 2)
    }

    /// What `word` tells, if it is a header that belongs to this position.
    #[inline]
    pub fn parse(self, at: Lsn, word: u64) -> Option<Header> {
        if word >> TAG_SHIFT == self.tag(at) { Header::parse(word) } else { None }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// Spreads a number over 64 bits (the finisher of `splitmix64`, <https://prng.di.unimi.it/splitmix64.c>).
pub(super) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// Appends a frame with these records. Those of a boxed one stand behind its two words.
pub(super) fn put(out: &mut Vec<u8>, tag: u64, records: &[u8]) {
    let header = Header::of(records.len()).unwrap_or(Header::BOXED);
    out.extend_from_slice(&header.word(tag).to_le_bytes());
    if header.boxed {
        out.extend_from_slice(&(records.len() as u64).to_le_bytes());
    }
    out.extend_from_slice(records);
    out.resize(out.len().next_multiple_of(WORD_LEN), 0);
}

/// Gives the effects of a frame's records, and returns how many they were.
///
/// # Errors
/// Something there is no record.
pub fn for_each<'e>(records: &'e [u8], give: &mut dyn FnMut(Effect<'e>)) -> Result<u64, Malformed> {
    let mut rest = records;
    let mut count = 0;
    while !rest.is_empty() {
        let (effect, behind) = record::decode(rest)?;
        give(effect);
        count += 1;
        rest = behind;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::{BOXED_BYTES, Header, Key, MOST_BYTES, TAG_SHIFT, WORD};

    #[test]
    fn headers_come_back_at_their_position_only() {
        let key = Key::new(7);
        for records in [1, 7, 8, 9, 63, 64, 65, 1000, 524_272] {
            let header = Header::of(records).expect("it is short enough");
            assert_eq!(header.bytes - header.padding, WORD + records as u64);
            let word = header.word(key.tag(4096));
            assert_eq!(key.parse(4096, word), Some(header));
            assert_eq!(key.parse(4104, word), None);
            assert_eq!(Key::new(8).parse(4096, word), None);
        }
        assert_eq!(Header::of(usize::try_from(MOST_BYTES).expect("64 bits")), None);
        assert_eq!(Header::parse(Header::BOXED.word(3)), Some(Header::BOXED));
        assert_eq!(Header::BOXED.bytes, BOXED_BYTES);
    }

    #[test]
    fn what_is_no_header_is_none() {
        let key = Key::new(7);
        assert_eq!(Header::parse(0), None);
        assert_eq!(key.parse(64, key.tag(64) << TAG_SHIFT), None, "it has no length");
        assert_eq!(key.parse(64, key.tag(64) << TAG_SHIFT | 1 << 4), None, "a header alone");
    }

    #[test]
    fn tags_of_neighbours_differ() {
        let key = Key::new(99);
        let tags: std::collections::HashSet<u64> = (0..100_000).map(|at| key.tag(at * WORD)).collect();
        assert_eq!(tags.len(), 100_000);
    }
}
