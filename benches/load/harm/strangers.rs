//! A crowd without a password: some begin a request and stop, some send garbage, some try passwords.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::wire::{Done, Places, Wire};
use super::{Harm, Tally};

/// Between two steps: 5,000 connections a second, until they are there.
const REST: Duration = Duration::from_micros(200);

/// What they say, in turn.
const WORDS: [&[u8]; 3] =
    [b"*3\r\n$3\r\nSE", b"\x16\x03\x01\x02\x00\x01\xff\r\n*x\r\n", b"*2\r\n$4\r\nAUTH\r\n$5\r\nguess\r\n"];

/// The place of the guess among them.
const GUESS: usize = 2;

/// The crowd.
pub(super) struct Strangers {
    address: SocketAddr,
    /// Each with whether it has spoken; what it says goes by its place.
    strangers: Places<(Wire, bool)>,
    tally: Tally,
}

impl Strangers {
    pub(super) fn new(address: SocketAddr, connections: usize) -> Self {
        let strangers = Places::new(connections);
        Self { address, strangers, tally: Tally::default() }
    }
}

impl Harm for Strangers {
    fn step(&mut self) -> io::Result<()> {
        let (place, stranger) = self.strangers.next();
        let word = place % WORDS.len();
        let Some((wire, spoken)) = stranger else {
            // It speaks at once, if it is connected at once.
            let mut wire = Wire::open(self.address, &mut self.tally)?;
            let spoken = matches!(wire.write(WORDS[word], &mut self.tally), Done::Some(_));
            *stranger = Some((wire, spoken));
            return Ok(());
        };
        let done = if *spoken {
            wire.read(&mut [0; 256], &mut self.tally)
        } else {
            wire.write(WORDS[word], &mut self.tally)
        };
        match done {
            // Whoever heard that its guess was wrong has another one the next time.
            Done::Some(_) => *spoken = !*spoken || word != GUESS,
            Done::Nothing => {}
            Done::Ended => *stranger = None,
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
