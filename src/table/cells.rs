//! Memory for records, without holes: cells of a few sizes, each size's cells in a row. Knows bytes.
//!
//! A cell that is given back is filled with the last one of its size, whose owner is told: so there is nothing to
//! collect, and what is freed goes back to the allocator. A row of cells is cut into pieces of [`PIECE`] bytes, so that
//! no growth copies more than one of them.
#![expect(clippy::cast_possible_truncation, reason = "indexes of cells are bounded by `CELLS`")]

use super::array::share;

/// Bytes of a piece. The last piece of each size is as long as needed.
const PIECE: usize = 4096;

/// Pieces of one size from which on the next one is taken whole.
const WHOLE: usize = 16;

/// Bytes of a piece that are kept, empty as it may be.
const SMALL: usize = 256;

/// Memory of a record's own up to which it is kept for one that would fit a cell.
const SPARE: usize = 4096;

/// Bytes that a cell may be longer than twice what its record needs.
const SLACK: usize = 16;

/// Largest cell; longer records have memory of their own, of just their length.
const LARGEST: usize = 1024;

/// Up to here sizes are multiples of 8, above of 32.
const FINE: usize = 256;
const FINE_CLASSES: usize = FINE / 8;
/// Number of sizes, and the number under which records with memory of their own are kept.
const OWN: usize = FINE_CLASSES + (LARGEST - FINE) / 32;

const INDEX_BITS: u32 = 26;
const INDEX: u32 = (1 << INDEX_BITS) - 1;

const _: () = assert!(OWN < 1 << (32 - INDEX_BITS));

/// Most cells of one size.
pub(super) const CELLS: usize = INDEX as usize;

/// Names a cell until it is given back or moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CellRef(pub(super) u32);

impl CellRef {
    fn new(class: usize, index: usize) -> Self {
        Self((class as u32) << INDEX_BITS | (index as u32 & INDEX))
    }

    #[inline]
    fn class(self) -> usize {
        (self.0 >> INDEX_BITS) as usize
    }

    #[inline]
    fn index(self) -> usize {
        (self.0 & INDEX) as usize
    }
}

/// The class of records of `len` bytes.
#[inline]
fn class_of(len: usize) -> usize {
    if len <= FINE {
        len.div_ceil(8).max(1) - 1
    } else if len <= LARGEST {
        FINE_CLASSES + (len - FINE).div_ceil(32) - 1
    } else {
        OWN
    }
}

/// Bytes of a class' cells.
#[inline]
fn size_of_class(class: usize) -> usize {
    if class < FINE_CLASSES { (class + 1) * 8 } else { FINE + (class - FINE_CLASSES + 1) * 32 }
}

/// Some cells in a row.
#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    /// A lower bound of the deadlines in it.
    due: u64,
}

/// All cells of one size: `pieces` are full but for the last with cells, behind which there may be an empty one.
#[derive(Debug, Default)]
struct Class {
    pieces: Vec<Piece>,
    cells: usize,
}

/// Cells of all sizes.
#[derive(Debug, Default)]
pub(super) struct Cells {
    classes: Vec<Class>,
    own: Vec<Vec<u8>>,
    /// A lower bound of the deadlines in `own`.
    own_due: u64,
    /// Bytes of memory taken.
    heap_bytes: usize,
    /// Bytes given back to the allocator since they were last asked for.
    freed: usize,
}

