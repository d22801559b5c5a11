//! Requests in single bytes, over many connections in turn.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::wire::{Done, Places, Wire};
use super::{Harm, Tally};

/// Between two bytes: 20,000 a second, each an event of its own.
const REST: Duration = Duration::from_micros(50);

const REQUEST: &[u8] = b"*2\r\n$4\r\nINCR\r\n$11\r\nharm:pieces\r\n";

/// The connections.
pub(super) struct Pieces {
    address: SocketAddr,
    /// Each with the place of its next byte.
    all: Places<(Wire, usize)>,
    tally: Tally,
}

impl Pieces {
    pub(super) fn new(address: SocketAddr, connections: usize) -> Self {
        let all = Places::new(connections);
        Self { address, all, tally: Tally::default() }
    }
}

impl Harm for Pieces {
    fn step(&mut self) -> io::Result<()> {
        let (_, one) = self.all.next();
        let Some((wire, place)) = one else {
            *one = Some((Wire::open(self.address, &mut self.tally)?, 0));
            return Ok(());
        };
        // The replies to what it has asked so far are read before it asks again.
        let mut done = if *place == 0 { wire.read(&mut [0; 256], &mut self.tally) } else { Done::Nothing };
        if done != Done::Ended {
            done = wire.write(&REQUEST[*place..=*place], &mut self.tally);
        }
        match done {
            Done::Some(_) => *place = (*place + 1) % REQUEST.len(),
            Done::Nothing => {}
            Done::Ended => *one = None,
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
