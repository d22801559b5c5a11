//! Tokens of idempotent commands: which were used, with what arguments, and what the first use answered. A token belongs to
//! the name of a key, whatever happens to the key, or to the whole server. Knows no clock; time is an argument.
//!
//! Kept like packed keys, under a name that no client sees: a byte that tells whose it is, the length of the key and the key,
//! the token. The payload is the fingerprint of the arguments and the answer.

use super::key::{Hashing, position_of};
use super::packed::{Found, Packed};
use super::record::{self, Kind, NEVER, Record, put_len, take_len};

/// What a token was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Of the arguments.
    pub fingerprint: u64,
    /// What the first use answered.
    pub value: i64,
    /// Milliseconds since the Unix epoch from which on it is forgotten.
    pub deadline: u64,
}

/// Is shown a token: the key that it belongs to (`None`: the server's own), its bytes, what it was used for.
pub type VisitToken<'v> = dyn FnMut(Option<&[u8]>, &[u8], Used) + 'v;

/// The tokens of one segment's keys, and those of the server whose hash is in it.
#[derive(Debug)]
pub(super) struct Tokens {
    kept: Packed,
    /// A lower bound of their deadlines.
    due: u64,
    /// Names, records and keys on their way; empty in between.
    name: Vec<u8>,
    record: Vec<u8>,
    expired: Vec<Box<[u8]>>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { kept: Packed::new(0), due: NEVER, name: Vec::new(), record: Vec::new(), expired: Vec::new() }
    }
}

/// Writes the name under which a token is kept.
pub(super) fn name(out: &mut Vec<u8>, key: Option<&[u8]>, token: &[u8]) {
    out.clear();
    out.push(u8::from(key.is_some()));
    if let Some(key) = key {
        put_len(out, key.len());
        out.extend_from_slice(key);
    }
    out.extend_from_slice(token);
}

/// The key and the token of a name.
fn parts(name: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let (&owner, rest) = name.split_first().expect("a name begins with whose it is");
    if owner == 0 {
        return (None, rest);
    }
    let (len, rest) = take_len(rest);
    let (key, token) = rest.split_at(len);
    (Some(key), token)
}

fn used(record: &Record<'_>) -> Used {
    let (fingerprint, rest) = record.payload.split_first_chunk::<8>().expect("a token has two numbers");
    let value = rest.first_chunk::<8>().expect("a token has two numbers");
    Used {
        fingerprint: u64::from_le_bytes(*fingerprint),
        value: i64::from_le_bytes(*value),
        deadline: record.deadline,
    }
}

