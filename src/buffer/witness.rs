//! What a test sees of registered memory: whether arguments lie in it, and that blocks come back poisoned.
//!
//! Only told anything in unit tests (`cfg!(test)` at each call), and tells of the thread that watches: each test sees
//! its own engine.

use std::cell::RefCell;
use std::ops::Range;

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    registered: Vec<Range<usize>>,
    /// Arguments whose bytes lie in registered memory, all of them.
    pub inside: usize,
    /// The others.
    pub outside: usize,
    /// Bytes of blocks that came back as they were poisoned, behind what was received.
    pub poisoned: usize,
}

thread_local! {
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// Begins to watch this thread.
pub fn watch() {
    SEEN.set(Some(Seen::default()));
}

/// Ends it, and tells.
pub fn tell() -> Seen {
    SEEN.take().expect("this thread was being watched")
}

/// An engine registered memory.
pub fn registered((base, len): (*mut u8, usize)) {
    see(|seen| seen.registered.push(base.addr()..base.addr() + len));
}

/// A command was given an argument.
pub fn argument(bytes: &[u8]) {
    see(|seen| {
        let bytes = bytes.as_ptr_range();
        let (from, to) = (bytes.start.addr(), bytes.end.addr());
        let inside = seen.registered.iter().any(|range| range.start <= from && to <= range.end);
        *(if inside { &mut seen.inside } else { &mut seen.outside }) += 1;
    });
}

/// A block came back, and this many bytes of it were found as they had been poisoned.
pub fn came_back(poisoned: usize) {
    see(|seen| seen.poisoned += poisoned);
}

fn see(what: impl FnOnce(&mut Seen)) {
    SEEN.with_borrow_mut(|seen| seen.as_mut().map(what));
}
