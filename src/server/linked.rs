//! The journal's writes on a ring of its own, where the engine is on one too.

use std::io;
use std::os::fd::BorrowedFd;

use crate::engine::uring::linked::{Linked, LinkedWrites};
use crate::journal::disk::{Action, Together};

/// A ring in the journal's terms.
#[derive(Debug)]
pub(super) struct OnRing(LinkedWrites);

impl OnRing {
    /// Builds the ring.
    pub(super) fn new() -> io::Result<Self> {
        LinkedWrites::new().map(Self)
    }
}

impl Together for OnRing {
    fn write_and_sync(
        &self,
        file: BorrowedFd<'_>,
        bytes: &[u8],
        offset: u64,
    ) -> Result<(usize, bool), (Action, io::Error)> {
        if !self.0.takes(bytes.len()) {
            return Ok((0, false));
        }
        match self.0.write_and_sync(file, bytes, offset) {
            Ok(Linked::Done) => Ok((bytes.len(), true)),
            Ok(Linked::Short(written)) => Ok((written, false)),
            Ok(Linked::WriteFailed(error)) | Err(error) => Err((Action::Write, error)),
            Ok(Linked::SyncFailed(error)) => Err((Action::Sync, error)),
        }
    }
}
