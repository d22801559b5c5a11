//! Requests from a fuzzer's bytes: every byte chooses something that means something. Knows how commands are spelled and
//! not what they do.
//!
//! ```text
//! command  shape  argument …        a command by its number, how it is bent, and a byte for each argument
//! 0x7f     duration                 time passes
//! 0x7e     count (length bytes) …   a request spelled out
//! 0x7d     command  count  seed     a command of count² / 32 random keys
//! ```

use super::input::Random;

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A request of these arguments, at least one.
    Request(Vec<Vec<u8>>),
    /// Milliseconds pass.
    Pass(u64),
}

/// Kinds of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Key,
    Value,
    Delta,
    Time,
    Option,
}

use Kind::{Delta, Key, Option as Word, Time, Value};

// Not the list of `tests/wire/differential/stream.rs`, and not one with it: here are the commands that the model knows, ours
// among them, and the corpus names them by their places; there are those that Redis has, with arguments to which Redis and
// this server have to answer alike. What either leaves out is named, and a test checks that.

/// A command's name, its arguments, and those that may follow any number of times.
type Spelling = (&'static str, &'static [Kind], &'static [Kind]);

const COMMANDS: &[Spelling] = &[
    ("SET", &[Key, Value], &[Word]),
    ("GET", &[Key], &[]),
    ("INCR", &[Key], &[]),
    ("DECR", &[Key], &[]),
    ("INCRBY", &[Key, Delta], &[]),
    ("DECRBY", &[Key, Delta], &[]),
    ("MINCRBY", &[Key, Delta], &[Key, Delta]),
    ("MGET", &[Key], &[Key]),
    ("MSET", &[Key, Value], &[Key, Value]),
    ("MSETNX", &[Key, Value], &[Key, Value]),
    ("SETNX", &[Key, Value], &[]),
    ("SETEX", &[Key, Time, Value], &[]),
    ("PSETEX", &[Key, Time, Value], &[]),
    ("GETSET", &[Key, Value], &[]),
    ("GETDEL", &[Key], &[]),
    ("GETEX", &[Key], &[Word]),
    ("STRLEN", &[Key], &[]),
    ("APPEND", &[Key, Value], &[]),
    ("GETRANGE", &[Key, Delta, Delta], &[]),
    ("SUBSTR", &[Key, Delta, Delta], &[]),
    ("SETRANGE", &[Key, Delta, Value], &[]),
    ("GETTTL", &[Key], &[]),
    ("DEL", &[Key], &[Key]),
    ("UNLINK", &[Key], &[Key]),
    ("EXISTS", &[Key], &[Key]),
    ("TOUCH", &[Key], &[Key]),
    ("TYPE", &[Key], &[]),
    ("EXPIRE", &[Key, Time], &[Word]),
    ("PEXPIRE", &[Key, Time], &[Word]),
    ("EXPIREAT", &[Key, Time], &[Word]),
    ("PEXPIREAT", &[Key, Time], &[Word]),
    ("TTL", &[Key], &[]),
    ("PTTL", &[Key], &[]),
    ("EXPIRETIME", &[Key], &[]),
    ("PEXPIRETIME", &[Key], &[]),
    ("PERSIST", &[Key], &[]),
    ("DBSIZE", &[], &[]),
    ("FLUSHALL", &[], &[Word]),
    ("FLUSHDB", &[], &[Word]),
    ("PING", &[], &[Value]),
    ("ECHO", &[Value], &[]),
    ("SELECT", &[Delta], &[]),
    ("HELLO", &[Time], &[]),
    ("NOSUCH", &[], &[Value]),
];

/// Commands that a request of many keys is made with.
const LARGE: &[&str] = &["MGET", "EXISTS", "DEL", "TOUCH", "UNLINK", "MINCRBY", "MSET"];

/// Short and long, with and without room in a slot, and no text at all.
const KEYS: &[&[u8]] = &[
    b"a",
    b"b",
    b"n:1",
    b"n:2",
    b"",
    b"twenty-two-bytes-long-",
    b"twenty-three-bytes-long",
    b"a-counter-with-a-name-of-more-than-forty-bytes:1",
    b"\0\r\n\xff",
];

const VALUES: &[&[u8]] = &[
    b"1",
    b"0",
    b"-1",
    b"100",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"text",
    b"",
    b"01",
    b"+1",
    b" 1",
    b"1 ",
    b"-0",
    b"3.14",
    b"1e3",
    b"\r\n\0",
    &[b'v'; 64],
    &[b'w'; 1000],
];

const DELTAS: &[&[u8]] = &[
    b"1",
    b"-1",
    b"0",
    b"10",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"-9223372036854775807",
    b"4611686018427387904",
    b"9223372036854775808",
    b"2147483648",
    b"x",
    b"",
    b"01",
    b"1.5",
    b"-0",
];

/// Around now, around nothing, and around the limits of what milliseconds since the epoch can say.
const TIMES: &[&[u8]] = &[
    b"1",
    b"2",
    b"3",
    b"10",
    b"500",
    b"100000",
    b"0",
    b"-1",
    b"1800000000",
    b"1800000001",
    b"1800000010",
    b"1799999999",
    b"1800000000001",
    b"1800000000500",
    b"1800000010000",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775",
    b"9223372036854776",
    b"-9223372036854776",
    b"9223370236854775807",
    b"9223370236854775808",
    b"9223370236854775",
    b"9223370236854776",
    b"x",
    b"01",
];

const WORDS: &[&[u8]] = &[
    b"NX",
    b"XX",
    b"GET",
    b"KEEPTTL",
    b"EX",
    b"PX",
    b"EXAT",
    b"PXAT",
    b"GT",
    b"LT",
    b"nx",
    b"Xx",
    b"get",
    b"keepTTL",
    b"ex",
    b"px",
    b"gt",
    b"lt",
    b"PERSIST",
    b"ASYNC",
    b"sync",
    b"junk",
    b"1",
    b"10",
    b"1800000001",
    b"1800000000500",
    b"0",
    b"-1",
    b"x",
    b"9223370236854775807",
    b"9223372036854775",
    b"NX\0",
];

const DURATIONS: &[u64] = &[0, 1, 2, 499, 500, 501, 999, 1000, 1001, 10_000, 100_000_000];

const PASS: u8 = 0x7f;
const SPELLED: u8 = 0x7e;
const LARGE_REQUEST: u8 = 0x7d;

/// What these bytes stand for.
pub fn steps(data: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = Rest(data);
    while let Some(first) = rest.next() {
        steps.push(match first & 0x7f {
            PASS => Step::Pass(DURATIONS[rest.below(DURATIONS.len())]),
            SPELLED => Step::Request((0..1 + rest.below(16)).map(|_| rest.spelled()).collect()),
            LARGE_REQUEST => Step::Request(large(&mut rest)),
            command => Step::Request(request(COMMANDS[usize::from(command) % COMMANDS.len()], &mut rest)),
        });
    }
    steps
}

/// The bytes that stand for these requests, each spelled out. Only of requests that can be: not more than 16 arguments,
/// none of more than 255 bytes.
pub fn spelled_out(requests: &[Vec<Vec<u8>>]) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    for request in requests {
        data.extend([SPELLED, u8::try_from(request.len().checked_sub(1)?).ok().filter(|rest| *rest < 16)?]);
        for argument in request {
            data.push(u8::try_from(argument.len()).ok()?);
            data.extend_from_slice(argument);
        }
    }
    Some(data)
}

