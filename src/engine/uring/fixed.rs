//! A registered block for each connection, which stays its own: what `recv fixed` reads into.
//!
//! ```text
//!             lend()                    received(n)                       close()
//!   held ───────────────▶ the kernel's ─────────────▶ held until its replies have left ──▶ free
//!     ▲                                                 │
//!     └─────────────────────────────────────────────────┘
//! ```
//! Blocks are registered by the chunk, when connections come that need them, and a chunk that nobody needs any more is
//! given back, but for one that may be needed next. A client that takes
//! no reply for `UNSENT_PATIENCE_MS` may be one that writes everything before it reads, and would wait for ever for a
//! server that waits for it: its block is *overrun*, that is, lent again although replies to what it held have not
//! left. They are in the outgoing chain by then and need no argument any more.

#![expect(unsafe_code, reason = "blocks are registered by address")]

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use io_uring::Submitter;

use crate::buffer::block::{BlockId, Blocks, Held};
use crate::buffer::witness;
use crate::limits;
use crate::worker::Token;

/// The blocks of one worker's connections.
#[derive(Debug)]
pub(super) struct Fixed {
    /// Each is one registered buffer, of the same number.
    chunks: Vec<Option<Blocks>>,
    /// Blocks of a chunk.
    chunk: u16,
    /// By the connection's slot.
    owned: Vec<Option<Own>>,
    /// Connections that have a block, and the most that did at one time.
    taken: u32,
    most_taken: u32,
    /// The last block of a chunk came back.
    may_shed: bool,
    /// Connections whose block waits for replies to leave, and the monotonic milliseconds at which to look at them.
    waiting: VecDeque<(u64, Token)>,
    /// Monotonic milliseconds before which no chunk is asked for: the last one was refused.
    refused_until: u64,
}

/// Milliseconds between two chunks that are refused: trying costs more than the connections that it is tried for.
const REFUSED_MS: u64 = 1_000;

/// A connection's block.
#[derive(Debug)]
struct Own {
    token: Token,
    chunk: u16,
    block: Whose,
    /// Monotonic milliseconds since when replies to what it holds have not left, as far as bytes of them have not.
    waits: Option<u64>,
    /// Is on the list of those that wait.
    listed: bool,
    /// The client takes no replies.
    overrun: bool,
}

/// Who has it.
#[derive(Debug)]
enum Whose {
    Kernels(BlockId),
    Ours(Held),
}

impl Fixed {
    /// No blocks yet, and room for chunks of this many.
    pub(super) fn new(chunk: u16, submitter: &Submitter<'_>) -> io::Result<Self> {
        let chunks = u32::from(limits::FIXED_CHUNKS);
        submitter.register_buffers_sparse(chunks)?;
        let waiting = VecDeque::with_capacity(256);
        let mut fixed = Self {
            chunks: Vec::new(),
            chunk,
            owned: Vec::new(),
            taken: 0,
            most_taken: 0,
            may_shed: false,
            waiting,
            refused_until: 0,
        };
        // The first now: who may lock no memory at all learns it at the start.
        fixed.grow(submitter)?;
        Ok(fixed)
    }

