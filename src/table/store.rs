//! The keys of one segment, in whatever form each is kept. Knows neither time nor effects.
//!
//! A counter whose key has an admitted template is in that template's lines, unless its deadline does not fit there or
//! there is no room near its home; every other key is packed. A key is in exactly one place. It is looked for in its
//! template's lines first, then among the packed ones; and a packed counter moves to its template's lines when it is
//! next written to.

use std::mem;
use std::sync::Arc;

use slab::Slab;

use super::counters::{Counters, Sized, either};
use super::hash::{self, Fields, payload_len};
use super::key::{Hashing, Key, KeyHash, Numbered, position_of};
use super::lines::{self, Spot};
use super::number::{Counter, DEADLINES, Ids};
use super::packed::{Found, Packed};
use super::probe::Homes;
use super::record::{self, Kind, NEVER, Record, width_of};
use super::shape::Shapes;
use super::template::{Candidates, Template};
use super::tokens::{Tokens, Used};
use super::{AddError, SEGMENTS, Value};

/// A key that was found. Void after any change to another key, and after a change that may move it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In the lines of a template: its index, and where.
    Numbered(usize, Spot),
    /// Among the packed ones.
    Packed(Found),
}

/// The keys of one segment.
pub(super) struct Store {
    pub(super) hashing: Hashing,
    pub(super) homes: Arc<Homes>,
    pub(super) segment: usize,
    /// By the template's index.
    pub(super) numbered: Vec<Option<Counters>>,
    pub(super) packed: Packed,
    pub(super) shapes: Shapes,
    pub(super) large: Slab<Box<Packed>>,
    pub(super) candidates: Candidates,
    pub(super) tokens: Tokens,
    /// Counters in `numbered`.
    pub(super) counters: usize,
    /// Those with a deadline.
    pub(super) timed: usize,
    /// Bytes of `numbered`'s lines, and of `large`.
    pub(super) lines_bytes: usize,
    pub(super) large_bytes: usize,
    /// A lower bound of all deadlines.
    pub(super) due: u64,
    /// When to look for templates of which there is no key any more.
    pub(super) tidy_at: u64,
    /// Bytes on the heap may be others since [`Store::has_resized`] was last acted on.
    pub(super) resized: bool,
    /// Bytes given back to the allocator since they were last asked for.
    pub(super) freed: usize,
    /// A record on its way into a cell.
    pub(super) scratch: Vec<u8>,
    /// What new lines are told to expect, see [`super::lines::Lines::expect`].
    pub(super) ahead: u8,
}

/// Spreads the segments evenly over what [`Packed::new`] takes, neighbours far apart: the bits of the number, reversed.
pub(super) fn phase_of(segment: usize) -> u8 {
    const { assert!(SEGMENTS <= 256) };
    segment.to_le_bytes()[0].reverse_bits()
}

impl Store {
    /// No keys and no memory: of the segment of this number, whose lines' addresses are published in `homes`.
    pub(super) fn new(hashing: Hashing, homes: Arc<Homes>, segment: usize) -> Self {
        Self {
            hashing,
            homes,
            segment,
            numbered: Vec::new(),
            packed: Packed::new(phase_of(segment)),
            shapes: Shapes::default(),
            large: Slab::new(),
            candidates: Candidates::default(),
            tokens: Tokens::default(),
            counters: 0,
            timed: 0,
            lines_bytes: 0,
            large_bytes: 0,
            due: NEVER,
            tidy_at: NEVER,
            resized: false,
            freed: 0,
            scratch: Vec::new(),
            ahead: lines::ONE,
        }
    }

