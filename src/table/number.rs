//! Lines of numbered counters: ids and values, and deadlines where there are some. No key bytes.
//!
//! A store's ids have 4 or 8 bytes. Each line is laid out for the widest of its entries, so that a wide value or a
//! deadline costs its neighbours in the line some room and nobody else anything. Lanes are words of 4 bytes; lane 15
//! is the header:
//!
//! | ids | values | deadlines | entries of a line | ids in lanes | values from lane | deadlines from lane |
//! |-----|--------|-----------|-------------------|--------------|------------------|---------------------|
//! | 4   | 4      |           | 7                 | 0–6          | 7                |                     |
//! | 4   | 8      |           | 5                 | 0–4          | 5                |                     |
//! | 4   | 4      | 6         | 4                 | 0–3          | 4                | 8, and 12           |
//! | 4   | 8      | 6         | 3                 | 0–2          | 3                | 9, and 12           |
//! | 8   | 4      |           | 5                 | 0–9          | 10               |                     |
//! | 8   | 8      |           | 3                 | 0–5          | 6                |                     |
//! | 8   | 4      | 6         | 3                 | 0–5          | 6                | 9, and 12           |
//! | 8   | 8      | 6         | 2                 | 0–3          | 4                | 8, and 10           |
//!
//! A deadline's lower 4 bytes are in one lane each, its upper 2 bytes in half a lane of those behind.
#![expect(clippy::cast_possible_truncation, reason = "a word is cut into lanes on purpose")]

use super::array::{Format, HEADER, Line, len, set_len};
use super::record::NEVER;

/// Deadlines from here on do not fit a line (the year 10889): such keys are packed.
pub(super) const DEADLINES: u64 = (1 << 48) - 1;

const FORMAT_SHIFT: u32 = 4;
/// Of a format: values have 8 bytes.
const LONG: u32 = 1;
/// Of a format: entries have deadlines.
const TIMED: u32 = 2;

/// A counter of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    pub(super) id: u64,
    pub(super) value: i64,
    /// Below [`DEADLINES`], or `NEVER`.
    pub(super) deadline: u64,
}

impl Counter {
    /// The format that it needs.
    #[inline]
    fn needs(&self) -> u32 {
        let long = if i32::try_from(self.value).is_ok() { 0 } else { LONG };
        long | if self.deadline == NEVER { 0 } else { TIMED }
    }
}

/// Lines whose ids have 4 bytes (`WIDE` false) or 8.
#[derive(Debug)]
pub(super) enum Ids<const WIDE: bool> {}

#[inline]
fn format(line: &Line) -> u32 {
    line[HEADER] >> FORMAT_SHIFT & 3
}

impl<const WIDE: bool> Ids<WIDE> {
    /// Lanes of an id.
    const ID: usize = if WIDE { 2 } else { 1 };

    /// Entries of a line.
    #[inline]
    const fn slots_of(format: u32) -> usize {
        match (WIDE, format) {
            (false, 0) => 7,
            (false, LONG) | (true, 0) => 5,
            (false, TIMED) => 4,
            (false, _) | (true, LONG | TIMED) => 3,
            (true, _) => 2,
        }
    }

    #[inline]
    fn values_at(format: u32) -> usize {
        Self::ID * Self::slots_of(format)
    }

    #[inline]
    fn deadlines_at(format: u32) -> usize {
        let value = if format & LONG == 0 { 1 } else { 2 };
        (Self::ID + value) * Self::slots_of(format)
    }

    /// The slot of an id.
    #[inline]
    pub(super) fn seek(line: &Line, id: u64) -> Option<usize> {
        if WIDE {
            let mut found = 0_u32;
            for slot in 0..5 {
                let here = u64::from(line[2 * slot]) | u64::from(line[2 * slot + 1]) << 32;
                found |= u32::from(here == id) << slot;
            }
            found &= (1 << len(line)) - 1;
            (found != 0).then(|| found.trailing_zeros() as usize)
        } else {
            // All eight lanes at once, whatever is in the last ones: they are masked out below. A byte for each lane, which
            // the compiler makes of whole vectors; to shift a bit for each takes five times as many instructions.
            let id = id as u32;
            let mut same = [0_u8; 8];
            for (same, &here) in same.iter_mut().zip(line) {
                *same = u8::from(here == id);
            }
            let found = u64::from_le_bytes(same) & ((1 << (8 * len(line))) - 1);
            (found != 0).then(|| found.trailing_zeros() as usize / 8)
        }
    }

