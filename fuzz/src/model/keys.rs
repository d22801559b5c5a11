//! Keys whatever they hold, deadlines, and what a connection is asked for besides.

use super::text::{NOT_INTEGER, Reply, c_string, integer};
use super::{Arguments, Model};

impl Model {
    pub(super) fn key(&mut self, name: &str, request: Arguments<'_>, reply: &mut Reply) {
        match name {
            "del" | "unlink" => {
                let mut removed = 0;
                for key in &request[1..] {
                    removed += usize::from(self.find(key).is_some());
                    self.entries.remove(key);
                }
                reply.count(removed);
            }
            "exists" | "touch" => {
                reply.count(request[1..].iter().filter(|key| self.find(key).is_some()).count());
            }
            "type" => reply.simple(if self.find(&request[1]).is_some() { "string" } else { "none" }),
            "expire" => self.expire(name, request, 1000, self.now_ms, reply),
            "pexpire" => self.expire(name, request, 1, self.now_ms, reply),
            "expireat" => self.expire(name, request, 1000, 0, reply),
            "pexpireat" => self.expire(name, request, 1, 0, reply),
            "ttl" => {
                let left = self.left(&request[1]);
                reply.integer(if left < 0 { left } else { left / 1000 + i64::from(left % 1000 >= 500) });
            }
            "pttl" => reply.integer(self.left(&request[1])),
            "expiretime" | "pexpiretime" => {
                let ms = self.find(&request[1]).map_or(-2, |entry| entry.deadline.unwrap_or(-1));
                let seconds = ms / 1000 + i64::from(ms % 1000 >= 500);
                reply.integer(if ms < 0 || name == "pexpiretime" { ms } else { seconds });
            }
            "getttl" => {
                reply.array(2);
                self.show(&request[1], reply);
                reply.integer(self.left(&request[1]));
            }
            "persist" => {
                let had = self.find(&request[1]).and_then(|entry| entry.deadline.take()).is_some();
                reply.truth(had);
            }
            "flushall" | "flushdb" => match &request[1..] {
                [] => self.flush(reply),
                [mode] if matches!(&*mode.to_ascii_lowercase(), b"async" | b"sync") => self.flush(reply),
                _ => reply.error("ERR syntax error"),
            },
            "ping" => match &request[1..] {
                [] => reply.simple("PONG"),
                [text] => reply.bulk(text),
                _ => reply.wrong_arity(name),
            },
            "echo" => reply.bulk(&request[1]),
            "select" => match integer(&request[1]) {
                None => reply.error(NOT_INTEGER),
                Some(0) => reply.simple("OK"),
                Some(-0x8000_0000..=0x7fff_ffff) => reply.error("ERR DB index is out of range"),
                Some(_) => {
                    reply.error("ERR value is out of range, value must between -2147483648 and 2147483647");
                }
            },
            _ => unreachable!("{name} belongs to another family"),
        }
    }

    fn flush(&mut self, reply: &mut Reply) {
        self.entries.clear();
        reply.simple("OK");
    }

    /// Milliseconds that a key has left, -1 without a deadline, -2 without a key.
    fn left(&mut self, key: &[u8]) -> i64 {
        let now_ms = self.now_ms;
        match self.find(key) {
            None => -2,
            Some(entry) => entry.deadline.map_or(-1, |deadline| deadline - now_ms),
        }
    }

    fn expire(&mut self, name: &str, request: Arguments<'_>, unit: i128, start: i64, reply: &mut Reply) {
        let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
        for option in &request[3..] {
            match &*option.to_ascii_uppercase() {
                b"NX" => nx = true,
                b"XX" => xx = true,
                b"GT" => gt = true,
                b"LT" => lt = true,
                _ => return reply.error([b"ERR Unsupported option ", c_string(option, usize::MAX)].concat()),
            }
        }
        if nx && (xx || gt || lt) {
            return reply.error("ERR NX and XX, GT or LT options at the same time are not compatible");
        }
        if gt && lt {
            return reply.error("ERR GT and LT options at the same time are not compatible");
        }
        let Some(amount) = integer(&request[2]) else { return reply.error(NOT_INTEGER) };
        let milliseconds = i128::from(amount) * unit;
        let deadline = i64::try_from(milliseconds).ok().and_then(|amount| amount.checked_add(start));
        let Some(deadline) = deadline else { return reply.invalid_time(name) };
        let Some(entry) = self.find(&request[1]) else { return reply.integer(0) };
        // No deadline is later than any.
        let refused = match entry.deadline {
            None => xx || gt,
            Some(before) => nx || gt && deadline <= before || lt && deadline >= before,
        };
        if refused {
            return reply.integer(0);
        }
        entry.deadline = Some(deadline);
        // What is over goes away at once.
        self.find(&request[1]);
        reply.integer(1);
    }
}
