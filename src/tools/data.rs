//! The data directory of a server that does not run, for looking at it.

use std::io;
use std::path::{Path, PathBuf};

use super::ToolError;
use crate::config::Exit;
use crate::journal::disk::{Disk as _, Failure, RealDisk};
use crate::journal::life::{RING, boot_id};
use crate::journal::recovery::{Extent, Recovered, Refusal, recover};
use crate::journal::ring::image::Image;
use crate::journal::segment::sequence_of;
use crate::journal::snapshot::{self, Reader, Summary, newest, start_of};
use crate::table::effect::Replay;

/// A directory, which nobody else uses as long as this value exists.
pub(super) struct Data {
    path: PathBuf,
    pub(super) disk: RealDisk,
    ring: Option<Image>,
    pub(super) boot: u128,
}

impl Data {
    /// A directory that holds data; nothing in it is changed.
    pub(super) fn look(path: &Path) -> Result<Self, ToolError> {
        let data = Self::of(path, RealDisk::look(path))?;
        if data.is_empty()? {
            return Err(ToolError::failed(format!(
                "{} holds no journal: it is no data directory",
                path.display()
            )));
        }
        Ok(data)
    }

    /// A directory that is going to be written to.
    pub(super) fn take(path: &Path) -> Result<Self, ToolError> {
        Self::of(path, RealDisk::take(path))
    }

    fn of(path: &Path, disk: Result<RealDisk, Failure>) -> Result<Self, ToolError> {
        let disk = disk.map_err(|failure| {
            if failure.errno == libc::EWOULDBLOCK {
                ToolError::failed(format!("a server uses {} (remedy: end it first)", path.display()))
            } else {
                ToolError::failed(failure)
            }
        })?;
        let at = path.join(RING);
        let unreadable =
            |error: io::Error| ToolError::failed(format!("cannot read {}: {error}", at.display()));
        let ring = Image::read(&at).map_err(unreadable)?;
        Ok(Self { path: path.to_owned(), disk, ring, boot: boot_id().map_err(ToolError::failed)? })
    }

    /// Whether there is no file of a log, and no snapshot.
    pub(super) fn is_empty(&self) -> Result<bool, ToolError> {
        let names = self.disk.names().map_err(ToolError::failed)?;
        Ok(names.iter().all(|name| sequence_of(name).is_none() && start_of(name).is_none()))
    }

    /// Shows all that is there, as a start would have it: the newest snapshot, and the log from where it was begun.
    pub(super) fn read(&self, apply: &mut dyn Replay) -> Result<Read, ToolError> {
        let snapshot = match newest(&self.disk).map_err(ToolError::failed)? {
            None => None,
            Some(start) => {
                let read = Reader::open(&self.disk, start)
                    .and_then(|reader| reader.read_all(apply, &mut |_, _| ()))
                    .map_err(|refusal| self.refused_snapshot(&refusal))?;
                Some(read)
            }
        };
        let extent = snapshot.as_ref().map_or_else(Extent::default, Extent::on_top_of);
        let log = recover(&self.disk, extent, self.ring.as_ref(), self.boot, apply)
            .map_err(|refusal| refused(&refusal, &self.path))?;
        Ok(Read { snapshot, log })
    }

    fn refused_snapshot(&self, refusal: &snapshot::Refusal) -> ToolError {
        let exit = if refusal.is_damage() { Exit::Damaged } else { Exit::Failure };
        ToolError { exit, line: format!("{}: {refusal}", self.path.display()) }
    }
}

/// What a directory holds.
pub(super) struct Read {
    /// The snapshot that a start begins with.
    pub(super) snapshot: Option<Summary>,
    /// The log from there on, or from its beginning.
    pub(super) log: Recovered,
}

/// A log that is not loaded: not to be read, or damaged.
pub(super) fn refused(refusal: &Refusal, path: &Path) -> ToolError {
    let exit = if refusal.is_damage() { Exit::Damaged } else { Exit::Failure };
    ToolError { exit, line: format!("{}: {refusal}", path.display()) }
}
