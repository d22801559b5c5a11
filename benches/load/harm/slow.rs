//! Readers that do not read: they ask for a large value over and over, and are cut off for what they leave unread.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::wire::{Done, Places, Wire};
use super::{Harm, Tally};

/// Between two pipelines: at most 52 MB a second of replies.
const REST: Duration = Duration::from_millis(5);

/// Bytes of the value they ask for.
const VALUE: usize = 16 * 1024;

const KEY: &str = "harm:large";

/// `GET`s of a pipeline; it ends with an `MGET` of eight keys.
const REQUESTS: usize = 8;

/// A pipeline.
fn requests() -> Vec<u8> {
    let key = format!("${}\r\n{KEY}\r\n", KEY.len());
    let one = format!("*2\r\n$3\r\nGET\r\n{key}");
    let several = format!("*9\r\n$4\r\nMGET\r\n{}", key.repeat(8));
    format!("{}{several}", one.repeat(REQUESTS)).into_bytes()
}

/// The request that creates the value.
pub(super) fn large_value() -> Vec<u8> {
    let value = "v".repeat(VALUE);
    format!("*3\r\n$3\r\nSET\r\n${}\r\n{KEY}\r\n${VALUE}\r\n{value}\r\n", KEY.len()).into_bytes()
}

/// The readers.
pub(super) struct Slow {
    address: SocketAddr,
    /// Each with how much of the requests it has written.
    readers: Places<(Wire, usize)>,
    requests: Vec<u8>,
    tally: Tally,
}

impl Slow {
    pub(super) fn new(address: SocketAddr, connections: usize) -> Self {
        let readers = Places::new(connections);
        Self { address, readers, requests: requests(), tally: Tally::default() }
    }
}

impl Harm for Slow {
    fn step(&mut self) -> io::Result<()> {
        let (_, reader) = self.readers.next();
        match reader {
            None => *reader = Some((Wire::open_narrow(self.address, &mut self.tally)?, 0)),
            Some((wire, written)) => match wire.write(&self.requests[*written..], &mut self.tally) {
                Done::Some(more) => *written = (*written + more) % self.requests.len(),
                Done::Nothing => {}
                Done::Ended => *reader = None,
            },
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