    #[inline]
    fn id(line: &Line, slot: usize) -> u64 {
        if WIDE { u64::from(line[2 * slot]) | u64::from(line[2 * slot + 1]) << 32 } else { line[slot].into() }
    }

    #[inline]
    pub(super) fn value(line: &Line, slot: usize) -> i64 {
        let format = format(line);
        let base = Self::values_at(format);
        if format & LONG == 0 {
            i64::from(line[base + slot].cast_signed())
        } else {
            let at = base + 2 * slot;
            (u64::from(line[at]) | u64::from(line[at + 1]) << 32).cast_signed()
        }
    }

    #[inline]
    pub(super) fn deadline(line: &Line, slot: usize) -> u64 {
        let format = format(line);
        if format & TIMED == 0 {
            return NEVER;
        }
        let low = Self::deadlines_at(format);
        let high = line[low + Self::slots_of(format) + slot / 2] >> (16 * (slot % 2)) & 0xFFFF;
        let deadline = u64::from(line[low + slot]) | u64::from(high) << 32;
        if deadline == DEADLINES { NEVER } else { deadline }
    }

    /// Changes the value in place; false: it does not fit the line as it is laid out.
    #[inline]
    pub(super) fn set_value(line: &mut Line, slot: usize, value: i64) -> bool {
        let format = format(line);
        let base = Self::values_at(format);
        if format & LONG == 0 {
            let Ok(value) = i32::try_from(value) else { return false };
            line[base + slot] = value.cast_unsigned();
        } else {
            let (value, at) = (value.cast_unsigned(), base + 2 * slot);
            line[at] = value as u32;
            line[at + 1] = (value >> 32) as u32;
        }
        true
    }

    /// Changes the entry in a slot, laying the line out anew where that is needed; false: there is no room for that.
    pub(super) fn set(line: &mut Line, slot: usize, counter: &Counter) -> bool {
        let wanted = format(line) | counter.needs();
        if len(line) > Self::slots_of(wanted) {
            return false;
        }
        Self::lay_out(line, wanted);
        Self::write(line, slot, counter);
        true
    }

    #[inline]
    fn write(line: &mut Line, slot: usize, counter: &Counter) {
        let format = format(line);
        if WIDE {
            line[2 * slot] = counter.id as u32;
            line[2 * slot + 1] = (counter.id >> 32) as u32;
        } else {
            line[slot] = counter.id as u32;
        }
        let fits = Self::set_value(line, slot, counter.value);
        debug_assert!(fits, "the line is laid out for it");
        if format & TIMED != 0 {
            let deadline = counter.deadline.min(DEADLINES);
            let low = Self::deadlines_at(format);
            line[low + slot] = deadline as u32;
            let (high, shift) = (low + Self::slots_of(format) + slot / 2, 16 * (slot % 2));
            line[high] = line[high] & !(0xFFFF << shift) | ((deadline >> 32) as u32) << shift;
        }
    }

    #[inline]
    fn lay_out(line: &mut Line, wanted: u32) {
        if format(line) != wanted {
            Self::lay_out_anew(line, wanted);
        }
    }

    #[cold]
    fn lay_out_anew(line: &mut Line, wanted: u32) {
        let count = len(line);
        let mut kept = [Counter { id: 0, value: 0, deadline: NEVER }; 7];
        for (slot, counter) in kept.iter_mut().enumerate().take(count) {
            *counter = Self::entry(line, slot);
        }
        line[HEADER] = line[HEADER] & !(3 << FORMAT_SHIFT) | wanted << FORMAT_SHIFT;
        for (slot, counter) in kept.iter().enumerate().take(count) {
            Self::write(line, slot, counter);
        }
    }
}

