//! What leaves a segment as a whole: everything, where the table is flushed, and templates that have no key any more.

use std::mem;

use slab::Slab;

use super::counters::Counters;
use super::key::Hashing;
use super::packed::Packed;
use super::record::NEVER;
use super::shape::Shapes;
use super::store::{Store, phase_of};
use super::template::Candidates;
use super::tokens::Tokens;

/// Milliseconds without a key after which a segment lets go of a template.
const IDLE_MS: u64 = 60_000;

/// What a flush takes out of a store, to be freed outside its lock.
pub(super) struct Contents {
    numbered: Vec<Option<Counters>>,
    hashing: Hashing,
    _packed: Packed,
    _shapes: Shapes,
    _large: Slab<Box<Packed>>,
    _tokens: Tokens,
}

impl Drop for Contents {
    fn drop(&mut self) {
        for counters in self.numbered.iter().flatten() {
            self.hashing.dictionary.detach(&counters.template);
        }
    }
}

impl Store {
    /// Takes every key and token out.
    pub(super) fn take(&mut self) -> Contents {
        for template in 0..self.numbered.len() {
            self.homes.publish(template, self.segment, [(0, 0); 2], 0);
        }
        self.freed += self.heap_bytes();
        (self.counters, self.timed, self.lines_bytes, self.large_bytes) = (0, 0, 0, 0);
        (self.due, self.tidy_at, self.candidates) = (NEVER, NEVER, Candidates::default());
        self.resized = true;
        let contents = Contents {
            numbered: mem::take(&mut self.numbered),
            hashing: self.hashing.clone(),
            _packed: mem::replace(&mut self.packed, Packed::new(phase_of(self.segment))),
            _shapes: mem::take(&mut self.shapes),
            _large: mem::take(&mut self.large),
            _tokens: mem::take(&mut self.tokens),
        };
        self.publish_packed();
        contents
    }

    /// Lets go of templates of which there has been no key here for a while.
    pub(super) fn tidy(&mut self, now: u64) {
        if self.tidy_at > now {
            return;
        }
        self.tidy_at = NEVER;
        for entry in &mut self.numbered {
            let Some(counters) = entry else { continue };
            if counters.len() > 0 {
                counters.idle_since = NEVER;
            } else if counters.idle_since.saturating_add(IDLE_MS) > now {
                // Found empty just now, or not for long enough: its keys may come back.
                counters.idle_since = counters.idle_since.min(now);
                self.tidy_at = self.tidy_at.min(counters.idle_since.saturating_add(IDLE_MS));
            } else {
                self.hashing.dictionary.detach(&counters.template);
                self.lines_bytes -= counters.heap_bytes();
                *entry = None;
            }
        }
        while self.numbered.last().is_some_and(Option::is_none) {
            self.numbered.pop();
        }
        self.resized = true;
    }
}
