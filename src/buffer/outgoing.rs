//! A connection's unsent replies: a chain of outgoing blocks, the last of which is being written.
//!
//! ```text
//!   queue: [ being sent ][ waits ][ shared bytes ][ waits ]   tail: [ replies are appended here ░░░░ ]
//!            └ `sent` bytes of it have left
//! ```
//! While a send is in flight its bytes must not move: the front of the queue is neither written to nor freed
//! until [`Outgoing::sent`] takes it off, and blocks are never reallocated.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::limits;
use crate::resp::codes::Codes;
use crate::resp::encode::Spill;

/// Pieces that a chain has room for from the start: as many as wait before a connection is no longer read from, and a few
/// for the request that crosses that mark. So a chain grows only with single replies that are larger still.
const PIECES: usize = limits::UNSENT_SOFT / limits::OUT_BLOCK_BYTES + 4;

/// A piece of the chain.
#[derive(Debug)]
enum Piece {
    /// A block from the pool, given back once it has left.
    Block(Vec<u8>),
    /// Bytes that others may share.
    Shared(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Block(block) => block,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// Unsent replies of one connection. Taken from the worker's [`OutPool`] with the first reply and given back
/// when all have left, so that an idle connection has none.
#[derive(Debug)]
pub struct Outgoing {
    queue: VecDeque<Piece>,
    /// Never grows beyond its capacity, `limits::OUT_BLOCK_BYTES`.
    tail: Vec<u8>,
    /// Bytes of the queue's front that have left.
    sent: usize,
    /// Bytes in the queue that have not left; the tail's are not counted.
    queued: usize,
    /// The kernel has the front of the queue.
    in_flight: bool,
    /// Bytes that have left since the chain was taken.
    left: u64,
    /// Replies whose last byte the kernel was not given yet; their ends ascend.
    marks: VecDeque<Mark>,
}

/// Replies of one kind that end in the same place, more or less: what is to be told when the kernel is given that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where the last of them ends, in bytes since the chain was taken.
    end: u64,
    /// What they are, to whoever asks.
    pub kind: u32,
    /// How many.
    pub times: u32,
    /// When their requests came, to whoever asks.
    pub since: u64,
}

/// Marks from which on replies of the same kind share one, of the first one's time. So there are never more than these and
/// one of each kind.
const MARKS: usize = 32;

/// Kinds that replies of one client have besides before their marks take more memory.
const KINDS: usize = 128;

impl Outgoing {
    fn new() -> Self {
        Self {
            queue: VecDeque::with_capacity(PIECES),
            tail: new_block(),
            sent: 0,
            queued: 0,
            in_flight: false,
            left: 0,
            marks: VecDeque::with_capacity(MARKS + KINDS),
        }
    }

    /// The reply that was appended last is of this kind, to a request that came then.
    #[inline]
    pub fn mark(&mut self, kind: u32, since: u64) {
        let end = self.left + self.unsent() as u64;
        match self.marks.back_mut() {
            Some(last) if (last.kind, last.since) == (kind, since) => {
                last.end = end;
                last.times += 1;
            }
            _ => self.mark_anew(Mark { end, kind, times: 1, since }),
        }
    }

    fn mark_anew(&mut self, mark: Mark) {
        if self.marks.len() >= MARKS
            && let Some(at) = self.marks.iter().position(|other| other.kind == mark.kind)
            && let Some(older) = self.marks.remove(at)
        {
            self.marks.push_back(Mark { times: older.times + 1, since: older.since, ..mark });
        } else {
            self.marks.push_back(mark);
        }
    }

    /// Memory of a chain from which everything has left.
    fn memory(&self) -> usize {
        let (marks, pieces) =
            (self.marks.capacity() * size_of::<Mark>(), self.queue.capacity() * size_of::<Piece>());
        size_of::<Self>() + self.tail.capacity() + marks + pieces
    }

    /// Bytes that have not left.
    #[inline]
    pub fn unsent(&self) -> usize {
        self.queued + self.tail.len()
    }

    /// Whether a send is in flight.
    #[inline]
    pub fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// The block that replies are appended to, and where it is spilled when it is full.
    #[inline]
    pub fn writer<'a>(&'a mut self, pool: &'a mut OutPool) -> (&'a mut Vec<u8>, Spiller<'a>) {
        (&mut self.tail, Spiller { queue: &mut self.queue, queued: &mut self.queued, pool })
    }

