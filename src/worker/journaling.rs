//! The journal as workers know it: where they append, and how its thread is woken as seldom as possible.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};

use super::mailbox::Bell;
use crate::journal::ring::Ring;
use crate::table::effect::Lsn;

/// The journal: see the module.
pub struct Journal {
    /// Where they append.
    pub ring: Ring,
    /// The ring's memory is a file's: what is in it survives the process.
    pub(super) survives: bool,
    /// How the thread waits.
    rest: AtomicU8,
    /// Position up to which somebody waits for a sync, sooner than that would be due.
    sync_wanted: AtomicU64,
    bell: Bell,
}

/// How the journal's thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Not at all.
    Awake,
    /// For so short that it need be woken only where replies wait, or the ring fills up.
    Dozing,
    /// Until something is appended.
    Asleep,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("ring", &self.ring).finish_non_exhaustive()
    }
}

impl Journal {
    /// A journal whose thread `bell` wakes. What is in the ring `survives` the process, or does not.
    pub fn new(ring: Ring, survives: bool, bell: Bell) -> Self {
        Self { ring, survives, rest: AtomicU8::new(Rest::Awake as u8), sync_wanted: AtomicU64::new(0), bell }
    }

    /// Wakes the thread if it waits and there is something for it to do: replies wait for it, the ring is a quarter full, or
    /// there is anything at all and it is fast asleep.
    #[inline]
    pub(super) fn call(&self, waits: bool) {
        // Relaxed: a hint, but where it matters, behind the fence.
        let least = if self.rest.load(Ordering::Relaxed) == Rest::Asleep as u8 {
            1
        } else {
            self.ring.capacity() / 4
        };
        if !waits && self.ring.waiting() < least {
            return;
        }
        // SeqCst: pairs with the one in `rest`.
        fence(Ordering::SeqCst);
        if self.rest.load(Ordering::Relaxed) != Rest::Awake as u8
            && self.rest.swap(Rest::Awake as u8, Ordering::Relaxed) != Rest::Awake as u8
        {
            (self.bell)();
        }
    }

    /// Bytes that were appended and are not durable, and those of them that are not written.
    pub fn lag(&self) -> (u64, u64) {
        // The later position is read last, so that neither difference is below zero.
        let (durable, written) = (self.ring.durable(), self.ring.written());
        let tail = self.ring.tail();
        (tail.saturating_sub(durable), tail.saturating_sub(written))
    }

    /// Wants all up to a position synced soon.
    pub fn want_sync(&self, position: Lsn) {
        // Relaxed: a number; behind the fence in `call`, or the thread finds it when it looks next.
        self.sync_wanted.fetch_max(position, Ordering::Relaxed);
        self.call(true);
    }

    /// Position up to which somebody wants a sync.
    pub fn wanted_sync(&self) -> Lsn {
        self.sync_wanted.load(Ordering::Relaxed)
    }

    /// The thread is about to wait in this way, unless it finds that there is something to do. False: there is.
    pub fn rest(&self, how: Rest, idle: impl FnOnce() -> bool) -> bool {
        self.rest.store(how as u8, Ordering::Relaxed);
        // SeqCst: pairs with the one in `call`. Either that sees how the thread waits, or this sees what was appended before.
        fence(Ordering::SeqCst);
        let rests = idle();
        if !rests {
            self.wake();
        }
        rests
    }

    /// The thread is awake.
    pub fn wake(&self) {
        self.rest.store(Rest::Awake as u8, Ordering::Relaxed);
    }
}
