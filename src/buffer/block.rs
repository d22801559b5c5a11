//! Receive blocks: one arena per worker, cut by a slab into blocks that are lent to the kernel and come back.
//!
//! ```text
//!            lend()                 received(id, n)               release()
//!   free ───────────────▶ lent ───────────────────────▶ held ──────────────▶ free
//!          the kernel may write ◀─────────────────────── ours: [`Held`] is the only way to the bytes
//!                                     lend_again()
//! ```
//! A lent block's bytes cannot be reached from safe code, and a held block cannot be lent. Breaking the rule is
//! a bug of ours and panics: the alternative is a kernel that writes into memory under our hands.

#![expect(unsafe_code, reason = "blocks are cut out of one allocation whose bytes the kernel writes")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use slab::Slab;

/// Number of a block in its arena; what the kernel calls a buffer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockId(u16);

impl BlockId {
    /// The block that the kernel names `id`.
    pub fn from_kernel(id: u16) -> Self {
        Self(id)
    }

    /// As the kernel names it.
    pub fn get(self) -> u16 {
        self.0
    }
}

/// Who has a block that is not free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lease {
    /// The kernel may write to it.
    Lent,
    /// We read it.
    Held,
}

/// A block that came back with bytes in it. Give it to [`Blocks::release`].
#[derive(Debug)]
#[must_use = "a held block that is not released is lost to the pool"]
pub struct Held {
    id: BlockId,
    /// Bytes received, at most a block.
    len: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        debug_assert!(std::thread::panicking(), "block {} was dropped and not released", self.id.0);
    }
}

/// Page size: the arena is registered with the kernel in whole pages.
const ALIGN: usize = 4096;

/// The blocks of one worker.
///
/// `leases` has one entry for each block that is lent or held, its key being the block's number; its capacity
/// is the number of blocks, and it never grows.
#[derive(Debug)]
pub struct Blocks {
    arena: NonNull<u8>,
    layout: Layout,
    block_bytes: usize,
    count: u16,
    leases: Slab<Lease>,
    held: u16,
    /// Fewest blocks that were not held, ever.
    low_water: u16,
}

// SAFETY: the arena belongs to this value alone, as a Box's memory would; `Blocks` has no thread-bound state.
unsafe impl Send for Blocks {}

impl Blocks {
    /// `count` blocks of `block_bytes` each, all free.
    ///
    /// # Panics
    /// If either is zero or no power of two, or the arena would be larger than a `u32` can count.
    pub fn new(count: u16, block_bytes: usize) -> Self {
        assert!(
            count.is_power_of_two() && block_bytes.is_power_of_two(),
            "rings and pages want powers of two"
        );
        let bytes = usize::from(count) * block_bytes;
        assert!(u32::try_from(bytes).is_ok(), "the kernel counts a buffer's bytes in 32 bits");
        let layout = Layout::from_size_align(bytes, ALIGN).expect("a power of two and a size below 4 GiB");
        // SAFETY: `layout` has a non-zero size: both factors were asserted to be powers of two.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(arena) = NonNull::new(memory) else { handle_alloc_error(layout) };
        Self {
            arena,
            layout,
            block_bytes,
            count,
            leases: Slab::with_capacity(usize::from(count)),
            held: 0,
            low_water: count,
        }
    }

    /// Number of blocks.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Whether no block is free.
    pub fn is_exhausted(&self) -> bool {
        self.leases.len() == usize::from(self.count)
    }

    /// Blocks that the kernel may write to.
    pub fn lent(&self) -> u16 {
        u16::try_from(self.leases.len()).expect("as many as there are blocks, at most") - self.held
    }

    /// Whether every block is free.
    pub fn is_unused(&self) -> bool {
        self.leases.is_empty()
    }

    /// Bytes of one block.
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Blocks that we hold, for checks that everything came back.
    pub fn held(&self) -> u16 {
        self.held
    }

    /// Fewest blocks that were not held at one time: how near the pool came to starving its ring.
    pub fn low_water(&self) -> u16 {
        self.low_water
    }

    /// Address and length of the whole arena, for registering it. Valid as long as `self`.
    pub fn arena(&self) -> (*mut u8, usize) {
        (self.arena.as_ptr(), self.layout.size())
    }

    /// Lends a free block: gives its number and the address the kernel may write a block's length to.
    /// `None`: every block is lent or held.
    pub fn lend(&mut self) -> Option<(BlockId, *mut u8)> {
        if self.is_exhausted() {
            return None;
        }
        let index = self.leases.insert(Lease::Lent);
        let id = BlockId(u16::try_from(index).expect("the slab never holds more than `count` leases"));
        Some((id, self.address(id)))
    }

    /// The kernel gave a block back with `len` bytes in it.
    ///
    /// # Panics
    /// If the block was not lent, or is shorter than that.
    pub fn received(&mut self, id: BlockId, len: usize) -> Held {
        assert!(len <= self.block_bytes, "block {} came back with {len} bytes", id.0);
        let lease = self.leases.get_mut(usize::from(id.0)).expect("a block that comes back was lent");
        assert_eq!(*lease, Lease::Lent, "block {} came back twice", id.0);
        *lease = Lease::Held;
        self.held += 1;
        self.low_water = self.low_water.min(self.count - self.held);
        Held { id, len }
    }

