//! How a worker's changes reach the journal: a frame each, or one for a group, in the log ring that all workers share.
//!
//! Space is obtained before a request is executed and no lock is held ([`Desk::prepare`]), as much as it may need by its
//! bytes and arguments. What needs more than was foreseen is kept beside the ring and takes two words of it.

use crate::journal::record;
use crate::journal::ring::BOXED_BYTES;
use crate::journal::ring::{Allowance, Ring};
use crate::table::effect::{Effect, EffectSink, Lsn};

/// Bytes that a request may need beyond what its own bytes tell: the longest float, a deadline that has passed by the way,
/// and frames that turn out too long for what is left.
const RESERVE: u64 = 16 * 1024;

/// Bytes below which keys whose deadline has passed stay, where a command only looks.
const SCARCE: u64 = 4 * 1024;

/// Bytes of records above which a group is cut in parts: as much as a frame can well have. Who changes more at once than that
/// finds a part of it after a crash in between.
const LONGEST_GROUP: usize = 1 << 30;

/// What a worker has for writing.
#[derive(Debug, Default)]
pub(super) struct Desk {
    allowance: Allowance,
    /// The records of the frame under way.
    records: Vec<u8>,
    grouped: bool,
    /// End of the parts of the group under way that were appended already.
    so_far: Lsn,
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

    /// What follows is no command's doing: keys go by themselves.
    pub(super) fn write(&mut self) {
        self.reads = false;
    }

    /// Obtains space for keys that go by themselves. False: there is none now.
    pub(super) fn prepare_removals(&mut self, ring: &Ring) -> bool {
        ring.top_up(&mut self.allowance, RESERVE)
    }

    /// Gives back what is left, at the end of a turn: the next one may be long in coming.
    pub(super) fn leave(&mut self, ring: &Ring) {
        ring.give_back(&mut self.allowance);
    }

    fn append(&mut self, ring: &Ring) -> Lsn {
        // What is scarce is kept for frames beside the ring, which take two words each: so there is always room for one.
        if ring.cost(self.records.len()) + SCARCE <= self.allowance.bytes() {
            return ring.append(&mut self.allowance, &self.records);
        }
        // Not foreseen to come to this. To wait with a lock held is better than to end the server: the journal's thread,
        // which makes room, takes no lock of the table.
        while !ring.top_up(&mut self.allowance, BOXED_BYTES) {
            std::thread::yield_now();
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
            if self.desk.records.len() > LONGEST_GROUP {
                self.desk.so_far = self.desk.append(ring);
            }
            return 0;
        }
        self.desk.records.clear();
        record::encode(&effect, &mut self.desk.records);
        self.desk.append(ring)
    }

    fn begin(&mut self) {
        debug_assert!(!self.desk.grouped, "groups do not nest");
        self.desk.grouped = true;
        self.desk.so_far = 0;
        self.desk.records.clear();
    }

    fn end(&mut self) -> Lsn {
        self.desk.grouped = false;
        match self.ring {
            Some(ring) if !self.desk.records.is_empty() => self.desk.append(ring),
            Some(_) | None => self.desk.so_far,
        }
    }

    fn refuses(&self) -> bool {
        self.ring.is_some() && self.desk.reads && self.desk.allowance.bytes() < SCARCE
    }
}
