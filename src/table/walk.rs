//! Walks over all keys in the order of their hashes, in steps, while the table changes.
//!
//! A cursor is a hash: what is below it has been visited. A key's hash depends on nothing that changes, so that neither
//! growth nor an admitted template moves it past the cursor. Each step visits the keys of a range of hashes under one
//! lock: what is there from the first step to the last is visited exactly once.

use super::array::share;
use super::key::{SEGMENT_BITS, first_of, position_of, segment_of};
use super::{Moment, Table, Visit};

/// How far a walk has come. The top bit of `bits` is never used up: cursors are below 2^63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(u64);

impl Cursor {
    /// The beginning.
    pub const START: Self = Self(0);

    /// The number that a client is given, and gives back; 0 is the beginning, and the end.
    pub const fn number(self) -> u64 {
        self.0 >> 1
    }

    /// The cursor that a client's number means. Any number means one.
    pub const fn of_number(number: u64) -> Self {
        Self(number << 1)
    }
}

/// The last position of a step that begins at `first` and should visit at most about `count` of `len` keys.
pub(super) fn last_of(first: u64, len: usize, count: usize) -> u64 {
    // Positions are in hash order, so that equal ranges hold about equally many keys.
    let steps = (len / count.max(1) + 1).next_power_of_two();
    first | u64::MAX >> steps.trailing_zeros().min(48)
}

impl Table {
    /// Visits the keys from a cursor on, about `count` of them, those whose deadline has passed included. Gives the
    /// cursor to go on with, `None` at the end.
    ///
    /// Locks one segment at a time; `visit` must not use the table.
    pub fn walk(&self, cursor: Cursor, count: usize, visit: &mut Visit<'_>) -> Option<Cursor> {
        let mut visited = 0;
        let mut bits = cursor.0;
        loop {
            let segment = segment_of(bits);
            let guard = self.lock_segment(segment);
            let store = guard.store();
            let first = position_of(bits);
            let last = last_of(first, store.len(), count);
            store.visit(first, last, &mut |key, value, deadline| {
                visited += 1;
                visit(key, value, deadline);
            });
            drop(guard);
            bits = (first_of(segment) | last >> SEGMENT_BITS).wrapping_add(1);
            if bits == 0 {
                return None;
            }
            if visited >= count {
                return Some(Cursor(bits & !1));
            }
        }
    }

    /// Visits a key chosen at random, each with the same chance; those whose deadline has passed are removed instead.
    /// False: there is no key.
    pub fn random_key(&self, at: &mut Moment<'_>, visit: &mut dyn FnMut(&[u8])) -> bool {
        // A key that is due is as likely as any other: after so many in a row there is hardly one that is not.
        for _ in 0..100 {
            let lens: Vec<usize> = self.guards().map(|segment| segment.store().len()).collect();
            let all: usize = lens.iter().sum();
            if all == 0 {
                return false;
            }
            let mut index = share(self.random(), all);
            let mut segment = 0;
            while index >= lens[segment] {
                index -= lens[segment];
                segment += 1;
            }
            let mut guard = self.lock_segment(segment);
            if guard.pick(&mut || self.random(), at, visit) {
                return true;
            }
        }
        false
    }
}