impl<const WIDE: bool> Format for Ids<WIDE> {
    type Entry = Counter;

    const LEAST: usize = Self::slots_of(LONG | TIMED);

    #[inline]
    fn slots(line: &Line) -> usize {
        Self::slots_of(format(line))
    }

    #[inline]
    fn entry(line: &Line, slot: usize) -> Counter {
        Counter {
            id: Self::id(line, slot),
            value: Self::value(line, slot),
            deadline: Self::deadline(line, slot),
        }
    }

    #[inline]
    fn push(line: &mut Line, counter: &Counter) -> bool {
        let wanted = format(line) | counter.needs();
        let count = len(line);
        if count >= Self::slots_of(wanted) {
            return false;
        }
        Self::lay_out(line, wanted);
        set_len(line, count + 1);
        Self::write(line, count, counter);
        true
    }

    fn remove(line: &mut Line, slot: usize) {
        let last = len(line) - 1;
        let moved = Self::entry(line, last);
        if slot != last {
            Self::write(line, slot, &moved);
        }
        set_len(line, last);
        if last == 0 {
            // The next entry finds the line as narrow as it was at first.
            line[HEADER] &= !(3 << FORMAT_SHIFT);
        }
    }

    #[inline]
    fn deadline(counter: &Counter) -> u64 {
        counter.deadline
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection;
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::{Counter, DEADLINES, Ids, NEVER};
    use crate::table::array::{Format, HEADER, len};

    fn counter() -> impl Strategy<Value = Counter> {
        let value = prop_oneof![4 => -9..9_i64, 1 => any::<i64>(), 1 => Just(i64::from(i32::MIN))];
        let deadline = prop_oneof![4 => Just(NEVER), 1 => 0..DEADLINES];
        (any::<u32>(), value, deadline).prop_map(|(id, value, deadline)| Counter {
            id: id.into(),
            value,
            deadline,
        })
    }

    fn follow<const WIDE: bool>(steps: &[(Counter, usize, u8)]) {
        let mut line = [0; 16];
        line[HEADER] = 3 << 16;
        let mut model: Vec<Counter> = Vec::new();
        for (counter, slot, what) in steps {
            let counter = Counter { id: if WIDE { counter.id << 20 } else { counter.id }, ..*counter };
            match what {
                0 if !model.is_empty() => {
                    let slot = slot % model.len();
                    model.swap_remove(slot);
                    Ids::<WIDE>::remove(&mut line, slot);
                }
                1 if !model.is_empty() => {
                    let slot = slot % model.len();
                    if Ids::<WIDE>::set(&mut line, slot, &counter) {
                        model[slot] = counter;
                    } else {
                        assert!(model.len() > 2);
                    }
                }
                _ => {
                    if Ids::<WIDE>::push(&mut line, &counter) {
                        model.push(counter);
                    } else {
                        assert!(model.len() >= 2);
                    }
                }
            }
            assert_eq!(len(&line), model.len());
            assert!(Ids::<WIDE>::slots(&line) >= model.len());
            assert_eq!(line[HEADER] >> 16, 3, "other bits of the header stay");
            for (slot, counter) in model.iter().enumerate() {
                assert_eq!(Ids::<WIDE>::entry(&line, slot), *counter);
                let found = Ids::<WIDE>::seek(&line, counter.id).unwrap();
                assert_eq!(model[found].id, counter.id);
            }
        }
    }

    proptest! {
        #[test]
        fn a_line_holds_what_it_is_given(steps in collection::vec((counter(), 0..7_usize, 0..4_u8), 1..60)) {
            follow::<false>(&steps);
            follow::<true>(&steps);
        }

        #[test]
        fn seven_narrow_counters_fit(ids in collection::vec(any::<u32>(), 7), id in any::<u32>()) {
            let mut line = [0; 16];
            for &id in &ids {
                let counter = Counter { id: id.into(), value: -1, deadline: NEVER };
                prop_assert!(Ids::<false>::push(&mut line, &counter));
            }
            prop_assert_eq!(Ids::<false>::seek(&line, id.into()), ids.iter().position(|&other| other == id));
        }
    }
}
