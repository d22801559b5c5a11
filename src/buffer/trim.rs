//! Gives freed memory back to the kernel. Knows the allocator; who freed what, and when to ask, is not its business.
//!
//! The C library's allocator keeps freed memory below the highest piece that is still in use, for ever: after a crowd
//! whose replies took 256 MiB was gone, the process stayed that large.

#![expect(unsafe_code, reason = "a call of the C library")]

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
