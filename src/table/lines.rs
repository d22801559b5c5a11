//! Entries in the order of their positions, in an array that grows and shrinks in small steps. Knows neither keys nor
//! values.
//!
//! ```text
//!  current   [ gone | gone | gone | 3 | 4 | 5 | … | tail ]     homes below `moved` are in `next`
//!                                   ^ moved
//!  next      [ 0 | 1 | 2 | 3 | (zeros that were never touched) … | tail ]
//! ```
//!
//! Growing and shrinking are the same: entries move, in the order of their homes, into an array of another size, a few
//! lines with each change. The new array is zeroed memory fresh from the kernel, which becomes real where it is first
//! written to.

use std::marker::PhantomData;

use super::array::{Array, Format, GROUP, Line, REACH, len, passed, share};

/// Where an entry is. Void after any change but one of the entry itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// In `next`, not in `current`.
    next: bool,
    line: usize,
    slot: usize,
}

/// Lines of an array up to which it moves at once.
const SMALL: usize = 32;

/// Lines of an array up to which it does not shrink: few keys that come and go would have it move all the time.
const TINY: usize = 16;

/// Lines of an array that has more than one.
const FEW: usize = 4;

/// Lines moved with each change while an array moves, of which one operation moves at most [`MOVED_ENTRIES`] entries.
const MOVED_LINES: usize = 16;
/// The same with a removal: keys often go in thousands at once, in one step of a sweep or by one command. An array that
/// shrinks has 1.3 removals for each of its lines until it would shrink again.
const MOVED_BY_REMOVAL: usize = 2;

/// Most entries that one operation moves, whatever the size of the table.
pub(super) const MOVED_ENTRIES: usize = (SMALL + REACH) * 12;

/// Entries in the order of their positions.
#[derive(Debug)]
pub(super) struct Lines<F: Format> {
    /// While entries move: those whose home here is `moved` or above.
    current: Array,
    /// Where they move; no lines otherwise.
    next: Array,
    moved: usize,
    /// Which of the sizes between two powers this array takes, see [`size`].
    phase: u8,
    /// How many entries there will be soon for each that there is, in 16ths, see [`Lines::expect`].
    ahead: u8,
    /// Entries moved so far.
    moves: u64,
    /// Bytes given back to the allocator since they were last asked for.
    freed: usize,
    format: PhantomData<F>,
}

/// What [`Lines::expect`] is told where no more entries are expected than come one by one.
pub(super) const ONE: u8 = 16;
/// The most that it may be told: twice as many moves are saved by no more, and a wrong guess takes memory for so long.
pub(super) const MOST: u8 = 4 * ONE;

/// How full an array is from which on it grows, in 128ths.
const FULL: usize = 113;
/// How full a new array is at most, in 128ths: at least one size below [`FULL`].
const LARGEST_LOAD: usize = 100;
/// The same below which one that was made for a guess is made smaller: two sizes below what is usual.
const LOOSE: usize = 75;
/// Entries for each line, in tenths of what a line holds at the least, below which an array shrinks. Not of what its lines
/// hold as they are laid out: that changes with the entries, and the array would follow it up and down.
const SPARSE: usize = 5;

/// Sizes of arrays are powers of this, times a number between 1 and this that differs from segment to segment: so a
/// few segments grow at any time, and never all at one.
const GROWTH: f64 = 1.15;

/// The smallest size that has `homes` lines.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a size need not be exact, and has a sign"
)]
fn size(homes: usize, phase: u8) -> usize {
    if homes <= FEW {
        return homes.max(1);
    }
    let phase = f64::from(phase) / 256.0;
    let power = ((homes as f64).ln() / GROWTH.ln() - phase).ceil();
    (GROWTH.powf(power + phase) as usize).max(homes)
}

impl<F: Format> Lines<F> {
    /// No entries and no memory.
    pub(super) fn new(phase: u8) -> Self {
        Self {
            current: Array::default(),
            next: Array::default(),
            moved: 0,
            phase,
            ahead: ONE,
            moves: 0,
            freed: 0,
            format: PhantomData,
        }
    }

