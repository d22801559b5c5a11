//! Windows among the keys of a segment: added to, summed, and told again by an effect.

use super::{Segment, shown};
use crate::table::effect::Effect;
use crate::table::record::{self, Kind, NEVER};
use crate::table::store::{Place, Store};
use crate::table::window::{self, Added};
use crate::table::{Key, Moment, Value, WindowShape, WrongType};

/// Why a window was not added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowError {
    /// The key holds another kind of value.
    WrongType,
    /// The window was made with this shape, which is another one.
    Shape(WindowShape),
    /// A sum would not be an `i64`.
    Overflow,
}

impl Segment {
    /// Adds to the bucket of now, in a window that is made where there is none, and gives the sum of the window. The key
    /// goes away one window later. `buckets` `None`: as many as it has, or `default`.
    ///
    /// # Errors
    /// The key is no window or one of another shape, or a sum is not an `i64`. Nothing has changed then.
    pub fn add_window(
        &mut self,
        key: Key<'_>,
        (length_ms, buckets, default): (u64, Option<u16>, u16),
        delta: i64,
        at: &mut Moment<'_>,
    ) -> Result<i64, WindowError> {
        let found = self.find(key, at);
        let (shape, added) = match found.map(|place| self.store.value(place)) {
            None => {
                let shape = WindowShape { length_ms, buckets: buckets.unwrap_or(default) };
                (shape, Added { bucket: shape.bucket_at(at.now_ms), sum: delta, total: delta })
            }
            Some(Value::Window(window)) => {
                let shape = window.shape();
                if length_ms != shape.length_ms || buckets.is_some_and(|buckets| buckets != shape.buckets) {
                    return Err(WindowError::Shape(shape));
                }
                let added = window.plus(shape.bucket_at(at.now_ms), delta).ok_or(WindowError::Overflow)?;
                (shape, added)
            }
            Some(Value::Int(_) | Value::Str(_) | Value::Hash(_) | Value::Throttle(_)) => {
                return Err(WindowError::WrongType);
            }
        };
        let deadline = at.now_ms.saturating_add(length_ms).min(NEVER - 1);
        self.store.set_bucket(key, found, shape, (added.bucket, added.sum), deadline);
        let Added { bucket: index, sum, total } = added;
        self.record(at, Effect::Bucket { key: key.bytes, shape, index, sum, deadline: shown(deadline) });
        Ok(total)
    }

    /// The sum of the window at a key; `None`: there is no such key.
    pub fn window_sum(&mut self, key: Key<'_>, at: &mut Moment<'_>) -> Result<Option<i64>, WrongType> {
        let now_ms = at.now_ms;
        match self.get(key, at) {
            None => Ok(None),
            Some(Value::Window(window)) => Ok(Some(window.sum(window.shape().bucket_at(now_ms)))),
            Some(Value::Int(_) | Value::Str(_) | Value::Hash(_) | Value::Throttle(_)) => Err(WrongType),
        }
    }

    /// Does again what [`Effect::Bucket`] says.
    pub(super) fn apply_bucket(
        &mut self,
        key: Key<'_>,
        shape: WindowShape,
        bucket: (u64, i64),
        deadline: u64,
    ) {
        let mut found = self.store.find(key);
        let fits = |place: Place| match self.store.value(place) {
            Value::Window(window) => window.shape() == shape,
            Value::Int(_) | Value::Str(_) | Value::Hash(_) | Value::Throttle(_) => false,
        };
        // The key was removed, in an effect of its own, before it became this window.
        if let Some(place) = found.filter(|&place| !fits(place)) {
            self.store.remove(key, place);
            found = None;
        }
        self.store.set_bucket(key, found, shape, bucket, deadline);
    }
}

