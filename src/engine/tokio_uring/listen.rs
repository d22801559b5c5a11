//! The tasks that wait for readiness: of listeners, for connections, and of the bell, for mail.
//!
//! They wait through the runtime's epoll and not on the ring, so that nothing of theirs is in flight at the end.

use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{SockFlag, accept4};
use tokio::io::unix::AsyncFd;

use super::super::socket::{self, AcceptError};
use super::{Hub, pass};

/// Connections accepted from one listener in one go, so that a flood of them does not stop the service.
const ACCEPTS: usize = 64;

/// How accepting went.
enum Accepted {
    /// Nothing waits any more.
    All,
    /// There may be more.
    Some,
    /// Descriptors or memory ran out.
    Short,
    /// The server drains.
    Over,
}

/// Accepts connections of one listener until the server drains.
pub(super) async fn accept(hub: Rc<Hub>, index: usize) {
    loop {
        let Ok(mut ready) = hub.listeners[index].readable().await else { return };
        match accept_some(&hub, ready.get_inner()) {
            Accepted::All => ready.clear_ready(),
            Accepted::Some => pass().await,
            Accepted::Short => tokio::time::sleep(Duration::from_millis(socket::ACCEPT_WAIT_MS)).await,
            Accepted::Over => return,
        }
    }
}

fn accept_some(hub: &Rc<Hub>, listener: &OwnedFd) -> Accepted {
    for _ in 0..ACCEPTS {
        let mut state = hub.turn();
        if state.worker.draining() {
            return Accepted::Over;
        }
        state.worker.counts().system_calls += 1;
        // The socket blocks: reading from one that does not would fail on the ring instead of waiting for bytes.
        match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            Ok(socket) => {
                if let Some((socket, token)) = socket::take_in(socket::own(socket), &mut state.worker) {
                    hub.open(&mut state, socket, token);
                }
            }
            Err(errno) => match socket::accept_error(errno, &mut state.worker) {
                AcceptError::Next => {}
                AcceptError::Empty => return Accepted::All,
                AcceptError::Wait => return Accepted::Short,
            },
        }
    }
    Accepted::Some
}

/// Reads the worker's mail whenever the bell rings. Never ends by itself.
pub(super) async fn read_mail(hub: Rc<Hub>, bell: AsyncFd<OwnedFd>) {
    loop {
        let Ok(mut ready) = bell.readable().await else { return };
        answer_bell(&hub, ready.get_inner());
        ready.clear_ready();
    }
}

fn answer_bell(hub: &Rc<Hub>, bell: &OwnedFd) {
    let mut state = hub.turn();
    let mut count = [0; 8];
    state.worker.counts().system_calls += 1;
    if let Err(errno) = nix::unistd::read(bell, &mut count) {
        debug_assert_eq!(errno, Errno::EAGAIN, "a bell only ever has nothing to read");
    }
    state.worker.handle_mail();
    while let Some(dealt) = state.worker.take_dealt() {
        let (socket, token) = socket::open_dealt(dealt, &mut state.worker);
        hub.open(&mut state, socket, token);
    }
}
