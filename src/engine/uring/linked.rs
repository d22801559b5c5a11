//! A small ring of the journal's own: a write and the sync behind it, submitted and waited for in one system call.
//!
//! The bytes go into a registered buffer first, which belongs to this module and is not touched before both completions
//! are there: nothing of the caller's is ever lent to the kernel.

#![expect(unsafe_code, reason = "the buffer is registered and written from by address")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use io_uring::register::Restriction;
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, opcode, squeue};

/// Bytes of the buffer, which are locked in memory: more than is written between two syncs but for bulk.
const BUFFER_BYTES: usize = 256 * 1024;

/// Names of the two completions.
const WRITE: u64 = 1;
const SYNC: u64 = 2;

/// What came of a write and a sync.
#[derive(Debug)]
pub enum Linked {
    /// Both are done.
    Done,
    /// So many bytes were written, fewer than there are, and nothing was synced.
    Short(usize),
    /// The write failed, and nothing was synced.
    WriteFailed(io::Error),
    /// The bytes were written, and the sync failed.
    SyncFailed(io::Error),
}

/// The ring. One thread at a time uses it.
pub struct LinkedWrites(Mutex<Inner>);

struct Inner {
    // Before the buffer, so that it goes first.
    ring: IoUring,
    buffer: Box<[u8]>,
}

impl std::fmt::Debug for LinkedWrites {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkedWrites").finish_non_exhaustive()
    }
}

impl LinkedWrites {
    /// Builds the ring, restricted to what this module asks of it.
    ///
    /// # Errors
    /// The kernel gives no ring, or no locked memory for its buffer.
    pub fn new() -> io::Result<Self> {
        let ring = IoUring::builder().setup_clamp().setup_r_disabled().build(2)?;
        let mut buffer = vec![0_u8; BUFFER_BYTES].into_boxed_slice();
        let whole = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: the buffer is allocated and stays where it is until this value is dropped, after the ring; the registration
        // pins its pages until the ring has ended.
        unsafe { ring.submitter().register_buffers(&[whole]) }?;
        let mut allowed = [
            Restriction::sqe_op(opcode::WriteFixed::CODE),
            Restriction::sqe_op(opcode::Fsync::CODE),
            Restriction::sqe_flags_allowed(squeue::Flags::IO_LINK.bits()),
        ];
        // Where the kernel has no restrictions, there are none.
        let _older_kernel = ring.submitter().register_restrictions(&mut allowed);
        ring.submitter().register_enable_rings()?;
        Ok(Self(Mutex::new(Inner { ring, buffer })))
    }

    /// Whether so many bytes fit.
    pub fn takes(&self, bytes: usize) -> bool {
        (1..=BUFFER_BYTES).contains(&bytes)
    }

    /// Writes `bytes`, for which [`LinkedWrites::takes`] holds, at `offset` of a file and syncs its data.
    ///
    /// # Errors
    /// The kernel does not take the entries; what becomes of them is not known then.
    pub fn write_and_sync(&self, file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<Linked> {
        // Only tests survive a panic.
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { ring, buffer } = &mut *inner;
        buffer[..bytes.len()].copy_from_slice(bytes);
        let len = u32::try_from(bytes.len()).expect("it fits the buffer");
        let fd = Fd(file.as_raw_fd());
        let write = opcode::WriteFixed::new(fd, buffer.as_ptr(), len, 0).offset(offset).build();
        // A write that is short or fails severs the link, and the sync is cancelled.
        let write = write.flags(squeue::Flags::IO_LINK).user_data(WRITE);
        let sync = opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build().user_data(SYNC);
        // SAFETY: `buffer` is the registered one and is neither freed nor written to before both completions are reaped
        // below, as `inner` is locked and this returns no sooner, but for an error after which the process ends; `file` is
        // borrowed for as long.
        unsafe { ring.submission().push_multiple(&[write, sync]) }
            .expect("the queue has room for two, and is empty between two calls");
        let [mut written, mut synced] = [None; 2];
        while written.is_none() || synced.is_none() {
            // A signal may have ended the wait after the first of them.
            let missing = usize::from(written.is_none()) + usize::from(synced.is_none());
            match ring.submit_and_wait(missing) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            for completion in ring.completion() {
                match completion.user_data() {
                    WRITE => written = Some(completion.result()),
                    _ => synced = Some(completion.result()),
                }
            }
        }
        Ok(outcome(bytes.len(), written.unwrap_or_default(), synced.unwrap_or_default()))
    }
}

/// Reads the results of both.
fn outcome(wanted: usize, written: i32, synced: i32) -> Linked {
    match usize::try_from(written) {
        Err(_) => Linked::WriteFailed(io::Error::from_raw_os_error(-written)),
        Ok(bytes) if bytes < wanted => Linked::Short(bytes),
        Ok(_) if synced < 0 => Linked::SyncFailed(io::Error::from_raw_os_error(-synced)),
        Ok(_) => Linked::Done,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek};
    use std::os::fd::AsFd;

    use super::{BUFFER_BYTES, Linked, LinkedWrites, outcome};

    #[test]
    fn a_write_and_its_sync_are_one_call() {
        let writes = LinkedWrites::new().expect("the kernel gives a ring");
        let path = std::env::temp_dir().join(format!("tallyring-linked-{}", std::process::id()));
        let mut file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        assert!(writes.takes(BUFFER_BYTES) && !writes.takes(BUFFER_BYTES + 1) && !writes.takes(0));
        let long = vec![7; BUFFER_BYTES];
        for (bytes, offset) in [(&b"hello"[..], 0), (&long[..], 5), (b"!", 3)] {
            let done = writes.write_and_sync(file.as_fd(), bytes, offset).unwrap();
            assert!(matches!(done, Linked::Done), "{done:?}");
        }
        let mut content = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut content).unwrap();
        assert_eq!((&content[..5], content.len()), (&b"hel!o"[..], 5 + BUFFER_BYTES));
        let read_only = File::open(&path).unwrap();
        let refused = writes.write_and_sync(read_only.as_fd(), b"x", 0).unwrap();
        assert!(
            matches!(&refused, Linked::WriteFailed(error) if error.raw_os_error() == Some(libc::EBADF)),
            "{refused:?}"
        );
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn results_are_told_apart() {
        assert!(matches!(outcome(5, 5, 0), Linked::Done));
        assert!(matches!(outcome(5, 3, -libc::ECANCELED), Linked::Short(3)));
        assert!(matches!(outcome(5, 0, -libc::ECANCELED), Linked::Short(0)));
        assert!(matches!(outcome(5, -libc::ENOSPC, -libc::ECANCELED), Linked::WriteFailed(_)));
        assert!(matches!(outcome(5, 5, -libc::EIO), Linked::SyncFailed(_)));
    }
}
