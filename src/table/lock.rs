//! Segments while they are locked: one, or several in one fixed order. Knows no key's bytes.

#[cfg(model)]
use loom::sync::atomic::AtomicU64;
use std::ops::{Deref, DerefMut};
#[cfg(not(model))]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use arrayvec::ArrayVec;

use super::effect::Lsn;
use super::expiry::Tasks;
use super::{KeyHash, SEGMENTS, Segment};

/// One segment and its lock, on cache lines of their own.
#[repr(align(64))]
pub(super) struct Shard(pub(super) Mutex<Segment>);

/// Sums over all segments, of bytes but where it says otherwise.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// On the heap.
    pub(super) used: AtomicUsize,
    /// Given back to the allocator since they were last asked for.
    pub(super) freed: AtomicUsize,
    /// Tokens of all segments.
    tokens: AtomicUsize,
}

impl Memory {
    /// Number of tokens.
    pub(super) fn tokens(&self) -> usize {
        // Relaxed: a sum for bounds and display, whose parts change at any time.
        self.tokens.load(Ordering::Relaxed)
    }
}

/// One segment, locked until this is dropped.
#[derive(Debug)]
pub struct Guard<'t> {
    held: MutexGuard<'t, Segment>,
    /// When all segments have something to do, and when this one has.
    tasks: &'t Tasks,
    task: &'t AtomicU64,
    /// What all segments use.
    memory: &'t Memory,
}

impl<'t> Guard<'t> {
    /// The guard of a locked segment.
    #[inline]
    pub(super) fn new(
        held: MutexGuard<'t, Segment>,
        tasks: &'t Tasks,
        segment: usize,
        memory: &'t Memory,
    ) -> Self {
        Self { held, tasks, task: tasks.of(segment), memory }
    }
}

impl Deref for Guard<'_> {
    type Target = Segment;

    #[inline]
    fn deref(&self) -> &Segment {
        &self.held
    }
}

impl DerefMut for Guard<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Segment {
        &mut self.held
    }
}

impl Drop for Guard<'_> {
    /// Publishes what has changed: when there is something to do, and how much memory is used. The lock is given back
    /// after this.
    #[inline]
    fn drop(&mut self) {
        let store = self.held.store();
        let task = store.task();
        // Relaxed, here and below: who sees an old value does too much or too little, once. Written where it differs
        // only, so that the cores that look at it keep it.
        if self.task.load(Ordering::Relaxed) != task {
            self.tasks.set(self.task, task);
        }
        if store.has_resized() {
            let growth = self.held.take_growth();
            if growth.bytes != 0 {
                self.memory.used.fetch_add(growth.bytes.cast_unsigned(), Ordering::Relaxed);
            }
            if growth.freed != 0 {
                self.memory.freed.fetch_add(growth.freed, Ordering::Relaxed);
            }
            if growth.tokens != 0 {
                self.memory.tokens.fetch_add(growth.tokens.cast_unsigned(), Ordering::Relaxed);
            }
        }
    }
}

/// A set of segments to lock together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SegmentSet {
    /// Segment n is bit n % 64 of word n / 64.
    words: [u64; SEGMENTS / 64],
}

impl SegmentSet {
    /// Adds the segment of a hash.
    #[inline]
    pub fn insert(&mut self, hash: KeyHash) {
        let segment = hash.segment();
        self.words[segment / 64] |= 1 << (segment % 64);
    }

    #[inline]
    fn has(&self, segment: usize) -> bool {
        self.words[segment / 64] >> (segment % 64) & 1 == 1
    }

    /// Number of members below `segment`, if it is a member itself.
    fn rank(&self, segment: usize) -> Option<usize> {
        if !self.has(segment) {
            return None;
        }
        let (word, bit) = (segment / 64, 1 << (segment % 64));
        let below = self.words[..word].iter().map(|word| word.count_ones()).sum::<u32>();
        Some((below + (self.words[word] & (bit - 1)).count_ones()) as usize)
    }

    /// The members, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().zip((0..SEGMENTS).step_by(64)).flat_map(|(&word, first)| {
            // Clears the lowest bit again and again.
            std::iter::successors(Some(word), |left| Some(left & left.wrapping_sub(1)))
                .take_while(|&left| left != 0)
                .map(move |left| first + left.trailing_zeros() as usize)
        })
    }
}

/// Several segments, locked together until this is dropped.
#[derive(Debug)]
pub struct Guards<'t> {
    set: SegmentSet,
    /// The members of `set`, ascending.
    held: ArrayVec<Guard<'t>, SEGMENTS>,
}

impl<'t> Guards<'t> {
    /// The guards of all members of `set`, ascending.
    pub(super) fn new(set: &SegmentSet, held: ArrayVec<Guard<'t>, SEGMENTS>) -> Self {
        debug_assert_eq!(set.iter().count(), held.len());
        Self { set: set.clone(), held }
    }

