//! Creates keys up to one number after the other, and waits at each: what a key costs a server.
//!
//! Knows connections and numbers of keys. Memory is measured by whoever started this, while it waits.

use std::io::{BufRead, Write};
use std::net::SocketAddr;

use super::client::Clients;
use super::closed::{Goal, run};
use super::mix::{Kind, Mix, Order, Source};
use super::{Fault, fault, say};

/// Keys of the requests that warm the connections up: some 3 KB each, as large as what follows.
const WARM: u32 = 100;

/// Requests on each connection before any key is there.
const WARM_ROUNDS: u64 = 10;

/// What is created, and how.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Requests that create keys.
    pub(crate) kind: Kind,
    /// Connections.
    pub(crate) connections: usize,
    /// Requests in a pipeline.
    pub(crate) depth: usize,
    /// Numbers of keys to stop at, growing; each is divisible by the keys of a request.
    pub(crate) points: Vec<u64>,
    /// Of the values.
    pub(crate) seed: u64,
}

/// Opens the connections, warms them up without creating anything, so that their buffers are there before the first
/// key is, and says `ready`. For each line of the input it creates keys up to the next point and says how many there are
/// and how many bytes they have. Holds the connections until one line more, or the end of the input.
///
/// # Errors
/// What connecting or asking says.
pub(crate) fn hold(
    address: SocketAddr,
    asked: &Asked,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let Kind::Create(_, keys) = asked.kind else {
        return Err(fault("only requests that create keys are for growing"));
    };
    let total = asked.points.last().copied().unwrap_or(0);
    let mut clients = Clients::connect(address, asked.connections)?;
    let mut looks = Source::new(Mix::only(Kind::Mget(WARM)), 1_000_000, Order::Random, asked.seed);
    run(&mut clients, &mut looks, 1, Goal::Operations(WARM_ROUNDS * asked.connections as u64))?;
    let mut source = Source::new(Mix::only(asked.kind), total, Order::Sequential, asked.seed);
    say(output, "ready")?;
    for &point in &asked.points {
        input.read_line(&mut String::new())?;
        let missing = point.checked_sub(source.keys_named());
        let requests = missing.filter(|missing| missing.is_multiple_of(u64::from(keys)));
        let requests = requests.ok_or_else(|| fault("points grow by whole requests"))? / u64::from(keys);
        run(&mut clients, &mut source, asked.depth, Goal::Operations(requests))?;
        say(output, &format!("{point} {}", source.key_bytes()))?;
    }
    input.read_line(&mut String::new())?;
    Ok(())
}
