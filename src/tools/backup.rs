//! `tallyring backup`: a copy of a data directory while its server writes to it, which is itself a directory that a server
//! starts from.
//!
//! ```text
//! source   [ 1 ][ 2 ][ 3 … written to ]            files before the last do not change any more: linked
//!            │    │    └ its whole groups, copied    the last one: what is complete when its turn comes
//! copy     [ 1 ][ 2 ][ 3 ]                          made from the last to the first
//! ```
//!
//! By the rule of recovery a log ends where its last file stops being whole, so that what is copied is a beginning of what
//! the server wrote. A file without the one before it is refused by every start, and the first is made last: a copy that
//! was interrupted is never taken for a whole one. At the end it is read once, as a start would: a backup that cannot be
//! loaded is none.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::data::{self, Data};
use super::{Terminal, ToolError, written};
use crate::clock::Clock;
use crate::journal::disk::{Disk as _, RealDisk};
use crate::journal::recovery::{Refusal, whole_bytes};
use crate::journal::segment::{name_of, sequence_of};
use crate::journal::snapshot::{self, start_of};
use crate::table::effect::Effect;

/// How often it is begun again because a snapshot made files superfluous meanwhile.
const ATTEMPTS: u32 = 10;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
struct Copied {
    linked: u64,
    copied: u64,
    bytes: u64,
}

impl Copied {
    /// Copies a file that does not change any more.
    fn link_or_copy(&mut self, source: &PathBuf, target: &PathBuf) -> Result<(), Trouble> {
        if fs::hard_link(source, target).is_ok() {
            self.bytes += fs::metadata(target).map_err(|error| failed(target, &error))?.len();
            self.linked += 1;
        } else {
            // Another file system, one without links, or a file that is gone: opening it will tell.
            self.bytes += copy(source, target, u64::MAX)?;
            self.copied += 1;
        }
        Ok(())
    }
}

/// Why an attempt did not succeed.
enum Trouble {
    /// A file went away: the server needs it no more.
    Gone,
    Other(ToolError),
}

impl From<ToolError> for Trouble {
    fn from(error: ToolError) -> Self {
        Self::Other(error)
    }
}

/// Copies the directory at `from` to `to`.
pub(super) fn run(from: &Path, to: &Path, terminal: &mut Terminal<'_>) -> Result<(), ToolError> {
    let clock = Clock::system();
    let began = clock.monotonic_ms();
    let disk = RealDisk::watch(from).map_err(ToolError::failed)?;
    if newest_first(&disk)?.is_empty() {
        return Err(ToolError::failed(format!(
            "{} holds no journal: it is no data directory",
            from.display()
        )));
    }
    let made = make_target(to)?;
    let mut copied = Err(Trouble::Gone);
    for _ in 0..ATTEMPTS {
        copied = attempt(&disk, from, to);
        if copied.is_ok() {
            break;
        }
        clear(to);
        if !matches!(copied, Err(Trouble::Gone)) {
            break;
        }
    }
    let copied = copied.map_err(|trouble| {
        if made {
            // A directory that stays behind empty does no harm.
            let _ = fs::remove_dir(to);
        }
        match trouble {
            Trouble::Gone => ToolError::failed(format!(
                "files of {} went away {ATTEMPTS} times while they were copied; try again",
                from.display()
            )),
            Trouble::Other(error) => error,
        }
    })?;
    let text = format!(
        "{}: {} files linked, {} copied, {} bytes, {:.2} s\n",
        to.display(),
        copied.linked,
        copied.copied,
        copied.bytes,
        seconds(clock.monotonic_ms() - began)
    );
    written(terminal.out.write_all(text.as_bytes()))
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with two digits")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// The numbers of the files of the log, the newest first.
fn newest_first(disk: &RealDisk) -> Result<Vec<u64>, ToolError> {
    let names = disk.names().map_err(ToolError::failed)?;
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| sequence_of(name)).collect();
    sequences.sort_unstable_by(|one, other| other.cmp(one));
    Ok(sequences)
}

