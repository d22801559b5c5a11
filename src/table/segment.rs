//! What commands do with the keys of one segment while they hold its lock. Knows no clock: time is an argument.
//!
//! Each change hands its effect to the sink before the lock is given back, and the segment keeps the position
//! that the sink answered with. A key whose deadline has passed is removed, with an effect of its own, before
//! anything else is done with it.

use super::effect::{Effect, Lsn, Removal};
use super::emptying::Contents;
use super::hash::Fields;
use super::inventory::Due;
use super::key::Key;
use super::record::NEVER;
use super::store::{Place, Store};
use super::{AddError, Moment, NewDeadline, Scalar, Value, WrongType};
use watch::Watched;

pub(super) mod hold;
mod token;
pub(super) mod watch;
pub(super) mod window;

/// One segment, reached through a [`super::Guard`].
pub struct Segment {
    store: Store,
    /// Position of the last change, 0 = none.
    changed: Lsn,
    /// Keys removed because their deadline passed.
    expired: u64,
    /// Keys removed because memory was needed.
    evicted: u64,
    /// Bytes and tokens of the store that the table's sums contain.
    counted_bytes: usize,
    counted_tokens: usize,
    /// Keys that transactions watch.
    watched: Watched,
}

/// By how much a store has grown; what is below zero, it has shrunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// Bytes on the heap.
    pub(super) bytes: isize,
    /// Tokens.
    pub(super) tokens: isize,
    /// Bytes that it gave back to the allocator.
    pub(super) freed: usize,
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
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            changed: 0,
            expired: 0,
            evicted: 0,
            counted_bytes: 0,
            counted_tokens: 0,
            watched: Watched::default(),
        }
    }

    /// Position of the last change, 0 = none.
    #[inline]
    pub fn changed(&self) -> Lsn {
        self.changed
    }

    /// Something here may have changed at `position`, with others: the group that it was part of is complete.
    #[inline]
    pub fn mark(&mut self, position: Lsn) {
        self.changed = self.changed.max(position);
    }

    /// The value of a key.
    #[inline]
    pub fn get(&mut self, key: Key<'_>, at: &mut Moment<'_>) -> Option<Value<'_>> {
        if let Some(value) = self.store.peek(key, at.now_ms) {
            return Some(Value::Int(value));
        }
        let place = self.find(key, at)?;
        Some(self.store.value(place))
    }

    /// The number at a key, by the shortest way; `None` says nothing: [`Segment::get`] knows.
    #[inline]
    pub fn peek(&self, key: Key<'_>, now_ms: u64) -> Option<i64> {
        self.store.peek(key, now_ms)
    }

    /// The deadline of a key: outer `None` = no such key, inner `None` = no deadline.
    pub fn deadline(&mut self, key: Key<'_>, at: &mut Moment<'_>) -> Option<Option<u64>> {
        let place = self.find(key, at)?;
        Some(shown(self.store.deadline(place)))
    }

    /// Bytes that a key takes, its share of what keys have in common included.
    pub fn bytes_of(&mut self, key: Key<'_>, at: &mut Moment<'_>) -> Option<usize> {
        let place = self.find(key, at)?;
        Some(self.store.bytes_of(place))
    }

    /// Adds to a counter (missing = 0), keeping its deadline, and returns the sum. One look-up.
    ///
    /// # Errors
    /// The value is no integer, or the sum is not an `i64`. Nothing has changed then.
    #[inline]
    pub fn add(&mut self, key: Key<'_>, delta: i64, at: &mut Moment<'_>) -> Result<i64, AddError> {
        let (sum, deadline) = match self.store.bump(key, delta, at.now_ms) {
            Some(done) => done,
            None => self.add_otherwise(key, delta, at)?,
        };
        self.record(at, Effect::Set { key: key.bytes, value: Value::Int(sum), deadline: shown(deadline) });
        Ok(sum)
    }

    /// Adds to a counter that is not there, is not numbered, or outgrows its line. Gives the sum and the deadline.
    fn add_otherwise(
        &mut self,
        key: Key<'_>,
        delta: i64,
        at: &mut Moment<'_>,
    ) -> Result<(i64, u64), AddError> {
        if let Some(place) = self.find(key, at) {
            return self.store.add(key, place, delta);
        }
        self.store.insert(key, Value::Int(delta), NEVER);
        Ok((delta, NEVER))
    }

    /// Sets a key, whatever it held. Canonical integers are kept as numbers.
    ///
    /// A deadline that has passed is kept like any other: the next look-up removes the key.
    pub fn set(&mut self, key: Key<'_>, value: &[u8], deadline: NewDeadline, at: &mut Moment<'_>) {
        let value = Value::of(value);
        let found = self.find(key, at);
        let deadline = match (deadline, found) {
            (NewDeadline::At(deadline), _) => deadline,
            (NewDeadline::Keep, Some(place)) => self.store.deadline(place),
            (NewDeadline::Keep, None) | (NewDeadline::Clear, _) => NEVER,
        };
        match found {
            Some(place) => self.store.replace(key, place, value, deadline),
            None => self.store.insert(key, value, deadline),
        }
        self.record(at, Effect::Set { key: key.bytes, value, deadline: shown(deadline) });
    }

    /// Sets a string to `whole`, in which only `bytes` at `offset` are new, or zeros before them; keeps its deadline.
    pub fn splice(
        &mut self,
        key: Key<'_>,
        whole: &[u8],
        (offset, bytes): (usize, &[u8]),
        at: &mut Moment<'_>,
    ) {
        let found = self.find(key, at);
        self.replace_string(key, found, whole);
        self.record(at, Effect::Splice { key: key.bytes, offset, bytes });
    }

    fn replace_string(&mut self, key: Key<'_>, found: Option<Place>, whole: &[u8]) {
        let value = Value::of(whole);
        match found {
            Some(place) => self.store.replace(key, place, value, self.store.deadline(place)),
            None => self.store.insert(key, value, NEVER),
        }
    }

    /// Does again what [`Effect::Splice`] says.
    fn apply_splice(&mut self, key: Key<'_>, found: Option<Place>, offset: usize, bytes: &[u8]) {
        let mut whole = match found.map(|place| self.store.value(place)) {
            Some(Value::Int(number)) => itoa::Buffer::new().format(number).as_bytes().to_vec(),
            Some(Value::Str(text)) => text.to_vec(),
            // Of another kind only where effects are told to a table that is further on already.
            Some(Value::Hash(_) | Value::Throttle(_) | Value::Window(_)) | None => Vec::new(),
        };
        whole.resize(whole.len().max(offset + bytes.len()), 0);
        whole[offset..][..bytes.len()].copy_from_slice(bytes);
        self.replace_string(key, found, &whole);
    }

    /// Puts a value that is no hash at a key, whatever it held, until a deadline, `u64::MAX` = none.
    pub fn put(&mut self, key: Key<'_>, value: Value<'_>, deadline: u64, at: &mut Moment<'_>) {
        match self.find(key, at) {
            Some(place) => self.store.replace(key, place, value, deadline),
            None => self.store.insert(key, value, deadline),
        }
        self.record(at, Effect::Set { key: key.bytes, value, deadline: shown(deadline) });
    }

    /// Gives a key a deadline or takes it away. A deadline at or before now removes the key. False = no such key.
    ///
    /// Where the key has that deadline already, nothing changes and there is no effect.
    pub fn set_deadline(&mut self, key: Key<'_>, deadline: Option<u64>, at: &mut Moment<'_>) -> bool {
        let Some(place) = self.find(key, at) else { return false };
        if deadline.is_some_and(|deadline| deadline <= at.now_ms) {
            self.store.remove(key, place);
            self.record(at, Effect::Remove { key: key.bytes, cause: Removal::Command });
        } else if deadline != shown(self.store.deadline(place)) {
            self.store.set_deadline(key, place, deadline.unwrap_or(NEVER));
            self.record(at, Effect::Deadline { key: key.bytes, deadline });
        } else {
            // To those who watch it this is a change, as in Redis.
            self.watched.touch(key.bytes);
        }
        true
    }

    /// Removes a key. False = there was none.
    pub fn remove(&mut self, key: Key<'_>, at: &mut Moment<'_>) -> bool {
        let Some(place) = self.find(key, at) else { return false };
        self.store.remove(key, place);
        self.record(at, Effect::Remove { key: key.bytes, cause: Removal::Command });
        true
    }

    /// The fields of a hash; `None`: there is no such key.
    pub fn fields(&mut self, key: Key<'_>, at: &mut Moment<'_>) -> Result<Option<Fields<'_>>, WrongType> {
        match self.find(key, at) {
            None => Ok(None),
            Some(place) => self.store.fields(place).map(Some).ok_or(WrongType),
        }
    }

    /// Sets a field of a hash, which is made where there is none. Canonical integers are kept as numbers. Whether the
    /// field is new.
    pub fn set_field(
        &mut self,
        key: Key<'_>,
        field: &[u8],
        value: &[u8],
        at: &mut Moment<'_>,
    ) -> Result<bool, WrongType> {
        let found = self.find(key, at);
        if found.is_some_and(|place| self.store.fields(place).is_none()) {
            return Err(WrongType);
        }
        let value = Scalar::of(value);
        let deadline = found.and_then(|place| shown(self.store.deadline(place)));
        let new = self.put_field(key, found, field, value);
        self.record(at, Effect::Field { key: key.bytes, field, value, deadline });
        Ok(new)
    }

    /// Adds to a field of a hash, both 0 where there are none, and returns the sum.
    ///
    /// # Errors
    /// The key is no hash, the field no integer, or the sum not an `i64`. Nothing has changed then.
    pub fn add_field(
        &mut self,
        key: Key<'_>,
        field: &[u8],
        delta: i64,
        at: &mut Moment<'_>,
    ) -> Result<i64, AddError> {
        let found = self.find(key, at);
        let before = match found {
            None => None,
            Some(place) => self.store.fields(place).ok_or(AddError::WrongType)?.get(field),
        };
        let sum = match before {
            None => delta,
            Some(Scalar::Int(number)) => number.checked_add(delta).ok_or(AddError::Overflow)?,
            Some(Scalar::Str(_)) => return Err(AddError::NotInteger),
        };
        let deadline = found.and_then(|place| shown(self.store.deadline(place)));
        let value = Scalar::Int(sum);
        self.put_field(key, found, field, value);
        self.record(at, Effect::Field { key: key.bytes, field, value, deadline });
        Ok(sum)
    }

    /// Removes a field of a hash, and the hash with its last field. False = there was none.
    pub fn remove_field(
        &mut self,
        key: Key<'_>,
        field: &[u8],
        at: &mut Moment<'_>,
    ) -> Result<bool, WrongType> {
        let Some(place) = self.find(key, at) else { return Ok(false) };
        if self.store.fields(place).ok_or(WrongType)?.get(field).is_none() {
            return Ok(false);
        }
        self.take_field(key, place, field);
        self.record(at, Effect::RemoveField { key: key.bytes, field });
        Ok(true)
    }

    /// Does again what an effect on one of this segment's keys says, without a look at its deadline.
    pub(super) fn apply(&mut self, key: Key<'_>, effect: &Effect<'_>) {
        match (*effect, self.store.find(key)) {
            (Effect::Set { value, deadline, .. }, found) => {
                let (value, deadline) = (canonical(value), deadline.unwrap_or(NEVER));
                match found {
                    Some(place) => self.store.replace(key, place, value, deadline),
                    None => self.store.insert(key, value, deadline),
                }
            }
            (Effect::Deadline { deadline, .. }, Some(place)) => {
                self.store.set_deadline(key, place, deadline.unwrap_or(NEVER));
            }
            (Effect::Remove { .. }, Some(place)) => self.store.remove(key, place),
            (Effect::Field { field, value, deadline, .. }, found) => {
                self.apply_field(key, found, (field, value), deadline.unwrap_or(NEVER));
            }
            (Effect::RemoveField { field, .. }, Some(place)) => {
                let fields = self.store.fields(place);
                if fields.is_some_and(|fields| fields.get(field).is_some()) {
                    self.take_field(key, place, field);
                }
            }
            (Effect::Deadline { .. } | Effect::Remove { .. } | Effect::RemoveField { .. }, None) => {}
            (Effect::Splice { offset, bytes, .. }, found) => self.apply_splice(key, found, offset, bytes),
            (Effect::Bucket { shape, index, sum, deadline, .. }, _) => {
                self.apply_bucket(key, shape, (index, sum), deadline.unwrap_or(NEVER));
            }
            (Effect::Token { .. }, _) => unreachable!("a token is no key"),
            (Effect::Flush, _) => unreachable!("a flush concerns all segments, not one key"),
        }
    }

    /// Does again what [`Effect::Field`] says.
    fn apply_field(
        &mut self,
        key: Key<'_>,
        mut found: Option<Place>,
        (field, value): (&[u8], Scalar<'_>),
        deadline: u64,
    ) {
        // The key was removed, in an effect of its own, before it became a hash.
        if let Some(place) = found.filter(|&place| self.store.fields(place).is_none()) {
            self.store.remove(key, place);
            found = None;
        }
        let before = found.map_or(NEVER, |place| self.store.deadline(place));
        let value = if let Scalar::Str(bytes) = value { Scalar::of(bytes) } else { value };
        self.put_field(key, found, field, value);
        if deadline != before {
            let place = self.store.find(key).expect("it has a field");
            self.store.set_deadline(key, place, deadline);
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

    /// Lets go of templates of which there is no key here.
    pub(super) fn tidy(&mut self, now_ms: u64) {
        self.store.tidy(now_ms);
    }

    /// Keys removed because their deadline passed.
    pub(super) fn expired(&self) -> u64 {
        self.expired
    }

    /// Keys removed because memory was needed.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How the store has changed since the last call.
    pub(super) fn take_growth(&mut self) -> Growth {
        let freed = self.store.settle();
        let (bytes, tokens) = (self.store.heap_bytes(), self.store.tokens.len());
        let growth = Growth {
            bytes: bytes.wrapping_sub(self.counted_bytes).cast_signed(),
            tokens: tokens.wrapping_sub(self.counted_tokens).cast_signed(),
            freed,
        };
        (self.counted_bytes, self.counted_tokens) = (bytes, tokens);
        growth
    }

    /// Removes some keys whose deadline has passed, those of a group of lines or cells: a bounded number. `None`: there
    /// is none any more, or the journal cannot tell of one now; that one is due still.
    pub(super) fn expire_some(&mut self, due: &mut Due, at: &mut Moment<'_>) -> Option<usize> {
        // Tokens go without an effect: whoever reads one looks at its deadline.
        if let Some(forgotten) = self.store.expire_tokens(at.now_ms) {
            return Some(forgotten);
        }
        if !self.store.collect_due(at.now_ms, due) {
            return None;
        }
        let mut all_gone = true;
        let removed = if let Some(template) = due.template.take() {
            for counter in &due.counters {
                let key = template.render(counter.id);
                if self.store.remove_counter(&template, counter.id) {
                    self.expired += 1;
                    self.record(at, Effect::Remove { key: &key, cause: Removal::Expired });
                } else {
                    // It lost its place when one before it went, and is packed now.
                    let hash = self.store.hashing.hash(&key);
                    all_gone &= self.expire_collected(Key { bytes: &key, hash }, at);
                }
            }
            due.counters.len()
        } else {
            for bytes in &due.keys {
                let hash = self.store.hashing.hash(bytes);
                all_gone &= self.expire_collected(Key { bytes, hash }, at);
            }
            due.keys.len()
        };
        all_gone.then_some(removed)
    }

    /// False: it stays, and is to be collected again.
    fn expire_collected(&mut self, key: Key<'_>, at: &mut Moment<'_>) -> bool {
        let place = self.store.find(key).expect("a key that was just collected is there");
        let gone = self.expire(place, key, at);
        if !gone {
            self.store.set_deadline(key, place, self.store.deadline(place));
        }
        gone
    }

    /// Removes the key with the earliest deadline, to make room, unless that is after `limit`. False: it is, or no key has
    /// one, or the journal cannot tell of it.
    pub(super) fn evict(&mut self, limit: u64, at: &mut Moment<'_>) -> bool {
        if self.store.settle_due() > limit {
            return false;
        }
        let Some(bytes) = self.store.nearest() else { return false };
        let key = Key { bytes: &bytes, hash: self.store.hashing.hash(&bytes) };
        if at.effects.refuses(bytes.len()) {
            return false;
        }
        let place = self.store.find(key).expect("a key that was just seen is there");
        self.store.remove(key, place);
        self.evicted += 1;
        self.record(at, Effect::Remove { key: &bytes, cause: Removal::Evicted });
        true
    }

    /// Shows a key chosen at random; false: there is none, or it was due and is removed.
    pub(super) fn pick(
        &mut self,
        random: &mut dyn FnMut() -> u64,
        at: &mut Moment<'_>,
        visit: &mut dyn FnMut(&[u8]),
    ) -> bool {
        if self.store.len() == 0 {
            return false;
        }
        let (bytes, deadline) = self.store.pick(random);
        if deadline > at.now_ms {
            visit(&bytes);
            return true;
        }
        let key = Key { bytes: &bytes, hash: self.store.hashing.hash(&bytes) };
        self.expire_collected(key, at);
        false
    }

    fn put_field(&mut self, key: Key<'_>, found: Option<Place>, field: &[u8], value: Scalar<'_>) -> bool {
        match found {
            Some(Place::Packed(found)) => self.store.set_field(key, found, field, value),
            Some(Place::Numbered(..)) => unreachable!("a counter is no hash"),
            None => {
                self.store.insert_hash(key, field, value);
                true
            }
        }
    }

    fn take_field(&mut self, key: Key<'_>, place: Place, field: &[u8]) {
        let Place::Packed(found) = place else { unreachable!("a counter is no hash") };
        let last = self.store.fields(place).is_some_and(|fields| fields.len() == 1);
        if last {
            self.store.remove(key, place);
        } else {
            self.store.remove_field(key, found, field);
        }
    }

    /// The place of a key that is there and whose deadline has not passed.
    #[inline]
    fn find(&mut self, key: Key<'_>, at: &mut Moment<'_>) -> Option<Place> {
        let place = self.store.find(key)?;
        if self.store.deadline(place) <= at.now_ms {
            self.expire(place, key, at);
            return None;
        }
        Some(place)
    }

    /// Removes a key that is due. False: the journal cannot tell of it now.
    #[cold]
    fn expire(&mut self, place: Place, key: Key<'_>, at: &mut Moment<'_>) -> bool {
        if at.effects.refuses(key.bytes.len()) {
            // It stays, and is gone to all who look, those who watch it among them.
            self.watched.touch(key.bytes);
            return false;
        }
        self.store.remove(key, place);
        self.expired += 1;
        self.record(at, Effect::Remove { key: key.bytes, cause: Removal::Expired });
        true
    }

    /// See [`Store::expect`].
    pub(super) fn expect(&mut self, ahead: u8) {
        self.store.expect(ahead);
    }

    /// See [`Store::tighten`].
    pub(super) fn tighten(&mut self) {
        self.store.tighten();
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

/// A value from outside: what is an integer has to be a number here.
fn canonical(value: Value<'_>) -> Value<'_> {
    if let Value::Str(bytes) = value { Value::of(bytes) } else { value }
}

/// A deadline as it is shown outside.
#[inline]
fn shown(deadline: u64) -> Option<u64> {
    (deadline != NEVER).then_some(deadline)
}
