//! Hashes of three kinds, and how each is read and written anew.
//!
//! - A **row** has integers only: a shape and a number for each of its fields, all of one width.
//! - A **map** has few fields of any kind, one after the other: field length, field, kind of the value (bytes of an
//!   integer, or 0 for a string), value.
//! - A **large** hash has an index and cells of its own.
//!
//! A row becomes a map when it is given something that is no integer, or a shape for which there is no room; a map
//! becomes large by the bounds that Redis has for its listpacks. Nothing becomes smaller again.
#![expect(clippy::cast_possible_truncation, reason = "counts and lengths of maps are bounded")]

use super::Scalar;
use super::array::share;
use super::key::Hashing;
use super::packed::Packed;
use super::record::{self, Kind, NEVER, Record, put_len, read_number, take_len, width_of};
use super::shape::{FIELD_BYTES, Shape, Shapes};

/// Fields of a map, as Redis' `hash-max-listpack-entries`.
const MAP_FIELDS: usize = 128;

/// Bytes of a field or a value in a map, as Redis' `hash-max-listpack-value`.
const MAP_BYTES: usize = 64;

/// Bytes of a map's payload before its first field.
const MAP_HEAD: usize = 3;

const _: () = assert!(MAP_FIELDS * (3 + 2 * MAP_BYTES) <= u16::MAX as usize && FIELD_BYTES <= MAP_BYTES);

/// Is shown a field and its value.
pub type VisitField<'v> = dyn FnMut(&[u8], Scalar<'_>) + 'v;

/// The fields of a hash. Valid while its segment is locked and unchanged.
#[derive(Clone, Copy)]
pub struct Fields<'a>(View<'a>);

#[derive(Clone, Copy)]
enum View<'a> {
    Row { shape: &'a Shape, width: usize, numbers: &'a [u8] },
    Map { count: usize, fields: &'a [u8] },
    Large { fields: &'a Packed, hashing: &'a Hashing },
}

impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fields").field("len", &self.len()).field("encoding", &self.encoding()).finish()
    }
}

impl PartialEq for Fields<'_> {
    /// Whether both have the same fields with the same values, in whatever order.
    fn eq(&self, other: &Self) -> bool {
        let mut same = self.len() == other.len();
        self.for_each(&mut |field, value| same &= other.get(field) == Some(value));
        same
    }
}

impl Eq for Fields<'_> {}

impl<'a> Fields<'a> {
    /// The fields of a record that is a hash.
    pub(super) fn of(
        record: Record<'a>,
        shapes: &'a Shapes,
        large: &'a slab::Slab<Box<Packed>>,
        hashing: &'a Hashing,
    ) -> Option<Self> {
        Some(Self(match record.kind {
            Kind::Int | Kind::Text | Kind::Throttle | Kind::Window | Kind::Token => return None,
            Kind::Row => {
                let shape = shapes.get(shape_of(&record));
                let numbers = &record.payload[2..][..shape.fields().len() * record.width];
                View::Row { shape, width: record.width, numbers }
            }
            Kind::Map => View::Map { count: record.payload[0].into(), fields: map_fields(&record) },
            Kind::Large => View::Large { fields: &large[large_of(&record)], hashing },
        }))
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        match self.0 {
            View::Row { shape, .. } => shape.fields().len(),
            View::Map { count, .. } => count,
            View::Large { fields, .. } => fields.len(),
        }
    }

