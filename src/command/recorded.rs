//! How much the journal may have to tell of a request: known before it is executed, from its bytes, or where it copies what
//! the table holds, from that.

use std::collections::HashMap;

use crate::resp::args::Args;
use crate::resp::integer;
use crate::table::effect::{EFFECT_BYTES, FIELD_EFFECT_BYTES, Looks};
use crate::table::{Holding, Moment, Scalar, Value};

use super::queue::Queue;
use super::substring::is_setrange;
use super::{Call, Command, Flags, Keys};

/// Digits of the longest integer, with its sign.
const INTEGER_BYTES: usize = 20;

/// Bytes of the largest window: see [`crate::table::Window`].
const WINDOW_BYTES: usize = 21 + 1024 * 10;

/// Bytes of effects at most, of a request that copies nothing: each argument is in one of them, a key may go, be set and have
/// a token, and the key of a hash stands before each of its fields.
#[cold]
pub fn recorded(command: &Command, args: &Args<'_>) -> usize {
    let keys: usize = command.keys_of(args).map(<[u8]>::len).sum();
    let fields = if command.keys == Keys::ONE { args.len() } else { 0 };
    args.extent() + 2 * keys + fields * keys + EFFECT_BYTES * args.len()
}

/// What a key holds, as far as the journal's effort goes that tells of a copy.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Content {
    /// Bytes of the value, or of all fields and their values.
    bytes: usize,
    /// Fields of a hash.
    fields: usize,
}

impl Content {
    pub(super) fn of(value: Option<Value<'_>>) -> Self {
        let Some(value) = value else { return Self::default() };
        let scalar = |value: Scalar<'_>| match value {
            Scalar::Int(_) => INTEGER_BYTES,
            Scalar::Str(bytes) => bytes.len(),
        };
        match value {
            Value::Int(_) | Value::Throttle(_) => Self { bytes: INTEGER_BYTES, fields: 0 },
            Value::Str(bytes) => Self { bytes: bytes.len(), fields: 0 },
            Value::Window(_) => Self { bytes: WINDOW_BYTES, fields: 0 },
            Value::Hash(fields) => {
                let mut bytes = 0;
                fields.for_each(&mut |field, value| bytes += field.len() + scalar(value));
                Self { bytes, fields: fields.len() }
            }
        }
    }

    /// Bytes of effects that put it at `to` instead of what is there, `from` being removed.
    pub(super) fn recorded(self, from: &[u8], to: &[u8]) -> usize {
        let fields = self.fields * (to.len() + FIELD_EFFECT_BYTES);
        self.bytes + fields + from.len() + 3 * (to.len() + EFFECT_BYTES)
    }

    /// What it may be after a request that has it among its keys; values have `most` bytes.
    fn after(self, command: &Command, args: &Args<'_>, most: usize) -> Self {
        // Only this makes a value longer than by its own bytes: zeros before them.
        let zeros = if is_setrange(command) { args.get(2) } else { b"" };
        let zeros = integer::parse(zeros).and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0);
        let bytes = self.bytes.max(zeros.min(most)) + args.extent() + INTEGER_BYTES * args.len();
        Self { bytes, fields: self.fields + args.len() }
    }

    /// The larger of both in each respect.
    fn or(self, other: Self) -> Self {
        Self { bytes: self.bytes.max(other.bytes), fields: self.fields.max(other.fields) }
    }
}

impl Call<'_> {
    /// Bytes of effects at most, of all requests of a transaction whose segments are held. Those that copy are followed: what
    /// one has copied, or another has made longer, the next may copy again.
    pub(super) fn recorded_of(&self, queue: &Queue, held: &mut dyn Holding) -> usize {
        let (now_ms, most) = (self.now.ms(), self.host.limits().max_bulk);
        let mut look = |bytes: &[u8]| {
            let key = self.table.key(bytes);
            Content::of(held.segment(key.hash).get(key, &mut Moment { now_ms, effects: &mut Looks }))
        };
        let mut contents = HashMap::<&[u8], Content>::new();
        let mut bytes = queue.recorded();
        let requests: Vec<_> = queue.iter().collect();
        for (command, args) in &requests {
            let mut content_of =
                |key, contents: &mut HashMap<_, _>| *contents.entry(key).or_insert_with(|| look(key));
            if command.flags.has(Flags::COPIES) {
                let (from, to) = (args.get(1), args.get(2));
                let copied = content_of(from, &mut contents);
                bytes += copied.recorded(from, to);
                // Whether it comes to that or not.
                let before = content_of(to, &mut contents);
                contents.insert(to, copied.or(before));
            } else if command.flags.has(Flags::WRITE) {
                for key in command.keys_of(args) {
                    let before = content_of(key, &mut contents);
                    contents.insert(key, before.after(command, args, most));
                }
            }
        }
        bytes
    }
}
