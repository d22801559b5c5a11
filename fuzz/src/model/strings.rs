//! Values and counters: `GET`, `SET` and their forms, `INCR` and its forms, many keys at once.

use super::text::{NOT_INTEGER, Reply, integer};
use super::{Arguments, Model};

/// The deadline that `SET` is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ttl<'a> {
    None,
    Keep,
    /// `EX`, `PX`, `EXAT` or `PXAT`, and its time.
    At(&'static str, &'a [u8]),
}

impl Model {
    pub(super) fn string(&mut self, name: &str, request: Arguments<'_>, reply: &mut Reply) {
        let key = &request[1];
        match name {
            "get" => self.show(key, reply),
            "set" => self.set(request, reply),
            "setnx" => {
                let free = self.find(key).is_none();
                if free {
                    self.put(key, &request[2], None);
                }
                reply.truth(free);
            }
            "setex" | "psetex" => match self.time(if name == "setex" { "EX" } else { "PX" }, &request[2]) {
                Ok(deadline) => {
                    self.put(key, &request[3], Some(deadline));
                    reply.simple("OK");
                }
                Err(Wrong::Integer) => reply.error(NOT_INTEGER),
                Err(Wrong::Time) => reply.invalid_time(name),
            },
            "getset" => {
                self.show(key, reply);
                self.put(key, &request[2], None);
            }
            "getdel" => {
                self.show(key, reply);
                self.entries.remove(key);
            }
            "incr" => self.add(key, Some(1), reply),
            "decr" => self.add(key, Some(-1), reply),
            "incrby" => self.add(key, integer(&request[2]), reply),
            "decrby" => match integer(&request[2]) {
                Some(i64::MIN) => reply.error("ERR decrement would overflow"),
                amount => self.add(key, amount.map(|amount| -amount), reply),
            },
            "mget" => {
                reply.array(request.len() - 1);
                request[1..].iter().for_each(|key| self.show(key, reply));
            }
            "mset" | "msetnx" | "mincrby" if request.len().is_multiple_of(2) => reply.wrong_arity(name),
            "mset" => {
                request[1..].chunks(2).for_each(|pair| self.put(&pair[0], &pair[1], None));
                reply.simple("OK");
            }
            "msetnx" => {
                let free = request[1..].iter().step_by(2).all(|key| self.find(key).is_none());
                if free {
                    request[1..].chunks(2).for_each(|pair| self.put(&pair[0], &pair[1], None));
                }
                reply.truth(free);
            }
            "mincrby" => {
                reply.array(request.len() / 2);
                request[1..].chunks(2).for_each(|pair| self.add(&pair[0], integer(&pair[1]), reply));
            }
            _ => unreachable!("{name} belongs to another family"),
        }
    }

    pub(super) fn show(&mut self, key: &[u8], reply: &mut Reply) {
        reply.bulk_or_null(self.find(key).map(|entry| &*entry.value));
    }

    fn add(&mut self, key: &[u8], delta: Option<i64>, reply: &mut Reply) {
        let Some(delta) = delta else { return reply.error(NOT_INTEGER) };
        let (before, deadline) = match self.find(key) {
            Some(entry) => (integer(&entry.value), entry.deadline),
            None => (Some(0), None),
        };
        let Some(before) = before else { return reply.error(NOT_INTEGER) };
        let Some(sum) = before.checked_add(delta) else {
            return reply.error("ERR increment or decrement would overflow");
        };
        self.put(key, sum.to_string().as_bytes(), deadline);
        reply.integer(sum);
    }

    fn set(&mut self, request: Arguments<'_>, reply: &mut Reply) {
        let (key, value) = (&request[1], &request[2]);
        let (mut nx, mut xx, mut get, mut ttl) = (false, false, false, Ttl::None);
        let mut rest = request[3..].iter();
        while let Some(option) = rest.next() {
            let option = String::from_utf8_lossy(option).to_ascii_uppercase();
            match (&*option, ttl) {
                ("NX", _) if !xx => nx = true,
                ("XX", _) if !nx => xx = true,
                ("GET", _) => get = true,
                ("KEEPTTL", Ttl::None | Ttl::Keep) => ttl = Ttl::Keep,
                ("EX", Ttl::None | Ttl::At("EX", _)) if !rest.as_slice().is_empty() => {
                    ttl = Ttl::At("EX", rest.next().expect("it is not empty"));
                }
                ("PX", Ttl::None | Ttl::At("PX", _)) if !rest.as_slice().is_empty() => {
                    ttl = Ttl::At("PX", rest.next().expect("it is not empty"));
                }
                ("EXAT", Ttl::None | Ttl::At("EXAT", _)) if !rest.as_slice().is_empty() => {
                    ttl = Ttl::At("EXAT", rest.next().expect("it is not empty"));
                }
                ("PXAT", Ttl::None | Ttl::At("PXAT", _)) if !rest.as_slice().is_empty() => {
                    ttl = Ttl::At("PXAT", rest.next().expect("it is not empty"));
                }
                _ => return reply.error("ERR syntax error"),
            }
        }
        let deadline = match ttl {
            Ttl::None | Ttl::Keep => None,
            Ttl::At(option, time) => match self.time(option, time) {
                Ok(deadline) => Some(deadline),
                Err(Wrong::Integer) => return reply.error(NOT_INTEGER),
                Err(Wrong::Time) => return reply.invalid_time("set"),
            },
        };
        let before = self.find(key).cloned();
        if get {
            reply.bulk_or_null(before.as_ref().map(|entry| &*entry.value));
        }
        if nx && before.is_some() || xx && before.is_none() {
            if !get {
                reply.null();
            }
            return;
        }
        let kept = before.and_then(|entry| entry.deadline).filter(|_| ttl == Ttl::Keep);
        self.put(key, value, deadline.or(kept));
        if !get {
            reply.simple("OK");
        }
    }

    /// The deadline that a positive time means after one of `SET`'s options.
    pub(super) fn time(&self, option: &str, time: &[u8]) -> Result<i64, Wrong> {
        let time = i128::from(integer(time).ok_or(Wrong::Integer)?);
        let milliseconds = if option.starts_with('E') { time * 1000 } else { time };
        let start = if option.ends_with("AT") { 0 } else { i128::from(self.now_ms) };
        let deadline = i64::try_from(milliseconds + start).map_err(|_| Wrong::Time)?;
        if time <= 0 || i64::try_from(milliseconds).is_err() { Err(Wrong::Time) } else { Ok(deadline) }
    }
}

/// What is wrong with a time.
pub(super) enum Wrong {
    Integer,
    Time,
}
