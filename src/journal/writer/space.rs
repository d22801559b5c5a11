//! Space in files, ahead of its use: the next file, and what the ring may promise of both.
//!
//! ```text
//! promised:   8 bytes for each byte of credits   +   bytes given for frames beside the ring
//!             must fit, in whatever order it comes
//! there is:   what is left of the open file      +   the next one, once it can be used
//! ```
//!
//! It fits if it fits either of the two files; or both together, less the longest frame that may be among it: that is what
//! may be left over in the open file when the first that does not fit goes to the next.

use std::sync::Arc;

use super::{Full, Open, Writer, mark_of};
use crate::journal::disk::{Disk, Failure};
use crate::journal::frame::{BOXED_BYTES, Header as FrameHeader, WORD};
use crate::journal::ring::{Offer, Ring};
use crate::journal::segment::{Before, GROUP_BYTES, HEADER_BYTES, Header, SPARE, name_of};
use crate::limits::{JOURNAL_BESIDE_BYTES, JOURNAL_ZEROED_BYTES};

/// Bytes of file for a byte of ring, at the worst: the smallest frame of two words, alone in its group of eight, with a
/// group behind it that says it is durable. A frame beside the ring has two words there.
const FILE_PER_RING: u64 = 8;

const _: () = assert!(FILE_PER_RING * 2 * WORD >= 2 * WORD + 2 * GROUP_BYTES && BOXED_BYTES == 2 * WORD);

/// What frames beside the ring take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    /// Bytes that were given for them, and are not yet written or returned.
    pub(super) given: u64,
    /// What the first of those who wait wants.
    pub(super) lacking: Option<u64>,
    /// The disk had not so much.
    refused: Option<(u64, Full)>,
}

impl<D: Disk> Writer<D> {
    /// Sees to it that the frame at the head fits the open file. False: it has to wait for space on the disk.
    pub(super) fn make_room(
        &mut self,
        ring: &Ring,
        header: FrameHeader,
        now_ms: u64,
    ) -> Result<bool, Failure> {
        let mut needed = GROUP_BYTES + header.bytes;
        if header.boxed {
            needed += ring.boxed_len(self.head).next_multiple_of(WORD);
        }
        if needed <= self.open.room() {
            return Ok(true);
        }
        if self.flushing.is_some() {
            return Ok(false);
        }
        if self.next_room(self.spare.ready()) < needed {
            // It has not obtained what it takes, or its file is not ready. Whatever the file is good for besides, the ring
            // is to have its room in it.
            if needed > self.settings.segment_bytes / 4 {
                self.spare.want(self.settings.segment_bytes + needed);
            }
            if !self.ask(ring, now_ms, |writer| writer.spare.complete(&writer.disk))? {
                return Ok(false);
            }
        }
        self.sync(ring)?;
        self.ask(ring, now_ms, Self::rotate).inspect(|rotated| {
            if *rotated {
                ring.set_segment(self.segment(), self.head)
            }
        })
    }

    /// Does what may find the disk full. False: it is, or was a moment ago.
    fn ask(
        &mut self,
        ring: &Ring,
        now_ms: u64,
        work: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        if self.full.is_some_and(|full| now_ms < full.retry_ms) {
            return Ok(false);
        }
        self.full = match work(self) {
            Ok(()) => None,
            Err(failure) if failure.is_no_space() => Some(Full::met(&failure, now_ms)),
            Err(failure) => return Err(failure),
        };
        self.tell_refusing(ring);
        Ok(self.full.is_none())
    }

    /// Tells the ring why credits will run out. Not, where only a request that takes more than usual lacks space.
    pub(super) fn tell_refusing(&self, ring: &Ring) {
        let full = self.full.filter(|_| self.spare.ready().is_none());
        ring.set_refusing(self.blocked.or(full).map(|full| full.errno));
    }

    /// Goes on in the next file, which is ready. All that was written is durable.
    fn rotate(&mut self) -> Result<(), Failure> {
        debug_assert!(self.open.clean && self.durable == self.head, "what a file continues is durable");
        let old = &self.open;
        let sequence = old.header.sequence + 1;
        let header = Header {
            sequence,
            first: self.head,
            mark: mark_of(&self.identity, sequence),
            before: Some(Before { sequence: old.header.sequence, offset: old.at, chain: old.chain }),
            ..old.header
        };
        let block = header.encode();
        let (_, chain) = Header::parse(&block).expect("it was made this moment");
        let next = self.spare.file().expect("it is ready");
        self.disk.write_all_at(next, &block, 0)?;
        self.disk.sync(next)?;
        self.disk.rename(SPARE, &name_of(sequence))?;
        self.disk.sync_names()?;
        let (mut file, bytes) = self.spare.take(self.settings.segment_bytes).expect("it is ready");
        self.disk.set_name(&mut file, &name_of(sequence));
        self.open = Open { file: Arc::new(file), header, bytes, at: HEADER_BYTES, chain, clean: true };
        self.segments.push((sequence, self.head));
        // The header says so.
        self.declared = self.durable;
        Ok(())
    }

