//! The keys of one segment: open addressing over slots, records beside them. Knows neither time nor effects.
//!
//! Linear probing, removal by shifting back (no tombstones), doubling at a load of 3/4, shrinking below 1/8.

use std::mem;

use super::record::{NEVER, Record, Records};
use super::slot::{Holds, Name, Slot};
use super::{AddError, Hashing, Key, KeyHash, Value, Visit};

/// Fewest slots of a segment that has any.
const MIN_SLOTS: usize = 8;

/// Slots and records of one segment.
pub(super) struct Store {
    /// None, or a power of two of them, at least one of which is empty.
    slots: Vec<Slot>,
    /// Slots with a key: `records <= used <= 3/4 slots`.
    used: usize,
    /// What slots point at, each record from exactly one slot.
    records: Records,
    /// The slots are no longer where they were published to be.
    moved: bool,
    hashing: Hashing,
}

/// What a flush takes out of a store, to be freed outside its lock.
pub(super) struct Contents {
    _slots: Vec<Slot>,
    _records: Records,
}

impl Store {
    /// No keys and no memory.
    pub(super) fn new(hashing: Hashing) -> Self {
        Self { slots: Vec::new(), used: 0, records: Records::default(), moved: false, hashing }
    }

    /// Number of keys.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// Number of keys with a deadline.
    pub(super) fn timed(&self) -> usize {
        self.records.timed()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.records.heap_bytes()
    }

    /// The slots, if they have moved since the last call.
    #[inline]
    pub(super) fn moved_slots(&mut self) -> Option<&[Slot]> {
        mem::take(&mut self.moved).then_some(self.slots.as_slice())
    }

    /// The place of a key, or else the place where it may be inserted.
    #[inline]
    pub(super) fn find(&self, key: Key<'_>, name: &Name) -> Result<usize, usize> {
        if self.slots.is_empty() {
            return Err(0);
        }
        let mask = self.slots.len() - 1;
        let mut place = key.hash.position(mask as u64);
        loop {
            let slot = &self.slots[place];
            if slot.is_empty() {
                return Err(place);
            }
            if slot.is_named(name) && (name.is_short() || self.is_long_key(slot, key)) {
                return Ok(place);
            }
            place = (place + 1) & mask;
        }
    }

    fn is_long_key(&self, slot: &Slot, key: Key<'_>) -> bool {
        match slot.holds() {
            Holds::Record(index) => self.records.get(index).long_key() == key.bytes,
            Holds::Empty | Holds::Int(_) => false,
        }
    }

