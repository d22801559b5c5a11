//! How long each command takes on a server with nothing else to do: one connection, one request at a time.
//!
//! Each measurement has a server of its own, which is empty at its beginning. Knows no command.

use crate::load::commands::Timed;

use super::contender::Contender;
use super::measure::Helper;
use super::memory::Cores;
use super::options::Effort;
use super::server::Server;

/// Times that each request is sent.
pub(super) fn repetitions(effort: Effort) -> u64 {
    match effort {
        Effort::Full => 5_000,
        Effort::Quick => 200,
        Effort::Smoke => 20,
    }
}

/// A fresh server, asked one request of each command that it knows.
///
/// # Errors
/// A sentence about the load or the server.
pub(super) fn time(
    contender: &Contender,
    cores: Cores,
    effort: Effort,
    seed: u64,
) -> Result<Vec<Timed>, String> {
    let server = Server::start(contender, &[cores.server])?;
    let of = |what: String| format!("{}: {what}; its log ends: {}", server.name, server.log_end());
    let arguments = format!("--repetitions {} --seed {seed}", repetitions(effort));
    let line = Helper::told(&[cores.load], "commands", server.port, &arguments).map_err(of)?;
    serde_json::from_str(&line).map_err(|error| format!("no report: {error}"))
}
