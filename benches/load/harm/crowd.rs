//! A crowd that says nothing, and some who come, begin a request and vanish with a reset.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::wire::Wire;
use super::{Harm, Tally};

/// Between two steps: 5,000 connections a second, until they are there.
const REST: Duration = Duration::from_micros(200);

/// What is sent by those who vanish.
const BEGINNING: &[u8] = b"*3\r\n$3\r\nSET\r\n$4\r\nharm\r\n$100\r\nhalf of it";

/// The crowd.
pub(super) struct Crowd {
    address: SocketAddr,
    idle: Vec<Wire>,
    most: usize,
    /// The one that is about to vanish.
    fleeting: Option<Wire>,
    tally: Tally,
}

impl Crowd {
    pub(super) fn new(address: SocketAddr, connections: usize) -> Self {
        Self { address, idle: Vec::new(), most: connections, fleeting: None, tally: Tally::default() }
    }
}

impl Harm for Crowd {
    fn step(&mut self) -> io::Result<()> {
        if self.idle.len() < self.most {
            self.idle.push(Wire::open(self.address, &mut self.tally)?);
            return Ok(());
        }
        match self.fleeting.take() {
            None => self.fleeting = Some(Wire::open(self.address, &mut self.tally)?),
            // Dropped after that, with a reset.
            Some(mut wire) => {
                wire.write(BEGINNING, &mut self.tally);
            }
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
