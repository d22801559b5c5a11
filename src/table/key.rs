//! How a key is read: its hash under the process' seed, and the decimal id in it, if it has one.
//!
//! Most counter keys are a text around a decimal id: `views:article:123`, `user:42:likes`. The hash of such a key
//! is that of its text, of the numbers in it and of where they stand. It does not depend on which of the numbers a
//! template takes for the id, nor on whether there is a template at all; and the table gets it from a template and
//! an id, without the key's bytes.
#![expect(
    clippy::cast_possible_truncation,
    reason = "positions in keys of 64 bytes fit a byte, and the index of a template fits two"
)]

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use ahash::{AHasher, RandomState};

use super::SEGMENTS;
use super::digits::{Run, decimal, digits_of, eight_digits_checked, same};
use super::template::{Dictionary, Identity, Pattern};

/// Bits of a hash that tell the segment.
pub(super) const SEGMENT_BITS: u32 = SEGMENTS.ilog2();

const _: () = assert!(SEGMENTS == 1 << SEGMENT_BITS);

/// A hash of a segment, the first of all.
pub(super) const fn first_of(segment: usize) -> u64 {
    (segment as u64) << (u64::BITS - SEGMENT_BITS)
}

/// Longest key in which an id is looked for, in bytes: one bit each in a word.
pub(super) const NUMBERED_BYTES: usize = 64;

/// Hash of a key under the process' seed, and what else was found out about the key on the way.
///
/// Whole words: what is written byte by byte and read as one makes the processor wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash {
    bits: u64,
    /// The number between start and end, where there is a template.
    id: u64,
    about: About,
}

/// What is known of a key beside its hash, in one word:
///
/// | bits | |
/// |---|---|
/// | 0–31 | state of the dictionary in which the template was looked for |
/// | 32–47 | 1 + the index of the key's template, 0 = none |
/// | 48–53 | where the id's digits begin |
/// | 54–60 | where they end; 0 = no id was looked for |
/// | 62 | the key was compared with the template's text |
/// | 63 | another template takes another number of the key for the id |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct About(u64);

impl About {
    const START: u32 = 48;
    const END: u32 = 54;
    const COMPARED: u64 = 1 << 62;
    const AMBIGUOUS: u64 = 1 << 63;

    /// Of a key in whose digits from `start` to `end` a template, if any, has its id.
    #[inline]
    fn new(epoch: u32, template: Option<u16>, start: usize, end: usize) -> Self {
        debug_assert!(start < end && end <= NUMBERED_BYTES, "one bit each in a word");
        let template = template.map_or(0, |index| u64::from(index) + 1);
        Self(u64::from(epoch) | template << 32 | (start as u64) << Self::START | (end as u64) << Self::END)
    }

    /// The same, of a key whose digits end elsewhere.
    #[inline]
    fn ending_at(self, end: usize) -> Self {
        Self(self.0 & !(0x7F << Self::END) | (end as u64) << Self::END)
    }

    #[inline]
    fn ambiguous(self, ambiguous: bool) -> Self {
        if ambiguous { Self(self.0 | Self::AMBIGUOUS) } else { self }
    }

    #[inline]
    fn epoch(self) -> u32 {
        self.0 as u32
    }

    /// Index of the template.
    #[inline]
    fn template(self) -> Option<usize> {
        usize::from((self.0 >> 32) as u16).checked_sub(1)
    }

    #[inline]
    fn start(self) -> usize {
        (self.0 >> Self::START & 0x3F) as usize
    }

    #[inline]
    fn end(self) -> usize {
        (self.0 >> Self::END & 0x7F) as usize
    }
}

/// A key and its hash.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// The key's bytes.
    pub bytes: &'k [u8],
    /// Their hash.
    pub hash: KeyHash,
}

/// The id of a key whose template is known, and where its digits stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    /// Index of the template.
    pub(super) template: usize,
    /// The id.
    pub(super) id: u64,
    /// Where its digits begin and end in the key.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl KeyHash {
    /// The hash of a key in which no id was looked for.
    pub(super) const fn of_bits(bits: u64) -> Self {
        Self { bits, id: 0, about: About(0) }
    }

    /// The hash alone.
    #[inline]
    pub(super) fn bits(self) -> u64 {
        self.bits
    }

    /// Whether two templates of the dictionary, as it was, take different numbers of the key for the id.
    #[inline]
    pub(super) fn is_ambiguous(self) -> bool {
        self.about.0 & About::AMBIGUOUS != 0
    }

    /// Whether the key is known to have its template's text, as long as the dictionary is as it was.
    #[inline]
    pub(super) fn is_compared(self) -> bool {
        self.about.0 & About::COMPARED != 0
    }

    /// Number of the key's segment: the high bits.
    #[inline]
    pub(super) fn segment(self) -> usize {
        segment_of(self.bits)
    }

    /// The key's position in its segment.
    #[inline]
    pub(super) fn position(self) -> u64 {
        position_of(self.bits)
    }

    /// The key's template and id, as the dictionary knew them when the key was hashed.
    #[inline]
    pub(super) fn numbered(self) -> Option<Numbered> {
        let template = self.about.template()?;
        Some(Numbered { template, id: self.id, start: self.about.start(), end: self.about.end() })
    }

    /// Whether the dictionary is still as it was when the key was hashed.
    #[inline]
    pub(super) fn is_current(self, hashing: &Hashing) -> bool {
        // What is looked for in no dictionary does not get out of date.
        self.about.end() == 0 || self.about.epoch() == hashing.dictionary.epoch()
    }
}