    /// The value of the key at `place`.
    #[inline]
    pub(super) fn value(&self, place: usize) -> Value<'_> {
        match self.slots[place].holds() {
            Holds::Int(number) => Value::Int(number),
            Holds::Record(index) => self.records.get(index).value(),
            Holds::Empty => unreachable!("a place that was found holds a key"),
        }
    }

    /// The deadline of the key at `place`, or `NEVER`.
    #[inline]
    pub(super) fn deadline(&self, place: usize) -> u64 {
        match self.slots[place].holds() {
            Holds::Int(_) => NEVER,
            Holds::Record(index) => self.records.get(index).deadline(),
            Holds::Empty => unreachable!("a place that was found holds a key"),
        }
    }

    /// Adds to the number at `place` and returns the sum. On an error nothing has changed.
    #[inline]
    pub(super) fn add(&mut self, place: usize, delta: i64) -> Result<i64, AddError> {
        let slot = &mut self.slots[place];
        match slot.holds() {
            Holds::Int(number) => {
                let sum = number.checked_add(delta).ok_or(AddError::Overflow)?;
                slot.set_number(sum);
                Ok(sum)
            }
            Holds::Record(index) => {
                let number = self.records.number_mut(index).ok_or(AddError::NotInteger)?;
                *number = number.checked_add(delta).ok_or(AddError::Overflow)?;
                Ok(*number)
            }
            Holds::Empty => unreachable!("a place that was found holds a key"),
        }
    }

    /// Inserts a key that is not here, at the place where [`Store::find`] missed it.
    pub(super) fn insert(
        &mut self,
        place: usize,
        key: Key<'_>,
        name: &Name,
        value: Value<'_>,
        deadline: u64,
    ) {
        let place = if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.resize((self.slots.len() * 2).max(MIN_SLOTS));
            self.vacancy(key.hash)
        } else {
            place
        };
        debug_assert!(self.slots[place].is_empty());
        self.slots[place] = match value {
            Value::Int(number) if deadline == NEVER && name.is_short() => Slot::int(name, number),
            _ => {
                let long_key: &[u8] = if name.is_short() { &[] } else { key.bytes };
                Slot::record(name, self.records.insert(Record::new(long_key, value, deadline)))
            }
        };
        self.used += 1;
    }

    /// Changes value and deadline of the key at `place`.
    pub(super) fn replace(&mut self, place: usize, value: Value<'_>, deadline: u64) {
        let slot = self.slots[place];
        match (slot.holds(), value) {
            (Holds::Int(_), Value::Int(number)) if deadline == NEVER => self.slots[place].set_number(number),
            (Holds::Int(_), _) => {
                let index = self.records.insert(Record::new(&[], value, deadline));
                self.slots[place] = Slot::record(&slot.name(), index);
            }
            (Holds::Record(index), Value::Int(number)) if deadline == NEVER && slot.name().is_short() => {
                self.slots[place] = Slot::int(&slot.name(), number);
                self.remove_record(index);
            }
            (Holds::Record(index), _) => {
                self.records.rewrite(index, value);
                self.records.set_deadline(index, deadline);
            }
            (Holds::Empty, _) => unreachable!("a place that was found holds a key"),
        }
    }

    /// Changes the deadline of the key at `place`, `NEVER` for none.
    pub(super) fn set_deadline(&mut self, place: usize, deadline: u64) {
        match (self.slots[place].holds(), self.value(place)) {
            (_, Value::Int(number)) => self.replace(place, Value::Int(number), deadline),
            (Holds::Record(index), Value::Str(_)) => self.records.set_deadline(index, deadline),
            (Holds::Empty | Holds::Int(_), Value::Str(_)) => unreachable!("a string has a record"),
        }
    }

    /// Removes the key at `place`. Places found before are void after this.
    pub(super) fn remove(&mut self, place: usize) {
        let held = self.slots[place].holds();
        self.shift_back(place);
        self.used -= 1;
        if let Holds::Record(index) = held {
            self.remove_record(index);
        }
        if self.slots.len() > MIN_SLOTS && self.used * 8 < self.slots.len() {
            // A load of at most 1/2 afterwards: far from both bounds.
            self.resize((self.used * 2).next_power_of_two().max(MIN_SLOTS));
        }
    }

    /// Visits every key, in no particular order.
    pub(super) fn for_each(&self, visit: &mut Visit<'_>) {
        for (place, slot) in self.slots.iter().enumerate() {
            let deadline = || Some(self.deadline(place)).filter(|&deadline| deadline != NEVER);
            match (slot.holds(), slot.inline_key()) {
                (Holds::Empty, _) => {}
                (_, Some(key)) => visit(key.as_bytes(), self.value(place), deadline()),
                (Holds::Record(index), None) => {
                    visit(self.records.get(index).long_key(), self.value(place), deadline());
                }
                (Holds::Int(_), None) => unreachable!("a long key has a record"),
            }
        }
    }

    /// Takes every key out.
    pub(super) fn take(&mut self) -> Contents {
        self.used = 0;
        self.moved = true;
        Contents { _slots: mem::take(&mut self.slots), _records: mem::take(&mut self.records) }
    }

    /// The slots as they are.
    #[cfg(test)]
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Asserts what the fields promise, and that a search meets every key.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert!(self.slots.is_empty() || self.slots.len().is_power_of_two());
        assert!(self.records.timed() <= self.records.len() && self.records.len() <= self.used);
        assert!(self.used * 4 <= self.slots.len() * 3);
        assert!(self.slots.len() <= MIN_SLOTS || self.used * 8 >= self.slots.len());
        self.records.check();
        assert_eq!(self.used, self.slots.iter().filter(|slot| !slot.is_empty()).count());
        let mut pointed_at = std::collections::BTreeSet::new();
        for (place, slot) in self.slots.iter().enumerate().filter(|(_, slot)| !slot.is_empty()) {
            if let Holds::Record(index) = slot.holds() {
                assert!(pointed_at.insert(index), "two slots point at record {index}");
                assert_eq!(self.records.get(index).long_key().is_empty(), slot.name().is_short());
            }
            let mask = self.slots.len() - 1;
            let mut before = self.hash_of(slot).position(mask as u64);
            while before != place {
                assert!(!self.slots[before].is_empty(), "a search for the key at {place} ends at {before}");
                before = (before + 1) & mask;
            }
        }
        assert_eq!(pointed_at.len(), self.records.len());
    }

    /// Removes a record that no slot points at any more.
    fn remove_record(&mut self, index: usize) {
        drop(self.records.remove(index));
        if self.records.is_worth_packing(self.slots.len()) {
            self.pack_records();
        }
    }

    /// Moves the records together, into memory of their own size.
    fn pack_records(&mut self) {
        let mut packed = Records::with_capacity(self.records.len());
        for slot in &mut self.slots {
            if let Holds::Record(index) = slot.holds() {
                *slot = Slot::record(&slot.name(), packed.insert(self.records.remove(index)));
            }
        }
        debug_assert!(self.records.len() == 0, "each record has its slot");
        self.records = packed;
    }

    /// Moves all keys into `len` slots.
    fn resize(&mut self, len: usize) {
        debug_assert!(len.is_power_of_two() && self.used < len);
        let old = mem::replace(&mut self.slots, vec![Slot::EMPTY; len]);
        for slot in old.iter().filter(|slot| !slot.is_empty()) {
            let place = self.vacancy(self.hash_of(slot));
            self.slots[place] = *slot;
        }
        self.moved = true;
    }

    /// The first empty place from the home of `hash` on.
    fn vacancy(&self, hash: KeyHash) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = hash.position(mask as u64);
        while !self.slots[place].is_empty() {
            place = (place + 1) & mask;
        }
        place
    }

    /// The hash of the key in a slot that holds one.
    fn hash_of(&self, slot: &Slot) -> KeyHash {
        match slot.inline_key() {
            Some(key) => self.hashing.hash(key.as_bytes()),
            None => KeyHash(slot.long_hash()),
        }
    }

    /// Empties `hole` and moves later keys of its run back, so that none has an empty slot between its home and
    /// its place.
    fn shift_back(&mut self, mut hole: usize) {
        let mask = self.slots.len() - 1;
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let slot = self.slots[place];
            if slot.is_empty() {
                break;
            }
            let home = self.hash_of(&slot).position(mask as u64);
            // Distances are counted forwards and around the end. The key may move to the hole unless its home
            // lies behind the hole.
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(hole) & mask {
                self.slots[hole] = slot;
                hole = place;
            }
        }
        self.slots[hole] = Slot::EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use ahash::RandomState;
    use proptest::collection;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Hashing, MIN_SLOTS, NEVER, Name, Store};
    use crate::table::record::MIN_RECORDS;
    use crate::table::{Key, Value};

    /// Two lines at each end of 64 slots, and one in the middle.
    const HOMES: [usize; 5] = [0, 2, 30, 60, 62];

    fn hashing() -> Hashing {
        Hashing(RandomState::with_seeds(1, 2, 3, 4))
    }

    /// The first `count` keys of any length up to 40 that want to be at `home` among 64 slots.
    fn keys_at(home: usize, count: usize) -> Vec<Vec<u8>> {
        (0_u32..)
            .map(|n| format!("{n}{:.>width$}", "", width = usize::try_from(n % 36).unwrap()).into_bytes())
            .filter(|bytes| hashing().hash(bytes).position(63) == home)
            .take(count)
            .collect()
    }

    fn key(bytes: &[u8]) -> Key<'_> {
        Key { bytes, hash: hashing().hash(bytes) }
    }

    fn put(store: &mut Store, bytes: &[u8], value: Value<'_>, deadline: u64) {
        let (key, name) = (key(bytes), Name::of(key(bytes)));
        match store.find(key, &name) {
            Ok(place) => store.replace(place, value, deadline),
            Err(place) => store.insert(place, key, &name, value, deadline),
        }
        store.check();
    }

    fn take(store: &mut Store, bytes: &[u8]) -> bool {
        let found = store.find(key(bytes), &Name::of(key(bytes)));
        if let Ok(place) = found {
            store.remove(place);
        }
        store.check();
        found.is_ok()
    }

    fn value<'s>(store: &'s Store, bytes: &[u8]) -> Option<Value<'s>> {
        store.find(key(bytes), &Name::of(key(bytes))).ok().map(|place| store.value(place))
    }

    #[test]
    fn keys_of_one_home_run_around_the_end_and_close_up_again() {
        // 40 keys that all want the last line or the one before: the run goes on at slot 0.
        let mut keys = keys_at(62, 20);
        keys.extend(keys_at(60, 20));
        for first in 0..keys.len() {
            let mut store = Store::new(hashing());
            for (n, bytes) in (0..).zip(&keys) {
                put(&mut store, bytes, Value::Int(n), NEVER);
            }
            assert_eq!(store.slots.len(), 64);
            assert!(!store.slots[63].is_empty() && !store.slots[0].is_empty() && !store.slots[35].is_empty());
            // Removed from every starting point, in steps that reach each key once.
            for step in 0..keys.len() {
                let gone = (first + step * 7) % keys.len();
                assert!(take(&mut store, &keys[gone]) && !take(&mut store, &keys[gone]));
                let left = (step + 1..keys.len()).map(|step| (first + step * 7) % keys.len());
                for n in left {
                    assert_eq!(value(&store, &keys[n]), Some(Value::Int(i64::try_from(n).unwrap())));
                }
            }
            assert_eq!((store.len(), store.slots.len()), (0, MIN_SLOTS));
        }
    }

    proptest! {
        #[test]
        fn colliding_keys_come_and_go(
            steps in collection::vec((0..HOMES.len(), 0..9_usize, any::<bool>()), 1..200)
        ) {
            let homes: Vec<_> = HOMES.iter().map(|&home| keys_at(home, 9)).collect();
            let mut store = Store::new(hashing());
            let mut model = std::collections::BTreeMap::new();
            for (n, (home, which, keep)) in (0..).zip(steps) {
                let bytes = &homes[home][which];
                if keep {
                    put(&mut store, bytes, Value::Int(n), NEVER);
                    model.insert(bytes.clone(), n);
                } else {
                    prop_assert_eq!(take(&mut store, bytes), model.remove(bytes).is_some());
                }
                for bytes in homes.iter().flatten() {
                    prop_assert_eq!(value(&store, bytes), model.get(bytes).map(|&n| Value::Int(n)));
                }
            }
        }
    }

    #[test]
    fn memory_goes_back_when_keys_go() {
        let mut store = Store::new(hashing());
        let names: Vec<String> = (0..4_000).map(|n| format!("key:{n}")).collect();
        for name in &names {
            put(&mut store, name.as_bytes(), Value::Str(b"not a number"), 5);
        }
        assert_eq!((store.len(), store.timed()), (4_000, 4_000));
        let full = store.heap_bytes();
        for name in &names[..3_990] {
            assert!(take(&mut store, name.as_bytes()));
        }
        assert!(store.heap_bytes() < full / 50, "{} of {full} bytes are left", store.heap_bytes());
        assert!(store.records.capacity() <= MIN_RECORDS && store.slots.len() <= 64);
        assert!(names[3_990..].iter().all(|name| value(&store, name.as_bytes()).is_some()));
    }

    #[test]
    fn records_go_when_values_become_plain_numbers() {
        let mut store = Store::new(hashing());
        let names: Vec<String> = (0..2_000).map(|n| format!("key:{n}")).collect();
        for name in &names {
            put(&mut store, name.as_bytes(), Value::Int(1), 5);
        }
        assert_eq!((store.records.len(), store.timed()), (2_000, 2_000));
        for name in &names {
            put(&mut store, name.as_bytes(), Value::Int(2), NEVER);
        }
        assert_eq!((store.records.len(), store.timed(), store.len()), (0, 0, 2_000));
        // What is left is not worth a walk over the slots: at most 1/8 of them.
        assert!(store.records.capacity() * 8 <= store.slots.len());
        let long = [b'k'; 23];
        put(&mut store, &long, Value::Int(3), NEVER);
        assert_eq!((store.records.len(), value(&store, &long)), (1, Some(Value::Int(3))));
    }

    #[test]
    fn long_keys_with_one_hash_stay_apart() {
        // Same hash, same length: only the bytes tell them apart.
        let mut store = Store::new(hashing());
        let (a, b) = ([b'a'; 30], [b'b'; 30]);
        let hash = hashing().hash(&a);
        for (n, bytes) in [(1, &a), (2, &b)] {
            let key = Key { bytes, hash };
            let place = store.find(key, &Name::of(key)).unwrap_err();
            store.insert(place, key, &Name::of(key), Value::Int(n), NEVER);
        }
        for (n, bytes) in [(1, &a), (2, &b)] {
            let key = Key { bytes, hash };
            assert_eq!(store.find(key, &Name::of(key)).map(|place| store.value(place)), Ok(Value::Int(n)));
        }
    }
}
