//! Where each segment's slots begin, published for prefetching without a lock. Reads no slot.
//!
//! The words are apart from the locks on purpose: they change only when a segment's slots move, so that every
//! core keeps all of them (4 KiB) in its own cache while the locks' lines travel.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the prefetch instruction is declared unsafe because it takes an address")
)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::KeyHash;
use super::slot::{LINE_SLOTS, Slot};

/// Start and mask of one segment's slots as they were when its lock was last given back.
#[derive(Debug)]
pub(super) struct Home {
    /// The first slot; null before there is any. Never read through.
    base: AtomicPtr<Slot>,
    /// Number of slots minus one, 0 before there is any.
    mask: AtomicU64,
}

impl Home {
    /// The home of a segment without slots.
    pub(super) fn new() -> Self {
        Self { base: AtomicPtr::new(ptr::null_mut()), mask: AtomicU64::new(0) }
    }

    /// Publishes where the slots are now. The caller holds the segment's lock.
    pub(super) fn publish(&self, slots: &[Slot]) {
        // Relaxed, here and below: no memory is accessed through these words, so nothing has to be visible before
        // them, and a reader that sees one new and one old word fetches a line in vain.
        self.base.store(slots.as_ptr().cast_mut(), Ordering::Relaxed);
        self.mask.store((slots.len() as u64).saturating_sub(1), Ordering::Relaxed);
    }

    /// Fetches the line in which the look-up of `hash` begins, and the next, where a good part of the searches
    /// goes on and would wait for memory.
    #[inline]
    pub(super) fn prefetch(&self, hash: KeyHash) {
        let position = hash.position(self.mask.load(Ordering::Relaxed));
        // Wrapping: the two words may belong to different arrays, or to one that is freed by now.
        let first = self.base.load(Ordering::Relaxed).wrapping_add(position);
        fetch(first);
        fetch(first.wrapping_add(LINE_SLOTS));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn fetch(slot: *const Slot) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch is a hint that neither faults nor changes what a program can observe, whatever the
    // address (Intel SDM vol. 2, PREFETCHh: "does not cause exceptions"); its only requirement is SSE, which
    // every x86_64 has.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(slot.cast::<i8>()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn fetch(_: *const Slot) {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::Home;
    use crate::table::effect::Discard;
    use crate::table::slot::Slot;
    use crate::table::{KeyHash, Moment, NewDeadline, Table};

    #[test]
    fn prefetching_is_harmless_whatever_is_published() {
        let home = Home::new();
        let hashes = [0, 1, u64::MAX, 1 << 63].map(KeyHash);
        hashes.iter().for_each(|&hash| home.prefetch(hash));
        let slots = vec![Slot::EMPTY; 16];
        home.publish(&slots);
        drop(slots);
        hashes.iter().for_each(|&hash| home.prefetch(hash));
        home.publish(&[]);
        hashes.iter().for_each(|&hash| home.prefetch(hash));
        let table = Table::with_seed(5);
        hashes.iter().for_each(|&hash| table.prefetch(hash));
    }

    #[test]
    fn what_is_published_follows_the_slots() {
        let table = Table::with_seed(6);
        let mut at = Moment { now_ms: 1, effects: &mut Discard };
        let published = |segment: usize| {
            let home = &table.homes[segment];
            (home.base.load(Ordering::Relaxed).addr(), home.mask.load(Ordering::Relaxed))
        };
        for n in 0..20_000 {
            let name = n.to_string();
            let key = table.key(name.as_bytes());
            table.lock(key.hash).set(key, b"1", NewDeadline::Clear, &mut at);
        }
        for segment in 0..table.homes.len() {
            let mut guard = table.lock_segment(segment);
            let slots = guard.store().slots();
            assert!(slots.len() >= 64);
            assert_eq!(published(segment), (slots.as_ptr().addr(), slots.len() as u64 - 1));
            assert!(guard.moved_slots().is_none());
        }
        table.flush(&mut at);
        assert!((0..table.homes.len()).all(|segment| published(segment).1 == 0));
    }
}
