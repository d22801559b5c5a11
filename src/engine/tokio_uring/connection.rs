//! A connection's two tasks, and how the driver tells them to go ahead.

use std::cell::Cell;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use tokio::sync::Notify;
use tokio_uring::buf::fixed::FixedBuf;
use tokio_uring::net::TcpStream;

use super::Hub;
use super::blocks::Reply;
use crate::buffer::block::POISON;
use crate::connection::End;
use crate::worker::Token;

/// What the driver knows of a connection.
pub(super) struct Slot {
    pub(super) token: Token,
    pub(super) link: Rc<Link>,
    /// Its receiver has been told to go ahead.
    pub(super) receiving: bool,
    /// What has been shut.
    pub(super) shut: End,
    /// Its tasks that have not ended.
    pub(super) tasks: u8,
}

impl Slot {
    pub(super) fn new(token: Token, link: Rc<Link>) -> Self {
        Self { token, link, receiving: false, shut: End::Open, tasks: 2 }
    }
}

/// The slot of a connection that is still there.
pub(super) fn slot_of(slots: &mut [Option<Slot>], token: Token) -> Option<&mut Slot> {
    slots.get_mut(token.slot as usize)?.as_mut().filter(|slot| slot.token == token)
}

/// What the driver and a connection's tasks share.
pub(super) struct Link {
    /// Also of a connection to the Unix socket: nothing here depends on the family.
    stream: TcpStream,
    /// The receiver may go ahead.
    receive: Notify,
    /// There is a reply, or an end.
    send: Notify,
    reply: Cell<Option<Reply>>,
    /// The connection is to be closed.
    ending: Cell<bool>,
}

impl Link {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            stream: TcpStream::from_std(std::net::TcpStream::from(socket)),
            receive: Notify::new(),
            send: Notify::new(),
            reply: Cell::new(None),
            ending: Cell::new(false),
        }
    }

    /// Lets the receiver read once more.
    pub(super) fn receive(&self) {
        self.receive.notify_one();
    }

    /// Gives the sender its next bytes. The ones before have left.
    pub(super) fn send(&self, reply: Reply) {
        let before = self.reply.replace(Some(reply));
        debug_assert!(before.is_none(), "one send at a time");
        self.send.notify_one();
    }

    /// Shuts what `end` says; after the last of it both tasks end. A socket that the client has reset meanwhile is
    /// shut already.
    pub(super) fn shut(&self, end: End) {
        let how = match end {
            End::Open => return,
            End::Receive => Shutdown::Read,
            End::Send => Shutdown::Write,
            End::All => Shutdown::Both,
        };
        if let Err(error) = self.stream.shutdown(how)
            && error.raw_os_error() != Some(libc::ENOTCONN)
        {
            log::debug!("cannot shut a socket: {error}");
        }
        if end == End::All {
            self.ending.set(true);
            self.receive.notify_one();
            self.send.notify_one();
        }
    }
}

/// Reads into `block` whenever the driver says so, and gives the bytes to the worker where they lie.
pub(super) async fn receive(hub: Rc<Hub>, link: Rc<Link>, token: Token, mut block: FixedBuf) {
    loop {
        link.receive.notified().await;
        if link.ending.get() {
            break;
        }
        if cfg!(debug_assertions) {
            // The kernel gets it again: an argument that is kept too long shows.
            block.fill(POISON);
        }
        hub.submit();
        let (result, returned) = link.stream.read_fixed(block).await;
        block = returned;
        hub.received(token, result, &mut block);
    }
    // Before the connection counts as closed: the next one needs the block, and the slot has the last of the socket.
    drop((block, link));
    hub.ended(token);
}

/// Writes what the driver gives it, one piece at a time. A short write is no error: the rest comes as the next piece.
pub(super) async fn send(hub: Rc<Hub>, link: Rc<Link>, token: Token) {
    loop {
        link.send.notified().await;
        if let Some(reply) = link.reply.take() {
            hub.submit();
            let (result, was_fixed) = match reply {
                Reply::Fixed(block) => (link.stream.write_fixed(block).await.0, true),
                Reply::InPlace(bytes) => (link.stream.write(bytes).submit().await.0, false),
            };
            hub.sent(token, result, was_fixed);
        }
        if link.ending.get() {
            break;
        }
    }
    drop(link);
    hub.ended(token);
}
