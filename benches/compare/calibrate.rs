//! Checks the load generator against redis-benchmark: both ask the same redis-server, in turns.
//!
//! A generator slower than the tool that everyone knows would measure itself. Knows how redis-benchmark is called
//! and what it prints.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::contender::{REDIS, gather, on_path};
use super::launch;
use super::measure::{Load, fill, measure};
use super::options::{self, Options};
use super::plan::keys;
use super::row::Shape;
use super::runner::pin;
use super::server::Server;
use super::statistics::{paired_ratio, spread};

/// Shapes that are compared.
const SHAPES: [Shape; 2] = [Shape { connections: 50, depth: 64 }, Shape { connections: 50, depth: 1 }];

/// Least ratio of our throughput to redis-benchmark's that passes: above what noise explains.
const LEAST: f64 = 0.9;

/// Arguments of `check`.
pub(super) fn command() -> Command {
    Command::new("check")
        .about(
            "compares the load generator's throughput with redis-benchmark's, against the same redis-server",
        )
        .arg(Arg::new("turns").long("turns").value_parser(value_parser!(u8).range(1..)).default_value("5"))
        .arg(Arg::new("seconds").long("seconds").value_parser(value_parser!(f64)).default_value("1.5"))
}

/// Runs the check.
///
/// # Errors
/// If redis-server or redis-benchmark is not there or fails, or the generator is the slower one.
pub(super) fn run(matches: &ArgMatches, output: &mut dyn Write) -> Result<(), String> {
    let turns = *matches.get_one::<u8>("turns").expect("turns has a default");
    let seconds = *matches.get_one::<f64>("seconds").expect("seconds has a default");
    let benchmark = on_path("redis-benchmark").ok_or("redis-benchmark is not on PATH")?;
    let defaults = options::arguments(Command::new("compare")).get_matches_from(["compare"]);
    let options = Options::read(&defaults)?;
    let (redis, missing) = gather(&options, &[REDIS]);
    let [redis] = &redis[..] else { return Err(missing.into_iter().map(|missing| missing.why).collect()) };
    pin(options.load_core)?;
    let server = Server::start(redis, &[options.server_core])?;
    let keys = keys(options.effort);
    fill(&server, &[options.load_core], keys)?;
    let mut slow = false;
    for shape in SHAPES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for turn in 0..turns {
            let Shape { connections, depth } = shape;
            let seed = u64::from(turn);
            let mix = "incr".to_owned();
            let load = Load { mix, connections, depth, warm: 0.2, seconds, rate: None, keys, seed };
            let report = measure(&server, &[options.load_core], &load, || Ok(()), |(), _| Ok(()))?.report;
            let count = (report.rate * seconds).round();
            ours.push(report.rate);
            theirs.push(redis_benchmark(&benchmark, options.load_core, &server, shape, keys, count)?);
        }
        let ratio = paired_ratio(&ours, &theirs).ok_or("no turn was taken")?;
        let rate = |rates: &[f64]| spread(rates).map_or(0.0, |spread| spread.median);
        let line = format!(
            "INCR {shape}: ours {:.0}/s, redis-benchmark {:.0}/s, ratio {:.3} ({:.3} to {:.3})",
            rate(&ours),
            rate(&theirs),
            ratio.median,
            ratio.low,
            ratio.high
        );
        writeln!(output, "{line}").map_err(|error| error.to_string())?;
        slow |= ratio.median < LEAST;
    }
    if slow {
        Err(format!("the load generator does less than {LEAST} of redis-benchmark's rate"))
    } else {
        Ok(())
    }
}

/// Requests a second of one run of redis-benchmark.
fn redis_benchmark(
    benchmark: &Path,
    core: usize,
    server: &Server,
    shape: Shape,
    keys: u64,
    count: f64,
) -> Result<f64, String> {
    let text = format!(
        "-p {} -c {} -P {} -n {count:.0} -r {keys} --csv INCR views:article:__rand_int__",
        server.port, shape.connections, shape.depth
    );
    let output = launch::on_cores(&[core], benchmark)
        .and_then(|mut command| command.args(text.split(' ')).stdin(Stdio::null()).output())
        .map_err(|error| format!("redis-benchmark does not run: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    rate(&printed).ok_or_else(|| format!("redis-benchmark printed no rate: {printed}"))
}

/// The second column of the last line: `"INCR …","123456.78","0.2",…`.
fn rate(csv: &str) -> Option<f64> {
    let line = csv.lines().rfind(|line| line.starts_with('"'))?;
    line.split("\",\"").nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn the_rate_is_found() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"INCR views:article:__rand_int__\",\"1234567.89\",\"0.2\"\n";
        assert_eq!(rate(csv), Some(1_234_567.89));
        assert_eq!(rate("Could not connect"), None);
    }
}
