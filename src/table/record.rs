//! A packed key and all that it holds, as bytes in one cell.
//!
//! ```text
//! head | key length | key | [deadline] | payload
//!   1       1–3               8
//!
//! head: bits 0–3 kind, bit 4 has a deadline, bits 5–6 width of integers (1, 2, 4, 8 bytes)
//!
//! kind      payload
//! integer   the number, little-endian
//! string    length (1–5 bytes), bytes
//! row       shape (2 bytes), a number for each of its fields
//! map       number of fields (1 byte), length of the rest (2 bytes), fields: see `hash`
//! large     index of a hash with a table of its own (4 bytes)
//! throttle  nanoseconds since the Unix epoch (8 bytes), or by how many the deadline is later, if less than a
//!           millisecond (4 bytes): a rate limit expires with its point in time
//! window    see `window`
//! token     see `tokens`
//! ```
//!
//! Lengths are in groups of seven bits, the lowest first, the last with its high bit clear.
#![expect(clippy::cast_possible_truncation, reason = "numbers and lengths are cut into bytes on purpose")]

use super::{Value, Window};

/// Deadline of a key that has none. No client's deadline gets here: those are `i64` milliseconds.
pub(super) const NEVER: u64 = u64::MAX;

const KIND: u8 = 0xF;
const TIMED: u8 = 1 << 4;
const WIDTH_SHIFT: u32 = 5;

const NS_PER_MS: i64 = 1_000_000;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
    Row,
    Map,
    Large,
    Throttle,
    Window,
    Token,
}

impl Kind {
    fn of(head: u8) -> Self {
        match head & KIND {
            0 => Self::Int,
            1 => Self::Text,
            2 => Self::Row,
            3 => Self::Map,
            4 => Self::Large,
            5 => Self::Throttle,
            6 => Self::Window,
            7 => Self::Token,
            other => unreachable!("no record has kind {other}"),
        }
    }
}

/// A record, read as far as its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'r> {
    pub(super) kind: Kind,
    /// Bytes of each integer: 1, 2, 4 or 8.
    pub(super) width: usize,
    pub(super) key: &'r [u8],
    pub(super) deadline: u64,
    /// Where the deadline stands, if there is one.
    deadline_at: usize,
    /// The rest of the cell: the payload, and what the cell is longer.
    pub(super) payload: &'r [u8],
}

impl<'r> Record<'r> {
    /// Reads a record from the start of its cell.
    #[inline]
    pub(super) fn read(cell: &'r [u8]) -> Self {
        let head = cell[0];
        let (key_len, rest) = take_len(&cell[1..]);
        let (key, rest) = rest.split_at(key_len);
        let deadline_at = cell.len() - rest.len();
        let (deadline, payload) = if head & TIMED == 0 {
            (NEVER, rest)
        } else {
            let (deadline, rest) = rest.split_first_chunk::<8>().expect("a deadline has eight bytes");
            (u64::from_le_bytes(*deadline), rest)
        };
        Self { kind: Kind::of(head), width: width(head), key, deadline, deadline_at, payload }
    }

    /// The integer of a record that is one.
    #[inline]
    pub(super) fn number(&self) -> i64 {
        read_number(&self.payload[..self.width])
    }

    /// The point in time of a throttle.
    #[inline]
    pub(super) fn time(&self) -> i64 {
        let kept = self.number();
        if self.width == 8 { kept } else { self.deadline.cast_signed() * NS_PER_MS - kept }
    }

    /// The bytes of a record that is a string.
    #[inline]
    pub(super) fn text(&self) -> &'r [u8] {
        let (len, rest) = take_len(self.payload);
        &rest[..len]
    }

    /// The window of a record that is one.
    #[inline]
    pub(super) fn window(&self) -> Window<'r> {
        Window::read(self.payload).expect("a window is kept as it was written")
    }

    /// Bytes from the start of the cell to the payload.
    pub(super) fn payload_at(&self) -> usize {
        self.deadline_at + if self.deadline == NEVER { 0 } else { 8 }
    }
}

fn width(head: u8) -> usize {
    1 << (head >> WIDTH_SHIFT & 3)
}

/// The key of the record in a cell.
#[inline]
pub(super) fn key_of(cell: &[u8]) -> &[u8] {
    let (len, rest) = take_len(&cell[1..]);
    &rest[..len]
}

/// Fewest bytes, of 1, 2, 4 and 8, that hold a number.
#[inline]
pub(super) fn width_of(number: i64) -> usize {
    // Bits without the sign, and one for it.
    let bits = 65 - (number ^ (number >> 63)).leading_zeros();
    (bits.div_ceil(8) as usize).next_power_of_two()
}

/// Reads a number of 1, 2, 4 or 8 bytes.
#[inline]
pub(super) fn read_number(bytes: &[u8]) -> i64 {
    match *bytes {
        [a] => i64::from(i8::from_le_bytes([a])),
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => unreachable!("numbers have 1, 2, 4 or 8 bytes"),
    }
}

/// Writes a number that fits into its bytes.
#[inline]
pub(super) fn write_number(bytes: &mut [u8], number: i64) {
    let width = bytes.len();
    bytes.copy_from_slice(&number.to_le_bytes()[..width]);
}

/// Appends a length.
pub(super) fn put_len(out: &mut Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        out.push(len as u8 & 0x7F | 0x80);
        len >>= 7;
    }
    out.push(len as u8 & 0x7F);
}

/// Reads a length from the start of `bytes`; gives it and the rest.
#[inline]
pub(super) fn take_len(bytes: &[u8]) -> (usize, &[u8]) {
    if let [len @ 0..0x80, rest @ ..] = bytes {
        return (usize::from(*len), rest);
    }
    let (mut len, mut shift) = (0, 0);
    for (at, &byte) in bytes.iter().enumerate() {
        len |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte < 0x80 {
            return (len, &bytes[at + 1..]);
        }
    }
    unreachable!("a length ends before its record does")
}

