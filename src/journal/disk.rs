//! What the journal asks of a file system: one directory of flat files. Says what failed, and decides nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{FallocateFlags, fallocate};

#[cfg(debug_assertions)]
pub mod death;
#[cfg(test)]
pub(crate) mod sim;

/// Name of the file whose lock says that a process uses the directory.
const LOCK: &str = "journal.lock";

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Reading the names in the directory.
    List,
    /// Making a file.
    Create,
    /// Opening a file.
    Open,
    /// Asking for a file's length.
    Measure,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Taking blocks for a file.
    Allocate,
    /// Giving back blocks of a file.
    Shorten,
    /// Waiting until a file is on the device.
    Sync,
    /// Waiting until the names are on the device.
    SyncNames,
    /// Giving a file another name.
    Rename,
    /// Removing a file.
    Remove,
    /// Taking the lock of the directory.
    Lock,
}

impl Action {
    fn verb(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::Open => "open",
            Self::Measure => "measure",
            Self::Read => "read",
            Self::Write => "write",
            Self::Allocate => "take space for",
            Self::Shorten => "shorten",
            Self::Sync | Self::SyncNames => "sync",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Lock => "lock",
        }
    }
}

/// Something that the system did not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was being done.
    pub action: Action,
    /// To which file, or directory.
    pub path: PathBuf,
    /// From which byte on; 0 where that says nothing.
    pub offset: u64,
    /// Why not.
    pub errno: i32,
}

impl Failure {
    /// Whether the disk, a quota or a limit of sizes has no space: what passes when somebody makes some.
    pub fn is_no_space(&self) -> bool {
        [libc::ENOSPC, libc::EDQUOT, libc::EFBIG].contains(&self.errno)
    }

    /// Whether a write found no space. A beginning of it may have been written, and nothing behind it: to write the same or
    /// something longer at the same place later is as good as if nothing had happened.
    pub fn is_unwritten(&self) -> bool {
        self.action == Action::Write && self.is_no_space()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (verb, path) = (self.action.verb(), self.path.display());
        let why = io::Error::from_raw_os_error(self.errno);
        write!(f, "cannot {verb} {path} at byte {}: {why}", self.offset)
    }
}

impl std::error::Error for Failure {}

/// A directory of files, and what may fail there. Writes are not durable before a sync, names not before a sync of
/// the names. A failed sync leaves it open what is durable, and a later one says nothing about it.
pub trait Disk {
    /// An open file.
    type File;

    /// The names of all files.
    ///
    /// # Errors
    /// The system's, here and below.
    fn names(&self) -> Result<Vec<String>, Failure>;

    /// Makes an empty file, in place of one of this name.
    ///
    /// # Errors
    /// As above.
    fn create(&self, name: &str) -> Result<Self::File, Failure>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// As above.
    fn open(&self, name: &str) -> Result<Self::File, Failure>;

    /// Bytes of a file.
    ///
    /// # Errors
    /// As above.
    fn len(&self, file: &Self::File) -> Result<u64, Failure>;

    /// Reads from `offset` on, as much as there is at once; 0 = the end.
    ///
    /// # Errors
    /// As above.
    fn read_at(&self, file: &Self::File, out: &mut [u8], offset: u64) -> Result<usize, Failure>;

    /// Writes at `offset`, perhaps a part only.
    ///
    /// # Errors
    /// As above.
    fn write_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> Result<usize, Failure>;

    /// Takes blocks for a range, so that writing there finds space.
    ///
    /// # Errors
    /// As above.
    fn allocate(&self, file: &Self::File, offset: u64, bytes: u64) -> Result<(), Failure>;

    /// Gives back what a file has from `bytes` on.
    ///
    /// # Errors
    /// As above.
    fn shorten(&self, file: &Self::File, bytes: u64) -> Result<(), Failure>;

    /// Waits until all that was written to a file is durable.
    ///
    /// # Errors
    /// As above.
    fn sync(&self, file: &Self::File) -> Result<(), Failure>;

    /// Waits until all names are durable.
    ///
    /// # Errors
    /// As above.
    fn sync_names(&self) -> Result<(), Failure>;

    /// Gives a file another name, in place of what has it.
    ///
    /// # Errors
    /// As above.
    fn rename(&self, from: &str, to: &str) -> Result<(), Failure>;

    /// Tells an open file that it has another name now, for messages.
    fn set_name(&self, file: &mut Self::File, name: &str);

    /// Removes a file.
    ///
    /// # Errors
    /// As above.
    fn remove(&self, name: &str) -> Result<(), Failure>;

