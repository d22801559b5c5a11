//! The one system call of the server's that has no safe wrapper: a thread whose reads and writes come after everybody
//! else's.

#![expect(unsafe_code, reason = "ioprio_set has a number and no wrapper")]

/// `IOPRIO_WHO_PROCESS` of `ioprio_set(2)`: with 0, the calling thread.
const WHO_PROCESS: libc::c_int = 1;

/// `IOPRIO_CLASS_IDLE`, where the class stands in the value.
const CLASS_IDLE: libc::c_int = 3 << 13;

/// Lets the calling thread's reads and writes wait for all others. Some schedulers of devices know no such thing.
///
/// Not its share of the CPUs: it takes locks that workers want, and must not be left standing while it holds one.
pub(super) fn yield_disk() -> nix::Result<()> {
    // SAFETY: the call takes three integers and touches no memory of ours; glibc's `syscall` passes them on.
    let done = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE) };
    nix::errno::Errno::result(done).map(drop)
}
