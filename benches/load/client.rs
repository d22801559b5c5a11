//! One connection of the load generator: requests out, replies in, both in order.
//!
//! Knows bytes and which reply each outstanding request is due. Does not know when requests are sent, or what their
//! latencies are for.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::Fault;
use super::mix::{Kind, Source};
use super::reply::{Checker, Step};

/// Bytes received at a time: the replies to 64 requests many times over.
const RECEIVE_BYTES: usize = 64 * 1024;

/// A request without a complete reply.
#[derive(Clone, Copy, Debug)]
struct Due {
    kind: Kind,
    /// When it was meant to be sent, in nanoseconds since the start of the run.
    at: u64,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    /// Requests that are not sent yet, from `sent` on. `sent <= out.len()`
    out: Vec<u8>,
    sent: usize,
    /// Requests written but not answered, oldest first.
    due: VecDeque<Due>,
    checker: Checker,
    /// Received bytes that are not a whole reply or element yet.
    partial: Vec<u8>,
}

impl Client {
    /// Requests without a complete reply.
    pub(crate) fn outstanding(&self) -> usize {
        self.due.len()
    }

    /// Appends the next request, meant for the time `at` in nanoseconds since the start of the run.
    #[inline]
    pub(crate) fn enqueue(&mut self, source: &mut Source, at: u64) {
        let kind = source.write(&mut self.out);
        self.due.push_back(Due { kind, at });
    }

    /// Sends what the socket takes; the rest goes when it is writable again.
    ///
    /// # Errors
    /// Whatever the socket says, except that it is full.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(0) => return Err(Fault::Closed),
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Sends the next `piece` bytes, or what the socket takes of them, but never the last `kept` that wait.
    /// Returns the number of bytes sent.
    ///
    /// # Errors
    /// Whatever the socket says, except that it is full.
    pub(crate) fn send_piece(&mut self, piece: usize, kept: usize) -> Result<usize, Fault> {
        let most = self.out.len().saturating_sub(self.sent + kept).min(piece);
        if most == 0 {
            return Ok(0);
        }
        match self.stream.write(&self.out[self.sent..self.sent + most]) {
            Ok(0) => Err(Fault::Closed),
            Ok(written) => {
                self.sent += written;
                Ok(written)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Bytes of requests that are not sent yet.
    pub(crate) fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Receives until the socket is empty, checks every reply, and hands the intended time of each completed
    /// request to `answered`. `scratch` is room to receive into, shared by all connections.
    ///
    /// # Errors
    /// A wrong reply, an end of the stream, or what the socket says.
    pub(crate) fn receive(&mut self, scratch: &mut [u8], mut answered: impl FnMut(u64)) -> Result<(), Fault> {
        loop {
            let read = match self.stream.read(scratch) {
                Ok(0) => return Err(Fault::Closed),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if self.partial.is_empty() {
                let used = self.check(&scratch[..read], &mut answered)?;
                self.partial.extend_from_slice(&scratch[used..read]);
            } else {
                let mut joined = std::mem::take(&mut self.partial);
                joined.extend_from_slice(&scratch[..read]);
                let used = self.check(&joined, &mut answered)?;
                joined.drain(..used);
                self.partial = joined;
            }
            // Edge-triggered: a short read emptied the socket, and what comes later is a new event.
            if read < scratch.len() {
                return Ok(());
            }
        }
    }

    /// Checks what lies complete in `bytes` and returns how many of them that are.
    fn check(&mut self, bytes: &[u8], answered: &mut impl FnMut(u64)) -> Result<usize, Fault> {
        let mut at = 0;
        while at < bytes.len() {
            let Some(due) = self.due.front() else {
                let extra = bytes[at..].escape_ascii().to_string();
                return Err(Fault::WrongReply(format!(
                    "{} bytes too many: \"{extra:.80}\"",
                    bytes.len() - at
                )));
            };
            match self.checker.step(due.kind, &bytes[at..]).map_err(Fault::WrongReply)? {
                Step::Incomplete => break,
                Step::Part(used) => at += used,
                Step::Done(used) => {
                    at += used;
                    answered(due.at);
                    self.due.pop_front();
                }
            }
        }
        Ok(at)
    }
}

/// All connections of a run, and the epoll descriptor they are registered with.
#[derive(Debug)]
pub(crate) struct Clients {
    epoll: Epoll,
    /// The connections; an event's data is the index.
    pub(crate) all: Vec<Client>,
    /// Room to receive into.
    pub(crate) scratch: Vec<u8>,
    events: Vec<EpollEvent>,
}

impl Clients {
    /// Connects, one after the other, and registers each connection once, edge-triggered.
    ///
    /// # Errors
    /// What connecting says: no server, or descriptors used up.
    pub(crate) fn connect(address: SocketAddr, count: usize) -> Result<Self, Fault> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut all = Vec::with_capacity(count);
        for index in 0..count {
            let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let flags =
                EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
            epoll.add(&stream, EpollEvent::new(flags, index as u64))?;
            all.push(Client {
                stream,
                out: Vec::new(),
                sent: 0,
                due: VecDeque::new(),
                checker: Checker::default(),
                partial: Vec::new(),
            });
        }
        Ok(Self {
            epoll,
            all,
            scratch: vec![0; RECEIVE_BYTES],
            events: vec![EpollEvent::empty(); count.max(1)],
        })
    }

    /// Waits for events, at most `timeout_ms` milliseconds (0 = only looks), and returns how many there are.
    ///
    /// # Errors
    /// What epoll says, interruptions excepted.
    pub(crate) fn wait(&mut self, timeout_ms: u8) -> Result<usize, Fault> {
        match self.epoll.wait(&mut self.events, timeout_ms) {
            Ok(ready) => Ok(ready),
            Err(nix::errno::Errno::EINTR) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The index of the connection that event `nth` of the last wait is about.
    pub(crate) fn ready(&self, nth: usize) -> usize {
        usize::try_from(self.events[nth].data()).expect("an event's data is an index")
    }

    /// Requests without a reply, over all connections.
    pub(crate) fn outstanding(&self) -> u64 {
        self.all.iter().map(|client| client.outstanding() as u64).sum()
    }
}
