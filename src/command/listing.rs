//! Replies of so many elements that nobody knows beforehand, and what `SCAN` and `HSCAN` are asked for. Knows no key.

use bytes::Bytes;

use crate::resp::args::ArgsIter;
use crate::resp::encode::{Encoder, Protocol};
use crate::resp::integer;
use crate::table::Scalar;

use super::glob::{self, Case};
use super::texts::{NOT_INTEGER, SYNTAX};

/// A cursor that is no number.
pub(super) const INVALID_CURSOR: &str = "ERR invalid cursor";

/// Elements that one request goes over, whatever `COUNT` says: some milliseconds.
pub(super) const SCANNED: usize = 16 * 1024;

/// Texts that are kept one behind the other.
#[derive(Debug, Default)]
pub(super) struct Words {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Words {
    /// Adds one.
    pub(super) fn push(&mut self, word: &[u8]) {
        self.bytes.extend_from_slice(word);
        self.ends.push(self.bytes.len());
    }

    /// Those that were added, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(&start, &end)| &self.bytes[start..end])
    }

    /// Forgets them all.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Bytes of one listing where the operator has set no bound: a count that a client makes up must not take all memory.
const LARGEST: usize = 1 << 30;

/// Elements on their way into one array.
#[derive(Debug)]
pub(super) struct Listing {
    bytes: Vec<u8>,
    count: usize,
    /// Bytes that it may have.
    most: usize,
    protocol: Protocol,
}

impl Listing {
    /// No elements yet. `most` is `client-output-buffer-limit`, 0 = none.
    pub(super) fn new(most: usize, protocol: Protocol) -> Self {
        Self { bytes: Vec::new(), count: 0, most: if most == 0 { LARGEST } else { most }, protocol }
    }

    /// Adds a bulk string.
    pub(super) fn bulk(&mut self, bytes: &[u8]) {
        self.count += 1;
        self.put(bytes);
    }

    /// Adds a field and its value: a pair of their own in RESP3, two elements in RESP2.
    pub(super) fn field(&mut self, name: &[u8], value: Scalar<'_>) {
        match self.protocol {
            Protocol::Resp2 => self.count += 2,
            Protocol::Resp3 => {
                self.count += 1;
                self.bytes.extend_from_slice(b"*2\r\n");
            }
        }
        self.put(name);
        match value {
            Scalar::Int(number) => self.put(itoa::Buffer::new().format(number).as_bytes()),
            Scalar::Str(bytes) => self.put(bytes),
        }
    }

    /// Whether it has become too large: it will be refused, so that no more need be added.
    pub(super) fn is_over(&self) -> bool {
        self.bytes.len() > self.most
    }

    /// Replies with the array, or with an error if it is too large.
    pub(super) fn finish(self, reply: &mut Encoder<'_>) {
        if self.is_over() {
            return reply.error("ERR the reply exceeds client-output-buffer-limit");
        }
        reply.array(self.count);
        reply.encoded(Bytes::from(self.bytes));
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.push(b'$');
        self.bytes.extend_from_slice(itoa::Buffer::new().format(bytes.len()).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// Replies to a scan: the cursor to go on with, and what was found.
pub(super) fn tell_scanned(cursor: u64, found: Listing, reply: &mut Encoder<'_>) {
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(cursor).as_bytes());
    found.finish(reply);
}

/// The options of a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'a> {
    /// What names have to look like, `None` = anything.
    pattern: Option<&'a [u8]>,
    /// Elements to go over, about.
    pub(super) count: usize,
    /// The kind of values, `None` = any.
    pub(super) kind: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// Names that fit a pattern, so many at a time.
    pub(super) fn pattern(pattern: &'a [u8], count: usize) -> Self {
        Self { pattern: (pattern != b"*").then_some(pattern), count, kind: None }
    }

    /// Reads them; `TYPE` is one only for keys.
    pub(super) fn read(mut rest: ArgsIter<'a>, keys: bool) -> Result<Self, &'static str> {
        let mut read = Self { pattern: None, count: 10, kind: None };
        while let Some(option) = rest.next() {
            let value = rest.next().ok_or(SYNTAX)?;
            if option.eq_ignore_ascii_case(b"count") {
                let count = integer::parse(value).ok_or(NOT_INTEGER)?;
                read.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(SYNTAX)?;
            } else if option.eq_ignore_ascii_case(b"match") {
                read.pattern = (value != b"*").then_some(value);
            } else if option.eq_ignore_ascii_case(b"type") && keys {
                read.kind = Some(value);
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(read)
    }

    /// Whether a name looks as was asked for.
    pub(super) fn fits(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name, Case::Sensitive))
    }
}

/// Reads a cursor as Redis' `strtoul` does: nothing is 0, a sign may stand before it, a NUL ends it.
pub(super) fn read_cursor(text: &[u8]) -> Option<u64> {
    let text = super::texts::quotable(text);
    if text.is_empty() {
        return Some(0);
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).expect("digits are text").parse().ok()?;
    Some(if negative { number.wrapping_neg() } else { number })
}

#[cfg(test)]
mod tests {
    use super::read_cursor;

    #[test]
    fn cursors_are_read_as_redis_reads_them() {
        for (text, cursor) in [
            ("0", Some(0)),
            ("", Some(0)),
            ("01", Some(1)),
            ("+7", Some(7)),
            ("-1", Some(u64::MAX)),
            ("5\0x", Some(5)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            (" 1", None),
            ("1 ", None),
            ("x", None),
            ("-", None),
            ("+-1", None),
        ] {
            assert_eq!(read_cursor(text.as_bytes()), cursor, "{text:?}");
        }
    }
}
