//! A run on receive blocks: many connections send large parts of an argument, one right after the other.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::wire::{Done, Wire};
use super::{Harm, Tally};

/// Bytes written at a time: eight receive blocks, and less than what puts a connection on rations.
const PART: usize = 32 * 1024;

/// Bytes of the argument: so many, and no end.
const ARGUMENT: usize = 128 * 1024;

/// Connections that write in a burst: more blocks than a worker has.
const BURST: usize = 40;

/// Between two bursts.
const PAUSE: Duration = Duration::from_millis(100);

fn request() -> Vec<u8> {
    format!("*3\r\n$3\r\nSET\r\n$12\r\nharm:starved\r\n${}\r\n{}", 2 * ARGUMENT, "v".repeat(ARGUMENT))
        .into_bytes()
}

/// The connections.
pub(super) struct Starved {
    address: SocketAddr,
    /// Each with how much it has written.
    all: Vec<Option<(Wire, usize)>>,
    turn: usize,
    /// Steps of this burst.
    since: usize,
    request: Vec<u8>,
    tally: Tally,
}

impl Starved {
    pub(super) fn new(address: SocketAddr, connections: usize) -> Self {
        let all = (0..connections).map(|_| None).collect();
        Self { address, all, turn: 0, since: 0, request: request(), tally: Tally::default() }
    }
}

impl Harm for Starved {
    fn step(&mut self) -> io::Result<()> {
        self.since = (self.since + 1) % BURST;
        let one = &mut self.all[self.turn];
        match one {
            None => *one = Some((Wire::open(self.address, &mut self.tally)?, 0)),
            Some((wire, written)) => {
                let part = &self.request[*written..(*written + PART).min(self.request.len())];
                // What has sent its part leaves, and another begins.
                if part.is_empty() {
                    *one = None;
                    return Ok(());
                }
                match wire.write(part, &mut self.tally) {
                    Done::Some(more) => *written += more,
                    Done::Nothing => {}
                    Done::Ended => *one = None,
                }
            }
        }
        self.turn = (self.turn + 1) % self.all.len();
        Ok(())
    }

    fn tally(&self) -> Tally {
        self.tally
    }

    fn rest(&self) -> Duration {
        if self.since == 0 { PAUSE } else { Duration::ZERO }
    }
}
