//! One effect as bytes, and back: what the frames of the journal are filled with. Decoding takes any bytes without
//! panicking or allocating, and knows nothing of frames and files.
//!
//! ```text
//! first byte   [ sort of the value, or who removed, 3 bits | has a deadline, or a key 1 bit | kind 4 bits ]
//! then         the fields of the effect in the order in which `Effect` has them, the deadline last
//! bytes        their number, the bytes          number   seven bits a byte, the lowest first (LEB128)
//! integer      zigzag, as a number              fingerprint  eight bytes, little-endian
//! ```

use crate::limits::VALUE_BYTES;
use crate::table::effect::{Effect, Removal};
use crate::table::{Value, Window, WindowShape};

// Kinds. 0 is none of them, so that zeros are no record.
const SET: u8 = 1;
const DEADLINE: u8 = 2;
const REMOVE: u8 = 3;
const FIELD: u8 = 4;
const REMOVE_FIELD: u8 = 5;
const SPLICE: u8 = 6;
const BUCKET: u8 = 7;
const TOKEN: u8 = 8;
const FLUSH: u8 = 9;

/// Bits of the first byte that are the kind.
const KIND: u8 = 0x0f;
/// A deadline follows, or for a token its key.
const PRESENT: u8 = 0x10;
/// Where the sort of a value stands in the first byte; there is room for eight.
const SORT_SHIFT: u32 = 5;

// Sorts of values.
const INT: u8 = 0;
const STR: u8 = 1;
const THROTTLE: u8 = 2;
const WINDOW: u8 = 3;

/// Bytes of the longest number: 64 bits, seven in each.
const NUMBER_BYTES: usize = 10;

/// The bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a record of the journal")
    }
}

impl std::error::Error for Malformed {}

/// Bytes that [`encode`] appends.
#[must_use]
pub fn encoded_len(effect: &Effect<'_>) -> usize {
    1 + match *effect {
        Effect::Set { key, value, deadline } => bytes_len(key) + value_len(value) + deadline_len(deadline),
        Effect::Deadline { key, deadline } => bytes_len(key) + deadline_len(deadline),
        Effect::Remove { key, cause: _ } => bytes_len(key),
        Effect::Field { key, field, value, deadline } => {
            bytes_len(key) + bytes_len(field) + value_len(value.into()) + deadline_len(deadline)
        }
        Effect::RemoveField { key, field } => bytes_len(key) + bytes_len(field),
        Effect::Splice { key, offset, bytes } => {
            bytes_len(key) + number_len(offset as u64) + bytes_len(bytes)
        }
        Effect::Bucket { key, shape, index, sum, deadline } => {
            bytes_len(key)
                + number_len(shape.length_ms)
                + number_len(shape.buckets.into())
                + number_len(index)
                + number_len(zigzag(sum))
                + deadline_len(deadline)
        }
        Effect::Token { key, token, fingerprint: _, value, deadline } => {
            key.map_or(0, bytes_len)
                + bytes_len(token)
                + size_of::<u64>()
                + number_len(zigzag(value))
                + number_len(deadline)
        }
        Effect::Flush => 0,
    }
}

