//! Random streams of requests: every shared command, with arguments from the edges of what they may be. Knows how
//! commands are spelled and not what they do.

use std::fmt;

/// Clients of a stream: two that do anything, and one that lets deadlines pass and so is never in a transaction.
pub(crate) const CLIENTS: usize = 3;
/// See [`CLIENTS`].
const BUSY: usize = 2;

/// Words of a request.
pub(crate) type Request = Vec<Vec<u8>>;

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// One of the clients sends these at once.
    Ask(usize, Vec<Request>),
    /// Milliseconds pass.
    Sleep(u64),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sleep(ms) => write!(f, "sleep {ms} ms"),
            Self::Ask(client, pipeline) => {
                let requests: Vec<String> = pipeline.iter().map(|words| shown(words)).collect();
                write!(f, "{client}> {}", requests.join(" ; "))
            }
        }
    }
}

/// A request as a message shows it.
pub(crate) fn shown(words: &[Vec<u8>]) -> String {
    let words = words.iter().map(|word| {
        let text = word.escape_ascii().to_string();
        if text.is_empty() || text.contains(' ') { format!("\"{text}\"") } else { text }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Commands that streams do not have: they tell of the server itself or of the moment, or are not Redis'.
pub(crate) const NOT_COMPARED: &[&str] = &[
    "auth",
    "bgrewriteaof",
    "bgsave",
    "cl.peek",
    "cl.throttle",
    "acl",
    "client",
    "command",
    "config",
    "debug",
    "function",
    "getttl",
    "hello",
    "hgetdel",
    "hgetset",
    "hincrex",
    "hmincrby",
    "increx",
    "incronce",
    "info",
    "lastsave",
    "latency",
    "memory",
    "mincrby",
    "mincronce",
    "monitor",
    "object",
    "randomkey",
    "quit",
    "save",
    "shutdown",
    "slowlog",
    "time",
    "waitaof",
    "wget",
    "wincrby",
];

/// Kinds of arguments.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Key,
    /// A field of a hash.
    Field,
    Value,
    Int,
    Float,
    /// A time from now on, in seconds or milliseconds: long, or past.
    Time,
    /// An offset into a value, never so large that it fits into memory only just.
    Offset,
    /// One of these words, with what follows it.
    Words(&'static [&'static str]),
    /// One of these rows of words.
    Options(&'static [&'static [&'static str]]),
    /// The options of `SET` or of `GETEX`.
    Expiration,
}

use Kind::{Expiration, Field, Float, Int, Key, Offset, Options, Time, Value, Words};

// Not the list of `fuzz/src/vocabulary.rs`: see there.

/// A command's name, its arguments, and those that may follow up to three times.
type Spelling = (&'static str, &'static [Kind], &'static [Kind]);

const CONDITIONS: Kind = Words(&["NX", "XX", "GT", "LT", "nx", "bogus"]);
const MODES: Kind = Words(&["SYNC", "async", "bogus"]);

/// What makes a scan look at everything at once, or not at all: it ends where Redis' does.
const HASH_SCAN: Kind =
    Options(&[&["COUNT", "1000"], &["MATCH", "*"], &["MATCH", "[f-n]*"], &["COUNT", "0"], &["bogus"]]);

const SCAN: Kind = Options(&[
    &["COUNT", "1000"],
    &["TYPE", "hash"],
    &["TYPE", "STRING"],
    &["MATCH", "n*"],
    &["COUNT", "x"],
    &["TYPE"],
]);

const COMMANDS: &[Spelling] = &[
    ("GET", &[Key], &[]),
    ("SET", &[Key, Value], &[]),
    ("SET", &[Key, Value, Words(&["NX", "XX", "GET", "KEEPTTL", "xx", "EX", "bogus"])], &[]),
    ("SET", &[Key, Value, Expiration], &[Words(&["NX", "XX", "GET", "KEEPTTL"])]),
    ("SETNX", &[Key, Value], &[]),
    ("SETEX", &[Key, Time, Value], &[]),
    ("PSETEX", &[Key, Time, Value], &[]),
    ("GETSET", &[Key, Value], &[]),
    ("GETDEL", &[Key], &[]),
    ("GETEX", &[Key], &[]),
    ("GETEX", &[Key, Expiration], &[]),
    ("GETEX", &[Key, Words(&["PERSIST", "persist", "KEEPTTL", "EX"])], &[]),
    ("MGET", &[Key], &[Key]),
    ("MSET", &[Key, Value], &[Key, Value]),
    ("MSETNX", &[Key, Value], &[Key, Value]),
    ("STRLEN", &[Key], &[]),
    ("APPEND", &[Key, Value], &[]),
    ("GETRANGE", &[Key, Int, Int], &[]),
    ("GETRANGE", &[Key, Offset, Offset], &[]),
    ("SUBSTR", &[Key, Offset, Offset], &[]),
    ("SETRANGE", &[Key, Offset, Value], &[]),
    ("INCR", &[Key], &[]),
    ("DECR", &[Key], &[]),
    ("INCRBY", &[Key, Int], &[]),
    ("DECRBY", &[Key, Int], &[]),
    ("INCRBYFLOAT", &[Key, Float], &[]),
    ("INCRBYFLOAT", &[Key, Float], &[]),
    ("SET", &[Key, Float], &[]),
    ("HSET", &[Key, Field, Value], &[Field, Value]),
    ("HSET", &[Key, Field, Int], &[Field, Int]),
    ("HMSET", &[Key, Field, Value], &[Field, Value]),
    ("HSETNX", &[Key, Field, Value], &[]),
    ("HGET", &[Key, Field], &[]),
    ("HMGET", &[Key, Field], &[Field]),
    ("HGETALL", &[Key], &[]),
    ("HDEL", &[Key, Field], &[Field]),
    ("HEXISTS", &[Key, Field], &[]),
    ("HLEN", &[Key], &[]),
    ("HKEYS", &[Key], &[]),
    ("HVALS", &[Key], &[]),
    ("HSTRLEN", &[Key, Field], &[]),
    ("HINCRBY", &[Key, Field, Int], &[]),
    ("HINCRBYFLOAT", &[Key, Field, Float], &[]),
    // All fields or none: which of some it would be is left to chance.
    (
        "HRANDFIELD",
        &[Key, Words(&["0", "100", "9223372036854775808", "x"])],
        &[Words(&["WITHVALUES", "bogus"])],
    ),
    ("HSCAN", &[Key, Words(&["0", "00", "", "x", " 0"])], &[HASH_SCAN]),
    ("DEL", &[Key], &[Key]),
    ("UNLINK", &[Key], &[Key]),
    ("EXISTS", &[Key], &[Key]),
    ("TOUCH", &[Key], &[Key]),
    ("TYPE", &[Key], &[]),
    ("EXPIRE", &[Key, Time], &[CONDITIONS]),
    ("PEXPIRE", &[Key, Time], &[CONDITIONS]),
    ("EXPIREAT", &[Key, Int], &[CONDITIONS]),
    ("PEXPIREAT", &[Key, Int], &[CONDITIONS]),
    ("TTL", &[Key], &[]),
    ("PTTL", &[Key], &[]),
    ("EXPIRETIME", &[Key], &[]),
    ("PEXPIRETIME", &[Key], &[]),
    ("PERSIST", &[Key], &[]),
    ("RENAME", &[Key, Key], &[]),
    ("RENAMENX", &[Key, Key], &[]),
    ("COPY", &[Key, Key], &[Options(&[&["REPLACE"], &["DB", "0"], &["DB", "x"], &["DB"], &["bogus"]])]),
    ("SCAN", &[Words(&["0", "+0", "x", "18446744073709551616"])], &[SCAN]),
    ("KEYS", &[Words(&["*", "n:*", "?", "[ab]*", "x"])], &[]),
    ("DBSIZE", &[], &[]),
    ("FLUSHALL", &[], &[MODES]),
    ("FLUSHDB", &[], &[MODES]),
    ("MULTI", &[], &[]),
    ("EXEC", &[], &[]),
    ("DISCARD", &[], &[]),
    ("WATCH", &[Key], &[Key]),
    ("UNWATCH", &[], &[]),
    ("PING", &[], &[Value]),
    ("ECHO", &[Value], &[]),
    ("SELECT", &[Words(&["0", "1", "16", "-1", "99999999999", "x"])], &[]),
    ("RESET", &[], &[]),
    ("ROLE", &[], &[]),
    ("WAIT", &[Words(&["0", "-1", "x"]), Words(&["0", "1", "-1", "x"])], &[]),
    ("NOSUCH", &[], &[Value]),
];

const KEYS: &[&[u8]] =
    &[b"a", b"b", b"c", b"n:1", b"n:2", b"", b"a-key-of-more-than-twenty-two-bytes", b"\0\r\n\xff"];

const FIELDS: &[&[u8]] = &[b"f", b"g", b"n", b"", b"a-field-of-some-length:1", b"\0\r\n\xff", &[b'l'; 65]];

const VALUES: &[&[u8]] = &[
    b"1",
    b"0",
    b"-1",
    b"100",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"text",
    b"",
    b"01",
    b"+1",
    b" 1",
    b"1 ",
    b"-0",
    b"3.14",
    b"1e3",
    b"0x10",
    b"inf",
    b"nan",
    b"\r\n\0",
    &[b'v'; 100],
];

const INTS: &[&[u8]] = &[
    b"1",
    b"-1",
    b"0",
    b"10",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"-9223372036854775807",
    b"4611686018427387904",
    b"9223372036854775808",
    b"4102444800",
    b"4102444800000",
    b"9223372036854775",
    b"9223372036854776",
    b"-9223372036854776",
    b"x",
    b"",
    b"01",
    b"1.5",
    b"-0",
];

const TIMES: &[&[u8]] = &[
    b"100000",
    b"10000000",
    b"0",
    b"-1",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775",
    b"9223370000000000",
    b"x",
    b"01",
    b"",
];

/// Of the times those that are long or make no sense: a deadline that `SET` finds past leaves Redis with a key that only
/// the next look at it removes.
const LONG_TIMES: &[&[u8]] =
    &[b"1000000", b"100000", b"0", b"-1", b"9223372036854775807", b"9223372036854775", b"x"];

const OFFSETS: &[&[u8]] = &[
    b"0",
    b"1",
    b"2",
    b"5",
    b"20",
    b"-1",
    b"-2",
    b"-5",
    b"-100",
    b"100",
    b"536870912",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"x",
];

const FLOATS: &[&[u8]] = &[
    b"0",
    b"-0",
    b"1.5",
    b"-1.5",
    b"0.1",
    b"3.0e3",
    b"1e-17",
    b"5e-18",
    b"1e17",
    b"1e19",
    b"9223372036854775807",
    b"18446744073709551615",
    b"0x1p3",
    b"0x.8",
    b"0X1.fp-2",
    b"inf",
    b"-inf",
    b"+infinity",
    b"nan",
    b"1e4932",
    b"-1e4932",
    b"1.2e4932",
    b"1e4933",
    b"1e-4950",
    b"1e-4951",
    b"1e-4952",
    b"1e999999999999",
    b".5",
    b"5.",
    b".",
    b"e5",
    b"1e",
    b"1e+",
    b"+1",
    b"--1",
    b" 1",
    b"1 ",
    b"1_0",
    b"0x",
    b"0x1p",
    b"",
    b"\0",
    b"1\0",
];

/// Names of all commands that streams have.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(name, ..)| *name)
}

/// Numbers that depend on a seed alone (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("64 bits");
        usize::try_from(self.next() % bound).expect("below a usize")
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }
}

/// The stream of a seed.
pub(crate) fn stream(seed: u64) -> Vec<Step> {
    let mut random = Random(seed);
    let mut steps = Vec::new();
    // A third of the streams speaks the third version of the protocol, on one connection; what it answers differs, and
    // is not looked at where it is not asked as a request of the stream.
    let resp3 = random.one_in(3);
    for _ in 0..5 + random.below(60) {
        let client = random.below(BUSY);
        if random.one_in(25) {
            // A deadline that passes: both servers look at the key after it.
            let key = random.pick(KEYS).to_vec();
            let set = vec![b"SET".to_vec(), key.clone(), b"5".to_vec(), b"PX".to_vec(), b"1".to_vec()];
            steps.push(Step::Ask(BUSY, vec![set]));
            steps.push(Step::Sleep(3));
            steps.push(Step::Ask(BUSY, vec![vec![b"TOUCH".to_vec(), key]]));
            continue;
        }
        let len = if random.one_in(3) { 1 + random.below(12) } else { 1 };
        let pipeline = (0..len).map(|_| command(&mut random)).collect();
        steps.push(Step::Ask(client, pipeline));
        if random.one_in(6) {
            steps.extend(transaction(&mut random, client));
        }
    }
    if resp3 {
        let ask = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect();
        steps.insert(0, Step::Ask(0, vec![ask(&["HELLO", "3"])]));
    }
    steps
}

/// Sums of floats, as many as `count`.
pub(crate) fn floats(seed: u64, count: usize) -> Vec<Step> {
    let mut random = Random(seed);
    let sums = (0..count).flat_map(|_| {
        let [mut set, mut add] =
            [vec![b"SET".to_vec(), b"k".to_vec()], vec![b"INCRBYFLOAT".to_vec(), b"k".to_vec()]];
        argument(&mut random, Float, &mut set);
        argument(&mut random, Float, &mut add);
        [set, add]
    });
    sums.map(|request| Step::Ask(0, vec![request])).collect()
}

/// A transaction, with or without somebody who comes in between.
fn transaction(random: &mut Random, client: usize) -> Vec<Step> {
    let word = |word: &str| vec![word.as_bytes().to_vec()];
    let mut steps = Vec::new();
    if random.one_in(2) {
        let keys = (0..1 + random.below(3)).map(|_| random.pick(KEYS).to_vec());
        steps.push(Step::Ask(client, vec![word("WATCH").into_iter().chain(keys).collect()]));
    }
    if random.one_in(2) {
        steps.push(Step::Ask(random.below(BUSY), vec![command(random)]));
    }
    let mut pipeline = vec![word("MULTI")];
    pipeline.extend((0..random.below(6)).map(|_| command(random)));
    steps.push(Step::Ask(client, pipeline));
    if random.one_in(2) {
        steps.push(Step::Ask(1 - client, vec![command(random)]));
    }
    steps.push(Step::Ask(client, vec![word("EXEC")]));
    steps
}

/// A request of a random command, sometimes bent.
fn command(random: &mut Random) -> Request {
    loop {
        let (name, own, more) = random.pick(COMMANDS);
        // What empties everything, or begins anew, is rare.
        if matches!(name, "FLUSHALL" | "FLUSHDB" | "RESET" | "NOSUCH" | "SELECT") && !random.one_in(6) {
            continue;
        }
        let name = if random.one_in(8) { name.to_ascii_lowercase() } else { name.to_owned() };
        let mut words = vec![name.into_bytes()];
        let repeated = if more.is_empty() { 0 } else { random.below(4) };
        for kind in own.iter().chain((0..repeated).flat_map(|_| more)) {
            argument(random, *kind, &mut words);
        }
        if random.one_in(40) {
            words.pop();
        } else if random.one_in(40) {
            words.push(random.pick(VALUES).to_vec());
        }
        if !words.is_empty() {
            set_apart(random, &mut words);
            return words;
        }
    }
}

/// Gives a request that compares a time from now on with a deadline one that no other request has. Where a key's deadline was
/// made of the same time, which of both is later would depend on whether a millisecond has passed, on each server by itself.
fn set_apart(random: &mut Random, words: &mut [Vec<u8>]) {
    let is = |word: &[u8], among: &[&[u8]]| among.iter().any(|other| word.eq_ignore_ascii_case(other));
    if !is(&words[0], &[b"EXPIRE", b"PEXPIRE"]) || !words.iter().skip(3).any(|it| is(it, &[b"GT", b"LT"])) {
        return;
    }
    let time = std::str::from_utf8(&words[2]).ok().and_then(|time| time.parse::<i64>().ok());
    let apart = 1000 * i64::try_from(1 + random.below(100_000)).expect("it is small");
    if let Some(sum) = time.filter(|&time| time > 0).and_then(|time| time.checked_add(apart)) {
        words[2] = sum.to_string().into_bytes();
    }
}

#[test]
fn compared_times_are_apart() {
    let mut random = Random(1);
    for (text, condition, changes) in [
        ("100000", "GT", true),
        ("100000", "lt", true),
        ("100000", "NX", false),
        ("-1", "GT", false),
        ("x", "GT", false),
    ] {
        let mut words = ["pexpire", "k", text, condition].map(|word| word.as_bytes().to_vec());
        set_apart(&mut random, &mut words);
        assert_eq!(words[2] != text.as_bytes(), changes, "{text} {condition}");
    }
}

fn argument(random: &mut Random, kind: Kind, words: &mut Request) {
    let word = match kind {
        Key => random.pick(KEYS).to_vec(),
        Field => random.pick(FIELDS).to_vec(),
        Options(rows) => {
            let (last, first) = random.pick(rows).split_last().expect("a row has words");
            words.extend(first.iter().map(|word| word.as_bytes().to_vec()));
            last.as_bytes().to_vec()
        }
        Value => random.pick(VALUES).to_vec(),
        Int => random.pick(INTS).to_vec(),
        Time => random.pick(TIMES).to_vec(),
        Offset => random.pick(OFFSETS).to_vec(),
        Words(among) => random.pick(among).as_bytes().to_vec(),
        Float if random.one_in(2) => random.pick(FLOATS).to_vec(),
        Float => float(random).into_bytes(),
        Expiration => {
            let option = random.pick(&["EX", "PX", "EXAT", "PXAT", "ex"]);
            words.push(option.as_bytes().to_vec());
            // As points in time the long ones would be past.
            if option.ends_with("AT") { b"4102444800000".to_vec() } else { random.pick(LONG_TIMES).to_vec() }
        }
    };
    words.push(word);
}

/// A float with any digits, in one of the ways in which they can be written.
fn float(random: &mut Random) -> String {
    let sign = random.pick(&["", "-", "+"]);
    let shift = u32::try_from(random.below(64)).expect("it is small");
    let digits = random.next() >> shift;
    let far = random.one_in(8);
    let exponent = random.below(if far { 9900 } else { 60 });
    let exponent = i64::try_from(exponent).expect("it is small") - if far { 4950 } else { 30 };
    match random.below(5) {
        0 => format!("{sign}{digits}"),
        1 => format!("{sign}{}.{}", digits >> 32, random.next() >> random.below(64)),
        2 => format!("{sign}{digits}e{exponent}"),
        3 => format!("{sign}{}.{}E{exponent}", digits % 10, random.next()),
        _ => format!("{sign}0x{digits:x}.{:x}p{exponent}", random.next()),
    }
}
