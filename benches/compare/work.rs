//! What a step of a run does, and how the load is asked for it. Knows names and numbers.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::load::harm::Kind;
use crate::load::population::Population;

/// Keys that one request of T6 names.
pub(super) const BULK_KEYS: u32 = 10_000;

/// Keys of T5 that stay in a processor's nearest caches.
pub(super) const FEW_KEYS: u64 = 1_000;

/// Of [`Work::Open`]: a server that is well, and one that is nearly busy.
pub(super) const HALF: u8 = 50;
pub(super) const NEARLY: u8 = 80;

/// Commands that not every server has; see [`Work::needs`].
pub(super) const COMMANDS: [&str; 5] = ["MINCRBY", "HSET", "CL.THROTTLE", "SAVE", "BGSAVE"];

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Saturating load.
    Closed,
    /// Saturating load while system calls are counted.
    Calls,
    /// So many per cent of the slowest server's capacity, at fixed times.
    Open(u8),
    /// Idle connections.
    Idle,
    /// Saturating requests that each name [`BULK_KEYS`] keys, any of so many that exist.
    Keys(Many, u64),
    /// Large requests sent but for their ends.
    Partial(Many, Delivery),
    /// Saturating load on so many keys, which are all there are.
    Among(u64),
    /// A fresh server with so many keys.
    Holding(Population, u64),
    /// A fresh server with more and more keys, as many as that in the end.
    Growing(u64),
    /// So many keys that expire together, under load.
    Expiry(Due, u64),
    /// Half of the server's own capacity, at fixed times, before and while a snapshot of so many keys is written.
    Snapshot(u64),
    /// A server ended and started again with so many keys on disk.
    Starting(Source, u64),
    /// Half of the server's own capacity, at fixed times, before and beside this harm.
    Beside(Kind),
    /// One request of every command, one at a time.
    Each,
}

/// As records name it.
impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Calls => f.write_str("calls"),
            Self::Open(HALF) => f.write_str("open"),
            Self::Open(percent) => write!(f, "open at {percent} %"),
            Self::Idle => f.write_str("idle"),
            Self::Keys(command, keys) => write!(f, "{} of {keys} keys", command.text()),
            Self::Partial(command, Delivery::Whole) => write!(f, "{} by whole writes", command.text()),
            Self::Partial(command, Delivery::Pieces) => {
                write!(f, "{} by {PIECE}-byte sends", command.text())
            }
            Self::Among(keys) => write!(f, "among {keys} keys"),
            Self::Holding(population, keys) => write!(f, "{keys} {}", shown(*population)),
            Self::Growing(keys) => write!(f, "up to {keys} {}", shown(Population::Articles)),
            Self::Expiry(Due::Spread, keys) => write!(f, "{keys} deadlines all over a second"),
            Self::Snapshot(keys) => write!(f, "snapshot of {keys} keys"),
            Self::Starting(Source::Snapshot, keys) => write!(f, "start from a snapshot of {keys} keys"),
            Self::Starting(Source::Journal, keys) => write!(f, "start from a journal of {keys} keys"),
            Self::Beside(harm) => write!(f, "beside {}", harm.shown()),
            Self::Each => f.write_str("each command"),
            Self::Expiry(Due::AtOnce, keys) => write!(f, "{keys} deadlines at once"),
        }
    }
}

/// What a population is made of, for people.
fn shown(population: Population) -> &'static str {
    match population {
        Population::Articles => "× views:article:N",
        Population::Days => "× user:N:day:DATE",
        Population::Words => "keys of 16 letters",
        Population::Timed => "× views:article:N with a deadline",
        Population::Rows => "rows of 8 counters",
        Population::Throttles => "CL.THROTTLE keys",
        Population::Sessions => "× session:N with a deadline",
    }
}

impl Work {
    /// The command that not every server has, without which it cannot do this.
    pub(super) fn needs(self) -> Option<&'static str> {
        match self {
            Self::Keys(Many::Mincrby, _) => Some("MINCRBY"),
            Self::Holding(Population::Rows, _) => Some("HSET"),
            Self::Holding(Population::Throttles, _) => Some("CL.THROTTLE"),
            Self::Snapshot(_) => Some("BGSAVE"),
            Self::Starting(Source::Snapshot, _) => Some("SAVE"),
            Self::Closed
            | Self::Calls
            | Self::Open(_)
            | Self::Idle
            | Self::Keys(Many::Mget | Many::Mset, _)
            | Self::Partial(..)
            | Self::Among(_)
            | Self::Holding(..)
            | Self::Growing(_)
            | Self::Expiry(..)
            | Self::Starting(Source::Journal, _)
            | Self::Beside(_)
            | Self::Each => None,
        }
    }
}

/// What a server reads its data from when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A snapshot, after which nothing was changed.
    Snapshot,
    /// A journal of everything that was done; there is no snapshot.
    Journal,
}

/// How deadlines that fall into the same second lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Anywhere.
    Spread,
    /// All at its beginning: `EXPIREAT` knows whole seconds only.
    AtOnce,
}

impl Serialize for Work {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A command on many keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Many {
    /// Its keys are independent of each other: here it is answered while it arrives.
    Mget,
    /// The same, and writes.
    Mincrby,
    /// All or nothing.
    Mset,
}

impl Many {
    /// Its name.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Mget => "MGET",
            Self::Mincrby => "MINCRBY",
            Self::Mset => "MSET",
        }
    }

    /// As the load is asked for a request with so many arguments behind the name.
    pub(super) fn mix(self, arguments: u32) -> String {
        match self {
            Self::Mget => format!("mget:{arguments}"),
            Self::Mincrby => format!("mincrby:{}", arguments / 2),
            Self::Mset => format!("mset:{}", arguments / 2),
        }
    }

    /// As the load is asked for a request that names so many keys.
    pub(super) fn mix_of_keys(self, keys: u32) -> String {
        match self {
            Self::Mget => self.mix(keys),
            Self::Mincrby | Self::Mset => self.mix(2 * keys),
        }
    }
}

/// How the bytes of a large request are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// As many at a time as the socket takes.
    Whole,
    /// [`PIECE`] at a time.
    Pieces,
}

/// Bytes of a small send.
pub(super) const PIECE: usize = 100;
