//! Requests over keys that exist, chosen by a seed, and how their replies begin. Knows the protocol, and of each
//! command no more than the kind of its reply.
//!
//! | keys | hold | are |
//! |---|---|---|
//! | `n:<4 digits>` | numbers, with and without a deadline | removed and set again |
//! | `a-counter-of-a-long-name:<n>` | numbers, the key too long for a slot | never removed |
//! | `s:<n>` | strings of up to [`SHORT`] bytes | never removed, never numbers |
//! | `b:<n>` | strings of [`LONG`] bytes and half of that | never removed |

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// Keys of each kind. So many that the table's segments have several, and so few that none of them packs its records.
const NUMBERS: usize = 4096;
const LONG_NAMES: usize = 256;
const STRINGS: usize = 512;
const BLOBS: usize = 16;

/// Bytes of the longest values.
const SHORT: usize = 200;
const LONG: usize = 6000;

/// Lengths of pipelines: from one request at a time to more than a receive block holds.
const DEPTHS: [usize; 7] = [1, 4, 16, 32, 64, 200, 1000];

/// The key that [`control`] counts with.
pub(crate) const CONTROL_KEY: &str = "control";

/// Requests in a row, and the first byte of each reply.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    /// The requests.
    pub(crate) bytes: Vec<u8>,
    /// `+ - : $ *` for each reply.
    pub(crate) replies: Vec<u8>,
    /// Where a delivery in two pieces is cut: at the end if there is only one.
    pub(crate) cut: usize,
}

impl Pipeline {
    /// Adds a request, its words split at blanks.
    fn add(&mut self, reply: u8, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        write!(self.bytes, "*{}\r\n", words.len()).expect("memory can be written to");
        for word in words {
            write!(self.bytes, "${}\r\n{word}\r\n", word.len()).expect("memory can be written to");
        }
        self.replies.push(reply);
    }

    /// Adds a line.
    fn add_inline(&mut self, reply: u8, line: &str) {
        self.bytes.extend_from_slice(line.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
        self.replies.push(reply);
    }
}

/// One request that waits for the segment of [`CONTROL_KEY`].
pub(crate) fn control() -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.add(b':', &format!("INCR {CONTROL_KEY}"));
    pipeline
}

/// Makes all keys, each with the most memory it will ever have.
pub(crate) fn all_keys() -> Pipeline {
    let mut pipeline = Pipeline::default();
    // More than will be used: numbers go and come back all the time, and lines that are full of them would be
    // given a little more room now and then for long.
    for n in 0..NUMBERS * 5 / 4 {
        pipeline.add(b'+', &format!("SET {} {} EX 100000", short_number(n), i64::MIN / 2));
    }
    for n in NUMBERS..NUMBERS * 5 / 4 {
        pipeline.add(b':', &format!("DEL {}", short_number(n)));
    }
    for n in 0..LONG_NAMES {
        pipeline.add(b'+', &format!("SET a-counter-of-a-long-name:{n} {} EX 100000", i64::MIN / 2));
    }
    for n in 0..STRINGS {
        pipeline.add(b'+', &format!("SET s:{n} {} EX 100000", text(SHORT)));
    }
    for n in 0..BLOBS {
        pipeline.add(b'+', &format!("SET b:{n} {} EX 100000", text(LONG)));
    }
    pipeline
}

/// Pipelines at least as heavy as any that [`Traffic`] makes: in bytes of replies, and in bytes of requests.
pub(crate) fn heaviest() -> [Pipeline; 2] {
    let [mut replies, mut requests] = [Pipeline::default(), Pipeline::default()];
    let most = DEPTHS.iter().max().expect("there are some");
    for n in 0..*most {
        replies.add(b'$', &format!("GET b:{}", n % BLOBS));
    }
    for n in 0..BLOBS {
        requests.add(b'+', &format!("SET b:{n} {}", text(LONG)));
    }
    [replies, requests]
}

/// The key of a counter. All have as many digits, so that they are of one template, of which each segment has enough.
fn short_number(n: usize) -> String {
    format!("n:{}", n + 1_000)
}

/// A string that is no integer.
fn text(len: usize) -> String {
    "x".repeat(len)
}

/// Pseudo-random requests.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// Never zero.
    state: u64,
}

impl Traffic {
    /// The same requests for the same seed, which is not zero.
    pub(crate) fn new(seed: u64) -> Self {
        assert_ne!(seed, 0, "xorshift stays at zero");
        Self { state: seed }
    }

