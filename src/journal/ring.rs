//! The log ring: frames of all workers in the order of one shared counter, on their way to the journal thread.
//!
//! ```text
//!                 written                      complete          tail
//!    ────────────────┼──────── complete ──────────┼── open, or not ─┼──────────────────>  LSN
//!      in files      │  in the ring, and after a death of the process recovered from it │
//! ```
//!
//! `durable <= written <= complete <= tail <= written + capacity`. A worker, under the lock of the table's segment,
//! takes the next stretch of the stream by one addition to `tail`, copies its records, and publishes the frame by
//! storing its header. The journal thread follows headers as long as they belong to their position; where one does not,
//! somebody is still copying.
//!
//! Nobody waits for space while a lock is held: a worker owns **credits** for what it is going to append before it takes
//! a lock ([`Ring::top_up`]), and there are never more of them than bytes which are free here and which the files have
//! zeroed blocks for. What a frame that is kept beside the ring takes of the files is counted in `beside`. All words are
//! atomics, so that reading what somebody is writing is no more than useless.

#[cfg(model)]
use loom::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
#[cfg(not(model))]
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Identity;
pub use super::frame::BOXED_BYTES;
use super::frame::{Header, Key, MOST_BOXED, WORD, WORD_LEN};
use crate::limits::{JOURNAL_CREDIT_BYTES, JOURNAL_INLINE_BYTES};
use crate::table::effect::Lsn;

mod beside;
pub mod image;
mod memory;
#[cfg(all(test, not(model)))]
mod stand_in;
#[cfg(test)]
mod tests;

use beside::Beside;
pub use beside::Granted;
pub(super) use beside::Offer;
use memory::HEADER_WORDS;
pub use memory::Memory;
#[cfg(all(test, not(model)))]
pub(crate) use stand_in::stand_in;

/// First word of a ring's header.
pub const MAGIC: u64 = u64::from_le_bytes(*b"tallring");

/// Format of a ring's memory.
pub const VERSION: u64 = 1;

/// Where the words of the header are. Those that change often have cache lines of their own, two each as CPUs fetch them
/// in pairs.
#[derive(Clone, Copy)]
enum Word {
    Magic,
    Version,
    Capacity,
    Secret,
    Epoch,
    BootLow,
    BootHigh,
    First,
    Segment,
    SegmentFirst,
    Tail,
    Written,
    Durable,
    Boxed,
}

impl Word {
    const fn place(self) -> usize {
        let (tail, line) = if cfg!(model) { (10, 1) } else { (16, 16) };
        match self {
            Self::Tail => tail,
            Self::Written => tail + line,
            Self::Durable => tail + 2 * line,
            Self::Boxed => tail + 3 * line,
            Self::Magic
            | Self::Version
            | Self::Capacity
            | Self::Secret
            | Self::Epoch
            | Self::BootLow
            | Self::BootHigh
            | Self::First
            | Self::Segment
            | Self::SegmentFirst => self as usize,
        }
    }
}

/// Bytes that may be appended and that no worker has taken for itself. Far from everything else that is written.
#[derive(Debug)]
#[repr(align(128))]
struct Pool(AtomicU64);

/// Bytes that one worker may append. What is left of it has to go back: see [`Ring::give_back`] and
/// [`Ring::leave_beside`].
#[derive(Debug, Default)]
pub struct Allowance {
    bytes: u64,
    /// Of files, for frames beside the ring.
    beside: u64,
}

impl Allowance {
    /// Bytes left.
    #[inline]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of files left, for frames beside the ring.
    #[inline]
    pub fn beside(&self) -> u64 {
        self.beside
    }

    fn spend(&mut self, bytes: u64) {
        self.bytes = self.bytes.checked_sub(bytes).expect("credits were obtained before the lock was taken");
    }
}

/// Records of a frame beside the ring.
#[derive(Debug)]
pub(super) struct Boxed {
    at: Lsn,
    pub(super) records: Vec<u8>,
    /// Bytes of files that its worker had obtained for it.
    pub(super) paid: u64,
}

/// Where a ring begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) first: Lsn,
    pub(super) epoch: u64,
    pub(super) segment: u64,
}

/// The ring: see the module.
pub struct Ring {
    memory: Memory,
    /// Capacity in bytes, less one.
    mask: u64,
    /// Bytes of the longest frame that is not boxed.
    inline: u64,
    key: Key,
    pool: Pool,
    /// Records of boxed frames, in the order of their positions.
    boxes: Mutex<VecDeque<Boxed>>,
    beside: Beside,
    /// Why there is no space in the files for more: an errno, or 0.
    refusing: AtomicI32,
    /// No credits are given, though there may be some.
    halted: AtomicBool,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tail, written, durable) = (self.tail(), self.written(), self.durable());
        f.debug_struct("Ring")
            .field("tail", &tail)
            .field("written", &written)
            .field("durable", &durable)
            .finish_non_exhaustive()
    }
}