    /// Where the file of this name is, for messages.
    fn path(&self, name: &str) -> PathBuf;

    /// Writes all of `bytes` at `offset`: short and interrupted writes are continued.
    ///
    /// # Errors
    /// As above.
    fn write_all_at(&self, file: &Self::File, mut bytes: &[u8], mut offset: u64) -> Result<(), Failure> {
        while !bytes.is_empty() {
            match self.write_at(file, bytes, offset) {
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(failure) if failure.errno == libc::EINTR => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Reads from `offset` on until `out` is full or the file ends, and returns how many bytes that were.
    ///
    /// # Errors
    /// As above.
    fn read_up_to(&self, file: &Self::File, out: &mut [u8], offset: u64) -> Result<usize, Failure> {
        let mut done = 0;
        while done < out.len() {
            match self.read_at(file, &mut out[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(failure) if failure.errno == libc::EINTR => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(done)
    }

    /// Takes blocks for a range and fills them with zeros, so that a sync of what is written there later has nothing to
    /// say about blocks and lengths. A range that was zeroed in part may be zeroed again.
    ///
    /// # Errors
    /// As above.
    fn zero(&self, file: &Self::File, offset: u64, bytes: u64) -> Result<(), Failure> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        self.allocate(file, offset, bytes)?;
        let mut at = offset;
        while at < offset + bytes {
            let part = usize::try_from(offset + bytes - at).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.write_all_at(file, &ZEROS[..part], at)?;
            at += part as u64;
        }
        Ok(())
    }
}

/// A directory of the system, which no other process uses as a journal as long as this value, or a clone of it, exists,
/// unless it was opened with [`RealDisk::watch`].
#[derive(Clone, Debug)]
pub struct RealDisk {
    directory: PathBuf,
    /// The directory itself, to sync its names.
    names: Arc<File>,
    /// Files are opened for reading alone.
    looks_only: bool,
    /// Holds the lock. It belongs to this open file and not to the process, so that nothing else which opens and closes
    /// the file gives it up.
    _lock: Option<Arc<File>>,
}

/// A file of a [`RealDisk`], and its name for messages.
#[derive(Debug)]
pub struct RealFile {
    file: File,
    path: PathBuf,
}

fn failure(action: Action, path: &Path, offset: u64, error: &io::Error) -> Failure {
    // An error without a number is one of the standard library's own, such as a name with a zero in it.
    let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
    Failure { action, path: path.to_owned(), offset, errno }
}

/// The file, with its lock.
fn locked(file: File, at: PathBuf) -> Result<File, Failure> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure { action: Action::Lock, path: at, offset: 0, errno: libc::EWOULDBLOCK })
        }
        Err(TryLockError::Error(error)) => Err(failure(Action::Lock, &at, 0, &error)),
    }
}

impl RealDisk {
    /// Takes the directory at `path`, which exists.
    ///
    /// # Errors
    /// The system's; `EWOULDBLOCK` of [`Action::Lock`] if another process has it.
    pub fn take(path: &Path) -> Result<Self, Failure> {
        let disk = Self::watch(path)?;
        let at = path.join(LOCK);
        let lock =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&at);
        let lock = locked(lock.map_err(|error| failure(Action::Open, &at, 0, &error))?, at)?;
        Ok(Self { looks_only: false, _lock: Some(Arc::new(lock)), ..disk })
    }

