//! One array of cache lines, addressed by position. Knows neither keys nor values, nor how arrays grow.
//!
//! An entry's home among `n` lines is `position * n / 2^64`: homes are in the order of positions for any `n`, which
//! need not be a power of two. An entry stands in the first line from its home on that has room, and each line counts
//! the entries that passed it by; a search goes on exactly as long as somebody passed. There are no tombstones.
#![expect(
    clippy::cast_possible_truncation,
    reason = "usize has 64 bits here, and counts of a line fit its header"
)]

/// One cache line.
pub(super) type Line = [u32; 16];

/// Lane of the header: bits 0–3 number of entries, 4–7 free for the format, 16–31 entries that passed the line by.
pub(super) const HEADER: usize = 15;
const LEN: u32 = 0xF;
const PASSED_SHIFT: u32 = 16;
const PASSED: u32 = 0xFFFF << PASSED_SHIFT;

/// Lines from its home on in which an entry may stand, the home included. At the highest load an entry passes half a
/// line by on average, and how many one passes falls off exponentially: of a million, a few are left without a place.
/// The number of entries that pass a line is below `REACH * 12`, which fits its half of the header.
pub(super) const REACH: usize = 48;

const _: () = assert!(REACH * 12 <= PASSED as usize >> PASSED_SHIFT);

/// Most lines behind the last home.
const TAIL: usize = 8;

/// Lines that share one bound of their deadlines.
pub(super) const GROUP: usize = 16;

/// How entries lie in a line.
pub(super) trait Format {
    /// One entry, whole.
    type Entry: Copy;

    /// Entries of a line that is laid out for the widest.
    const LEAST: usize;

    /// Entries that the line has room for as it is laid out now.
    fn slots(line: &Line) -> usize;
    /// The entry in a slot below [`len`].
    fn entry(line: &Line, slot: usize) -> Self::Entry;
    /// Adds an entry; false: there is no room. May lay the line out anew.
    fn push(line: &mut Line, entry: &Self::Entry) -> bool;
    /// Takes an entry out; the last one takes its slot.
    fn remove(line: &mut Line, slot: usize);
    /// When the entry goes away by itself, `u64::MAX` = never or not known here.
    fn deadline(entry: &Self::Entry) -> u64;
}

/// The part of `whole` that a fraction of 2^64 is, rounded down: below `whole`.
#[inline]
pub(super) fn share(fraction: u64, whole: usize) -> usize {
    ((u128::from(fraction) * whole as u128) >> 64) as usize
}

/// Entries of a line.
#[inline]
pub(super) fn len(line: &Line) -> usize {
    (line[HEADER] & LEN) as usize
}

/// Changes the number of entries in a line's header.
#[inline]
pub(super) fn set_len(line: &mut Line, len: usize) {
    debug_assert!(len <= LEN as usize);
    line[HEADER] = line[HEADER] & !LEN | (len as u32 & LEN);
}

#[inline]
pub(super) fn passed(line: &Line) -> u32 {
    (line[HEADER] & PASSED) >> PASSED_SHIFT
}

/// Lines in one piece of memory.
#[derive(Debug)]
pub(super) struct Array {
    /// 16 words a line, and up to 15 in front, so that the lines are aligned.
    pub(super) words: Vec<u32>,
    /// The first word of the first line.
    pub(super) start: usize,
    /// Lines that are somebody's home.
    pub(super) homes: usize,
    /// Lines: the homes, and a tail for what the last homes have no room for.
    pub(super) lines: usize,
    pub(super) used: usize,
    /// Sum of the lines' slots.
    pub(super) slots: usize,
    /// A lower bound of the deadlines in each [`GROUP`] of lines; empty before there is one.
    due: Vec<u64>,
    /// The bound where there is one group only, which needs no memory of its own.
    only_due: u64,
}

impl Default for Array {
    /// No lines and no memory.
    fn default() -> Self {
        Self {
            words: Vec::new(),
            start: 0,
            homes: 0,
            lines: 0,
            used: 0,
            slots: 0,
            due: Vec::new(),
            only_due: u64::MAX,
        }
    }
}

impl Array {
    pub(super) fn new<F: Format>(homes: usize) -> Self {
        if homes == 0 {
            return Self::default();
        }
        let lines = homes + (homes / 8).min(TAIL);
        // From zeroed memory of its own where it is large: pages that nobody wrote to are not there.
        let words = vec![0_u32; lines * 16 + 15];
        let misplaced = words.as_ptr().addr() % 64 / 4;
        Self {
            start: (16 - misplaced) % 16,
            words,
            homes,
            lines,
            used: 0,
            slots: lines * F::slots(&[0; 16]),
            due: Vec::new(),
            only_due: u64::MAX,
        }
    }

