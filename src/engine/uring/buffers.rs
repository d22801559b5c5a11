//! The provided-buffer ring: how blocks are lent to the kernel without a system call.
//!
//! The ring is an array shared with the kernel. We write (address, length, block number) entries and publish a
//! tail; the kernel takes entries from its head, one for each receive, and names the block in the completion.

#![expect(unsafe_code, reason = "the array is shared with the kernel")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::buffer::block::{BlockId, Blocks, Held};

/// The buffer groups of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// A worker's blocks, for all connections but those that send too much.
    Common = 0,
    /// A few blocks which those share, so that they get no more than can be executed.
    Ration = 1,
}

impl Group {
    /// As the kernel names it.
    pub(super) fn id(self) -> u16 {
        self as u16
    }
}

/// Blocks and the ring through which they are lent.
#[derive(Debug)]
pub(super) struct Lending {
    blocks: Blocks,
    entries: NonNull<BufRingEntry>,
    layout: Layout,
    /// Entries ever written; the ring's index is its remainder.
    tail: u16,
    group: Group,
}

// SAFETY: the entries belong to this value alone on our side of the kernel, as a Box's memory would; nothing of it is
// bound to a thread.
unsafe impl Send for Lending {}

impl Lending {
    /// Registers a buffer ring for `blocks` and lends `most` of them.
    pub(super) fn new(
        group: Group,
        blocks: Blocks,
        most: u16,
        submitter: &Submitter<'_>,
    ) -> io::Result<Self> {
        let layout = Layout::array::<BufRingEntry>(usize::from(blocks.count()))
            .and_then(|layout| layout.align_to(4096))
            .expect("at most 65,535 entries of 16 bytes");
        // SAFETY: the layout is not empty: `Blocks` has at least one block.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(entries) = NonNull::new(memory.cast::<BufRingEntry>()) else { handle_alloc_error(layout) };
        let mut lending = Self { blocks, entries, layout, tail: 0, group };
        let count = lending.blocks.count();
        // SAFETY: the array is page-aligned, holds `count` zeroed entries, and is freed only in `drop`, before
        // which the engine unregisters it or has dropped the ring (see `Drop`).
        unsafe { submitter.register_buf_ring_with_flags(entries.as_ptr() as u64, count, group.id(), 0)? };
        lending.lend_free(most);
        Ok(lending)
    }

    /// Takes the ring away from the kernel, before it ends.
    pub(super) fn unregister(&self, submitter: &Submitter<'_>) -> io::Result<()> {
        submitter.unregister_buf_ring(self.group.id())
    }

    /// The blocks' memory, for registering it.
    pub(super) fn arena(&self) -> (*mut u8, usize) {
        self.blocks.arena()
    }

    /// Number of blocks.
    pub(super) fn count(&self) -> u16 {
        self.blocks.count()
    }

    /// Fewest blocks that were not held at one time.
    pub(super) fn low_water(&self) -> u16 {
        self.blocks.low_water()
    }

    /// Blocks held now.
    pub(super) fn held(&self) -> u16 {
        self.blocks.held()
    }

    /// A completion names this block and length.
    pub(super) fn received(&mut self, id: u16, len: usize) -> Held {
        self.blocks.received(BlockId::from_kernel(id), len)
    }

    /// A held block's bytes.
    pub(super) fn bytes<'a>(&'a mut self, held: &'a mut Held) -> &'a mut [u8] {
        self.blocks.bytes(held)
    }

    /// Frees a block; it is lent again with the next [`Lending::lend_free`].
    pub(super) fn release(&mut self, held: Held) {
        self.blocks.release(held);
    }

    /// Lends free blocks until `most` are out, publishing all of them at once. What is lent is what one connection can
    /// have at once before anything is executed, and what its bytes take when they have to wait.
    pub(super) fn lend_free(&mut self, most: u16) {
        let mask = self.blocks.count() - 1;
        let len = u32::try_from(self.blocks.block_bytes()).expect("a block is far below 4 GiB");
        let before = self.tail;
        while self.blocks.lent() < most {
            let Some((id, address)) = self.blocks.lend() else { break };
            let at = usize::from(self.tail & mask);
            // SAFETY: `at` is below the number of entries, so the entry lies inside the array.
            let mut entry = unsafe { self.entries.add(at) };
            // SAFETY: it was zeroed at first. The kernel reads entries between its head and the published tail only,
            // and this one is beyond it: no more entries are out than there are blocks, because a block is lent at
            // most once.
            let entry = unsafe { entry.as_mut() };
            entry.set_addr(address as u64);
            entry.set_len(len);
            entry.set_bid(id.get());
            self.tail = self.tail.wrapping_add(1);
        }
        if self.tail != before {
            self.publish();
        }
    }

    fn publish(&self) {
        // SAFETY: `entries` is the address of the first entry of a registered ring, whose reserved field is the
        // ring's tail (io_uring_register_buf_ring(3)).
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: the address is valid and aligned for 16 bits as long as `self`; the kernel only reads it, and we
        // write it through this atomic alone.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: pairs with the kernel's load-acquire of the tail, so that it sees the entries before it.
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        // The engine ends only when every connection is closed, that is, when no receive is armed; it unregisters
        // the buffer ring before. A ring that was never used goes before its blocks. Either way the kernel has no claim
        // on the entries or the blocks.
        // SAFETY: allocated with this layout in `new`, freed once.
        unsafe { dealloc(self.entries.as_ptr().cast(), self.layout) };
    }
}
