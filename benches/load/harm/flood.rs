//! A flood of connections: each is opened, kept until so many others have come, and reset.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use super::wire::Wire;
use super::{Harm, Tally};

/// The flood.
pub(super) struct Flood {
    address: SocketAddr,
    /// Those that are open, oldest first; at most `most`.
    open: VecDeque<Wire>,
    most: usize,
    tally: Tally,
}

impl Flood {
    pub(super) fn new(address: SocketAddr, connections: usize) -> Self {
        Self { address, open: VecDeque::new(), most: connections, tally: Tally::default() }
    }
}

impl Harm for Flood {
    fn step(&mut self) -> io::Result<()> {
        if self.open.len() == self.most {
            self.open.pop_front();
        }
        self.open.push_back(Wire::open(self.address, &mut self.tally)?);
        Ok(())
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}