    /// Number of keys.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.counters + self.packed.len()
    }

    /// Number of keys with a deadline.
    pub(super) fn timed(&self) -> usize {
        self.timed + self.packed.timed()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.lines_bytes
            + self.large_bytes
            + self.packed.heap_bytes()
            + self.shapes.heap_bytes()
            + self.candidates.heap_bytes()
            + self.tokens.heap_bytes()
            + self.numbered.capacity() * size_of::<Option<Counters>>()
    }

    /// Whether bytes on the heap may be others than when [`Store::settle`] was called last.
    #[inline]
    pub(super) fn has_resized(&self) -> bool {
        self.resized
    }

    /// The bytes on the heap have been asked for. Gives those that went back to the allocator since the last call.
    pub(super) fn settle(&mut self) -> usize {
        self.resized = false;
        mem::take(&mut self.freed) + self.packed.take_freed() + self.tokens.take_freed()
    }

    /// The template and id of a key, as the dictionary is now.
    #[inline]
    fn numbered_of(&self, key: Key<'_>) -> Option<Numbered> {
        if key.hash.is_current(&self.hashing) {
            return key.hash.numbered();
        }
        self.hashing.hash(key.bytes).numbered()
    }

    /// The place of a key.
    #[inline]
    pub(super) fn find(&self, key: Key<'_>) -> Option<Place> {
        if let Some(numbered) = self.numbered_of(key) {
            if let Some(spot) = self.find_numbered(key, numbered) {
                return Some(Place::Numbered(numbered.template, spot));
            }
            if let Some(place) = self.find_otherwise(key) {
                return Some(place);
            }
        }
        if self.packed.len() == 0 {
            return None;
        }
        self.packed.find(key.bytes, key.hash.bits()).map(Place::Packed)
    }

    /// The value of a counter in its template's lines that is not due at `now`: the usual case of a look-up, by the
    /// shortest way. `None` says nothing.
    #[inline]
    pub(super) fn peek(&self, key: Key<'_>, now: u64) -> Option<i64> {
        let numbered = key.hash.numbered().filter(|_| key.hash.is_current(&self.hashing))?;
        let counters = self.numbered.get(numbered.template)?.as_ref()?;
        if !Self::is_of(counters, key, numbered) {
            return None;
        }
        let (value, deadline) = counters.peek(key.hash.position(), numbered.id)?;
        (deadline > now).then_some(value)
    }

    /// Adds to such a counter, if that changes nothing but its value: the usual case of an addition, by the shortest
    /// way. Gives the sum and the deadline; `None` says nothing, and nothing has changed.
    #[inline]
    pub(super) fn bump(&mut self, key: Key<'_>, delta: i64, now: u64) -> Option<(i64, u64)> {
        let numbered = key.hash.numbered().filter(|_| key.hash.is_current(&self.hashing))?;
        let counters = self.numbered.get_mut(numbered.template)?.as_mut()?;
        if !Self::is_of(counters, key, numbered) {
            return None;
        }
        counters.bump(key.hash.position(), numbered.id, delta, now)
    }

    /// Whether a key whose hash is up to date is one of the counters' template. Where the dictionary had the template at its
    /// index when it was compared, we have it, too: the place of a template is given away only when no segment has it.
    #[inline]
    fn is_of(counters: &Counters, key: Key<'_>, numbered: Numbered) -> bool {
        let compared = key.hash.is_compared();
        debug_assert!(!compared || counters.template.matches(key.bytes, numbered.start, numbered.end));
        compared || counters.template.matches(key.bytes, numbered.start, numbered.end)
    }

    #[inline]
    fn find_numbered(&self, key: Key<'_>, numbered: Numbered) -> Option<Spot> {
        let counters = self.numbered.get(numbered.template)?.as_ref()?;
        if !counters.template.matches(key.bytes, numbered.start, numbered.end) {
            return None;
        }
        counters.find(key.hash.position(), numbered.id)
    }

    /// A key with two numbers may be among the counters of a template that takes the other one for the id.
    #[inline]
    fn find_otherwise(&self, key: Key<'_>) -> Option<Place> {
        if !key.hash.is_ambiguous() && key.hash.is_current(&self.hashing) {
            return None;
        }
        let numbered = self.hashing.otherwise(key.bytes)?;
        Some(Place::Numbered(numbered.template, self.find_numbered(key, numbered)?))
    }

    #[inline]
    pub(super) fn counters(&self, template: usize) -> &Counters {
        self.numbered[template].as_ref().expect("a place that was found is in its template's lines")
    }

    #[inline]
    fn counters_mut(&mut self, template: usize) -> &mut Counters {
        self.numbered[template].as_mut().expect("a place that was found is in its template's lines")
    }

    /// The value of the key at `place`.
    #[inline]
    pub(super) fn value(&self, place: Place) -> Value<'_> {
        match place {
            Place::Numbered(template, spot) => Value::Int(self.counters(template).counter(spot).value),
            Place::Packed(found) => self.value_of(self.packed.record(found)),
        }
    }

    pub(super) fn value_of<'s>(&'s self, record: Record<'s>) -> Value<'s> {
        match record.kind {
            Kind::Int => Value::Int(record.number()),
            Kind::Text => Value::Str(record.text()),
            Kind::Throttle => Value::Throttle(record.time()),
            Kind::Window => Value::Window(record.window()),
            Kind::Token => unreachable!("tokens are kept by themselves"),
            Kind::Row | Kind::Map | Kind::Large => {
                let fields = Fields::of(record, &self.shapes, &self.large, &self.hashing);
                Value::Hash(fields.expect("it is one of the forms of a hash"))
            }
        }
    }

    /// The deadline of the key at `place`, or `NEVER`.
    #[inline]
    pub(super) fn deadline(&self, place: Place) -> u64 {
        match place {
            Place::Numbered(template, spot) => self.counters(template).counter(spot).deadline,
            Place::Packed(found) => self.packed.record(found).deadline,
        }
    }

    /// Adds to the number at `place` and returns the sum and the deadline. On an error nothing has changed.
    #[inline]
    pub(super) fn add(&mut self, key: Key<'_>, place: Place, delta: i64) -> Result<(i64, u64), AddError> {
        match place {
            Place::Numbered(template, spot) => {
                let counters = self.counters_mut(template);
                let counter = counters.counter(spot);
                let sum = counter.value.checked_add(delta).ok_or(AddError::Overflow)?;
                let fits = match &mut counters.lines {
                    Sized::Narrow(lines) => {
                        lines.change(spot, |line, slot| Ids::<false>::set_value(line, slot, sum))
                    }
                    Sized::Wide(lines) => {
                        lines.change(spot, |line, slot| Ids::<true>::set_value(line, slot, sum))
                    }
                };
                if !fits {
                    self.replace_counter(key, template, spot, Counter { value: sum, ..counter });
                }
                Ok((sum, counter.deadline))
            }
            Place::Packed(found) => {
                let record = self.packed.record(found);
                let number = match record.kind {
                    Kind::Int => record.number(),
                    Kind::Text => return Err(AddError::NotInteger),
                    Kind::Row | Kind::Map | Kind::Large | Kind::Throttle | Kind::Window | Kind::Token => {
                        return Err(AddError::WrongType);
                    }
                };
                let sum = number.checked_add(delta).ok_or(AddError::Overflow)?;
                let (deadline, width, at) = (record.deadline, record.width, record.payload_at());
                if self.numbered_of(key).is_none() && width_of(sum) <= width {
                    record::write_number(&mut self.packed.cell_mut(found.cell)[at..at + width], sum);
                } else {
                    self.replace(key, place, Value::Int(sum), deadline);
                }
                Ok((sum, deadline))
            }
        }
    }

    /// Inserts a key that is not here.
    pub(super) fn insert(&mut self, key: Key<'_>, value: Value<'_>, deadline: u64) {
        self.due = self.due.min(deadline);
        if let Value::Int(value) = value {
            if self.insert_counter(key, value, deadline) {
                return;
            }
            self.insert_packed(key, Value::Int(value), deadline);
            self.propose(key.bytes);
            return;
        }
        self.insert_packed(key, value, deadline);
    }

    fn insert_packed(&mut self, key: Key<'_>, value: Value<'_>, deadline: u64) {
        record::write(&mut self.scratch, key.bytes, value, deadline);
        self.insert_scratch(key.hash.bits());
    }

    /// Keeps the record in `scratch`, of a key that is not here.
    pub(super) fn insert_scratch(&mut self, bits: u64) {
        let Self { packed, hashing, scratch, .. } = self;
        packed.insert(hashing, bits, scratch);
        self.resized = true;
        self.trim_scratch();
        self.publish_packed();
    }

    /// Remembers a token of a key, or of the server.
    pub(super) fn set_token(&mut self, key: Option<&[u8]>, token: &[u8], used: Used) {
        self.tokens.set(&self.hashing, key, token, used);
        self.resized = true;
    }

    /// Forgets some tokens that are due, a bounded number. `None`: there is none any more.
    pub(super) fn expire_tokens(&mut self, now: u64) -> Option<usize> {
        let expired = self.tokens.expire_some(&self.hashing, now)?;
        self.resized = true;
        Some(expired)
    }

    /// Puts a counter that is not here into its template's lines. False: it has none, or there is no room.
    fn insert_counter(&mut self, key: Key<'_>, value: i64, deadline: u64) -> bool {
        if deadline != NEVER && deadline >= DEADLINES {
            return false;
        }
        let Some(numbered) = self.numbered_of(key) else { return false };
        if !self.has_lines(key, numbered) {
            return false;
        }
        let counter = Counter { id: numbered.id, value, deadline };
        self.change_lines(numbered.template, |counters, orphans| counters.insert(&counter, orphans))
    }

    /// Whether there are lines for a key's template, which are made where there are none.
    fn has_lines(&mut self, key: Key<'_>, numbered: Numbered) -> bool {
        if let Some(Some(counters)) = self.numbered.get(numbered.template) {
            return counters.template.matches(key.bytes, numbered.start, numbered.end);
        }
        let Some(template) = self.hashing.dictionary.attach(numbered.template) else { return false };
        if !template.matches(key.bytes, numbered.start, numbered.end) {
            self.hashing.dictionary.detach(&template);
            return false;
        }
        self.take_up(template);
        true
    }

    /// Makes lines for a template for which this segment was counted in the dictionary.
    fn take_up(&mut self, template: Arc<Template>) {
        let index = template.index;
        if self.numbered.len() <= index {
            self.numbered.reserve_exact(index + 1 - self.numbered.len());
            self.numbered.resize_with(index + 1, || None);
        }
        debug_assert!(self.numbered[index].is_none());
        self.homes.open(index);
        let mut counters = Counters::new(template, phase_of(self.segment));
        counters.expect(self.ahead);
        self.numbered[index] = Some(counters);
    }

    /// Changes the lines of a template, and draws the conclusions.
    pub(super) fn change_lines(
        &mut self,
        template: usize,
        change: impl FnOnce(&mut Counters, &mut Vec<Counter>) -> bool,
    ) -> bool {
        let mut orphans = Vec::new();
        let counters = self.counters_mut(template);
        let (bytes, len, timed) = (counters.heap_bytes(), counters.len(), counters.timed);
        let changed = change(counters, &mut orphans);
        let freed = either!(&mut counters.lines, lines => lines.take_freed());
        let (new_bytes, new_len, new_timed) = (counters.heap_bytes(), counters.len(), counters.timed);
        self.lines_bytes = self.lines_bytes + new_bytes - bytes;
        self.counters = self.counters + new_len - len;
        self.timed = self.timed + new_timed - timed;
        if new_len == 0 {
            self.tidy_at = 0;
        }
        self.resized = true;
        self.freed += freed;
        let (addresses, moved) =
            either!(&self.counters(template).lines, lines => (lines.addresses(), lines.moved()));
        self.homes.publish(template, self.segment, addresses, moved);
        for counter in orphans {
            let template = Arc::clone(&self.counters(template).template);
            let bytes = template.render(counter.id);
            let key = Key { bytes: &bytes, hash: KeyHash::of_bits(template.bits(counter.id)) };
            self.insert_packed(key, Value::Int(counter.value), counter.deadline);
        }
        changed
    }

    pub(super) fn publish_packed(&mut self) {
        let (addresses, moved) = self.packed.addresses();
        self.homes.publish_packed(self.segment, addresses, moved);
    }

    /// A counter was packed: if that happened to many of its template, the template is admitted.
    fn propose(&mut self, key: &[u8]) {
        for pattern in self.hashing.patterns(key).into_iter().flatten() {
            if !self.candidates.stored(pattern.identity) {
                continue;
            }
            let Some(template) = self.hashing.dictionary.admit(&pattern) else { continue };
            if self.numbered.get(template.index).is_some_and(Option::is_some) {
                // It was admitted before, and this key is packed for another reason.
                self.hashing.dictionary.detach(&template);
            } else {
                self.take_up(template);
            }
        }
    }

    /// A counter is packed no longer.
    fn withdraw(&mut self, key: &[u8]) {
        for pattern in self.hashing.patterns(key).into_iter().flatten() {
            self.candidates.removed(pattern.identity);
        }
    }

    /// Changes value and deadline of the key at `place`.
    pub(super) fn replace(&mut self, key: Key<'_>, place: Place, value: Value<'_>, deadline: u64) {
        self.due = self.due.min(deadline);
        match (place, value) {
            (Place::Numbered(template, spot), Value::Int(value))
                if deadline == NEVER || deadline < DEADLINES =>
            {
                let id = self.counters(template).counter(spot).id;
                self.replace_counter(key, template, spot, Counter { id, value, deadline });
            }
            (Place::Numbered(..), _) => {
                self.remove(key, place);
                self.insert_packed(key, value, deadline);
            }
            (Place::Packed(found), Value::Int(number)) if self.numbered_of(key).is_some() => {
                if self.insert_counter(key, number, deadline) {
                    self.remove_packed(key, found);
                } else {
                    self.rewrite_packed(key, found, value, deadline);
                }
            }
            (Place::Packed(found), _) => self.rewrite_packed(key, found, value, deadline),
        }
    }

    fn rewrite_packed(&mut self, key: Key<'_>, found: Found, value: Value<'_>, deadline: u64) {
        let was_counter = self.packed.record(found).kind == Kind::Int;
        match value {
            Value::Int(_) if !was_counter => self.propose(key.bytes),
            Value::Str(_) | Value::Hash(_) | Value::Throttle(_) | Value::Window(_) if was_counter => {
                self.withdraw(key.bytes);
            }
            Value::Int(_) | Value::Str(_) | Value::Hash(_) | Value::Throttle(_) | Value::Window(_) => {}
        }
        self.release_fields(found);
        record::write(&mut self.scratch, key.bytes, value, deadline);
        self.rewrite_scratch(key, found);
    }

    /// Replaces a record by the one in `scratch`.
    pub(super) fn rewrite_scratch(&mut self, key: Key<'_>, found: Found) {
        let Self { packed, hashing, scratch, .. } = self;
        packed.rewrite(hashing, found, key.hash.bits(), scratch);
        self.resized = true;
        self.trim_scratch();
    }

    /// Changes a counter in its template's lines, or where that is not possible packs it.
    fn replace_counter(&mut self, key: Key<'_>, template: usize, spot: Spot, counter: Counter) {
        self.due = self.due.min(counter.deadline);
        let counters = self.counters_mut(template);
        let (timed, bytes) = (counters.timed, counters.heap_bytes());
        if counters.set(spot, &counter) {
            let (timed_now, bytes_now) = (counters.timed, counters.heap_bytes());
            self.timed = self.timed + timed_now - timed;
            self.lines_bytes = self.lines_bytes + bytes_now - bytes;
            self.resized |= bytes_now != bytes;
            return;
        }
        // Its line is laid out for narrower neighbours; another line near its home may have room.
        self.change_lines(template, |counters, orphans| {
            counters.remove(spot, orphans);
            true
        });
        if !self.change_lines(template, |counters, orphans| counters.insert(&counter, orphans)) {
            self.insert_packed(key, Value::Int(counter.value), counter.deadline);
        }
    }

    /// Changes the deadline of the key at `place`, `NEVER` for none.
    pub(super) fn set_deadline(&mut self, key: Key<'_>, place: Place, deadline: u64) {
        self.due = self.due.min(deadline);
        let found = match place {
            Place::Numbered(template, spot) => {
                let value = self.counters(template).counter(spot).value;
                return self.replace(key, place, Value::Int(value), deadline);
            }
            Place::Packed(found) => found,
        };
        let record = self.packed.record(found);
        if record.kind == Kind::Throttle {
            return self.rewrite_packed(key, found, Value::Throttle(record.time()), deadline);
        }
        if deadline != NEVER && record.deadline != NEVER {
            record::set_deadline(self.packed.cell_mut(found.cell), deadline);
            self.packed.note_deadline(found, deadline);
            return;
        }
        let payload = &record.payload[..payload_len(&record, &self.shapes)];
        record::begin(&mut self.scratch, record.kind, record.width, key.bytes, deadline);
        self.scratch.extend_from_slice(payload);
        self.rewrite_scratch(key, found);
    }

    /// Removes the counter of an id from a template's lines. False: it is not there.
    pub(super) fn remove_counter(&mut self, template: &Template, id: u64) -> bool {
        self.change_lines(template.index, |counters, orphans| {
            let Some(spot) = counters.find(position_of(template.bits(id)), id) else { return false };
            counters.remove(spot, orphans);
            true
        })
    }

    /// Removes the key at `place`.
    pub(super) fn remove(&mut self, key: Key<'_>, place: Place) {
        match place {
            Place::Numbered(template, spot) => {
                self.change_lines(template, |counters, orphans| {
                    counters.remove(spot, orphans);
                    true
                });
            }
            Place::Packed(found) => {
                self.release_fields(found);
                self.remove_packed(key, found);
            }
        }
    }

    fn remove_packed(&mut self, key: Key<'_>, found: Found) {
        if self.packed.record(found).kind == Kind::Int {
            self.withdraw(key.bytes);
        }
        let Self { packed, hashing, .. } = self;
        packed.remove(hashing, found, key.hash.bits());
        self.resized = true;
        self.publish_packed();
    }

    /// Lets go of what a hash's record names, before the record goes.
    pub(super) fn release_fields(&mut self, found: Found) {
        let record = self.packed.record(found);
        match record.kind {
            Kind::Int | Kind::Text | Kind::Map | Kind::Throttle | Kind::Window | Kind::Token => {}
            Kind::Row => {
                let shape = hash::shape_of(&record);
                self.shapes.release(shape);
            }
            Kind::Large => {
                let number = hash::large_of(&record);
                let fields = self.large.remove(number);
                let bytes = fields.heap_bytes() + size_of::<Packed>();
                self.large_bytes -= bytes;
                self.freed += bytes;
            }
        }
    }

    fn trim_scratch(&mut self) {
        // A long string passes through once; what is usual fits into this.
        if self.scratch.capacity() > 64 * 1024 {
            self.scratch = Vec::new();
        }
    }

    /// Unix milliseconds from which on there is something to expire or to tidy.
    #[inline]
    pub(super) fn task(&self) -> u64 {
        self.due.min(self.tidy_at).min(self.tokens.due())
    }
}