    /// The next bytes to send, which from now on stay where they are until [`Outgoing::sent`]. `None`: nothing
    /// to send, or a send is in flight. Tells of the marks of all replies that end there.
    pub fn start_send(&mut self, pool: &mut OutPool, told: &mut dyn FnMut(Mark)) -> Option<&[u8]> {
        if self.in_flight || !self.has_front(pool) {
            return None;
        }
        self.in_flight = true;
        let front = self.queue.front().expect("it was looked at").bytes().len();
        self.tell(front - self.sent, told);
        self.queue.front().map(|front| &front.bytes()[self.sent..])
    }

    /// Has `take` look at the next bytes, `most` of them at most, and takes them off: they leave in another form. Tells of
    /// marks likewise. False: there are none.
    pub fn pass_on(
        &mut self,
        most: usize,
        pool: &mut OutPool,
        told: &mut dyn FnMut(Mark),
        take: &mut dyn FnMut(&[u8]),
    ) -> bool {
        if self.in_flight || most == 0 || !self.has_front(pool) {
            return false;
        }
        let front = self.queue.front().expect("it was looked at").bytes();
        let bytes = &front[self.sent..front.len().min(self.sent + most)];
        let given = bytes.len();
        take(bytes);
        self.tell(given, told);
        self.in_flight = true;
        self.sent(given, pool);
        true
    }

    /// Whether the queue has bytes, after the tail was put into it where it was empty.
    fn has_front(&mut self, pool: &mut OutPool) -> bool {
        if self.queue.is_empty() {
            let (block, mut spiller) = self.writer(pool);
            spiller.spill(block);
        }
        !self.queue.is_empty()
    }

    /// The next `bytes` are given away: tells of the replies that end in them.
    #[inline]
    fn tell(&mut self, bytes: usize, told: &mut dyn FnMut(Mark)) {
        let given = self.left + bytes as u64;
        while let Some(mark) = self.marks.front().copied().filter(|mark| mark.end <= given) {
            self.marks.pop_front();
            told(mark);
        }
    }

    /// The send in flight is over: `bytes` have left.
    ///
    /// # Panics
    /// If no send was in flight, or fewer bytes were.
    pub fn sent(&mut self, bytes: usize, pool: &mut OutPool) {
        assert!(std::mem::take(&mut self.in_flight), "only a send that was started can end");
        let front = self.queue.front().expect("the front of the queue was in flight").bytes().len();
        assert!(self.sent + bytes <= front, "{bytes} bytes left of {} in flight", front - self.sent);
        self.sent += bytes;
        self.left += bytes as u64;
        self.queued -= bytes;
        if self.sent == front {
            self.sent = 0;
            if let Some(Piece::Block(block)) = self.queue.pop_front() {
                pool.give_block(block);
            }
        }
    }
}

/// Queues full blocks; see [`Spill`].
#[derive(Debug)]
pub struct Spiller<'a> {
    queue: &'a mut VecDeque<Piece>,
    queued: &'a mut usize,
    pool: &'a mut OutPool,
}

impl Spill for Spiller<'_> {
    fn spill(&mut self, block: &mut Vec<u8>) {
        if block.is_empty() {
            return;
        }
        let full = std::mem::replace(block, self.pool.take_block());
        *self.queued += full.len();
        self.queue.push_back(Piece::Block(full));
    }

    fn attach(&mut self, bytes: Bytes) {
        *self.queued += bytes.len();
        self.queue.push_back(Piece::Shared(bytes));
    }

    #[cold]
    fn failed(&mut self, code: &[u8]) {
        self.pool.errors.count(code);
    }
}

/// Empty blocks and chains of one worker, kept for reuse up to a bound.
#[derive(Debug, Default)]
pub struct OutPool {
    /// Chains that were taken and not given back.
    lent: usize,
    blocks: Vec<Vec<u8>>,
    #[expect(clippy::vec_box, reason = "a connection has a pointer to its chain, which is kept as it is")]
    chains: Vec<Box<Outgoing>>,
    /// Errors that were written since somebody took this.
    pub errors: Codes,
    /// Bytes that went back to the allocator since [`OutPool::take_released`].
    released: usize,
}

impl OutPool {
    /// An empty chain. Allocates only when more are in use than ever before, or than are kept.
    #[inline]
    pub fn take(&mut self) -> Box<Outgoing> {
        self.lent += 1;
        self.chains.pop().unwrap_or_else(|| Box::new(Outgoing::new()))
    }

    /// Takes back a chain of which everything has left.
    #[inline]
    pub fn give(&mut self, mut chain: Box<Outgoing>) {
        debug_assert!(chain.unsent() == 0 && !chain.in_flight);
        self.lent -= 1;
        // Those of replies that were none.
        chain.marks.clear();
        chain.left = 0;
        // A chain that once was long keeps no room for that.
        if self.chains.len() < limits::OUT_BLOCKS_KEPT && chain.queue.capacity() < 2 * PIECES {
            self.chains.push(chain);
        } else {
            self.released += chain.memory();
        }
    }

