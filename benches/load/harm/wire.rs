//! A connection that never waits: opened, written to, looked at, reset; and places for many that have their turns.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt};

use super::Tally;

/// Bytes that wait to be read on this side, where as little as possible is to be read.
const LITTLE: usize = 4096;

/// A connection; dropping it resets it.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
}

/// What came of writing or looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// So many bytes.
    Some(usize),
    /// Nothing now.
    Nothing,
    /// The server ended the connection.
    Ended,
}

impl Wire {
    /// Opens a connection without waiting for it to be there.
    pub(super) fn open(address: SocketAddr, tally: &mut Tally) -> io::Result<Self> {
        Self::connect(address, tally, false)
    }

    /// The same, with little room for what comes.
    pub(super) fn open_narrow(address: SocketAddr, tally: &mut Tally) -> io::Result<Self> {
        Self::connect(address, tally, true)
    }

    fn connect(address: SocketAddr, tally: &mut Tally, narrow: bool) -> io::Result<Self> {
        let SocketAddr::V4(address) = address else {
            return Err(io::Error::other("the load asks servers on loopback of IPv4"));
        };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let descriptor = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        if narrow {
            setsockopt(&descriptor, sockopt::RcvBuf, &LITTLE)?;
        }
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&descriptor, sockopt::Linger, &linger)?;
        match connect(
            descriptor.as_raw_fd(),
            &SockaddrIn::from(SocketAddrV4::new(*address.ip(), address.port())),
        ) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        let stream = TcpStream::from(descriptor);
        stream.set_nodelay(true)?;
        tally.opened += 1;
        Ok(Self { stream })
    }

    /// Writes what the socket takes.
    pub(super) fn write(&mut self, bytes: &[u8], tally: &mut Tally) -> Done {
        match self.stream.write(bytes) {
            Ok(sent) => {
                tally.sent += sent as u64;
                Done::Some(sent)
            }
            Err(error) => self.told(&error, tally),
        }
    }

    /// Reads what has come, as much as `room` takes.
    pub(super) fn read(&mut self, room: &mut [u8], tally: &mut Tally) -> Done {
        match self.stream.read(room) {
            Ok(0) => {
                tally.ended += 1;
                Done::Ended
            }
            Ok(read) => Done::Some(read),
            Err(error) => self.told(&error, tally),
        }
    }

    fn told(&self, error: &io::Error, tally: &mut Tally) -> Done {
        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
            return Done::Nothing;
        }
        tally.ended += 1;
        Done::Ended
    }
}

/// Places of connections, taken in turn.
#[derive(Debug)]
pub(super) struct Places<T> {
    all: Vec<Option<T>>,
    turn: usize,
}

impl<T> Places<T> {
    /// So many, all empty.
    pub(super) fn new(count: usize) -> Self {
        Self { all: (0..count).map(|_| None).collect(), turn: 0 }
    }

    /// The next place, and its number.
    pub(super) fn next(&mut self) -> (usize, &mut Option<T>) {
        let place = self.turn;
        self.turn = (place + 1) % self.all.len();
        (place, &mut self.all[place])
    }
}
