//! The counters: segments, each behind its own lock, shared by all workers.
//!
//! A key's segment and its position in it depend on one seeded hash, and on nothing that changes. Time is an argument;
//! effects leave through the sink while the segment's lock is held, so that their order is the order of changes for
//! every key.
//!
//! ```text
//! hash   [ segment 8 bits | position, a fraction                                     ]
//!
//! Table ─ dictionary: templates that were admitted, looked up without a lock
//!       ├ homes:      where the lines of each template and segment are, for prefetching without a lock
//!       ├ tasks:      when each segment has something to expire or to tidy
//!       └ segments:   Mutex<Segment> ─ Store ─ numbered: for each template, lines of ids and values
//!                                            └ packed:   an index, and a cell for each key with all it holds
//!                                                        (strings, rows, maps, numbers without a template)
//! ```
//!
//! To read: `key` (what a key's hash is), `array` and `lines` (how lines are found, and grow), `number` and `packed` (what
//! is in them), `cells` and `record`, `hash` and `shape`, `window`, `tokens`, `store` (which key is where), `segment`
//! (what commands do), `inventory`, `walk`, `export`, `expiry`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrayvec::ArrayVec;

mod array;
mod cells;
mod counters;
mod digits;
pub mod effect;
mod emptying;
mod expiry;
mod export;
mod fields;
mod hash;
mod inventory;
mod key;
mod lines;
mod lock;
mod number;
mod packed;
mod probe;
mod record;
mod replay;
mod segment;
mod shape;
mod store;
mod survey;
mod template;
#[cfg(test)]
mod tests;
mod tokens;
mod walk;
mod window;

use crate::resp::integer;
use effect::{Effect, EffectSink, Lsn};
pub use expiry::Sweep;
use expiry::Tasks;
pub use export::{Position, ShowEffect};
pub use hash::{Fields, VisitField};
pub use inventory::Census;
use key::Hashing;
pub use key::{Key, KeyHash, Memo};
pub use lock::{Guard, Guards, SegmentSet};
use lock::{Memory, Shard};
use probe::Homes;
pub use replay::Replayer;
pub use segment::Segment;
pub use segment::hold::{Figures, Held, Holding};
pub use segment::watch::Watcher;
pub use segment::window::WindowError;
use store::Store;
pub use survey::{Popular, Survey};
pub use tokens::{Used, VisitToken};
pub use walk::Cursor;
pub use window::Window;

/// Segments of a table. Several times as many as there are workers, so that two of them seldom want the same lock; and no
/// more, so that what each has beside its keys stays in the nearer caches, and a request of many keys takes few locks.
pub const SEGMENTS: usize = 64;

/// Most entries that one operation on one key moves, whatever the size of the table.
pub const MOVED_ENTRIES: usize = lines::MOVED_ENTRIES;

/// A value as the table shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A canonical decimal integer, kept as a number.
    Int(i64),
    /// Any other bytes.
    Str(&'a [u8]),
    /// Fields and their values, which are integers or bytes.
    Hash(Fields<'a>),
    /// A rate limit: nanoseconds since the Unix epoch at which all that was let through has been worked off.
    Throttle(i64),
    /// Sums of the buckets of a sliding window.
    Window(Window<'a>),
}

/// A value that is a string to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// A canonical decimal integer.
    Int(i64),
    /// Any other bytes.
    Str(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The value as a string, if it is one.
    #[inline]
    pub fn scalar(self) -> Option<Scalar<'a>> {
        match self {
            Self::Int(number) => Some(Scalar::Int(number)),
            Self::Str(text) => Some(Scalar::Str(text)),
            Self::Hash(_) | Self::Throttle(_) | Self::Window(_) => None,
        }
    }

    /// The value that these bytes are.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Self {
        Scalar::of(bytes).into()
    }

    /// Redis' name for what kind of value it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Int(_) | Self::Str(_) => "string",
            Self::Hash(_) => "hash",
            Self::Throttle(_) => "throttle",
            Self::Window(_) => "window",
        }
    }

    /// Redis' name for how it is kept.
    pub fn encoding(&self) -> &'static str {
        /// Redis keeps a string up to here with its object (`OBJ_ENCODING_EMBSTR_SIZE_LIMIT`).
        const EMBEDDED: usize = 44;
        match self {
            Self::Int(_) | Self::Throttle(_) => "int",
            Self::Str(text) if text.len() <= EMBEDDED => "embstr",
            Self::Str(_) | Self::Window(_) => "raw",
            Self::Hash(fields) => fields.encoding(),
        }
    }
}

/// How long a window is and into how many buckets it is cut. Both are fixed when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowShape {
    /// Milliseconds, at least 1.
    pub length_ms: u64,
    /// Buckets of equal length, 1 to 1,024.
    pub buckets: u16,
}

impl<'a> Scalar<'a> {
    /// The value that these bytes are.
    #[inline]
    pub fn of(bytes: &'a [u8]) -> Self {
        integer::parse(bytes).map_or(Self::Str(bytes), Self::Int)
    }
}

impl<'a> From<Scalar<'a>> for Value<'a> {
    #[inline]
    fn from(scalar: Scalar<'a>) -> Self {
        match scalar {
            Scalar::Int(number) => Self::Int(number),
            Scalar::Str(bytes) => Self::Str(bytes),
        }
    }
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
    /// What is there is bytes that are not a canonical integer.
    NotInteger,
    /// The sum is not an `i64`.
    Overflow,
    /// The key holds another kind of value.
    WrongType,
}