    #[inline]
    pub(super) fn line(&self, line: usize) -> &Line {
        self.words[self.start + line * 16..].first_chunk().expect("a line below the number of lines")
    }

    #[inline]
    pub(super) fn line_mut(&mut self, line: usize) -> &mut Line {
        self.words[self.start + line * 16..].first_chunk_mut().expect("a line below the number of lines")
    }

    /// Entries for which the homes have room, each laid out as lines are on average: the tail is no room to plan with.
    pub(super) fn room(&self) -> usize {
        (self.slots * self.homes).checked_div(self.lines).unwrap_or(0)
    }

    #[inline]
    pub(super) fn home(&self, position: u64) -> usize {
        share(position, self.homes)
    }

    #[inline(always)]
    pub(super) fn find(
        &self,
        position: u64,
        mut seek: impl FnMut(&Line) -> Option<usize>,
    ) -> Option<(usize, usize)> {
        let mut at = self.home(position);
        loop {
            let line = self.line(at);
            if let Some(slot) = seek(line) {
                return Some((at, slot));
            }
            if passed(line) == 0 {
                return None;
            }
            at += 1;
        }
    }

    pub(super) fn insert<F: Format>(&mut self, position: u64, entry: &F::Entry) -> Option<(usize, usize)> {
        let home = self.home(position);
        for at in home..(home + REACH).min(self.lines) {
            let line = self.line_mut(at);
            let before = F::slots(line);
            if !F::push(line, entry) {
                continue;
            }
            let (slot, after) = (len(line) - 1, F::slots(line));
            self.slots = self.slots + after - before;
            self.used += 1;
            for passed_by in home..at {
                self.line_mut(passed_by)[HEADER] += 1 << PASSED_SHIFT;
            }
            self.note_deadline(at, F::deadline(entry));
            return Some((at, slot));
        }
        None
    }

    pub(super) fn remove<F: Format>(&mut self, home: usize, at: usize, slot: usize) {
        let line = self.line_mut(at);
        let before = F::slots(line);
        F::remove(line, slot);
        let after = F::slots(line);
        self.slots = self.slots + after - before;
        self.used -= 1;
        for passed_by in home..at {
            let header = &mut self.line_mut(passed_by)[HEADER];
            debug_assert!(*header & PASSED != 0);
            *header -= 1 << PASSED_SHIFT;
        }
    }

    /// Takes all entries out of a line that nobody passed to get there.
    pub(super) fn empty<F: Format>(&mut self, at: usize) {
        let line = self.line_mut(at);
        let (count, before) = (len(line), F::slots(line));
        line[HEADER] &= PASSED;
        let after = F::slots(line);
        self.slots = self.slots + after - before;
        self.used -= count;
    }

    #[inline]
    pub(super) fn note_deadline(&mut self, line: usize, deadline: u64) {
        if deadline != u64::MAX {
            self.lower_bound(line, deadline);
        }
    }

    pub(super) fn lower_bound(&mut self, line: usize, deadline: u64) {
        if self.lines > GROUP && self.due.is_empty() {
            self.due = vec![u64::MAX; self.lines.div_ceil(GROUP)];
        }
        let due = &mut self.due_mut()[line / GROUP];
        *due = deadline.min(*due);
    }

    /// The earliest deadline in a group of lines.
    pub(super) fn earliest<F: Format>(&self, group: usize) -> u64 {
        let lines = (group * GROUP..((group + 1) * GROUP).min(self.lines)).map(|at| self.line(at));
        let entries = lines.flat_map(|line| (0..len(line)).map(|slot| F::entry(line, slot)));
        entries.map(|entry| F::deadline(&entry)).min().unwrap_or(u64::MAX)
    }

    /// Bounds of the deadlines, one for each group of lines; none at all where no line ever had one.
    pub(super) fn due(&self) -> &[u64] {
        if self.lines <= GROUP { std::slice::from_ref(&self.only_due) } else { &self.due }
    }

    /// The same, to be changed.
    pub(super) fn due_mut(&mut self) -> &mut [u64] {
        if self.lines <= GROUP { std::slice::from_mut(&mut self.only_due) } else { &mut self.due }
    }

    /// Calls `visit` with the entries of the lines from `from` to `to`, and of those behind that somebody of them may
    /// have passed into.
    pub(super) fn visit_lines<F: Format>(&self, from: usize, to: usize, visit: &mut impl FnMut(&F::Entry)) {
        let mut at = from;
        while at < self.lines {
            let line = self.line(at);
            for slot in 0..len(line) {
                visit(&F::entry(line, slot));
            }
            if at >= to && passed(line) == 0 {
                break;
            }
            at += 1;
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.words.capacity() * 4 + self.due.capacity() * 8
    }
}
