//! The counters: segments, each behind its own lock, shared by all workers.
//!
//! A key's segment and its place in it depend on one seeded hash. Time is an argument; effects leave through
//! the sink while the segment's lock is held, so that their order is the order of changes for every key.
//!
//! ```text
//! hash   [ segment 8 bits | …                      | place: as many low bits as the segment has slots ]
//!
//! Table ─ homes:    where the slots of each segment begin, for prefetching without a lock
//!       └ segments: Mutex<Segment> ─ Store ─ slots:   32 bytes a key; a short key's number is right here
//!                                          └ records: strings, deadlines, long keys
//! ```

use std::hash::{BuildHasher, Hasher};
use std::sync::Mutex;

use ahash::RandomState;
use arrayvec::ArrayVec;

pub mod effect;
mod lock;
mod probe;
mod record;
mod segment;
mod slot;
mod store;
#[cfg(test)]
mod tests;

use crate::resp::integer;
use effect::{Effect, EffectSink, Lsn};
pub use lock::{Guard, Guards, SegmentSet};
use probe::Home;
pub use segment::Segment;
pub use segment::hold::{Figures, Held, Holding};
pub use segment::watch::Watcher;
use slot::LINE_SLOTS;

/// Segments of a table. Many more than there are workers, so that two of them seldom want the same lock.
pub const SEGMENTS: usize = 256;

/// A value as the table shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A canonical decimal integer, kept as a number.
    Int(i64),
    /// Any other bytes.
    Str(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The value that these bytes are.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Self {
        integer::parse(bytes).map_or(Self::Str(bytes), Self::Int)
    }
}

/// Hash of a key under the process' seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(u64);

impl KeyHash {
    /// Number of the key's segment: the high bits.
    #[inline]
    fn segment(self) -> usize {
        const { assert!(SEGMENTS == 1 << 8) };
        usize::from(self.0.to_be_bytes()[0])
    }

    /// The place a search for the key begins at, among `mask + 1` of them: the low bits, down to the first place
    /// of a cache line.
    #[inline]
    fn position(self, mask: u64) -> usize {
        let first = self.0 & mask & !(LINE_SLOTS as u64 - 1);
        usize::try_from(first).expect("a mask is a number of slots minus one, which is a usize")
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

/// When a command looks, and where its effects go.
pub struct Moment<'m> {
    /// Milliseconds since the Unix epoch; keys whose deadline is at or before it are gone.
    pub now_ms: u64,
    /// Takes what changes, expiry included.
    pub effects: &'m mut dyn EffectSink,
}

impl std::fmt::Debug for Moment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Moment").field("now_ms", &self.now_ms).finish_non_exhaustive()
    }
}

/// The deadline that a `set` leaves behind. `u64::MAX` is none; no client's deadline comes near it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewDeadline {
    /// None, whatever there was.
    Clear,
    /// The one there was, if any.
    Keep,
    /// This one, in milliseconds since the Unix epoch.
    At(u64),
}

/// Why a value was not added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// The key holds bytes that are not a canonical integer.
    NotInteger,
    /// The sum is not an `i64`.
    Overflow,
}

/// Is shown a key, its value and its deadline (milliseconds since the Unix epoch) by [`Table::for_each`].
pub type Visit<'v> = dyn FnMut(&[u8], Value<'_>, Option<u64>) + 'v;

/// The process' way to hash keys.
#[derive(Clone, Debug)]
struct Hashing(RandomState);

impl Hashing {
    #[inline]
    fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = self.0.build_hasher();
        // Not `hash_one`, which hashes a slice's length apart: `write` has it already.
        hasher.write(key);
        KeyHash(hasher.finish())
    }
}

/// All counters of the process.
pub struct Table {
    hashing: Hashing,
    homes: Box<[Home]>,
    segments: Box<[Shard]>,
}

