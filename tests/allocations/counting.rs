//! The process' allocator, which counts what the threads under test ask of it. Knows nothing of the server but how
//! its workers' threads are called.
//!
//! While [`during`] runs, each request for memory of a counted thread is counted, and the first few leave a
//! backtrace behind. The counting itself takes no memory: it has atomics, and thread-locals that neither need to be
//! set up nor to be torn down.

#![expect(
    unsafe_code,
    reason = "an allocator is an unsafe trait; this one passes everything on to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How the names of workers' threads begin.
const WORKER: &[u8] = b"worker-";

/// Backtraces kept of one [`during`].
const TRACES: u64 = 8;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// Relaxed, wherever these are used: what is counted happened between two exchanges over a socket or a join, and those
// order it.
static ACTIVE: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static REALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static SEEN: Mutex<Vec<Backtrace>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether this thread is counted; empty until that is asked.
    static COUNTED: Cell<Option<bool>> = const { Cell::new(None) };
    /// A backtrace is being taken, which takes memory.
    static TRACING: Cell<bool> = const { Cell::new(false) };
}

/// What was asked of the allocator.
#[derive(Debug)]
pub(crate) struct Counted {
    /// New pieces of memory.
    pub(crate) allocations: u64,
    /// Pieces that grew or shrank.
    pub(crate) reallocations: u64,
    /// Where the first of them were asked for.
    traces: Vec<Backtrace>,
}

impl Counted {
    /// Requests of both kinds.
    pub(crate) fn calls(&self) -> u64 {
        self.allocations + self.reallocations
    }
}

impl fmt::Display for Counted {
    /// The figures, and of each backtrace the lines of this package.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} allocations, {} reallocations", self.allocations, self.reallocations)?;
        for trace in &self.traces {
            writeln!(f, "one of them:")?;
            let text = trace.to_string();
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for pair in lines.windows(2).filter(|pair| pair[1].starts_with("at ./src/")) {
                writeln!(f, "    {} {}", pair[0], pair[1])?;
            }
        }
        Ok(())
    }
}

/// Counts the calling thread too from now on, whatever its name.
pub(crate) fn count_this_thread() {
    COUNTED.set(Some(true));
}

/// Runs `work` and tells what counted threads asked of the allocator meanwhile. One at a time.
pub(crate) fn during(work: impl FnOnce()) -> Counted {
    let seen = || SEEN.lock().expect("nothing panics while it holds this");
    seen().clear();
    seen().reserve_exact(usize::try_from(TRACES).expect("a handful"));
    ALLOCATIONS.store(0, Ordering::Relaxed);
    REALLOCATIONS.store(0, Ordering::Relaxed);
    ACTIVE.store(true, Ordering::Relaxed);
    work();
    ACTIVE.store(false, Ordering::Relaxed);
    Counted {
        allocations: ALLOCATIONS.load(Ordering::Relaxed),
        reallocations: REALLOCATIONS.load(Ordering::Relaxed),
        traces: std::mem::take(&mut seen()),
    }
}

/// Counts one request, if anything is counted now and this thread is.
fn note(counter: &AtomicU64) {
    if !ACTIVE.load(Ordering::Relaxed) || TRACING.get() || !is_counted() {
        return;
    }
    let before = counter.fetch_add(1, Ordering::Relaxed);
    if before < TRACES / 2 {
        TRACING.set(true);
        let trace = Backtrace::force_capture();
        SEEN.lock().expect("nothing panics while it holds this").push(trace);
        TRACING.set(false);
    }
}

/// Asked only while something is counted: a worker has its name by then.
fn is_counted() -> bool {
    COUNTED.get().unwrap_or_else(|| {
        let counted = is_worker();
        COUNTED.set(Some(counted));
        counted
    })
}

/// Whether this thread is called like a worker. The kernel is asked, since asking the standard library may allocate.
fn is_worker() -> bool {
    // As much as PR_GET_NAME writes: a name of at most 15 bytes and a NUL (prctl(2)).
    let mut name = [0_u8; 16];
    // SAFETY: PR_GET_NAME writes 16 bytes to the address it is given, which is that of 16 bytes of ours.
    let result = unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    result == 0 && name.starts_with(WORKER)
}

// SAFETY: every call is passed on to `System` as it came, so that whatever `System` promises is kept; counting
// touches neither the layout nor the memory, does not unwind, and is not entered again from its own allocations.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(&ALLOCATIONS);
        // SAFETY: the caller promised what `System` wants: a layout whose size is not zero.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(&ALLOCATIONS);
        // SAFETY: as for `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller promised that `memory` came from this allocator with this layout; all of ours comes from
        // `System`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(&REALLOCATIONS);
        // SAFETY: as for `dealloc`; the caller also promised that `size` is not zero and not too large for the layout.
        unsafe { System.realloc(memory, layout, size) }
    }
}
