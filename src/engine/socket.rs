//! What all engines do to sockets besides moving bytes: who is there, shutting, accepting and its errors.

#![expect(unsafe_code, reason = "a descriptor that the kernel just handed out becomes an owned one")]

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
#[cfg(feature = "uring")]
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    MsgFlags, Shutdown, SockaddrLike, SockaddrStorage, getpeername, getsockname, send, shutdown,
};

use crate::connection::{End, Peer};
use crate::worker::{Admission, Dealt, Token, Worker};

/// Owns a descriptor that the kernel has just given us as the result of accepting.
pub(super) fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the callers pass what `accept4` or an accept completion returned this moment: open, and known to
    // nobody else.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Both ends of a connected socket; none of one that the client has reset already, which has no other end.
pub(super) fn peer(socket: BorrowedFd<'_>) -> Option<Peer> {
    let remote = getpeername::<SockaddrStorage>(socket.as_raw_fd()).ok().and_then(|it| address(&it));
    let local = getsockname::<SockaddrStorage>(socket.as_raw_fd()).ok();
    match local.as_ref().and_then(address) {
        Some(local) => remote.map(|remote| Peer::tcp(remote, local)),
        None => Some(Peer::Unix),
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    match (storage.as_sockaddr_in(), storage.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddr::V4(SocketAddrV4::from(*v4))),
        (_, Some(v6)) => Some(SocketAddr::V6(SocketAddrV6::from(*v6))),
        _ => {
            debug_assert!(storage.family().is_some(), "the kernel fills in a family");
            None
        }
    }
}

/// Shuts what `end` says. A socket that the client has reset meanwhile is shut already.
pub(super) fn shut(socket: BorrowedFd<'_>, end: End) {
    let how = match end {
        End::Open => return,
        End::Receive => Shutdown::Read,
        End::Send => Shutdown::Write,
        End::All => Shutdown::Both,
    };
    match shutdown(socket.as_raw_fd(), how) {
        Ok(()) | Err(Errno::ENOTCONN) => {}
        Err(errno) => log::debug!("cannot shut a socket: {errno}"),
    }
}

/// Whether the client has reset the connection, so that nothing more will come of it.
#[cfg(feature = "uring")]
pub(super) fn is_broken(socket: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::empty())];
    match poll(&mut polled, PollTimeout::ZERO) {
        Ok(_) => polled[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR)),
        // A signal came, or memory is short: no sign of anything.
        Err(errno) => {
            log::debug!("cannot look at a socket: {errno}");
            false
        }
    }
}

/// What to do about a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcceptError {
    /// The connection was gone before it was accepted, or the call was interrupted: try the next.
    Next,
    /// No descriptors or memory: wait before trying again, or the loop spins.
    Wait,
    /// Nothing waits to be accepted.
    Empty,
}

/// Sorts accept's errors (`accept(2)`, "Error handling").
pub(super) fn accept_error(errno: Errno, worker: &mut Worker) -> AcceptError {
    match errno {
        Errno::EAGAIN => AcceptError::Empty,
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS => {
            worker.note_unaccepted(errno.desc());
            AcceptError::Wait
        }
        _ => AcceptError::Next,
    }
}

/// Milliseconds before accepting is tried again after descriptors or memory ran out.
pub(super) const ACCEPT_WAIT_MS: u64 = 100;

/// Takes in a connection that was just accepted: here, at another worker, or nowhere. Gives the descriptor and
/// token of one that is to be served here. One that was reset while it waited to be accepted is only closed.
pub(super) fn take_in(socket: OwnedFd, worker: &mut Worker) -> Option<(OwnedFd, Token)> {
    let peer = peer(socket.as_fd())?;
    match worker.admit(&peer) {
        Admission::Here => {
            let token = worker.open(peer, socket.as_raw_fd());
            Some((socket, token))
        }
        Admission::To(other) => match worker.deal(other, Dealt { socket: Box::new(socket), peer }) {
            Ok(()) => None,
            Err(dealt) => Some(open_dealt(dealt, worker)),
        },
        Admission::Refused(reply) => {
            refuse(&socket, reply);
            None
        }
    }
}

/// Tells a client that was just accepted why it is not served.
pub(super) fn refuse(socket: &OwnedFd, reply: &[u8]) {
    // One try: a fresh socket's send buffer has room, and a client that is gone does not mind.
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    if let Err(errno) = send(socket.as_raw_fd(), reply, flags) {
        log::debug!("cannot tell a client that it is refused: {errno}");
    }
    shut(socket.as_fd(), End::Send);
}

/// Opens a connection that was accepted for this worker.
pub(super) fn open_dealt(dealt: Dealt, worker: &mut Worker) -> (OwnedFd, Token) {
    let socket = *dealt.socket.downcast::<OwnedFd>().expect("engines deal descriptors");
    let token = worker.open(dealt.peer, socket.as_raw_fd());
    (socket, token)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use nix::sys::socket::{setsockopt, sockopt};

    use super::{Peer, peer};

    #[test]
    fn whoever_is_gone_before_being_accepted_is_nobody() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let client = connect();
        let (here, _) = listener.accept().unwrap();
        let remote = client.local_addr().unwrap();
        let local = listener.local_addr().unwrap();
        assert_eq!(peer(here.as_fd()), Some(Peer::tcp(remote, local)));
        // An end of what it sends is no end of the connection.
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!((&here).read(&mut [0]).unwrap(), 0);
        assert!(peer(here.as_fd()).is_some());
        let reset = connect();
        setsockopt(&reset, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
        drop(reset);
        let (gone, _) = listener.accept().unwrap();
        assert!(peer(gone.as_fd()).is_none());
    }
}
