//! Templates, the texts around the ids of numbered keys, and the bounded dictionary of those that were admitted.
//!
//! A template is admitted when one segment holds enough different keys of it ([`Candidates`]), and gives its place
//! back when no segment holds any. Looking one up takes no lock: what is found is a hint, and is checked against
//! the segment's own templates under its lock.
#![expect(clippy::cast_possible_truncation, reason = "what is cut off is not wanted")]

#[cfg(model)]
use loom::sync::atomic::{AtomicU32, AtomicU64};
#[cfg(not(model))]
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ahash::AHasher;
use arrayvec::ArrayVec;

use super::digits::{Run, same};
#[cfg(test)]
use super::key::is_wide;
use super::key::{NUMBERED_BYTES, bits_of};

/// Templates at one time.
pub(super) const TEMPLATES: usize = 256;

/// Places of the dictionary, in groups of [`REACH`]: so many that hardly a template finds its group full.
const PLACES: usize = 4 * TEMPLATES;

/// Places in which a template may stand: half a cache line. Those in use are the first of their group.
const REACH: usize = 4;

/// Low bits of a place's word that hold 1 + the index; the others are those of the identity.
const INDEX_BITS: u64 = 0x1FF;

/// Keys of one template that a segment stores before it asks for the template's admission. A text that comes with a
/// few numbers only is no template; as segments get equal shares of a template's keys, this is some thousand keys.
const ADMITTED_AT: u16 = 8;

/// Candidates that a segment counts at a time.
const CANDIDATES: usize = 32;

/// Bytes of the longest key that a template makes: its text, and an id of 20 digits.
pub(super) const RENDERED_BYTES: usize = NUMBERED_BYTES + 20;

/// A key of a template, made anew.
pub(super) type Rendered = ArrayVec<u8, RENDERED_BYTES>;

/// Tells a template apart from all others, but for hash collisions: who finds one compares the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(pub(super) u64);

/// What a template would be.
#[derive(Clone, Debug)]
pub(super) struct Pattern<'k> {
    pub(super) identity: Identity,
    pub(super) prefix: &'k [u8],
    pub(super) suffix: &'k [u8],
    /// Digits of every id, with leading zeros; 0 = none has any.
    pub(super) width: u8,
    /// Ids are those above 32 bits.
    pub(super) wide: bool,
    /// The text, hashed.
    pub(super) state: AHasher,
    /// The id is the last of the numbers.
    pub(super) last: bool,
    /// The other number, which is part of the text, and is hashed as a number.
    pub(super) other: Option<u64>,
}

impl Pattern<'_> {
    /// The template of this pattern, at `index` in the dictionary.
    pub(super) fn template(&self, index: usize) -> Template {
        Template {
            index,
            identity: self.identity,
            text: [self.prefix, self.suffix].concat().into(),
            split: self.prefix.len(),
            width: self.width,
            wide: self.wide,
            state: self.state.clone(),
            last: self.last,
            other: self.other,
        }
    }
}

/// A text around a decimal id.
#[derive(Debug)]
pub(super) struct Template {
    /// Its place in the dictionary.
    pub(super) index: usize,
    identity: Identity,
    /// What stands before the id, and what behind it.
    text: Box<[u8]>,
    split: usize,
    width: u8,
    wide: bool,
    state: AHasher,
    last: bool,
    other: Option<u64>,
}

impl Template {
    /// What stands before the id.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.text[..self.split]
    }

    /// The text with `{id}` for the id; bytes that are no text are escaped.
    pub(super) fn shown(&self) -> String {
        let zeros = if self.width > 0 { format!(":0{}", self.width) } else { String::new() };
        let [before, behind] = [self.prefix(), self.suffix()].map(|part| part.escape_ascii().to_string());
        format!("{before}{{id{zeros}}}{behind}")
    }

    /// What stands behind the id.
    pub(super) fn suffix(&self) -> &[u8] {
        &self.text[self.split..]
    }

    /// Whether its ids are those above 32 bits; all ids of a template are, or none is.
    #[inline]
    pub(super) fn is_wide(&self) -> bool {
        self.wide
    }

    /// Whether a key whose id stands from `start` to `end` is one of this template's.
    #[inline]
    pub(super) fn matches(&self, key: &[u8], start: usize, end: usize) -> bool {
        let digits = end - start;
        let width = if digits > 1 && key[start] == b'0' { digits } else { 0 };
        start == self.split
            && width == usize::from(self.width)
            && key.len() - end == self.text.len() - self.split
            && same(&key[..start], &self.text[..start])
            && (end == key.len() || key[end..] == self.text[start..])
    }

    /// The hash of the key of this id.
    #[inline]
    pub(super) fn bits(&self, id: u64) -> u64 {
        match self.other {
            None => bits_of(&self.state, id, None),
            Some(other) if self.last => bits_of(&self.state, id, Some(other)),
            Some(other) => bits_of(&self.state, other, Some(id)),
        }
    }

    /// The key of an id that this template has.
    pub(super) fn render(&self, id: u64) -> Rendered {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(id).as_bytes();
        let mut key = Rendered::new();
        let zeros = usize::from(self.width).saturating_sub(digits.len());
        for part in [self.prefix(), &[b'0'; 19][..zeros], digits, self.suffix()] {
            key.try_extend_from_slice(part).expect("a template's text and an id fit");
        }
        key
    }

    /// The key of an id, if this template can have it.
    #[cfg(test)]
    pub(super) fn render_checked(&self, id: u64) -> Option<Vec<u8>> {
        let key = self.render(id);
        let digits = key.len() - self.text.len();
        let fits = is_wide(id) == self.wide
            && key.len() <= NUMBERED_BYTES
            && (self.width == 0 || (digits == usize::from(self.width) && key[self.split] == b'0'));
        fits.then(|| key.to_vec())
    }

    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize {
        size_of::<Self>() + 2 * size_of::<usize>() + self.text.len()
    }
}

