//! What clients should see: the commands on a plain map with deadlines, in Redis' words. Knows nothing of the server.
//!
//! Written from Redis 7.0's sources and documentation, one command after the other, copying everything. `text` turns
//! arguments into numbers and replies into bytes, `strings` and `keys` are the commands by family.

mod keys;
mod parts;
mod strings;
mod text;

use std::collections::HashMap;

use text::Reply;

/// Commands that are not modelled: they tell about this server, or about the moment.
pub const NOT_MODELLED: &[&str] = &[
    "auth",
    "bgrewriteaof",
    "bgsave",
    "acl",
    "client",
    "config",
    "command",
    "debug",
    "function",
    "incronce",
    "info",
    "lastsave",
    "latency",
    "mincronce",
    "monitor",
    "quit",
    "reset",
    "role",
    "save",
    "shutdown",
    "slowlog",
    "slowlog",
    "time",
    "wait",
    "waitaof",
    "wget",
    "wincrby",
    // Compared with Redis itself, live and by transcripts.
    "incrbyfloat",
    "increx",
    "multi",
    "exec",
    "discard",
    "watch",
    "unwatch",
    "hset",
    "hmset",
    "hsetnx",
    "hget",
    "hmget",
    "hgetall",
    "hdel",
    "hexists",
    "hlen",
    "hkeys",
    "hvals",
    "hstrlen",
    "hincrby",
    "hincrbyfloat",
    "hmincrby",
    "hincrex",
    "hrandfield",
    "hscan",
    "hgetset",
    "hgetdel",
    "cl.throttle",
    "cl.peek",
    "rename",
    "renamenx",
    "copy",
    "scan",
    "keys",
    "randomkey",
    "object",
    "memory",
];

/// A value and when it goes away, in milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    value: Vec<u8>,
    deadline: Option<i64>,
}

/// What the answer to a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These bytes.
    Exactly(Vec<u8>),
    /// An integer in this range: keys whose deadline has passed may still count.
    Between(usize, usize),
    /// A greeting, in this version of the protocol.
    Greeting(u8),
    /// The model does not know this command.
    Unknown,
}

/// A server's keys, and one client's connection to it.
#[derive(Debug)]
pub struct Model {
    entries: HashMap<Vec<u8>, Entry>,
    now_ms: i64,
    protocol: u8,
}

type Arguments<'a> = &'a [Vec<u8>];

impl Model {
    /// A server without keys at this time, in milliseconds since the Unix epoch.
    pub fn new(now_ms: u64) -> Self {
        Self { entries: HashMap::new(), now_ms: i64::try_from(now_ms).expect("a date"), protocol: 2 }
    }

    /// Lets time pass.
    pub fn pass(&mut self, ms: u64) {
        self.now_ms += i64::try_from(ms).expect("a duration");
    }

    /// Keys that a client can see, with values and deadlines, in order.
    pub fn contents(&self) -> Vec<(Vec<u8>, Vec<u8>, Option<u64>)> {
        let seen = self.entries.iter().filter(|(_, entry)| !self.is_over(entry));
        let mut seen: Vec<_> = seen
            .map(|(key, Entry { value, deadline })| {
                (key.clone(), value.clone(), deadline.map(|at| u64::try_from(at).expect("it is to come")))
            })
            .collect();
        seen.sort_unstable();
        seen
    }

    /// Answers a request.
    pub fn execute(&mut self, request: Arguments<'_>) -> Answer {
        let name = request[0].to_ascii_lowercase();
        let name = String::from_utf8_lossy(&name).into_owned();
        let Some((least, most)) = arity(&name) else {
            let known = NOT_MODELLED.contains(&&*name) || matches!(&*name, "post" | "host:");
            return if known { Answer::Unknown } else { Answer::Exactly(text::unknown_command(request)) };
        };
        if !(least..=most).contains(&request.len()) {
            return Answer::Exactly(text::wrong_arity(&name));
        }
        let mut reply = Reply::new(self.protocol);
        match &*name {
            "get" | "set" | "setnx" | "setex" | "psetex" | "getset" | "getdel" | "incr" | "decr"
            | "incrby" | "decrby" | "mincrby" | "mget" | "mset" | "msetnx" => {
                self.string(&name, request, &mut reply);
            }
            "getex" | "strlen" | "append" | "getrange" | "substr" | "setrange" => {
                self.part(&name, request, &mut reply);
            }
            "dbsize" => {
                let live = self.entries.values().filter(|entry| !self.is_over(entry)).count();
                return Answer::Between(live, self.entries.len());
            }
            "hello" => match request.get(1).map(|version| text::integer(version)) {
                None => return Answer::Greeting(self.protocol),
                Some(Some(version @ 2..=3)) if request.len() == 2 => {
                    self.protocol = if version == 2 { 2 } else { 3 };
                    return Answer::Greeting(self.protocol);
                }
                Some(Some(2..=3)) => return Answer::Unknown,
                Some(Some(_)) => reply.error("NOPROTO unsupported protocol version"),
                Some(None) => reply.error("ERR Protocol version is not an integer or out of range"),
            },
            _ => self.key(&name, request, &mut reply),
        }
        Answer::Exactly(reply.0)
    }

    fn is_over(&self, entry: &Entry) -> bool {
        entry.deadline.is_some_and(|deadline| deadline <= self.now_ms)
    }

    /// The entry of a key that is not over; one that is over goes away.
    fn find(&mut self, key: &[u8]) -> Option<&mut Entry> {
        if self.entries.get(key).is_some_and(|entry| self.is_over(entry)) {
            self.entries.remove(key);
        }
        self.entries.get_mut(key)
    }

    /// Sets a key; a deadline that has passed takes it away instead.
    fn put(&mut self, key: &[u8], value: &[u8], deadline: Option<i64>) {
        let entry = Entry { value: value.to_vec(), deadline };
        if self.is_over(&entry) {
            self.entries.remove(key);
        } else {
            self.entries.insert(key.to_vec(), entry);
        }
    }
}

/// The least and the greatest number of arguments of a command, its name included.
fn arity(name: &str) -> Option<(usize, usize)> {
    Some(match name {
        "dbsize" => (1, 1),
        "get" | "incr" | "decr" | "getdel" | "getttl" | "type" | "ttl" | "pttl" | "persist" | "echo"
        | "select" | "strlen" | "expiretime" | "pexpiretime" => (2, 2),
        "incrby" | "decrby" | "setnx" | "getset" | "append" => (3, 3),
        "setex" | "psetex" | "getrange" | "substr" | "setrange" => (4, 4),
        "getex" | "mget" | "del" | "unlink" | "exists" | "touch" => (2, usize::MAX),
        "set" | "mset" | "msetnx" | "mincrby" | "expire" | "pexpire" | "expireat" | "pexpireat" => {
            (3, usize::MAX)
        }
        "flushall" | "flushdb" | "ping" | "hello" => (1, usize::MAX),
        _ => return None,
    })
}