/// Number of the segment of a hash.
#[inline]
pub(super) fn segment_of(bits: u64) -> usize {
    (bits >> (u64::BITS - SEGMENT_BITS)) as usize
}

/// Position of a hash in its segment, a fraction of 2^64: all orders in a segment are by position.
#[inline]
pub(super) fn position_of(bits: u64) -> u64 {
    bits << SEGMENT_BITS
}

/// Eight bits of a hash that say little about the position.
#[inline]
pub(super) fn tag_of(bits: u64) -> u8 {
    // The low bits of a position decide nothing until there are 2^40 lines.
    bits.to_le_bytes()[0]
}

/// The process' way to hash keys, and the templates it knows.
#[derive(Clone, Debug)]
pub(super) struct Hashing {
    random: RandomState,
    /// The templates.
    pub(super) dictionary: Arc<Dictionary>,
}

/// What one thread found out about its last key, of use where the next one has the same text before a number at its end:
/// then neither the text is hashed nor the template looked up.
#[derive(Clone, Debug)]
pub struct Memo {
    /// The text, and its length; 0 = nothing is remembered.
    prefix: [u8; MEMO_BYTES],
    len: usize,
    /// What is known of keys with this text, but for where they end.
    about: About,
    /// The last key whose text was another one, of which nothing is remembered yet.
    met: About,
    wide: bool,
    /// The text, hashed, and the number in it that is hashed apart.
    state: AHasher,
    before: Option<u64>,
}

/// Longest text that is remembered, in bytes.
const MEMO_BYTES: usize = 32;

impl Memo {
    /// The hash of a key, if it is one with the text that is remembered.
    #[inline(always)]
    fn hash(&self, key: &[u8], epoch: u32) -> Option<KeyHash> {
        let digits = key.len().checked_sub(self.len).filter(|digits| (1..=16).contains(digits))?;
        if self.len == 0 || epoch != self.about.epoch() || !same(&key[..self.len], &self.prefix[..self.len]) {
            return None;
        }
        // A leading zero is part of the text, unless it is the number.
        if key[self.len] == b'0' && digits > 1 {
            return None;
        }
        let mut id = eight_digits_checked(*key.last_chunk::<8>()?, digits.min(8))?;
        if digits > 8 {
            let upper = eight_digits_checked(*key[..key.len() - 8].last_chunk::<8>()?, digits - 8)?;
            id += upper * 100_000_000;
        }
        if is_wide(id) != self.wide {
            return None;
        }
        let bits = bits_of(&self.state, id, self.before);
        Some(KeyHash { bits, id, about: self.about.ending_at(key.len()) })
    }
}

/// A key's text apart from its numbers, hashed, and the numbers.
#[derive(Debug)]
struct Shape {
    state: AHasher,
    /// The last run of digits that is an id, and the one before.
    last: (Run, u64),
    before: Option<(Run, u64)>,
}

impl Hashing {
    /// With a random seed.
    pub(super) fn random() -> Self {
        Self::with(RandomState::new())
    }

