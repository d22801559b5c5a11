//! The harness: starts servers on one processor and load on the other, takes turns, and leaves a record.
//!
//! One program that starts itself again for each role, so that no extra binary ships. It knows servers as programs
//! with a port and a pid; it refuses to know how requests look ([`crate::load`]) or how a loop serves
//! ([`crate::bare`]). In reading order: [`options`], [`contender`] (who competes), [`plan`] with [`row`] and [`work`] (what is
//! measured, in which order), [`runner`] (measures it, in the [`arena`]), [`statistics`], [`verdict`] (targets), [`record`]; [`report`] makes a page of records.

mod arena;
mod calibrate;
mod chart;
mod contender;
mod counters;
mod curve;
mod durability;
mod expiry;
mod latencies;
mod launch;
mod limits;
mod machine;
mod measure;
mod memory;
mod options;
mod plan;
mod progress;
mod record;
mod report;
mod row;
mod runner;
mod server;
mod snapshot;
mod starting;
mod statistics;
mod summary;
mod system_calls;
mod tables;
mod verdict;
mod work;

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::{bare, load};

/// Reads the command line, does as it says, and reports a failure on standard error.
pub(crate) fn main() -> ExitCode {
    // Cargo adds `--bench` to whatever the user said.
    let given = std::env::args_os().count();
    let arguments: Vec<OsString> = std::env::args_os().filter(|argument| argument != "--bench").collect();
    if given == 1 {
        // `cargo test --all-targets` starts benches, too, and must not measure for twenty minutes.
        println!("nothing asked: cargo bench --bench compare -- --help");
        return ExitCode::SUCCESS;
    }
    let matches = command().get_matches_from(arguments);
    match dispatch(&matches) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    options::arguments(Command::new("compare"))
        .about("compares servers on this machine: CPU per operation and key, latencies, memory, expiry, durability, limits")
        .args_conflicts_with_subcommands(true)
        .subcommand(load::role::load_command())
        .subcommand(load::role::idle_command())
        .subcommand(load::role::partial_command())
        .subcommand(load::role::grow_command())
        .subcommand(load::role::expiry_command())
        .subcommand(load::role::snapshot_command())
        .subcommand(load::role::limits_command())
        .subcommand(load::role::commands_command())
        .subcommand(bare::command())
        .subcommand(launch::command())
        .subcommand(calibrate::command())
        .subcommand(report::command())
}

fn dispatch(matches: &ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    match matches.subcommand() {
        Some(("load", matches)) => load::role::run_load(matches, &mut input, &mut output)?,
        Some(("idle", matches)) => load::role::run_idle(matches, &mut input, &mut output)?,
        Some(("partial", matches)) => load::role::run_partial(matches, &mut input, &mut output)?,
        Some(("grow", matches)) => load::role::run_grow(matches, &mut input, &mut output)?,
        Some(("expiry", matches)) => load::role::run_expiry(matches, &mut input, &mut output)?,
        Some(("snapshot", matches)) => load::role::run_snapshot(matches, &mut input, &mut output)?,
        Some(("limits", matches)) => load::role::run_limits(matches, &mut input, &mut output)?,
        Some(("commands", matches)) => load::role::run_commands(matches, &mut input, &mut output)?,
        Some(("bare", matches)) => bare::run(matches)?,
        Some(("launch", matches)) => return Err(launch::run(matches).into()),
        Some(("check", matches)) => calibrate::run(matches, &mut output)?,
        Some(("report", matches)) => report::run(matches)?,
        _ => return Ok(runner::run(&options::Options::read(matches)?)?),
    }
    Ok(ExitCode::SUCCESS)
}
