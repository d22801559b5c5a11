//! The load generator's command line, for people and for the harness.
//!
//! `load` prints a report; with `--handshake` it says `ready` after warming up, when no request is outstanding, and
//! starts measuring on the next line of its input, so that whoever asked can read the server's clocks in between.

use std::io::{BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::client::Clients;
use super::closed::{self, Goal, Outcome};
use super::mix::{Mix, Order, Source};
use super::open::{self, Arrivals, PUNCTUAL, Pace};
use super::report::{Latency, Own, Report, encoded};
use super::{
    Fault, commands, expiry, fault, grow, harm, idle, limits, nanos, partial, report_json, say, snapshot,
    stand_by,
};

/// Arguments of `load`.
pub(crate) fn load_command() -> Command {
    Command::new("load")
        .about("asks a server and reports rate and latencies")
        .arg(port())
        .args(NUMBERS.map(|(name, default, help)| {
            let range = value_parser!(u64).range(1..);
            Arg::new(name).long(name).value_parser(range).default_value(default).help(help)
        }))
        .args(TIMES.map(|(name, default, help)| {
            Arg::new(name).long(name).value_parser(value_parser!(f64)).default_value(default).help(help)
        }))
        .args(FLAGS.map(|(name, help)| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)))
        .arg(
            Arg::new("mix")
                .long("mix")
                .default_value("incr")
                .help("incr, get, set, ping, mget:n, mincrby:n, mset:n, articles:n and so on; a=3,b=1"),
        )
        .arg(
            Arg::new("operations")
                .long("operations")
                .value_parser(value_parser!(u64))
                .help("exactly this many"),
        )
        .arg(
            Arg::new("rate")
                .long("rate")
                .value_parser(value_parser!(f64))
                .help("requests a second; else all it takes"),
        )
        .arg(
            Arg::new("seed")
                .long("seed")
                .value_parser(value_parser!(u64))
                .help("of random keys and distances"),
        )
}

/// Numbers from 1: name, default, help.
const NUMBERS: [(&str, &str, &str); 3] = [
    ("connections", "50", "connections"),
    ("depth", "1", "requests in a pipeline; at a fixed rate they are due together"),
    ("keys", "1000000", "number of different keys"),
];

/// Seconds: name, default, help.
const TIMES: [(&str, &str, &str); 2] =
    [("seconds", "2", "how long to measure"), ("warm", "0.3", "how long to run before that")];

/// Flags: name, help.
const FLAGS: [(&str, &str); 4] = [
    ("sequential", "keys in order, not random"),
    ("uniform", "equal distances between requests, not exponential ones"),
    ("json", "report as one line of JSON"),
    ("handshake", "say ready when warm, start on a line"),
];

/// Arguments of `idle`.
pub(crate) fn idle_command() -> Command {
    Command::new("idle")
        .about("opens connections, asks once on each, says ready, holds them until a line arrives")
        .arg(port())
        .arg(natural("connections").default_value("9000"))
}

/// Arguments of `partial`.
pub(crate) fn partial_command() -> Command {
    Command::new("partial")
        .about("sends a large request on each connection but for its end, says how many bytes, holds until a line")
        .arg(port())
        .arg(natural("connections").default_value("50"))
        .arg(Arg::new("mix").long("mix").required(true).help("as for load"))
        .arg(natural("piece").help("bytes of one send; else as many as the socket takes"))
        .arg(natural("keys").default_value("1000000").help("number of different keys"))
        .arg(natural("seed").default_value("1").help("of random keys"))
}

/// Arguments of `grow`.
pub(crate) fn grow_command() -> Command {
    Command::new("grow")
        .about(
            "creates keys up to each of some numbers, a line each; holds the connections until one line more",
        )
        .arg(port())
        .arg(natural("connections").default_value("8"))
        .arg(natural("depth").default_value("1").help("requests in a pipeline"))
        .arg(
            Arg::new("mix")
                .long("mix")
                .required(true)
                .help("articles:n, days:n, words:n, timed:1, rows:1, …"),
        )
        .arg(natural("points").value_delimiter(',').required(true).help("numbers of keys to stop at"))
        .arg(natural("seed").default_value("1").help("of values"))
}

