//! The fuzzers' checks without a fuzzer: their corpus is replayed, and each has thousands of random inputs besides.
//!
//! What is checked stands in `fuzz/src/`, included here as it is, so that a stable compiler builds and runs it. Every
//! failure names the file, or the seed, that leads to it again: `TALLYRING_FUZZ_SEED` runs a single seed.

#[path = "../fuzz/src/lib.rs"]
pub mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tallyring::command::lookup::visible;
use targets::input::Random;
use targets::{connection, decoder, journal, model, rdb, sample, snapshot, streams, vocabulary};

/// Every input of a target's corpus, in the order of their names.
fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).expect("every target has a corpus");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files
}

fn replay(target: &str, check: fn(&[u8])) {
    let files = corpus(target);
    assert!(files.len() >= 30, "{} inputs are in the corpus of {target}", files.len());
    for file in files {
        let input = fs::read(&file).expect("a readable file");
        named(&file.display().to_string(), || check(&input));
    }
}

/// Checks `count` random inputs, or that of a single seed.
fn explore(count: u64, make: fn(&mut Random) -> Vec<u8>, check: fn(&[u8])) {
    let only = std::env::var("TALLYRING_FUZZ_SEED").ok();
    let only: Option<u64> = only.map(|seed| seed.parse().expect("TALLYRING_FUZZ_SEED is a number"));
    for seed in only.map_or(0..count, |seed| seed..seed + 1) {
        let input = make(&mut Random::new(seed));
        named(&format!("TALLYRING_FUZZ_SEED={seed}, {}", input.escape_ascii()), || check(&input));
    }
}

/// Says which input it was that failed.
fn named(name: &str, check: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(check)) {
        eprintln!("the input was {name}");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn the_decoder_keeps_to_its_corpus() {
    replay("decoder", decoder::check);
}

#[test]
fn connections_keep_to_their_corpus() {
    replay("connection", connection::check);
}

#[test]
fn streams_of_commands_keep_to_their_corpus() {
    replay("streams", streams::check);
}

#[test]
fn the_decoder_withstands_random_inputs() {
    explore(5000, sample::wire, decoder::check);
}

#[test]
fn connections_withstand_random_inputs() {
    explore(2000, sample::wire, connection::check);
}

#[test]
fn streams_of_commands_withstand_random_inputs() {
    explore(5000, sample::stream, streams::check);
}

#[test]
fn the_journals_reader_keeps_to_its_corpus() {
    replay("journal", journal::check);
}

#[test]
fn the_reader_of_snapshots_keeps_to_its_corpus() {
    replay("snapshot", snapshot::check);
}

#[test]
fn the_reader_of_redis_files_keeps_to_its_corpus() {
    replay("rdb", rdb::check);
}

#[test]
fn the_journals_reader_withstands_random_inputs() {
    explore(2000, sample::script, journal::check);
}

#[test]
fn the_reader_of_snapshots_withstands_random_inputs() {
    explore(2000, sample::script, snapshot::check);
}

#[test]
fn the_reader_of_redis_files_withstands_random_inputs() {
    explore(5000, sample::rdb, rdb::check);
}

#[test]
fn every_command_is_modelled_or_named_as_not() {
    let spelled: BTreeSet<String> = vocabulary::names().map(str::to_ascii_lowercase).collect();
    for command in visible() {
        let exempt = model::NOT_MODELLED.contains(&command.name);
        assert!(
            spelled.contains(command.name) != exempt,
            "{}: add it to fuzz/src/vocabulary.rs and fuzz/src/model.rs, or to NOT_MODELLED",
            command.name
        );
    }
}
