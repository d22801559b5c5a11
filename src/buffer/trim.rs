//! Has the allocator give memory back to the kernel. Knows the allocator; who freed what, and when to ask, is not its
//! business.
//!
//! The C library's allocator keeps freed memory below the highest piece that is still in use, for ever: after a crowd
//! whose replies took 256 MiB was gone, the process stayed that large.

#![expect(unsafe_code, reason = "calls of the C library")]

use crate::limits;

/// Has the allocator keep pieces of [`limits::MAPPED_BYTES`] and more in mappings of their own from now on: they grow by
/// moving pages and go back to the kernel when they are freed.
///
/// Left to itself it raises that mark to the largest piece that was ever freed. Then growing pieces are copied, and what
/// they leave behind is held: 50 requests of a megabyte, sent in small pieces, took 1.2 to 1.4 times their bytes.
pub fn map_large_pieces() {
    #[cfg(target_env = "gnu")]
    {
        let bytes = i32::try_from(limits::MAPPED_BYTES).expect("far below 2 GiB");
        // SAFETY: `mallopt` has no requirements; it sets a number under the allocator's own lock.
        let is_set = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, bytes) };
        if is_set != 1 {
            // Another allocator stands in for it, as under a sanitizer.
            log::debug!("the allocator does not know M_MMAP_THRESHOLD");
        }
    }
}

/// Gives back every whole page that is free. Takes some 10 ms for 100 MiB, during which who allocates may wait.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: `malloc_trim` has no requirements: it touches nothing but memory that is free, under the allocator's
        // own locks.
        let given_back = unsafe { libc::malloc_trim(0) };
        log::debug!(
            "freed memory was given back to the kernel: {}",
            if given_back == 1 { "some" } else { "none" }
        );
    }
}
