//! The table as effects that make it: shown in small steps, while it changes.
//!
//! Keys come in the order of their hashes, then the tokens in the order of theirs. A step shows what is in a range of hashes
//! under the lock of one segment. What changes while the steps are taken is shown as it was before or as it is after; whoever
//! then does again, in order, every effect recorded since the first step has the table as it is after the last of them:
//! effects hold resulting state, so that one which the export contains already may be done once more.

use super::effect::Effect;
use super::hash::Fields;
use super::walk::{self, Cursor};
use super::{Table, Used, Value};

/// How far an export has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// In the keys.
    Keys(Cursor),
    /// Behind all keys, in the tokens.
    Tokens(Cursor),
}

impl Position {
    /// The beginning.
    pub const START: Self = Self::Keys(Cursor::START);
}

/// Is shown the effects that make a key or a token.
pub type ShowEffect<'s> = dyn FnMut(&Effect<'_>) + 's;

impl Table {
    /// Shows about `count` keys or tokens from a position on, those whose deadline has passed included. A hash comes as
    /// its fields, one behind the other, and its deadline, if it has one, with each. Gives the position to go on with,
    /// `None` at the end.
    ///
    /// Holds one segment's lock while it shows: `show` must not use the table, nor do what takes long.
    pub fn export(&self, position: Position, count: usize, show: &mut ShowEffect<'_>) -> Option<Position> {
        match position {
            Position::Keys(cursor) => {
                let (next, _) = self.step(cursor, count, &mut |key, value, deadline| match value {
                    Value::Hash(fields) => show_fields(key, fields, deadline, show),
                    Value::Int(_) | Value::Str(_) | Value::Throttle(_) | Value::Window(_) => {
                        show(&Effect::Set { key, value, deadline });
                    }
                });
                Some(next.map_or(Position::Tokens(Cursor::START), Position::Keys))
            }
            Position::Tokens(cursor) => {
                let guard = self.lock_segment(cursor.segment());
                let next = walk::advance_tokens(guard.store(), cursor, count, &mut |key, token, used| {
                    let Used { fingerprint, value, deadline } = used;
                    show(&Effect::Token { key, token, fingerprint, value, deadline });
                });
                next.map(Position::Tokens)
            }
        }
    }
}

/// However many fields there are: a hash is seen whole, and one of a million keeps its segment's lock for some 20 ms.
fn show_fields(key: &[u8], fields: Fields<'_>, deadline: Option<u64>, show: &mut ShowEffect<'_>) {
    fields.for_each(&mut |field, value| show(&Effect::Field { key, field, value, deadline }));
}
