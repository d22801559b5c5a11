//! The figures as a table, as JSON, and as a picture. Knows Markdown and SVG; measures nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::experiment::Figures;
use super::machine::{self, Facts};

/// What the figures are, and how the model of Go stands to what the story tells.
const NOTE: &str = "\
Parsers in Go are models: the allocations of the parser alone, one by one, with their sizes, but none of its speed and
no late collection. The service's own figures, 49.5 MB for the 10,000 parses and 6.5 MB after the fix, have the look of
Go's sampling profiler, which takes one sample per 512 KiB (so that 49.5 is known to 5 MB or so, and 6.5 to 2), and
include whatever else the run did. Real Go beside the models: benches/seed/go/parse.go.
";

/// The table, in Markdown.
pub(crate) fn table(figures: &[Figures]) -> String {
    let mut text = String::from(
        "| arguments | parser | bytes allocated | allocations | peak of them | held with received bytes | \
         ns per request (least–greatest) |\n|---|---|---|---|---|---|---|\n",
    );
    for figure in figures {
        let times = if figure.repeats > 1 { format!(" × {}", figure.repeats) } else { String::new() };
        let [median, least, greatest] = figure.nanoseconds;
        text.push_str(&format!(
            "| {}{times} | {} | {} | {} | {} | {} | {median:.0} ({least:.0}–{greatest:.0}) |\n",
            figure.arguments,
            figure.parser,
            figure.counted.bytes,
            figure.counted.allocations,
            figure.counted.peak,
            figure.held,
        ));
    }
    text + "\n" + NOTE
}

#[derive(Serialize)]
struct Record<'f> {
    date: String,
    commit: String,
    machine: Facts,
    note: &'static str,
    figures: &'f [Figures],
}

/// Writes table, JSON and picture into a new directory under `parent`, and says which.
///
/// # Errors
/// What the file system says.
pub(crate) fn record(figures: &[Figures], parent: &Path) -> io::Result<PathBuf> {
    let (date, commit) = (machine::today(), machine::commit());
    let directory = machine::new_directory(parent, &format!("{date}-{commit}-seed"))?;
    let mut machine = Facts::read(0, 0);
    "not pinned".clone_into(&mut machine.pinning);
    let picture = svg(figures, &format!("{date} {commit}"));
    let record = Record { date, commit, machine, note: NOTE, figures };
    let json = serde_json::to_string_pretty(&record).map_err(io::Error::other)?;
    fs::write(directory.join("seed.json"), json + "\n")?;
    fs::write(directory.join("seed.md"), table(figures))?;
    fs::write(directory.join("seed.svg"), picture)?;
    Ok(directory)
}

const LEFT: usize = 190;
/// Pixels of a factor of ten.
const DECADE: f64 = 44.0;
const LINE: usize = 22;

/// Bytes allocated per request as bars of logarithmic length, one group per request; nothing allocated is no bar.
fn svg(figures: &[Figures], origin: &str) -> String {
    let (mut body, mut y, mut group) = (String::new(), 30, 0);
    for figure in figures {
        if figure.arguments != group {
            group = figure.arguments;
            y += LINE / 2;
            body.push_str(&format!(
                "<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{group} arguments, {} bytes: bytes allocated \
                 per request</text>\n",
                figure.request_bytes
            ));
            y += LINE;
        }
        let bytes = figure.bytes_per_request();
        let width = (bytes + 1.0).log10() * DECADE;
        let color = if figure.parser.starts_with("tallyring") { "#2b6cb0" } else { "#d69e2e" };
        body.push_str(&format!(
            "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{}\" width=\"{width:.1}\" height=\"16\" fill=\"{color}\"/>\
             <text x=\"{:.1}\" y=\"{y}\">{bytes:.0}</text>\n",
            LEFT - 8,
            figure.parser,
            y - 13,
            LEFT as f64 + width + 8.0,
        ));
        y += LINE;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"{y}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"750\" y=\"14\" \
         text-anchor=\"end\" fill=\"#666\">{origin}; logarithmic</text>\n{body}</svg>\n"
    )
}
