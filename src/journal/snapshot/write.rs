//! The writer: blocks of records to a file, which gets its name at the end.

use super::{Batch, Count, FRONT_LEN, Head, Summary, TEMPORARY, TRAILER, TRAILER_LEN, checksum_of, name_of};
use crate::journal::disk::{Disk, Failure};
use crate::limits::SNAPSHOT_BLOCK_BYTES;
use crate::table::effect::{Effect, Lsn};

/// A snapshot that is being written. Dropped, it leaves its temporary file behind: see [`Writer::abandon`].
#[derive(Debug)]
pub struct Writer<'d, D: Disk> {
    disk: &'d D,
    file: D::File,
    head: Head,
    /// The block in the making: room for its front, then records.
    block: Vec<u8>,
    /// Where it comes.
    at: u64,
    /// Checksum of what stands before it.
    chain: u32,
    blocks: u64,
    count: Count,
    /// Up to where the file was synced.
    synced: u64,
}

impl<'d, D: Disk> Writer<'d, D> {
    /// Begins a file, in place of one that was begun before and has the same start.
    ///
    /// # Errors
    /// The disk's, here and below: the snapshot is to be abandoned then, and what was there before is what there is.
    pub fn begin(disk: &'d D, head: Head) -> Result<Self, Failure> {
        let file = disk.create(&temporary(&head))?;
        let (bytes, chain) = head.encode();
        disk.write_all_at(&file, &bytes, 0)?;
        let at = bytes.len() as u64;
        let mut block = Vec::with_capacity(2 * SNAPSHOT_BLOCK_BYTES);
        block.resize(FRONT_LEN, 0);
        Ok(Self { disk, file, head, block, at, chain, blocks: 0, count: Count::default(), synced: 0 })
    }

    /// Writes one effect. None of a hash as a whole: it travels as its fields.
    ///
    /// # Errors
    /// As above.
    pub fn put(&mut self, effect: &Effect<'_>) -> Result<(), Failure> {
        crate::journal::record::encode(effect, &mut self.block);
        self.count.add(effect);
        self.write_full()
    }

    /// Writes what a batch holds, and empties it. What one writer is given comes from one batch.
    ///
    /// # Errors
    /// As above.
    pub fn take(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        let mut from = 0;
        for cut in batch.cuts.drain(..) {
            self.block.extend_from_slice(&batch.records[from..cut]);
            self.write_full()?;
            from = cut;
        }
        self.block.extend_from_slice(&batch.records[from..]);
        self.write_full()?;
        batch.records.clear();
        if batch.records.capacity() > 16 * SNAPSHOT_BLOCK_BYTES {
            batch.records = Vec::with_capacity(SNAPSHOT_BLOCK_BYTES);
        }
        self.count.totals = batch.count.totals;
        Ok(())
    }

    /// What was put into it.
    pub fn totals(&self) -> super::Totals {
        self.count.totals
    }

    /// Bytes written.
    pub fn bytes(&self) -> u64 {
        self.at
    }

    /// Bytes written since the last sync.
    pub fn unsynced(&self) -> u64 {
        self.at - self.synced
    }

    /// Waits until what was written is on the device, so that the system has never much to write at once.
    ///
    /// # Errors
    /// As above.
    pub fn sync(&mut self) -> Result<(), Failure> {
        self.disk.sync(&self.file)?;
        self.synced = self.at;
        Ok(())
    }

    /// Completes the file and waits until it is on the device. `end` is where the log's tail was when the last effect had
    /// been copied.
    ///
    /// # Errors
    /// As above.
    pub fn finish(mut self, end: Lsn) -> Result<Finished<'d, D>, Failure> {
        assert!(end >= self.head.start, "a log only grows");
        self.write_block()?;
        let totals = self.count.totals;
        let mut body = Vec::with_capacity(TRAILER_LEN);
        for number in [end, totals.keys, totals.tokens, totals.records, self.blocks] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        self.block.extend_from_slice(&body);
        self.write_front(TRAILER)?;
        self.disk.sync(&self.file)?;
        let summary = Summary { head: self.head, end, totals, bytes: self.at };
        Ok(Finished { disk: self.disk, summary })
    }

    /// Removes the file. Where that fails, the next start does it.
    pub fn abandon(self) {
        let _left_for_later = self.disk.remove(&temporary(&self.head));
    }

    fn write_full(&mut self) -> Result<(), Failure> {
        if self.block.len() >= FRONT_LEN + SNAPSHOT_BLOCK_BYTES { self.write_block() } else { Ok(()) }
    }

    fn write_block(&mut self) -> Result<(), Failure> {
        if self.block.len() == FRONT_LEN {
            return Ok(());
        }
        let length = u32::try_from(self.block.len() - FRONT_LEN).ok().filter(|length| *length != TRAILER);
        self.blocks += 1;
        self.write_front(length.expect("a record is a request's at most, which is shorter than 4 GiB"))
    }

    /// Fills in the front of the block and writes it.
    fn write_front(&mut self, length: u32) -> Result<(), Failure> {
        let checksum = checksum_of(self.chain, length, &self.block[FRONT_LEN..]);
        self.block[..4].copy_from_slice(&length.to_le_bytes());
        self.block[4..FRONT_LEN].copy_from_slice(&checksum.to_le_bytes());
        self.disk.write_all_at(&self.file, &self.block, self.at)?;
        self.at += self.block.len() as u64;
        self.chain = checksum;
        self.block.truncate(FRONT_LEN);
        self.block.shrink_to(2 * SNAPSHOT_BLOCK_BYTES);
        Ok(())
    }
}

/// A snapshot that is complete and durable under its temporary name.
#[derive(Debug)]
#[must_use = "it has no name yet"]
pub struct Finished<'d, D: Disk> {
    disk: &'d D,
    summary: Summary,
}

impl<D: Disk> Finished<'_, D> {
    /// What it holds. The log is to be durable up to its end before it is published.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Gives it its name, and waits until that is on the device. Older snapshots and the log before its start are
    /// superfluous from then on.
    ///
    /// # Errors
    /// The disk's.
    pub fn publish(self) -> Result<Summary, Failure> {
        let head = self.summary.head;
        self.disk.rename(&temporary(&head), &name_of(head.start))?;
        self.disk.sync_names()?;
        Ok(self.summary)
    }

    /// Removes it. Where that fails, the next start does it.
    pub fn abandon(self) {
        let _left_for_later = self.disk.remove(&temporary(&self.summary.head));
    }
}

fn temporary(head: &Head) -> String {
    name_of(head.start) + TEMPORARY
}
