//! Large requests that are sent but for their end, and stay so: their bytes are held by the server until it has enough.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::wire::{Done, Places, Wire};
use super::{Harm, Tally};

/// Between two pieces: 64 MB a second.
const REST: Duration = Duration::from_micros(250);

/// Bytes written at a time.
const PIECE: usize = 16 * 1024;

/// Bytes of each request that are sent; they come to three times what all may take together.
const HELD: usize = 2 * 1024 * 1024;

/// Bytes of a value.
const VALUE: usize = 64 * 1024;

/// A request that is held whole, and some pairs more than are ever sent.
fn request() -> Vec<u8> {
    let pair = format!("$1\r\nk\r\n${VALUE}\r\n{}\r\n", "v".repeat(VALUE));
    let pairs = 2 * HELD / pair.len();
    let mut text = format!("*{}\r\n$4\r\nMSET\r\n{}", 1 + 2 * pairs, pair.repeat(pairs));
    text.truncate(HELD);
    text.into_bytes()
}

/// The connections.
pub(super) struct Held {
    address: SocketAddr,
    /// Each with how much of its request it has written.
    holders: Places<(Wire, usize)>,
    request: Vec<u8>,
    tally: Tally,
}

impl Held {
    pub(super) fn new(address: SocketAddr, connections: usize) -> Self {
        let holders = Places::new(connections);
        Self { address, holders, request: request(), tally: Tally::default() }
    }
}

impl Harm for Held {
    fn step(&mut self) -> io::Result<()> {
        let (_, holder) = self.holders.next();
        let Some((wire, written)) = holder else {
            *holder = Some((Wire::open(self.address, &mut self.tally)?, 0));
            return Ok(());
        };
        let piece = &self.request[*written..(*written + PIECE).min(HELD)];
        // One that has sent all it will looks whether it is still wanted.
        let done = if piece.is_empty() {
            wire.read(&mut [0; 256], &mut self.tally)
        } else {
            wire.write(piece, &mut self.tally)
        };
        match done {
            Done::Some(more) if !piece.is_empty() => *written += more,
            Done::Some(_) | Done::Nothing => {}
            Done::Ended => *holder = None,
        }
        Ok(())
    }

    fn tally(&self) -> Tally {
        self.tally
    }

    fn rest(&self) -> Duration {
        REST
    }
}
