//! What a write changed, in a form fit for a journal: the resulting state, never the operation.
//!
//! Re-applying the effects of a run, in order, to an empty table gives the run's table.

use arrayvec::ArrayVec;

use super::{Scalar, Value, WindowShape};

/// Position of a change in the order of all changes, 0 = none. Positions only grow.
pub type Lsn = u64;

/// Most bytes that the journal takes for an effect beside its key, its field or token, and its value's bytes.
pub const EFFECT_BYTES: usize = 64;

/// The same for [`Effect::Field`].
pub const FIELD_EFFECT_BYTES: usize = 32;

/// One change. Deadlines are absolute, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// The key now holds `value`, which is no hash, with this deadline or none.
    Set {
        /// The key's bytes.
        key: &'a [u8],
        /// Its value from now on.
        value: Value<'a>,
        /// When it goes away by itself.
        deadline: Option<u64>,
    },
    /// The key keeps its value and has this deadline or none.
    Deadline {
        /// The key's bytes.
        key: &'a [u8],
        /// When it goes away by itself.
        deadline: Option<u64>,
    },
    /// The key is gone.
    Remove {
        /// The key's bytes.
        key: &'a [u8],
        /// Who took it.
        cause: Removal,
    },
    /// A field of the hash at this key, which is made where there is none, now holds `value`.
    Field {
        /// The key's bytes.
        key: &'a [u8],
        /// The field's name.
        field: &'a [u8],
        /// Its value from now on: an integer or bytes.
        value: Scalar<'a>,
        /// When the hash goes away by itself. Told again to a table that is further on, this one may have had to make the
        /// hash anew.
        deadline: Option<u64>,
    },
    /// A field of the hash at this key is gone, and the key with its last field.
    RemoveField {
        /// The key's bytes.
        key: &'a [u8],
        /// The field's name.
        field: &'a [u8],
    },
    /// Bytes were written into the string at this key, which is empty where there is none, and zeros before them where it
    /// ended before `offset`. Its deadline stays.
    Splice {
        /// The key's bytes.
        key: &'a [u8],
        /// Where in the string they stand.
        offset: usize,
        /// The bytes that stand there from now on.
        bytes: &'a [u8],
    },
    /// A bucket of the window at this key, which is made where there is none of this shape, now holds `sum`.
    Bucket {
        /// The key's bytes.
        key: &'a [u8],
        /// Length of the window, and number of its buckets.
        shape: WindowShape,
        /// Number of the bucket since the Unix epoch.
        index: u64,
        /// What was counted in it.
        sum: i64,
        /// When the window goes away by itself.
        deadline: Option<u64>,
    },
    /// A token was used.
    Token {
        /// The key whose token it is; `None`: it is one of the whole server.
        key: Option<&'a [u8]>,
        /// The token's bytes.
        token: &'a [u8],
        /// Of the arguments with which it was used.
        fingerprint: u64,
        /// What the first use answered.
        value: i64,
        /// When the token is forgotten.
        deadline: u64,
    },
    /// Every key is gone, and every token.
    Flush,
}

impl<'a> Effect<'a> {
    /// The key whose value, fields or deadline changed. `None`: it is about all of them, or about none.
    #[inline]
    pub fn changed_key(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Set { key, .. }
            | Self::Deadline { key, .. }
            | Self::Remove { key, .. }
            | Self::Field { key, .. }
            | Self::RemoveField { key, .. }
            | Self::Splice { key, .. }
            | Self::Bucket { key, .. } => Some(key),
            Self::Token { .. } | Self::Flush => None,
        }
    }
}

/// Why a key went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A command removed it.
    Command,
    /// Its deadline passed.
    Expired,
    /// Memory was needed.
    Evicted,
}

/// Takes effects in the order in which they happen, while the lock of the segment concerned is held.
pub trait EffectSink {
    /// Records one effect and returns its position: 0 where nothing is journalled, and within a group, whose position its
    /// end tells.
    fn record(&mut self, effect: Effect<'_>) -> Lsn;

    /// What is recorded from here to [`EffectSink::end`] is one group, to be done again as a whole or not at all: the
    /// changes of a transaction, of a command with several, of a part of a request in parts. It may be empty. Groups do
    /// not nest.
    fn begin(&mut self) {}

    /// The group that was begun is complete: gives its position, 0 if it is empty. The locks under which it was recorded
    /// are still held, so that whoever looks at what changed finds the position there.
    fn end(&mut self) -> Lsn {
        0
    }

    /// Whether it cannot be recorded at the moment that a key of so many bytes goes by itself. Keys whose deadline has passed
    /// then stay, and read as absent.
    fn refuses(&mut self, _key: usize) -> bool {
        false
    }

    /// Whether effects of so many bytes, as the journal has them, can be recorded besides what is already. To be asked before
    /// anything changes where a request's own bytes do not tell how many that are.
    fn affords(&mut self, _bytes: usize) -> bool {
        true
    }
}

/// Does effects again, in the order in which they happened.
pub trait Replay {
    /// Some that follow each other, so that what one after the other needs of memory can be fetched at once.
    fn replay(&mut self, effects: &[Effect<'_>]);

    /// So many bytes of effects were given, of so many, and the keys of those that come are as many for each byte.
    fn expect(&mut self, _given: u64, _all: u64) {}
}

impl<F: FnMut(&Effect<'_>)> Replay for F {
    fn replay(&mut self, effects: &[Effect<'_>]) {
        effects.iter().for_each(self);
    }
}

/// Effects on their way from a reader to whoever does them again: as many at once as are worth it.
pub struct Gathered<'e, 'r> {
    effects: ArrayVec<Effect<'e>, REPLAYED>,
    replay: &'r mut dyn Replay,
}

/// Effects that are done again at once: lines of memory that are fetched at a time.
pub const REPLAYED: usize = 32;

impl std::fmt::Debug for Gathered<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gathered").field("effects", &self.effects).finish_non_exhaustive()
    }
}

impl<'e, 'r> Gathered<'e, 'r> {
    /// None yet.
    pub fn new(replay: &'r mut dyn Replay) -> Self {
        Self { effects: ArrayVec::new(), replay }
    }

    /// Adds one.
    #[inline]
    pub fn push(&mut self, effect: Effect<'e>) {
        if self.effects.is_full() {
            self.flush();
        }
        self.effects.push(effect);
    }

    /// Hands on what is left.
    pub fn flush(&mut self) {
        self.replay.replay(&self.effects);
        self.effects.clear();
    }
}

/// A sink that keeps nothing, for a server without a journal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl EffectSink for Discard {
    #[inline]
    fn record(&mut self, _: Effect<'_>) -> Lsn {
        0
    }
}

/// A sink for those who look where nothing may go by itself: keys whose deadline has passed stay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks;

impl EffectSink for Looks {
    fn record(&mut self, _: Effect<'_>) -> Lsn {
        unreachable!("nothing changes, and what would go by itself is refused")
    }

    fn refuses(&mut self, _key: usize) -> bool {
        true
    }
}
