//! One request of every command, one after the other on one connection: how long each takes.
//!
//! Knows how requests are written and where a reply ends. What a reply says matters only where it is an error: a server
//! that does not know a command has no figure for it, and any other error ends the run.

use std::io::{BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::mix::Random;
use super::report::{Latency, recorder};
use super::{Fault, nanos, report_json, stand_by};

/// Different keys of each kind.
const KEYS: u64 = 1000;

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What there is before anything is timed, for every number below [`KEYS`].
const PREPARED: &[&str] = &[
    "SET n:% 5",
    "SET text:% some-text",
    "SET timed:% 5 EX 10000",
    "HSET row:% views 1 clicks 2 likes 3 errors 4",
];

/// Requests to be timed, in order. `%` is a random number, the same within a line, and `#` one that was not there
/// before. Where a line has several requests, the one behind `>` is timed, and the others make it possible.
pub(crate) const REQUESTS: &[&str] = &[
    "ACL WHOAMI",
    "INCR n:%",
    "DECR n:%",
    "INCRBY n:% 5",
    "DECRBY n:% 5",
    "SET f:% 1; > INCRBYFLOAT f:% 1.5",
    "INCREX n:% BYINT 1 UBOUND 1000000000",
    "INCRONCE once:% 1 token-#",
    "MINCRONCE token-# 60000 once:% 1 once:1 1",
    "WINCRBY window:% 1 WINDOW 60000",
    "WGET window:%",
    "GET n:%",
    "SET set:% 5",
    "SET set:% 5 EX 1000",
    "DEL new:%; > SETNX new:% 1",
    "SETEX set:% 1000 5",
    "PSETEX set:% 1000000 5",
    "GETSET set:% 5",
    "SET gone:% 1; > GETDEL gone:%",
    "GETEX timed:% EX 10000",
    "STRLEN text:%",
    "SET short:% text; > APPEND short:% more",
    "GETRANGE text:% 0 3",
    "SUBSTR text:% 0 3",
    "SETRANGE text:% 2 me",
    "GETTTL timed:%",
    "MGET n:% n:1 n:2 n:3 n:4 n:5 n:6 n:7 n:8 n:9",
    "MSET set:% 1 set:1 1 set:2 1 set:3 1 set:4 1",
    "DEL new:% new:x; > MSETNX new:% 1 new:x 1",
    "MINCRBY n:% 1 n:1 1 n:2 1 n:3 1 n:4 1",
    "SET gone:% 1; > DEL gone:%",
    "SET gone:% 1; > UNLINK gone:%",
    "EXISTS n:%",
    "TOUCH n:%",
    "TYPE row:%",
    "EXPIRE timed:% 10000",
    "PEXPIRE timed:% 10000000",
    "EXPIREAT timed:% 4102444800",
    "PEXPIREAT timed:% 4102444800000",
    "TTL timed:%",
    "PTTL timed:%",
    "EXPIRETIME timed:%",
    "PEXPIRETIME timed:%",
    "SET kept:% 1 EX 1000; > PERSIST kept:%",
    "SET from:% 1; > RENAME from:% to:%",
    "SET from:% 1; DEL to:%; > RENAMENX from:% to:%",
    "COPY n:% copy:% REPLACE",
    "SCAN 0 COUNT 100",
    "KEYS n:%",
    "RANDOMKEY",
    "OBJECT ENCODING n:%",
    "MEMORY USAGE n:%",
    "MEMORY STATS",
    "DBSIZE",
    "HSET row:% views 5",
    "HMSET row:% views 5 clicks 6",
    "DEL sparse:%; > HSETNX sparse:% views 1",
    "HGET row:% views",
    "HMGET row:% views clicks likes errors",
    "HGETALL row:%",
    "HSET wide:% a 1 b 2; > HDEL wide:% a",
    "HEXISTS row:% views",
    "HLEN row:%",
    "HKEYS row:%",
    "HVALS row:%",
    "HSTRLEN row:% views",
    "HINCRBY row:% views 1",
    "HSET frow:% rate 1; > HINCRBYFLOAT frow:% rate 1.5",
    "HMINCRBY row:% views 1 clicks 1",
    "HINCREX row:% views BYINT 1",
    "HRANDFIELD row:%",
    "HSCAN row:% 0",
    "HGETSET row:% views 0",
    "HSET wide:% a 1 b 2; > HGETDEL wide:% FIELDS 1 a",
    "CL.THROTTLE rate:% 1000000 1000000 60",
    "CL.PEEK rate:% 1000000 1000000 60",
    "> MULTI; DISCARD",
    "MULTI; INCR n:%; INCR n:1; > EXEC",
    "MULTI; INCR n:%; > DISCARD",
    "> WATCH n:%; UNWATCH",
    "WATCH n:%; > UNWATCH",
    "PING",
    "ECHO text",
    "HELLO 2",
    "SELECT 0",
    "RESET",
    "TIME",
    "CLIENT ID",
    "CLIENT INFO",
    "CLIENT LIST",
    "CLIENT SETNAME bench",
    "CONFIG GET maxmemory",
    "CONFIG SET maxmemory 0",
    "COMMAND COUNT",
    "COMMAND INFO get",
    "INFO",
    "ACL WHOAMI",
    "LASTSAVE",
    "LATENCY LATEST",
    "SLOWLOG LEN",
    "ROLE",
    "WAIT 0 0",
    "WAITAOF 0 0 0",
    "FUNCTION FLUSH",
    // They empty the server.
    "SET n:1 1; > FLUSHDB",
    "SET n:1 1; > FLUSHALL",
];

/// How long a request took, over all its repetitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timed {
    /// As [`REQUESTS`] has it, without the requests around it.
    pub(crate) request: String,
    /// Round trips.
    pub(crate) latency: Latency,
}

