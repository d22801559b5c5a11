//! Memory that the runtime's operations name: registered blocks, and replies that are sent from where they lie.

#![expect(unsafe_code, reason = "the runtime's buffer traits promise that memory stays where it is")]

use tokio_uring::buf::fixed::{FixedBuf, FixedBufPool};
use tokio_uring::buf::{BoundedBuf, IoBuf, IoBufMut, Slice};

use crate::buffer::witness;
use crate::limits;

/// Most bytes of one write: the kernel counts them in 31 bits.
const WRITE_MOST: usize = 1 << 30;

/// A page of its own each, so that no block pins two.
#[repr(align(4096))]
struct Page([u8; limits::BLOCK_BYTES]);

/// A block to be registered. All of its bytes are initialised, always.
pub(super) struct Block(Box<Page>);

/// All blocks of a worker.
pub(super) fn pool() -> FixedBufPool<Block> {
    let block = |_| {
        let mut page = Box::new(Page([0; limits::BLOCK_BYTES]));
        if cfg!(test) {
            witness::registered((page.0.as_mut_ptr(), limits::BLOCK_BYTES));
        }
        Block(page)
    };
    FixedBufPool::new((0..limits::RUNTIME_BLOCKS).map(block))
}

// SAFETY: the bytes are in a box, whose memory does not move with it; it is freed with the pool, which the ring's
// driver holds as long as the blocks are registered.
unsafe impl IoBuf for Block {
    fn stable_ptr(&self) -> *const u8 {
        self.0.0.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        limits::BLOCK_BYTES
    }

    fn bytes_total(&self) -> usize {
        limits::BLOCK_BYTES
    }
}

// SAFETY: as for `IoBuf`; the box is ours alone, so its bytes may be written.
unsafe impl IoBufMut for Block {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.0.0.as_mut_ptr()
    }

    unsafe fn set_init(&mut self, _: usize) {}
}

/// Bytes on their way out.
pub(super) enum Reply {
    /// Copied into a registered block.
    Fixed(Slice<FixedBuf>),
    /// Too long for one, or there was none: where they were encoded.
    InPlace(InPlace),
}

impl Reply {
    /// The first `len` bytes of a block, at least one.
    pub(super) fn fixed(block: FixedBuf, len: usize) -> Self {
        Self::Fixed(block.slice(..len))
    }
}

/// Bytes of an outgoing chain that are in flight.
pub(super) struct InPlace {
    address: *const u8,
    len: usize,
}

impl InPlace {
    /// # Safety
    /// The bytes must neither move nor be freed nor change until this value is dropped.
    pub(super) unsafe fn new(bytes: &[u8]) -> Self {
        Self { address: bytes.as_ptr(), len: bytes.len().min(WRITE_MOST) }
    }
}

// SAFETY: `new`'s caller promised that the bytes stay; they came as a slice, so they are initialised.
unsafe impl IoBuf for InPlace {
    fn stable_ptr(&self) -> *const u8 {
        self.address
    }

    fn bytes_init(&self) -> usize {
        self.len
    }

    fn bytes_total(&self) -> usize {
        self.len
    }
}
