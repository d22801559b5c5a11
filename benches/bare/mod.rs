//! Bare loops: servers that answer `:1` to whatever is asked, without decoding, without a table.
//!
//! They set the floor that the kernel's TCP path puts under every server, one loop with epoll, one with a ring.
//! They know how many requests arrived, never what they ask; only the load generator's requests get right answers.

pub(crate) mod epoll;
#[cfg(feature = "uring")]
pub(crate) mod ring;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use clap::{Arg, ArgMatches, Command, value_parser};

/// Requests that one piece of `REPLIES` answers.
const REPLIES_COUNT: usize = 4096;

/// The reply to one request.
const REPLY: &[u8; 4] = b":1\r\n";

/// Bytes received at a time, for both loops.
const RECEIVE_BYTES: usize = 16 * 1024;

/// Replies to send from, as many as are owed.
static REPLIES: [u8; REPLY.len() * REPLIES_COUNT] = {
    let mut bytes = [0; REPLY.len() * REPLIES_COUNT];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = REPLY[at % REPLY.len()];
        at += 1;
    }
    bytes
};

/// Number of requests that start in `bytes`: each starts with the only `*` it holds.
fn requests(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'*', bytes).count()
}

/// Replies that a connection is owed, in bytes: a send may stop inside a reply.
#[derive(Clone, Copy, Debug, Default)]
struct Owed(usize);

impl Owed {
    fn add(&mut self, requests: usize) {
        self.0 += requests * REPLY.len();
    }

    /// The bytes to send next; the rest of a reply that was cut comes first.
    fn next(self) -> &'static [u8] {
        let cut = (REPLY.len() - self.0 % REPLY.len()) % REPLY.len();
        &REPLIES[cut..][..self.0.min(REPLIES.len() - cut)]
    }

    fn sent(&mut self, bytes: usize) {
        self.0 -= bytes;
    }

    fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// Arguments of `bare`.
pub(crate) fn command() -> Command {
    let port = Arg::new("port").long("port").value_parser(value_parser!(u16)).required(true);
    Command::new("bare")
        .about("answers :1 to each request, without a decoder or a table")
        .arg(Arg::new("loop").value_parser(["epoll", "ring"]).required(true).help("how it waits"))
        .arg(port.help("to listen on, on loopback"))
}

/// Runs `bare` until the process is ended.
///
/// # Errors
/// Anything that keeps the loop from running.
pub(crate) fn run(matches: &ArgMatches) -> io::Result<()> {
    let port = *matches.get_one::<u16>("port").expect("the port is required");
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    match matches.get_one::<String>("loop").map(String::as_str) {
        #[cfg(feature = "uring")]
        Some("ring") => ring::serve(&listener),
        Some("epoll") => epoll::serve(&listener),
        _ => Err(io::Error::other("this build has no such loop")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Owed, REPLIES, requests};

    #[test]
    fn requests_are_counted_by_their_starts() {
        assert_eq!(requests(b""), 0);
        assert_eq!(requests(b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*2\r\n$4\r\nIN"), 2);
        assert_eq!(requests(b"CR\r\n$1\r\na\r\n"), 0);
    }

    #[test]
    fn a_cut_reply_goes_on_where_it_stopped() {
        let mut owed = Owed::default();
        owed.add(3);
        assert_eq!(owed.next(), b":1\r\n:1\r\n:1\r\n");
        owed.sent(5);
        assert_eq!(owed.next(), b"1\r\n:1\r\n");
        owed.sent(7);
        assert!(owed.is_none() && owed.next().is_empty());
        owed.add(10_000);
        assert_eq!(owed.next().len(), REPLIES.len());
    }
}