/// Says ready, waits for a line, times every request so often, and writes what came out as one line.
///
/// # Errors
/// What the socket says; an error where the command is known; nobody who waits.
pub(crate) fn time(
    address: SocketAddr,
    (repetitions, seed): (u64, u64),
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut client = Client { stream, received: Vec::new() };
    for number in 0..KEYS {
        for request in PREPARED {
            client.ask(&encoded(request, number, 0))?;
        }
    }
    stand_by(input, output)?;
    let (mut random, mut unique) = (Random::new(seed), 0);
    let mut timed = Vec::new();
    for line in REQUESTS {
        timed.extend(client.repeat(line, repetitions, &mut random, &mut unique)?);
    }
    report_json(output, &timed)
}

/// The requests of a line before the one that is timed, that one, and those behind it.
pub(crate) fn parts(line: &str) -> (Vec<&str>, &str, Vec<&str>) {
    let all: Vec<&str> = line.split(';').map(str::trim).collect();
    let at = all.iter().position(|request| request.starts_with('>')).unwrap_or(0);
    let timed = all[at].trim_start_matches("> ");
    (all[..at].to_vec(), timed, all[at + 1..].to_vec())
}

/// A request as it is sent.
fn encoded(request: &str, number: u64, unique: u64) -> Vec<u8> {
    let words: Vec<String> = request
        .split(' ')
        .map(|word| word.replace('%', &number.to_string()).replace('#', &unique.to_string()))
        .collect();
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    bytes.into_bytes()
}

