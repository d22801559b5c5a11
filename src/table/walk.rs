//! Walks over all keys in the order of their hashes, in steps, while the table changes.
//!
//! A cursor is a hash: what is below it has been visited. A key's hash depends on nothing that changes, so that neither
//! growth nor an admitted template moves it past the cursor. Each step visits the keys of a range of hashes under one
//! lock: what is there from the first step to the last is visited exactly once.

use super::array::share;
use super::effect::Lsn;
use super::key::{SEGMENT_BITS, first_of, position_of, segment_of};
use super::store::Store;
use super::{Moment, Table, Visit, VisitToken};

/// How far a walk has come. The top bit of `bits` is never used up: cursors are below 2^63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(u64);

impl Cursor {
    /// Number of the segment that it is in.
    pub(super) fn segment(self) -> usize {
        segment_of(self.0)
    }

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

/// Visits keys of the one segment that a cursor is in, about `count` of them, and gives the cursor to go on with.
pub(super) fn advance(
    store: &Store,
    Cursor(bits): Cursor,
    count: usize,
    visit: &mut Visit<'_>,
) -> Option<Cursor> {
    let first = position_of(bits);
    let last = last_of(first, store.len(), count);
    store.visit(first, last, visit);
    behind(bits, last)
}

/// Visits tokens of the one segment that a cursor is in, about `count` of them, and gives the cursor to go on with.
pub(super) fn advance_tokens(
    store: &Store,
    Cursor(bits): Cursor,
    count: usize,
    visit: &mut VisitToken<'_>,
) -> Option<Cursor> {
    let first = position_of(bits);
    let last = last_of(first, store.tokens.len(), count);
    store.tokens.visit(&store.hashing, first, last, visit);
    behind(bits, last)
}

/// The cursor behind a position of the segment that `bits` are in.
fn behind(bits: u64, last: u64) -> Option<Cursor> {
    let next = (first_of(segment_of(bits)) | last >> SEGMENT_BITS).wrapping_add(1);
    (next != 0).then_some(Cursor(next & !1))
}

/// The place of the key that a random number chooses: its segment, given how many keys each has. `None`: there is none.
pub(super) fn chosen(lens: &[usize], random: u64) -> Option<usize> {
    let all: usize = lens.iter().sum();
    if all == 0 {
        return None;
    }
    let mut index = share(random, all);
    lens.iter().position(|&len| {
        let here = index < len;
        index = index.saturating_sub(len);
        here
    })
}

impl Table {
    /// Visits the keys from a cursor on, about `count` of them, those whose deadline has passed included. Gives the
    /// cursor to go on with, `None` at the end.
    ///
    /// Locks one segment at a time; `visit` must not use the table.
    pub fn walk(&self, cursor: Cursor, count: usize, visit: &mut Visit<'_>) -> Option<Cursor> {
        let mut visited = 0;
        let mut from = cursor;
        loop {
            let guard = self.lock_segment(from.segment());
            let next = advance(guard.store(), from, count, &mut |key, value, deadline| {
                visited += 1;
                visit(key, value, deadline);
            });
            drop(guard);
            from = next?;
            if visited >= count {
                return Some(from);
            }
        }
    }

    /// One step of such a walk, which stays in one segment: its keys from a cursor on, about `count` of them. Gives the
    /// segment's last change too.
    pub fn step(&self, cursor: Cursor, count: usize, visit: &mut Visit<'_>) -> (Option<Cursor>, Lsn) {
        let guard = self.lock_segment(cursor.segment());
        (advance(guard.store(), cursor, count, visit), guard.changed())
    }

    /// Visits a key chosen at random, each with the same chance; those whose deadline has passed are removed instead.
    /// Gives the last change of its segment; `None`: there is no key.
    pub fn random_key(&self, at: &mut Moment<'_>, visit: &mut dyn FnMut(&[u8])) -> Option<Lsn> {
        // A key that is due is as likely as any other: after so many in a row there is hardly one that is not.
        for _ in 0..100 {
            let lens: Vec<usize> = self.guards().map(|segment| segment.store().len()).collect();
            let segment = chosen(&lens, self.random())?;
            let mut guard = self.lock_segment(segment);
            if guard.pick(&mut || self.random(), at, visit) {
                return Some(guard.changed());
            }
        }
        None
    }
}