/// A request on the wire.
pub fn encoded<A: AsRef<[u8]>>(request: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", request.len()).into_bytes();
    for argument in request {
        let argument = argument.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Names of all commands that are spelled here.
pub fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(name, ..)| *name)
}

/// Bytes that are left; 0 when there are none.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// A length and as many bytes.
    fn spelled(&mut self) -> Vec<u8> {
        let len = usize::from(self.byte()).min(self.0.len());
        let (argument, rest) = self.0.split_at(len);
        self.0 = rest;
        argument.to_vec()
    }

    fn argument(&mut self, kind: Kind) -> Vec<u8> {
        let among = match kind {
            Key => KEYS,
            Value => VALUES,
            Delta => DELTAS,
            Time => TIMES,
            Word => WORDS,
        };
        match self.byte() {
            0xff => self.spelled(),
            byte => among[usize::from(byte) % among.len()].to_vec(),
        }
    }
}

/// A command's arguments: its own and up to seven repetitions of those that may follow, bent by the shape's upper bits.
fn request((name, own, more): Spelling, rest: &mut Rest<'_>) -> Vec<Vec<u8>> {
    let shape = rest.byte();
    let name = if shape & 0x80 == 0 { name.to_owned() } else { name.to_ascii_lowercase() };
    let mut request = vec![name.into_bytes()];
    let repeated = (0..shape & 7).flat_map(|_| more);
    for kind in own.iter().chain(repeated) {
        // Rarely, arguments of any kind in the place of those that belong there.
        let kind = if shape & 0x60 == 0x60 { [Key, Value, Delta, Time, Word][rest.below(5)] } else { *kind };
        request.push(rest.argument(kind));
    }
    match shape & 0x18 {
        0x18 if request.len() > 1 => request.truncate(request.len() - 1),
        0x10 => request.push(rest.argument(Word)),
        _ => {}
    }
    request
}

fn large(rest: &mut Rest<'_>) -> Vec<Vec<u8>> {
    let name = LARGE[rest.below(LARGE.len())];
    let count = 1 + usize::from(rest.byte()).pow(2) / 32;
    let mut random = Random::new(u64::from(rest.byte()));
    let second: &[&[u8]] = match name {
        "MINCRBY" => DELTAS,
        "MSET" => VALUES,
        _ => &[],
    };
    let mut request = vec![name.as_bytes().to_vec()];
    for _ in 0..count {
        request.push(format!("key:{}", random.below(100)).into_bytes());
        if !second.is_empty() {
            request.push(random.pick(second).to_vec());
        }
    }
    request
}
