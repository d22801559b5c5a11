//! How long a server takes to start with many counters on disk: from its execution to the first `PONG`.
//!
//! Each measurement has a server of its own, which is filled, ended and started again. What it reads was written a moment
//! before and is, as a rule, still in the page cache: the disk's own speed is not in the figure.

use serde::Serialize;

use super::contender::Contender;
use super::measure::fill;
use super::memory::Cores;
use super::server::Server;
use super::work::Source;

/// A start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Start {
    /// Counters that were there afterwards, each that had been there before.
    pub(super) counters: u64,
    /// Seconds from the execution to the first answer that is not an error.
    pub(super) seconds: f64,
    /// Bytes that the server's files took on disk when it was started.
    pub(super) stored_bytes: u64,
}

/// Fills a fresh server, ends it, and starts it again.
///
/// # Errors
/// A sentence about the load or the server, or that counters were lost.
pub(super) fn time(contender: &Contender, cores: Cores, source: Source, keys: u64) -> Result<Start, String> {
    let mut server = Server::start(contender, &[cores.server])?;
    let name = server.name;
    let of = |server: &Server, what: String| format!("{name}: {what}; its log ends: {}", server.log_end());
    fill(&server, &[cores.load], keys).map_err(|what| of(&server, what))?;
    match source {
        Source::Snapshot => server.save().map_err(|what| of(&server, what))?,
        Source::Journal => {}
    }
    let stored_bytes = server.stored_bytes().map_err(|error| error.to_string())?;
    let seconds = server.restart(contender, &[cores.server])?.as_secs_f64();
    match server.keys() {
        Some(found) if found == keys => Ok(Start { counters: keys, seconds, stored_bytes }),
        found => Err(of(&server, format!("has {found:?} keys after a start with {keys} on disk"))),
    }
}