    /// Zeroes some of the next file: when nothing was to be written, and else twice as much as was, so that it is ready
    /// before this one is full. While somebody waits for it, more: it must not be used up before it is long enough.
    pub(super) fn prepare(&mut self, ring: &Ring, written: u64, now_ms: u64) -> Result<(), Failure> {
        self.zero_debt += 2 * written;
        let presses = self.demand.lacking.is_some();
        let due = written == 0 || self.zero_debt >= JOURNAL_ZEROED_BYTES || presses;
        if due && self.spare.lacks() {
            self.zero_debt = 0;
            let most = JOURNAL_ZEROED_BYTES + if presses { 4 * written } else { 0 };
            self.ask(ring, now_ms, |writer| writer.spare.grow(&writer.disk, most))?;
        } else if self.full.is_some_and(|full| full.retry_ms <= now_ms) && !self.spare.lacks() {
            self.full = None;
            self.tell_refusing(ring);
        }
        Ok(())
    }

    /// Gives the ring as much as it has room for, and the files, whatever the frames will be like.
    pub(super) fn give_credits(&mut self, ring: &Ring, now_ms: u64) -> Result<(), Failure> {
        let given = self.demand.given;
        let room = self.fitting(ring, self.spare.ready()).saturating_sub(given);
        let most = self.head + ring.capacity().min(room / FILE_PER_RING / WORD * WORD);
        if most > self.granted {
            ring.add_credits(most - self.granted);
            self.granted = most;
        }
        let larger = self.open.room().max(self.next_room(self.spare.ready()));
        let taken = ring.offer_beside(Offer {
            free: larger.saturating_sub(self.promised()),
            ready: (self.settings.segment_bytes / 8).min(JOURNAL_BESIDE_BYTES),
            refusing: self.refusing(now_ms),
        });
        self.demand.given = given + taken.given - taken.returned;
        self.demand.lacking = taken.lacking;
        if let Some(bytes) = taken.refused {
            self.give_up(ring, bytes)?;
        }
        if let Some(bytes) = taken.lacking {
            let around = HEADER_BYTES + 2 * GROUP_BYTES + FILE_PER_RING * ring.capacity();
            self.spare.want(around + self.demand.given + bytes);
        } else {
            self.spare.want_no_more();
        }
        Ok(())
    }

    /// From how many bytes on claims are refused, and why.
    fn refusing(&self, now_ms: u64) -> Option<(u64, i32)> {
        // Where the next file is as long as usual, it was not long enough for the first of those who wait.
        let from = self.demand.lacking.filter(|_| self.spare.ready().is_some()).unwrap_or(0);
        let lately = self.demand.refused.filter(|(_, full)| now_ms < full.retry_ms);
        self.full.map(|full| (from, full)).or(lately).map(|(from, full)| (from, full.errno))
    }

    /// A claim of so many bytes was refused: gives the disk back what was taken for it.
    fn give_up(&mut self, ring: &Ring, bytes: u64) -> Result<(), Failure> {
        let usual = Some(self.spare.usual());
        if self.promised() <= self.fitting(ring, usual) {
            self.spare.shorten(&self.disk)?;
        } else {
            self.spare.want_no_more();
        }
        if let Some(full) = self.full.filter(|_| !self.spare.lacks()) {
            self.full = None;
            self.demand.refused = Some((bytes, full));
            self.tell_refusing(ring);
        }
        Ok(())
    }

    /// Bytes of files that are promised.
    fn promised(&self) -> u64 {
        FILE_PER_RING * (self.granted - self.head) + self.demand.given
    }

    /// Bytes of files of which the like of what is promised fits, if the next file has so many.
    fn fitting(&self, ring: &Ring, next: Option<u64>) -> u64 {
        let (open, next) = (self.open.room(), self.next_room(next));
        let longest = GROUP_BYTES + ring.longest().max(BOXED_BYTES + self.demand.given);
        open.max(next).max((open + next).saturating_sub(longest))
    }

    /// Room for groups in the next file, if it has so many bytes.
    fn next_room(&self, bytes: Option<u64>) -> u64 {
        bytes.map_or(0, |bytes| bytes.saturating_sub(HEADER_BYTES + GROUP_BYTES))
    }
}
