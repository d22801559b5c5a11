//! What connections cost a server in memory: idle ones, and those that sent most of a large request.
//!
//! Each measurement has a server of its own, so that memory freed by the one before cannot be used again. Knows
//! processes and bytes, no rows and no targets.

use std::thread;
use std::time::{Duration, Instant};

use crate::procfs;

use super::contender::Contender;
use super::measure::Helper;
use super::server::Server;

/// How long a server may take to receive what was sent to it.
const RECEIVE: Duration = Duration::from_secs(30);

/// Between two looks at what it has received.
const LOOK: Duration = Duration::from_millis(10);

/// The processors for the server and for the load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    /// For the server.
    pub(super) server: usize,
    /// For the load.
    pub(super) load: usize,
}

/// Memory of a server with and without the connections that are measured, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grown {
    /// Without them.
    pub(super) before: u64,
    /// With them.
    pub(super) after: u64,
}

impl Grown {
    /// Growth per unit of something.
    pub(super) fn per(self, count: u64) -> f64 {
        (self.after as f64 - self.before as f64) / count as f64
    }
}

/// A fresh server, its memory after one connection and after many idle ones.
pub(super) fn idle(contender: &Contender, cores: Cores, connections: usize) -> Result<Grown, String> {
    let server = Server::start(contender, &[cores.server])?;
    let hold = |count: usize| {
        let arguments = ["--connections".to_owned(), count.to_string()];
        Helper::start(&[cores.load], "idle", server.port, &arguments)
    };
    let memory = || procfs::anonymous_bytes(server.pid()).map_err(|error| error.to_string());
    // What the first client costs once, buffers of the engine for example, is not a connection's price.
    let first = hold(1)?;
    let before = memory()?;
    let mut many = hold(connections).map_err(|what| format!("{}: {what}", server.name))?;
    let after = memory()?;
    many.go()?;
    many.finish()?;
    drop(first);
    Ok(Grown { before, after })
}

/// A fresh server, its memory with connections that have asked a `PING` each, and once it has received all but the
/// last bytes of a large request from each. Also gives the bytes that were sent to it.
pub(super) fn partial(
    contender: &Contender,
    cores: Cores,
    connections: usize,
    mix: &str,
    piece: Option<usize>,
) -> Result<(Grown, u64), String> {
    let server = Server::start(contender, &[cores.server])?;
    let of = |what: String| format!("{}: {what}; its log ends: {}", server.name, server.log_end());
    let mut arguments = format!("--connections {connections} --mix {mix}");
    if let Some(piece) = piece {
        arguments.push_str(&format!(" --piece {piece}"));
    }
    let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    let mut helper = Helper::start(&[cores.load], "partial", server.port, &arguments).map_err(of)?;
    let already = received(&server)?;
    let before = settled_memory(&server)?;
    helper.go().map_err(of)?;
    let line = helper.line().map_err(of)?;
    let sent: u64 = line.parse().map_err(|_| format!("the load said '{line}' instead of a number"))?;
    let deadline = Instant::now() + RECEIVE;
    // The questions themselves count, too: they are some 30 bytes each of millions.
    while received(&server)? < already + sent {
        if Instant::now() > deadline {
            return Err(of(format!("did not receive the {sent} bytes sent to it")));
        }
        thread::sleep(LOOK);
    }
    let after = settled_memory(&server)?;
    helper.go().map_err(of)?;
    helper.finish().map_err(of)?;
    Ok((Grown { before, after }, sent))
}

/// Bytes that the server says it has received.
fn received(server: &Server) -> Result<u64, String> {
    let fields = server.info("stats");
    let bytes = fields.get("total_net_input_bytes").and_then(|&bytes| u64::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("{} does not say how many bytes it received", server.name))
}

/// The server's own memory once all its threads sleep: what it received is then worked off.
fn settled_memory(server: &Server) -> Result<u64, String> {
    let gone = |error: std::io::Error| format!("{} is gone: {error}", server.name);
    procfs::settled_usage(server.pid()).map_err(gone)?;
    procfs::mapped_anonymous_bytes(server.pid()).map_err(gone)
}