    /// The bytes received in a held block. They may be changed: decoding resolves quotes in place.
    pub fn bytes<'a>(&'a mut self, held: &'a mut Held) -> &'a mut [u8] {
        debug_assert_eq!(self.leases.get(usize::from(held.id.0)), Some(&Lease::Held));
        let address = self.address(held.id);
        // SAFETY: the block lies inside the arena, which lives as long as `self` and is initialised (zeroed, then
        // written by the kernel or by us); `held.len` is at most its size (asserted in `received`). No other
        // reference exists: the kernel has no claim on a held block, there is one `Held` for it, and both it
        // and `self` are borrowed mutably for as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(address, held.len) }
    }

    /// Whether the bytes behind those received are as they were when the block was lent again: the kernel wrote what it
    /// said it wrote, and nobody else wrote. Known in debug builds only.
    pub fn is_untouched_behind(&mut self, held: &mut Held) -> bool {
        let len = std::mem::replace(&mut held.len, self.block_bytes);
        let untouched = self.bytes(held)[len..].iter().all(|byte| *byte == POISON);
        held.len = len;
        untouched
    }

    /// Lends a held block again without freeing it: whoever had it keeps it. In debug builds its bytes are overwritten
    /// first, so that a reference kept too long shows.
    pub fn lend_again(&mut self, mut held: Held) -> (BlockId, *mut u8) {
        self.poison(&mut held);
        let lease = self.leases.get_mut(usize::from(held.id.0)).expect("a held block has a lease");
        debug_assert_eq!(*lease, Lease::Held);
        *lease = Lease::Lent;
        self.held -= 1;
        let id = held.id;
        std::mem::forget(held);
        (id, self.address(id))
    }

    /// Frees a held block. In debug builds its bytes are overwritten, so that a reference kept too long shows.
    pub fn release(&mut self, mut held: Held) {
        self.poison(&mut held);
        let lease = self.leases.remove(usize::from(held.id.0));
        debug_assert_eq!(lease, Lease::Held);
        self.held -= 1;
        std::mem::forget(held);
    }

    fn poison(&mut self, held: &mut Held) {
        if cfg!(debug_assertions) {
            held.len = self.block_bytes;
            self.bytes(held).fill(POISON);
        }
    }

    fn address(&self, id: BlockId) -> *mut u8 {
        debug_assert!(id.0 < self.count);
        self.arena.as_ptr().wrapping_add(usize::from(id.0) * self.block_bytes)
    }
}

/// What a released block is filled with in debug builds.
pub const POISON: u8 = 0xDB;

impl Drop for Blocks {
    fn drop(&mut self) {
        // The engine drops its ring first and only after the last operation that names a block has completed.
        // SAFETY: `arena` came from `alloc_zeroed` with this very layout and is freed once, here.
        unsafe { dealloc(self.arena.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::{BlockId, Blocks, POISON};

    #[test]
    fn blocks_go_round() {
        let mut blocks = Blocks::new(2, 64);
        let (first, address) = blocks.lend().expect("two are free");
        let (second, _) = blocks.lend().expect("one is free");
        assert_ne!(first, second);
        assert!(blocks.lend().is_none(), "all are lent");

        let mut held = blocks.received(first, 5);
        blocks.bytes(&mut held).copy_from_slice(b"hello");
        assert_eq!(
            blocks.bytes(&mut held).as_ptr(),
            address.cast_const(),
            "bytes are read where they arrived"
        );
        assert_eq!((blocks.held(), blocks.low_water()), (1, 1));
        assert!(blocks.lend().is_none(), "a held block is not lent");
        blocks.release(held);

        let (again, _) = blocks.lend().expect("it was released");
        assert_eq!(again, first);
        let mut held = blocks.received(again, 5);
        if cfg!(debug_assertions) {
            assert_eq!(blocks.bytes(&mut held), [POISON; 5], "a released block keeps nothing");
        }
        blocks.release(held);
    }

    #[test]
    fn a_block_that_is_lent_again_keeps_its_place_and_nothing_else() {
        let mut blocks = Blocks::new(2, 64);
        let (id, address) = blocks.lend().expect("two are free");
        let mut held = blocks.received(id, 5);
        blocks.bytes(&mut held).copy_from_slice(b"hello");
        assert_eq!(blocks.lend_again(held), (id, address));
        assert_eq!(blocks.held(), 0);
        let mut held = blocks.received(id, 5);
        if cfg!(debug_assertions) {
            assert_eq!(blocks.bytes(&mut held), [POISON; 5]);
            assert!(blocks.is_untouched_behind(&mut held));
            blocks.bytes(&mut held).copy_from_slice(b"hello");
            assert!(blocks.is_untouched_behind(&mut held), "what was received is its own");
            held.len = 4;
            assert!(!blocks.is_untouched_behind(&mut held), "a fifth byte was written");
        }
        blocks.release(held);
    }

    #[test]
    #[should_panic(expected = "came back twice")]
    fn a_block_comes_back_once() {
        let mut blocks = Blocks::new(2, 64);
        let (id, _) = blocks.lend().expect("two are free");
        let held = blocks.received(id, 1);
        let again = blocks.received(id, 1);
        std::mem::forget((held, again));
    }

    #[test]
    #[should_panic(expected = "was lent")]
    fn a_free_block_does_not_come_back() {
        let held = Blocks::new(2, 64).received(BlockId::from_kernel(1), 1);
        std::mem::forget(held);
    }

    #[test]
    #[should_panic(expected = "came back with 65 bytes")]
    fn a_block_does_not_grow() {
        let mut blocks = Blocks::new(2, 64);
        let (id, _) = blocks.lend().expect("two are free");
        std::mem::forget(blocks.received(id, 65));
    }
}
