//! Filters between a process and the kernel (seccomp) that take the system calls of a ring away.
#![expect(unsafe_code, reason = "installing a seccomp filter has no safe interface")]

use std::ops::RangeInclusive;

use nix::libc;

/// `io_uring_setup`, `io_uring_enter`, `io_uring_register`: in this order, and with the same numbers on every
/// architecture.
pub(crate) const RING_CALLS: RangeInclusive<libc::c_long> =
    libc::SYS_io_uring_setup..=libc::SYS_io_uring_register;

/// What happens to a call that the filter takes away.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// Its process is killed.
    #[cfg_attr(feature = "uring", expect(dead_code, reason = "for the build without rings"))]
    Kill,
    /// It fails with this error.
    #[cfg_attr(not(feature = "uring"), expect(dead_code, reason = "for builds with rings"))]
    Error(libc::c_int),
}

/// From now on these calls are answered so, for this thread and every process it starts.
pub(crate) fn take_away(calls: &RangeInclusive<libc::c_long>, answer: Answer) {
    // The number is the first field of `struct seccomp_data` (seccomp(2)); below the range or above it: allowed.
    install([
        load(0),
        compare(libc::BPF_JGE, *calls.start(), 0, 2),
        compare(libc::BPF_JGT, *calls.end(), 1, 0),
        verdict(answer.code()),
        verdict(libc::SECCOMP_RET_ALLOW),
    ]);
}

/// From now on io_uring_register(2) with this operation is answered so, for this thread and every process it starts.
#[cfg(feature = "uring")]
pub(crate) fn take_registration_away(operation: libc::c_long, answer: Answer) {
    /// The lower half of the second argument in `struct seccomp_data`.
    const OPERATION: u32 = if cfg!(target_endian = "little") { 24 } else { 28 };
    /// All but the highest bit, which says how the ring is named (`IORING_REGISTER_USE_REGISTERED_RING`).
    const MASK: u32 = u32::MAX >> 1;
    install([
        load(0),
        compare(libc::BPF_JEQ, libc::SYS_io_uring_register, 0, 4),
        load(OPERATION),
        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, MASK),
        compare(libc::BPF_JEQ, operation, 0, 1),
        verdict(answer.code()),
        verdict(libc::SECCOMP_RET_ALLOW),
    ]);
}

impl Answer {
    fn code(self) -> u32 {
        match self {
            Self::Kill => libc::SECCOMP_RET_KILL_PROCESS,
            Self::Error(errno) => {
                libc::SECCOMP_RET_ERRNO | u32::try_from(errno).expect("errors are positive")
            }
        }
    }
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).expect("BPF opcodes have 16 bits"), jt: 0, jf: 0, k }
}

/// Loads 32 bits of what is known of the call.
fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

/// Compares what was loaded, and skips `yes` or `no` statements.
fn compare(how: u32, number: libc::c_long, yes: u8, no: u8) -> libc::sock_filter {
    let number = u32::try_from(number).expect("numbers of calls and operations are small");
    libc::sock_filter { jt: yes, jf: no, ..statement(libc::BPF_JMP | how | libc::BPF_K, number) }
}

fn verdict(code: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, code)
}

fn install<const STATEMENTS: usize>(mut program: [libc::sock_filter; STATEMENTS]) {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).expect("a handful of statements"),
        filter: program.as_mut_ptr(),
    };
    // Without privileges a filter is accepted only from a thread that can gain none.
    nix::sys::prctl::set_no_new_privs().expect("the kernel knows no_new_privs");
    // SAFETY: `filter` points to `program`; both live until the call returns, and the kernel copies them.
    let refused = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
    assert_eq!(refused, 0, "the kernel takes no seccomp filter: {}", std::io::Error::last_os_error());
}
