//! The provided-buffer ring of the bare loop: blocks that the kernel receives into, lent and given back.
//!
//! Knows memory and ids. A block is the kernel's from `give_back` until a completion names its id, and ours from
//! then until the next `give_back`. The memory is never freed: a ring's teardown is asynchronous.
#![expect(unsafe_code, reason = "memory shared with the kernel is only reached through pointers")]

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The buffer group's id.
pub(super) const GROUP: u16 = 0;

/// Blocks: a power of two. 2 MiB in all, handed out in turn.
const BLOCKS: u16 = 256;

/// Bytes of a block.
const BLOCK_BYTES: u32 = 8 * 1024;

/// What a ring of buffers must be aligned to.
const PAGE: usize = 4096;

/// The shared ring of entries, and the blocks they name.
pub(super) struct BufferRing {
    entries: NonNull<BufRingEntry>,
    blocks: NonNull<u8>,
    /// Entries written so far; the kernel knows of them once `publish` has stored this.
    tail: u16,
}

impl BufferRing {
    /// Registers the group, all blocks lent to the kernel.
    ///
    /// # Errors
    /// If the kernel has no provided-buffer rings (before 5.19) or memory may not be locked.
    pub(super) fn register(submitter: &Submitter<'_>) -> io::Result<Self> {
        let entries = allocate(usize::from(BLOCKS) * size_of::<BufRingEntry>()).cast();
        let blocks = allocate(usize::from(BLOCKS) * BLOCK_BYTES as usize);
        let address = entries.as_ptr() as u64;
        // SAFETY: `entries` is page-aligned, zeroed, as long as `BLOCKS` entries, and never freed.
        unsafe { submitter.register_buf_ring_with_flags(address, BLOCKS, GROUP, 0) }?;
        let mut ring = Self { entries, blocks, tail: 0 };
        for id in 0..BLOCKS {
            ring.give_back(id);
        }
        ring.publish();
        Ok(ring)
    }

    /// What the kernel received into block `id`, which its completion has just named.
    pub(super) fn filled(&self, id: u16, length: usize) -> &[u8] {
        assert!(id < BLOCKS && length <= BLOCK_BYTES as usize, "the kernel filled a block that it was lent");
        let block = self.block(id);
        // SAFETY: the block lies in zeroed memory that is never freed and `length` was checked; the kernel does not
        // write to it until it is given back, which takes `&mut self`.
        unsafe { slice::from_raw_parts(block.as_ptr(), length) }
    }

    /// Lends block `id` again, from the next `publish` on.
    pub(super) fn give_back(&mut self, id: u16) {
        let block = self.block(id);
        let slot = usize::from(self.tail & (BLOCKS - 1));
        // SAFETY: `slot` is below the number of entries that were allocated.
        let entry = unsafe { self.entries.add(slot) };
        // SAFETY: the entry is valid and zeroed or written before; the kernel reads entries only up to the tail it
        // was shown, and this one lies beyond: of `BLOCKS` blocks at least this one was not lent.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(block.as_ptr() as u64);
        entry.set_len(BLOCK_BYTES);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel the entries written so far.
    pub(super) fn publish(&mut self) {
        // SAFETY: `entries` is the address of the ring's first entry, initialized since it was zeroed.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: the tail is aligned to 2 bytes within the first entry and lives as long as the ring; only this
        // thread writes it, and the kernel reads it atomically.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: pairs with the kernel's acquiring load of the tail, so that it sees the entries before it.
        tail.store(self.tail, Ordering::Release);
    }

    fn block(&self, id: u16) -> NonNull<u8> {
        assert!(id < BLOCKS, "block ids are those that were registered");
        // SAFETY: `id` is below the number of blocks that were allocated.
        unsafe { self.blocks.add(usize::from(id) * BLOCK_BYTES as usize) }
    }
}

/// Zeroed pages, never freed.
fn allocate(bytes: usize) -> NonNull<u8> {
    let layout = Layout::from_size_align(bytes, PAGE).expect("a few MiB in pages are a valid layout");
    // SAFETY: the layout's size is not 0.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}

const _: () = assert!(BLOCKS.is_power_of_two());
