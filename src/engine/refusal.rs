//! Why the kernel gives no ring, in words for the operator. Makes no system call.

use std::io;

/// What most likely keeps io_uring from working, and what to do about it.
pub(super) fn explain(error: &io::Error) -> String {
    let likely = match error.raw_os_error() {
        Some(libc::EPERM) => {
            "io_uring is forbidden, by a seccomp profile (Docker's default; add io_uring_setup, io_uring_enter and \
             io_uring_register) or by sysctl kernel.io_uring_disabled (set it to 0)"
        }
        Some(libc::ENOSYS) => {
            "the kernel has no io_uring, or a seccomp profile hides it (add io_uring_setup, io_uring_enter and \
             io_uring_register)"
        }
        Some(libc::ENOMEM) => {
            "memory that may be locked is short (raise `ulimit -l` or LimitMEMLOCK= to 8 MiB and 2 MiB more per worker, 6 MiB with engine tokio-uring)"
        }
        Some(libc::EINVAL) => "the kernel is older than 6.0 and lacks multishot receives (upgrade it)",
        _ => "the cause is not one we know",
    };
    format!("cannot set up io_uring: {error}: {likely}")
}
