//! Fields of a segment's hashes: set, added to, removed. Each hash keeps the cheapest form that its fields allow.

use super::Scalar;
use super::hash::{self, Fields, MapWriter, fits_map, large_of, shape_of, write_large, write_row};
use super::key::Key;
use super::packed::{Found, Packed};
use super::record::{Kind, NEVER, Record, read_number, width_of, write_number};
use super::shape::{FIELD_BYTES, SHAPE_FIELDS};
use super::store::{Place, Store};

impl Store {
    /// The fields of the key at `place`; `None`: it is no hash.
    pub(super) fn fields(&self, place: Place) -> Option<Fields<'_>> {
        let Place::Packed(found) = place else { return None };
        Fields::of(self.packed.record(found), &self.shapes, &self.large, &self.hashing)
    }

    /// Makes a hash of one field, of a key that is not here.
    pub(super) fn insert_hash(&mut self, key: Key<'_>, field: &[u8], value: Scalar<'_>) {
        let mut out = std::mem::take(&mut self.scratch);
        match self.row_of_one(field, value) {
            Some((shape, number)) => write_row(&mut out, key.bytes, NEVER, shape, std::iter::once(number)),
            None if fits_map(1, field, value) => {
                let mut map = MapWriter::begin(&mut out, key.bytes, NEVER);
                map.field(field, value);
                map.end();
            }
            None => {
                let mut fields = Box::new(Packed::new(0));
                hash::set_large(&mut fields, &self.hashing, field, value, &mut out);
                self.keep_large(&mut out, key, NEVER, fields);
            }
        }
        self.scratch = out;
        self.insert_scratch(key.hash.bits());
    }

    fn row_of_one(&mut self, field: &[u8], value: Scalar<'_>) -> Option<(u16, i64)> {
        match value {
            Scalar::Int(number) if field.len() <= FIELD_BYTES => {
                Some((self.shapes.acquire(std::iter::once(field))?, number))
            }
            Scalar::Int(_) | Scalar::Str(_) => None,
        }
    }

    /// Keeps a large hash and writes its record into `out`.
    fn keep_large(&mut self, out: &mut Vec<u8>, key: Key<'_>, deadline: u64, fields: Box<Packed>) {
        self.large_bytes += fields.heap_bytes() + size_of::<Packed>();
        let number = self.large.insert(fields);
        write_large(out, key.bytes, deadline, number);
    }

    /// Sets a field of the hash at `place`. Whether the field is new.
    pub(super) fn set_field(&mut self, key: Key<'_>, found: Found, field: &[u8], value: Scalar<'_>) -> bool {
        match self.packed.record(found).kind {
            Kind::Row => {
                if let Some(new) = self.set_in_row(key, found, field, value) {
                    return new;
                }
                // No row can hold it. As a map it has the same fields, and this one is set below.
                self.row_to_map(key, found);
                let found = self.packed.find(key.bytes, key.hash.bits()).expect("it has been rewritten");
                self.set_in_map(key, found, field, value)
            }
            Kind::Map => self.set_in_map(key, found, field, value),
            Kind::Large => self.set_in_large(found, field, value),
            Kind::Int | Kind::Text | Kind::Throttle | Kind::Window | Kind::Token => {
                unreachable!("the caller has found a hash")
            }
        }
    }

    /// `None`: a row cannot hold the field.
    fn set_in_row(&mut self, key: Key<'_>, found: Found, field: &[u8], value: Scalar<'_>) -> Option<bool> {
        let Scalar::Int(number) = value else { return None };
        let record = self.packed.record(found);
        let (id, width, at, deadline) =
            (shape_of(&record), record.width, record.payload_at() + 2, record.deadline);
        let shape = self.shapes.get(id);
        let count = shape.fields().len();
        let position = shape.position(field);
        if let Some(position) = position
            && width_of(number) <= width
        {
            let cell = self.packed.cell_mut(found.cell);
            write_number(&mut cell[at + position * width..][..width], number);
            return Some(false);
        }
        let mut numbers = [0; SHAPE_FIELDS];
        read_row(&record, &mut numbers[..count]);
        let (id, count) = match position {
            Some(position) => {
                numbers[position] = number;
                (id, count)
            }
            None if count < SHAPE_FIELDS && field.len() <= FIELD_BYTES => {
                numbers[count] = number;
                // Copied: the shapes may move while one is added.
                let mut fields = self.shapes.get(id).fields().to_vec();
                fields.push(field.into());
                let longer = self.shapes.acquire(fields.iter().map(|name| &**name))?;
                self.shapes.release(id);
                (longer, count + 1)
            }
            None => return None,
        };
        write_row(&mut self.scratch, key.bytes, deadline, id, numbers[..count].iter().copied());
        self.rewrite_scratch(key, found);
        Some(position.is_none())
    }

    fn row_to_map(&mut self, key: Key<'_>, found: Found) {
        let record = self.packed.record(found);
        let shape = self.shapes.get(shape_of(&record));
        let mut numbers = [0; SHAPE_FIELDS];
        read_row(&record, &mut numbers[..shape.fields().len()]);
        let mut map = MapWriter::begin(&mut self.scratch, key.bytes, record.deadline);
        for (name, &number) in shape.fields().iter().zip(&numbers) {
            map.field(name, Scalar::Int(number));
        }
        map.end();
        self.release_fields(found);
        self.rewrite_scratch(key, found);
    }

    fn set_in_map(&mut self, key: Key<'_>, found: Found, field: &[u8], value: Scalar<'_>) -> bool {
        let mut out = std::mem::take(&mut self.scratch);
        let record = self.packed.record(found);
        let fields = self.fields(Place::Packed(found)).expect("the caller has found a hash");
        let new = fields.get(field).is_none();
        let deadline = record.deadline;
        if fits_map(fields.len() + usize::from(new), field, value) {
            let mut map = MapWriter::begin(&mut out, key.bytes, deadline);
            fields.for_each(&mut |name, old| map.field(name, if name == field { value } else { old }));
            if new {
                map.field(field, value);
            }
            map.end();
        } else {
            let mut large = Box::new(Packed::new(0));
            fields.for_each(&mut |name, old| {
                hash::set_large(&mut large, &self.hashing, name, old, &mut out);
            });
            hash::set_large(&mut large, &self.hashing, field, value, &mut out);
            self.keep_large(&mut out, key, deadline, large);
        }
        self.scratch = out;
        self.rewrite_scratch(key, found);
        new
    }

    fn set_in_large(&mut self, found: Found, field: &[u8], value: Scalar<'_>) -> bool {
        let number = large_of(&self.packed.record(found));
        let fields = &mut self.large[number];
        let before = fields.heap_bytes();
        let new = hash::set_large(fields, &self.hashing, field, value, &mut self.scratch);
        self.large_bytes = self.large_bytes + fields.heap_bytes() - before;
        self.resized = true;
        new
    }

    /// Removes a field of the hash at `place`, which stays, even if that was its last field. False: there was none.
    pub(super) fn remove_field(&mut self, key: Key<'_>, found: Found, field: &[u8]) -> bool {
        match self.packed.record(found).kind {
            Kind::Row => {
                let record = self.packed.record(found);
                let shape = self.shapes.get(shape_of(&record));
                let Some(position) = shape.position(field) else { return false };
                if shape.fields().len() > 1 && self.shorten_row(key, found, position) {
                    return true;
                }
                self.row_to_map(key, found);
                let found = self.packed.find(key.bytes, key.hash.bits()).expect("it has been rewritten");
                self.remove_from_map(key, found, field)
            }
            Kind::Map => self.remove_from_map(key, found, field),
            Kind::Large => self.remove_from_large(found, field),
            Kind::Int | Kind::Text | Kind::Throttle | Kind::Window | Kind::Token => {
                unreachable!("the caller has found a hash")
            }
        }
    }

    /// Takes a number out of a row. False: there is no room for its new shape.
    fn shorten_row(&mut self, key: Key<'_>, found: Found, position: usize) -> bool {
        let record = self.packed.record(found);
        let (id, deadline) = (shape_of(&record), record.deadline);
        let mut fields = self.shapes.get(id).fields().to_vec();
        let mut numbers = [0; SHAPE_FIELDS];
        read_row(&record, &mut numbers[..fields.len()]);
        fields.remove(position);
        numbers.copy_within(position + 1.., position);
        let Some(shorter) = self.shapes.acquire(fields.iter().map(|name| &**name)) else { return false };
        self.shapes.release(id);
        write_row(&mut self.scratch, key.bytes, deadline, shorter, numbers[..fields.len()].iter().copied());
        self.rewrite_scratch(key, found);
        true
    }

    fn remove_from_map(&mut self, key: Key<'_>, found: Found, field: &[u8]) -> bool {
        let fields = Fields::of(self.packed.record(found), &self.shapes, &self.large, &self.hashing);
        let fields = fields.expect("the caller has found a hash");
        if fields.get(field).is_none() {
            return false;
        }
        let mut map = MapWriter::begin(&mut self.scratch, key.bytes, self.packed.record(found).deadline);
        fields.for_each(&mut |name, value| {
            if name != field {
                map.field(name, value);
            }
        });
        map.end();
        self.rewrite_scratch(key, found);
        true
    }

    fn remove_from_large(&mut self, found: Found, field: &[u8]) -> bool {
        let number = large_of(&self.packed.record(found));
        let Self { large, hashing, large_bytes, .. } = self;
        let fields = &mut large[number];
        let bits = hashing.bits(field);
        let Some(place) = fields.find(field, bits) else { return false };
        let before = fields.heap_bytes();
        fields.remove(hashing, place, bits);
        *large_bytes = *large_bytes + fields.heap_bytes() - before;
        self.resized = true;
        true
    }
}

fn read_row(record: &Record<'_>, numbers: &mut [i64]) {
    for (number, bytes) in numbers.iter_mut().zip(record.payload[2..].chunks_exact(record.width)) {
        *number = read_number(bytes);
    }
}
