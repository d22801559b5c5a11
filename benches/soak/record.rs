//! What a run leaves: `summary.md`, `samples.csv` (thinned), `soak.svg`. Knows Markdown and SVG; judges nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ground::Counts;
use super::samples::{COLUMNS, Sample};
use super::verdict::Verdict;
use crate::machine::{self, Facts};

/// Most lines of the file: every so-manieth sample.
const LINES: usize = 240;

/// A run that has ended.
pub(crate) struct Run<'r> {
    /// Minutes of load.
    pub(crate) minutes: f64,
    /// The engine.
    pub(crate) engine: &'r str,
    /// The machine, when it began.
    pub(crate) machine: Facts,
    /// Date and commit, when it began.
    pub(crate) origin: (String, String),
    /// Every look.
    pub(crate) samples: &'r [Sample],
    /// What was done.
    pub(crate) counts: &'r Counts,
    /// What came of it.
    pub(crate) verdicts: &'r [Verdict],
}

impl Run<'_> {
    /// The page.
    pub(crate) fn summary(&self) -> String {
        let Facts { processor, cores, kernel, memory_mib, load_average, .. } = &self.machine;
        let mut text = format!(
            "# Soak of {}, commit {}\n\n{processor}, processors {cores}, {memory_mib} MiB, kernel {kernel}; load average at \
             the start: {load_average}. Server and load on the same processors.\n\n\
             `cargo bench --bench soak -- --minutes {} --engine {}`: 2 workers, `appendonly yes`, `appendfsync everysec`.\n\n",
            self.origin.0, self.origin.1, self.minutes, self.engine
        );
        text.push_str("| what | found | wanted | |\n|---|---|---|---|\n");
        for Verdict { what, found, wanted, met } in self.verdicts {
            let met = met.map_or("not judged", |met| if met { "met" } else { "**missed**" });
            text.push_str(&format!("| {what} | {found} | {wanted} | {met} |\n"));
        }
        text.push_str(
            "\nOperations without an end are those that stay armed: on each worker a multishot accept for each of its \
             listeners and a poll of its bell, and the multishot receive of the connection that asks. Every other one that \
             was submitted has had its last completion.\n\n| done | |\n|---|---|\n",
        );
        for (name, count) in self.counts.all() {
            text.push_str(&format!("| {name} | {count} |\n"));
        }
        if let Some(last) = self.samples.last() {
            text.push_str(&format!("| commands, by the server | {} |\n", last.commands));
            text.push_str(&format!("| receives that found no block | {} |\n", last.starved));
        }
        text
    }

    /// Writes all of it into a new directory under `parent`.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn write(&self, parent: &Path) -> io::Result<PathBuf> {
        let (date, commit) = &self.origin;
        let name = format!("{date}-{commit}-soak");
        let directory = machine::new_directory(parent, &name)?;
        fs::write(directory.join("summary.md"), self.summary())?;
        let every = self.samples.len().div_ceil(LINES).max(1);
        let lines: String = self.samples.iter().step_by(every).map(Sample::line).collect();
        fs::write(directory.join("samples.csv"), format!("{COLUMNS}{lines}"))?;
        fs::write(directory.join("soak.svg"), svg(self.samples, &format!("{date} {commit}")))?;
        Ok(directory)
    }
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 70.0;

/// One curve of the picture: its name and its values, of which a sample has one.
type Curve = (&'static str, fn(&Sample) -> f64);

const CURVES: [Curve; 4] = [
    ("resident memory, MiB", |sample| sample.rss as f64 / f64::from(1 << 20)),
    ("connections", |sample| sample.clients as f64),
    ("open descriptors", |sample| sample.descriptors as f64),
    ("receive blocks free", |sample| sample.blocks_free as f64),
];

/// Curves over time, each with its own scale from 0.
fn svg(samples: &[Sample], origin: &str) -> String {
    let seconds = samples.last().map_or(1.0, |sample| sample.at_s).max(1.0);
    let (mut body, mut top) = (String::new(), 10.0);
    for (name, pick) in CURVES {
        let most = samples.iter().map(pick).fold(1.0, f64::max);
        let every = samples.len().div_ceil(LINES).max(1);
        let points: Vec<String> = samples
            .iter()
            .step_by(every)
            .map(|sample| {
                let x = LEFT + sample.at_s / seconds * (WIDTH - LEFT - 10.0);
                let y = top + HEIGHT - pick(sample) / most * (HEIGHT - 30.0);
                format!("{x:.1},{y:.1}")
            })
            .collect();
        body.push_str(&format!(
            "<text x=\"{LEFT}\" y=\"{:.0}\">{name}</text>\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{most:.0}</text>\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">0</text>\
             <line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{:.0}\" y2=\"{:.0}\" stroke=\"#ccc\"/>\
             <polyline fill=\"none\" stroke=\"#2b6cb0\" points=\"{}\"/>\n",
            top + 14.0,
            LEFT - 6.0,
            top + 34.0,
            LEFT - 6.0,
            top + HEIGHT + 4.0,
            top + HEIGHT,
            top + HEIGHT,
            points.join(" ")
        ));
        top += HEIGHT + 10.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}\
         <text x=\"{WIDTH}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"#666\">{seconds:.0} s; {origin}</text>\n</svg>\n",
        top + 20.0,
        top + 12.0
    )
}
