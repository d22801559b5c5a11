//! This program's allocator, which adds up what is asked of it. Knows sizes only, nothing of who asks.
//!
//! The program has one thread; the counters are atomics because an allocator must be `Sync`.

#![expect(
    unsafe_code,
    reason = "an allocator is an unsafe trait; this one passes everything on to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde::Serialize;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// Relaxed, wherever these are used: one thread reads and writes them.
static ACTIVE: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
/// Bytes taken and not given back since counting began.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// What was asked of the allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Counted {
    /// Bytes of all requests together, whether or not they were given back.
    pub(crate) bytes: usize,
    /// Number of requests.
    pub(crate) allocations: usize,
    /// Most bytes held at one time.
    pub(crate) peak: usize,
}

/// Runs `work`, which gives back all it takes and nothing else, and tells what it asked of the allocator.
pub(crate) fn during(work: impl FnOnce()) -> Counted {
    for counter in [&CALLS, &BYTES, &LIVE, &PEAK] {
        counter.store(0, Ordering::Relaxed);
    }
    ACTIVE.store(true, Ordering::Relaxed);
    work();
    ACTIVE.store(false, Ordering::Relaxed);
    let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    assert_eq!(of(&LIVE), 0, "what is measured gives back all it took, and only that");
    Counted { bytes: of(&BYTES), allocations: of(&CALLS), peak: of(&PEAK) }
}

fn taken(size: usize) {
    if ACTIVE.load(Ordering::Relaxed) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(size, Ordering::Relaxed);
        let live = LIVE.fetch_add(size, Ordering::Relaxed) + size;
        PEAK.fetch_max(live, Ordering::Relaxed);
    }
}

fn returned(size: usize) {
    if ACTIVE.load(Ordering::Relaxed) {
        LIVE.fetch_sub(size, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to `System` as it came, so that whatever `System` promises is kept; counting
// touches neither the layout nor the memory, takes none itself, and does not unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller promised what `System` wants: a layout whose size is not zero.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        returned(layout.size());
        // SAFETY: the caller promised that `memory` came from this allocator with this layout; all of ours comes from
        // `System`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        taken(size);
        returned(layout.size());
        // SAFETY: as for `dealloc`; the caller also promised that `size` is not zero and not too large for the layout.
        unsafe { System.realloc(memory, layout, size) }
    }
}