    /// With a seed that is known, for tests.
    pub(super) fn seeded(seed: u64) -> Self {
        // Four numbers that have nothing in common, from one (splitmix64, Vigna 2015): seeds that differ in a bit are to
        // give hashes that differ in all.
        let [a, b, c, d] = [1, 2, 3, 4].map(|step| {
            let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(step));
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ mixed >> 31
        });
        Self::with(RandomState::with_seeds(a, b, c, d))
    }

    fn with(random: RandomState) -> Self {
        Self { random, dictionary: Arc::default() }
    }

    /// Nothing to remember yet.
    pub(super) fn memo(&self) -> Memo {
        let state = self.random.build_hasher();
        Memo {
            prefix: [0; MEMO_BYTES],
            len: 0,
            about: About(0),
            met: About(0),
            wide: false,
            state,
            before: None,
        }
    }

    /// Hashes a key like the one before. Always inlined: handed over in memory, the hash would be written as words and
    /// read as pairs of them, for which the processor waits.
    #[inline(always)]
    pub(super) fn hash_after(&self, memo: &mut Memo, key: &[u8]) -> KeyHash {
        let epoch = self.dictionary.epoch();
        if let Some(hash) = memo.hash(key, epoch) {
            return hash;
        }
        self.hash_anew(memo, key)
    }

    /// Hashes a key and remembers what the next one may have in common with it.
    #[inline(never)]
    fn hash_anew(&self, memo: &mut Memo, key: &[u8]) -> KeyHash {
        let Some(shape) = self.shape(key) else {
            return KeyHash::of_bits(self.plain(key));
        };
        let hash = self.hash_of(&shape);
        let (run, id) = shape.last;
        let about = hash.about;
        if about.template().is_none()
            || run.end != key.len()
            || run.start > MEMO_BYTES
            || (about.start(), about.end()) != (run.start, run.end)
            || run.width(key) != 0
        {
            return hash;
        }
        // Not worth it for a text that comes once: two in turn would be remembered for nothing each time.
        let before = std::mem::replace(&mut memo.met, about.ending_at(0));
        if before == memo.met && self.dictionary.has(about.template(), about.epoch(), key, run) {
            memo.len = run.start;
            memo.prefix[..run.start].copy_from_slice(&key[..run.start]);
            // Whether another template takes the other number depends on this one: to look again is always right.
            memo.about = About(about.ambiguous(shape.before.is_some()).0 | About::COMPARED);
            memo.wide = is_wide(id);
            (memo.state, memo.before) = (shape.state, shape.before.map(|(_, number)| number));
        }
        hash
    }

    /// Hashes a key.
    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        match self.shape(key) {
            Some(shape) => self.hash_of(&shape),
            None => KeyHash::of_bits(self.plain(key)),
        }
    }

    /// The hash of a key of this shape.
    #[inline]
    fn hash_of(&self, shape: &Shape) -> KeyHash {
        let epoch = self.dictionary.epoch();
        let (run, id) = shape.last;
        let about = |template, run: Run| About::new(epoch, template, run.start, run.end);
        let (about, id) = if let Some(template) = self.dictionary.find(shape.identity(true)) {
            let other = shape.before.is_some() && self.dictionary.find(shape.identity(false)).is_some();
            (about(Some(template), run).ambiguous(other), id)
        } else if let Some((run, id)) = shape.before
            && let Some(template) = self.dictionary.find(shape.identity(false))
        {
            (about(Some(template), run), id)
        } else {
            (about(None, run), id)
        };
        KeyHash { bits: shape.bits(), id, about }
    }

    /// The template that takes the number before the last one for a key's id, and that id.
    pub(super) fn otherwise(&self, key: &[u8]) -> Option<Numbered> {
        let shape = self.shape(key)?;
        let (run, id) = shape.before?;
        let template = self.dictionary.find(shape.identity(false))?.into();
        Some(Numbered { template, id, start: run.start, end: run.end })
    }

    /// The hash alone, as 64 bits.
    pub(super) fn bits(&self, key: &[u8]) -> u64 {
        self.shape(key).map_or_else(|| self.plain(key), |shape| shape.bits())
    }

    /// The templates that a key may belong to: one for each number that may be its id.
    pub(super) fn patterns<'k>(&self, key: &'k [u8]) -> [Option<Pattern<'k>>; 2] {
        let Some(shape) = self.shape(key) else { return [None, None] };
        [true, false].map(|last| {
            let ((run, id), other) = match (last, shape.before) {
                (true, before) => (shape.last, before.map(|(_, other)| other)),
                (false, before) => (before?, Some(shape.last.1)),
            };
            Some(Pattern {
                identity: shape.identity(last),
                prefix: &key[..run.start],
                suffix: &key[run.end..],
                width: run.width(key),
                wide: is_wide(id),
                state: shape.state.clone(),
                last,
                other,
            })
        })
    }

    /// A number that depends on the seed, a different one for each number.
    pub(super) fn scramble(&self, number: u64) -> u64 {
        let mut hasher = self.random.build_hasher();
        hasher.write_u64(number);
        hasher.finish()
    }

    #[inline]
    fn plain(&self, key: &[u8]) -> u64 {
        let mut hasher = self.random.build_hasher();
        // Not `hash_one`, which hashes a slice's length apart: `write` has it already.
        hasher.write(key);
        hasher.finish()
    }

    /// The text and the numbers of a key that has a number.
    #[inline]
    fn shape(&self, key: &[u8]) -> Option<Shape> {
        if key.len() > NUMBERED_BYTES {
            return None;
        }
        let digits = digits_of(key);
        let mut last = Run::of(digits)?;
        let mut before = Run::of(last.below(digits)).filter(|run| run.is_id());
        if !last.is_id() {
            last = before.take()?;
        }
        let mut state = self.random.build_hasher();
        let tail = before.map_or(0, |run| {
            state.write(&key[..run.start]);
            run.end
        });
        state.write(&key[tail..last.start]);
        if last.end < key.len() {
            state.write(&key[last.end..]);
        }
        // How long the pieces of text are, whatever the numbers between them, and which numbers have leading zeros.
        let width = |run: Run| u64::from(run.width(key));
        let lengths = match before {
            None => last.start as u64,
            Some(run) => run.start as u64 | ((last.start - run.end) as u64) << 8 | width(run) << 16 | 1 << 24,
        };
        state.write_u64(lengths | width(last) << 32 | ((key.len() - last.end) as u64) << 40);
        let number = |run: Run| (run, decimal(key, run));
        Some(Shape { state, last: number(last), before: before.map(number) })
    }
}

