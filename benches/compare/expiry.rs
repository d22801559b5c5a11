//! Keys that expire together under load: how long they stay, and what requests notice of it.
//!
//! Each measurement has a server of its own, in which there is nothing but what is to expire and what the load counts.

use crate::load::expiry::{Expiry, LATE};

use super::contender::Contender;
use super::measure::Helper;
use super::memory::Cores;
use super::options::Effort;
use super::server::Server;
use super::work::Due;

/// Keys without a deadline: what the load counts.
const KEYS: u64 = 10_000;

/// Seconds that creating a key may take at first: five times of what it takes the slowest peer on a quiet machine.
const CREATING: f64 = 5e-6;

/// How often a server is tried, each time with twice the time for creating: a busy machine must not end a run.
const TRIES: u8 = 4;

/// What is to expire, and what is asked meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// How the deadlines lie.
    pub(super) due: Due,
    /// Keys with a deadline.
    pub(super) keys: u64,
    /// Connections.
    pub(super) connections: usize,
    /// Requests a second.
    pub(super) rate: f64,
    /// Of keys, deadlines and distances.
    pub(super) seed: u64,
}

/// A fresh server whose keys expire together, with requests at a fixed rate before and meanwhile.
///
/// # Errors
/// A sentence about the load or the server.
pub(super) fn watch(
    contender: &Contender,
    cores: Cores,
    effort: Effort,
    asked: Asked,
) -> Result<Expiry, String> {
    let mut creating = 0.3 + CREATING * asked.keys as f64;
    for _ in 0..TRIES {
        if let Some(seen) = once(contender, cores, effort, asked, creating)? {
            return Ok(seen);
        }
        creating *= 2.0;
    }
    Err(format!("{}: {} keys take longer than {:.0} s to create", contender.name, asked.keys, creating / 2.0))
}

/// One try; none = creating took longer than `creating` seconds.
fn once(
    contender: &Contender,
    cores: Cores,
    effort: Effort,
    asked: Asked,
    creating: f64,
) -> Result<Option<Expiry>, String> {
    let server = Server::start(contender, &[cores.server])?;
    let of = |what: String| format!("{}: {what}; its log ends: {}", server.name, server.log_end());
    let (quiet, limit) = match effort {
        Effort::Full => (3.0, 20.0),
        Effort::Quick => (0.5, 20.0),
        // Longer than the target, so that keys that stay miss it.
        Effort::Smoke => (0.2, 2.5),
    };
    let Asked { due, keys, connections, rate, seed } = asked;
    let spread = match due {
        Due::Spread => 1000,
        Due::AtOnce => 0,
    };
    let arguments = format!(
        "--connections {connections} --rate {rate} --keys {KEYS} --due {keys} --spread {spread} \
         --creating {creating} --quiet {quiet} --limit {limit} --seed {seed}"
    );
    let line = Helper::told(&[cores.load], "expiry", server.port, &arguments).map_err(of)?;
    if line == LATE {
        return Ok(None);
    }
    let seen: Expiry = serde_json::from_str(&line).map_err(|error| format!("no report: {error}"))?;
    // A server that only leaves them out of its count has removed nothing.
    let expired = server.info("stats").get("expired_keys").and_then(|&keys| u64::try_from(keys).ok());
    if seen.left == 0 && expired != Some(keys) {
        return Err(of(format!("has no key with a deadline left, but {expired:?} of {keys} expired")));
    }
    Ok(Some(seen))
}
