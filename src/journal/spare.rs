//! The file that the log goes on in next: zeroed and synced in small steps ahead of its use, so that a full disk is met
//! while nothing depends on it.

use super::disk::{Disk, Failure};
use super::segment::SPARE;

/// The next file. `zeroed <= wanted`, and `usual <= wanted`.
#[derive(Debug)]
pub(super) struct Spare<F> {
    file: Option<F>,
    /// Bytes of it that are zeros on the device.
    zeroed: u64,
    /// Bytes from which on it can be used.
    usual: u64,
    /// Bytes that it is to have.
    wanted: u64,
}

impl<F> Spare<F> {
    /// None yet, of so many bytes.
    pub(super) fn of(usual: u64) -> Self {
        Self { file: None, zeroed: 0, usual, wanted: usual }
    }

    /// Makes it longer than it was wanted.
    pub(super) fn want(&mut self, bytes: u64) {
        self.wanted = self.wanted.max(bytes);
    }

    /// Whether it is to grow.
    pub(super) fn lacks(&self) -> bool {
        self.file.is_none() || self.zeroed < self.wanted
    }

    /// Bytes of it, if it can be used.
    pub(super) fn ready(&self) -> Option<u64> {
        (self.file.is_some() && self.zeroed >= self.usual).then_some(self.zeroed)
    }

    /// Its file, if it can be used.
    pub(super) fn file(&self) -> Option<&F> {
        self.file.as_ref().filter(|_| self.zeroed >= self.usual)
    }

    /// Zeroes at most so much of what it lacks, and waits for it.
    pub(super) fn grow<D: Disk<File = F>>(&mut self, disk: &D, most: u64) -> Result<(), Failure> {
        let file = match &self.file {
            Some(file) => file,
            // In place of one that an earlier life has left, of which nobody knows how far it came.
            None => self.file.insert(disk.create(SPARE)?),
        };
        let part = most.min(self.wanted - self.zeroed);
        disk.zero(file, self.zeroed, part)?;
        disk.sync(file)?;
        self.zeroed += part;
        Ok(())
    }

    /// Makes all of it at once, for a caller that waits anyway.
    pub(super) fn complete<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), Failure> {
        if self.lacks() { self.grow(disk, u64::MAX) } else { Ok(()) }
    }

    /// It need not be longer than usual.
    pub(super) fn want_no_more(&mut self) {
        self.wanted = self.usual.max(self.zeroed);
    }

    /// Gives back what makes it longer than usual: the disk has not all that was wanted, and others may need this.
    pub(super) fn shorten<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), Failure> {
        self.wanted = self.usual;
        let Some(file) = self.file.as_ref().filter(|_| self.zeroed >= self.usual) else { return Ok(()) };
        // Also what was allocated and not zeroed before there was no more.
        disk.shorten(file, self.usual)?;
        self.zeroed = self.usual;
        Ok(())
    }

    /// Bytes that it would have if it were shortened.
    pub(super) fn usual(&self) -> u64 {
        self.usual
    }

    /// Hands it over: from here on another one of so many bytes is wanted.
    pub(super) fn take(&mut self, next: u64) -> Option<(F, u64)> {
        let bytes = self.ready()?;
        let file = self.file.take()?;
        *self = Self::of(next);
        Some((file, bytes))
    }
}