    /// A number below `bound`: xorshift64*, Vigna 2016.
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let high = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(high).expect("32 bits fit") % bound
    }

    /// Empties a pipeline and fills it anew.
    pub(crate) fn fill(&mut self, pipeline: &mut Pipeline) {
        pipeline.bytes.clear();
        pipeline.replies.clear();
        let depth = DEPTHS[self.below(DEPTHS.len())];
        while pipeline.replies.len() < depth {
            match self.below(8) {
                0..=2 => self.count(pipeline),
                3 | 4 => self.store(pipeline),
                5 => self.age(pipeline),
                6 => self.ask(pipeline),
                _ => self.err(pipeline),
            }
        }
    }

    /// Chooses where the delivery is cut: one in four is.
    pub(crate) fn cut(&mut self, pipeline: &mut Pipeline) -> usize {
        let whole = pipeline.bytes.len();
        pipeline.cut = if self.below(4) == 0 { self.below(whole) } else { whole };
        pipeline.cut
    }

    fn number(&mut self) -> String {
        match self.below(8) {
            0 => format!("a-counter-of-a-long-name:{}", self.below(LONG_NAMES)),
            _ => self.short_number(),
        }
    }

    fn short_number(&mut self) -> String {
        short_number(self.below(NUMBERS))
    }

    fn string(&mut self) -> String {
        format!("s:{}", self.below(STRINGS))
    }

    fn short_text(&mut self) -> String {
        text(1 + self.below(SHORT))
    }

    /// Counters.
    fn count(&mut self, to: &mut Pipeline) {
        let key = self.number();
        match self.below(8) {
            0..=2 => to.add(b':', &format!("INCR {key}")),
            3 => to.add(b':', &format!("DECR {key}")),
            4 => to.add(b':', &format!("INCRBY {key} {}", self.below(1_000_000))),
            5 => to.add(b':', &format!("DECRBY {key} {}", self.below(1_000_000))),
            6 => to.add_inline(b':', &format!("incr {key}")),
            _ => {
                // The string among them is an error inside the array.
                let [second, third] = [self.number(), self.string()];
                to.add(b'*', &format!("MINCRBY {key} 1 {second} -7 {third} 2"));
            }
        }
    }

    /// Values, stored and shown.
    fn store(&mut self, to: &mut Pipeline) {
        let (number, string, short) = (self.number(), self.string(), self.short_text());
        match self.below(14) {
            0 => to.add(b'+', &format!("SET {number} {}", self.below(1_000_000))),
            1 => to.add(b'+', &format!("SET {number} 17 EX 100000")),
            2 => to.add(b'+', &format!("SET {number} 17 PX 100000000")),
            3 => to.add(b'$', &format!("SET {string} {short} NX")),
            4 => to.add(b'+', &format!("SET {string} {short} XX KEEPTTL")),
            5 => to.add(b'$', &format!("SET {string} {short} EX 100000 GET")),
            6 => to.add(b'+', &format!("SET {string} {short}")),
            7 => to.add_inline(b'+', &format!("SET {string} \"{}\\x41\\n\"", text(SHORT - 2))),
            8 => to.add(b'+', &format!("MSET {number} 1 {string} {short} {} 3", self.number())),
            9 => to.add(b'*', &self.many("MGET", 10)),
            10 | 11 => to.add(b'$', &format!("GET {number}")),
            12 => to.add(b'$', &format!("GET {string}")),
            _ => self.blob(to),
        }
    }

    /// Values of nearly a receive block; few, since they are most of the bytes.
    fn blob(&mut self, to: &mut Pipeline) {
        let key = self.below(BLOBS);
        match self.below(8) {
            0 => to.add(b'+', &format!("SET b:{key} {}", text(LONG / (1 + self.below(2))))),
            1 => to.add(b'$', &format!("GET b:{key}")),
            _ => to.add(b':', &format!("EXISTS b:{key}")),
        }
    }

    /// Deadlines, and keys that go and come back.
    fn age(&mut self, to: &mut Pipeline) {
        let (number, string) = (self.short_number(), self.string());
        match self.below(9) {
            0 => to.add(b':', &format!("EXPIRE {number} 100000")),
            1 => to.add(b':', &format!("PEXPIRE {string} 100000000")),
            2 => to.add(b':', &format!("PERSIST {number}")),
            3 => to.add(b':', &format!("PERSIST {string}")),
            4 => to.add(b':', &format!("TTL {number}")),
            5 => to.add(b':', &format!("PTTL {string}")),
            way => {
                to.add(b':', &format!("DEL {number}"));
                match way {
                    6 => to.add(b':', &format!("INCR {number}")),
                    7 => to.add(b'+', &format!("SET {number} 5")),
                    _ => to.add(b'+', &format!("SET {number} 5 EX 100000")),
                }
            }
        }
    }

    /// Questions without a change.
    fn ask(&mut self, to: &mut Pipeline) {
        let (number, string) = (self.number(), self.string());
        match self.below(8) {
            0 => to.add(b':', &format!("EXISTS {number} {string} none")),
            1 => to.add(b'+', &format!("TYPE {number}")),
            2 => to.add(b'+', "TYPE none"),
            3 => to.add(b'+', "PING"),
            4 => to.add_inline(b'+', "PING"),
            5 => to.add(b'$', &format!("ECHO {}", self.short_text())),
            6 => to.add(b'$', "GET none"),
            _ => to.add(b'*', &self.many("MGET", 40)),
        }
    }

    /// What is refused.
    fn err(&mut self, to: &mut Pipeline) {
        let (number, string) = (self.number(), self.string());
        match self.below(9) {
            0 => to.add(b'-', &format!("INCR {string}")),
            1 => to.add(b'-', &format!("INCRBY {number} one")),
            2 => to.add(b'-', &format!("NOSUCHCOMMAND {number} {string}")),
            3 => to.add(b'-', "GET"),
            4 => to.add(b'-', &format!("SET {string} x EX never")),
            5 => to.add(b'-', &format!("SET {string} x NX XX")),
            6 => to.add(b'-', &format!("MSET {number} 1 {string}")),
            7 => to.add(b'-', &format!("EXPIRE {number} soon")),
            _ => to.add_inline(b'-', "client nosuchsubcommand"),
        }
    }

    /// `command` over `count` keys.
    fn many(&mut self, command: &str, count: usize) -> String {
        (0..count).fold(command.to_owned(), |request, _| {
            let key = if self.below(4) == 0 { self.string() } else { self.number() };
            request + " " + &key
        })
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    /// Received bytes that belong to no reply that was taken yet.
    received: Vec<u8>,
}