impl Shape {
    #[inline]
    fn bits(&self) -> u64 {
        bits_of(&self.state, self.last.1, self.before.map(|(_, number)| number))
    }

    /// What tells the template apart that takes the last number, or the one before it, for the id.
    #[inline]
    fn identity(&self, last: bool) -> Identity {
        let mut state = self.state.clone();
        let ((_, id), other) = if last {
            (self.last, self.before.map(|(_, other)| other))
        } else {
            (self.before.unwrap_or(self.last), Some(self.last.1))
        };
        if let Some(other) = other {
            state.write_u64(other);
            state.write_u64(u64::from(last));
        }
        Identity(state.finish() ^ u64::from(is_wide(id)) << 63)
    }
}

/// The hash of a key of this text and these numbers.
#[inline]
pub(super) fn bits_of(state: &AHasher, last: u64, before: Option<u64>) -> u64 {
    let mut state = state.clone();
    state.write_u64(last);
    if let Some(before) = before {
        state.write_u64(before);
    }
    state.finish()
}

/// Whether an id does not fit 32 bits: such ids are kept apart.
#[inline]
pub(super) fn is_wide(id: u64) -> bool {
    id > u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{About, Hashing, KeyHash};

    proptest! {
        #[test]
        fn a_template_has_the_hash_of_its_keys(key in "[a-c0-9:]{0,70}", ids in proptest::collection::vec(any::<u64>(), 4)) {
            let hashing = Hashing::seeded(3);
            let key = key.into_bytes();
            prop_assert_eq!(hashing.hash(&key).bits, hashing.bits(&key));
            prop_assert_eq!(hashing.hash_after(&mut hashing.memo(), &key), hashing.hash(&key));
            for pattern in hashing.patterns(&key).into_iter().flatten() {
                let template = pattern.template(0);
                for id in &ids {
                    // Of the digits that the template can have, with and without leading zeros.
                    let id = if template.is_wide() { id % 10_000_000_000_000_000_000 } else { id % 1_000 };
                    let Some(rendered) = template.render_checked(id) else { continue };
                    prop_assert_eq!(hashing.bits(&rendered), template.bits(id), "{:?}", rendered);
                    let (start, end) = (template.prefix().len(), rendered.len() - template.suffix().len());
                    prop_assert_eq!(template.matches(&rendered, start, end), true);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_remembered_changes_nothing(keys in proptest::collection::vec("(ab?c:|a:1:|abcdefghijkl:|)[0-9a:]{0,18}", 1..20)) {
            let hashing = Hashing::seeded(5);
            for text in ["ac:7", "abc:1", "a:1:5", "ac:70000000000", "abcdefghijkl:3", "7", "ac:01"] {
                for pattern in hashing.patterns(text.as_bytes()).into_iter().flatten() {
                    hashing.dictionary.admit(&pattern);
                }
            }
            let mut memo = hashing.memo();
            for key in &keys {
                let key = key.as_bytes();
                let (after, alone) = (hashing.hash_after(&mut memo, key), hashing.hash(key));
                prop_assert!(after.is_ambiguous() || !alone.is_ambiguous());
                let surely = |hash: KeyHash| {
                    KeyHash { about: About(hash.about.0 | About::AMBIGUOUS | About::COMPARED), ..hash }
                };
                prop_assert_eq!(surely(after), surely(alone), "{:?}", key);
            }
        }
    }

    #[test]
    fn keys_with_one_text_and_different_numbers_differ() {
        let hashing = Hashing::seeded(4);
        let mut seen = std::collections::BTreeSet::new();
        for key in
            ["a1", "a01", "a001", "1a", "a1b", "1a1", "1a01", "01a1", "a1a1", "a11a", "a1:1", "a", "aa", ""]
        {
            assert!(seen.insert(hashing.bits(key.as_bytes())), "{key}");
        }
    }
}
