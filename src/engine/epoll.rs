//! The engine on epoll: edge-triggered, each connection registered once, one receive and one send a turn.
//!
//! Edge-triggered means that readiness is told once: what was not read or sent is remembered here
//! (`readable`, `writable`) until the kernel says that there is nothing left (`EAGAIN`, or a short read with no
//! end of stream under way, see `epoll(7)`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{MsgFlags, SockFlag, accept4, recv, send};

use super::Setup;
use super::socket::{self, AcceptError};
use crate::buffer::block::Blocks;
use crate::connection::End;
use crate::limits;
use crate::worker::{Resources, Token, Unsent, Worker};

/// Events taken from the kernel in one call.
const EVENTS: usize = 512;
/// Connections accepted from one listener in one turn, so that a flood of them does not stop the service.
const ACCEPTS: usize = 64;
/// Connections read from before their replies leave: what is to be sent of all that are ready in a turn would take a block each.
const READ_TOGETHER: usize = 64;
/// Marks the bell and, counting down from it, the listeners; no token looks like this.
const BELL: u64 = u64::MAX;

#[derive(Debug)]
struct Slot {
    socket: OwnedFd,
    token: Token,
    /// There may be bytes to receive.
    readable: bool,
    /// The client has sent its end of stream, so that a short read is not the last one.
    hung_up: bool,
    /// The socket may take bytes.
    writable: bool,
    /// Is on the list of connections to be read from.
    ready: bool,
    /// What has been shut.
    shut: End,
}

struct Turns {
    epoll: Epoll,
    setup: Setup,
    worker: Worker,
    blocks: Blocks,
    slots: Vec<Option<Slot>>,
    /// Connections that are readable and wanted to be read.
    ready: Vec<Token>,
    /// Those of them that this turn reads from; kept to be reused.
    round: Vec<Token>,
    /// Monotonic milliseconds before which nothing is accepted.
    accept_after: u64,
    accepting: bool,
}

/// Drives `worker` until it is finished.
pub fn run(setup: Setup, worker: Worker) -> io::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&setup.bell, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, BELL))?;
    for (index, listener) in setup.listeners.iter().enumerate() {
        epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, BELL - 1 - index as u64))?;
    }
    let accepting = !setup.listeners.is_empty();
    let mut turns = Turns {
        epoll,
        setup,
        worker,
        blocks: Blocks::new(1, READ_BYTES),
        slots: Vec::new(),
        ready: Vec::with_capacity(EVENTS),
        round: Vec::with_capacity(EVENTS),
        accept_after: 0,
        accepting,
    };
    let mut events = vec![EpollEvent::empty(); EVENTS];
    let mut wait = None;
    while !turns.worker.finished() {
        wait = turns.turn(&mut events, wait)?;
    }
    debug_assert_eq!(turns.blocks.held(), 0, "every block came back");
    Ok(())
}

/// Bytes of one receive. The block goes from connection to connection, so one is enough, and stays in the cache.
const READ_BYTES: usize = 16 * 1024;

impl Turns {
    fn turn(&mut self, events: &mut [EpollEvent], wait: Option<Duration>) -> io::Result<Option<Duration>> {
        let timeout = match wait {
            _ if !self.ready.is_empty() => EpollTimeout::ZERO,
            None => EpollTimeout::NONE,
            Some(wait) => EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::MAX),
        };
        self.worker.counts().system_calls += 1;
        let count = match self.epoll.wait(events, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        self.worker.begin_turn();
        // Between two turns the one block is free, and nothing is ever in flight.
        self.worker.note(Resources { blocks: 1, blocks_free: 1, blocks_low_water: 0, in_flight: 0 });
        let mut accept = 0_u64;
        for event in &events[..count] {
            match event.data() {
                BELL => self.answer_bell(),
                data if data > BELL - 1 - limits::LISTENERS as u64 => accept |= 1 << (BELL - 1 - data),
                data => self.note(data, event.events()),
            }
        }
        self.read_ready();
        for index in 0..self.setup.listeners.len() {
            if accept & (1 << index) != 0 {
                self.accept(index);
            }
        }
        self.apply_changes();
        self.mind_listeners()?;
        let wait = self.worker.end_turn();
        Ok(match self.accepting {
            false if !self.setup.listeners.is_empty() && !self.worker.draining() => {
                let pause = Duration::from_millis(socket::ACCEPT_WAIT_MS);
                Some(wait.map_or(pause, |wait| wait.min(pause)))
            }
            _ => wait,
        })
    }