/// The templates that were admitted.
pub(super) struct Dictionary {
    /// Index and identity of each template, in one of [`REACH`] places from its home on. 0 = empty.
    places: Box<[AtomicU64]>,
    /// Grows whenever a template comes or goes.
    epoch: AtomicU32,
    /// Bytes of the templates.
    heap_bytes: AtomicUsize,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// Template and number of segments that hold keys of it: at least one.
    templates: Vec<Option<(Arc<Template>, usize)>>,
    refused: u64,
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dictionary").field("templates", &self.len()).finish_non_exhaustive()
    }
}

impl Default for Dictionary {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            epoch: AtomicU32::new(0),
            heap_bytes: AtomicUsize::new(0),
            entries: Mutex::default(),
        }
    }
}

impl Dictionary {
    /// State of the dictionary.
    #[inline]
    pub(super) fn epoch(&self) -> u32 {
        // Acquire: pairs with the Release in `changed`; who sees an epoch sees the places as they were then.
        self.epoch.load(Ordering::Acquire)
    }

    /// Index of the template of this identity.
    #[inline]
    pub(super) fn find(&self, identity: Identity) -> Option<u16> {
        for place in self.group(identity) {
            // Relaxed: a word is whole by itself, and what it says is checked under a segment's lock.
            let word = place.load(Ordering::Relaxed);
            if word == 0 {
                break;
            }
            if (word ^ identity.0) & !INDEX_BITS == 0 {
                return Some((word & INDEX_BITS) as u16 - 1);
            }
        }
        None
    }

    /// Whether the template at `index`, in this state of the dictionary, is one that this key has, with the id in `run`.
    pub(super) fn has(&self, index: Option<usize>, epoch: u32, key: &[u8], run: Run) -> bool {
        let entries = self.entries();
        let entry = index.and_then(|index| entries.templates.get(index)?.as_ref());
        // The epoch changes under this lock only.
        entry.is_some_and(|(template, _)| template.matches(key, run.start, run.end)) && self.epoch() == epoch
    }

    /// The places in which a template may stand.
    #[inline]
    fn group(&self, identity: Identity) -> &[AtomicU64] {
        const { assert!(PLACES / REACH == 1 << 8) };
        let group = usize::from(identity.0.to_be_bytes()[0]);
        &self.places[group * REACH..][..REACH]
    }

    /// Number of templates.
    pub(super) fn len(&self) -> usize {
        self.entries().templates.iter().flatten().count()
    }

    /// Times that a template was not admitted since there were too many.
    pub(super) fn refused(&self) -> u64 {
        self.entries().refused
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + PLACES * size_of::<AtomicU64>() + self.heap_bytes.load(Ordering::Relaxed)
    }

    /// Takes a template in, on behalf of a segment that will hold its keys. `None`: there is no room.
    pub(super) fn admit(&self, pattern: &Pattern<'_>) -> Option<Arc<Template>> {
        let mut entries = self.entries();
        let known = entries.templates.iter_mut().flatten().find(|(template, _)| {
            template.identity == pattern.identity
                && template.prefix() == pattern.prefix
                && template.suffix() == pattern.suffix
        });
        if let Some((template, users)) = known {
            *users += 1;
            return Some(Arc::clone(template));
        }
        let index = entries.templates.iter().position(Option::is_none).unwrap_or(entries.templates.len());
        // Relaxed: written under the lock that we hold.
        let place = self.group(pattern.identity).iter().find(|place| place.load(Ordering::Relaxed) == 0);
        let Some(place) = place.filter(|_| index < TEMPLATES) else {
            entries.refused += 1;
            return None;
        };
        let template = Arc::new(pattern.template(index));
        if index == entries.templates.len() {
            entries.templates.push(None);
        }
        self.heap_bytes.fetch_add(template.heap_bytes(), Ordering::Relaxed);
        entries.templates[index] = Some((Arc::clone(&template), 1));
        let word = pattern.identity.0 & !INDEX_BITS | (index as u64 + 1);
        // Relaxed: published by the epoch.
        place.store(word, Ordering::Relaxed);
        self.changed();
        Some(template)
    }

