//! What a fuzzer's bytes say when they are read as a script: small numbers, numbers at the edges, effects. Never ends:
//! behind the last byte come zeros.

use tallyring::journal::record;
use tallyring::limits::{KEY_BYTES, VALUE_BYTES};
use tallyring::table::effect::{Effect, Removal};
use tallyring::table::{Scalar, Value, WindowShape};

/// A key that no client can make.
static TOO_LONG: [u8; KEY_BYTES + 1] = [b'l'; KEY_BYTES + 1];

/// The rest of a script.
#[derive(Clone, Copy, Debug)]
pub struct Script<'d>(pub &'d [u8]);

impl<'d> Script<'d> {
    /// Whether nothing is left.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    /// A number below `bound`, which is 256 at most.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// So many bytes, if there are as many.
    pub fn bytes(&mut self, count: usize) -> &'d [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// A number, mostly small, a multiple of eight, or near an edge.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            low @ 0..0x80 => u64::from(low) * 8,
            low @ 0x80..0xc0 => u64::from(low & 0x3f),
            low @ 0xc0..0xe0 => u64::MAX - u64::from(low & 0x1f) * 8,
            low @ 0xe0..0xf0 => {
                (1_u64 << (4 * u32::from(low & 0xf))).wrapping_sub(u64::from(self.byte() & 8))
            }
            0xf0..0xf8 => u64::from(u16::from_le_bytes([self.byte(), self.byte()])),
            _ => {
                let mut bytes = [0; 8];
                bytes.fill_with(|| self.byte());
                u64::from_le_bytes(bytes)
            }
        }
    }

    /// Another number in place of `right`, now and then.
    pub fn instead_of(&mut self, right: u64) -> u64 {
        match self.byte() {
            0xf0.. => self.number(),
            low @ 0xe0..0xf0 => right.wrapping_add(u64::from(low & 0xf)).wrapping_sub(8),
            _ => right,
        }
    }

    /// Appends a record, or bytes that may be one.
    pub fn put_record(&mut self, out: &mut Vec<u8>) {
        let kind = self.byte();
        if kind >= 0xf0 {
            let count = usize::from(kind & 0xf);
            out.extend_from_slice(self.bytes(count));
            return;
        }
        let keys: [&[u8]; 7] = [b"", b"a", b"b", b"n:1", b"n:2", &[b'l'; 300], &TOO_LONG];
        // The longest stands for many bytes, and comes seldom.
        let kinds = if kind & 0xc0 == 0x40 { 7 } else { 6 };
        let (key, field) = (keys[self.below(kinds)], keys[self.below(kinds)]);
        let deadline = (kind & 0x10 != 0).then(|| self.number());
        let long = usize::from(self.byte() & 0x1f);
        let text = self.bytes(long);
        let value = if kind & 0x20 == 0 { Value::Int(self.number().cast_signed()) } else { Value::Str(text) };
        let effect = match kind & 0xf {
            0..=3 => Effect::Set { key, value, deadline },
            4 => Effect::Set { key, value: Value::Throttle(self.number().cast_signed()), deadline },
            5 => Effect::Deadline { key, deadline },
            6 => Effect::Remove { key, cause: Removal::Command },
            7 | 8 => Effect::Field { key, field, value: value.scalar().unwrap_or(Scalar::Int(1)), deadline },
            9 => Effect::RemoveField { key, field },
            10 => Effect::Splice { key, offset: self.offset(), bytes: text },
            11 | 12 => {
                let buckets = u16::from(self.byte()) + 1;
                let shape = WindowShape { length_ms: self.number().max(1), buckets };
                Effect::Bucket {
                    key,
                    shape,
                    index: self.number(),
                    sum: self.number().cast_signed(),
                    deadline,
                }
            }
            13 | 14 => {
                let (value, until) = (self.number().cast_signed(), self.number());
                let key = (kind & 0x20 != 0).then_some(key);
                Effect::Token { key, token: text, fingerprint: 5, value, deadline: until }
            }
            _ => Effect::Flush,
        };
        record::encode(&effect, out);
    }

    /// A place in a string: in a short one, or in none that may be.
    fn offset(&mut self) -> usize {
        let offset = usize::try_from(self.number()).expect("64 bits");
        if offset <= VALUE_BYTES { offset % 5000 } else { offset }
    }
}
