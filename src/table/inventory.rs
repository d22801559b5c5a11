//! All keys of a segment at a time: visited, counted, picked from, looked through for those that are due.

use std::sync::Arc;

use super::array::share;
use super::counters::either;
use super::hash::Fields;
use super::key::position_of;
use super::number::Counter;
use super::record::{NEVER, Record};
use super::store::{Place, Store};
use super::template::Template;
use super::{Value, Visit};

/// Keys and bytes by how they are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Counters in lines of templates.
    pub numbered: usize,
    /// Keys with a record.
    pub packed: usize,
    /// Shapes that some row has, each segment's counted by itself.
    pub shapes: usize,
    /// Bytes of the templates' lines.
    pub numbered_bytes: usize,
    /// Bytes of records and their index.
    pub packed_bytes: usize,
    /// Bytes of large hashes.
    pub large_bytes: usize,
    /// Tokens that are remembered, those that are due but not removed yet included.
    pub tokens: usize,
    /// Their bytes.
    pub token_bytes: usize,
}

impl Census {
    /// The sum of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            numbered: self.numbered + other.numbered,
            packed: self.packed + other.packed,
            shapes: self.shapes + other.shapes,
            numbered_bytes: self.numbered_bytes + other.numbered_bytes,
            packed_bytes: self.packed_bytes + other.packed_bytes,
            large_bytes: self.large_bytes + other.large_bytes,
            tokens: self.tokens + other.tokens,
            token_bytes: self.token_bytes + other.token_bytes,
        }
    }
}

/// Keys that are due, on their way out.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Counters of this template, or else packed keys.
    pub(super) template: Option<Arc<Template>>,
    pub(super) counters: Vec<Counter>,
    pub(super) keys: Vec<Box<[u8]>>,
}

impl Store {
    /// Keys and bytes by how they are kept.
    pub(super) fn census(&self) -> Census {
        Census {
            numbered: self.counters,
            packed: self.packed.len(),
            shapes: self.shapes.len(),
            numbered_bytes: self.lines_bytes,
            packed_bytes: self.packed.heap_bytes(),
            large_bytes: self.large_bytes,
            tokens: self.tokens.len(),
            token_bytes: self.tokens.heap_bytes(),
        }
    }

    /// Entries that changes have moved so far.
    pub(super) fn moves(&self) -> u64 {
        let numbered =
            self.numbered.iter().flatten().map(|counters| either!(&counters.lines, lines => lines.moves()));
        numbered.sum::<u64>()
            + self.packed.moves()
            + self.large.iter().map(|(_, fields)| fields.moves()).sum::<u64>()
    }

    /// Visits every key whose position is in the range.
    pub(super) fn visit(&self, first: u64, last: u64, visit: &mut Visit<'_>) {
        let shown = |deadline: u64| (deadline != NEVER).then_some(deadline);
        for counters in self.numbered.iter().flatten() {
            let each = |counter: &Counter| {
                let position = position_of(counters.template.bits(counter.id));
                if (first..=last).contains(&position) {
                    let key = counters.template.render(counter.id);
                    visit(&key, Value::Int(counter.value), shown(counter.deadline));
                }
            };
            either!(&counters.lines, lines => lines.visit(first, last, each));
        }
        self.packed.visit(&self.hashing, first, last, |_, cell| {
            let record = Record::read(cell);
            visit(record.key, self.value_of(record), shown(record.deadline));
        });
    }

    /// Calls `take` with a key chosen at random, each with the same chance, and its deadline. There is at least one.
    pub(super) fn pick(&self, random: &mut dyn FnMut() -> u64) -> (Vec<u8>, u64) {
        let mut index = share(random(), self.len());
        for counters in self.numbered.iter().flatten() {
            if index >= counters.len() {
                index -= counters.len();
                continue;
            }
            loop {
                // Lines are more than half full.
                if let Some(counter) = either!(&counters.lines, lines => lines.pick(random())) {
                    return (counters.template.render(counter.id).to_vec(), counter.deadline);
                }
            }
        }
        let record = Record::read(self.packed.pick(random()));
        (record.key.to_vec(), record.deadline)
    }

