//! Keys that expire together under load: how long they stay, and what requests notice of it.
//!
//! Each measurement has a server of its own, in which there is nothing but what is to expire and what the load counts.

use crate::load::expiry::Expiry;

use super::contender::Contender;
use super::measure::Helper;
use super::memory::Cores;
use super::options::Effort;
use super::server::Server;
use super::work::Due;

/// Keys without a deadline: what the load counts.
const KEYS: u64 = 10_000;

/// Seconds that the slowest peer may take to create a key: several times of what it takes.
const CREATING: f64 = 5e-6;

/// A fresh server whose keys expire together, `rate` requests a second meanwhile.
///
/// # Errors
/// A sentence about the load or the server.
pub(super) fn watch(
    contender: &Contender,
    cores: Cores,
    effort: Effort,
    (due, keys): (Due, u64),
    (connections, rate, seed): (usize, f64, u64),
) -> Result<Expiry, String> {
    let server = Server::start(contender, &[cores.server])?;
    let of = |what: String| format!("{}: {what}; its log ends: {}", server.name, server.log_end());
    let (quiet, limit) = match effort {
        Effort::Full => (3.0, 20.0),
        Effort::Quick => (1.0, 20.0),
        Effort::Smoke => (0.2, 2.5),
    };
    let spread = match due {
        Due::Spread => 1000,
        Due::AtOnce => 0,
    };
    let creating = 0.3 + CREATING * keys as f64;
    let arguments = format!(
        "--connections {connections} --rate {rate} --keys {KEYS} --due {keys} --spread {spread} \
         --creating {creating} --quiet {quiet} --limit {limit} --seed {seed}"
    );
    let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    let mut helper = Helper::start(&[cores.load], "expiry", server.port, &arguments).map_err(of)?;
    helper.go().map_err(of)?;
    let line = helper.line().map_err(of)?;
    helper.finish().map_err(of)?;
    let seen: Expiry = serde_json::from_str(&line).map_err(|error| format!("no report: {error}"))?;
    // A server that only leaves them out of its count has removed nothing.
    let expired = server.info("stats").get("expired_keys").and_then(|&keys| u64::try_from(keys).ok());
    if seen.left == 0 && expired != Some(keys) {
        return Err(of(format!("has no key with a deadline left, but {expired:?} of {keys} expired")));
    }
    Ok(seen)
}