    /// Takes the directory at `path` to look at it: nothing there is changed, not even a lock made where there is none.
    ///
    /// # Errors
    /// As [`RealDisk::take`].
    pub fn look(path: &Path) -> Result<Self, Failure> {
        let disk = Self::watch(path)?;
        let at = path.join(LOCK);
        match File::open(&at) {
            Ok(lock) => Ok(Self { _lock: Some(Arc::new(locked(lock, at)?)), ..disk }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(disk),
            Err(error) => Err(failure(Action::Open, &at, 0, &error)),
        }
    }

    /// The directory at `path`, to be read while another process may use it.
    ///
    /// # Errors
    /// The system's.
    pub fn watch(path: &Path) -> Result<Self, Failure> {
        let names = File::open(path).map_err(|error| failure(Action::Open, path, 0, &error))?;
        let names = Arc::new(names);
        Ok(Self { directory: path.to_owned(), names, looks_only: true, _lock: None })
    }

    fn open_with(&self, name: &str, action: Action, options: &mut OpenOptions) -> Result<RealFile, Failure> {
        let path = self.path(name);
        match options.read(true).write(!self.looks_only).mode(0o600).open(&path) {
            Ok(file) => Ok(RealFile { file, path }),
            Err(error) => Err(failure(action, &path, 0, &error)),
        }
    }
}

impl RealFile {
    #[cfg(debug_assertions)]
    fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    fn failed(&self, action: Action, offset: u64) -> impl Fn(io::Error) -> Failure {
        move |error| failure(action, &self.path, offset, &error)
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn names(&self) -> Result<Vec<String>, Failure> {
        let failed = |error: io::Error| failure(Action::List, &self.directory, 0, &error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.directory).map_err(failed)? {
            // A name that is no text is none of the journal's.
            names.extend(entry.map_err(failed)?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> Result<RealFile, Failure> {
        #[cfg(debug_assertions)]
        death::before(Action::Create, name);
        let created = self.open_with(name, Action::Create, OpenOptions::new().create(true).truncate(true))?;
        #[cfg(debug_assertions)]
        death::after(Action::Create, name);
        Ok(created)
    }

    fn open(&self, name: &str) -> Result<RealFile, Failure> {
        self.open_with(name, Action::Open, &mut OpenOptions::new())
    }

    fn len(&self, file: &RealFile) -> Result<u64, Failure> {
        file.file.metadata().map(|found| found.len()).map_err(file.failed(Action::Measure, 0))
    }

    fn read_at(&self, file: &RealFile, out: &mut [u8], offset: u64) -> Result<usize, Failure> {
        file.file.read_at(out, offset).map_err(file.failed(Action::Read, offset))
    }

    fn write_at(&self, file: &RealFile, bytes: &[u8], offset: u64) -> Result<usize, Failure> {
        #[cfg(debug_assertions)]
        death::before_write(file, bytes, offset);
        match file.file.write_at(bytes, offset).map_err(file.failed(Action::Write, offset)) {
            // A file system that takes nothing and gives no reason would be asked for ever.
            Ok(0) => {
                Err(failure(Action::Write, &file.path, offset, &io::Error::from_raw_os_error(libc::EIO)))
            }
            written => {
                #[cfg(debug_assertions)]
                death::after_write(file, bytes);
                written
            }
        }
    }

    fn allocate(&self, file: &RealFile, offset: u64, bytes: u64) -> Result<(), Failure> {
        let too_large = |_| file.failed(Action::Allocate, offset)(io::Error::from_raw_os_error(libc::EFBIG));
        let (from, len) =
            (i64::try_from(offset).map_err(too_large)?, i64::try_from(bytes).map_err(too_large)?);
        #[cfg(debug_assertions)]
        death::before(Action::Allocate, file.name());
        loop {
            match fallocate(&file.file, FallocateFlags::empty(), from, len) {
                // It has no such call: then the zeros that are written take the blocks.
                Ok(()) | Err(nix::errno::Errno::EOPNOTSUPP) => break,
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(file.failed(Action::Allocate, offset)(errno.into())),
            }
        }
        #[cfg(debug_assertions)]
        death::after(Action::Allocate, file.name());
        Ok(())
    }

    fn shorten(&self, file: &RealFile, bytes: u64) -> Result<(), Failure> {
        file.file.set_len(bytes).map_err(file.failed(Action::Shorten, bytes))
    }

    fn sync(&self, file: &RealFile) -> Result<(), Failure> {
        #[cfg(debug_assertions)]
        death::before(Action::Sync, file.name());
        file.file.sync_data().map_err(file.failed(Action::Sync, 0))?;
        #[cfg(debug_assertions)]
        death::after(Action::Sync, file.name());
        Ok(())
    }

    fn sync_names(&self) -> Result<(), Failure> {
        #[cfg(debug_assertions)]
        death::before(Action::SyncNames, "");
        self.names.sync_all().map_err(|error| failure(Action::SyncNames, &self.directory, 0, &error))?;
        #[cfg(debug_assertions)]
        death::after(Action::SyncNames, "");
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Failure> {
        #[cfg(debug_assertions)]
        death::before(Action::Rename, from);
        let path = self.path(from);
        std::fs::rename(&path, self.path(to)).map_err(|error| failure(Action::Rename, &path, 0, &error))?;
        #[cfg(debug_assertions)]
        death::after(Action::Rename, from);
        Ok(())
    }

    fn set_name(&self, file: &mut RealFile, name: &str) {
        file.path = self.path(name);
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        #[cfg(debug_assertions)]
        death::before(Action::Remove, name);
        let path = self.path(name);
        std::fs::remove_file(&path).map_err(|error| failure(Action::Remove, &path, 0, &error))?;
        #[cfg(debug_assertions)]
        death::after(Action::Remove, name);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}
