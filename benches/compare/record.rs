//! What a run found, raw, and how it is written down: `results.json`, `results.csv`, `summary.md`, `cpu.svg`,
//! `memory.svg` where it was measured over numbers of counters, `commands.csv` where every command was timed,
//! `durability.svg` where modes of syncing were compared, `snapshot.svg` and `snapshot.csv` where snapshots were written.
//!
//! Every round is kept, so that another reading of the figures stays possible. Knows no server and no target.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::load::commands::Timed;
use crate::load::expiry::Expiry;
use crate::load::report::Report;
use crate::load::snapshot::{Slice, Snapshot};

use super::chart;
use super::contender::Missing;
use super::counters::Point;
use super::curve;
use super::durability;
use super::limits::Limits;
use super::machine::{self, Facts};
use super::plan::Unable;
use super::row::{RowName, Shape};
use super::starting::Start;
use super::summary;
use super::verdict::Judged;
use super::work::Work;

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sample {
    /// For which row.
    pub(super) row: RowName,
    /// With which shape.
    pub(super) shape: Shape,
    /// What was done.
    pub(super) work: Work,
    /// Against which server.
    pub(super) server: &'static str,
    /// The how-manieth turn, from 0.
    pub(super) round: usize,
    /// Processor time of the server per operation, in µs.
    pub(super) cpu_us: Option<f64>,
    /// Processor time of the server per key, in nanoseconds, where requests name many.
    pub(super) per_key_ns: Option<f64>,
    /// Of the time per operation in user mode, as far as clock ticks tell, in µs.
    pub(super) user_us: Option<f64>,
    /// Times per operation that the server waited.
    pub(super) voluntary: Option<f64>,
    /// Times per operation that the processor was taken from it.
    pub(super) involuntary: Option<f64>,
    /// Share of its processor that the server used.
    pub(super) server_load: Option<f64>,
    /// System calls per operation.
    pub(super) system_calls: Option<f64>,
    /// Growth of the numbers in the server's `INFO engine`, where it has that section.
    pub(super) engine: BTreeMap<String, i64>,
    /// The server's own memory, in bytes.
    pub(super) anonymous: u64,
    /// Its growth per connection that only holds memory, in bytes.
    pub(super) per_connection: Option<f64>,
    /// Its growth per byte that was sent to it.
    pub(super) held: Option<f64>,
    /// What counters cost.
    pub(super) point: Option<Point>,
    /// How keys expired.
    pub(super) expiry: Option<Box<Expiry>>,
    /// What a snapshot did to requests.
    pub(super) snapshot: Option<Box<Snapshot>>,
    /// What harm that others did came to.
    pub(super) limits: Option<Box<Limits>>,
    /// A start with data.
    pub(super) start: Option<Start>,
    /// How long each command took.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) commands: Vec<Timed>,
    /// As the load saw it.
    pub(super) report: Option<Report>,
}

impl Sample {
    /// A sample without figures.
    pub(super) fn blank(
        (row, shape, work): (RowName, Shape, Work),
        server: &'static str,
        round: usize,
    ) -> Self {
        Self {
            row,
            shape,
            work,
            server,
            round,
            cpu_us: None,
            per_key_ns: None,
            user_us: None,
            voluntary: None,
            involuntary: None,
            server_load: None,
            system_calls: None,
            engine: BTreeMap::new(),
            anonymous: 0,
            per_connection: None,
            held: None,
            point: None,
            expiry: None,
            snapshot: None,
            limits: None,
            start: None,
            commands: Vec::new(),
            report: None,
        }
    }
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(super) struct Record {
    /// When it began, as a date.
    pub(super) date: String,
    /// The commit that was measured.
    pub(super) commit: String,
    /// The command line that gives the same run.
    pub(super) flags: String,
    /// Where.
    pub(super) machine: Facts,
    /// Versions of the servers, by name.
    pub(super) servers: BTreeMap<&'static str, String>,
    /// What they write to disk, by name.
    pub(super) modes: BTreeMap<&'static str, String>,
    /// Servers that were not there.
    pub(super) missing: Vec<Missing>,
    /// What was not measured, because a server does not know the command.
    pub(super) unmeasured: Vec<Unable>,
    /// How system calls were counted.
    pub(super) counter: Option<&'static str>,
    /// Why the run ended early, if it did.
    pub(super) failure: Option<String>,
    /// Targets, as far as their figures are there.
    pub(super) verdicts: Vec<Judged>,
    /// Every measurement, in order.
    pub(super) samples: Vec<Sample>,
}

impl Record {
    /// Writes the record into a new directory under `parent` and returns its path.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn write(&self, parent: &Path) -> io::Result<PathBuf> {
        let directory = machine::new_directory(parent, &format!("{}-{}", self.date, self.commit))?;
        let json = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        fs::write(directory.join("results.json"), json + "\n")?;
        fs::write(directory.join("results.csv"), self.csv())?;
        fs::write(directory.join("summary.md"), summary::markdown(self))?;
        fs::write(directory.join("cpu.svg"), chart::svg(self))?;
        if self.samples.iter().any(|sample| !sample.commands.is_empty()) {
            fs::write(directory.join("commands.csv"), self.commands_csv())?;
        }
        if let Some(picture) = curve::svg(self) {
            fs::write(directory.join("memory.svg"), picture)?;
        }
        if let Some(picture) = durability::modes_svg(self) {
            fs::write(directory.join("durability.svg"), picture)?;
        }
        if let Some(picture) = durability::snapshot_svg(self) {
            fs::write(directory.join("snapshot.svg"), picture)?;
            fs::write(directory.join("snapshot.csv"), self.snapshot_csv())?;
        }
        Ok(directory)
    }