impl Client {
    /// Speaks over `stream`.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Sends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads on");
    }

    /// Takes as many replies as `expected` has bytes, each beginning with its byte, and makes sure that there are no
    /// others.
    #[track_caller]
    pub(crate) fn read(&mut self, expected: &[u8]) {
        let (mut taken, mut at) = (0, 0);
        let mut block = [0; 16 * 1024];
        while taken < expected.len() {
            if let Some(len) = reply_len(&self.received[at..]) {
                let line = String::from_utf8_lossy(&self.received[at..at + len.min(80)]);
                assert_eq!(self.received[at], expected[taken], "reply {taken} of its pipeline is {line:?}");
                (at, taken) = (at + len, taken + 1);
                continue;
            }
            match self.stream.read(&mut block) {
                Ok(0) => panic!("the server closed the connection after {taken} replies"),
                Ok(bytes) => self.received.extend_from_slice(&block[..bytes]),
                // The end of the ring that this thread has probed interrupts it once, some time later (io_uring's
                // `io_ring_exit_work`); a read with a timeout is then not restarted (signal(7)).
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("no answer in time after {taken} replies: {error}"),
            }
        }
        assert_eq!(at, self.received.len(), "there are more replies than requests");
        self.received.clear();
    }

    /// Sends a pipeline in pieces that are answered one by one, so that neither side waits for the other's.
    #[track_caller]
    pub(crate) fn talk(&mut self, pipeline: &Pipeline) {
        std::thread::scope(|scope| {
            let mut writing = self.stream.try_clone().expect("a descriptor can be duplicated");
            scope.spawn(move || writing.write_all(&pipeline.bytes).expect("the server reads on"));
            self.read(&pipeline.replies);
        });
    }
}

/// Bytes of the reply at the start of `bytes`, once it is complete.
fn reply_len(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let number = || std::str::from_utf8(&bytes[1..line]).ok()?.parse::<i64>().ok();
    let head = line + 2;
    let len = match bytes[0] {
        b'+' | b'-' | b':' => head,
        b'$' => head + usize::try_from(number()?).map_or(0, |len| len + 2),
        b'*' => {
            let mut end = head;
            for _ in 0..number()?.max(0) {
                end += reply_len(bytes.get(end..)?)?;
            }
            end
        }
        other => panic!("no reply begins with {:?}", char::from(other)),
    };
    (len <= bytes.len()).then_some(len)
}
