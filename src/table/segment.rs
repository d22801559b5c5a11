//! What commands do with the keys of one segment while they hold its lock. Knows no clock: time is an argument.
//!
//! Each change hands its effect to the sink before the lock is given back, and the segment keeps the position
//! that the sink answered with. A key whose deadline has passed is removed, with an effect of its own, before
//! anything else is done with it.

use super::effect::{Effect, Lsn, Removal};
use super::record::NEVER;
use super::slot::{Name, Slot};
use super::store::{Contents, Store};
use super::{AddError, Hashing, Key, Moment, NewDeadline, Value};
use watch::Watched;

pub(super) mod hold;
pub(super) mod watch;

/// One segment, reached through a [`super::Guard`].
pub struct Segment {
    store: Store,
    /// Position of the last change, 0 = none.
    changed: Lsn,
    /// Keys removed because their deadline passed.
    expired: u64,
    /// Keys that transactions watch.
    watched: Watched,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("len", &self.store.len())
            .field("changed", &self.changed)
            .field("expired", &self.expired)
            .finish_non_exhaustive()
    }
}

impl Segment {
    pub(super) fn new(hashing: Hashing) -> Self {
        Self { store: Store::new(hashing), changed: 0, expired: 0, watched: Watched::default() }
    }

    /// Position of the last change, 0 = none.
    #[inline]
    pub fn changed(&self) -> Lsn {
        self.changed
    }

