//! How a worker's changes reach the journal: a frame each, or one for a group, in the log ring that all workers share.
//!
//! Space is obtained before a request is executed and no lock is held ([`Desk::prepare`]), as much as it may need by its
//! bytes and arguments. What is longer than a frame in the ring can be is kept beside it, takes two words of it, and has
//! space of its own in the files, obtained as well; so has what depends on what the table holds, for which a command asks
//! before it changes anything ([`EffectSink::affords`]).

use crate::journal::record;
use crate::journal::ring::{Allowance, BOXED_BYTES, Granted, Ring};
use crate::table::effect::{EFFECT_BYTES, Effect, EffectSink, Lsn};

/// Bytes that a request may need beyond what its own bytes tell: the longest float, a deadline that has passed by the way.
const RESERVE: u64 = 16 * 1024;

/// Bytes that are left for frames beside the ring, which take two words each: so there is always room for one.
const SCARCE: u64 = 4 * 1024;

/// Bytes of records above which a group is cut in parts: as much as a frame can well have. Who changes more at once than that
/// finds a part of it after a crash in between.
const LONGEST_GROUP: usize = 1 << 30;

/// What a worker has for writing.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// The worker's number.
    id: usize,
    allowance: Allowance,
    /// The records of the frame under way.
    records: Vec<u8>,
    grouped: bool,
    /// End of the parts of the group under way that were appended already.
    so_far: Lsn,
    /// Who removes keys.
    removes: Removes,
    /// Bytes of the ring that the request at hand may need.
    spoken_for: u64,
    /// Space beside the ring was asked for, or obtained, and is to be given back when nobody waits for it.
    beside: bool,
    /// Others of this worker wait for that, and are served first.
    behind: bool,
    /// Bytes of a key that went not by itself, for want of space.
    kept_key: usize,
    /// The request at hand may not write: the disk has no space (an errno).
    refused: Option<i32>,
}

/// On whose account keys are removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Removes {
    /// On that of a request that writes, by whose bytes it was reckoned.
    #[default]
    Request,
    /// On nobody's: they go by themselves, where there is space.
    Nobody,
}

/// What a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Nothing, but that keys whose deadline has passed go.
    Looks,
    /// At most what the journal has so many bytes for.
    Writes(usize),
}

/// Whether a request can be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// There is space for what it may change.
    Enough,
    /// There will be, in a moment.
    Soon,
    /// There will be, once the files are longer. What is shorter need not wait for that.
    Later,
    /// The disk has none: see [`Desk::refused`].
    Refused,
}

impl Desk {
    /// The desk of the worker of this number.
    pub(super) fn of(id: usize) -> Self {
        Self { id, ..Self::default() }
    }

    /// Obtains space for what a request may change.
    #[inline]
    pub(super) fn prepare(&mut self, ring: &Ring, extent: Extent) -> Space {
        let longest = ring.longest();
        let (removes, bytes, need) = match extent {
            Extent::Looks => (Removes::Nobody, 0, RESERVE.min(longest)),
            Extent::Writes(bytes) => {
                (Removes::Request, bytes as u64, longest.min(bytes as u64) + RESERVE.min(longest))
            }
        };
        self.removes = removes;
        self.spoken_for = if removes == Removes::Request { need } else { 0 };
        self.refused = None;
        if !ring.top_up(&mut self.allowance, need) {
            return self.lacks(ring);
        }
        if is_long(ring, bytes) { self.prepare_beside(ring, bytes) } else { Space::Enough }
    }

    #[cold]
    fn lacks(&mut self, ring: &Ring) -> Space {
        match ring.refusing() {
            // It looks only, and what has passed its deadline can stay.
            _ if self.removes == Removes::Nobody => Space::Enough,
            Some(errno) => {
                self.refused = Some(errno);
                Space::Refused
            }
            None => Space::Soon,
        }
    }

    /// Obtains space beside the ring for records of so many bytes.
    #[cold]
    fn prepare_beside(&mut self, ring: &Ring, bytes: u64) -> Space {
        if self.behind {
            return Space::Later;
        }
        self.beside = true;
        // A group that is cut into parts pads each of them.
        let need = Ring::cost_beside(usize::try_from(bytes).unwrap_or(usize::MAX)) + EFFECT_BYTES as u64;
        match ring.top_up_beside(&mut self.allowance, need, self.id) {
            Granted::All => Space::Enough,
            Granted::Later => Space::Later,
            Granted::Refused(errno) => {
                self.refused = Some(errno);
                Space::Refused
            }
        }
    }

    /// Why the request for which space was asked last may not write, an errno; `None`: it may.
    #[inline]
    pub(super) fn refused(&self) -> Option<i32> {
        self.refused
    }