/// A directory without files. True: it was made.
fn make_target(to: &Path) -> Result<bool, ToolError> {
    let failed = |error: io::Error| ToolError::failed(format!("cannot use {}: {error}", to.display()));
    match DirBuilder::new().mode(0o700).create(to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::read_dir(to).map_err(failed)?.next().is_some() {
                return Err(ToolError::failed(format!("{} is not empty", to.display())));
            }
            Ok(false)
        }
        Err(error) => Err(failed(error)),
    }
}

/// Removes what an attempt has made in a directory that was empty before.
fn clear(to: &Path) {
    let Ok(entries) = fs::read_dir(to) else { return };
    for entry in entries.flatten() {
        let is_copy = |name: &str| sequence_of(name).is_some() || start_of(name).is_some();
        if entry.file_name().to_str().is_some_and(is_copy) {
            // What cannot be removed is in the way of the next attempt, which then says so.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn attempt(disk: &RealDisk, from: &Path, to: &Path) -> Result<Copied, Trouble> {
    let mut done = Copied::default();
    let snapshot = snapshot::newest(disk).map_err(ToolError::failed)?;
    if let Some(start) = snapshot {
        // It does not change any more.
        let name = snapshot::name_of(start);
        done.link_or_copy(&from.join(&name), &to.join(&name))?;
    }
    for (place, sequence) in newest_first(disk)?.into_iter().enumerate() {
        let name = name_of(sequence);
        let (source, target) = (from.join(&name), to.join(&name));
        if place == 0 {
            // A link would share what the server writes from now on, even behind what is whole at this moment: the copy
            // would change, and be of no one point in time.
            let bytes = whole_bytes(disk, sequence).map_err(|refusal| refused(&refusal, from))?;
            done.bytes += copy(&source, &target, bytes)?;
            done.copied += 1;
        } else {
            done.link_or_copy(&source, &target)?;
        }
    }
    sync_directory(to)?;
    // Its own name, if it is new. The parent of a bare name is the working directory.
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_directory(parent.unwrap_or(Path::new(".")))?;
    let loads = Data::look(to).and_then(|copy| copy.read(&mut |_: &Effect<'_>| ()));
    loads.map(|_| done).map_err(|error| {
        // Files that this snapshot needs went away before they were listed.
        if snapshot::newest(disk).is_ok_and(|newest| newest != snapshot) {
            return Trouble::Gone;
        }
        let line = format!("what {} holds cannot be loaded: {}", from.display(), error.line);
        ToolError { line, ..error }.into()
    })
}

fn refused(refusal: &Refusal, from: &Path) -> Trouble {
    match refusal {
        Refusal::Disk(failure) if failure.errno == libc::ENOENT => Trouble::Gone,
        Refusal::Disk(_) | Refusal::Damaged { .. } | Refusal::Missing { .. } | Refusal::Short { .. } => {
            Trouble::Other(data::refused(refusal, from))
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Trouble {
    Trouble::Other(ToolError::failed(format!("cannot copy to {}: {error}", path.display())))
}

fn sync_directory(path: &Path) -> Result<(), Trouble> {
    File::open(path).and_then(|names| names.sync_all()).map_err(|error| failed(path, &error))
}

/// Copies the first `bytes` of a file, or all there are, and syncs them. Returns how many.
fn copy(source: &PathBuf, target: &PathBuf, bytes: u64) -> Result<u64, Trouble> {
    let source_file = match File::open(source) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Trouble::Gone),
        Err(error) => {
            return Err(ToolError::failed(format!("cannot read {}: {error}", source.display())).into());
        }
    };
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target);
    let to = made.map_err(|error| failed(target, &error))?;
    let mut block = vec![0; 1024 * 1024];
    let mut at = 0;
    while at < bytes {
        let part = usize::try_from(bytes - at).map_or(block.len(), |left| left.min(block.len()));
        let read = source_file.read_at(&mut block[..part], at);
        let read =
            read.map_err(|error| ToolError::failed(format!("cannot read {}: {error}", source.display())))?;
        if read == 0 {
            break;
        }
        to.write_all_at(&block[..read], at).map_err(|error| failed(target, &error))?;
        at += read as u64;
    }
    to.sync_all().map_err(|error| failed(target, &error))?;
    Ok(at)
}