impl Cells {
    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.heap_bytes
            + self.classes.capacity() * size_of::<Class>()
            + self.own.capacity() * size_of::<Vec<u8>>()
    }

    /// Bytes given back to the allocator since the last call.
    pub(super) fn take_freed(&mut self) -> usize {
        std::mem::take(&mut self.freed)
    }

    /// Number of cells.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.own.len() + self.classes.iter().map(|class| class.cells).sum::<usize>()
    }

    /// The bytes of a cell: the record, and what the cell is longer.
    #[inline]
    pub(super) fn get(&self, cell: CellRef) -> &[u8] {
        let (class, index) = (cell.class(), cell.index());
        if class == OWN {
            return &self.own[index];
        }
        let size = size_of_class(class);
        let per_piece = PIECE / size;
        &self.classes[class].pieces[index / per_piece].bytes[index % per_piece * size..][..size]
    }

    /// Bytes of memory that a cell takes.
    pub(super) fn bytes_of(&self, cell: CellRef) -> usize {
        match cell.class() {
            OWN => self.own[cell.index()].capacity() + size_of::<Vec<u8>>() + 2 * size_of::<usize>(),
            class => size_of_class(class),
        }
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn get_mut(&mut self, cell: CellRef) -> &mut [u8] {
        let (class, index) = (cell.class(), cell.index());
        if class == OWN {
            return &mut self.own[index];
        }
        let size = size_of_class(class);
        let per_piece = PIECE / size;
        &mut self.classes[class].pieces[index / per_piece].bytes[index % per_piece * size..][..size]
    }

    /// Keeps a record. `None`: there are as many of its size as there may be.
    pub(super) fn add(&mut self, record: &[u8], deadline: u64) -> Option<CellRef> {
        let class = class_of(record.len());
        if class == OWN {
            if self.own.len() >= CELLS {
                return None;
            }
            self.heap_bytes += record.len() + 2 * size_of::<usize>();
            self.own.push(record.to_vec());
            let cell = CellRef::new(OWN, self.own.len() - 1);
            self.note_deadline(cell, deadline);
            return Some(cell);
        }
        if self.classes.len() <= class {
            self.classes.reserve_exact(class + 1 - self.classes.len());
            self.classes.resize_with(class + 1, Class::default);
        }
        let size = size_of_class(class);
        let per_piece = PIECE / size;
        let Class { pieces, cells } = &mut self.classes[class];
        if *cells >= CELLS {
            return None;
        }
        if *cells == pieces.len() * per_piece {
            // One that was emptied a moment ago may still be there.
            pieces.push(Piece { bytes: Vec::new(), due: u64::MAX });
            self.heap_bytes += size_of::<Piece>();
        }
        let piece = &mut pieces[*cells / per_piece];
        if piece.bytes.capacity() - piece.bytes.len() < size {
            // By a half where there are few: small tables have hundreds of last pieces.
            let most = per_piece * size - piece.bytes.len();
            let more = if *cells >= WHOLE * per_piece {
                most
            } else {
                (piece.bytes.len() / 2).max(SMALL) / size * size
            };
            self.heap_bytes -= piece.bytes.capacity();
            self.freed += piece.bytes.capacity();
            piece.bytes.reserve_exact(more.max(size).min(most));
            self.heap_bytes += piece.bytes.capacity();
        }
        let start = piece.bytes.len();
        piece.bytes.extend_from_slice(record);
        piece.bytes.resize(start + size, 0);
        *cells += 1;
        let cell = CellRef::new(class, *cells - 1);
        self.note_deadline(cell, deadline);
        Some(cell)
    }

    /// Writes a record over the one in a cell, if the cell is right for it: large enough, and not far too large unless
    /// `keep`. What becomes shorter for a while then takes no memory when it becomes longer again.
    pub(super) fn overwrite(&mut self, cell: CellRef, record: &[u8], keep: bool) -> bool {
        let (class, wanted) = (cell.class(), class_of(record.len()));
        if class == OWN {
            if wanted != OWN && self.own[cell.index()].capacity() > SPARE {
                return false;
            }
            let own = &mut self.own[cell.index()];
            self.heap_bytes -= own.capacity();
            own.clear();
            if own.capacity() > 4 * record.len() {
                own.shrink_to(record.len());
            }
            // Exact: a value is replaced far more often than it grows, and never grows in place.
            own.reserve_exact(record.len());
            own.extend_from_slice(record);
            self.heap_bytes += own.capacity();
            return true;
        }
        if wanted > class || !keep && size_of_class(class) > 2 * size_of_class(wanted) + SLACK {
            return false;
        }
        self.get_mut(cell)[..record.len()].copy_from_slice(record);
        true
    }

    /// Gives a cell back. Where another one was moved into its place, the name that one had: it now has `cell`'s.
    pub(super) fn remove(&mut self, cell: CellRef) -> Option<CellRef> {
        let (class, index) = (cell.class(), cell.index());
        if class == OWN {
            let record = self.own.swap_remove(index);
            self.heap_bytes -= record.capacity() + 2 * size_of::<usize>();
            self.freed += record.capacity();
            if self.own.len() * 4 < self.own.capacity() {
                self.own.shrink_to(self.own.len() * 2);
            }
            return (index < self.own.len()).then(|| CellRef::new(OWN, self.own.len()));
        }
        let size = size_of_class(class);
        let per_piece = PIECE / size;
        let Class { pieces, cells } = &mut self.classes[class];
        *cells -= 1;
        let moved_from = *cells;
        let target = index / per_piece;
        let offset = index % per_piece * size;
        let (before, last) = pieces.split_at_mut(moved_from / per_piece);
        let last = &mut last[0];
        let end = last.bytes.len() - size;
        if index == moved_from {
            // The last one goes, and nothing takes its place.
        } else if let Some(piece) = before.get_mut(target) {
            piece.bytes[offset..][..size].copy_from_slice(&last.bytes[end..]);
            piece.due = piece.due.min(last.due);
        } else {
            last.bytes.copy_within(end.., offset);
        }
        last.bytes.truncate(end);
        if end * 2 < last.bytes.capacity() && last.bytes.capacity() > SMALL && pieces.len() <= WHOLE {
            let last = &mut pieces[moved_from / per_piece].bytes;
            self.heap_bytes -= last.capacity();
            last.shrink_to(end * 5 / 4 / size * size);
            self.heap_bytes += last.capacity();
        }
        // An empty piece is kept until the one before it is half empty: who adds and removes in turn takes no memory.
        if pieces.len() > 1 && *cells + per_piece / 2 < (pieces.len() - 1) * per_piece {
            let piece = pieces.pop().expect("there is more than one");
            self.heap_bytes -= piece.bytes.capacity() + size_of::<Piece>();
            self.freed += piece.bytes.capacity();
        }
        if pieces.capacity() > 4 * (pieces.len() + 4) {
            pieces.shrink_to(2 * pieces.len());
        }
        (index != moved_from).then(|| CellRef::new(class, moved_from))
    }

    /// Notes that a cell's record has this deadline.
    pub(super) fn note_deadline(&mut self, cell: CellRef, deadline: u64) {
        if deadline == u64::MAX {
            return;
        }
        let (class, index) = (cell.class(), cell.index());
        if class == OWN {
            self.own_due = if self.own.len() == 1 { deadline } else { self.own_due.min(deadline) };
            return;
        }
        let piece = &mut self.classes[class].pieces[index / (PIECE / size_of_class(class))];
        piece.due = piece.due.min(deadline);
    }

    /// The earliest bound of deadlines.
    pub(super) fn due(&self) -> u64 {
        let pieces = self.classes.iter().flat_map(|class| &class.pieces).map(|piece| piece.due);
        let own = if self.own.is_empty() { u64::MAX } else { self.own_due };
        pieces.min().unwrap_or(u64::MAX).min(own)
    }

    /// Calls `visit` with the records of the first piece in which one may be due at `now`; it tells their deadlines,
    /// of which the earliest that is not due becomes the piece's bound. False: there is no such piece.
    pub(super) fn visit_due(&mut self, now: u64, mut visit: impl FnMut(&[u8]) -> u64) -> bool {
        let mut left = |record: &[u8]| match visit(record) {
            deadline if deadline <= now => u64::MAX,
            deadline => deadline,
        };
        for (class, Class { pieces, .. }) in self.classes.iter_mut().enumerate() {
            if let Some(piece) = pieces.iter_mut().find(|piece| piece.due <= now) {
                let cells = piece.bytes.chunks_exact(size_of_class(class));
                piece.due = cells.map(left).min().unwrap_or(u64::MAX);
                return true;
            }
        }
        if self.own.is_empty() || self.own_due > now {
            return false;
        }
        self.own_due = self.own.iter().map(|record| left(record)).min().unwrap_or(u64::MAX);
        true
    }

    /// Makes the earliest bound exact, by `deadline`, and gives it.
    pub(super) fn settle_due(&mut self, deadline: impl Fn(&[u8]) -> u64) -> u64 {
        loop {
            let due = self.due();
            let pieces = self.classes.iter_mut().enumerate();
            let mut pieces =
                pieces.flat_map(|(class, it)| it.pieces.iter_mut().map(move |piece| (class, piece)));
            let exact = if let Some((class, piece)) = pieces.find(|(_, piece)| piece.due == due) {
                let cells = piece.bytes.chunks_exact(size_of_class(class));
                piece.due = cells.map(&deadline).min().unwrap_or(u64::MAX);
                piece.due
            } else {
                self.own_due = self.own.iter().map(|record| deadline(record)).min().unwrap_or(u64::MAX);
                self.own_due
            };
            if exact == due {
                return due;
            }
        }
    }

    /// The record with the earliest deadline, by `deadline`, of the piece whose bound is the earliest.
    pub(super) fn nearest(&self, deadline: impl Fn(&[u8]) -> u64) -> Option<&[u8]> {
        let mut pieces: Vec<(u64, usize, &Piece)> = Vec::new();
        for (class, Class { pieces: some, .. }) in self.classes.iter().enumerate() {
            pieces.extend(
                some.iter().filter(|piece| piece.due != u64::MAX).map(|piece| (piece.due, class, piece)),
            );
        }
        pieces.sort_unstable_by_key(|&(due, ..)| due);
        let timed = |record: &&[u8]| deadline(record) != u64::MAX;
        let in_piece = pieces.into_iter().find_map(|(_, class, piece)| {
            let cells = piece.bytes.chunks_exact(size_of_class(class)).filter(timed);
            cells.min_by_key(|record| deadline(record))
        });
        let own = self.own.iter().map(|record| &**record).filter(timed).min_by_key(|record| deadline(record));
        in_piece.into_iter().chain(own).min_by_key(|record| deadline(record))
    }

    /// A cell chosen by a random number, each with equal chance; there is at least one.
    pub(super) fn pick(&self, random: u64) -> &[u8] {
        let count = self.own.len() + self.classes.iter().map(|class| class.cells).sum::<usize>();
        let mut index = share(random, count);
        for (number, class) in self.classes.iter().enumerate() {
            if index < class.cells {
                return self.get(CellRef::new(number, index));
            }
            index -= class.cells;
        }
        &self.own[index]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{CellRef, Cells, LARGEST, class_of, size_of_class};

    #[test]
    fn every_length_has_a_cell() {
        for len in 1..=LARGEST {
            let size = size_of_class(class_of(len));
            assert!(size >= len && size - len < if len <= 256 { 8 } else { 32 }, "{len} in {size}");
        }
    }

    proptest! {
        #[test]
        fn cells_come_and_go(steps in collection::vec((1..1_300_usize, any::<usize>(), any::<bool>()), 1..400)) {
            let mut cells = Cells::default();
            let mut model: BTreeMap<CellRef, Vec<u8>> = BTreeMap::new();
            for (n, (len, which, keep)) in steps.into_iter().enumerate() {
                if keep || model.is_empty() {
                    let record = vec![n.to_le_bytes()[0]; if len > 1_200 { len } else { len % 40 + 1 }];
                    let cell = cells.add(&record, u64::MAX).unwrap();
                    prop_assert!(model.insert(cell, record).is_none());
                } else {
                    let cell = *model.keys().nth(which % model.len()).unwrap();
                    model.remove(&cell);
                    if let Some(from) = cells.remove(cell) {
                        let moved = model.remove(&from).unwrap();
                        model.insert(cell, moved);
                    }
                }
                prop_assert_eq!(cells.len(), model.len());
                for (cell, record) in &model {
                    prop_assert_eq!(&cells.get(*cell)[..record.len()], &record[..]);
                }
            }
            let most = model.values().map(|record| record.len() + 40).sum::<usize>() * 2 + 64 * 1024;
            prop_assert!(cells.heap_bytes() <= most);
        }
    }
}