/// Arguments of `expiry`.
pub(crate) fn expiry_command() -> Command {
    Command::new("expiry")
        .about("creates keys whose deadlines fall together, and asks at a fixed rate before and until they are gone")
        .arg(port())
        .arg(whole("connections"))
        .arg(whole("keys").help("keys without a deadline"))
        .arg(whole("due").help("keys with one"))
        .arg(whole("spread").help("milliseconds that the deadlines are spread over"))
        .arg(whole("seed"))
        .arg(decimal("rate").help("INCR a second"))
        .arg(decimal("creating").help("seconds that creating may take"))
        .arg(decimal("quiet").help("seconds before the first deadline, at least"))
        .arg(decimal("limit").help("seconds after it, at most"))
}

/// Arguments of `snapshot`.
pub(crate) fn snapshot_command() -> Command {
    Command::new("snapshot")
        .about("asks at a fixed rate before, while and after the server writes a snapshot")
        .arg(port())
        .arg(whole("connections"))
        .arg(whole("keys").help("keys, all of which exist"))
        .arg(whole("seed"))
        .arg(process())
        .arg(decimal("rate").help("INCR a second"))
        .arg(decimal("quiet").help("seconds before the snapshot"))
        .arg(decimal("limit").help("seconds that it may take"))
}

/// Arguments of `limits`.
pub(crate) fn limits_command() -> Command {
    Command::new("limits")
        .about("asks at a fixed rate, first alone and then beside clients that do harm")
        .arg(port())
        .arg(whole("connections"))
        .arg(whole("keys").help("keys, all of which exist"))
        .arg(whole("seed"))
        .arg(process())
        .arg(Arg::new("harm").long("harm").value_parser(harm::Kind::parse).required(true))
        .arg(whole("crowd").help("connections of the harm"))
        .arg(Arg::new("bare").long("bare").action(ArgAction::SetTrue).help("the server is a bare loop"))
        .arg(decimal("rate").help("INCR a second"))
        .arg(decimal("quiet").help("seconds before the harm"))
        .arg(decimal("disturbed").help("seconds of it"))
}

/// Arguments of `commands`.
pub(crate) fn commands_command() -> Command {
    Command::new("commands")
        .about("asks one request of every command, so often, on one connection, and says how long each takes")
        .arg(port())
        .arg(natural("repetitions").required(true))
        .arg(natural("seed").required(true).help("of the keys"))
}

fn port() -> Arg {
    Arg::new("port")
        .long("port")
        .value_parser(value_parser!(u16))
        .required(true)
        .help("of the server, on loopback")
}

/// A number from 1.
fn natural(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_parser(value_parser!(u64).range(1..))
}

/// A number that has to be given.
fn whole(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_parser(value_parser!(u64)).required(true)
}

/// The same, with a fraction.
fn decimal(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_parser(value_parser!(f64)).required(true)
}

fn process() -> Arg {
    Arg::new("pid").long("pid").value_parser(value_parser!(u32)).required(true).help("of the server")
}

/// Loopback, with the port that was given.
fn address(matches: &ArgMatches) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, *matches.get_one::<u16>("port").expect("the port is required")))
}

/// Runs `idle`.
///
/// # Errors
/// See [`idle::hold`].
pub(crate) fn run_idle(
    matches: &ArgMatches,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    idle::hold(address(matches), count(matches, "connections"), input, output)
}

/// Runs `partial`.
///
/// # Errors
/// See [`partial::hold`].
pub(crate) fn run_partial(
    matches: &ArgMatches,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let mix: &String = matches.get_one("mix").expect("the mix is required");
    let asked = partial::Asked {
        mix: mix.parse().map_err(|error: String| fault(&error))?,
        connections: count(matches, "connections"),
        piece: matches.contains_id("piece").then(|| count(matches, "piece")),
        keys: number(matches, "keys"),
        seed: number(matches, "seed"),
    };
    partial::hold(address(matches), &asked, input, output)
}

