//! The report: one or several records as one page for people, `index.html`, and the same as `summary.md` with pictures.
//!
//! It reads records as they were written, measures nothing and knows no server's program. In reading order: [`reading`]
//! (what is in a record), [`choice`] (which record each row is from), [`figures`] (what is compared), [`losses`] (where
//! we lose), [`reasons`] (why, by hand), [`axis`] and [`bars`] (drawing), [`pictures`], [`tables`], [`summary`], [`page`].

mod axis;
mod bars;
mod choice;
mod escape;
mod figures;
mod losses;
mod page;
mod pictures;
mod reading;
mod reasons;
mod summary;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};

use choice::Chosen;
use losses::Loss;
use pictures::Picture;
use reading::Record;
use reasons::Reasons;

/// Arguments of `report`.
pub(super) fn command() -> Command {
    let path = |name: &'static str| Arg::new(name).value_parser(value_parser!(PathBuf));
    Command::new("report")
        .about("makes one page of records: index.html, summary.md, and pictures")
        .arg(path("record").num_args(0..).help("directories of records; all under benches/record if none"))
        .arg(path("out").long("out").help("where to write (default: benches/report)"))
        .arg(path("reasons").long("reasons").help("why we lose (default: benches/report/reasons.md)"))
}

/// Reads records and writes the report.
///
/// # Errors
/// A sentence about the record or file that it fails with.
pub(super) fn run(matches: &ArgMatches) -> Result<(), String> {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    let path = |name: &str, default: PathBuf| matches.get_one::<PathBuf>(name).cloned().unwrap_or(default);
    let out = path("out", benches.join("report"));
    let given: Vec<PathBuf> = matches.get_many("record").into_iter().flatten().cloned().collect();
    let records =
        if given.is_empty() { reading::all(&benches.join("record"))? } else { reading::each(&given)? };
    let reasons = Reasons::read(&path("reasons", benches.join("report/reasons.md")))?;
    let report = Report::new(&records, &reasons);
    let written = |result: std::io::Result<()>| result.map_err(|error| format!("{}: {error}", out.display()));
    written(fs::create_dir_all(&out))?;
    for picture in &report.pictures {
        written(fs::write(out.join(picture.file), picture.standing_alone()))?;
    }
    written(fs::write(out.join("summary.md"), summary::markdown(&report)))?;
    written(fs::write(out.join("index.html"), page::html(&report)))?;
    for key in reasons.unused(&report.losses) {
        eprintln!("a reason for nothing that is lost any more: {key}");
    }
    println!("report: {}", out.display());
    Ok(())
}

/// What is written down.
struct Report<'r> {
    chosen: Chosen<'r>,
    losses: Vec<Loss<'r>>,
    pictures: Vec<Picture>,
    reasons: &'r Reasons,
}

impl<'r> Report<'r> {
    fn new(records: &'r [Record], reasons: &'r Reasons) -> Self {
        let chosen = Chosen::of(records);
        Self { losses: losses::of(&chosen), pictures: pictures::of(&chosen), chosen, reasons }
    }
}
