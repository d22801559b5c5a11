//! Soak: every kind of request and of fault for many minutes, then silence, and a look at what is left.
//!
//! In reading order: the [`server`] and how it is asked ([`peer`]), what all of the load share ([`ground`]) and what they
//! expect of counters ([`ledger`]), the load ([`actors`], [`faults`], [`operator`]), what is looked at meanwhile
//! ([`samples`]), what has to hold in the end ([`verdict`]), and what is kept of it ([`record`]).

mod actors;
mod faults;
mod ground;
mod ledger;
mod operator;
mod peer;
mod random;
mod record;
mod samples;
mod server;
mod verdict;

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command, value_parser};

use ground::Ground;
use peer::Peer;
use record::Run;
use samples::Sample;
use server::Server;
use verdict::Verdict;

use crate::launch;
use crate::machine::{self, Facts};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// How long everything may take to come back when the load has ended.
const RETURN: Duration = Duration::from_secs(30);

/// Minutes below which the record is none to keep.
const KEPT_FROM: f64 = 5.0;

/// Reads the command line, does as it says, and reports a failure on standard error.
pub(crate) fn main() -> ExitCode {
    // Cargo adds `--bench` to whatever the user said; `cargo test --all-targets` starts benches, too, and says nothing.
    let arguments: Vec<OsString> = std::env::args_os().filter(|argument| argument != "--bench").collect();
    if std::env::args_os().count() == 1 {
        println!("nothing asked: cargo bench --bench soak -- --help");
        return ExitCode::SUCCESS;
    }
    let matches = command().get_matches_from(arguments);
    let done = match matches.subcommand() {
        Some(("launch", matches)) => Err(launch::run(matches)),
        Some(("victim", matches)) => {
            let port = *matches.get_one::<u16>("port").expect("the port is required");
            faults::be_victim(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).map(|()| ExitCode::SUCCESS)
        }
        _ => soak(&matches),
    };
    done.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn command() -> Command {
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_parser(value_parser!(PathBuf)).help(help)
    };
    let victim = Command::new("victim").about("counts until it is killed");
    Command::new("soak")
        .about("a mixed load with faults for many minutes, and what is left when it ends")
        .arg(
            Arg::new("minutes")
                .long("minutes")
                .value_parser(value_parser!(f64))
                .default_value("20")
                .help("of load; growth of memory is judged from 20 on"),
        )
        .arg(
            Arg::new("engine")
                .long("engine")
                .value_parser(["uring", "epoll", "tokio-uring"])
                .default_value("uring")
                .help("of the server"),
        )
        .arg(path("binary", "the server; else the one that was built together with this"))
        .arg(path(
            "record",
            "where to make the record's directory (default: benches/record, if it is long enough)",
        ))
        .subcommand(launch::command())
        .subcommand(victim.arg(Arg::new("port").long("port").value_parser(value_parser!(u16)).required(true)))
}

