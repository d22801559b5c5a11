//! Many connections that ask once and then stay: what an idle connection costs a server.
//!
//! Knows connections and one request. Memory is measured by whoever started this, while it waits.

use std::io::{BufRead, Write};
use std::net::SocketAddr;

use super::client::Clients;
use super::closed::{Goal, run};
use super::mix::{Kind, Mix, Order, Source};
use super::{Fault, say};

/// Connections that one source address has ports for, by the default `net.ipv4.ip_local_port_range`.
const MOST: usize = 28_000;

/// Connections opened before their first requests are sent: below the usual accept backlog of 511.
const WAVE: usize = 250;

/// Opens `count` connections, sends one `INCR` on each, says `ready` on `output`, holds the connections until a line
/// or the end of `input`, and closes them.
///
/// # Errors
/// What connecting or asking says.
pub(crate) fn hold(
    address: SocketAddr,
    count: usize,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    if count > MOST {
        let text = format!("more than {MOST} connections need several source addresses");
        return Err(Fault::Io(std::io::Error::other(text)));
    }
    let mut source = Source::new(Mix::only(Kind::Incr), 1000, Order::Sequential, 0);
    let mut waves = Vec::new();
    let mut open = 0;
    while open < count {
        let wave = WAVE.min(count - open);
        let mut clients = Clients::connect(address, wave)?;
        run(&mut clients, &mut source, 1, Goal::Operations(wave as u64))?;
        open += wave;
        waves.push(clients);
    }
    say(output, "ready")?;
    input.read_line(&mut String::new())?;
    // A server that closed some of them has lost what was to be measured.
    for clients in &mut waves {
        clients.wait(0)?;
        for client in &mut clients.all {
            client.receive(&mut clients.scratch, |_| ())?;
        }
    }
    Ok(())
}
