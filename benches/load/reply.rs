//! Checks replies as they come: framing, type, and number of elements.
//!
//! Knows which reply each kind of request must have. Does not know connections; a reply may arrive in pieces of
//! any size, and an array is checked element by element so that a large one is read only once.

use super::mix::Kind;
use super::population::{FIELDS, Population};

/// What is at the front of the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Not enough to tell.
    Incomplete,
    /// This many bytes of a reply that goes on.
    Part(usize),
    /// This many bytes, and the reply is complete.
    Done(usize),
}

/// Where the reply being received stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checker {
    /// Elements of an array that are still to come; 0 = a new reply starts.
    left: u32,
}

impl Checker {
    /// Looks at the front of `bytes`, the reply to a request of this kind.
    ///
    /// # Errors
    /// The reason why no correct server sends this.
    #[inline]
    pub(crate) fn step(&mut self, kind: Kind, bytes: &[u8]) -> Result<Step, String> {
        match kind {
            Kind::Incr => integer(bytes),
            Kind::Get => bulk(bytes),
            Kind::Set | Kind::Mset(_) => literal(b"+OK\r\n", bytes),
            Kind::Ping => literal(b"+PONG\r\n", bytes),
            Kind::Mget(keys) => self.array(keys, bytes, bulk),
            Kind::Mincrby(keys) => self.array(keys, bytes, integer),
            Kind::Create(population, _) => match population {
                Population::Articles | Population::Days | Population::Words => literal(b"+OK\r\n", bytes),
                Population::Timed | Population::Sessions => literal(b"+OK\r\n", bytes),
                // Not one of them was there before.
                Population::Rows => {
                    const { assert!(FIELDS == 8) };
                    literal(b":8\r\n", bytes)
                }
                // Limited or not, limit, remaining, seconds to wait and until all is there again.
                Population::Throttles => self.array(5, bytes, integer),
            },
        }
    }

    fn array(&mut self, keys: u32, bytes: &[u8], element: Element) -> Result<Step, String> {
        if self.left == 0 {
            let Some((count, used)) = line(b'*', bytes)? else { return Ok(Step::Incomplete) };
            if count != i64::from(keys) {
                return Err(format!("an array of {count} elements instead of {keys}"));
            }
            self.left = keys;
            return Ok(Step::Part(used));
        }
        let Step::Done(used) = element(bytes)? else { return Ok(Step::Incomplete) };
        self.left -= 1;
        Ok(if self.left == 0 { Step::Done(used) } else { Step::Part(used) })
    }
}

type Element = fn(&[u8]) -> Result<Step, String>;

/// `:n`
#[inline]
fn integer(bytes: &[u8]) -> Result<Step, String> {
    Ok(line(b':', bytes)?.map_or(Step::Incomplete, |(_, used)| Step::Done(used)))
}

/// `$len bytes` holding an integer, or the null bulk string: every value here is a counter's.
#[inline]
fn bulk(bytes: &[u8]) -> Result<Step, String> {
    let Some((len, used)) = line(b'$', bytes)? else { return Ok(Step::Incomplete) };
    if len == -1 {
        return Ok(Step::Done(used));
    }
    let len = usize::try_from(len).ok().filter(|len| (1..=20).contains(len));
    let len = len.ok_or_else(|| format!("a value that is no counter's: {}", shown(bytes)))?;
    let Some(body) = bytes.get(used..used + len + 2) else { return Ok(Step::Incomplete) };
    let digits = body[..len].strip_prefix(b"-").unwrap_or(&body[..len]);
    if !digits.iter().all(u8::is_ascii_digit) || !body.ends_with(b"\r\n") {
        return Err(format!("a value that is no counter's: {}", shown(bytes)));
    }
    Ok(Step::Done(used + len + 2))
}

fn literal(expected: &[u8], bytes: &[u8]) -> Result<Step, String> {
    if bytes.starts_with(expected) {
        Ok(Step::Done(expected.len()))
    } else if expected.starts_with(bytes) {
        Ok(Step::Incomplete)
    } else {
        Err(format!("{} instead of {}", shown(bytes), shown(expected)))
    }
}