/// Appends the record of an effect.
///
/// # Panics
/// If its value is a hash: that one travels as its fields.
pub fn encode(effect: &Effect<'_>, out: &mut Vec<u8>) {
    match *effect {
        Effect::Set { key, value, deadline } => {
            out.push(SET | present(deadline.is_some()) | sort(value));
            put_bytes(out, key);
            put_value(out, value);
            put_deadline(out, deadline);
        }
        Effect::Deadline { key, deadline } => {
            out.push(DEADLINE | present(deadline.is_some()));
            put_bytes(out, key);
            put_deadline(out, deadline);
        }
        Effect::Remove { key, cause } => {
            out.push(REMOVE | code_of(cause) << SORT_SHIFT);
            put_bytes(out, key);
        }
        Effect::Field { key, field, value, deadline } => {
            out.push(FIELD | present(deadline.is_some()) | sort(value.into()));
            put_bytes(out, key);
            put_bytes(out, field);
            put_value(out, value.into());
            put_deadline(out, deadline);
        }
        Effect::RemoveField { key, field } => {
            out.push(REMOVE_FIELD);
            put_bytes(out, key);
            put_bytes(out, field);
        }
        Effect::Splice { key, offset, bytes } => {
            out.push(SPLICE);
            put_bytes(out, key);
            put_number(out, offset as u64);
            put_bytes(out, bytes);
        }
        Effect::Bucket { key, shape, index, sum, deadline } => {
            out.push(BUCKET | present(deadline.is_some()));
            put_bytes(out, key);
            put_number(out, shape.length_ms);
            put_number(out, shape.buckets.into());
            put_number(out, index);
            put_number(out, zigzag(sum));
            put_deadline(out, deadline);
        }
        Effect::Token { key, token, fingerprint, value, deadline } => {
            out.push(TOKEN | present(key.is_some()));
            if let Some(key) = key {
                put_bytes(out, key);
            }
            put_bytes(out, token);
            out.extend_from_slice(&fingerprint.to_le_bytes());
            put_number(out, zigzag(value));
            put_number(out, deadline);
        }
        Effect::Flush => out.push(FLUSH),
    }
}

/// The effect that `bytes` begin with, and what follows it.
///
/// # Errors
/// The bytes begin with no record, or with a part of one, or with one of a string that is longer than any may be.
pub fn decode(bytes: &[u8]) -> Result<(Effect<'_>, &[u8]), Malformed> {
    let mut rest = Rest(bytes);
    let first = rest.byte()?;
    let (present, sort) = (first & PRESENT != 0, first >> SORT_SHIFT);
    let effect = match first & KIND {
        SET => {
            let (key, value) = (rest.bytes()?, rest.value(sort)?);
            Effect::Set { key, value, deadline: rest.deadline(present)? }
        }
        DEADLINE => Effect::Deadline { key: rest.bytes()?, deadline: rest.deadline(present)? },
        REMOVE => Effect::Remove { key: rest.bytes()?, cause: removal(sort)? },
        FIELD => {
            let (key, field) = (rest.bytes()?, rest.bytes()?);
            let value = rest.value(sort)?.scalar().ok_or(Malformed)?;
            Effect::Field { key, field, value, deadline: rest.deadline(present)? }
        }
        REMOVE_FIELD => Effect::RemoveField { key: rest.bytes()?, field: rest.bytes()? },
        SPLICE => {
            let (key, offset, bytes) = (rest.bytes()?, rest.number()?, rest.bytes()?);
            let offset = usize::try_from(offset).map_err(|_| Malformed)?;
            // Whoever applies it makes the string as long as it says.
            let end = offset.checked_add(bytes.len()).ok_or(Malformed)?;
            if end > VALUE_BYTES {
                return Err(Malformed);
            }
            Effect::Splice { key, offset, bytes }
        }
        BUCKET => {
            let (key, shape) = (rest.bytes()?, rest.shape()?);
            let (index, sum) = (rest.number()?, rest.integer()?);
            Effect::Bucket { key, shape, index, sum, deadline: rest.deadline(present)? }
        }
        TOKEN => {
            let key = if present { Some(rest.bytes()?) } else { None };
            let (token, fingerprint) = (rest.bytes()?, rest.word()?);
            Effect::Token { key, token, fingerprint, value: rest.integer()?, deadline: rest.number()? }
        }
        FLUSH => Effect::Flush,
        _ => return Err(Malformed),
    };
    Ok((effect, rest.0))
}

fn present(present: bool) -> u8 {
    if present { PRESENT } else { 0 }
}

