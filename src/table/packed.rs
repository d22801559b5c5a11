//! Keys that are not numbered counters: an index by hash, and a cell with everything else.
//!
//! The index is 12 entries to a cache line, each the name of a cell and 8 bits of the hash, so that a search seldom
//! looks into a cell in vain: 5 bytes a key, 6 at the usual load. What finds no room near its home, which happens to
//! no keys but those somebody made for it, is in a tree beside.
#![expect(clippy::cast_possible_truncation, reason = "entries of a line are few")]

use std::collections::BTreeSet;

use super::array::{Format, HEADER, Line, len, set_len};
use super::cells::{CellRef, Cells};
use super::key::{Hashing, position_of, tag_of};
use super::lines::{Lines, Spot};
use super::record::{NEVER, Record, key_of};

/// Lanes 0–11 are cells, 12–14 tags.
const SLOTS: usize = 12;
const TAGS: usize = 12;

/// Where a key's record is, and eight bits of its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) cell: CellRef,
    tag: u8,
}

/// Lines of the index.
#[derive(Debug)]
pub(super) enum Index {}

#[inline]
fn tag(line: &Line, slot: usize) -> u8 {
    line[TAGS + slot / 4].to_le_bytes()[slot % 4]
}

fn write(line: &mut Line, slot: usize, entry: &Entry) {
    line[slot] = entry.cell.0;
    let mut tags = line[TAGS + slot / 4].to_le_bytes();
    tags[slot % 4] = entry.tag;
    line[TAGS + slot / 4] = u32::from_le_bytes(tags);
}

/// The slots below [`len`] that have this tag, a bit each.
#[inline]
fn tagged(line: &Line, tag: u8) -> u32 {
    let mut found = 0;
    for lane in 0..3 {
        for (byte, &here) in line[TAGS + lane].to_le_bytes().iter().enumerate() {
            found |= u32::from(here == tag) << (4 * lane + byte);
        }
    }
    found & ((1 << len(line)) - 1)
}

impl Format for Index {
    type Entry = Entry;

    const LEAST: usize = SLOTS;

    #[inline]
    fn slots(_: &Line) -> usize {
        SLOTS
    }

    #[inline]
    fn entry(line: &Line, slot: usize) -> Entry {
        Entry { cell: CellRef(line[slot]), tag: tag(line, slot) }
    }

    fn push(line: &mut Line, entry: &Entry) -> bool {
        let count = len(line);
        if count == SLOTS {
            return false;
        }
        write(line, count, entry);
        set_len(line, count + 1);
        true
    }

    fn remove(line: &mut Line, slot: usize) {
        let last = len(line) - 1;
        let moved = Self::entry(line, last);
        write(line, slot, &moved);
        set_len(line, last);
        debug_assert!(line[HEADER] & 0xF == last as u32);
    }

    /// Deadlines are kept with the cells.
    #[inline]
    fn deadline(_: &Entry) -> u64 {
        NEVER
    }
}

/// A key that was found. Void after any change but one of its own record in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Absent where the key is in the tree.
    spot: Option<Spot>,
    /// Its record's.
    pub(super) cell: CellRef,
}

/// Tells where entries belong, by the keys in their cells.
fn positions<'c>(cells: &'c Cells, hashing: &'c Hashing) -> impl Fn(&Entry) -> u64 + 'c {
    |entry| position_of(hashing.bits(key_of(cells.get(entry.cell))))
}

/// Keys with their records.
#[derive(Debug)]
pub(super) struct Packed {
    index: Lines<Index>,
    /// Position and cell of those for which the index had no room.
    crowd: BTreeSet<(u64, CellRef)>,
    cells: Cells,
    /// Records with a deadline.
    timed: usize,
}

impl Packed {
    /// No keys and no memory.
    pub(super) fn new(phase: u8) -> Self {
        Self { index: Lines::new(phase), crowd: BTreeSet::new(), cells: Cells::default(), timed: 0 }
    }