    /// Takes back the chain of a connection that is closed, whatever is left in it. Nothing of it is in flight.
    pub fn recycle(&mut self, mut chain: Box<Outgoing>) {
        debug_assert!(!chain.in_flight, "the kernel may still read it");
        for piece in chain.queue.drain(..) {
            if let Piece::Block(block) = piece {
                self.give_block(block);
            }
        }
        chain.tail.clear();
        (chain.sent, chain.queued) = (0, 0);
        self.give(chain);
    }

    /// Bytes that went back to the allocator since this was asked last.
    pub fn take_released(&mut self) -> usize {
        std::mem::take(&mut self.released)
    }

    /// Chains that were taken and not given back.
    pub fn lent(&self) -> usize {
        self.lent
    }

    fn take_block(&mut self) -> Vec<u8> {
        self.blocks.pop().unwrap_or_else(new_block)
    }

    fn give_block(&mut self, mut block: Vec<u8>) {
        if self.blocks.len() < limits::OUT_BLOCKS_KEPT {
            block.clear();
            self.blocks.push(block);
        } else {
            self.released += block.capacity();
        }
    }
}

fn new_block() -> Vec<u8> {
    Vec::with_capacity(limits::OUT_BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::OutPool;
    use crate::limits;
    use crate::resp::encode::{Encoder, Protocol};
    use bytes::Bytes;

    #[test]
    fn replies_leave_in_order_whatever_the_sends_take() {
        let mut pool = OutPool::default();
        let mut chain = pool.take();
        let mut expected = Vec::new();
        for round in 0..200_usize {
            let value = vec![b'a' + u8::try_from(round % 26).expect("a letter"); round * 37];
            let (block, mut spiller) = chain.writer(&mut pool);
            let mut reply = Encoder::new(block, &mut spiller, Protocol::Resp2);
            reply.bulk(&value);
            reply.encoded(Bytes::from_static(b"+SHARED\r\n"));
            expected.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
            expected.extend_from_slice(&value);
            expected.extend_from_slice(b"\r\n+SHARED\r\n");
        }
        assert_eq!(chain.unsent(), expected.len());
        let mut received = Vec::new();
        let mut step = 1;
        while let Some(bytes) = chain.start_send(&mut pool, &mut |_| {}) {
            let taken = bytes.len().min(step);
            received.extend_from_slice(&bytes[..taken]);
            chain.sent(taken, &mut pool);
            step = step * 3 % 5_000 + 1;
        }
        assert!(received == expected);
        assert_eq!(chain.unsent(), 0);
        pool.give(chain);
    }

    #[test]
    fn a_chain_that_is_given_up_leaves_its_blocks() {
        let mut pool = OutPool::default();
        let mut chain = pool.take();
        let blocks = limits::OUT_BLOCKS_KEPT + 10;
        let (block, mut spiller) = chain.writer(&mut pool);
        Encoder::new(block, &mut spiller, Protocol::Resp2)
            .bulk(&vec![b'x'; blocks * limits::OUT_BLOCK_BYTES]);
        assert!(chain.start_send(&mut pool, &mut |_| {}).is_some());
        chain.sent(100, &mut pool);
        pool.recycle(chain);
        let over = pool.take_released() / limits::OUT_BLOCK_BYTES;
        assert!((10..=11).contains(&over), "{over} blocks were more than are kept");
        assert_eq!(pool.take_released(), 0);
        let mut again = pool.take();
        assert_eq!(again.unsent(), 0, "nothing of the old replies is left");
        let (block, mut spiller) = again.writer(&mut pool);
        Encoder::new(block, &mut spiller, Protocol::Resp2).bulk(b"new");
        assert_eq!(again.start_send(&mut pool, &mut |_| {}), Some(&b"$3\r\nnew\r\n"[..]));
    }

    fn kinds(told: &[super::Mark]) -> Vec<(u32, u32, u64)> {
        told.iter().map(|mark| (mark.kind, mark.times, mark.since)).collect()
    }

    #[test]
    fn marks_are_told_when_the_last_byte_is_given_away() {
        let mut pool = OutPool::default();
        let mut chain = pool.take();
        let add = |chain: &mut super::Outgoing, pool: &mut OutPool, bytes: usize, kind, since| {
            let (block, mut spiller) = chain.writer(pool);
            Encoder::new(block, &mut spiller, Protocol::Resp2).bulk(&vec![b'x'; bytes]);
            chain.mark(kind, since);
        };
        add(&mut chain, &mut pool, 10, 1, 100);
        add(&mut chain, &mut pool, 10, 1, 100);
        add(&mut chain, &mut pool, 10, 2, 100);
        add(&mut chain, &mut pool, 2 * limits::OUT_BLOCK_BYTES, 3, 100);
        let mut told = Vec::new();
        let sent = chain.start_send(&mut pool, &mut |mark| told.push(mark)).expect("there are replies").len();
        assert_eq!(kinds(&told), [(1, 2, 100), (2, 1, 100)], "the last reply goes on in other blocks");
        told.clear();
        chain.sent(sent - 1, &mut pool);
        add(&mut chain, &mut pool, 10, 3, 200);
        while let Some(sent) = chain.start_send(&mut pool, &mut |mark| told.push(mark)).map(<[u8]>::len) {
            chain.sent(sent, &mut pool);
        }
        assert_eq!(kinds(&told), [(3, 1, 100), (3, 1, 200)]);
        pool.give(chain);
    }

    #[test]
    fn replies_that_leave_in_another_form_are_passed_on_in_order() {
        let mut pool = OutPool::default();
        let mut chain = pool.take();
        let value = vec![b'x'; 3 * limits::OUT_BLOCK_BYTES];
        for (kind, bytes) in [(1, b"first".as_slice()), (2, &value), (3, b"last")] {
            let (block, mut spiller) = chain.writer(&mut pool);
            Encoder::new(block, &mut spiller, Protocol::Resp2).bulk(bytes);
            chain.mark(kind, 100);
        }
        let (mut passed, mut told) = (Vec::new(), Vec::new());
        assert!(!chain.pass_on(0, &mut pool, &mut |_| {}, &mut |_| panic!("there is no room")));
        while chain.pass_on(1000, &mut pool, &mut |mark| told.push(mark), &mut |bytes| {
            assert!(bytes.len() <= 1000);
            passed.extend_from_slice(bytes);
        }) {}
        assert!(
            passed.starts_with(b"$5\r\nfirst\r\n$49152\r\nxxx") && passed.ends_with(b"xxx\r\n$4\r\nlast\r\n")
        );
        assert_eq!(kinds(&told), [(1, 1, 100), (2, 1, 100), (3, 1, 100)]);
        assert_eq!((chain.unsent(), chain.in_flight()), (0, false));
        pool.give(chain);
    }

    #[test]
    fn marks_of_replies_that_do_not_leave_are_few() {
        let mut pool = OutPool::default();
        let mut chain = pool.take();
        for round in 0..1000 {
            for kind in 0..3 {
                let (block, mut spiller) = chain.writer(&mut pool);
                Encoder::new(block, &mut spiller, Protocol::Resp2).ok();
                chain.mark(kind, round);
            }
        }
        assert!(chain.marks.len() <= super::MARKS + 3, "{} marks", chain.marks.len());
        let mut told = Vec::new();
        while let Some(sent) = chain.start_send(&mut pool, &mut |mark| told.push(mark)).map(<[u8]>::len) {
            chain.sent(sent, &mut pool);
        }
        for kind in 0..3 {
            let of: Vec<_> = told.iter().filter(|mark| mark.kind == kind).collect();
            assert_eq!(of.iter().map(|mark| mark.times).sum::<u32>(), 1000, "each reply is told once");
        }
        pool.recycle(chain);
        assert!(pool.take().marks.is_empty());
    }

    #[test]
    fn bytes_in_flight_do_not_move_while_replies_are_added() {
        let mut pool = OutPool::default();
        let mut chain = pool.take();
        let add = |chain: &mut super::Outgoing, pool: &mut OutPool, bytes: &[u8]| {
            let (block, mut spiller) = chain.writer(pool);
            Encoder::new(block, &mut spiller, Protocol::Resp2).bulk(bytes);
        };
        add(&mut chain, &mut pool, b"first");
        let (address, len) = {
            let bytes = chain.start_send(&mut pool, &mut |_| {}).expect("there is a reply");
            (bytes.as_ptr(), bytes.len())
        };
        assert!(chain.start_send(&mut pool, &mut |_| {}).is_none(), "one send at a time");
        add(&mut chain, &mut pool, &vec![b'x'; 3 * limits::OUT_BLOCK_BYTES]);
        chain.sent(3, &mut pool);
        let rest = chain.start_send(&mut pool, &mut |_| {}).expect("the first reply has not left yet");
        assert_eq!((rest.as_ptr(), rest.len()), (address.wrapping_add(3), len - 3));
        chain.sent(len - 3, &mut pool);
    }
}