    /// The segment of a hash whose segment is in the set.
    ///
    /// # Panics
    /// If it is not.
    #[inline]
    pub fn segment(&mut self, hash: KeyHash) -> &mut Guard<'t> {
        let rank = self.set.rank(hash.segment()).expect("the segments of all keys were locked");
        &mut self.held[rank]
    }

    /// Something in them may have changed at `position`, which was the end of a group.
    pub fn mark(&mut self, position: Lsn) {
        self.held.iter_mut().for_each(|segment| segment.mark(position));
    }

    /// Position of the last change in any of them.
    pub fn changed(&self) -> Lsn {
        self.held.iter().map(|segment| segment.changed()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::{SEGMENTS, SegmentSet};
    use crate::table::effect::Discard;
    use crate::table::key::first_of;
    use crate::table::{Key, KeyHash, Moment, Table, Value};

    const THREADS: usize = 8;
    const ROUNDS: usize = 2_000;

    fn add(table: &Table, key: Key<'_>, delta: i64) {
        let mut at = Moment { now_ms: 1, effects: &mut Discard };
        table.lock(key.hash).add(key, delta, &mut at).expect("counters of this test stay small");
    }

    fn number(table: &Table, bytes: &[u8]) -> i64 {
        let key = table.key(bytes);
        match table.lock(key.hash).get(key, &mut Moment { now_ms: 1, effects: &mut Discard }) {
            Some(Value::Int(number)) => number,
            other => panic!("{bytes:?} holds {other:?}"),
        }
    }

    #[test]
    fn a_set_lists_its_members_and_ranks_them() {
        let of = |segment: usize| KeyHash::of_bits(first_of(segment) | 0xFFFF);
        let mut set = SegmentSet::default();
        let members = [0, 1, 5, SEGMENTS / 2 - 1, SEGMENTS / 2, SEGMENTS - 3, SEGMENTS - 1];
        for member in members.iter().rev() {
            set.insert(of(*member));
        }
        assert!(set.iter().eq(members));
        for (rank, &member) in members.iter().enumerate() {
            assert_eq!(set.rank(member), Some(rank));
        }
        assert_eq!(set.rank(2), None);
        assert_eq!(SegmentSet::default().iter().count(), 0);
        (0..SEGMENTS).for_each(|segment| set.insert(of(segment)));
        assert!(set.iter().eq(0..SEGMENTS));
        let table = Table::with_seed(1);
        let mut all = table.lock_all(&set);
        assert!((0..SEGMENTS).all(|segment| all.segment(of(segment)).changed() == 0));
    }

    #[test]
    fn additions_of_many_threads_add_up() {
        let table = Table::with_seed(2);
        let start = Barrier::new(THREADS);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (table, start) = (&table, &start);
                scope.spawn(move || {
                    start.wait();
                    for round in 0..ROUNDS {
                        add(table, table.key(b"shared"), 1);
                        add(table, table.key(format!("shared:{}", round % 7).as_bytes()), 1);
                        let own = format!("own:{thread}:{round}");
                        let own = table.key(own.as_bytes());
                        // While other threads grow the same segments.
                        table.prefetch(own.hash);
                        add(table, own, 3);
                    }
                });
            }
        });
        let added = i64::try_from(THREADS * ROUNDS).unwrap();
        assert_eq!(number(&table, b"shared"), added);
        assert_eq!((0..7).map(|n| number(&table, format!("shared:{n}").as_bytes())).sum::<i64>(), added);
        assert_eq!(table.len(), 8 + THREADS * ROUNDS);
        for thread in 0..THREADS {
            assert!((0..ROUNDS).all(|n| number(&table, format!("own:{thread}:{n}").as_bytes()) == 3));
        }
    }

    #[test]
    fn opposite_orders_of_keys_neither_deadlock_nor_show_halves() {
        let table = Table::with_seed(3);
        let names: Vec<String> = (0..20).map(|n| format!("account:{n}")).collect();
        let start = Barrier::new(THREADS);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (table, names, start) = (&table, &names, &start);
                scope.spawn(move || {
                    let mut keys: Vec<Key<'_>> =
                        names.iter().map(|name| table.key(name.as_bytes())).collect();
                    if thread % 2 == 1 {
                        keys.reverse();
                    }
                    let mut set = SegmentSet::default();
                    keys.iter().for_each(|key| set.insert(key.hash));
                    let mut at = Moment { now_ms: 1, effects: &mut Discard };
                    start.wait();
                    for _ in 0..ROUNDS / 4 {
                        let mut guards = table.lock_all(&set);
                        let mut sums =
                            keys.iter().map(|key| guards.segment(key.hash).add(*key, 1, &mut at).unwrap());
                        let first = sums.next().unwrap();
                        assert!(sums.all(|sum| sum == first), "another thread came in between");
                    }
                });
            }
        });
        let added = i64::try_from(THREADS * (ROUNDS / 4)).unwrap();
        assert!(names.iter().all(|name| number(&table, name.as_bytes()) == added));
    }

    #[test]
    #[should_panic(expected = "the segments of all keys were locked")]
    fn a_segment_outside_the_set_is_refused() {
        let table = Table::with_seed(4);
        let _ = table.lock_all(&SegmentSet::default()).segment(KeyHash::of_bits(0));
    }
}