    /// Whether there are none; a hash that is in the table has some.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<Scalar<'a>> {
        match self.0 {
            View::Row { shape, width, numbers } => {
                let at = shape.position(field)?;
                Some(Scalar::Int(read_number(&numbers[at * width..][..width])))
            }
            View::Map { fields, .. } => {
                MapFields(fields).find(|(name, _)| *name == field).map(|(_, value)| value)
            }
            View::Large { fields, hashing } => {
                let found = fields.find(field, hashing.bits(field))?;
                Some(scalar(&fields.record(found)))
            }
        }
    }

    /// Visits every field: rows and maps in the order in which they were set, large ones in none.
    pub fn for_each(&self, visit: &mut VisitField<'_>) {
        match self.0 {
            View::Row { shape, width, numbers } => {
                for (name, number) in shape.fields().iter().zip(numbers.chunks_exact(width)) {
                    visit(name, Scalar::Int(read_number(number)));
                }
            }
            View::Map { fields, .. } => MapFields(fields).for_each(|(name, value)| visit(name, value)),
            View::Large { fields, hashing } => fields.visit(hashing, 0, u64::MAX, |_, cell| {
                let record = Record::read(cell);
                visit(record.key, scalar(&record));
            }),
        }
    }

    /// Visits the fields from `cursor` on, about `count` of them, and gives the cursor of the next, 0 = none is left.
    ///
    /// A field that is there throughout is visited by one of the calls. Small hashes are visited whole.
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut VisitField<'_>) -> u64 {
        let View::Large { fields, hashing } = self.0 else {
            self.for_each(visit);
            return 0;
        };
        let first = cursor << 1;
        let last = super::walk::last_of(first, fields.len(), count);
        fields.visit(hashing, first, last, |_, cell| {
            let record = Record::read(cell);
            visit(record.key, scalar(&record));
        });
        last.wrapping_add(1) >> 1
    }

    /// The field that a random number chooses, each with equal chance.
    pub fn pick(&self, random: u64) -> (&'a [u8], Scalar<'a>) {
        let index = share(random, self.len());
        match self.0 {
            View::Row { shape, width, numbers } => {
                (&shape.fields()[index], Scalar::Int(read_number(&numbers[index * width..][..width])))
            }
            View::Map { fields, .. } => {
                MapFields(fields).nth(index).expect("an index below the number of fields")
            }
            View::Large { fields, .. } => {
                let record = Record::read(fields.pick(random));
                (record.key, scalar(&record))
            }
        }
    }

    /// Redis' name for what holds the fields.
    pub fn encoding(&self) -> &'static str {
        match self.0 {
            View::Row { .. } | View::Map { .. } => "listpack",
            View::Large { .. } => "hashtable",
        }
    }

    /// Bytes on the heap beside the key's own record.
    pub(super) fn heap_bytes(&self) -> usize {
        match self.0 {
            View::Row { .. } | View::Map { .. } => 0,
            View::Large { fields, .. } => fields.heap_bytes() + size_of::<Packed>(),
        }
    }
}

/// The shape of a row.
pub(super) fn shape_of(record: &Record<'_>) -> u16 {
    u16::from_le_bytes([record.payload[0], record.payload[1]])
}

/// The number of a large hash.
pub(super) fn large_of(record: &Record<'_>) -> usize {
    let number = record.payload.first_chunk::<4>().expect("a large hash has a number of four bytes");
    u32::from_le_bytes(*number) as usize
}

fn map_fields<'r>(record: &Record<'r>) -> &'r [u8] {
    let len = u16::from_le_bytes([record.payload[1], record.payload[2]]);
    &record.payload[MAP_HEAD..][..len.into()]
}

/// The value of a field's record.
fn scalar<'r>(record: &Record<'r>) -> Scalar<'r> {
    match record.kind {
        Kind::Int => Scalar::Int(record.number()),
        Kind::Text => Scalar::Str(record.text()),
        Kind::Row | Kind::Map | Kind::Large | Kind::Throttle | Kind::Window | Kind::Token => {
            unreachable!("fields hold integers and bytes")
        }
    }
}

/// Bytes of a record's payload.
pub(super) fn payload_len(record: &Record<'_>, shapes: &Shapes) -> usize {
    match record.kind {
        Kind::Int | Kind::Throttle => record.width,
        Kind::Text => {
            let (len, rest) = take_len(record.payload);
            record.payload.len() - rest.len() + len
        }
        Kind::Row => 2 + record.width * shapes.get(shape_of(record)).fields().len(),
        Kind::Map => MAP_HEAD + map_fields(record).len(),
        Kind::Large => 4,
        Kind::Window => record.window().bytes().len(),
        Kind::Token => unreachable!("tokens are kept by themselves"),
    }
}