/// What workers do.
impl Ring {
    /// Bytes that a frame with so many bytes of records takes from an allowance.
    #[inline]
    pub fn cost(&self, records: usize) -> u64 {
        Header::of(records).map_or(BOXED_BYTES, |header| self.in_ring(header).bytes)
    }

    /// Bytes that a frame beside the ring, with so many bytes of records, takes of the files beyond what its place in the
    /// ring stands for.
    #[inline]
    pub fn cost_beside(records: usize) -> u64 {
        (records as u64).next_multiple_of(WORD)
    }

    fn in_ring(&self, header: Header) -> Header {
        if header.bytes > self.inline { Header::BOXED } else { header }
    }

    /// Makes an allowance `need` bytes at least, of which there may be half as many as the ring has bytes. False: there
    /// are not enough; the allowance is as it was, and the caller waits or, if the ring is [`Ring::refusing`],
    /// refuses to write. Never called with a lock held.
    #[inline]
    pub fn top_up(&self, allowance: &mut Allowance, need: u64) -> bool {
        allowance.bytes >= need || self.take_credits(allowance, need - allowance.bytes)
    }

    #[cold]
    fn take_credits(&self, allowance: &mut Allowance, missing: u64) -> bool {
        debug_assert!(missing <= self.capacity() / 2, "a batch needs no more than half of the ring");
        // Relaxed: who sees it late appends once more, and waits for its reply.
        if self.halted.load(Ordering::Relaxed) {
            return false;
        }
        let mut available = self.pool.0.load(Ordering::Relaxed);
        loop {
            if available < missing {
                return false;
            }
            let fair = JOURNAL_CREDIT_BYTES.min(self.capacity() / 16);
            let taken = missing.max(fair).min(available);
            // Acquire: pairs with the Release in `add_credits`. What is appended with these bytes overwrites what the
            // journal thread has read before it gave them.
            match self.pool.0.compare_exchange_weak(
                available,
                available - taken,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    allowance.bytes += taken;
                    return true;
                }
                Err(now) => available = now,
            }
        }
    }

    /// Returns what is left of an allowance, when its worker goes to sleep or ends; not what is for frames beside the ring.
    pub fn give_back(&self, allowance: &mut Allowance) {
        self.add_credits(std::mem::take(&mut allowance.bytes));
    }

    /// Appends a frame and returns its end: what has to be written, or durable, before anybody is told. The locks under
    /// which its effects happened are still held. Its cost comes out of the allowance.
    ///
    /// # Panics
    /// If there are no records, or the allowance is too small.
    pub fn append(&self, allowance: &mut Allowance, records: &[u8]) -> Lsn {
        assert!(!records.is_empty(), "a frame says that something changed");
        let Some(header) = Header::of(records.len()).filter(|header| header.bytes <= self.inline) else {
            return self.append_boxed(allowance, records.to_vec());
        };
        allowance.spend(header.bytes);
        let at = self.reserve(header.bytes);
        self.copy_in(at + WORD, records);
        self.publish(at, header)
    }

    /// As [`Ring::append`], for records that are on the heap anyway and are long: only their place is taken in the ring.
    /// They do not survive the process there: see [`Ring::survives_the_process`]. What they take of the files comes out of
    /// the allowance too; where it has not so much, their reply may have to wait for space.
    ///
    /// # Panics
    /// As [`Ring::append`].
    pub fn append_boxed(&self, allowance: &mut Allowance, records: Vec<u8>) -> Lsn {
        assert!(!records.is_empty(), "a frame says that something changed");
        assert!(records.len() as u64 <= MOST_BOXED, "requests that change so much at once are refused");
        allowance.spend(BOXED_BYTES);
        let paid = Self::cost_beside(records.len()).min(allowance.beside);
        allowance.beside -= paid;
        let mut boxes = self.boxes();
        // Before the place is taken: who appends behind it must not see an older end. The addition to `tail` releases it,
        // and theirs acquires it.
        self.word(Word::Boxed).store(Lsn::MAX, Ordering::Relaxed);
        let at = self.reserve(BOXED_BYTES);
        self.data(at + WORD).store(records.len() as u64, Ordering::Relaxed);
        boxes.push_back(Boxed { at, records, paid });
        let end = self.publish(at, Header::BOXED);
        // Release: pairs with the Acquire in `survives_the_process`.
        self.word(Word::Boxed).store(end, Ordering::Release);
        end
    }

    /// Takes the next bytes of the stream.
    #[inline]
    fn reserve(&self, bytes: u64) -> Lsn {
        // Acquire and Release: pair with each other. Credits that were given later may be spent before this thread's
        // older ones; then the bytes that this thread gets are those that the other one's credits freed, and it sees
        // what that one saw.
        let at = self.word(Word::Tail).fetch_add(bytes, Ordering::AcqRel);
        debug_assert!(
            at + bytes <= self.word(Word::Written).load(Ordering::Relaxed) + self.capacity(),
            "credits keep the tail within the ring"
        );
        at
    }

    #[inline]
    fn copy_in(&self, at: Lsn, records: &[u8]) {
        let data = &self.memory[HEADER_WORDS..];
        let start = self.index(at);
        let (words, last) = records.as_chunks::<WORD_LEN>();
        // Relaxed, also below: the header's Release publishes them.
        let (front, back) = words.split_at(words.len().min(data.len() - start));
        for (word, bytes) in data[start..].iter().zip(front) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        for (word, bytes) in data.iter().zip(back) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        if !last.is_empty() {
            // Padded with zeros: a round leaves nothing of the one before.
            let mut bytes = [0; WORD_LEN];
            bytes[..last.len()].copy_from_slice(last);
            let behind = at + words.len() as u64 * WORD;
            self.data(behind).store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
    }

    #[inline]
    fn publish(&self, at: Lsn, header: Header) -> Lsn {
        // Release: pairs with the Acquire in `ready`.
        self.data(at).store(header.word(self.key.tag(at)), Ordering::Release);
        at + header.bytes
    }

    /// Where the stream ends that frames have places in.
    #[inline]
    pub fn tail(&self) -> Lsn {
        // Relaxed: a number; what it covers is seen through the headers.
        self.word(Word::Tail).load(Ordering::Relaxed)
    }

    /// All before it was written to files and survives the process.
    #[inline]
    pub fn written(&self) -> Lsn {
        // Acquire: pairs with the Release in `set_written`.
        self.word(Word::Written).load(Ordering::Acquire)
    }

    /// All before it survives a loss of power.
    #[inline]
    pub fn durable(&self) -> Lsn {
        // Acquire: pairs with the Release in `set_durable`.
        self.word(Word::Durable).load(Ordering::Acquire)
    }

    /// Whether what was appended up to `end`, by this thread or under locks that it has taken since, survives a death
    /// of the process: it is in files, or it is in the ring with no boxed frame before it. Where replies do not wait for
    /// `durable`, they wait for this.
    #[inline]
    pub fn survives_the_process(&self, end: Lsn) -> bool {
        let written = self.written();
        // Acquire: pairs with the Release in `append_boxed`.
        end <= written || self.word(Word::Boxed).load(Ordering::Acquire) <= written
    }

    /// Why there are no credits for long: the errno with which the disk has no space. It refuses nothing by itself: as long
    /// as there are credits, and they are given, they are good.
    #[inline]
    pub fn refusing(&self) -> Option<i32> {
        // Relaxed: whoever reads it later does so again.
        Some(self.refusing.load(Ordering::Relaxed)).filter(|errno| *errno != 0)
    }

    /// Bytes in the ring that are not yet written.
    #[inline]
    pub fn waiting(&self) -> u64 {
        self.tail().saturating_sub(self.written())
    }

    /// Bytes of the ring.
    #[inline]
    pub fn capacity(&self) -> u64 {
        self.mask + 1
    }
}

