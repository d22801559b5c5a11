//! Every entry that the engine submits, and the list of them that its ring is restricted to.
//!
//! A seccomp filter does not see what is asked of a ring. A ring that refuses everything it was not made for keeps
//! whoever takes over the process from opening files or starting connections through it.

#![expect(unsafe_code, reason = "the library has no name for one field of an entry")]

use std::io;

use io_uring::register::Restriction;
use io_uring::types::Fd;
use io_uring::{Submitter, opcode, squeue};

use super::super::rung::{Rung, Supply};
use super::buffers::Group;
use crate::limits;

/// `ioprio` flags of a receive (include/uapi/linux/io_uring.h).
const RECVSEND_POLL_FIRST: u16 = 1;
const RECV_MULTISHOT: u16 = 1 << 1;

/// Calls of io_uring_register(2) that are made of a ring at work (the same header).
const IORING_REGISTER_BUFFERS_UPDATE: u8 = 16;
const IORING_UNREGISTER_PBUF_RING: u8 = 23;

/// Allows what the functions below make, what a ring at work registers, and nothing else, from when it is enabled on.
pub(super) fn restrict(submitter: &Submitter<'_>, supply: Supply) -> io::Result<()> {
    let (receive, flags, register) = match supply {
        Supply::Shared => (opcode::Recv::CODE, squeue::Flags::BUFFER_SELECT, IORING_UNREGISTER_PBUF_RING),
        Supply::Fixed => (opcode::ReadFixed::CODE, squeue::Flags::empty(), IORING_REGISTER_BUFFERS_UPDATE),
    };
    let mut allowed = [
        Restriction::sqe_op(receive),
        Restriction::sqe_op(opcode::Accept::CODE),
        Restriction::sqe_op(opcode::PollAdd::CODE),
        Restriction::sqe_op(opcode::Send::CODE),
        Restriction::sqe_op(opcode::AsyncCancel::CODE),
        Restriction::sqe_flags_allowed((flags | squeue::Flags::SKIP_SUCCESS).bits()),
        Restriction::register_op(register),
    ];
    submitter.register_restrictions(&mut allowed)
}

/// Accepts connections of a listener until told otherwise.
pub(super) fn accept(listener: Fd, supply: Supply) -> squeue::Entry {
    let flags = match supply {
        Supply::Shared => libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        // Reading from a socket that does not block would fail on the ring instead of waiting for bytes.
        Supply::Fixed => libc::SOCK_CLOEXEC,
    };
    opcode::AcceptMulti::new(listener).flags(flags).build()
}

/// Tells whenever the bell rings.
pub(super) fn listen(bell: Fd) -> squeue::Entry {
    let events = u32::try_from(libc::POLLIN).expect("a small positive constant");
    opcode::PollAdd::new(bell, events).multi(true).build()
}

/// Receives into a block of the group's buffer ring; from Linux 6.0 on into one after the other. `waits`: the socket was empty
/// a moment ago. `capped`: it is over when [`limits::TURN_BYTES`] have come, and says so by not staying armed.
pub(super) fn receive(socket: Fd, rung: Rung, group: Group, waits: bool, capped: bool) -> squeue::Entry {
    let multishot = match rung {
        Rung::Defer | Rung::Coop => RECV_MULTISHOT,
        Rung::Oneshot => 0,
    };
    // Waits for bytes first: arming on an empty buffer ring would fail at once, and there rarely are any yet.
    let wait = if waits { RECVSEND_POLL_FIRST } else { 0 };
    let entry = opcode::Recv::new(socket, std::ptr::null_mut(), 0)
        .ioprio(multishot | wait)
        .buf_group(group.id())
        .build()
        .flags(squeue::Flags::BUFFER_SELECT);
    if capped && multishot != 0 { cap(entry) } else { entry }
}

/// Bounds what a receive that stays armed takes in all (6.17). Older kernels answer `EINVAL`.
fn cap(mut entry: squeue::Entry) -> squeue::Entry {
    /// Where `optlen` lies in `struct io_uring_sqe` (include/uapi/linux/io_uring.h).
    const OPTLEN: usize = 44;
    let bytes = u32::try_from(limits::TURN_BYTES).expect("a few blocks");
    // SAFETY: an entry is the kernel's structure of 64 bytes, so byte 44 lies inside it.
    let field = unsafe { (&raw mut entry).byte_add(OPTLEN) }.cast::<u32>();
    // SAFETY: the structure is aligned to 8 and the field has four bytes, for which every pattern is valid.
    unsafe { field.write(bytes) };
    entry
}

/// Reads into a registered block. It must stay with the kernel until the completion.
pub(super) fn read(socket: Fd, (address, len): (*mut u8, u32), registered: u16) -> squeue::Entry {
    opcode::ReadFixed::new(socket, address, len, registered).build()
}

/// Sends bytes, all of them or it counts as failed. They must stay until the send is over. `waits`: where the socket
/// has no room; if not, the entry is over when it has been submitted, and tells only if it failed.
pub(super) fn send(socket: Fd, bytes: &[u8], waits: bool) -> squeue::Entry {
    let len = u32::try_from(bytes.len()).expect("the caller sends less than 4 GiB");
    let (flags, then) = match waits {
        true => (0, squeue::Flags::empty()),
        // With `MSG_WAITALL` a send that is cut short counts as failed, and so tells.
        false => (libc::MSG_DONTWAIT, squeue::Flags::SKIP_SUCCESS),
    };
    opcode::Send::new(socket, bytes.as_ptr(), len)
        .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL | flags)
        .build()
        .flags(then)
}

/// Ends the operation of this `user_data`.
pub(super) fn cancel(target: u64) -> squeue::Entry {
    opcode::AsyncCancel::new(target).build()
}
