//! Segments that stay locked over several commands: all that one transaction touches. Knows no command.

use super::Segment;
use crate::table::effect::{Effect, Looks, Lsn};
use crate::table::emptying::Contents;
use crate::table::key::first_of;
use crate::table::walk::{advance, chosen};
use crate::table::{Census, Cursor, Guards, KeyHash, Moment, SEGMENTS, SegmentSet, Table, Visit};

/// What `INFO` adds up over all segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Keys, those whose deadline passed but which are not removed yet included.
    pub keys: usize,
    /// Keys with a deadline.
    pub timed: usize,
    /// Keys removed so far because their deadline passed.
    pub expired: u64,
    /// Keys removed so far because memory was needed.
    pub evicted: u64,
    /// Keys and their bytes by how they are kept.
    pub census: Census,
}

/// Segments that are locked already. Behind this, commands do not depend on how long they have been.
pub trait Holding {
    /// The segment of a hash whose segment is held.
    fn segment(&mut self, hash: KeyHash) -> &mut Segment;

    /// Removes every key as one change, where all segments are held. What they held is freed when they are let go.
    fn flush(&mut self, at: &mut Moment<'_>);

    /// Sums over all segments, where all are held.
    fn figures(&mut self) -> Figures;

    /// As [`Table::step`], where all segments are held.
    fn step(&mut self, cursor: Cursor, count: usize, visit: &mut Visit<'_>) -> (Option<Cursor>, Lsn);

    /// As [`Table::random_key`], where all segments are held.
    fn random_key(
        &mut self,
        random: &mut dyn FnMut() -> u64,
        at: &mut Moment<'_>,
        visit: &mut dyn FnMut(&[u8]),
    ) -> bool;
}

/// Segments locked until this is dropped.
pub struct Held<'t> {
    // First, so that it is dropped first: to free millions of strings takes long.
    guards: Guards<'t>,
    freed: Vec<Contents>,
}

impl std::fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("guards", &self.guards).finish_non_exhaustive()
    }
}

impl Table {
    /// Locks every segment of `set`, in order.
    pub fn hold(&self, set: &SegmentSet) -> Held<'_> {
        Held { guards: self.lock_all(set), freed: Vec::new() }
    }
}

impl SegmentSet {
    /// Every segment.
    pub fn all() -> Self {
        let mut all = Self::default();
        (0..SEGMENTS).for_each(|segment| all.insert(in_segment(segment)));
        all
    }
}

/// A hash whose segment has this number.
fn in_segment(segment: usize) -> KeyHash {
    KeyHash::of_bits(first_of(segment))
}

impl Held<'_> {
    /// Something in them may have changed at `position`, which was the end of a group.
    pub fn mark(&mut self, position: Lsn) {
        self.guards.mark(position);
    }

    /// Position of the last change in any of them.
    pub fn changed(&self) -> Lsn {
        self.guards.changed()
    }
}

impl Holding for Held<'_> {
    fn segment(&mut self, hash: KeyHash) -> &mut Segment {
        self.guards.segment(hash)
    }

    fn flush(&mut self, at: &mut Moment<'_>) {
        let position = at.effects.record(Effect::Flush);
        self.freed.reserve(SEGMENTS);
        for hash in (0..SEGMENTS).map(in_segment) {
            let segment = self.guards.segment(hash);
            self.freed.push(segment.take());
            segment.flushed(position);
        }
    }

    fn step(&mut self, cursor: Cursor, count: usize, visit: &mut Visit<'_>) -> (Option<Cursor>, Lsn) {
        let segment = self.guards.segment(in_segment(cursor.segment()));
        (advance(&segment.store, cursor, count, visit), segment.changed())
    }

    fn random_key(
        &mut self,
        random: &mut dyn FnMut() -> u64,
        at: &mut Moment<'_>,
        visit: &mut dyn FnMut(&[u8]),
    ) -> bool {
        // As in `Table::random_key`, but that they stay: what the transaction may change was reckoned by its requests.
        let at = &mut Moment { now_ms: at.now_ms, effects: &mut Looks };
        for _ in 0..100 {
            let lens: Vec<usize> =
                (0..SEGMENTS).map(|segment| self.guards.segment(in_segment(segment)).store.len()).collect();
            let Some(segment) = chosen(&lens, random()) else { return false };
            if self.guards.segment(in_segment(segment)).pick(random, at, visit) {
                return true;
            }
        }
        false
    }

    fn figures(&mut self) -> Figures {
        let mut sum = Figures::default();
        for hash in (0..SEGMENTS).map(in_segment) {
            let segment = self.guards.segment(hash);
            sum.keys += segment.store.len();
            sum.timed += segment.store.timed();
            sum.expired += segment.expired;
            sum.evicted += segment.evicted;
            sum.census = sum.census.and(segment.store.census());
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use crate::table::effect::{Discard, Effect, EffectSink, Lsn};
    use crate::table::{Holding, Moment, NewDeadline, SegmentSet, Table};

    /// Numbers effects.
    struct Numbered(Lsn);

    impl EffectSink for Numbered {
        fn record(&mut self, _: Effect<'_>) -> Lsn {
            self.0 += 1;
            self.0
        }
    }

    #[test]
    fn the_whole_table_can_be_held_counted_and_flushed() {
        let table = Table::with_seed(1);
        let mut sink = Numbered(0);
        let mut at = Moment { now_ms: 1, effects: &mut sink };
        for n in 0..1000 {
            let name = format!("key:{n}");
            let key = table.key(name.as_bytes());
            let deadline = if n % 4 == 0 { NewDeadline::At(5) } else { NewDeadline::Clear };
            table.lock(key.hash).set(key, b"text", deadline, &mut at);
        }
        let mut held = table.hold(&SegmentSet::all());
        let figures = held.figures();
        assert_eq!((figures.keys, figures.timed, figures.expired), (1000, 250, 0));
        assert_eq!(held.changed(), 1000);
        held.flush(&mut at);
        assert_eq!((held.figures().keys, held.changed()), (0, 1001), "one change for all of them");
        let key = table.key(b"key:1");
        assert!(held.segment(key.hash).get(key, &mut at).is_none());
        held.segment(key.hash).set(key, b"5", NewDeadline::Clear, &mut at);
        drop(held);
        assert_eq!(table.len(), 1);
        let found = table.lock(key.hash).get(key, &mut Moment { now_ms: 1, effects: &mut Discard }).is_some();
        assert!(found, "what was set behind the flush is found without the hold");
    }
}
