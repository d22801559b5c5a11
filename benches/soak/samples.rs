//! What is looked at every second, and lines through it. Knows the fields of `INFO` and of `/proc`.

use std::collections::BTreeMap;
use std::io;

use super::peer::Peer;
use super::server::{self, Server};
use crate::procfs;

/// The names of what is looked at, in the order of a line of the file.
pub(crate) const COLUMNS: &str = "at_s,rss_bytes,data_bytes,used_memory,dataset_bytes,descriptors,clients,keys,tokens,\
commands,ring_submissions,ring_completions,ring_in_flight,blocks_free,receives_starved,journal_lag_bytes\n";

/// One look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Seconds since the load began.
    pub(crate) at_s: f64,
    /// Resident memory, pages of the program included.
    pub(crate) rss: u64,
    /// Memory for data: anonymous, shared, swapped.
    pub(crate) data: u64,
    /// What the allocator has handed out, as the server says.
    pub(crate) used: u64,
    /// Of that, keys and values.
    pub(crate) dataset: u64,
    /// Open descriptors.
    pub(crate) descriptors: u64,
    /// Connections, the one that asks included.
    pub(crate) clients: u64,
    /// Keys.
    pub(crate) keys: u64,
    /// Tokens of increments that are applied once.
    pub(crate) tokens: u64,
    /// Commands so far.
    pub(crate) commands: u64,
    /// Entries submitted to rings so far.
    pub(crate) submissions: u64,
    /// Completions so far.
    pub(crate) completions: u64,
    /// Operations whose last completion is to come.
    pub(crate) in_flight: u64,
    /// Receive blocks that nobody has.
    pub(crate) blocks_free: u64,
    /// Receives that found no block, so far.
    pub(crate) starved: u64,
    /// Bytes of the journal that are not synced.
    pub(crate) lag: u64,
}

impl Sample {
    /// Looks.
    ///
    /// # Errors
    /// If the server is gone.
    pub(crate) fn take(at_s: f64, server: &Server, peer: &mut Peer) -> io::Result<Self> {
        let info = server::info(peer)?;
        let number = |name: &str| info.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        Ok(Self {
            at_s,
            rss: procfs::rss_bytes(server.pid())?,
            data: procfs::resident_data_bytes(server.pid())?,
            used: number("used_memory"),
            dataset: number("used_memory_dataset"),
            descriptors: server.descriptors()?,
            clients: number("connected_clients"),
            keys: keys(&info),
            tokens: number("tokens"),
            commands: number("total_commands_processed"),
            submissions: number("ring_submissions"),
            completions: number("ring_completions"),
            in_flight: number("ring_in_flight"),
            blocks_free: number("blocks_free"),
            starved: number("receives_starved"),
            lag: number("journal_lag_bytes"),
        })
    }

    /// Its line of the file.
    pub(crate) fn line(&self) -> String {
        let numbers = [
            self.rss,
            self.data,
            self.used,
            self.dataset,
            self.descriptors,
            self.clients,
            self.keys,
            self.tokens,
            self.commands,
            self.submissions,
            self.completions,
            self.in_flight,
            self.blocks_free,
            self.starved,
            self.lag,
        ];
        let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
        format!("{:.0},{}\n", self.at_s, numbers.join(","))
    }
}

/// `db0:keys=5,expires=1,…`
fn keys(info: &BTreeMap<String, String>) -> u64 {
    let field = info.get("db0").and_then(|line| line.strip_prefix("keys=")?.split(',').next()?.parse().ok());
    field.unwrap_or(0)
}

/// A straight line through points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// Growth per unit.
    pub(crate) slope: f64,
    /// Standard error of that.
    pub(crate) error: f64,
    /// Value at 0.
    pub(crate) at_zero: f64,
}

/// The line with the least squares of distances; none of fewer than three points.
pub(crate) fn fit(points: &[(f64, f64)]) -> Option<Line> {
    let count = points.len() as f64;
    if points.len() < 3 {
        return None;
    }
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if spread == 0.0 {
        return None;
    }
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    let at_zero = y - slope * x;
    let squares: f64 = points.iter().map(|point| (point.1 - at_zero - slope * point.0).powi(2)).sum();
    Some(Line { slope, error: (squares / (count - 2.0) / spread).sqrt(), at_zero })
}

/// Bins of the second half, of which each gives the least memory in it: what saves and slow readers take for a second is
/// no growth.
const BINS: usize = 60;

/// The least resident memory of each part of the second half, in MiB over hours.
pub(crate) fn floor(samples: &[Sample]) -> Vec<(f64, f64)> {
    let half = &samples[samples.len() / 2..];
    let width = half.len().div_ceil(BINS).max(1);
    half.chunks(width)
        .filter_map(|bin| bin.iter().min_by_key(|sample| sample.rss))
        .map(|least| (least.at_s / 3600.0, least.rss as f64 / f64::from(1 << 20)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Sample, fit, floor};

    #[test]
    fn a_line_is_found_with_its_error() {
        let exact: Vec<(f64, f64)> = (0..10).map(|x| (f64::from(x), 3.0 + 2.0 * f64::from(x))).collect();
        let line = fit(&exact).unwrap();
        assert!((line.slope - 2.0).abs() < 1e-9 && line.error < 1e-9 && (line.at_zero - 3.0).abs() < 1e-9);
        // By hand: residuals ±1 around a line of slope 0.
        let line = fit(&[(0.0, 1.0), (1.0, -1.0), (2.0, -1.0), (3.0, 1.0)]).unwrap();
        assert!(line.slope.abs() < 1e-9 && (line.error - (4.0_f64 / 2.0 / 5.0).sqrt()).abs() < 1e-9);
        assert!(fit(&exact[..2]).is_none());
        assert!(fit(&[(1.0, 1.0); 5]).is_none());
    }

    #[test]
    fn what_is_taken_for_a_second_is_no_growth() {
        let sample = |at: u32| {
            let rss = if at.is_multiple_of(7) { 9 << 20 } else { 4 << 20 };
            Sample { at_s: f64::from(at), rss, ..Sample::default() }
        };
        let samples: Vec<Sample> = (0..600).map(sample).collect();
        let floor = floor(&samples);
        assert_eq!(floor.len(), 60);
        assert!(floor.iter().all(|&(at, mib)| at >= 300.0 / 3600.0 && mib == 4.0));
    }
}