/// The key holds another kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// Is shown a key, its value and its deadline (milliseconds since the Unix epoch) by [`Table::for_each`].
pub type Visit<'v> = dyn FnMut(&[u8], Value<'_>, Option<u64>) + 'v;

/// All counters of the process.
pub struct Table {
    hashing: Hashing,
    homes: Arc<Homes>,
    tasks: Tasks,
    segments: Box<[Shard]>,
    memory: Memory,
    /// Random numbers drawn.
    drawn: AtomicU64,
}

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
        Self::with_hashing(Hashing::random())
    }

    /// An empty table whose hashes depend on `seed` alone, for tests.
    pub fn with_seed(seed: u64) -> Self {
        Self::with_hashing(Hashing::seeded(seed))
    }

    fn with_hashing(hashing: Hashing) -> Self {
        let homes = Arc::<Homes>::default();
        let store = |segment| Store::new(hashing.clone(), Arc::clone(&homes), segment);
        let shard = |segment| Shard(Mutex::new(Segment::new(store(segment))));
        let segments = (0..SEGMENTS).map(shard).collect();
        Self {
            homes,
            tasks: Tasks::default(),
            segments,
            hashing,
            memory: Memory::default(),
            drawn: AtomicU64::new(0),
        }
    }

    /// Hashes a key.
    #[inline]
    pub fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        Key { bytes, hash: self.hashing.hash(bytes) }
    }

    /// Nothing to remember yet, for [`Table::key_after`].
    pub fn memo(&self) -> Memo {
        self.hashing.memo()
    }

    /// Hashes a key, faster where it has the text of the one before.
    #[inline(always)]
    pub fn key_after<'k>(&self, memo: &mut Memo, bytes: &'k [u8]) -> Key<'k> {
        Key { bytes, hash: self.hashing.hash_after(memo, bytes) }
    }

    /// Fetches what a look-up of this hash will touch. A hint without a lock; harmless when it is out of date.
    #[inline]
    pub fn prefetch(&self, hash: KeyHash) {
        self.homes.prefetch(hash);
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

    /// Number of keys removed so far because memory was needed.
    pub fn evicted(&self) -> u64 {
        self.guards().map(|segment| segment.evicted()).sum()
    }

    /// Entries that were moved so far when something grew or shrank.
    pub fn moves(&self) -> u64 {
        self.guards().map(|segment| segment.store().moves()).sum()
    }

    /// Keys and bytes by how they are kept.
    pub fn census(&self) -> Census {
        self.guards().fold(Census::default(), |sum, segment| sum.and(segment.store().census()))
    }

    /// Number of templates, and how often one was refused for want of room.
    pub fn templates(&self) -> (usize, u64) {
        (self.hashing.dictionary.len(), self.hashing.dictionary.refused())
    }

    /// Removes every key as one change: swaps under all locks, frees after them.
    pub fn flush(&self, at: &mut Moment<'_>) {
        self.clear(|| at.effects.record(Effect::Flush));
    }

    /// Does again what an effect says, without a look at any clock and without an effect of its own.
    pub fn apply(&self, effect: &Effect<'_>) {
        self.apply_to(effect.changed_key().map(|key| self.key(key)), effect);
    }

    /// Does an effect again, on the key that it concerns, if it concerns one.
    fn apply_to(&self, key: Option<Key<'_>>, effect: &Effect<'_>) {
        match (*effect, key) {
            (Effect::Token { key, token, fingerprint, value, deadline }, _) => {
                self.apply_token(key, token, Used { fingerprint, value, deadline });
            }
            (_, Some(key)) => self.lock(key.hash).apply(key, effect),
            (_, None) => self.clear(|| 0),
        }
    }

    /// The way to do many effects again: faster than one by one.
    pub fn replayer(&self) -> Replayer<'_> {
        Replayer { table: self, memo: self.memo(), ahead: 0 }
    }

    /// Visits every key with its value and deadline, those whose deadline passed included.
    ///
    /// Locks one segment after the other: a segment is seen whole, as it is when its turn comes. `visit` must not
    /// use the table.
    pub fn for_each(&self, visit: &mut Visit<'_>) {
        for segment in self.guards() {
            segment.store().visit(0, u64::MAX, visit);
        }
    }

    /// Bytes the table holds on the heap. One load and a few additions: fit to be asked for often.
    pub fn heap_bytes(&self) -> usize {
        let fixed = SEGMENTS * (size_of::<Shard>() + size_of::<AtomicU64>());
        // Relaxed: a sum for bounds and display, whose parts change at any time.
        fixed
            + self.homes.heap_bytes()
            + self.hashing.dictionary.heap_bytes()
            + self.memory.used.load(Ordering::Relaxed)
    }

    /// Bytes given back to the allocator since the last call of any thread.
    pub fn take_freed(&self) -> usize {
        // Relaxed, as in `heap_bytes`. Most of the time there is nothing to write.
        let freed = &self.memory.freed;
        if freed.load(Ordering::Relaxed) == 0 { 0 } else { freed.swap(0, Ordering::Relaxed) }
    }

    /// A random number that nobody outside can foresee.
    pub(crate) fn random(&self) -> u64 {
        // Relaxed: only that no number is drawn twice matters. Eight bytes that end in no digit are hashed whole.
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        self.hashing.scramble(drawn)
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
        Guard::new(held, &self.tasks, segment, &self.memory)
    }
}