/// One connection that waits for each reply.
struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    /// Times the request of a line; none = the server does not know it.
    fn repeat(
        &mut self,
        line: &str,
        repetitions: u64,
        random: &mut Random,
        unique: &mut u64,
    ) -> Result<Option<Timed>, Fault> {
        let (before, request, after) = parts(line);
        let mut latency = recorder();
        // The first tenth warms what has to be warm.
        for turn in 0..repetitions + repetitions.div_ceil(10) {
            let number = random.below(KEYS);
            *unique += 1;
            for other in &before {
                self.ask(&encoded(other, number, *unique))?;
            }
            let bytes = encoded(request, number, *unique);
            let sent = Instant::now();
            let known = self.exchange(&bytes)?;
            let took = sent.elapsed();
            if !known {
                return Ok(None);
            }
            if turn >= repetitions.div_ceil(10) {
                latency.saturating_record(nanos(took));
            }
            for other in &after {
                self.ask(&encoded(other, number, *unique))?;
            }
        }
        Ok(Some(Timed { request: request.to_owned(), latency: Latency::of(&latency) }))
    }

    /// Sends a request that every server knows.
    fn ask(&mut self, request: &[u8]) -> Result<(), Fault> {
        if self.exchange(request)? {
            return Ok(());
        }
        Err(Fault::WrongReply(format!("{} is not known", request.escape_ascii())))
    }

    /// Sends a request and awaits its reply. False: the server does not know the command.
    fn exchange(&mut self, request: &[u8]) -> Result<bool, Fault> {
        self.received.clear();
        self.stream.write_all(request)?;
        let mut block = [0; 16 * 1024];
        while end(&self.received, 0) != Some(self.received.len()) {
            match self.stream.read(&mut block)? {
                0 => return Err(Fault::Closed),
                read => self.received.extend_from_slice(&block[..read]),
            }
        }
        let is_unknown = self.received.starts_with(b"-ERR unknown ");
        if self.received.starts_with(b"-") && !is_unknown {
            let (asked, got) = (request.escape_ascii(), self.received.escape_ascii());
            return Err(Fault::WrongReply(format!("\"{got}\" to \"{asked}\"")));
        }
        Ok(!is_unknown)
    }
}

/// Where the reply that begins at `at` ends, once all of it is there.
fn end(bytes: &[u8], at: usize) -> Option<usize> {
    let line = at + bytes.get(at..)?.windows(2).position(|two| two == b"\r\n")?;
    let count = || std::str::from_utf8(&bytes[at + 1..line]).ok()?.parse::<usize>().ok();
    match bytes[at] {
        b'$' => match count() {
            Some(length) => Some(line + 2 + length + 2).filter(|end| *end <= bytes.len()),
            None => Some(line + 2),
        },
        b'*' => (0..count().unwrap_or(0)).try_fold(line + 2, |at, _| end(bytes, at)),
        _ => Some(line + 2),
    }
}

#[cfg(test)]
mod tests {
    use tallyring::command::lookup::visible;

    use super::{REQUESTS, encoded, end, parts};

    /// What ends the connection or the server, stops it, needs a password, is measured as a snapshot, or replies for ever.
    const NOT_TIMED: [&str; 8] =
        ["auth", "bgrewriteaof", "bgsave", "debug", "monitor", "quit", "save", "shutdown"];

    #[test]
    fn every_command_is_timed_or_named_as_not() {
        for command in visible() {
            let name = command.name;
            let is = |line: &&str| {
                parts(line).1.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(name))
            };
            let timed = REQUESTS.iter().any(is);
            assert!(timed != NOT_TIMED.contains(&name), "{name}: add a request to benches/load/commands.rs");
        }
    }

    #[test]
    fn lines_say_which_request_is_timed() {
        assert_eq!(parts("GET k"), (vec![], "GET k", vec![]));
        assert_eq!(parts("> MULTI; DISCARD"), (vec![], "MULTI", vec!["DISCARD"]));
        assert_eq!(parts("MULTI; INCR n; > EXEC"), (vec!["MULTI", "INCR n"], "EXEC", vec![]));
        assert_eq!(encoded("SET k:% t#", 7, 12), b"*3\r\n$3\r\nSET\r\n$3\r\nk:7\r\n$3\r\nt12\r\n");
    }

    #[test]
    fn replies_end_where_they_end() {
        for reply in [
            "+OK\r\n",
            ":1\r\n",
            "$3\r\na\r\n\r\n",
            "$-1\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*2\r\n*1\r\n:1\r\n$1\r\na\r\n",
        ] {
            let bytes = reply.as_bytes();
            assert_eq!(end(bytes, 0), Some(bytes.len()), "{reply:?}");
            assert!((0..bytes.len()).all(|most| end(&bytes[..most], 0).is_none()), "{reply:?}");
        }
    }
}