fn soak(matches: &ArgMatches) -> io::Result<ExitCode> {
    let minutes = *matches.get_one::<f64>("minutes").expect("it has a default");
    let load = Duration::try_from_secs_f64(minutes * 60.0).map_err(io::Error::other)?;
    let engine: &String = matches.get_one("engine").expect("it has a default");
    let built = PathBuf::from(env!("CARGO_BIN_EXE_tallyring"));
    let binary = std::path::absolute(matches.get_one::<PathBuf>("binary").unwrap_or(&built))?;
    let mut machine = Facts::read(0, 0);
    let origin = (machine::today(), machine::commit());
    "not pinned".clone_into(&mut machine.pinning);
    let mut server = Server::start(&binary, engine)?;
    let mut peer = Peer::connect(server.address())?;
    actors::fill(&mut peer)?;
    operator::settle(&mut peer)?;
    let base = settled(&server, &mut peer, None)?;
    println!("{} keys; {} descriptors, {} operations armed", base.keys, base.descriptors, base.in_flight);
    let ground = Ground::new(server.address());
    let samples = run(&ground, load, &server, &mut peer);
    let mut verdicts = vec![verdict::slope(&samples, load.as_secs())];
    // Also where an actor gave up: what can still be looked at is.
    let ended = aftermath(&mut server, peer, &ground, &base);
    let mut troubles = ground.troubles();
    match ended {
        Ok(more) => verdicts.extend(more),
        Err(error) => troubles.push(format!("after the load: {error}")),
    }
    verdicts.extend(verdict::happened(&ground.counts, &troubles, &server.log()));
    let verdicts = &verdicts;
    let run = Run { minutes, engine, machine, origin, samples: &samples, counts: &ground.counts, verdicts };
    println!("{}", run.summary());
    println!("record: {}", run.write(&record_parent(matches, minutes))?.display());
    let missed = verdicts.iter().any(|verdict| verdict.met == Some(false));
    Ok(if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn record_parent(matches: &ArgMatches, minutes: f64) -> PathBuf {
    let default = if minutes < KEPT_FROM {
        let target = Path::new(env!("CARGO_BIN_EXE_tallyring")).ancestors().nth(2);
        target.expect("cargo puts binaries two levels below its target directory").join("bench-smoke")
    } else {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/record")
    };
    matches.get_one::<PathBuf>("record").cloned().unwrap_or(default)
}

/// The load, from its beginning to its end; what was looked at meanwhile.
fn run(ground: &Ground, load: Duration, server: &Server, peer: &mut Peer) -> Vec<Sample> {
    let start = Instant::now();
    let mut samples = Vec::new();
    thread::scope(|scope| {
        let act = |name: &'static str, actor: fn(&Ground) -> io::Result<()>| {
            scope.spawn(move || ground.act(name, actor));
        };
        act("counters", |ground| actors::count(ground, 0));
        act("counters", |ground| actors::count(ground, 1));
        act("bulk requests", actors::bulk);
        act("rows", actors::rows);
        act("expiring keys", actors::sessions);
        act("transactions and others", actors::several);
        act("visitors", faults::visit);
        act("slow readers", faults::leave_unread);
        act("slow readers", faults::leave_unread);
        act("killed clients", faults::kill_clients);
        act("operator", operator::operate);
        act("users", operator::users);
        while start.elapsed() < load && ground.goes_on(LOOK) {
            match Sample::take(start.elapsed().as_secs_f64(), server, peer) {
                Ok(sample) => samples.push(sample),
                Err(error) => ground.act("sampler", |_| Err(error)),
            }
            if let Some(last) = samples.last()
                && samples.len().is_multiple_of(60)
            {
                let mib = last.rss as f64 / f64::from(1 << 20);
                println!(
                    "{:.0} s: {mib:.1} MiB, {} commands, {} clients",
                    last.at_s, last.commands, last.clients
                );
            }
        }
        ground.stop();
    });
    samples
}

/// What is left when all clients are gone, and what a restart makes of it.
fn aftermath(
    server: &mut Server,
    mut peer: Peer,
    ground: &Ground,
    base: &Sample,
) -> io::Result<Vec<Verdict>> {
    operator::settle(&mut peer)?;
    let end = settled(server, &mut peer, Some(base))?;
    let mut verdicts = verdict::returned(base, &end);
    verdicts.push(verdict::counters("counters, as acknowledged", &ground.ledger.check(&mut peer)?));
    drop(peer);
    server.restart()?;
    let found = ground.ledger.check(&mut Peer::connect(server.address())?)?;
    verdicts.push(verdict::counters("counters after a restart", &found));
    Ok(verdicts)
}

/// How things stand once the journal is synced and whatever was begun is done: as they stood before, or as long as one
/// waits for that.
fn settled(server: &Server, peer: &mut Peer, base: Option<&Sample>) -> io::Result<Sample> {
    let start = Instant::now();
    let mut same = 0;
    let mut last = Sample::take(0.0, server, peer)?;
    loop {
        thread::sleep(Duration::from_millis(250));
        let now = Sample::take(0.0, server, peer)?;
        let kept = |sample: &Sample| {
            (sample.clients, sample.descriptors, sample.blocks_free, sample.in_flight, sample.lag)
        };
        // Before the load: when nothing has moved for two seconds.
        same = if kept(&now) == kept(&last) && now.lag == 0 { same + 1 } else { 0 };
        let done = base.map_or(same >= 8, |base| kept(base) == kept(&now));
        if done || start.elapsed() > RETURN {
            return Ok(now);
        }
        last = now;
    }
}