    fn answer_bell(&mut self) {
        let mut count = [0; 8];
        self.worker.counts().system_calls += 1;
        if let Err(errno) = nix::unistd::read(&self.setup.bell, &mut count) {
            debug_assert_eq!(errno, Errno::EAGAIN, "a bell only ever has nothing to read");
        }
        self.worker.handle_mail();
        while let Some(dealt) = self.worker.take_dealt() {
            let (socket, token) = socket::open_dealt(dealt, &mut self.worker);
            self.open(socket, token);
        }
    }

    /// Remembers what the kernel says of a connection.
    fn note(&mut self, data: u64, flags: EpollFlags) {
        let Some(slot) = slot_of(&mut self.slots, token_from(data)) else { return };
        if flags.intersects(
            EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR,
        ) {
            slot.readable = true;
            slot.hung_up |=
                flags.intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
            if !std::mem::replace(&mut slot.ready, true) {
                self.ready.push(slot.token);
            }
        }
        if flags.contains(EpollFlags::EPOLLOUT) && !std::mem::replace(&mut slot.writable, true) {
            self.worker.touch(slot.token);
        }
    }

    /// Receives from every connection that is ready, each its share, and sends what that leads to, but for the last ones.
    fn read_ready(&mut self) {
        std::mem::swap(&mut self.ready, &mut self.round);
        for index in 0..self.round.len() {
            let token = self.round[index];
            if let Some(slot) = slot_of(&mut self.slots, token) {
                slot.ready = false;
                self.read(token);
            }
            if (index + 1).is_multiple_of(READ_TOGETHER) {
                self.apply_changes();
            }
        }
        self.round.clear();
    }

    fn read(&mut self, token: Token) {
        let mut received = 0;
        loop {
            if !self.worker.wants(token).is_some_and(|wants| wants.read) {
                return;
            }
            let Some(slot) = slot_of(&mut self.slots, token) else { return };
            if received >= limits::TURN_BYTES {
                // More is there, for the next turn.
                slot.ready = true;
                self.ready.push(token);
                return;
            }
            let (id, _) = self.blocks.lend().expect("the one block is free between two receives");
            let mut held = self.blocks.received(id, READ_BYTES);
            let block = self.blocks.bytes(&mut held);
            let result = recv(slot.socket.as_raw_fd(), block, MsgFlags::MSG_DONTWAIT);
            self.worker.counts().system_calls += 1;
            let mut again = false;
            match result {
                Ok(0) => {
                    slot.readable = false;
                    self.worker.handle_end(token);
                }
                Ok(bytes) => {
                    received += bytes;
                    again = bytes == READ_BYTES || slot.hung_up;
                    slot.readable = again;
                    self.worker.handle_bytes(token, &mut block[..bytes]);
                }
                Err(Errno::EAGAIN) => slot.readable = false,
                Err(Errno::EINTR) => again = true,
                Err(errno) => {
                    log::debug!("a connection broke while receiving: {errno}");
                    slot.readable = false;
                    self.worker.handle_broken(token);
                }
            }
            self.blocks.release(held);
            if !again {
                return;
            }
        }
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS {
            if self.worker.draining() {
                return;
            }
            self.worker.counts().system_calls += 1;
            let listener = self.setup.listeners[index].as_raw_fd();
            match accept4(listener, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC) {
                Ok(socket) => {
                    if let Some((socket, token)) = socket::take_in(socket::own(socket), &mut self.worker) {
                        self.open(socket, token);
                    }
                }
                Err(errno) => match socket::accept_error(errno, &mut self.worker) {
                    AcceptError::Next => {}
                    AcceptError::Empty => return,
                    AcceptError::Wait => {
                        self.accept_after = self.worker.now_ms() + socket::ACCEPT_WAIT_MS;
                        return;
                    }
                },
            }
        }
    }