    /// Registers one more chunk.
    fn grow(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        let number = self.chunks.iter().position(Option::is_none).unwrap_or(self.chunks.len());
        if number == usize::from(limits::FIXED_CHUNKS) {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        let chunk = Blocks::new(self.chunk, limits::BLOCK_BYTES);
        let (base, len) = chunk.arena();
        let whole = libc::iovec { iov_base: base.cast(), iov_len: len };
        // SAFETY: the chunk is allocated and stays so until `shed` has taken it from the kernel, or `self` is dropped,
        // which is after the ring has ended (see `Ring`); registering pins its pages and reads nothing.
        unsafe { submitter.register_buffers_update(buffer_of(number), &[whole], None)? };
        if cfg!(test) {
            witness::registered((base, len));
        }
        match self.chunks.get_mut(number) {
            Some(vacant) => *vacant = Some(chunk),
            None => self.chunks.push(Some(chunk)),
        }
        Ok(())
    }

    /// Gives chunks back that no connection needs any more, but for one.
    pub(super) fn shed(&mut self, submitter: &Submitter<'_>) {
        if !std::mem::take(&mut self.may_shed) {
            return;
        }
        let unused = |chunk: &Option<Blocks>| chunk.as_ref().is_some_and(Blocks::is_unused);
        let mut spare = false;
        for number in 0..self.chunks.len() {
            if !unused(&self.chunks[number]) || !std::mem::replace(&mut spare, true) {
                continue;
            }
            let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
            // SAFETY: an empty buffer names no memory; the one that it takes the place of is named by no operation,
            // since each of its blocks is free.
            match unsafe { submitter.register_buffers_update(buffer_of(number), &[nothing], None) } {
                Ok(()) => self.chunks[number] = None,
                Err(error) => log::debug!("a chunk of blocks stays registered: {error}"),
            }
        }
    }

    /// The memory that is registered.
    pub(super) fn arenas(&self) -> impl Iterator<Item = (*mut u8, usize)> {
        self.chunks.iter().flatten().map(Blocks::arena)
    }

    /// Gives a connection a block, which we hold at first. False: there is none, and no more can be registered.
    pub(super) fn open(&mut self, token: Token, now_ms: u64, submitter: &Submitter<'_>) -> bool {
        if self.chunks.iter().flatten().all(Blocks::is_exhausted) {
            if now_ms < self.refused_until {
                return false;
            }
            if let Err(error) = self.grow(submitter) {
                log::warn!(
                    "refusing connections: no more blocks can be registered for them: {error} (remedy: raise `ulimit -l` \
                     or LimitMEMLOCK=, or set recv multishot)"
                );
                self.refused_until = now_ms + REFUSED_MS;
                return false;
            }
        }
        let (chunk, held) = (0..)
            .zip(&mut self.chunks)
            .find_map(|(number, chunk)| {
                let chunk = chunk.as_mut()?;
                let (id, _) = chunk.lend()?;
                Some((number, chunk.received(id, 0)))
            })
            .expect("a chunk has a free block, or was added with some");
        let index = token.slot as usize;
        if index >= self.owned.len() {
            self.owned.resize_with(index + 1, || None);
        }
        let own = Own { token, chunk, block: Whose::Ours(held), waits: None, listed: false, overrun: false };
        let before = self.owned[index].replace(own);
        debug_assert!(before.is_none(), "a slot is reused only after its connection was closed");
        self.taken += 1;
        self.most_taken = self.most_taken.max(self.taken);
        true
    }

    /// The connection is closed, and nothing of it in flight: its block is free.
    pub(super) fn close(&mut self, slot: u32) {
        let Some(own) = self.owned[slot as usize].take() else { return };
        let Whose::Ours(held) = own.block else { unreachable!("a read in flight keeps its connection open") };
        let chunk = chunk_of(&mut self.chunks, own.chunk);
        chunk.release(held);
        self.may_shed |= chunk.is_unused();
        self.taken -= 1;
    }

    /// Blocks that can be registered, those that no connection has, and the fewest that none had at one time.
    pub(super) fn blocks(&self) -> [u32; 3] {
        let most = u32::from(limits::FIXED_CHUNKS) * u32::from(self.chunk);
        [most, most - self.taken, most - self.most_taken]
    }

    /// Lends a connection's block to the kernel: gives the number of its registered buffer, address and length.
    pub(super) fn lend(&mut self, slot: u32) -> (u16, (*mut u8, u32)) {
        let (own, chunks) = self.own(slot);
        own.waits = None;
        let chunk = chunk_of(chunks, own.chunk);
        let len = u32::try_from(chunk.block_bytes()).expect("a block is far below 4 GiB");
        // Never seen: it is overwritten before this returns.
        let unknown = Whose::Kernels(BlockId::from_kernel(u16::MAX));
        let Whose::Ours(held) = std::mem::replace(&mut own.block, unknown) else {
            unreachable!("one read at a time")
        };
        let (id, address) = chunk.lend_again(held);
        own.block = Whose::Kernels(id);
        (own.chunk, (address, len))
    }

    /// The kernel gave a connection's block back with `len` bytes in it, which may be changed: decoding resolves quotes
    /// in place.
    pub(super) fn received(&mut self, slot: u32, len: usize) -> &mut [u8] {
        let (own, chunks) = self.own(slot);
        let chunk = chunk_of(chunks, own.chunk);
        let Whose::Kernels(id) = own.block else { unreachable!("a block comes back once") };
        let mut held = chunk.received(id, len);
        if cfg!(debug_assertions) {
            assert!(chunk.is_untouched_behind(&mut held), "a block comes back with more bytes than said");
            witness::came_back(chunk.block_bytes() - len);
        }
        own.block = Whose::Ours(held);
        let Whose::Ours(held) = &mut own.block else { unreachable!("it was put there a line above") };
        chunk.bytes(held)
    }

    /// Whether the block may be lent although replies to what it holds have not left.
    pub(super) fn is_overrun(&mut self, slot: u32) -> bool {
        self.own(slot).0.overrun
    }

    /// Replies to what a block holds have not left: it waits, since now unless it did already.
    pub(super) fn wait(&mut self, token: Token, now_ms: u64) {
        let (own, _) = self.own(token.slot);
        own.waits.get_or_insert(now_ms);
        if !std::mem::replace(&mut own.listed, true) {
            self.waiting.push_back((now_ms + limits::UNSENT_PATIENCE_MS, token));
        }
    }

    /// Bytes of replies have left.
    pub(super) fn progressed(&mut self, slot: u32, now_ms: u64) {
        let (own, _) = self.own(slot);
        own.overrun = false;
        if let Some(since) = &mut own.waits {
            *since = now_ms;
        }
    }

    /// The next connection whose client has taken nothing for so long that its block is overrun from now on.
    pub(super) fn next_overrun(&mut self, now_ms: u64) -> Option<Token> {
        while let Some((at, token)) = self.waiting.pop_front() {
            if at > now_ms {
                self.waiting.push_front((at, token));
                break;
            }
            let own = self.owned.get_mut(token.slot as usize).and_then(Option::as_mut);
            // It may have been closed meanwhile, and its slot given to another.
            let Some(own) = own.filter(|own| own.token == token) else { continue };
            let Some(since) = own.waits else {
                own.listed = false;
                continue;
            };
            if now_ms.saturating_sub(since) < limits::UNSENT_PATIENCE_MS {
                self.waiting.push_back((since + limits::UNSENT_PATIENCE_MS, token));
                continue;
            }
            (own.listed, own.overrun) = (false, true);
            return Some(token);
        }
        None
    }

    /// How long until [`Fixed::next_overrun`] may have one.
    pub(super) fn due(&self, now_ms: u64) -> Option<Duration> {
        let (at, _) = self.waiting.front()?;
        Some(Duration::from_millis(at.saturating_sub(now_ms)))
    }

    fn own(&mut self, slot: u32) -> (&mut Own, &mut [Option<Blocks>]) {
        let own = self.owned[slot as usize].as_mut().expect("an open connection has a block");
        (own, &mut self.chunks)
    }
}

/// The chunk that a block is of.
fn chunk_of(chunks: &mut [Option<Blocks>], number: u16) -> &mut Blocks {
    chunks[usize::from(number)].as_mut().expect("a chunk of which a block is taken is not given back")
}

/// The number of a chunk as the kernel takes it.
fn buffer_of(number: usize) -> u32 {
    u32::try_from(number).expect("there are at most `FIXED_CHUNKS`")
}
