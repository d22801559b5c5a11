//! What requests notice of a snapshot that is written meanwhile, and what memory it takes.
//!
//! Each measurement has a server of its own: filled, then saturated for its capacity, of which the load asks half.

use crate::load::snapshot::Snapshot;

use super::contender::Contender;
use super::measure::{Helper, Load, fill, measure};
use super::memory::Cores;
use super::options::Effort;
use super::server::Server;

/// What is there, and who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Keys in the snapshot.
    pub(super) keys: u64,
    /// Connections.
    pub(super) connections: usize,
    /// Of keys and distances.
    pub(super) seed: u64,
}

/// A fresh server with many keys, asked half of what it can do before, while and after it writes a snapshot.
///
/// # Errors
/// A sentence about the load or the server.
pub(super) fn watch(
    contender: &Contender,
    cores: Cores,
    effort: Effort,
    asked: Asked,
) -> Result<Snapshot, String> {
    let server = Server::start(contender, &[cores.server])?;
    let of = |what: String| format!("{}: {what}; its log ends: {}", server.name, server.log_end());
    let (saturated, quiet, limit) = match effort {
        Effort::Full => (2.0, 5.0, 120.0),
        Effort::Quick => (0.3, 1.0, 60.0),
        Effort::Smoke => (0.1, 0.3, 10.0),
    };
    let Asked { keys, connections, seed } = asked;
    fill(&server, &[cores.load], keys).map_err(of)?;
    let closed = Load {
        mix: "incr".to_owned(),
        connections,
        depth: 1,
        warm: saturated / 4.0,
        seconds: saturated,
        rate: None,
        keys,
        seed,
    };
    let capacity = measure(&server, &[cores.load], &closed, || Ok(()), |(), _| Ok(()))?.report.rate;
    let arguments = format!(
        "--connections {connections} --rate {} --keys {keys} --pid {} --quiet {quiet} --limit {limit} --seed {seed}",
        (capacity / 2.0).round(),
        server.pid()
    );
    let line = Helper::told(&[cores.load], "snapshot", server.port, &arguments).map_err(of)?;
    serde_json::from_str(&line).map_err(|error| format!("no report: {error}"))
}