/// Runs `grow`.
///
/// # Errors
/// See [`grow::hold`].
pub(crate) fn run_grow(
    matches: &ArgMatches,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let mix: &String = matches.get_one("mix").expect("the mix is required");
    let mix: Mix = mix.parse().map_err(|error: String| fault(&error))?;
    let asked = grow::Asked {
        kind: mix.single().ok_or_else(|| fault("one kind of request creates keys, not a mix"))?,
        connections: count(matches, "connections"),
        depth: count(matches, "depth"),
        points: matches.get_many("points").expect("points are required").copied().collect(),
        seed: number(matches, "seed"),
    };
    grow::hold(address(matches), &asked, input, output)
}

/// Runs `expiry`.
///
/// # Errors
/// See [`expiry::watch`].
pub(crate) fn run_expiry(
    matches: &ArgMatches,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let asked = expiry::Asked {
        connections: count(matches, "connections"),
        rate: real(matches, "rate"),
        keys: number(matches, "keys"),
        due: number(matches, "due"),
        spread_ms: number(matches, "spread"),
        creating: time(matches, "creating")?,
        quiet: time(matches, "quiet")?,
        limit: time(matches, "limit")?,
        seed: number(matches, "seed"),
    };
    expiry::watch(address(matches), &asked, input, output)
}

/// Runs `snapshot`.
///
/// # Errors
/// See [`snapshot::watch`].
pub(crate) fn run_snapshot(
    matches: &ArgMatches,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let asked = snapshot::Asked {
        connections: count(matches, "connections"),
        rate: real(matches, "rate"),
        keys: number(matches, "keys"),
        pid: *matches.get_one("pid").expect("the process is required"),
        quiet: time(matches, "quiet")?,
        limit: time(matches, "limit")?,
        seed: number(matches, "seed"),
    };
    snapshot::watch(address(matches), &asked, input, output)
}

/// Runs `limits`.
///
/// # Errors
/// See [`limits::watch`].
pub(crate) fn run_limits(
    matches: &ArgMatches,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let asked = limits::Asked {
        connections: count(matches, "connections"),
        rate: real(matches, "rate"),
        keys: number(matches, "keys"),
        pid: *matches.get_one("pid").expect("the process is required"),
        harm: *matches.get_one("harm").expect("the harm is required"),
        crowd: count(matches, "crowd"),
        bare: matches.get_flag("bare"),
        quiet: time(matches, "quiet")?,
        disturbed: time(matches, "disturbed")?,
        seed: number(matches, "seed"),
    };
    limits::watch(address(matches), &asked, input, output)
}

/// Runs `commands`.
///
/// # Errors
/// See [`commands::time`].
pub(crate) fn run_commands(
    matches: &ArgMatches,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    commands::time(address(matches), (number(matches, "repetitions"), number(matches, "seed")), input, output)
}

/// Runs `load`: warm-up, then the measured part, then the report.
///
/// # Errors
/// Faults of the run, and arguments that make no sense together.
pub(crate) fn run_load(
    matches: &ArgMatches,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let asked = Asked::read(matches)?;
    let order = if matches.get_flag("sequential") { Order::Sequential } else { Order::Random };
    let mut source = Source::new(asked.mix.clone(), asked.keys, order, asked.seed);
    let mut clients = Clients::connect(address(matches), asked.connections)?;
    if !asked.warm.is_zero() {
        asked.once(&mut clients, &mut source, Goal::Time(asked.warm))?;
    }
    if matches.get_flag("handshake") {
        stand_by(input, output)?;
    }
    let own = Own::now();
    let named = source.keys_named();
    let outcome = asked.once(&mut clients, &mut source, asked.goal)?;
    let report = asked.report(&outcome, source.keys_named() - named, own.elapsed());
    if matches.get_flag("json") { report_json(output, &report) } else { say(output, &report.to_string()) }
}