    /// The value of a key.
    #[inline]
    pub fn get(&mut self, key: Key<'_>, at: &mut Moment<'_>) -> Option<Value<'_>> {
        let place = self.find(key, &Name::of(key), at).ok()?;
        Some(self.store.value(place))
    }

    /// The deadline of a key: outer `None` = no such key, inner `None` = no deadline.
    pub fn deadline(&mut self, key: Key<'_>, at: &mut Moment<'_>) -> Option<Option<u64>> {
        let place = self.find(key, &Name::of(key), at).ok()?;
        Some(shown(self.store.deadline(place)))
    }

    /// Adds to a counter (missing = 0), keeping its deadline, and returns the sum. One look-up.
    ///
    /// # Errors
    /// The value is a string, or the sum is not an `i64`. Nothing has changed then.
    #[inline]
    pub fn add(&mut self, key: Key<'_>, delta: i64, at: &mut Moment<'_>) -> Result<i64, AddError> {
        let name = Name::of(key);
        let (sum, deadline) = match self.find(key, &name, at) {
            Ok(place) => (self.store.add(place, delta)?, shown(self.store.deadline(place))),
            Err(place) => {
                self.store.insert(place, key, &name, Value::Int(delta), NEVER);
                (delta, None)
            }
        };
        self.record(at, Effect::Set { key: key.bytes, value: Value::Int(sum), deadline });
        Ok(sum)
    }

    /// Sets a key. Canonical integers are kept as numbers.
    ///
    /// A deadline that has passed is kept like any other: the next look-up removes the key.
    pub fn set(&mut self, key: Key<'_>, value: &[u8], deadline: NewDeadline, at: &mut Moment<'_>) {
        let name = Name::of(key);
        let value = Value::of(value);
        let found = self.find(key, &name, at);
        let deadline = match (deadline, found) {
            (NewDeadline::At(deadline), _) => deadline,
            (NewDeadline::Keep, Ok(place)) => self.store.deadline(place),
            (NewDeadline::Keep, Err(_)) | (NewDeadline::Clear, _) => NEVER,
        };
        match found {
            Ok(place) => self.store.replace(place, value, deadline),
            Err(place) => self.store.insert(place, key, &name, value, deadline),
        }
        self.record(at, Effect::Set { key: key.bytes, value, deadline: shown(deadline) });
    }

    /// Gives a key a deadline or takes it away. A deadline at or before now removes the key. False = no such key.
    ///
    /// Where the key has that deadline already, nothing changes and there is no effect.
    pub fn set_deadline(&mut self, key: Key<'_>, deadline: Option<u64>, at: &mut Moment<'_>) -> bool {
        let Ok(place) = self.find(key, &Name::of(key), at) else { return false };
        if deadline.is_some_and(|deadline| deadline <= at.now_ms) {
            self.store.remove(place);
            self.record(at, Effect::Remove { key: key.bytes, cause: Removal::Command });
        } else if deadline != shown(self.store.deadline(place)) {
            self.store.set_deadline(place, deadline.unwrap_or(NEVER));
            self.record(at, Effect::Deadline { key: key.bytes, deadline });
        } else {
            // To those who watch it this is a change, as in Redis.
            self.watched.touch(key.bytes);
        }
        true
    }

    /// Removes a key. False = there was none.
    pub fn remove(&mut self, key: Key<'_>, at: &mut Moment<'_>) -> bool {
        let Ok(place) = self.find(key, &Name::of(key), at) else { return false };
        self.store.remove(place);
        self.record(at, Effect::Remove { key: key.bytes, cause: Removal::Command });
        true
    }

    /// Does again what an effect on one of this segment's keys says, without a look at its deadline.
    pub(super) fn apply(&mut self, key: Key<'_>, effect: &Effect<'_>) {
        let name = Name::of(key);
        match (*effect, self.store.find(key, &name)) {
            (Effect::Set { value, deadline, .. }, found) => {
                // From outside: what is an integer has to be a number here.
                let value = if let Value::Str(bytes) = value { Value::of(bytes) } else { value };
                match found {
                    Ok(place) => self.store.replace(place, value, deadline.unwrap_or(NEVER)),
                    Err(place) => self.store.insert(place, key, &name, value, deadline.unwrap_or(NEVER)),
                }
            }
            (Effect::Deadline { deadline, .. }, Ok(place)) => {
                self.store.set_deadline(place, deadline.unwrap_or(NEVER));
            }
            (Effect::Remove { .. }, Ok(place)) => self.store.remove(place),
            (Effect::Deadline { .. } | Effect::Remove { .. }, Err(_)) => {}
            (Effect::Flush, _) => unreachable!("a flush concerns all segments, not one key"),
        }
    }

    /// Takes every key out, as part of a flush whose position is told with [`Segment::flushed`].
    pub(super) fn take(&mut self) -> Contents {
        self.touch_all();
        self.store.take()
    }

    /// A flush at `position` has emptied the segment.
    pub(super) fn flushed(&mut self, position: Lsn) {
        self.changed = self.changed.max(position);
    }

    /// The keys, without regard to any deadline.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Keys removed because their deadline passed.
    pub(super) fn expired(&self) -> u64 {
        self.expired
    }

    /// See [`Store::moved_slots`].
    #[inline]
    pub(super) fn moved_slots(&mut self) -> Option<&[Slot]> {
        self.store.moved_slots()
    }

    /// The place of a key that is there and whose deadline has not passed, or else where it may be inserted.
    #[inline]
    fn find(&mut self, key: Key<'_>, name: &Name, at: &mut Moment<'_>) -> Result<usize, usize> {
        let place = self.store.find(key, name)?;
        if self.store.deadline(place) <= at.now_ms {
            self.expire(place, key, at);
            return self.store.find(key, name);
        }
        Ok(place)
    }

    #[cold]
    fn expire(&mut self, place: usize, key: Key<'_>, at: &mut Moment<'_>) {
        self.store.remove(place);
        self.expired += 1;
        self.record(at, Effect::Remove { key: key.bytes, cause: Removal::Expired });
    }

    #[inline]
    fn record(&mut self, at: &mut Moment<'_>, effect: Effect<'_>) {
        if !self.watched.is_empty() {
            self.touch(&effect);
        }
        let position = at.effects.record(effect);
        // A sink that keeps nothing answers 0, which does not take back what another one has kept.
        self.changed = self.changed.max(position);
    }
}

/// A deadline as it is shown outside.
#[inline]
fn shown(deadline: u64) -> Option<u64> {
    (deadline != NEVER).then_some(deadline)
}