    /// The template at `index`, for one more segment that will hold its keys.
    pub(super) fn attach(&self, index: usize) -> Option<Arc<Template>> {
        let mut entries = self.entries();
        let (template, users) = entries.templates.get_mut(index)?.as_mut()?;
        *users += 1;
        Some(Arc::clone(template))
    }

    /// A segment holds no key of a template any more. The last one gives the template's place back.
    pub(super) fn detach(&self, template: &Template) {
        let mut entries = self.entries();
        let entry = &mut entries.templates[template.index];
        let (_, users) = entry.as_mut().expect("a template that a segment holds is in the dictionary");
        *users -= 1;
        if *users > 0 {
            return;
        }
        *entry = None;
        self.heap_bytes.fetch_sub(template.heap_bytes(), Ordering::Relaxed);
        let word = template.identity.0 & !INDEX_BITS | (template.index as u64 + 1);
        // The others close up. Who looks meanwhile may miss one, and looks again since the epoch is another.
        let mut left = ArrayVec::<u64, REACH>::new();
        for place in self.group(template.identity) {
            // Relaxed, here and below: as in `admit`.
            let other = place.load(Ordering::Relaxed);
            if other != word && other != 0 {
                left.push(other);
            }
        }
        for (at, place) in self.group(template.identity).iter().enumerate() {
            place.store(left.get(at).copied().unwrap_or(0), Ordering::Relaxed);
        }
        self.changed();
    }

    fn changed(&self) {
        // Release: pairs with the Acquire in `epoch`. The lock on the entries orders the writers.
        self.epoch.fetch_add(1, Ordering::Release);
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        // A panic elsewhere leaves whole entries behind.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts the keys that a segment stores of templates that are not admitted: the frequent ones only, by the method of
/// Misra and Gries, so that texts that come once, however many, displace nobody for long.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Upper half of the identity and count, at the identity's place. Empty before there is any.
    counts: Vec<(u32, u16)>,
}

impl Candidates {
    /// A key was stored. Whether there are enough of its template now.
    pub(super) fn stored(&mut self, identity: Identity) -> bool {
        if self.counts.is_empty() {
            self.counts = vec![(0, 0); CANDIDATES];
        }
        let tag = upper(identity);
        let (counted, count) = self.at(identity);
        if *counted == tag {
            *count += 1;
            if *count >= ADMITTED_AT {
                // Asked for once: if it is refused, it has to be frequent for as long again.
                *count = 0;
                return true;
            }
        } else if *count == 0 {
            (*counted, *count) = (tag, 1);
        } else {
            *count -= 1;
        }
        false
    }