    /// Whether others wait for space beside the ring before whose requests come from now on.
    pub(super) fn line_up(&mut self, behind: bool) {
        self.behind = behind;
    }

    /// Whether who is the first to wait for space beside the ring would wait on.
    pub(super) fn waits_beside(&self, ring: &Ring) -> bool {
        ring.claims_beside(self.id)
    }

    /// Who was the first to wait for space beside the ring has gone.
    pub(super) fn withdraw(&mut self, ring: &Ring) {
        ring.leave_beside(&mut self.allowance, self.id);
    }

    /// Obtains space for keys that go by themselves, beside what the request at hand may need. False: there is none now.
    pub(super) fn prepare_removals(&mut self, ring: &Ring) -> bool {
        let key = removal(std::mem::take(&mut self.kept_key));
        if is_long(ring, key) {
            return ring.top_up(&mut self.allowance, self.spoken_for)
                && self.prepare_beside(ring, key) == Space::Enough;
        }
        // As it is judged when the key's turn comes: with what its frame takes besides.
        let frame = ring.cost(usize::try_from(key).unwrap_or(usize::MAX));
        let need = self.spoken_for + RESERVE.min(ring.longest()).max(frame + SCARCE);
        ring.top_up(&mut self.allowance, need.min(ring.capacity() / 2))
    }

    /// Lets keys go by themselves, no request being at hand.
    pub(super) fn begin_removals(&mut self) {
        (self.removes, self.spoken_for) = (Removes::Nobody, 0);
    }

    /// Does `work` in which keys go that are not the request's.
    pub(super) fn removing<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let removes = std::mem::replace(&mut self.removes, Removes::Nobody);
        let done = work(self);
        self.removes = removes;
        done
    }

    /// Whether a key has stayed for want of space since there was some last.
    pub(super) fn kept_key(&self) -> bool {
        self.kept_key > 0
    }

    /// Gives back what is left, at the end of a turn: the next one may be long in coming. Where somebody of this worker
    /// `waits` for space beside the ring, that is kept for him.
    pub(super) fn leave(&mut self, ring: &Ring, waits: bool) {
        ring.give_back(&mut self.allowance);
        if self.beside && !waits {
            self.beside = false;
            ring.leave_beside(&mut self.allowance, self.id);
        }
    }

    fn append(&mut self, ring: &Ring) -> Lsn {
        if self.fits(ring, self.records.len(), 0) {
            return ring.append(&mut self.allowance, &self.records);
        }
        // Its place was obtained, and what it takes of the files. If not, to wait with a lock held is better than to end the
        // server: the journal's thread, which makes room, takes no lock of the table.
        debug_assert!(
            Ring::cost_beside(self.records.len()) <= self.allowance.beside(),
            "{} bytes of records are more than the request was reckoned to need",
            self.records.len()
        );
        while !ring.top_up(&mut self.allowance, BOXED_BYTES) {
            std::thread::yield_now();
        }
        ring.append_boxed(&mut self.allowance, std::mem::take(&mut self.records))
    }

    /// Whether a frame with so many bytes of records can be put in the ring, of which `kept` bytes are somebody else's.
    fn fits(&self, ring: &Ring, records: usize, kept: u64) -> bool {
        !is_long(ring, records as u64) && ring.cost(records) + SCARCE + kept <= self.allowance.bytes()
    }

    /// Whether a key of so many bytes may go by itself.
    fn lets_go(&mut self, ring: &Ring, key: usize) -> bool {
        if self.removes == Removes::Request {
            return true;
        }
        let records = self.records_under_way() + usize::try_from(removal(key)).unwrap_or(usize::MAX);
        let beside = Ring::cost_beside(records) <= self.allowance.beside() && !self.grouped;
        let goes = self.fits(ring, records, self.spoken_for) || beside;
        if !goes {
            self.kept_key = self.kept_key.max(key);
        }
        goes
    }

    fn records_under_way(&self) -> usize {
        if self.grouped { self.records.len() } else { 0 }
    }
}

/// Bytes of records that tell that a key of so many has gone.
fn removal(key: usize) -> u64 {
    (key + EFFECT_BYTES) as u64
}

/// Whether records of so many bytes may be too long for a frame in the ring.
#[inline]
fn is_long(ring: &Ring, bytes: u64) -> bool {
    bytes + BOXED_BYTES > ring.longest()
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

    fn refuses(&mut self, key: usize) -> bool {
        self.ring.is_some_and(|ring| !self.desk.lets_go(ring, key))
    }

    fn affords(&mut self, bytes: usize) -> bool {
        let Some(ring) = self.ring else { return true };
        let records = self.desk.records_under_way() + bytes;
        self.desk.fits(ring, records, 0) || self.desk.prepare_beside(ring, records as u64) == Space::Enough
    }
}