    /// Takes the listeners out of the set while accepting has to wait, and for good when the server drains.
    fn mind_listeners(&mut self) -> io::Result<()> {
        if self.worker.draining() {
            self.accepting = false;
            self.setup.listeners.clear();
            return Ok(());
        }
        let wanted = self.worker.now_ms() >= self.accept_after && !self.setup.listeners.is_empty();
        if wanted != self.accepting {
            self.accepting = wanted;
            let flags = if wanted { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
            for (index, listener) in self.setup.listeners.iter().enumerate() {
                self.epoll.modify(listener, &mut EpollEvent::new(flags, BELL - 1 - index as u64))?;
            }
        }
        Ok(())
    }

    fn open(&mut self, socket: OwnedFd, token: Token) {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        self.worker.counts().system_calls += 1;
        if let Err(errno) = self.epoll.add(&socket, EpollEvent::new(flags, data_of(token))) {
            log::warn!("cannot watch a connection: {errno}; closing it");
            self.worker.handle_broken(token);
        }
        let index = token.slot as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        let slot = Slot {
            socket,
            token,
            readable: false,
            hung_up: false,
            writable: true,
            ready: false,
            shut: End::Open,
        };
        let before = self.slots[index].replace(slot);
        debug_assert!(before.is_none(), "a slot is reused only after its connection was closed");
    }

    fn apply_changes(&mut self) {
        while let Some(token) = self.worker.next_changed() {
            self.apply(token);
        }
    }

    /// Does what a connection wants.
    fn apply(&mut self, token: Token) {
        loop {
            let Some(wants) = self.worker.wants(token) else { return };
            let index = token.slot as usize;
            let Some(slot) = slot_of(&mut self.slots, token) else { return };
            if wants.end > slot.shut {
                self.worker.counts().system_calls += 1;
                socket::shut(slot.socket.as_fd(), wants.end);
                slot.shut = wants.end;
            }
            if wants.end == End::All {
                // Nothing is ever in flight here: closing takes the socket out of the set.
                self.slots[index] = None;
                self.worker.closed(token);
                return;
            }
            if wants.read && slot.readable && !std::mem::replace(&mut slot.ready, true) {
                self.ready.push(token);
            }
            if !(wants.send && slot.writable) {
                return;
            }
            let Some(Unsent { bytes, .. }) = self.worker.start_send(token) else { return };
            let result =
                send(slot.socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
            self.worker.counts().system_calls += 1;
            match result {
                Ok(sent) => self.worker.handle_sent(token, sent),
                Err(errno) => {
                    self.worker.handle_sent(token, 0);
                    match errno {
                        Errno::EAGAIN => slot.writable = false,
                        Errno::EINTR => {}
                        errno => {
                            log::debug!("a connection broke while sending: {errno}");
                            self.worker.handle_broken(token);
                        }
                    }
                }
            }
        }
    }
}

fn slot_of(slots: &mut [Option<Slot>], token: Token) -> Option<&mut Slot> {
    slots.get_mut(token.slot as usize)?.as_mut().filter(|slot| slot.token == token)
}

fn data_of(token: Token) -> u64 {
    u64::from(token.generation) << 32 | u64::from(token.slot)
}

fn token_from(data: u64) -> Token {
    let slot = u32::try_from(data & u64::from(u32::MAX)).expect("masked to 32 bits");
    let generation = u32::try_from(data >> 32).expect("the upper half of 64 bits");
    Token { slot, generation }
}
