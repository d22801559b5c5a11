//! The bare loop on epoll: edge-triggered, registered once, one receive and one send per ready connection and turn.
//!
//! As lean as epoll gets with plain sockets, so that a ring is compared with its best opponent.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use slab::Slab;

use super::{Owed, RECEIVE_BYTES, requests};

/// Event data of the listener; connections have their slot.
const LISTENER: u64 = u64::MAX;

/// Events taken in one turn.
const EVENTS: usize = 512;

struct Connection {
    stream: TcpStream,
    owed: Owed,
    /// The last receive filled its room: there may be more, and no new edge will say so.
    readable: bool,
    /// The client has sent its last byte; reading on will find the end.
    ended: bool,
}

/// What is to be done with a connection after it was looked at.
#[derive(PartialEq, Eq)]
enum Next {
    Wait,
    Again,
    Close,
}

/// Serves until the process is ended.
///
/// # Errors
/// What epoll or the listener says; a connection's errors end that connection.
pub(super) fn serve(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let mut connections = Slab::new();
    let mut events = vec![EpollEvent::empty(); EVENTS];
    let mut scratch = vec![0; RECEIVE_BYTES];
    let (mut again, mut looked_at) = (Vec::new(), Vec::new());
    loop {
        let timeout = if again.is_empty() { EpollTimeout::NONE } else { EpollTimeout::ZERO };
        let ready = match epoll.wait(&mut events, timeout) {
            Ok(ready) => ready,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        std::mem::swap(&mut again, &mut looked_at);
        again.clear();
        for event in &events[..ready] {
            if event.data() == LISTENER {
                accept(listener, &epoll, &mut connections)?;
                continue;
            }
            let slot = usize::try_from(event.data()).expect("an event's data is a slot");
            let Some(connection) = connections.get_mut(slot) else { continue };
            connection.ended |= event.events().intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP);
            connection.readable |= connection.ended || event.events().contains(EpollFlags::EPOLLIN);
            looked_at.push(slot);
        }
        for slot in looked_at.drain(..) {
            let Some(connection) = connections.get_mut(slot) else { continue };
            match turn(connection, &mut scratch) {
                Next::Wait => {}
                Next::Again => again.push(slot),
                // Dropping the stream closes it, which also takes it out of the epoll set.
                Next::Close => drop(connections.remove(slot)),
            }
        }
    }
}

fn accept(listener: &TcpListener, epoll: &Epoll, connections: &mut Slab<Connection>) -> io::Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let slot = connections.vacant_entry();
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        epoll.add(&stream, EpollEvent::new(flags, slot.key() as u64))?;
        slot.insert(Connection { stream, owed: Owed::default(), readable: false, ended: false });
    }
}

/// One receive if there is something to receive, and one send if replies are owed.
fn turn(connection: &mut Connection, scratch: &mut [u8]) -> Next {
    if connection.readable {
        match connection.stream.read(scratch) {
            Ok(0) => return Next::Close,
            Ok(read) => {
                connection.readable = read == scratch.len() || connection.ended;
                connection.owed.add(requests(&scratch[..read]));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => connection.readable = false,
            Err(_) => return Next::Close,
        }
    }
    let mut more = connection.readable;
    if !connection.owed.is_none() {
        let replies = connection.owed.next();
        match connection.stream.write(replies) {
            Ok(sent) => {
                connection.owed.sent(sent);
                // A full socket says so by an edge when it drains; one that took all it was offered does not.
                more |= sent == replies.len() && !connection.owed.is_none();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Next::Close,
        }
    }
    if more { Next::Again } else { Next::Wait }
}