impl Tokens {
    /// Number of tokens, those that are due but not removed yet included.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.kept.heap_bytes()
    }

    /// Bytes given back to the allocator since the last call.
    pub(super) fn take_freed(&mut self) -> usize {
        self.kept.take_freed()
    }

    /// A lower bound of all deadlines.
    #[inline]
    pub(super) fn due(&self) -> u64 {
        self.due
    }

    fn find(&mut self, hashing: &Hashing, key: Option<&[u8]>, token: &[u8]) -> (u64, Option<Found>) {
        name(&mut self.name, key, token);
        let bits = hashing.bits(&self.name);
        (bits, self.kept.find(&self.name, bits))
    }

    /// What a token was used for, if it is remembered at `now`.
    pub(super) fn get(
        &mut self,
        hashing: &Hashing,
        key: Option<&[u8]>,
        token: &[u8],
        now: u64,
    ) -> Option<Used> {
        if self.kept.len() == 0 {
            return None;
        }
        let (_, found) = self.find(hashing, key, token);
        found.map(|found| used(&self.kept.record(found))).filter(|used| used.deadline > now)
    }

    /// Remembers a token, whatever it was used for before.
    pub(super) fn set(&mut self, hashing: &Hashing, key: Option<&[u8]>, token: &[u8], used: Used) {
        let (bits, found) = self.find(hashing, key, token);
        let deadline = used.deadline.min(NEVER - 1);
        record::begin(&mut self.record, Kind::Token, 8, &self.name, deadline);
        self.record.extend_from_slice(&used.fingerprint.to_le_bytes());
        self.record.extend_from_slice(&used.value.to_le_bytes());
        match found {
            Some(found) => self.kept.rewrite(hashing, found, bits, &self.record),
            None => {
                self.kept.insert(hashing, bits, &self.record);
            }
        }
        self.due = self.due.min(deadline);
        // A key of 64 KiB passes through once; what is usual fits into this.
        for scratch in [&mut self.name, &mut self.record] {
            if scratch.capacity() > 4096 {
                *scratch = Vec::new();
            }
        }
    }

    /// Forgets some tokens that are due, a bounded number. `None`: there is none any more, and `due` is exact.
    pub(super) fn expire_some(&mut self, hashing: &Hashing, now: u64) -> Option<usize> {
        if self.due > now {
            return None;
        }
        self.expired.clear();
        if !self.kept.collect_due(now, &mut self.expired) {
            self.due = if self.kept.len() > 0 { self.kept.due() } else { NEVER };
            debug_assert!(self.due > now);
            return None;
        }
        for name in self.expired.drain(..) {
            let bits = hashing.bits(&name);
            let found = self.kept.find(&name, bits).expect("a token that was just collected is there");
            self.kept.remove(hashing, found, bits);
        }
        Some(8)
    }

    /// Visits every token whose position is in the range.
    pub(super) fn visit(&self, hashing: &Hashing, first: u64, last: u64, visit: &mut VisitToken<'_>) {
        self.kept.visit(hashing, first, last, |position, cell| {
            debug_assert!(position == position_of(hashing.bits(record::key_of(cell))));
            let record = Record::read(cell);
            let (key, token) = parts(record.key);
            visit(key, token, used(&record));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Tokens, Used, name, parts};
    use crate::table::key::Hashing;

    #[test]
    fn names_do_not_meet() {
        let mut out = Vec::new();
        for (key, token) in
            [(None, b"t".as_slice()), (Some(b"".as_slice()), b"t"), (Some(b"kt"), b""), (Some(b"k"), b"t")]
        {
            name(&mut out, key, token);
            assert_eq!(parts(&out), (key, token));
        }
        name(&mut out, Some(&[7; 300]), b"token");
        assert_eq!(parts(&out), (Some([7; 300].as_slice()), b"token".as_slice()));
    }

    #[test]
    fn tokens_are_remembered_until_they_are_due() {
        let hashing = Hashing::seeded(1);
        let mut tokens = Tokens::default();
        let used = |value, deadline| Used { fingerprint: 9, value, deadline };
        for n in 0..500_u32 {
            let deadline = 100 + u64::from(n % 5);
            tokens.set(&hashing, Some(b"key"), &n.to_le_bytes(), used(n.into(), deadline));
        }
        tokens.set(&hashing, None, &3_u32.to_le_bytes(), used(-1, 1000));
        assert_eq!(tokens.len(), 501);
        assert_eq!(tokens.get(&hashing, Some(b"key"), &3_u32.to_le_bytes(), 102), Some(used(3, 103)));
        assert_eq!(tokens.get(&hashing, Some(b"key"), &3_u32.to_le_bytes(), 103), None, "due");
        assert_eq!(tokens.get(&hashing, None, &3_u32.to_le_bytes(), 103), Some(used(-1, 1000)));
        assert_eq!(tokens.get(&hashing, Some(b"other"), &3_u32.to_le_bytes(), 1), None);
        tokens.set(&hashing, Some(b"key"), &3_u32.to_le_bytes(), used(4, 2000));
        assert_eq!((tokens.len(), tokens.due()), (501, 100));
        while tokens.expire_some(&hashing, 102).is_some() {}
        assert_eq!(tokens.len(), 201);
        assert!(tokens.due() > 102);
        while tokens.expire_some(&hashing, 1000).is_some() {}
        assert_eq!(tokens.get(&hashing, Some(b"key"), &3_u32.to_le_bytes(), 1000), Some(used(4, 2000)));
        let mut seen = 0;
        tokens.visit(&hashing, 0, u64::MAX, &mut |key, _, used| {
            assert_eq!((key, used.value), (Some(b"key".as_slice()), 4));
            seen += 1;
        });
        assert_eq!(seen, 1);
        while tokens.expire_some(&hashing, 2000).is_some() {}
        assert_eq!((tokens.len(), tokens.due()), (0, u64::MAX));
    }
}