/// What the journal thread does.
impl Ring {
    /// A ring in this memory, whatever was there. There are no credits before the writer gives some.
    pub(super) fn begin(memory: Memory, identity: &Identity, begin: Begin) -> Self {
        let capacity = (memory.len() - HEADER_WORDS) as u64 * WORD;
        debug_assert!(capacity.is_power_of_two() && begin.first.is_multiple_of(WORD) && begin.first > 0);
        let ring = Self {
            memory,
            mask: capacity - 1,
            inline: JOURNAL_INLINE_BYTES.min((capacity / 4).max(2 * WORD)),
            key: Key::new(identity.secret),
            pool: Pool(AtomicU64::new(0)),
            boxes: Mutex::default(),
            beside: Beside::default(),
            refusing: AtomicI32::new(0),
            halted: AtomicBool::new(false),
        };
        let [low, high] = image::halves(identity.boot);
        // A process that is killed between these leaves no ring at all.
        ring.word(Word::Magic).store(0, Ordering::Release);
        for (word, value) in [
            (Word::Version, VERSION),
            (Word::Capacity, capacity),
            (Word::Secret, identity.secret),
            (Word::Epoch, begin.epoch),
            (Word::BootLow, low),
            (Word::BootHigh, high),
            (Word::First, begin.first),
            (Word::Segment, begin.segment),
            (Word::SegmentFirst, begin.first),
            (Word::Tail, begin.first),
            (Word::Written, begin.first),
            (Word::Durable, begin.first),
            (Word::Boxed, 0),
        ] {
            ring.word(word).store(value, Ordering::Relaxed);
        }
        // Release: pairs with nothing in this process. One that reads a killed one's memory sees all its stores; this
        // keeps the compiler from moving them behind it.
        ring.word(Word::Magic).store(MAGIC, Ordering::Release);
        ring
    }