    /// A key that was stored is gone again.
    pub(super) fn removed(&mut self, identity: Identity) {
        if self.counts.is_empty() {
            return;
        }
        let (counted, count) = self.at(identity);
        if *counted == upper(identity) {
            *count = count.saturating_sub(1);
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<(u32, u16)>()
    }

    fn at(&mut self, identity: Identity) -> &mut (u32, u16) {
        &mut self.counts[identity.0 as usize % CANDIDATES]
    }
}

fn upper(identity: Identity) -> u32 {
    (identity.0 >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::{ADMITTED_AT, Candidates, Dictionary, Identity, Run, TEMPLATES};
    use crate::table::key::Hashing;

    #[test]
    fn a_template_comes_and_goes() {
        let hashing = Hashing::seeded(1);
        let dictionary = &hashing.dictionary;
        let [Some(pattern), None] = hashing.patterns(b"views:article:17") else { panic!("one number") };
        assert!(hashing.hash(b"views:article:17").numbered().is_none());
        let template = dictionary.admit(&pattern).unwrap();
        assert_eq!((template.prefix(), template.suffix()), (&b"views:article:"[..], &b""[..]));
        let found = hashing.hash(b"views:article:4000000000").numbered().unwrap();
        assert_eq!((found.template, found.id, found.start, found.end), (0, 4_000_000_000, 14, 24));
        let has =
            |index, epoch, key: &[u8], start, end| dictionary.has(index, epoch, key, Run { start, end });
        let epoch = dictionary.epoch();
        assert!(has(Some(0), epoch, b"views:article:4", 14, 15));
        assert!(!has(Some(0), epoch + 1, b"views:article:4", 14, 15), "it may be another one by now");
        assert!(!has(Some(0), epoch, b"views:articles4", 14, 15), "of another text");
        assert!(
            !has(Some(1), epoch, b"views:article:4", 14, 15) && !has(None, epoch, b"views:article:4", 14, 15)
        );
        // Wider ids, ids with leading zeros and other texts are other templates.
        for other in ["views:article:5000000000", "views:article:07", "views:article:1x", "view:article:1"] {
            assert!(hashing.hash(other.as_bytes()).numbered().is_none(), "{other}");
        }
        assert!(dictionary.attach(0).is_some() && dictionary.attach(1).is_none());
        dictionary.detach(&template);
        assert_eq!(dictionary.len(), 1);
        dictionary.detach(&template);
        assert_eq!(dictionary.len(), 0);
        assert!(hashing.hash(b"views:article:17").numbered().is_none());
    }

    #[test]
    fn either_of_two_numbers_may_be_the_id() {
        let hashing = Hashing::seeded(2);
        let key = b"user:42:day:20240501";
        let [Some(by_day), Some(by_user)] = hashing.patterns(key) else { panic!("two numbers") };
        let template = hashing.dictionary.admit(&by_user).unwrap();
        assert_eq!(hashing.hash(key).numbered().unwrap().id, 42);
        assert_eq!(template.render(7).as_slice(), b"user:7:day:20240501");
        assert_eq!(template.bits(42), hashing.bits(key));
        hashing.dictionary.admit(&by_day).unwrap();
        assert_eq!(hashing.hash(key).numbered().unwrap().id, 20_240_501);
    }

    #[test]
    fn the_dictionary_is_bounded() {
        let hashing = Hashing::seeded(3);
        for n in 0..2 * TEMPLATES {
            let key: String = format!("{n}:x:")
                .chars()
                .map(|c| if c.is_ascii_digit() { (c as u8 + 49) as char } else { c })
                .collect();
            let key = format!("{key}1");
            let [Some(pattern), None] = hashing.patterns(key.as_bytes()) else {
                panic!("one number in {key}")
            };
            let admitted = hashing.dictionary.admit(&pattern);
            assert!(admitted.is_none_or(|template| template.index < TEMPLATES));
        }
        assert!(hashing.dictionary.len() > TEMPLATES * 9 / 10 && hashing.dictionary.len() <= TEMPLATES);
        assert!(hashing.dictionary.refused() >= TEMPLATES as u64);
        assert!(Dictionary::default().heap_bytes() < 16 * 1024);
    }

    #[test]
    fn what_is_rare_does_not_displace_what_is_frequent() {
        let mut candidates = Candidates::default();
        let mix = |n: u64| Identity((n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut asked = 0;
        for n in 0..10_000_u64 {
            // One in four is of the frequent template; the others are all different.
            if n % 4 == 0 {
                asked += u32::from(candidates.stored(mix(1 << 40)));
            } else {
                assert!(!candidates.stored(mix(n)));
            }
        }
        assert!(asked > 100, "{asked}");
    }

    #[test]
    fn a_key_that_comes_and_goes_is_one_key() {
        let mut candidates = Candidates::default();
        for _ in 0..3 * ADMITTED_AT {
            assert!(!candidates.stored(Identity(5 << 40)));
            candidates.removed(Identity(5 << 40));
        }
    }
}

/// See the tests of `expiry`.
#[cfg(all(test, model))]
mod models {
    use loom::thread;

    use crate::table::key::Hashing;

    #[test]
    fn loom_who_sees_an_epoch_sees_its_templates() {
        let mut model = loom::model::Builder::new();
        // The dictionary's places are more atomics than a model usually has.
        model.max_branches = 100_000;
        model.check(|| {
            let hashing = Hashing::seeded(1);
            let before = hashing.dictionary.epoch();
            let other = hashing.clone();
            let writer = thread::spawn(move || {
                let [Some(pattern), None] = other.patterns(b"views:17") else { panic!("one number") };
                other.dictionary.admit(&pattern).expect("there is room");
            });
            let hash = hashing.hash(b"views:18");
            // A hash without the template is out of date once the template is there.
            assert!(
                hash.numbered().is_some()
                    || hashing.dictionary.epoch() == before
                    || !hash.is_current(&hashing)
            );
            writer.join().unwrap();
            assert!(!hash.is_current(&hashing) || hash.numbered().is_some());
        });
    }
}
