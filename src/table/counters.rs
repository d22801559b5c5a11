//! The counters of one template in one segment: lines of ids and values. Knows no key but by its id.

use std::sync::Arc;

use super::array::Line;
use super::key::position_of;
use super::lines::{Lines, Spot};
use super::number::{Counter, Ids};
use super::record::NEVER;
use super::template::Template;

/// The counters of one template.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) template: Arc<Template>,
    pub(super) lines: Sized,
    /// When it was first found empty, `NEVER` = it was not.
    pub(super) idle_since: u64,
    /// Counters with a deadline.
    pub(super) timed: usize,
}

/// Lines by the size of their ids.
#[derive(Debug)]
pub(super) enum Sized {
    Narrow(Lines<Ids<false>>),
    Wide(Lines<Ids<true>>),
}

/// Does the same with lines of either size.
macro_rules! either {
    ($lines:expr, $name:ident => $work:expr) => {
        match $lines {
            $crate::table::counters::Sized::Narrow($name) => $work,
            $crate::table::counters::Sized::Wide($name) => $work,
        }
    };
}
pub(super) use either;

impl Counters {
    /// No counters and no memory.
    pub(super) fn new(template: Arc<Template>, phase: u8) -> Self {
        let lines = if template.is_wide() {
            Sized::Wide(Lines::new(phase))
        } else {
            Sized::Narrow(Lines::new(phase))
        };
        Self { template, lines, idle_since: NEVER, timed: 0 }
    }

    /// Number of counters.
    pub(super) fn len(&self) -> usize {
        either!(&self.lines, lines => lines.len())
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        either!(&self.lines, lines => lines.heap_bytes())
    }

    /// Where an id is.
    #[inline]
    pub(super) fn find(&self, position: u64, id: u64) -> Option<Spot> {
        match &self.lines {
            Sized::Narrow(lines) => lines.find(position, |line| Ids::<false>::seek(line, id)),
            Sized::Wide(lines) => lines.find(position, |line| Ids::<true>::seek(line, id)),
        }
    }

    /// Value and deadline of an id.
    #[inline]
    pub(super) fn peek(&self, position: u64, id: u64) -> Option<(i64, u64)> {
        fn show<const WIDE: bool>((line, slot): (&Line, usize)) -> (i64, u64) {
            (Ids::<WIDE>::value(line, slot), Ids::<WIDE>::deadline(line, slot))
        }
        match &self.lines {
            Sized::Narrow(lines) => {
                lines.look(position, |line| Ids::<false>::seek(line, id)).map(show::<false>)
            }
            Sized::Wide(lines) => lines.look(position, |line| Ids::<true>::seek(line, id)).map(show::<true>),
        }
    }

    /// Adds to the value of an id that is there, is not due at `now`, and whose line has room for the sum.
    #[inline]
    pub(super) fn bump(&mut self, position: u64, id: u64, delta: i64, now: u64) -> Option<(i64, u64)> {
        #[inline(always)]
        fn add<const WIDE: bool>(
            (line, slot): (&mut Line, usize),
            delta: i64,
            now: u64,
        ) -> Option<(i64, u64)> {
            let deadline = Ids::<WIDE>::deadline(line, slot);
            let sum = Ids::<WIDE>::value(line, slot).checked_add(delta)?;
            (deadline > now && Ids::<WIDE>::set_value(line, slot, sum)).then_some((sum, deadline))
        }
        match &mut self.lines {
            Sized::Narrow(lines) => {
                add::<false>(lines.look_mut(position, |line| Ids::<false>::seek(line, id))?, delta, now)
            }
            Sized::Wide(lines) => {
                add::<true>(lines.look_mut(position, |line| Ids::<true>::seek(line, id))?, delta, now)
            }
        }
    }

    /// The counter at a spot.
    #[inline]
    pub(super) fn counter(&self, spot: Spot) -> Counter {
        either!(&self.lines, lines => lines.entry(spot))
    }

    /// Changes a counter; false: its line has no room for it as it would be.
    pub(super) fn set(&mut self, spot: Spot, counter: &Counter) -> bool {
        let before = self.counter(spot).deadline;
        let set = match &mut self.lines {
            Sized::Narrow(lines) => lines.change(spot, |line, slot| Ids::<false>::set(line, slot, counter)),
            Sized::Wide(lines) => lines.change(spot, |line, slot| Ids::<true>::set(line, slot, counter)),
        };
        if set {
            either!(&mut self.lines, lines => lines.note_deadline(spot, counter.deadline));
            self.timed = self.timed + usize::from(counter.deadline != NEVER) - usize::from(before != NEVER);
        }
        set
    }

    /// Adds a counter that is not here; false: there is no room near its home. Counters that lose their room on the way
    /// go to `orphans`.
    pub(super) fn insert(&mut self, counter: &Counter, orphans: &mut Vec<Counter>) -> bool {
        let Self { template, lines, timed, .. } = self;
        let position = |counter: &Counter| position_of(template.bits(counter.id));
        let at = position(counter);
        let inserted =
            either!(lines, lines => lines.insert(at, counter, &position, &mut orphaning(timed, orphans)))
                .is_some();
        self.timed += usize::from(inserted && counter.deadline != NEVER);
        inserted
    }

    /// See [`Lines::expect`].
    pub(super) fn expect(&mut self, ahead: u8) {
        either!(&mut self.lines, lines => lines.expect(ahead));
    }

    /// See [`Lines::tighten`].
    pub(super) fn tighten(&mut self, orphans: &mut Vec<Counter>) {
        let Self { template, lines, timed, .. } = self;
        let position = |counter: &Counter| position_of(template.bits(counter.id));
        either!(lines, lines => lines.tighten(&position, &mut orphaning(timed, orphans)));
    }

    /// Takes a counter out.
    pub(super) fn remove(&mut self, spot: Spot, orphans: &mut Vec<Counter>) {
        let deadline = self.counter(spot).deadline;
        let Self { template, lines, timed, .. } = self;
        let position = |counter: &Counter| position_of(template.bits(counter.id));
        *timed -= usize::from(deadline != NEVER);
        either!(lines, lines => lines.remove(spot, &position, &mut orphaning(timed, orphans)));
    }
}

/// Takes counters that lose their room out of the count of those with a deadline, and keeps them.
fn orphaning(timed: &mut usize, orphans: &mut Vec<Counter>) -> impl FnMut(Counter) {
    |counter| {
        *timed -= usize::from(counter.deadline != NEVER);
        orphans.push(counter);
    }
}
