//! The words that a ring lives in: a mapping of a file, which outlives the process, or of no file. Knows nothing of
//! what they mean.
#![cfg_attr(not(model), expect(unsafe_code, reason = "a mapping is reached through its address"))]

#[cfg(model)]
pub use model::Memory;

#[cfg(not(model))]
pub use mapped::Memory;

/// Words in front of the ring's own bytes: a page.
pub(super) const HEADER_WORDS: usize = if cfg!(model) { 16 } else { 512 };

#[cfg(not(model))]
mod mapped {
    use std::fs::OpenOptions;
    use std::io;
    use std::num::NonZeroUsize;
    use std::ops::Deref;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::path::Path;
    use std::ptr::NonNull;
    use std::sync::atomic::AtomicU64;

    use nix::errno::Errno;
    use nix::fcntl::{FallocateFlags, fallocate};
    use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

    use super::HEADER_WORDS;

    /// Bytes of the smallest ring: a few frames.
    const LEAST_BYTES: u64 = 256;

    /// A page for the ring's header, and a power of two of bytes behind it.
    #[derive(Debug)]
    pub struct Memory {
        /// The mapping's first byte, on a page.
        words: NonNull<AtomicU64>,
        /// Words of the mapping, all of them readable and writable until it is dropped.
        count: usize,
    }

    // SAFETY: the mapping belongs to the value and not to a thread, and what it holds is reached as atomics only.
    unsafe impl Send for Memory {}
    // SAFETY: as above.
    unsafe impl Sync for Memory {}

    /// Bytes of the mapping for a ring of so many.
    fn mapping_bytes(capacity: u64) -> io::Result<NonZeroUsize> {
        let header = (HEADER_WORDS * size_of::<u64>()) as u64;
        let bytes = usize::try_from(capacity.saturating_add(header)).ok().and_then(NonZeroUsize::new);
        bytes.filter(|_| capacity.is_power_of_two() && capacity >= LEAST_BYTES).ok_or_else(|| {
            let why = format!("a log ring has a power of two of bytes, {LEAST_BYTES} at least");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        })
    }

    impl Memory {
        /// Memory of the file at `path`, which is made where there is none. What is in it stays until a ring begins
        /// in it. Nobody else may have it mapped: the caller holds the lock of the journal.
        ///
        /// # Errors
        /// The system's; `InvalidInput` if the capacity is no power of two, or too small.
        pub fn of_file(path: &Path, capacity: u64) -> io::Result<Self> {
            let bytes = mapping_bytes(capacity)?;
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)?;
            file.set_len(bytes.get() as u64)?;
            let len = i64::try_from(bytes.get()).map_err(io::Error::other)?;
            // A page that the disk has no block for would end the process at its first write (SIGBUS).
            match fallocate(&file, FallocateFlags::empty(), 0, len) {
                // Nor has it where it cannot promise any: there the caller's choice of a place has to do.
                Ok(()) | Err(Errno::EOPNOTSUPP) => {}
                Err(errno) => return Err(errno.into()),
            }
            let (access, shared) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
            // SAFETY: no address is asked for, so that the kernel picks one where nothing is mapped.
            let start = unsafe { mmap(None, bytes, access, shared, &file, 0) }?;
            Ok(Self { words: start.cast(), count: bytes.get() / size_of::<u64>() })
        }

        /// Memory of zeros that ends with the process.
        ///
        /// # Errors
        /// As [`Memory::of_file`].
        pub fn anonymous(capacity: u64) -> io::Result<Self> {
            let bytes = mapping_bytes(capacity)?;
            let (access, private) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE);
            // SAFETY: no address is asked for, so that the kernel picks one where nothing is mapped.
            let start = unsafe { mmap_anonymous(None, bytes, access, private) }?;
            Ok(Self { words: start.cast(), count: bytes.get() / size_of::<u64>() })
        }
    }

    impl Deref for Memory {
        type Target = [AtomicU64];

        #[inline]
        fn deref(&self) -> &[AtomicU64] {
            // SAFETY: `words` is on a page, hence aligned, and the kernel keeps `count` words mapped there until `drop`,
            // which the borrow does not outlive; any bits are an `AtomicU64`, and nobody reaches them as anything else.
            unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count) }
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            // SAFETY: the mapping is this value's own, of exactly this length, and no borrow of it is left.
            let unmapped = unsafe { munmap(self.words.cast(), self.count * size_of::<u64>()) };
            debug_assert!(unmapped.is_ok(), "a whole mapping can be given back");
        }
    }
}

#[cfg(model)]
mod model {
    use loom::sync::atomic::AtomicU64;

    use super::HEADER_WORDS;

    /// Words that the model watches.
    #[derive(Debug)]
    pub struct Memory(Box<[AtomicU64]>);

    impl Memory {
        /// Memory of zeros.
        ///
        /// # Errors
        /// Never.
        pub fn anonymous(capacity: u64) -> std::io::Result<Self> {
            let words = HEADER_WORDS + usize::try_from(capacity).expect("64 bits") / size_of::<u64>();
            Ok(Self((0..words).map(|_| AtomicU64::new(0)).collect()))
        }

        /// There are no files in a model.
        ///
        /// # Errors
        /// Always.
        pub fn of_file(_: &std::path::Path, _: u64) -> std::io::Result<Self> {
            Err(std::io::ErrorKind::Unsupported.into())
        }
    }

    impl std::ops::Deref for Memory {
        type Target = [AtomicU64];

        fn deref(&self) -> &[AtomicU64] {
            &self.0
        }
    }
}