/// Begins a record in `out`: all but the payload.
pub(super) fn begin(out: &mut Vec<u8>, kind: Kind, width: usize, key: &[u8], deadline: u64) {
    out.clear();
    let timed = if deadline == NEVER { 0 } else { TIMED };
    out.push(kind as u8 | timed | (width.trailing_zeros() as u8) << WIDTH_SHIFT);
    put_len(out, key.len());
    out.extend_from_slice(key);
    if deadline != NEVER {
        out.extend_from_slice(&deadline.to_le_bytes());
    }
}

/// Writes the record of anything but a hash into `out`.
pub(super) fn write(out: &mut Vec<u8>, key: &[u8], value: Value<'_>, deadline: u64) {
    match value {
        Value::Int(number) => {
            let width = width_of(number);
            begin(out, Kind::Int, width, key, deadline);
            out.extend_from_slice(&number.to_le_bytes()[..width]);
        }
        Value::Str(text) => {
            begin(out, Kind::Text, 1, key, deadline);
            put_len(out, text.len());
            out.extend_from_slice(text);
        }
        Value::Throttle(time) => {
            let early = early(time, deadline);
            begin(out, Kind::Throttle, if early.is_some() { 4 } else { 8 }, key, deadline);
            match early {
                Some(early) => out.extend_from_slice(&early.to_le_bytes()),
                None => out.extend_from_slice(&time.to_le_bytes()),
            }
        }
        Value::Window(window) => {
            begin(out, Kind::Window, 1, key, deadline);
            out.extend_from_slice(window.bytes());
        }
        Value::Hash(_) => unreachable!("a hash is not written as a whole"),
    }
}

/// Nanoseconds by which a throttle's point in time comes before its deadline, if that is the millisecond it ends with.
fn early(time: i64, deadline: u64) -> Option<i32> {
    let early = i64::try_from(deadline).ok()?.checked_mul(NS_PER_MS)?.checked_sub(time)?;
    (0..NS_PER_MS).contains(&early).then_some(early as i32)
}

/// Changes the deadline of a record that has one, in its cell. Not of a throttle, whose point in time may be told by it.
pub(super) fn set_deadline(cell: &mut [u8], deadline: u64) {
    let at = Record::read(cell).deadline_at;
    cell[at..at + 8].copy_from_slice(&deadline.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::collection;
    use proptest::prelude::{Just, any, prop_assert_eq, prop_oneof, proptest};

    use super::{NEVER, Record, put_len, read_number, set_deadline, take_len, width_of, write, write_number};
    use crate::table::Value;

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(
            key in collection::vec(any::<u8>(), 0..300),
            number in any::<i64>(),
            shift in 0..64_u32,
            text in collection::vec(any::<u8>(), 0..300),
            deadline in prop_oneof![Just(NEVER), 0..NEVER],
            spare in 0..32_usize,
        ) {
            for value in [Value::Int(number >> shift), Value::Str(&text)] {
                let mut cell = Vec::new();
                write(&mut cell, &key, value, deadline);
                cell.resize(cell.len() + spare, 0xEE);
                let record = Record::read(&cell);
                prop_assert_eq!((record.key, record.deadline), (&key[..], deadline));
                match value {
                    Value::Int(number) => prop_assert_eq!(record.number(), number),
                    _ => prop_assert_eq!(record.text(), &text[..]),
                }
                if deadline != NEVER {
                    set_deadline(&mut cell, 7);
                    prop_assert_eq!(Record::read(&cell).deadline, 7);
                }
            }
        }
    }

    #[test]
    fn a_throttle_that_expires_with_its_time_is_short() {
        const KEY: &[u8] = b"limit:user:123456";
        let len = |time: i64, deadline: u64| {
            let mut cell = Vec::new();
            write(&mut cell, KEY, Value::Throttle(time), deadline);
            let record = Record::read(&cell);
            assert_eq!((record.time(), record.deadline, record.key), (time, deadline, KEY));
            cell.len() - 2 - KEY.len()
        };
        assert_eq!(len(1_000_000_000, 1000), 12);
        assert_eq!(len(999_000_001, 1000), 12);
        assert_eq!(len(999_000_000, 1000), 16, "a whole millisecond before");
        assert_eq!(len(1_000_000_001, 1000), 16, "after its deadline");
        assert_eq!(len(5, NEVER), 8);
        assert_eq!(len(i64::MAX, NEVER - 1), 16);
        assert_eq!(len(i64::MIN, i64::MAX as u64), 16);
        assert_eq!(len(-1, 0), 12);
        assert_eq!(len(0, 0), 12);
        assert_eq!(len(9_223_372_036_854_000_000, 9_223_372_036_854), 12);
    }

    #[test]
    fn widths_are_the_least_that_hold() {
        for (number, width) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (-128, 1),
            (-129, 2),
            (32_767, 2),
            (32_768, 4),
            (-32_769, 4),
            (i64::from(i32::MAX), 4),
            (i64::from(i32::MAX) + 1, 8),
            (i64::from(i32::MIN), 4),
            (i64::MAX, 8),
            (i64::MIN, 8),
        ] {
            assert_eq!(width_of(number), width, "{number}");
            let mut bytes = vec![0; width];
            write_number(&mut bytes, number);
            assert_eq!(read_number(&bytes), number);
        }
    }

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        for (len, bytes) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (1 << 20, 3), (1 << 29, 5)]
        {
            let mut out = Vec::new();
            put_len(&mut out, len);
            assert_eq!(out.len(), bytes);
            out.push(9);
            assert_eq!(take_len(&out), (len, &[9][..]));
        }
    }
}