    /// Bytes that the key at `place` takes, its share of lines and index included.
    pub(super) fn bytes_of(&self, place: Place) -> usize {
        match place {
            Place::Numbered(template, _) => {
                let counters = self.counters(template);
                counters.heap_bytes().div_ceil(counters.len().max(1))
            }
            Place::Packed(found) => {
                let record = self.packed.record(found);
                let fields = Fields::of(record, &self.shapes, &self.large, &self.hashing);
                self.packed.bytes_of(found) + fields.map_or(0, |fields| fields.heap_bytes())
            }
        }
    }

    /// Collects some keys whose deadline is at or before `now`, about those of one group of lines or cells. False:
    /// there were none left to look at, and `due` is exact for the moment.
    pub(super) fn collect_due(&mut self, now: u64, due: &mut Due) -> bool {
        if self.due > now {
            return false;
        }
        for counters in self.numbered.iter_mut().flatten().filter(|counters| counters.timed > 0) {
            due.counters.clear();
            if either!(&mut counters.lines, lines => lines.collect_due(now, &mut due.counters)) {
                due.template = Some(Arc::clone(&counters.template));
                return true;
            }
        }
        due.keys.clear();
        if self.packed.timed() > 0 && self.packed.collect_due(now, &mut due.keys) {
            due.template = None;
            return true;
        }
        let timed = self.numbered.iter().flatten().filter(|counters| counters.timed > 0);
        let lines = timed.map(|counters| either!(&counters.lines, lines => lines.due())).min();
        let packed = if self.packed.timed() > 0 { self.packed.due() } else { NEVER };
        self.due = lines.unwrap_or(NEVER).min(packed);
        debug_assert!(self.due > now);
        false
    }

    /// Makes the bound of all deadlines exact, and gives it.
    pub(super) fn settle_due(&mut self) -> u64 {
        let timed = self.numbered.iter_mut().flatten().filter(|counters| counters.timed > 0);
        let lines = timed.map(|counters| either!(&mut counters.lines, lines => lines.settle_due())).min();
        let packed = if self.packed.timed() > 0 { self.packed.settle_due() } else { NEVER };
        self.due = lines.unwrap_or(NEVER).min(packed);
        self.due
    }

    /// A key whose deadline is about the earliest of all.
    pub(super) fn nearest(&self) -> Option<Vec<u8>> {
        let timed = self.numbered.iter().flatten().filter(|counters| counters.timed > 0);
        let mut nearest: Option<(u64, Vec<u8>)> = None;
        let mut offer = |deadline: u64, key: &dyn Fn() -> Vec<u8>| {
            if nearest.as_ref().is_none_or(|(least, _)| deadline < *least) {
                nearest = Some((deadline, key()));
            }
        };
        for counters in timed {
            if let Some(counter) = either!(&counters.lines, lines => lines.nearest()) {
                offer(counter.deadline, &|| counters.template.render(counter.id).to_vec());
            }
        }
        if self.packed.timed() > 0
            && let Some(cell) = self.packed.nearest()
        {
            let record = Record::read(cell);
            offer(record.deadline, &|| record.key.to_vec());
        }
        nearest.map(|(_, key)| key)
    }

    /// Asserts what the fields promise.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.packed.check(&self.hashing);
        let (mut len, mut timed, mut bytes, mut least) = (0, 0, 0, NEVER);
        for (index, counters) in self.numbered.iter().enumerate() {
            let Some(counters) = counters else { continue };
            assert_eq!(counters.template.index, index);
            let position = |counter: &Counter| position_of(counters.template.bits(counter.id));
            either!(&counters.lines, lines => lines.check(&position));
            (len, timed) = (len + counters.len(), timed + counters.timed);
            bytes += counters.heap_bytes();
        }
        assert_eq!((len, timed, bytes), (self.counters, self.timed, self.lines_bytes));
        let large = self
            .large
            .iter()
            .map(|(_, fields)| fields.heap_bytes() + size_of::<super::packed::Packed>())
            .sum::<usize>();
        assert_eq!(large, self.large_bytes);
        let mut keys = std::collections::BTreeSet::new();
        self.visit(0, u64::MAX, &mut |bytes, _, deadline| {
            assert!(keys.insert(bytes.to_vec()), "{bytes:?} stands twice");
            least = least.min(deadline.unwrap_or(NEVER));
            let key = super::Key { bytes, hash: self.hashing.hash(bytes) };
            let place = self.find(key).expect("a key that is here is found");
            assert_eq!(self.deadline(place), deadline.unwrap_or(NEVER));
        });
        assert_eq!(keys.len(), self.len());
        assert!(self.due <= least, "a deadline before the bound");
    }
}
