//! The file that the log goes on in next: zeroed and synced in small steps ahead of its use, so that a full disk is met
//! while nothing depends on it.

use super::disk::{Disk, Failure};
use super::segment::SPARE;
use crate::limits::JOURNAL_ZEROED_BYTES;

/// The next file. `zeroed <= wanted`.
#[derive(Debug)]
pub(super) struct Spare<F> {
    file: Option<F>,
    /// Bytes of it that are zeros on the device.
    zeroed: u64,
    /// Bytes that it is to have.
    wanted: u64,
}

impl<F> Spare<F> {
    /// None yet, of so many bytes.
    pub(super) fn of(wanted: u64) -> Self {
        Self { file: None, zeroed: 0, wanted }
    }

    /// Makes it longer than it was wanted.
    pub(super) fn want(&mut self, bytes: u64) {
        self.wanted = self.wanted.max(bytes);
    }

    /// Bytes of it, if it can be used.
    pub(super) fn ready(&self) -> Option<u64> {
        (self.file.is_some() && self.zeroed == self.wanted).then_some(self.wanted)
    }

    /// Its file, if it can be used.
    pub(super) fn file(&self) -> Option<&F> {
        self.file.as_ref().filter(|_| self.zeroed == self.wanted)
    }

    /// Zeroes as much as one step may take, and waits for it. True: there was something to do.
    pub(super) fn grow<D: Disk<File = F>>(&mut self, disk: &D) -> Result<bool, Failure> {
        self.zero(disk, JOURNAL_ZEROED_BYTES)
    }

    /// Makes all of it at once, for a caller that waits anyway.
    pub(super) fn complete<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), Failure> {
        self.zero(disk, u64::MAX).map(drop)
    }

    fn zero<D: Disk<File = F>>(&mut self, disk: &D, most: u64) -> Result<bool, Failure> {
        let file = match &self.file {
            Some(_) if self.zeroed == self.wanted => return Ok(false),
            Some(file) => file,
            // In place of one that an earlier life has left, of which nobody knows how far it came.
            None => self.file.insert(disk.create(SPARE)?),
        };
        let part = most.min(self.wanted - self.zeroed);
        disk.zero(file, self.zeroed, part)?;
        disk.sync(file)?;
        self.zeroed += part;
        Ok(true)
    }

    /// Hands it over: from here on another one of so many bytes is wanted.
    pub(super) fn take(&mut self, next: u64) -> Option<(F, u64)> {
        let bytes = self.ready()?;
        let file = self.file.take()?;
        *self = Self::of(next);
        Some((file, bytes))
    }
}
