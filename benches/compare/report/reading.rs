//! What the report reads of a record: `results.json`, of this version of the harness and of those before it.
//!
//! Rows, shapes, works and servers are their names here, so that a record stays readable when the harness has forgotten
//! one of them; figures that a record does not have are absent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::compare::statistics::Spread;
use crate::load::report::{Latency, Report};

/// A record.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Record {
    /// Name of its directory.
    #[serde(skip)]
    pub(super) name: String,
    /// When it was made.
    pub(super) date: String,
    /// Of what; it ends in `-dirty` where files differed from it.
    pub(super) commit: String,
    /// By which arguments.
    pub(super) flags: String,
    /// Where.
    pub(super) machine: Machine,
    /// Versions by name.
    pub(super) servers: BTreeMap<String, String>,
    /// How system calls were counted.
    #[serde(default)]
    pub(super) counter: Option<String>,
    /// Why the run ended early, if it did.
    #[serde(default)]
    pub(super) failure: Option<String>,
    /// Targets.
    pub(super) verdicts: Vec<Verdict>,
    /// Every measurement.
    pub(super) samples: Vec<Sample>,
}

/// Where a record was made.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) cores: String,
    pub(super) virtualized: bool,
    pub(super) kernel: String,
    pub(super) memory_mib: u64,
    pub(super) load_average: String,
}

/// A target, and what came of it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Verdict {
    pub(super) row: String,
    pub(super) shape: String,
    /// What is compared with what.
    pub(super) what: String,
    pub(super) value: Option<Spread>,
    pub(super) bound: f64,
    /// Whether the bound is one from below.
    #[serde(default)]
    pub(super) least: bool,
    /// Bound of the interval's upper end.
    pub(super) upper: Option<f64>,
    pub(super) met: Option<bool>,
}

/// A measurement.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sample {
    pub(super) row: String,
    pub(super) shape: String,
    pub(super) work: String,
    pub(super) server: String,
    pub(super) round: usize,
    #[serde(default)]
    pub(super) cpu_us: Option<f64>,
    #[serde(default)]
    pub(super) user_us: Option<f64>,
    #[serde(default)]
    pub(super) voluntary: Option<f64>,
    #[serde(default)]
    pub(super) involuntary: Option<f64>,
    #[serde(default)]
    pub(super) system_calls: Option<f64>,
    #[serde(default)]
    pub(super) per_key_ns: Option<f64>,
    #[serde(default)]
    pub(super) per_connection: Option<f64>,
    #[serde(default)]
    pub(super) held: Option<f64>,
    #[serde(default)]
    pub(super) point: Option<Point>,
    #[serde(default)]
    pub(super) expiry: Option<Expiry>,
    #[serde(default)]
    pub(super) snapshot: Option<Snapshot>,
    #[serde(default)]
    pub(super) start: Option<Start>,
    #[serde(default)]
    pub(super) report: Option<Report>,
}

/// Memory per counter.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Point {
    pub(super) counters: u64,
    pub(super) per_counter: f64,
}

/// Keys that expired together.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Expiry {
    pub(super) gone_s: f64,
    pub(super) quiet: Latency,
    pub(super) expiring: Latency,
    pub(super) kept_up: bool,
}

/// A snapshot that was written.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Snapshot {
    pub(super) quiet: Latency,
    pub(super) saving: Latency,
    pub(super) kept_up: bool,
}

/// A start with data.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Start {
    pub(super) seconds: f64,
}

/// Connections and depth of a shape's name.
pub(super) fn shape(name: &str) -> Option<(u64, u64)> {
    match name.split_once(" × ") {
        Some((connections, depth)) => Some((connections.parse().ok()?, depth.parse().ok()?)),
        None => Some((name.parse().ok()?, 1)),
    }
}

/// The records under a directory, by name. Directories without `results.json` are something else's.
///
/// # Errors
/// What is wrong with which file.
pub(super) fn all(parent: &Path) -> Result<Vec<Record>, String> {
    let entries = fs::read_dir(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_record(path)).collect();
    paths.sort();
    each(&paths)
}

fn is_record(path: &Path) -> bool {
    path.join("results.json").is_file()
}

/// These records.
///
/// # Errors
/// What is wrong with which file.
pub(super) fn each(paths: &[PathBuf]) -> Result<Vec<Record>, String> {
    paths.iter().map(|path| one(path)).collect()
}

fn one(directory: &Path) -> Result<Record, String> {
    let path = directory.join("results.json");
    let of = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read_to_string(&path).map_err(|error| of(&error))?;
    let record: Record = serde_json::from_str(&text).map_err(|error| of(&error))?;
    let name = directory.file_name().unwrap_or(directory.as_os_str());
    Ok(Record { name: name.to_string_lossy().into_owned(), ..record })
}

#[cfg(test)]
mod tests {
    use super::shape;

    #[test]
    fn shapes_are_read_as_they_are_printed() {
        assert_eq!([shape("200"), shape("50 × 64"), shape("many")], [Some((200, 1)), Some((50, 64)), None]);
    }
}