    fn commands_csv(&self) -> String {
        let mut text = String::from("request,server,round,count,p50_us,p90_us,p99_us,p999_us,max_us\n");
        for sample in &self.samples {
            for Timed { request, latency } in &sample.commands {
                text.push_str(&format!("{request},{},{},{}", sample.server, sample.round, latency.count));
                let figures = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
                text.push_str(&cells(&figures.map(Some)));
                text.push('\n');
            }
        }
        text
    }

    fn snapshot_csv(&self) -> String {
        let mut text = String::from("server,round,at_s,saving,count,p50_us,p90_us,p99_us,p999_us,max_us\n");
        for sample in &self.samples {
            let Some(snapshot) = &sample.snapshot else { continue };
            for Slice { at_s, latency } in &snapshot.slices {
                let saving = u8::from((snapshot.began_s..snapshot.ended_s).contains(at_s));
                text.push_str(&format!(
                    "{},{},{at_s:.1},{saving},{}",
                    sample.server, sample.round, latency.count
                ));
                let figures = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
                text.push_str(&cells(&figures.map(Some)));
                text.push('\n');
            }
        }
        text
    }

    fn csv(&self) -> String {
        let mut text = String::from(
            "row,connections,depth,work,server,round,operations,rate,cpu_us,user_us,voluntary,involuntary,\
             server_load,generator_load,system_calls,anonymous_bytes,bytes_per_connection,asked_rate,kept_up,\
             p50_us,p90_us,p99_us,p999_us,p9999_us,max_us,ns_per_key,bytes_per_byte,seed,\
             counters,bytes_per_counter,dataset_per_counter,key_bytes,gone_s,left,quiet_p99_us,expiring_p99_us,\
             quiet_p999_us,saving_p999_us,saving_s,memory_growth,start_s,stored_bytes,quiet_p50_us,disturbed_p50_us,\
             disturbed_p99_us,disturbed_p999_us,late_quiet_p99_us,late_disturbed_p99_us,memory_before_bytes,\
             memory_peak_bytes,memory_after_bytes,counted\n",
        );
        for sample in &self.samples {
            text.push_str(&csv_line(sample));
        }
        text
    }
}

fn csv_line(sample: &Sample) -> String {
    let report = sample.report.as_ref();
    let of = |pick: fn(&Report) -> f64| report.map(pick);
    let Shape { connections, depth } = sample.shape;
    let Sample { row, work, server, round, .. } = sample;
    let mut line = format!("{},{connections},{depth},{},{server},{round},", row.text(), work);
    line.push_str(&report.map(|report| report.operations.to_string()).unwrap_or_default());
    let numbers = [
        of(|report| report.rate),
        sample.cpu_us,
        sample.user_us,
        sample.voluntary,
        sample.involuntary,
        sample.server_load,
        of(|report| report.generator_load),
        sample.system_calls,
        Some(sample.anonymous as f64),
        sample.per_connection,
        report.and_then(|report| report.asked_rate),
        of(|report| if report.kept_up { 1.0 } else { 0.0 }),
        of(|report| report.latency.p50),
        of(|report| report.latency.p90),
        of(|report| report.latency.p99),
        of(|report| report.latency.p999),
        of(|report| report.latency.p9999),
        of(|report| report.latency.max),
        sample.per_key_ns,
        sample.held,
    ];
    line.push_str(&cells(&numbers));
    line.push_str(&report.map_or_else(|| ",".to_owned(), |report| format!(",{}", report.seed)));
    let (point, expiry) = (sample.point.as_ref(), sample.expiry.as_ref());
    let (snapshot, start, limits) = (sample.snapshot.as_ref(), sample.start, sample.limits.as_ref());
    let seen = limits.map(|limits| &limits.disturbance);
    let quiet = seen.map(|seen| seen.quiet);
    let quiet = quiet.or(expiry.map(|expiry| expiry.quiet)).or(snapshot.map(|snapshot| snapshot.quiet));
    let numbers = [
        point.map(|point| point.counters as f64),
        point.map(|point| point.per_counter),
        point.and_then(|point| point.dataset),
        point.map(|point| point.key_bytes),
        expiry.map(|expiry| expiry.gone_s),
        expiry.map(|expiry| expiry.left as f64),
        quiet.map(|quiet| quiet.p99),
        expiry.map(|expiry| expiry.expiring.p99),
        quiet.map(|quiet| quiet.p999),
        snapshot.map(|snapshot| snapshot.saving.p999),
        snapshot.map(|snapshot| snapshot.ended_s - snapshot.began_s),
        snapshot.map(|snapshot| snapshot.growth()),
        start.map(|start| start.seconds),
        start.map(|start| start.stored_bytes as f64),
        seen.map(|seen| seen.quiet.p50),
        seen.map(|seen| seen.disturbed.p50),
        seen.map(|seen| seen.disturbed.p99),
        seen.map(|seen| seen.disturbed.p999),
        seen.map(|seen| seen.late_quiet.p99),
        seen.map(|seen| seen.late_disturbed.p99),
        seen.map(|seen| seen.before_bytes as f64),
        seen.map(|seen| seen.most_bytes as f64),
        limits.map(|limits| limits.after_bytes as f64),
        limits.and_then(|limits| limits.counted()).map(|counted| counted as f64),
    ];
    line.push_str(&cells(&numbers));
    line.push('\n');
    line
}

/// Numbers as further cells of a line.
fn cells(numbers: &[Option<f64>]) -> String {
    numbers
        .iter()
        .map(|number| number.map_or_else(|| ",".to_owned(), |number| format!(",{number:.4}")))
        .collect()
}