/// A line of type, number and line end: the number, and the bytes it took.
#[inline]
fn line(kind: u8, bytes: &[u8]) -> Result<Option<(i64, usize)>, String> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    if first != kind {
        return Err(format!("{} where '{}' was due", shown(bytes), char::from(kind)));
    }
    let (negative, digits) = match rest {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, rest),
    };
    let mut number = 0_i64;
    for (index, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            let next = number.checked_mul(10).and_then(|number| number.checked_add(i64::from(digit)));
            number = next.ok_or_else(|| format!("a number too large: {}", shown(bytes)))?;
            continue;
        }
        return match digits[index..] {
            [b'\r', b'\n', ..] if index > 0 => {
                let used = 1 + usize::from(negative) + index + 2;
                Ok(Some((if negative { -number } else { number }, used)))
            }
            [b'\r'] if index > 0 => Ok(None),
            _ => Err(format!("a malformed number: {}", shown(bytes))),
        };
    }
    Ok(None)
}

/// The first bytes, fit for a message.
fn shown(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes[..bytes.len().min(80)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::{Checker, Kind, Population, Step};

    fn feed(kind: Kind, stream: &[u8]) -> Result<(usize, usize), String> {
        let (mut checker, mut at, mut replies) = (Checker::default(), 0, 0);
        loop {
            match checker.step(kind, &stream[at..])? {
                Step::Incomplete => return Ok((replies, at)),
                Step::Part(used) => at += used,
                Step::Done(used) => {
                    at += used;
                    replies += 1;
                }
            }
        }
    }

    #[test]
    fn good_replies_are_counted() {
        for (kind, stream, replies) in [
            (Kind::Incr, b":1\r\n:-20\r\n:9223372036854775807\r\n" as &[u8], 3),
            (Kind::Get, b"$2\r\n10\r\n$-1\r\n$2\r\n-1\r\n", 3),
            (Kind::Set, b"+OK\r\n+OK\r\n", 2),
            (Kind::Mset(3), b"+OK\r\n", 1),
            (Kind::Ping, b"+PONG\r\n", 1),
            (Kind::Mget(2), b"*2\r\n$1\r\n5\r\n$-1\r\n*2\r\n$-1\r\n$-1\r\n", 2),
            (Kind::Mincrby(3), b"*3\r\n:1\r\n:2\r\n:3\r\n", 1),
            (Kind::Create(Population::Words, 7), b"+OK\r\n", 1),
            (Kind::Create(Population::Rows, 1), b":8\r\n:8\r\n", 2),
            (Kind::Create(Population::Throttles, 1), b"*5\r\n:0\r\n:16\r\n:15\r\n:-1\r\n:2880\r\n", 1),
        ] {
            assert_eq!(feed(kind, stream), Ok((replies, stream.len())), "{kind}");
        }
    }

    #[test]
    fn every_prefix_of_a_good_reply_is_incomplete() {
        for (kind, reply) in [
            (Kind::Incr, b":-123\r\n" as &[u8]),
            (Kind::Get, b"$3\r\n123\r\n"),
            (Kind::Get, b"$-1\r\n"),
            (Kind::Set, b"+OK\r\n"),
            (Kind::Mget(2), b"*2\r\n$1\r\n5\r\n$-1\r\n"),
        ] {
            for cut in 0..reply.len() {
                let (replies, used) = feed(kind, &reply[..cut]).unwrap();
                assert!(replies == 0 && used <= cut, "{kind} cut at {cut}");
            }
        }
    }

    #[test]
    fn wrong_replies_are_refused() {
        for (kind, stream) in [
            (Kind::Incr, b"-ERR no\r\n" as &[u8]),
            (Kind::Incr, b":\r\n"),
            (Kind::Incr, b":1x\r\n"),
            (Kind::Incr, b":1\n"),
            (Kind::Incr, b":99999999999999999999\r\n"),
            (Kind::Get, b"$3\r\nabc\r\n"),
            (Kind::Get, b"$3\r\n1234\r\n"),
            (Kind::Get, b"$0\r\n\r\n"),
            (Kind::Set, b"+QUEUED\r\n"),
            (Kind::Ping, b":1\r\n"),
            (Kind::Mget(2), b"*3\r\n"),
            (Kind::Mget(1), b"*1\r\n:1\r\n"),
            (Kind::Mincrby(1), b"*1\r\n-ERR overflow\r\n"),
            (Kind::Create(Population::Rows, 1), b":7\r\n"),
        ] {
            assert!(feed(kind, stream).is_err(), "{kind} {}", stream.escape_ascii());
        }
    }
}
