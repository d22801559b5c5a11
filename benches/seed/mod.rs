//! The request that started it, through the parsers of its story.
//!
//! A Go service parsed `*2\r\n$3\r\nGET\r\n$3\r\nKEY\r\n` 10,000 times and allocated 49.5 MB. With `--smoke`
//! everything runs once and small, and nothing is recorded. In reading order: [`parsers`] with the Go service's heap
//! ([`go`]), [`experiment`] over them, [`counting`], [`report`].

mod counting;
mod experiment;
mod go;
#[path = "../compare/machine.rs"]
mod machine;
mod parsers;
mod report;

use std::io;
use std::path::{Path, PathBuf};

/// Runs that the times are medians of.
const RUNS: usize = 11;

/// Measures, prints, and records.
///
/// # Errors
/// What the file system says, or a flag without its value.
pub(crate) fn main() -> io::Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    // Cargo says `--bench` when figures are wanted; without it (under `cargo test`) everything runs small.
    let smoke = given.iter().any(|flag| flag == "--smoke") || !given.iter().any(|flag| flag == "--bench");
    let parent = match given.iter().position(|flag| flag == "--record") {
        Some(at) => given.get(at + 1).map(PathBuf::from).ok_or(io::ErrorKind::InvalidInput)?,
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/record"),
    };
    let runs = if smoke { 1 } else { RUNS };
    let figures: Vec<_> =
        experiment::cases(smoke).iter().flat_map(|case| experiment::run(case, runs)).collect();
    print!("{}", report::table(&figures));
    if !smoke {
        println!("record: {}", report::record(&figures, &parent)?.display());
    }
    Ok(())
}