    /// The frame at `at`, if it is complete.
    #[inline]
    pub(super) fn ready(&self, at: Lsn) -> Option<Header> {
        // Acquire: pairs with the Release in `publish`.
        let header = self.key.parse(at, self.data(at).load(Ordering::Acquire))?;
        (at + header.bytes <= self.tail()).then_some(header)
    }

    /// Appends the bytes from `from` to `to`, complete frames that are not yet written, to `out`.
    pub(super) fn copy_out(&self, from: Lsn, to: Lsn, out: &mut Vec<u8>) {
        debug_assert!(from <= to && to <= self.tail() && to - from <= self.capacity());
        let data = &self.memory[HEADER_WORDS..];
        let start = self.index(from);
        let front = ((to - from) / WORD).min((data.len() - start) as u64);
        let wrapped = (to - from) / WORD - front;
        let parts = [&data[start..][..to_index(front)], &data[..to_index(wrapped)]];
        for word in parts.into_iter().flatten() {
            // Relaxed: `ready` acquired them with their frame's header.
            out.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
    }

    /// Bytes of records of the boxed frame at `at`, which is the next one.
    pub(super) fn boxed_len(&self, at: Lsn) -> u64 {
        let boxes = self.boxes();
        let next = boxes.front().filter(|next| next.at == at).expect("boxes are in the order of places");
        next.records.len() as u64
    }

    /// Takes out the boxed frame at `at`, which is the next one.
    pub(super) fn unbox(&self, at: Lsn) -> Boxed {
        let next = self.boxes().pop_front().expect("a boxed frame has a box");
        assert_eq!(next.at, at, "boxes are in the order of their places");
        next
    }

    /// Puts back the one that was taken out last: it could not be written.
    pub(super) fn put_back(&self, boxed: Boxed) {
        self.boxes().push_front(boxed);
    }

    pub(super) fn set_written(&self, to: Lsn) {
        debug_assert!(self.written() <= to && to <= self.tail());
        // Release: pairs with the Acquire in `written`.
        self.word(Word::Written).store(to, Ordering::Release);
    }

    pub(super) fn set_durable(&self, to: Lsn) {
        debug_assert!(self.durable() <= to && to <= self.written());
        // Release: pairs with the Acquire in `durable`.
        self.word(Word::Durable).store(to, Ordering::Release);
    }

    /// The file that is written to from here on, for whoever finds the ring.
    pub(super) fn set_segment(&self, sequence: u64, first: Lsn) {
        // Relaxed: read by nobody but recovery and people.
        self.word(Word::Segment).store(sequence, Ordering::Relaxed);
        self.word(Word::SegmentFirst).store(first, Ordering::Relaxed);
    }

    /// So many more bytes may be appended.
    pub(super) fn add_credits(&self, bytes: u64) {
        // Release: pairs with the Acquire in `take_credits`.
        self.pool.0.fetch_add(bytes, Ordering::Release);
    }

    pub(super) fn set_refusing(&self, errno: Option<i32>) {
        self.refusing.store(errno.unwrap_or(0), Ordering::Relaxed);
    }

    /// Gives no credits until it is told to, whatever there is: what was appended cannot be written.
    pub(super) fn set_halted(&self, halted: bool) {
        self.halted.store(halted, Ordering::Relaxed);
    }

    /// Takes a place and copies these records there, but does not publish it: what a worker leaves that is killed.
    #[cfg(test)]
    pub(super) fn abandon(&self, allowance: &mut Allowance, bytes: u64, records: &[u8]) {
        allowance.spend(bytes);
        let at = self.reserve(bytes);
        self.copy_in(at + WORD, records);
    }

    /// Most bytes that a frame in the ring has.
    pub fn longest(&self) -> u64 {
        self.inline
    }

    fn boxes(&self) -> MutexGuard<'_, VecDeque<Boxed>> {
        // No code that holds it can panic between two changes that belong together.
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn word(&self, word: Word) -> &AtomicU64 {
        &self.memory[word.place()]
    }

    #[inline]
    fn index(&self, at: Lsn) -> usize {
        to_index((at & self.mask) / WORD)
    }

    #[inline]
    fn data(&self, at: Lsn) -> &AtomicU64 {
        &self.memory[HEADER_WORDS + self.index(at)]
    }
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it counts words that are in memory")]
fn to_index(words: u64) -> usize {
    words as usize
}
