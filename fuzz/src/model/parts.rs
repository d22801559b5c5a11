//! Values as rows of bytes: their length, parts of them, what is written into them; and `GETEX`.

use super::strings::Wrong;
use super::text::{NOT_INTEGER, Reply, integer};
use super::{Arguments, Entry, Model};

/// Bytes that a value may have.
const MOST: i64 = 1024 * 1024;

const TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

impl Model {
    pub(super) fn part(&mut self, name: &str, request: Arguments<'_>, reply: &mut Reply) {
        let key = &request[1];
        match name {
            "getex" => self.getex(request, reply),
            "strlen" => reply.count(self.find(key).map_or(0, |entry| entry.value.len())),
            "append" => {
                let entry = self.entry(key);
                entry.value.extend_from_slice(&request[2]);
                reply.count(entry.value.len());
            }
            "getrange" | "substr" => {
                let (Some(start), Some(end)) = (integer(&request[2]), integer(&request[3])) else {
                    return reply.error(NOT_INTEGER);
                };
                let value = self.find(key).map_or(&[][..], |entry| &entry.value);
                let len = i128::try_from(value.len()).expect("a length");
                if start < 0 && end < 0 && start > end {
                    return reply.bulk(b"");
                }
                let from = |offset: i64| (i128::from(offset) + if offset < 0 { len } else { 0 }).max(0);
                let shown = (0..len).filter(|at| from(start) <= *at && *at <= from(end));
                let shown: Vec<u8> = shown.map(|at| value[usize::try_from(at).expect("an index")]).collect();
                reply.bulk(&shown);
            }
            "setrange" => {
                let Some(offset) = integer(&request[2]) else { return reply.error(NOT_INTEGER) };
                let patch = &request[3];
                let Ok(from) = usize::try_from(offset) else {
                    return reply.error("ERR offset is out of range");
                };
                if patch.is_empty() {
                    return reply.count(self.find(key).map_or(0, |entry| entry.value.len()));
                }
                let end = i64::try_from(patch.len()).expect("a length").saturating_add(offset);
                if end > MOST {
                    return reply.error(TOO_LONG);
                }
                let value = &mut self.entry(key).value;
                let end = from + patch.len();
                value.resize(value.len().max(end), 0);
                value[from..end].copy_from_slice(patch);
                reply.count(value.len());
            }
            _ => unreachable!("{name} belongs to another family"),
        }
    }

    fn entry(&mut self, key: &[u8]) -> &mut Entry {
        self.find(key);
        self.entries.entry(key.to_vec()).or_insert(Entry { value: Vec::new(), deadline: None })
    }

    fn getex(&mut self, request: Arguments<'_>, reply: &mut Reply) {
        let (mut chosen, mut time) = (String::new(), None);
        let mut rest = request[2..].iter();
        while let Some(option) = rest.next() {
            let option = String::from_utf8_lossy(option).to_ascii_uppercase();
            let known = matches!(&*option, "PERSIST" | "EX" | "PX" | "EXAT" | "PXAT");
            if !known || !chosen.is_empty() && chosen != option {
                return reply.error("ERR syntax error");
            }
            if option != "PERSIST" {
                time = rest.next();
                if time.is_none() {
                    return reply.error("ERR syntax error");
                }
            }
            chosen = option;
        }
        let Some(Entry { value, deadline }) = self.find(&request[1]).cloned() else { return reply.null() };
        let deadline = match time.map(|time| self.time(&chosen, time)) {
            None if chosen == "PERSIST" => None,
            None => deadline,
            Some(Ok(deadline)) => Some(deadline),
            Some(Err(Wrong::Integer)) => return reply.error(NOT_INTEGER),
            Some(Err(Wrong::Time)) => return reply.invalid_time("getex"),
        };
        reply.bulk(&value);
        self.put(&request[1], &value, deadline);
    }
}
