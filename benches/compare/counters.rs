//! What counters cost a server in memory: those of one kind, and one more of them after the other.
//!
//! Each measurement has a server of its own. The connections that create the keys are there, and warm, before anything is
//! measured, and stay idle while it is, so that their buffers are in both figures or in none.

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::load::population::Population;
use crate::procfs;

use super::contender::{Contender, is_ours};
use super::measure::Helper;
use super::memory::Cores;
use super::server::Server;

/// Pairs of an `MSET`: large enough to be fast, small enough to leave buffers as they are.
const PAIRS: u64 = 100;

/// Requests in a pipeline where a request creates one key.
const DEPTH: u64 = 64;

/// Between two looks at memory that is to come to rest.
const LOOK: Duration = Duration::from_millis(100);

/// How long it may take to come to rest; what grows in the background beyond that counts as it is.
const REST: Duration = Duration::from_secs(5);

/// Difference of two looks that is none: a connection's buffer comes and goes.
const STILL: u64 = 64 * 1024;

/// Memory per counter at some number of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Point {
    /// Counters.
    pub(super) counters: u64,
    /// The process' memory since it was empty, per counter, in bytes.
    pub(super) per_counter: f64,
    /// Growth of what the server itself calls its data set (`used_memory_dataset`), likewise.
    pub(super) dataset: Option<f64>,
    /// Mean length of the keys.
    pub(super) key_bytes: f64,
    /// The process' memory, in bytes.
    pub(super) bytes: u64,
}

/// Numbers of keys for a curve: `count` of them from `first` to `last` at equal ratios, in whole requests.
pub(super) fn steps(first: u64, last: u64, count: u32) -> Vec<u64> {
    let whole = |keys: f64| Duration::from_secs_f64(keys / PAIRS as f64).as_secs() * PAIRS;
    let ratio = (last as f64 / first as f64).ln() / f64::from(count.max(2) - 1);
    let inner = (0..count.max(2) - 1).map(|step| whole(first as f64 * (ratio * f64::from(step)).exp() + 0.5));
    let mut points: Vec<u64> = inner.filter(|&keys| (1..last).contains(&keys)).collect();
    points.push(last / PAIRS * PAIRS);
    points.dedup();
    points
}

/// A fresh server in which keys of a population are created up to each of `points`, and its memory at each.
///
/// # Errors
/// A sentence about the load or the server.
pub(super) fn grow(
    contender: &Contender,
    cores: Cores,
    population: Population,
    connections: usize,
    points: &[u64],
    seed: u64,
) -> Result<Vec<Point>, String> {
    let server = Server::start(contender, &[cores.server])?;
    let of = |what: String| format!("{}: {what}; its log ends: {}", server.name, server.log_end());
    let (keys, depth) = if population.most_per_request() == 1 { (1, DEPTH) } else { (PAIRS, 1) };
    let listed: Vec<String> = points.iter().map(u64::to_string).collect();
    let arguments = format!(
        "--connections {connections} --depth {depth} --mix {}:{keys} --points {} --seed {seed}",
        population.text(),
        listed.join(",")
    );
    let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    let mut helper = Helper::start(&[cores.load], "grow", server.port, &arguments).map_err(of)?;
    let (before, empty) = (memory_at_rest(&server)?, dataset(&server));
    let mut found = Vec::new();
    for &point in points {
        helper.go().map_err(of)?;
        let line = helper.line().map_err(of)?;
        let told: Vec<u64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
        let &[keys, key_bytes] = &told[..] else { return Err(of(format!("the load said '{line}'"))) };
        let (bytes, dataset) = (memory_at_rest(&server)?, dataset(&server));
        match server.keys() {
            Some(there) if there == keys && keys == point => {}
            there => return Err(of(format!("has {there:?} keys after {point} were created"))),
        }
        let counters = keys * population.counters();
        let per = |growth: f64| growth / counters as f64;
        found.push(Point {
            counters,
            per_counter: per(bytes as f64 - before as f64),
            dataset: dataset.zip(empty).map(|(after, before)| per((after - before) as f64)),
            key_bytes: key_bytes as f64 / keys as f64,
            bytes,
        });
    }
    helper.go().map_err(of)?;
    helper.finish().map_err(of)?;
    Ok(found)
}

/// The bytes that a server says its data has.
fn dataset(server: &Server) -> Option<i64> {
    server.info("memory").get("used_memory_dataset").copied()
}

/// The memory of a server's data once it sleeps and two looks find the same.
fn memory_at_rest(server: &Server) -> Result<u64, String> {
    let gone = |error: std::io::Error| format!("{} is gone: {error}", server.name);
    // Peers may give back first what they have freed and keep for later; ours counts with all that it keeps.
    if !is_ours(server.name) {
        server.purge();
    }
    let look = || procfs::settled_usage(server.pid()).and_then(|_| procfs::data_bytes(server.pid()));
    let deadline = Instant::now() + REST;
    let mut last = look().map_err(gone)?;
    loop {
        thread::sleep(LOOK);
        let bytes = look().map_err(gone)?;
        if bytes.abs_diff(last) <= STILL || Instant::now() > deadline {
            return Ok(bytes);
        }
        last = bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::steps;

    #[test]
    fn points_grow_by_whole_requests_and_equal_ratios() {
        let points = steps(100_000, 20_000_000, 40);
        assert_eq!((points.len(), points[0], points[39]), (40, 100_000, 20_000_000));
        for pair in points.windows(2) {
            let ratio = pair[1] as f64 / pair[0] as f64;
            assert!((1.14..1.15).contains(&ratio), "{pair:?}");
        }
        assert!(points.iter().all(|point| point.is_multiple_of(100)));
    }

    #[test]
    fn few_keys_give_few_points() {
        assert_eq!(steps(400, 400, 6), [400]);
        let points = steps(200, 1_000, 40);
        assert!(points.is_sorted() && points.windows(2).all(|pair| pair[0] < pair[1]), "{points:?}");
    }
}