/// The arguments of a run, checked.
struct Asked {
    mix: Mix,
    keys: u64,
    connections: usize,
    depth: usize,
    warm: Duration,
    goal: Goal,
    pace: Option<Pace>,
    seed: u64,
}

impl Asked {
    fn read(matches: &ArgMatches) -> Result<Self, Fault> {
        let mix: &String = matches.get_one("mix").expect("mix has a default");
        let seconds = |name: &str| {
            let seconds = real(matches, name);
            let sane = (0.0..=3600.0).contains(&seconds);
            sane.then(|| Duration::from_secs_f64(seconds)).ok_or_else(|| fault("times are 0 to 3600 seconds"))
        };
        let seed = matches.get_one("seed").copied().unwrap_or_else(fresh_seed);
        let arrivals = if matches.get_flag("uniform") { Arrivals::Uniform } else { Arrivals::Poisson };
        let pace = match matches.get_one::<f64>("rate").copied() {
            Some(rate) if !(1.0..=1e8).contains(&rate) => {
                return Err(fault("a rate is 1 to 100 million a second"));
            }
            rate => rate.map(|rate| Pace { rate, arrivals, seed: seed ^ 1 }),
        };
        let goal = match matches.get_one::<u64>("operations") {
            Some(_) if pace.is_some() => return Err(fault("a fixed rate runs for a time, not for a count")),
            Some(&operations) => Goal::Operations(operations),
            None => Goal::Time(seconds("seconds")?),
        };
        Ok(Self {
            mix: mix.parse().map_err(|error: String| fault(&error))?,
            keys: number(matches, "keys"),
            connections: count(matches, "connections"),
            depth: count(matches, "depth"),
            warm: seconds("warm")?,
            goal,
            pace,
            seed,
        })
    }

    fn once(&self, clients: &mut Clients, source: &mut Source, goal: Goal) -> Result<Outcome, Fault> {
        match (self.pace, goal) {
            (Some(pace), Goal::Time(time)) => open::run(clients, source, pace, self.depth, time),
            (None, _) | (_, Goal::Operations(_)) => closed::run(clients, source, self.depth, goal),
        }
    }

    fn report(&self, outcome: &Outcome, keys_named: u64, busy: Duration) -> Report {
        let seconds = outcome.time.as_secs_f64();
        let rate = outcome.operations as f64 / seconds;
        let kept_up =
            outcome.late.as_ref().is_none_or(|late| late.value_at_quantile(0.99) <= nanos(PUNCTUAL));
        Report {
            mix: self.mix.to_string(),
            connections: self.connections,
            depth: self.depth,
            keys: self.keys,
            seed: self.seed,
            operations: outcome.operations,
            keys_named,
            seconds,
            asked_rate: self.pace.map(|pace| pace.rate),
            rate,
            latency: Latency::of(&outcome.latency),
            histogram: self.pace.and_then(|_| encoded(&outcome.latency)),
            late: outcome.late.as_ref().map(Latency::of),
            kept_up,
            generator_load: busy.as_secs_f64() / seconds,
            generator_rss: crate::procfs::rss_bytes(std::process::id()).unwrap_or(0),
        }
    }
}

fn number(matches: &ArgMatches, name: &str) -> u64 {
    *matches.get_one(name).expect("numbers have defaults or are required")
}

fn count(matches: &ArgMatches, name: &str) -> usize {
    usize::try_from(number(matches, name)).expect("a usize has 64 bits here")
}

fn real(matches: &ArgMatches, name: &str) -> f64 {
    *matches.get_one(name).expect("numbers have defaults or are required")
}

fn time(matches: &ArgMatches, name: &str) -> Result<Duration, Fault> {
    Duration::try_from_secs_f64(real(matches, name)).map_err(|error| fault(&error.to_string()))
}

fn fresh_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, nanos)
}
