//! Large requests sent but for their last bytes: what a server holds of a request that is not complete.
//!
//! Knows connections and one request on each. Memory is measured by whoever started this, while the ends are kept
//! back; afterwards they are sent, and every reply is checked.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::client::Clients;
use super::closed::{Goal, run};
use super::mix::{Kind, Mix, Order, Source};
use super::{Fault, say, stand_by};

/// Bytes of each request that are kept back.
const KEPT: usize = 10;

/// Milliseconds between looks at the input while nothing arrives.
const LOOK_MS: u8 = 10;

/// Time without any event after which the server is taken for stuck. Redis executes what came with all connections
/// before it answers the first: 50 requests of 50,000 pairs take it up to 10 s on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is sent, and how.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The request of each connection.
    pub(crate) mix: Mix,
    /// Connections.
    pub(crate) connections: usize,
    /// Bytes of one send; none = as many as the socket takes.
    pub(crate) piece: Option<usize>,
    /// Different keys.
    pub(crate) keys: u64,
    /// Of the keys.
    pub(crate) seed: u64,
}

/// Opens the connections, asks for a `PING` on each, and says `ready`. After a line it sends a request on each, all
/// connections in turn, says how many bytes it sent, and receives whatever comes. After the next line or the end of
/// the input it sends the requests' ends and awaits all replies.
///
/// # Errors
/// What connecting or asking says.
pub(crate) fn hold(
    address: SocketAddr,
    asked: &Asked,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let mut clients = Clients::connect(address, asked.connections)?;
    let mut pings = Source::new(Mix::only(Kind::Ping), 1, Order::Sequential, 0);
    run(&mut clients, &mut pings, 1, Goal::Operations(asked.connections as u64))?;
    // Written before anything is measured, so that the sends follow each other closely.
    let mut source = Source::new(asked.mix.clone(), asked.keys, Order::Random, asked.seed);
    clients.all.iter_mut().for_each(|client| client.enqueue(&mut source, 0));
    stand_by(input, output)?;
    let sent = send(&mut clients, asked.piece.unwrap_or(usize::MAX))?;
    say(output, &sent.to_string())?;
    // A client that reads its replies: those that do not leave the server would count as held by it.
    while !spoken_to()? {
        receive(&mut clients, LOOK_MS)?;
    }
    input.read_line(&mut String::new())?;
    let mut heard = Instant::now();
    while clients.outstanding() > 0 {
        for client in &mut clients.all {
            client.flush()?;
        }
        if receive(&mut clients, LOOK_MS)? {
            heard = Instant::now();
        } else if heard.elapsed() > PATIENCE {
            return Err(Fault::Stalled { outstanding: clients.outstanding() });
        }
    }
    Ok(())
}

/// Sends all but the ends, a piece of each connection in turn, and receives meanwhile. Returns the bytes sent.
fn send(clients: &mut Clients, piece: usize) -> Result<usize, Fault> {
    let (mut sent, mut heard) = (0, Instant::now());
    loop {
        let mut now = 0;
        for client in &mut clients.all {
            now += client.send_piece(piece, KEPT)?;
        }
        sent += now;
        if clients.all.iter().all(|client| client.unsent() <= KEPT) {
            return Ok(sent);
        }
        // Where no socket took anything there is nothing to do but wait for one that will.
        let woken = receive(clients, if now == 0 { LOOK_MS } else { 0 })?;
        if now > 0 || woken {
            heard = Instant::now();
        } else if heard.elapsed() > PATIENCE {
            return Err(Fault::Stalled { outstanding: clients.outstanding() });
        }
    }
}

/// Receives and checks what has come, waiting so long for the first of it. Returns whether anything happened.
fn receive(clients: &mut Clients, timeout_ms: u8) -> Result<bool, Fault> {
    let ready = clients.wait(timeout_ms)?;
    for nth in 0..ready {
        let index = clients.ready(nth);
        clients.all[index].receive(&mut clients.scratch, |_| ())?;
    }
    Ok(ready > 0)
}

/// Whether a line, or the end, waits in the input.
fn spoken_to() -> Result<bool, Fault> {
    let input = std::io::stdin();
    let mut waiting = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut waiting, PollTimeout::ZERO)? > 0)
}