    /// Number of entries.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.current.used + self.next.used
    }

    /// Bytes on the heap; of memory that was never written to only what entries have moved into.
    pub(super) fn heap_bytes(&self) -> usize {
        let next = self.next.heap_bytes();
        self.current.heap_bytes() + next.checked_div(self.current.homes).unwrap_or(0) * self.moved
    }

    /// Entries moved so far.
    pub(super) fn moves(&self) -> u64 {
        self.moves
    }

    /// Bytes given back to the allocator since the last call.
    pub(super) fn take_freed(&mut self) -> usize {
        std::mem::take(&mut self.freed)
    }

    /// Addresses and sizes for prefetching: of the array, of the one that it moves into, and how far it has.
    pub(super) fn addresses(&self) -> [(usize, usize); 2] {
        [&self.current, &self.next]
            .map(|array| (array.words[array.start.min(array.words.len())..].as_ptr().addr(), array.homes))
    }

    /// Homes of `current` whose entries have moved.
    pub(super) fn moved(&self) -> usize {
        self.moved
    }

    /// The entry that `seek` finds in one of the lines where an entry of this position may be.
    #[inline]
    pub(super) fn find(&self, position: u64, seek: impl FnMut(&Line) -> Option<usize>) -> Option<Spot> {
        let next = self.is_next(position)?;
        let array = if next { &self.next } else { &self.current };
        let (line, slot) = array.find(position, seek)?;
        Some(Spot { next, line, slot })
    }

    /// The line and the slot that `seek` finds, as in [`Lines::find`].
    #[inline]
    pub(super) fn look(
        &self,
        position: u64,
        seek: impl FnMut(&Line) -> Option<usize>,
    ) -> Option<(&Line, usize)> {
        let next = self.is_next(position)?;
        let array = if next { &self.next } else { &self.current };
        let (line, slot) = array.find(position, seek)?;
        Some((array.line(line), slot))
    }

    /// The same, to be changed in ways that leave the line laid out as it is.
    #[inline]
    pub(super) fn look_mut(
        &mut self,
        position: u64,
        seek: impl FnMut(&Line) -> Option<usize>,
    ) -> Option<(&mut Line, usize)> {
        let next = self.is_next(position)?;
        let array = if next { &mut self.next } else { &mut self.current };
        let (line, slot) = array.find(position, seek)?;
        Some((array.line_mut(line), slot))
    }

    /// In which array a position is; `None`: there is none.
    #[inline]
    fn is_next(&self, position: u64) -> Option<bool> {
        if self.current.homes == 0 {
            return None;
        }
        Some(self.next.homes != 0 && self.current.home(position) < self.moved)
    }

    /// The line of an entry, and its slot there.
    #[inline]
    pub(super) fn line(&self, spot: Spot) -> (&Line, usize) {
        ((if spot.next { &self.next } else { &self.current }).line(spot.line), spot.slot)
    }

    /// The entry at a spot.
    #[inline]
    pub(super) fn entry(&self, spot: Spot) -> F::Entry {
        let (line, slot) = self.line(spot);
        F::entry(line, slot)
    }

    /// Changes an entry's line in place, without a change of its number of entries.
    #[inline]
    pub(super) fn change<R>(&mut self, spot: Spot, change: impl FnOnce(&mut Line, usize) -> R) -> R {
        let array = if spot.next { &mut self.next } else { &mut self.current };
        let line = array.line_mut(spot.line);
        let before = F::slots(line);
        let result = change(line, spot.slot);
        let after = F::slots(line);
        if before != after {
            array.slots = array.slots + after - before;
        }
        result
    }

    /// Notes that the entry at a spot has got this deadline.
    pub(super) fn note_deadline(&mut self, spot: Spot, deadline: u64) {
        let array = if spot.next { &mut self.next } else { &mut self.current };
        array.note_deadline(spot.line, deadline);
    }

    /// Adds an entry that is not here. False: there is no room near its home, though most lines have some.
    ///
    /// `position` tells an entry's position; `orphan` gets those for which the array they move into has no room.
    pub(super) fn insert(
        &mut self,
        at: u64,
        entry: &F::Entry,
        position: &impl Fn(&F::Entry) -> u64,
        orphan: &mut impl FnMut(F::Entry),
    ) -> Option<Spot> {
        if self.next.homes == 0 && (self.current.used + 1) * 128 > self.current.room() * FULL {
            self.grow();
        }
        self.advance(MOVED_LINES, position, orphan);
        for _ in 0..3 {
            let next = self.is_next(at)?;
            let array = if next { &mut self.next } else { &mut self.current };
            if let Some((line, slot)) = array.insert::<F>(at, entry) {
                return Some(Spot { next, line, slot });
            }
            // The last lines of a small array have no tail: it is cheap to give it more lines at once.
            if self.next.homes != 0 || self.current.homes >= SMALL {
                return None;
            }
            let more = self.current.used + self.current.slots / self.current.lines;
            self.resize(more, LARGEST_LOAD);
            self.advance(MOVED_LINES, position, orphan);
        }
        None
    }

    /// Takes an entry out.
    pub(super) fn remove(
        &mut self,
        spot: Spot,
        position: &impl Fn(&F::Entry) -> u64,
        orphan: &mut impl FnMut(F::Entry),
    ) {
        let entry = self.entry(spot);
        let array = if spot.next { &mut self.next } else { &mut self.current };
        let home = array.home(position(&entry));
        array.remove::<F>(home, spot.line, spot.slot);
        if self.len() == 0 && self.current.homes > TINY {
            self.freed += self.current.heap_bytes() + self.next.heap_bytes();
            (self.current, self.next, self.moved) = (Array::default(), Array::default(), 0);
            return;
        }
        if self.next.homes == 0
            && self.current.homes > TINY
            && self.current.used * 10 < self.current.homes * F::LEAST * SPARSE
        {
            self.resize(self.current.used, LARGEST_LOAD);
        }
        self.advance(MOVED_BY_REMOVAL, position, orphan);
    }

    /// Tells that a table is being read in, and that for each entry there will be `ahead` 16ths when it is: an array that
    /// grows takes the size at once that it would come to in steps, each of which moves all entries.
    pub(super) fn expect(&mut self, ahead: u8) {
        debug_assert!((ONE..=MOST).contains(&ahead));
        self.ahead = ahead;
    }

    /// No more entries are expected: an array that was made for more than came is made smaller, and all entries are where
    /// they belong.
    pub(super) fn tighten(
        &mut self,
        position: &impl Fn(&F::Entry) -> u64,
        orphan: &mut impl FnMut(F::Entry),
    ) {
        self.ahead = ONE;
        while self.next.homes != 0 {
            self.advance(MOVED_LINES, position, orphan);
        }
        if self.current.used * 128 < self.current.room() * LOOSE {
            self.resize(self.current.used, LARGEST_LOAD);
        }
        while self.next.homes != 0 {
            self.advance(MOVED_LINES, position, orphan);
        }
    }

    fn grow(&mut self) {
        let count = self.current.used + 1;
        if self.ahead == ONE {
            return self.resize(count, LARGEST_LOAD);
        }
        // A little more: of two segments one gets more entries than its share.
        let expected = count * usize::from(self.ahead) / usize::from(ONE);
        self.resize(expected + expected / 64, FULL);
    }

    /// Begins to move into an array that `count` entries, laid out as those here are, fill by `load` 128ths at most.
    fn resize(&mut self, count: usize, load: usize) {
        // Entries of a line, in 256ths: as many as there are now.
        let slots = (256 * self.current.slots).checked_div(self.current.lines);
        let slots = slots.unwrap_or(256 * F::slots(&[0; 16]));
        let homes = size((count * 256 * 128).div_ceil(slots * load), self.phase);
        // Not two or three: a few keys more would have it move again.
        let homes = if (2..FEW).contains(&homes) { FEW } else { homes };
        let homes = if count > self.current.used { homes.max(self.current.homes + 1) } else { homes };
        if count == self.current.used && homes >= self.current.homes {
            return;
        }
        let fresh = Array::new::<F>(homes);
        if self.current.homes == 0 {
            self.current = fresh;
        } else {
            (self.next, self.moved) = (fresh, 0);
        }
    }

    /// Moves the entries of so many lines, all of them if there are few, and none if there is nowhere to move.
    fn advance(
        &mut self,
        lines: usize,
        position: &impl Fn(&F::Entry) -> u64,
        orphan: &mut impl FnMut(F::Entry),
    ) {
        if self.next.homes == 0 {
            return;
        }
        let lines = if self.current.homes <= SMALL { SMALL } else { lines };
        for _ in 0..lines {
            self.move_home(position, orphan);
            if self.moved == self.current.homes {
                debug_assert!(self.current.used == 0, "every entry has moved");
                self.freed += self.current.heap_bytes();
                self.current = std::mem::take(&mut self.next);
                self.moved = 0;
                return;
            }
        }
    }

    /// Moves the entries whose home is the line `moved`: those in it, since earlier homes' have moved, and those that
    /// passed it by.
    fn move_home(&mut self, position: &impl Fn(&F::Entry) -> u64, orphan: &mut impl FnMut(F::Entry)) {
        let home = self.moved;
        let line = *self.current.line(home);
        let mut count = len(&line);
        for slot in 0..count {
            let entry = F::entry(&line, slot);
            if self.next.insert::<F>(position(&entry), &entry).is_none() {
                orphan(entry);
            }
        }
        self.current.empty::<F>(home);
        let mut at = home;
        while passed(self.current.line(home)) > 0 {
            at += 1;
            let mut slot = 0;
            while slot < len(self.current.line(at)) {
                let entry = F::entry(self.current.line(at), slot);
                let place = position(&entry);
                if self.current.home(place) != home {
                    slot += 1;
                    continue;
                }
                self.current.remove::<F>(home, at, slot);
                count += 1;
                if self.next.insert::<F>(place, &entry).is_none() {
                    orphan(entry);
                }
            }
        }
        self.moves += count as u64;
        self.moved += 1;
    }

    /// Calls `visit` with every entry whose position is in the range, and with some others beside.
    pub(super) fn visit(&self, first: u64, last: u64, mut visit: impl FnMut(&F::Entry)) {
        for array in [&self.current, &self.next].into_iter().filter(|array| array.homes > 0) {
            array.visit_lines::<F>(array.home(first), array.home(last), &mut visit);
        }
    }

    /// A slot chosen by a random number, each with equal chance; `None`: it is empty.
    pub(super) fn pick(&self, random: u64) -> Option<F::Entry> {
        const WIDEST: usize = 12;
        let index = share(random, (self.current.lines + self.next.lines) * WIDEST);
        let (line, slot) = (index / WIDEST, index % WIDEST);
        let line = if line < self.current.lines {
            self.current.line(line)
        } else {
            self.next.line(line - self.current.lines)
        };
        (slot < len(line)).then(|| F::entry(line, slot))
    }

    /// The earliest bound of deadlines.
    pub(super) fn due(&self) -> u64 {
        self.current.due().iter().chain(self.next.due()).copied().min().unwrap_or(u64::MAX)
    }

    /// The first group of lines with a deadline that may be at or before `now`: its entries that are due go into `due`
    /// and its bound is set to what is left. False: there is no such group.
    pub(super) fn collect_due(&mut self, now: u64, due: &mut Vec<F::Entry>) -> bool {
        for array in [&mut self.current, &mut self.next] {
            let Some(group) = array.due().iter().position(|&bound| bound <= now) else { continue };
            let mut bound = u64::MAX;
            for at in group * GROUP..((group + 1) * GROUP).min(array.lines) {
                let line = array.line(at);
                for slot in 0..len(line) {
                    let entry = F::entry(line, slot);
                    match F::deadline(&entry) {
                        deadline if deadline <= now => due.push(entry),
                        deadline => bound = bound.min(deadline),
                    }
                }
            }
            array.due_mut()[group] = bound;
            return true;
        }
        false
    }

    /// Makes the earliest bound exact, and gives it.
    pub(super) fn settle_due(&mut self) -> u64 {
        loop {
            let due = self.due();
            let array = if self.current.due().contains(&due) { &mut self.current } else { &mut self.next };
            let Some(group) = array.due().iter().position(|&bound| bound == due) else { return due };
            let exact = array.earliest::<F>(group);
            array.due_mut()[group] = exact;
            if exact == due {
                return due;
            }
        }
    }

    /// The entry with the earliest deadline of the group whose bound is the earliest. `None`: that group has none any
    /// more, or no group had one.
    pub(super) fn nearest(&self) -> Option<F::Entry> {
        let groups = [&self.current, &self.next]
            .into_iter()
            .flat_map(|array| array.due().iter().enumerate().map(move |(group, &due)| (due, group, array)));
        // A bound may be too early. Then its group's turn comes when it is swept.
        let mut sorted: Vec<_> = groups.filter(|&(due, ..)| due != u64::MAX).collect();
        sorted.sort_unstable_by_key(|&(due, ..)| due);
        sorted.into_iter().find_map(|(_, group, array)| {
            let lines = (group * GROUP..((group + 1) * GROUP).min(array.lines)).map(|at| array.line(at));
            let entries = lines.flat_map(|line| (0..len(line)).map(|slot| F::entry(line, slot)));
            entries.filter(|entry| F::deadline(entry) != u64::MAX).min_by_key(F::deadline)
        })
    }

    /// Asserts what the fields promise.
    #[cfg(test)]
    pub(super) fn check(&self, position: &impl Fn(&F::Entry) -> u64) {
        for (array, from) in [(&self.current, self.moved), (&self.next, 0)] {
            let mut passed_by = vec![0; array.lines];
            let (mut used, mut slots) = (0, 0);
            for at in 0..array.lines {
                let line = array.line(at);
                used += len(line);
                slots += F::slots(line);
                for slot in 0..len(line) {
                    let entry = F::entry(line, slot);
                    let home = array.home(position(&entry));
                    assert!(home >= from && home <= at && at < home + REACH, "home {home}, line {at}");
                    passed_by[home..at].iter_mut().for_each(|count| *count += 1);
                    let deadline = F::deadline(&entry);
                    assert!(deadline == u64::MAX || array.due()[at / GROUP] <= deadline);
                }
            }
            assert_eq!((used, slots), (array.used, array.slots));
            assert!((0..array.lines).all(|at| passed(array.line(at)) == passed_by[at]));
        }
    }
}