    /// Number of keys.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.index.len() + self.crowd.len()
    }

    /// Keys with a deadline.
    pub(super) fn timed(&self) -> usize {
        self.timed
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        // A node of the tree holds up to 11 entries and is two thirds full.
        self.index.heap_bytes() + self.cells.heap_bytes() + self.crowd.len() * 24
    }

    /// Where the index is, for prefetching, and how far it has moved.
    pub(super) fn addresses(&self) -> ([(usize, usize); 2], usize) {
        (self.index.addresses(), self.index.moved())
    }

    /// Bytes given back to the allocator since the last call.
    pub(super) fn take_freed(&mut self) -> usize {
        self.index.take_freed() + self.cells.take_freed()
    }

    /// Entries of the index moved so far.
    pub(super) fn moves(&self) -> u64 {
        self.index.moves()
    }

    /// The bytes of a cell, to be changed in place.
    #[inline]
    pub(super) fn cell_mut(&mut self, cell: CellRef) -> &mut [u8] {
        self.cells.get_mut(cell)
    }

    /// Bytes of memory that a key takes: its cell, and its share of the index.
    pub(super) fn bytes_of(&self, found: Found) -> usize {
        // 64 bytes of index hold twelve keys at a load of 0.82.
        self.cells.bytes_of(found.cell) + 64 * 100 / (SLOTS * 82)
    }

    /// The record of a key.
    #[inline]
    pub(super) fn record(&self, found: Found) -> Record<'_> {
        Record::read(self.cells.get(found.cell))
    }

    /// Looks for a key.
    #[inline]
    pub(super) fn find(&self, key: &[u8], bits: u64) -> Option<Found> {
        let position = position_of(bits);
        let mut cell = CellRef(0);
        let spot = self.index.find(position, |line| {
            let mut candidates = tagged(line, tag_of(bits));
            while candidates != 0 {
                let slot = candidates.trailing_zeros() as usize;
                cell = CellRef(line[slot]);
                if key_of(self.cells.get(cell)) == key {
                    return Some(slot);
                }
                candidates &= candidates - 1;
            }
            None
        });
        match spot {
            Some(spot) => Some(Found { spot: Some(spot), cell }),
            None if self.crowd.is_empty() => None,
            None => self.find_in_crowd(key, position),
        }
    }

    #[cold]
    fn find_in_crowd(&self, key: &[u8], position: u64) -> Option<Found> {
        let all = self.crowd.range((position, CellRef(0))..=(position, CellRef(u32::MAX)));
        let mut cells = all.map(|&(_, cell)| cell);
        let cell = cells.find(|&cell| key_of(self.cells.get(cell)) == key)?;
        Some(Found { spot: None, cell })
    }

    /// Keeps the record of a key that is not here.
    pub(super) fn insert(&mut self, hashing: &Hashing, bits: u64, record: &[u8]) -> CellRef {
        let deadline = Record::read(record).deadline;
        let cell = self
            .cells
            .add(record, deadline)
            .expect("no segment has 2^26 records of one size: it would be 2^34 keys");
        self.timed += usize::from(deadline != NEVER);
        let entry = Entry { cell, tag: tag_of(bits) };
        let position = position_of(bits);
        let Self { index, crowd, cells, .. } = self;
        let of = positions(cells, hashing);
        let mut orphans = |entry: Entry| {
            crowd.insert((of(&entry), entry.cell));
        };
        if index.insert(position, &entry, &of, &mut orphans).is_none() {
            crowd.insert((position, cell));
        }
        cell
    }

    /// See [`Lines::expect`].
    pub(super) fn expect(&mut self, ahead: u8) {
        self.index.expect(ahead);
    }

    /// See [`Lines::tighten`].
    pub(super) fn tighten(&mut self, hashing: &Hashing) {
        let Self { index, crowd, cells, .. } = self;
        let of = positions(cells, hashing);
        index.tighten(&of, &mut |entry| {
            crowd.insert((of(&entry), entry.cell));
        });
    }

    /// Replaces a key's record, whatever the lengths of both.
    pub(super) fn rewrite(&mut self, hashing: &Hashing, found: Found, bits: u64, record: &[u8]) {
        let (before, after) = (self.record(found).deadline, Record::read(record).deadline);
        self.timed = self.timed + usize::from(after != NEVER) - usize::from(before != NEVER);
        // A string stays where a longer one was, as it may become longer again; a counter does not.
        let keep = self.record(found).kind == Record::read(record).kind;
        if self.cells.overwrite(found.cell, record, keep) {
            self.cells.note_deadline(found.cell, after);
            return;
        }
        let cell = self.cells.add(record, after).expect("see `insert`");
        self.rename(found.spot, position_of(bits), found.cell, cell);
        self.release(hashing, found.cell);
    }

    /// Notes that a record's deadline was changed in place from one deadline to another.
    pub(super) fn note_deadline(&mut self, found: Found, deadline: u64) {
        self.cells.note_deadline(found.cell, deadline);
    }

    /// Takes a key out.
    pub(super) fn remove(&mut self, hashing: &Hashing, found: Found, bits: u64) {
        self.timed -= usize::from(self.record(found).deadline != NEVER);
        let Self { index, crowd, cells, .. } = self;
        match found.spot {
            Some(spot) => {
                let of = positions(cells, hashing);
                let mut orphans = |entry: Entry| {
                    crowd.insert((of(&entry), entry.cell));
                };
                index.remove(spot, &of, &mut orphans);
            }
            None => {
                crowd.remove(&(position_of(bits), found.cell));
            }
        }
        self.release(hashing, found.cell);
    }

    /// Gives a cell back that nothing names any more, and tells the owner of the one that takes its place.
    fn release(&mut self, hashing: &Hashing, cell: CellRef) {
        let Some(from) = self.cells.remove(cell) else { return };
        let position = position_of(hashing.bits(key_of(self.cells.get(cell))));
        let spot = self.index.find(position, |line| (0..len(line)).find(|&slot| line[slot] == from.0));
        self.rename(spot, position, from, cell);
    }

    /// The record at `from` is at `to` now.
    fn rename(&mut self, spot: Option<Spot>, position: u64, from: CellRef, to: CellRef) {
        match spot {
            Some(spot) => self.index.change(spot, |line, slot| {
                debug_assert!(line[slot] == from.0);
                line[slot] = to.0;
            }),
            None => {
                let was_there = self.crowd.remove(&(position, from));
                debug_assert!(was_there, "a record is named by the index or the tree");
                self.crowd.insert((position, to));
            }
        }
    }

    /// Calls `visit` with every record whose position is in the range.
    pub(super) fn visit(&self, hashing: &Hashing, first: u64, last: u64, mut visit: impl FnMut(u64, &[u8])) {
        if self.index.len() > 0 {
            self.index.visit(first, last, |entry| {
                let cell = self.cells.get(entry.cell);
                let position = position_of(hashing.bits(key_of(cell)));
                if (first..=last).contains(&position) {
                    visit(position, cell);
                }
            });
        }
        for &(position, cell) in self.crowd.range((first, CellRef(0))..=(last, CellRef(u32::MAX))) {
            visit(position, self.cells.get(cell));
        }
    }

    /// A record chosen by a random number, each with equal chance; there is at least one.
    pub(super) fn pick(&self, random: u64) -> &[u8] {
        self.cells.pick(random)
    }

    /// The earliest bound of deadlines.
    pub(super) fn due(&self) -> u64 {
        self.cells.due()
    }

    /// Makes the earliest bound of deadlines exact, and gives it.
    pub(super) fn settle_due(&mut self) -> u64 {
        self.cells.settle_due(|cell| Record::read(cell).deadline)
    }

    /// A record whose deadline is about the earliest.
    pub(super) fn nearest(&self) -> Option<&[u8]> {
        self.cells.nearest(|cell| Record::read(cell).deadline)
    }

    /// The keys of some records that are due, one after the other: each its length and its bytes. False: there is no
    /// more to look at.
    pub(super) fn collect_due(&mut self, now: u64, keys: &mut Vec<Box<[u8]>>) -> bool {
        self.cells.visit_due(now, |cell| {
            let record = Record::read(cell);
            if record.deadline <= now {
                keys.push(record.key.into());
            }
            record.deadline
        })
    }

    /// Asserts what the fields promise.
    #[cfg(test)]
    pub(super) fn check(&self, hashing: &Hashing) {
        let of = |entry: &Entry| position_of(hashing.bits(key_of(self.cells.get(entry.cell))));
        self.index.check(&of);
        assert_eq!(self.cells.len(), self.len());
        let (mut seen, mut timed) = (BTreeSet::new(), 0);
        self.visit(hashing, 0, u64::MAX, |position, cell| {
            let record = Record::read(cell);
            assert!(seen.insert(record.key.to_vec()), "a key stands twice");
            timed += usize::from(record.deadline != NEVER);
            let found = self.find(record.key, hashing.bits(record.key)).expect("a key that is here is found");
            assert_eq!(position_of(hashing.bits(record.key)), position);
            assert_eq!(self.cells.get(found.cell), cell);
        });
        assert_eq!((seen.len(), timed), (self.len(), self.timed));
    }
}