/// The fields of a map, one after the other.
struct MapFields<'m>(&'m [u8]);

impl<'m> Iterator for MapFields<'m> {
    type Item = (&'m [u8], Scalar<'m>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let (len, rest) = take_len(self.0);
        let (field, rest) = rest.split_at(len);
        let (&kind, rest) = rest.split_first().expect("a field has a value");
        let (value, rest) = if kind == 0 {
            let (len, rest) = take_len(rest);
            let (text, rest) = rest.split_at(len);
            (Scalar::Str(text), rest)
        } else {
            let (number, rest) = rest.split_at(kind.into());
            (Scalar::Int(read_number(number)), rest)
        };
        self.0 = rest;
        Some((field, value))
    }
}

/// Whether a field may stand in a map.
pub(super) fn fits_map(fields: usize, field: &[u8], value: Scalar<'_>) -> bool {
    let short = match value {
        Scalar::Int(_) => true,
        Scalar::Str(text) => text.len() <= MAP_BYTES,
    };
    fields <= MAP_FIELDS && field.len() <= MAP_BYTES && short
}

/// Writes the record of a map in parts: [`MapWriter::begin`], [`MapWriter::field`] for each, [`MapWriter::end`].
pub(super) struct MapWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    count: usize,
}

impl<'o> MapWriter<'o> {
    /// Begins the record in `out`.
    pub(super) fn begin(out: &'o mut Vec<u8>, key: &[u8], deadline: u64) -> Self {
        record::begin(out, Kind::Map, 1, key, deadline);
        let start = out.len();
        out.extend_from_slice(&[0; MAP_HEAD]);
        Self { out, start, count: 0 }
    }

    /// Adds a field, for which [`fits_map`] holds.
    pub(super) fn field(&mut self, field: &[u8], value: Scalar<'_>) {
        self.count += 1;
        put_len(self.out, field.len());
        self.out.extend_from_slice(field);
        match value {
            Scalar::Int(number) => {
                let width = width_of(number);
                self.out.push(width as u8);
                self.out.extend_from_slice(&number.to_le_bytes()[..width]);
            }
            Scalar::Str(text) => {
                self.out.push(0);
                put_len(self.out, text.len());
                self.out.extend_from_slice(text);
            }
        }
    }

    /// Ends the record.
    pub(super) fn end(self) {
        let len = (self.out.len() - self.start - MAP_HEAD) as u16;
        self.out[self.start] = self.count as u8;
        self.out[self.start + 1..][..2].copy_from_slice(&len.to_le_bytes());
    }
}

/// Writes the record of a row into `out`.
pub(super) fn write_row(
    out: &mut Vec<u8>,
    key: &[u8],
    deadline: u64,
    shape: u16,
    numbers: impl Iterator<Item = i64> + Clone,
) {
    let width = numbers.clone().map(width_of).max().unwrap_or(1);
    record::begin(out, Kind::Row, width, key, deadline);
    out.extend_from_slice(&shape.to_le_bytes());
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes()[..width]);
    }
}

/// Writes the record of a large hash into `out`.
pub(super) fn write_large(out: &mut Vec<u8>, key: &[u8], deadline: u64, number: usize) {
    record::begin(out, Kind::Large, 1, key, deadline);
    let number =
        u32::try_from(number).expect("a segment's hashes are counted in cells, of which there are 2^26");
    out.extend_from_slice(&number.to_le_bytes());
}

/// Sets a field of a large hash; `scratch` is used for its record. Whether the field is new.
pub(super) fn set_large(
    fields: &mut Packed,
    hashing: &Hashing,
    field: &[u8],
    value: Scalar<'_>,
    scratch: &mut Vec<u8>,
) -> bool {
    let bits = hashing.bits(field);
    record::write(scratch, field, value.into(), NEVER);
    match fields.find(field, bits) {
        Some(found) => {
            fields.rewrite(hashing, found, bits, scratch);
            false
        }
        None => {
            fields.insert(hashing, bits, scratch);
            true
        }
    }
}