impl Store {
    /// Sets a bucket's sum in the window at `found`, which has this shape, or in a new one where there is no key.
    fn set_bucket(
        &mut self,
        key: Key<'_>,
        found: Option<Place>,
        shape: WindowShape,
        (bucket, sum): (u64, i64),
        deadline: u64,
    ) {
        self.due = self.due.min(deadline);
        let Some(place) = found else {
            record::begin(&mut self.scratch, Kind::Window, 1, key.bytes, deadline);
            window::write(&mut self.scratch, shape, None, (bucket, sum));
            return self.insert_scratch(key.hash.bits());
        };
        let Place::Packed(found) = place else { unreachable!("a counter is no window") };
        let record = self.packed.record(found);
        let (at, timed) = (record.payload_at(), record.deadline != NEVER);
        debug_assert!(record.window().shape() == shape);
        if timed && deadline != NEVER {
            let cell = self.packed.cell_mut(found.cell);
            if window::set_newest(&mut cell[at..], bucket, sum) {
                record::set_deadline(cell, deadline);
                return self.packed.note_deadline(found, deadline);
            }
        }
        let Self { packed, scratch, .. } = self;
        let record = packed.record(found);
        record::begin(scratch, Kind::Window, 1, key.bytes, deadline);
        window::write(scratch, shape, Some(record.window()), (bucket, sum));
        self.rewrite_scratch(key, found);
    }
}

#[cfg(test)]
mod tests {
    use super::WindowError;
    use crate::table::effect::Discard;
    use crate::table::{Moment, NewDeadline, Table, WindowShape, WrongType};

    #[test]
    fn a_window_slides_and_goes_away() {
        let table = Table::with_seed(1);
        let key = table.key(b"requests");
        let add = |now_ms, delta, buckets| {
            let at = &mut Moment { now_ms, effects: &mut Discard };
            table.lock(key.hash).add_window(key, (1000, buckets, 60), delta, at)
        };
        let sum =
            |now_ms| table.lock(key.hash).window_sum(key, &mut Moment { now_ms, effects: &mut Discard });
        let start = 1_700_000_000_000;
        assert_eq!(sum(start), Ok(None));
        assert_eq!(add(start, 1, Some(10)), Ok(1));
        assert_eq!(add(start + 99, 1, None), Ok(2), "the same bucket, and as many as it has");
        assert_eq!(add(start + 100, 5, Some(10)), Ok(7));
        assert_eq!(sum(start + 999), Ok(Some(7)));
        assert_eq!(sum(start + 1000), Ok(Some(5)), "the first bucket has left");
        let shape = WindowShape { length_ms: 1000, buckets: 10 };
        assert_eq!(add(start + 1000, 5, Some(11)), Err(WindowError::Shape(shape)));
        assert_eq!(sum(start + 1099), Ok(Some(5)));
        assert_eq!(sum(start + 1100), Ok(None), "one window after its last increment");
        assert_eq!(add(start + 1100, 3, None), Ok(3));
        let at = &mut Moment { now_ms: start, effects: &mut Discard };
        assert!(table.lock(key.hash).set_deadline(key, None, at));
        assert_eq!(sum(start + 9999), Ok(Some(0)), "it was told to stay");
        assert_eq!(add(start + 9999, i64::MAX, None), Ok(i64::MAX));
        assert_eq!(add(start + 9999, 1, None), Err(WindowError::Overflow));
        assert_eq!(add(start + 9999, -1, None), Ok(i64::MAX - 1));
    }

    #[test]
    fn other_kinds_are_no_windows() {
        let table = Table::with_seed(1);
        let at = &mut Moment { now_ms: 5, effects: &mut Discard };
        for name in [b"n:1".as_slice(), b"text"] {
            let key = table.key(name);
            table.lock(key.hash).set(key, name.split_at(name.len() - 1).1, NewDeadline::Clear, at);
            assert_eq!(
                table.lock(key.hash).add_window(key, (5, None, 60), 1, at),
                Err(WindowError::WrongType)
            );
            assert_eq!(table.lock(key.hash).window_sum(key, at), Err(WrongType));
        }
    }
}