fn sort(value: Value<'_>) -> u8 {
    let sort = match value {
        Value::Int(_) => INT,
        Value::Str(_) => STR,
        Value::Throttle(_) => THROTTLE,
        Value::Window(_) => WINDOW,
        Value::Hash(_) => panic!("a hash travels as its fields"),
    };
    sort << SORT_SHIFT
}

fn value_len(value: Value<'_>) -> usize {
    match value {
        Value::Int(number) | Value::Throttle(number) => number_len(zigzag(number)),
        Value::Str(text) => bytes_len(text),
        Value::Window(window) => bytes_len(window.bytes()),
        Value::Hash(_) => panic!("a hash travels as its fields"),
    }
}

#[inline]
fn put_value(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Int(number) | Value::Throttle(number) => put_number(out, zigzag(number)),
        Value::Str(text) => put_bytes(out, text),
        Value::Window(window) => put_bytes(out, window.bytes()),
        Value::Hash(_) => panic!("a hash travels as its fields"),
    }
}

fn code_of(cause: Removal) -> u8 {
    match cause {
        Removal::Command => 0,
        Removal::Expired => 1,
        Removal::Evicted => 2,
    }
}

fn removal(code: u8) -> Result<Removal, Malformed> {
    match code {
        0 => Ok(Removal::Command),
        1 => Ok(Removal::Expired),
        2 => Ok(Removal::Evicted),
        _ => Err(Malformed),
    }
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn number_len(number: u64) -> usize {
    // Seven bits a byte, and one byte for 0.
    (70 - (number | 1).leading_zeros() as usize) / 7
}

fn bytes_len(bytes: &[u8]) -> usize {
    number_len(bytes.len() as u64) + bytes.len()
}

fn deadline_len(deadline: Option<u64>) -> usize {
    deadline.map_or(0, number_len)
}

#[inline]
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut bytes = [0; NUMBER_BYTES];
    let mut len = 0;
    loop {
        let low = number.to_le_bytes()[0] & 0x7f;
        number >>= 7;
        bytes[len] = if number == 0 { low } else { low | 0x80 };
        len += 1;
        if number == 0 {
            return out.extend_from_slice(&bytes[..len]);
        }
    }
}

#[inline]
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[inline]
fn put_deadline(out: &mut Vec<u8>, deadline: Option<u64>) {
    if let Some(deadline) = deadline {
        put_number(out, deadline);
    }
}

/// What is not yet decoded.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for at in 0..NUMBER_BYTES {
            let byte = self.byte()?;
            if at == NUMBER_BYTES - 1 && byte > 1 {
                return Err(Malformed);
            }
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn integer(&mut self) -> Result<i64, Malformed> {
        self.number().map(unzigzag)
    }

    fn word(&mut self) -> Result<u64, Malformed> {
        let bytes = self.take(size_of::<u64>())?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("as many were taken")))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        self.take(len)
    }

    fn value(&mut self, sort: u8) -> Result<Value<'a>, Malformed> {
        match sort {
            INT => self.integer().map(Value::Int),
            STR => self.bytes().map(Value::Str),
            THROTTLE => self.integer().map(Value::Throttle),
            WINDOW => self.window().map(Value::Window),
            _ => Err(Malformed),
        }
    }

    fn shape(&mut self) -> Result<WindowShape, Malformed> {
        let (length_ms, buckets) = (self.number()?, self.number()?);
        let buckets = u16::try_from(buckets).map_err(|_| Malformed)?;
        let possible = length_ms > 0 && (1..=WindowShape::MOST_BUCKETS).contains(&buckets);
        if possible { Ok(WindowShape { length_ms, buckets }) } else { Err(Malformed) }
    }

    fn window(&mut self) -> Result<Window<'a>, Malformed> {
        let bytes = self.bytes()?;
        Window::read(bytes).filter(|window| window.bytes().len() == bytes.len()).ok_or(Malformed)
    }

    fn deadline(&mut self, present: bool) -> Result<Option<u64>, Malformed> {
        if present { self.number().map(Some) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests;
