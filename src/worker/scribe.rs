//! How a worker's changes reach the journal: a frame each, or one for a group, in the log ring that all workers share.
//!
//! Space is obtained before a request is executed and no lock is held ([`Desk::prepare`]), as much as it may need by its
//! bytes and arguments. What needs more than was foreseen is kept beside the ring and takes two words of it.

use crate::journal::record;
use crate::journal::ring::{Allowance, Ring};
use crate::table::effect::{Effect, EffectSink, Lsn};

/// Bytes that a request may need beyond what its own bytes tell: the longest float, a deadline that has passed by the way,
/// and frames that turn out too long for what is left.
const RESERVE: u64 = 16 * 1024;

/// Bytes below which keys whose deadline has passed stay, where a command only looks.
const SCARCE: u64 = 4 * 1024;

/// What a worker has for writing.
#[derive(Debug, Default)]
pub(super) struct Desk {
    allowance: Allowance,
    /// The records of the frame under way.
    records: Vec<u8>,
    grouped: bool,
    /// The command that runs only looks.
    reads: bool,
    /// The request at hand may not write: the disk has no space (an errno).
    refused: Option<i32>,
}

/// What a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Nothing, but that keys whose deadline has passed go.
    Looks,
    /// What these bytes and arguments say.
    Writes {
        /// Bytes of the request.
        bytes: usize,
        /// Its arguments.
        arguments: usize,
    },
}

/// Whether a request can be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// There is space for what it may change.
    Enough,
    /// There will be, in a moment.
    Soon,
    /// The disk has none: see [`Desk::refused`].
    Refused,
}

impl Desk {
    /// Obtains space for what a request may change.
    #[inline]
    pub(super) fn prepare(&mut self, ring: &Ring, extent: Extent) -> Space {
        // A key may be removed and set in one request. What is longer than a frame in the ring is kept beside it.
        let need = match extent {
            Extent::Looks => 0,
            Extent::Writes { bytes, arguments } => (2 * bytes + 64 * arguments) as u64,
        };
        let need = need.min(ring.longest()) + RESERVE.min(ring.longest());
        self.reads = extent == Extent::Looks;
        self.refused = None;
        if ring.top_up(&mut self.allowance, need) {
            return Space::Enough;
        }
        match ring.refusing() {
            // It looks only, and what has passed its deadline can stay.
            _ if self.reads => Space::Enough,
            Some(errno) => {
                self.refused = Some(errno);
                Space::Refused
            }
            None => Space::Soon,
        }
    }

    /// Why the request for which space was asked last may not write, an errno; `None`: it may.
    #[inline]
    pub(super) fn refused(&self) -> Option<i32> {
        self.refused
    }

    /// Obtains space for keys that go by themselves. False: there is none now.
    pub(super) fn prepare_removals(&mut self, ring: &Ring) -> bool {
        self.reads = false;
        ring.top_up(&mut self.allowance, RESERVE)
    }

    /// Gives back what is left, at the end of a turn: the next one may be long in coming.
    pub(super) fn leave(&mut self, ring: &Ring) {
        ring.give_back(&mut self.allowance);
    }

    fn append(&mut self, ring: &Ring) -> Lsn {
        if ring.cost(self.records.len()) <= self.allowance.bytes() {
            return ring.append(&mut self.allowance, &self.records);
        }
        ring.append_boxed(&mut self.allowance, std::mem::take(&mut self.records))
    }
}

/// Counts changes and hands them to the journal, if there is one.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    pub(super) count: &'a mut u64,
    pub(super) desk: &'a mut Desk,
    pub(super) ring: Option<&'a Ring>,
}

impl EffectSink for Changes<'_> {
    #[inline]
    fn record(&mut self, effect: Effect<'_>) -> Lsn {
        *self.count += 1;
        let Some(ring) = self.ring else { return 0 };
        if self.desk.grouped {
            record::encode(&effect, &mut self.desk.records);
            return 0;
        }
        self.desk.records.clear();
        record::encode(&effect, &mut self.desk.records);
        self.desk.append(ring)
    }

    fn begin(&mut self) {
        debug_assert!(!self.desk.grouped, "groups do not nest");
        self.desk.grouped = true;
        self.desk.records.clear();
    }

    fn end(&mut self) -> Lsn {
        self.desk.grouped = false;
        match self.ring {
            Some(ring) if !self.desk.records.is_empty() => self.desk.append(ring),
            Some(_) | None => 0,
        }
    }

    fn refuses(&self) -> bool {
        self.ring.is_some() && self.desk.reads && self.desk.allowance.bytes() < SCARCE
    }
}
