//! Where the lines of each template and each segment are, published for prefetching without a lock. Reads no line.
//!
//! The words are apart from the locks on purpose: they change only when lines are added, so that every core keeps them
//! in its own cache while the locks' lines travel.
#![expect(clippy::cast_possible_truncation, reason = "addresses are usize, which has 64 bits here")]
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the prefetch instruction is declared unsafe because it takes an address")
)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::SEGMENTS;
use super::key::KeyHash;
use super::template::TEMPLATES;

/// Bits of a word for the number of lines; the others are for the address of the first, in cache lines.
const SIZE_BITS: u32 = 22;

/// Addresses fit 48 bits, in cache lines 42.
const _: () = assert!(SIZE_BITS + 42 == u64::BITS);

/// The lines of one template, or the index of the packed keys, in one segment: as they were when they last changed.
#[derive(Debug, Default)]
struct Home {
    /// The array, and the one that it moves into: address and number of lines; 0 = none, or more than a word can tell.
    arrays: [AtomicU64; 2],
    /// Lines of the first that have moved into the second.
    moved: AtomicU64,
}

impl Home {
    fn publish(&self, addresses: [(usize, usize); 2], moved: usize) {
        let words = addresses.map(|(address, lines)| {
            let fits = lines > 0 && lines < 1 << SIZE_BITS && address % 64 == 0 && address >> 48 == 0;
            if fits { (address as u64 / 64) << SIZE_BITS | lines as u64 } else { 0 }
        });
        // Relaxed, here and below: no memory is accessed through these words, so nothing has to be visible before
        // them, and a reader that sees new and old words mixed fetches a line in vain. Written only where they differ,
        // so that the cores keep them.
        let words = [(&self.arrays[0], words[0]), (&self.arrays[1], words[1]), (&self.moved, moved as u64)];
        for (word, value) in words {
            if word.load(Ordering::Relaxed) != value {
                word.store(value, Ordering::Relaxed);
            }
        }
    }

    #[inline]
    fn prefetch(&self, position: u64) {
        let word = self.arrays[0].load(Ordering::Relaxed);
        let mut home = line_of(word, position);
        let mut base = word >> SIZE_BITS;
        let next = self.arrays[1].load(Ordering::Relaxed);
        if next != 0 && home < self.moved.load(Ordering::Relaxed) {
            home = line_of(next, position);
            base = next >> SIZE_BITS;
        }
        if base != 0 {
            fetch((base + home) as usize * 64);
        }
    }
}

/// The home of a position among the lines that a word tells.
#[inline]
fn line_of(word: u64, position: u64) -> u64 {
    let lines = word & ((1 << SIZE_BITS) - 1);
    ((u128::from(position) * u128::from(lines)) >> 64) as u64
}

/// The homes of all segments, of the packed keys and of each template that was ever admitted.
#[derive(Debug)]
pub(super) struct Homes {
    packed: Box<[Home]>,
    numbered: Box<[OnceLock<Box<[Home]>>]>,
    /// Templates that were ever admitted.
    opened: AtomicUsize,
}

impl Default for Homes {
    fn default() -> Self {
        Self {
            packed: fresh(),
            numbered: (0..TEMPLATES).map(|_| OnceLock::new()).collect(),
            opened: AtomicUsize::new(0),
        }
    }
}

fn fresh() -> Box<[Home]> {
    (0..SEGMENTS).map(|_| Home::default()).collect()
}

impl Homes {
    /// Makes room for the homes of a template.
    pub(super) fn open(&self, template: usize) {
        self.numbered[template].get_or_init(|| {
            // Relaxed: a count for display.
            self.opened.fetch_add(1, Ordering::Relaxed);
            fresh()
        });
    }

    /// Publishes where a template's lines in a segment are. The caller holds the segment's lock.
    #[inline]
    pub(super) fn publish(
        &self,
        template: usize,
        segment: usize,
        addresses: [(usize, usize); 2],
        moved: usize,
    ) {
        if let Some(homes) = self.numbered[template].get() {
            homes[segment].publish(addresses, moved);
        }
    }

    /// Publishes where a segment's index of packed keys is. The caller holds the segment's lock.
    #[inline]
    pub(super) fn publish_packed(&self, segment: usize, addresses: [(usize, usize); 2], moved: usize) {
        self.packed[segment].publish(addresses, moved);
    }

    /// Fetches the line in which the look-up of `hash` begins.
    #[inline]
    pub(super) fn prefetch(&self, hash: KeyHash) {
        let homes = match hash.numbered() {
            None => &self.packed,
            Some(numbered) => match self.numbered[numbered.template].get() {
                Some(homes) => homes,
                None => return,
            },
        };
        homes[hash.segment()].prefetch(hash.position());
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        (1 + self.opened.load(Ordering::Relaxed)) * SEGMENTS * size_of::<Home>()
            + TEMPLATES * size_of::<OnceLock<Box<[Home]>>>()
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn fetch(address: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch is a hint that neither faults nor changes what a program can observe, whatever the
    // address (Intel SDM vol. 2, PREFETCHh: "does not cause exceptions"); its only requirement is SSE, which
    // every x86_64 has.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address)) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn fetch(_: usize) {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::{Home, SIZE_BITS, line_of};
    use crate::table::effect::Discard;
    use crate::table::{Moment, NewDeadline, Table};

    #[test]
    fn prefetching_is_harmless_whatever_is_published() {
        let home = Home::default();
        for addresses in [[(0, 0), (0, 0)], [(64, 1), (1 << 40, 9)], [(usize::MAX, usize::MAX), (63, 5)]] {
            for moved in [0, 1, usize::MAX] {
                home.publish(addresses, moved);
                [0, 1, u64::MAX, 1 << 63].iter().for_each(|&position| home.prefetch(position));
            }
        }
        let table = Table::with_seed(5);
        for key in ["", "a", "a:1", "a:1:b:2"] {
            table.prefetch(table.key(key.as_bytes()).hash);
        }
    }

    #[test]
    fn a_word_tells_address_and_size() {
        let home = Home::default();
        home.publish([(0x7FFF_FFFF_FFC0, 1000), (0, 0)], 0);
        let word = home.arrays[0].load(Ordering::Relaxed);
        assert_eq!((word >> SIZE_BITS) * 64, 0x7FFF_FFFF_FFC0);
        assert_eq!((line_of(word, 0), line_of(word, u64::MAX), line_of(word, 1 << 63)), (0, 999, 500));
    }

    #[test]
    fn what_is_published_follows_the_lines() {
        let table = Table::with_seed(6);
        let mut at = Moment { now_ms: 1, effects: &mut Discard };
        for n in 0..20_000 {
            for name in [format!("views:{n}"), format!("{n:x}{}", "x".repeat(9))] {
                let key = table.key(name.as_bytes());
                table.lock(key.hash).set(key, b"1", NewDeadline::Clear, &mut at);
            }
        }
        let published = |home: &Home| home.arrays[0].load(Ordering::Relaxed) != 0;
        assert!(table.homes.packed.iter().all(published));
        assert!(table.homes.numbered[0].get().unwrap().iter().all(published));
        table.flush(&mut at);
        assert!(!table.homes.packed.iter().any(published));
        assert!(!table.homes.numbered[0].get().unwrap().iter().any(published));
    }
}
