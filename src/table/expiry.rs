//! What is done beside what commands ask for: keys whose deadline has passed are removed, templates without keys given
//! up, and where memory is short the keys that would go next anyway. In bounded steps, one segment's lock at a time.

#[cfg(model)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(model))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

use arrayvec::ArrayVec;

use super::inventory::Due;
use super::{Moment, SEGMENTS, Table};

/// Segments that are looked at for the key with the earliest deadline, before any key will do.
const EVICTION_TRIES: usize = 16;

/// One thread's way through the segments, and memory for what it finds.
#[derive(Debug, Default)]
pub struct Sweep {
    segment: usize,
    due: Due,
}

impl Sweep {
    /// A sweep that begins at a segment of its own for each `thread`.
    pub fn of_thread(thread: usize) -> Self {
        Self { segment: thread * 97 % SEGMENTS, due: Due::default() }
    }
}

/// Unix milliseconds from which on segments have something to do beside what commands ask for; `u64::MAX` = never. Apart
/// from the locks, as they are looked at often and changed seldom.
#[derive(Debug)]
pub(super) struct Tasks {
    /// At or before the earliest of `each`, but for moments.
    soonest: AtomicU64,
    each: Box<[AtomicU64]>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self {
            soonest: AtomicU64::new(u64::MAX),
            each: (0..SEGMENTS).map(|_| AtomicU64::new(u64::MAX)).collect(),
        }
    }
}

#[cfg(all(test, model))]
impl Tasks {
    fn of_two_segments() -> Self {
        Self { soonest: AtomicU64::new(u64::MAX), each: (0..2).map(|_| AtomicU64::new(u64::MAX)).collect() }
    }
}

impl Tasks {
    /// When a segment has something to do.
    pub(super) fn of(&self, segment: usize) -> &AtomicU64 {
        &self.each[segment]
    }

    /// A segment, whose lock the caller holds, has something to do from `time` on.
    pub(super) fn set(&self, task: &AtomicU64, time: u64) {
        // The fence pairs with the one in `look`: either that sees the new time, or this comes after it has begun anew.
        task.store(time, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.soonest.fetch_min(time, Ordering::Relaxed);
    }

    /// Makes `soonest` the earliest again, after some became later.
    fn look(&self) {
        self.soonest.store(u64::MAX, Ordering::Relaxed);
        // Pairs with the fence in `set`.
        fence(Ordering::SeqCst);
        let earliest = self.each.iter().map(|task| task.load(Ordering::Relaxed)).min();
        self.soonest.fetch_min(earliest.unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Table {
    /// Unix milliseconds from which on [`Table::expire`] has something to do; `u64::MAX` = nothing at all.
    #[inline]
    pub fn next_task(&self) -> u64 {
        // Relaxed: what is missed is seen the next time.
        self.tasks.soonest.load(Ordering::Relaxed)
    }

    /// Removes keys whose deadline has passed, `most` of them and those of one group more. True: there are more.
    pub fn expire(&self, sweep: &mut Sweep, most: usize, at: &mut Moment<'_>) -> bool {
        let mut removed = 0;
        for _ in 0..SEGMENTS {
            if self.tasks.of(sweep.segment).load(Ordering::Relaxed) <= at.now_ms {
                let mut segment = self.lock_segment(sweep.segment);
                segment.tidy(at.now_ms);
                while let Some(some) = segment.expire_some(&mut sweep.due, at) {
                    // A group in which nothing was due costs as much as a few keys.
                    removed += some + 8;
                    if removed >= most {
                        return true;
                    }
                }
            }
            sweep.segment = (sweep.segment + 1) % SEGMENTS;
        }
        self.tasks.look();
        false
    }

    /// Removes one key, of those with the earliest deadlines. False: no key has a deadline.
    pub fn evict(&self, at: &mut Moment<'_>) -> bool {
        // Bounds may be too early. Then the segment's is made exact, and another one may be the first.
        for _ in 0..EVICTION_TRIES {
            let times =
                (0..SEGMENTS).map(|segment| (self.tasks.of(segment).load(Ordering::Relaxed), segment));
            let mut soonest: ArrayVec<(u64, usize), SEGMENTS> =
                times.filter(|&(due, _)| due != u64::MAX).collect();
            soonest.sort_unstable();
            let Some(&(_, first)) = soonest.first() else { return false };
            let limit = soonest.get(1).map_or(u64::MAX - 1, |&(due, _)| due);
            if self.lock_segment(first).evict(limit, at) {
                return true;
            }
        }
        (0..SEGMENTS).any(|segment| self.lock_segment(segment).evict(u64::MAX - 1, at))
    }
}

/// Every order in which two threads' steps can come, and every value that a relaxed load may then give. Run with
/// `RUSTFLAGS='--cfg model' cargo test --lib loom_`.
#[cfg(all(test, model))]
mod tests {
    use loom::sync::Arc;
    use loom::sync::atomic::Ordering;
    use loom::thread;

    use super::Tasks;

    #[test]
    fn loom_no_task_is_lost() {
        loom::model(|| {
            let tasks = Arc::new(Tasks::of_two_segments());
            tasks.set(tasks.of(0), 5);
            let other = Arc::clone(&tasks);
            // One thread has done what was to be done in segment 0 and looks again; another one gets a deadline into
            // segment 1 at that moment.
            let writer = thread::spawn(move || other.set(other.of(1), 7));
            tasks.set(tasks.of(0), u64::MAX);
            tasks.look();
            writer.join().unwrap();
            assert!(tasks.soonest.load(Ordering::Relaxed) <= 7, "the deadline is known");
        });
    }

    #[test]
    fn loom_two_lookers_lose_nothing() {
        loom::model(|| {
            let tasks = Arc::new(Tasks::of_two_segments());
            let other = Arc::clone(&tasks);
            let looker = thread::spawn(move || other.look());
            tasks.set(tasks.of(1), 7);
            tasks.look();
            looker.join().unwrap();
            assert_eq!(tasks.soonest.load(Ordering::Relaxed), 7);
        });
    }
}
