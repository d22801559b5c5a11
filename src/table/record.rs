//! What does not fit into a slot: strings, deadlines, long keys, and what they weigh. Knows no slot.

use slab::Slab;

use super::Value;

/// Deadline of a key that has none. No client's deadline gets here: those are `i64` milliseconds.
pub(super) const NEVER: u64 = u64::MAX;

/// Record places below which sparse ones are left alone.
pub(super) const MIN_RECORDS: usize = 64;

/// Capacity up to which a string's memory is kept for the next value, however short that is. In bytes.
const SPARE_BYTES: usize = 1024;

/// Capacity over length up to which a longer string's memory is kept.
const SPARE_FACTOR: usize = 4;

#[derive(Debug)]
enum Content {
    Int(i64),
    Text(Vec<u8>),
}

/// A key's value and deadline, and the key where its slot is too small for it.
#[derive(Debug)]
pub(super) struct Record {
    content: Content,
    /// Milliseconds since the Unix epoch, or `NEVER`.
    deadline: u64,
    /// The key's bytes; empty where they are in the slot.
    long_key: Box<[u8]>,
}

impl Record {
    /// A record; `long_key` is empty unless the key is too long for a slot.
    pub(super) fn new(long_key: &[u8], value: Value<'_>, deadline: u64) -> Self {
        let content = match value {
            Value::Int(number) => Content::Int(number),
            Value::Str(bytes) => Content::Text(bytes.to_vec()),
        };
        Self { content, deadline, long_key: long_key.into() }
    }

    /// The value.
    #[inline]
    pub(super) fn value(&self) -> Value<'_> {
        match &self.content {
            Content::Int(number) => Value::Int(*number),
            Content::Text(bytes) => Value::Str(bytes),
        }
    }

    /// Milliseconds since the Unix epoch, or `NEVER`.
    #[inline]
    pub(super) fn deadline(&self) -> u64 {
        self.deadline
    }

    /// The key, if it is too long for a slot; else nothing.
    #[inline]
    pub(super) fn long_key(&self) -> &[u8] {
        &self.long_key
    }

    /// The number, to be changed, unless the value is a string.
    #[inline]
    fn number_mut(&mut self) -> Option<&mut i64> {
        match &mut self.content {
            Content::Int(number) => Some(number),
            Content::Text(_) => None,
        }
    }

    /// Changes the value. A string over a string takes over its memory, unless that is far too much.
    fn rewrite(&mut self, value: Value<'_>) {
        match (&mut self.content, value) {
            (Content::Text(text), Value::Str(bytes)) => {
                text.clear();
                if text.capacity() > SPARE_BYTES && text.capacity() > SPARE_FACTOR * bytes.len() {
                    text.shrink_to(bytes.len());
                }
                // Exact: a value is replaced far more often than it grows, and never grows in place.
                text.reserve_exact(bytes.len());
                text.extend_from_slice(bytes);
            }
            (Content::Int(_), Value::Str(bytes)) => self.content = Content::Text(bytes.to_vec()),
            (_, Value::Int(number)) => self.content = Content::Int(number),
        }
    }

    /// Bytes it holds on the heap beside itself.
    fn heap_bytes(&self) -> usize {
        let text = match &self.content {
            Content::Int(_) => 0,
            Content::Text(bytes) => bytes.capacity(),
        };
        text + self.long_key.len()
    }
}

/// The records of one segment. An index stays until its record is removed, and is then used again.
#[derive(Debug, Default)]
pub(super) struct Records {
    records: Slab<Record>,
    /// Records with a deadline: `timed <= records`.
    timed: usize,
    /// Sum of the records' `heap_bytes`.
    blob_bytes: usize,
}

impl Records {
    /// No records, and room for `count`.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self { records: Slab::with_capacity(count), timed: 0, blob_bytes: 0 }
    }

    /// Number of records.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Number of records with a deadline.
    pub(super) fn timed(&self) -> usize {
        self.timed
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.records.capacity() * size_of::<Record>() + self.blob_bytes
    }

    /// The record at `index`.
    #[inline]
    pub(super) fn get(&self, index: usize) -> &Record {
        &self.records[index]
    }

    /// The number at `index`, to be changed, unless the value is a string.
    #[inline]
    pub(super) fn number_mut(&mut self, index: usize) -> Option<&mut i64> {
        self.records[index].number_mut()
    }

    /// Keeps a record and returns its index.
    pub(super) fn insert(&mut self, record: Record) -> usize {
        self.timed += usize::from(record.deadline != NEVER);
        self.blob_bytes += record.heap_bytes();
        self.records.insert(record)
    }

    /// Takes a record out.
    pub(super) fn remove(&mut self, index: usize) -> Record {
        let record = self.records.remove(index);
        self.timed -= usize::from(record.deadline != NEVER);
        self.blob_bytes -= record.heap_bytes();
        record
    }

    /// Changes a value. A string over a string takes over its memory, unless that is far too much.
    pub(super) fn rewrite(&mut self, index: usize, value: Value<'_>) {
        let record = &mut self.records[index];
        self.blob_bytes -= record.heap_bytes();
        record.rewrite(value);
        self.blob_bytes += record.heap_bytes();
    }

    /// Changes a deadline, `NEVER` for none.
    pub(super) fn set_deadline(&mut self, index: usize, deadline: u64) {
        let record = &mut self.records[index];
        self.timed -= usize::from(record.deadline != NEVER);
        record.deadline = deadline;
        self.timed += usize::from(deadline != NEVER);
    }

    /// Whether it pays to walk `slots` slots in order to pack the records: under 1/8 of the places are in use,
    /// and enough records went since they were last that few to pay for the walk.
    #[inline]
    pub(super) fn is_worth_packing(&self, slots: usize) -> bool {
        let places = self.records.capacity();
        places > MIN_RECORDS && self.records.len() * 8 < places && places * 8 > slots
    }

    /// Asserts what the fields promise.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let records = || self.records.iter().map(|(_, record)| record);
        assert_eq!(self.timed, records().filter(|record| record.deadline != NEVER).count());
        assert_eq!(self.blob_bytes, records().map(Record::heap_bytes).sum::<usize>());
    }

    /// Records it has memory for.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.records.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::{NEVER, Record, SPARE_BYTES};
    use crate::table::Value;

    #[test]
    fn a_string_over_a_string_takes_over_its_memory() {
        let mut record = Record::new(b"", Value::Str(&[b'x'; SPARE_BYTES]), NEVER);
        let before = record.heap_bytes();
        let Value::Str(bytes) = record.value() else { panic!("a string was stored") };
        let address = bytes.as_ptr();
        record.rewrite(Value::Str(b"short"));
        assert_eq!(record.value(), Value::Str(b"short"));
        record.rewrite(Value::Str(&[b'y'; SPARE_BYTES]));
        let Value::Str(bytes) = record.value() else { panic!("a string was stored") };
        assert_eq!((bytes.as_ptr(), record.heap_bytes()), (address, before));
    }

    #[test]
    fn a_short_string_does_not_keep_a_huge_capacity() {
        let mut record = Record::new(b"", Value::Str(&[b'x'; 100_000]), NEVER);
        record.rewrite(Value::Str(b"tiny"));
        assert!(record.heap_bytes() <= SPARE_BYTES, "{} bytes kept", record.heap_bytes());
        record.rewrite(Value::Int(1));
        assert_eq!((record.heap_bytes(), record.value()), (0, Value::Int(1)));
        assert_eq!(record.number_mut(), Some(&mut 1));
    }
}