/// One segment and its lock, on cache lines of their own.
#[repr(align(64))]
struct Shard(Mutex<Segment>);

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the segments: to look into them takes their locks.
        f.debug_struct("Table").field("segments", &self.segments.len()).finish_non_exhaustive()
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// An empty table with a random seed.
    pub fn new() -> Self {
        Self::with_hashing(Hashing(RandomState::new()))
    }

    /// An empty table whose hashes depend on `seed` alone, for tests.
    pub fn with_seed(seed: u64) -> Self {
        Self::with_hashing(Hashing(RandomState::with_seeds(seed, !seed, seed.rotate_left(32), 1)))
    }

    fn with_hashing(hashing: Hashing) -> Self {
        let shard = |_| Shard(Mutex::new(Segment::new(hashing.clone())));
        let segments = (0..SEGMENTS).map(shard).collect();
        Self { homes: (0..SEGMENTS).map(|_| Home::new()).collect(), segments, hashing }
    }

    /// Hashes a key.
    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        Key { bytes, hash: self.hashing.hash(bytes) }
    }

    /// Fetches what a look-up of this hash will touch. A hint without a lock; harmless when it is out of date.
    #[inline]
    pub fn prefetch(&self, hash: KeyHash) {
        self.homes[hash.segment()].prefetch(hash);
    }

    /// Locks the segment of a hash.
    #[inline]
    pub fn lock(&self, hash: KeyHash) -> Guard<'_> {
        self.lock_segment(hash.segment())
    }

    /// Locks every segment of `set`, in order.
    pub fn lock_all(&self, set: &SegmentSet) -> Guards<'_> {
        // Ascending, as everywhere: of two threads that want the same segments one gets the first.
        let held = set.iter().map(|segment| self.lock_segment(segment)).collect();
        Guards::new(set, held)
    }

    /// Number of keys, those whose deadline passed but which are not removed yet included.
    ///
    /// This and the other sums lock one segment after the other: changes meanwhile count or do not.
    pub fn len(&self) -> usize {
        self.guards().map(|segment| segment.store().len()).sum()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.guards().all(|segment| segment.store().len() == 0)
    }

    /// Number of keys with a deadline.
    pub fn deadlines(&self) -> usize {
        self.guards().map(|segment| segment.store().timed()).sum()
    }

    /// Number of keys removed so far because their deadline passed.
    pub fn expired(&self) -> u64 {
        self.guards().map(|segment| segment.expired()).sum()
    }

    /// Removes every key as one change: swaps under all locks, frees after them.
    pub fn flush(&self, at: &mut Moment<'_>) {
        self.clear(|| at.effects.record(Effect::Flush));
    }

    /// Does again what an effect says, without a look at any clock and without an effect of its own.
    pub fn apply(&self, effect: &Effect<'_>) {
        match *effect {
            Effect::Set { key, .. } | Effect::Deadline { key, .. } | Effect::Remove { key, .. } => {
                let key = self.key(key);
                self.lock(key.hash).apply(key, effect);
            }
            Effect::Flush => self.clear(|| 0),
        }
    }

    /// Visits every key with its value and deadline, those whose deadline passed included.
    ///
    /// Locks one segment after the other: a segment is seen whole, as it is when its turn comes. `visit` must not
    /// use the table.
    pub fn for_each(&self, visit: &mut Visit<'_>) {
        for segment in self.guards() {
            segment.store().for_each(visit);
        }
    }

    /// Bytes the table holds on the heap, near enough for `INFO`.
    pub fn heap_bytes(&self) -> usize {
        let fixed = SEGMENTS * (size_of::<Home>() + size_of::<Shard>());
        fixed + self.guards().map(|segment| segment.store().heap_bytes()).sum::<usize>()
    }

    /// Empties all segments at the position that `record`, called while all are locked, answers with.
    fn clear(&self, record: impl FnOnce() -> Lsn) {
        // Its memory is taken before the locks are.
        let mut freed = Vec::with_capacity(SEGMENTS);
        let mut all: ArrayVec<Guard<'_>, SEGMENTS> = self.guards().collect();
        freed.extend(all.iter_mut().map(|segment| segment.take()));
        let position = record();
        for segment in &mut all {
            segment.flushed(position);
        }
        drop(all);
        // Only now: to free millions of strings takes long.
        drop(freed);
    }

    /// Each segment in order, locked when its turn comes.
    fn guards(&self) -> impl Iterator<Item = Guard<'_>> {
        (0..SEGMENTS).map(|segment| self.lock_segment(segment))
    }

    #[inline]
    fn lock_segment(&self, segment: usize) -> Guard<'_> {
        let locked = self.segments[segment].0.lock();
        // Only tests survive a panic; to go on there with a segment half changed would hide it.
        let held = locked.expect("no thread has panicked while it held a segment: a panic ends the process");
        Guard::new(held, &self.homes[segment])
    }
}
