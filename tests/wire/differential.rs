//! Random streams of requests, sent to this server and to Redis: every reply has to be the same, byte for byte.
//!
//! Where time is told, a little of it may lie between the two. A stream that shows a difference is shrunk, and shown
//! with the seed that leads to it again. These tests need a Redis and are ignored without being asked for, so that
//! nobody takes them for passed; asked for without a Redis, they fail.
//!
//! ```text
//! TALLYRING_REDIS=/usr/bin/redis-server cargo test --test wire differential:: -- --ignored
//! ```
//!
//! | variable | meaning |
//! |---|---|
//! | `TALLYRING_REDIS` | the program to compare with, Redis 7.0 |
//! | `TALLYRING_DIFFERENTIAL_SECONDS` | how long each engine is compared for, 5 without it |
//! | `TALLYRING_DIFFERENTIAL_SEED` | this seed alone, once |

mod agree;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::client::{Client, escape, request};
use crate::server::{Engine, Server};

use agree::Asked;
pub(crate) use agree::TIMES;
pub(crate) use stream::{CLIENTS, Request, Step, floats, stream};

/// Stamps the comparison on an engine.
macro_rules! compare {
    ($module:ident, $engine:ident) => {
        mod $module {
            #[test]
            #[ignore = "compares with a live Redis: set TALLYRING_REDIS and run with --ignored"]
            fn replies_are_those_of_redis() {
                let engine = crate::server::Engine::$engine;
                if engine.is_expected() {
                    super::compare(engine);
                }
            }

            #[test]
            #[ignore = "compares with a live Redis: set TALLYRING_REDIS and run with --ignored"]
            fn categories_are_those_of_redis() {
                let engine = crate::server::Engine::$engine;
                if engine.is_expected() {
                    super::compare_categories(engine);
                }
            }
        }
    };
}

#[cfg(feature = "uring")]
compare!(uring, Uring);
#[cfg(feature = "uring")]
compare!(uring_fixed, UringFixed);
#[cfg(feature = "tokio-uring")]
compare!(tokio_uring, TokioUring);
#[cfg(feature = "epoll")]
compare!(epoll, Epoll);

/// Replays of a failing stream while it is shrunk.
const REPLAYS: usize = 400;

/// The program to compare with.
pub(crate) fn redis() -> String {
    env::var("TALLYRING_REDIS").expect("TALLYRING_REDIS names the redis-server to compare with")
}

fn compare(engine: Engine) {
    let reference = Server::reference(&redis());
    // As large as Redis' values may be.
    let server = Server::with_flags(engine, &["--proto-max-bulk-len", "512mb"]);
    let number = |name: &str| {
        env::var(name).ok().map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    if let Some(seed) = number("TALLYRING_DIFFERENTIAL_SEED") {
        return check(&server, &reference, seed);
    }
    let seconds = number("TALLYRING_DIFFERENTIAL_SECONDS").unwrap_or(5);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    let mut seed = u64::try_from(since.as_nanos() & u128::from(u32::MAX)).expect("32 bits");
    println!("seeds from {seed}");
    let began = Instant::now();
    let mut streams = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        check(&server, &reference, seed);
        seed += 1;
        streams += 1;
    }
    println!("{streams} streams in {seconds} s");
}

/// Of the commands that both have, each category has the same ones: what `+@read -@dangerous` means rests on that.
fn compare_categories(engine: Engine) {
    let servers = [Server::start(engine), Server::reference(&redis())];
    let [ours, theirs] = servers.each_ref().map(|server| {
        let mut client = server.connect();
        let mut names = |words: &str| -> BTreeSet<String> {
            client.send_words(words);
            let reply = String::from_utf8(client.reply()).expect("names are ASCII");
            reply.lines().filter(|line| !line.starts_with(['*', '$'])).map(str::to_owned).collect()
        };
        let categories = names("ACL CAT");
        categories
            .into_iter()
            .map(|category| {
                let names = names(&format!("ACL CAT {category}"));
                (category, names)
            })
            .collect::<BTreeMap<_, _>>()
    });
    assert!(ours.keys().eq(theirs.keys()), "{:?} and {:?}", ours.keys(), theirs.keys());
    let all = |categories: &BTreeMap<String, BTreeSet<String>>| -> BTreeSet<String> {
        categories.values().flatten().cloned().collect()
    };
    let both: BTreeSet<String> = all(&ours).intersection(&all(&theirs)).cloned().collect();
    assert!(both.len() > 120, "{both:?}");
    for (category, names) in &ours {
        let of_both = |names: &BTreeSet<String>| names.intersection(&both).cloned().collect::<Vec<_>>();
        assert_eq!(of_both(names), of_both(&theirs[category]), "@{category}, ours and theirs");
    }
}

/// Compares the replies to one seed's stream.
fn check(server: &Server, reference: &Server, seed: u64) {
    let steps = stream(seed);
    let Err(difference) = replay(server, reference, &steps) else { return };
    let (steps, difference) = shrink(server, reference, steps, difference);
    let mut session = String::new();
    for step in &steps {
        writeln!(session, "  {step}").expect("a string can be written to");
    }
    panic!("TALLYRING_DIFFERENTIAL_SEED={seed}\n{session}{difference}");
}

/// Leaves out what the difference does not need: half of the steps, a quarter, … single requests of a pipeline.
fn shrink(
    server: &Server,
    reference: &Server,
    mut steps: Vec<Step>,
    mut difference: String,
) -> (Vec<Step>, String) {
    let mut replays = 0;
    let mut chunk = steps.len();
    while chunk > 0 && replays < REPLAYS {
        let mut at = 0;
        while at < steps.len() && replays < REPLAYS {
            let mut fewer = steps.clone();
            fewer.drain(at..steps.len().min(at + chunk));
            replays += 1;
            match replay(server, reference, &fewer) {
                Err(still) => (steps, difference) = (fewer, still),
                Ok(()) => at += chunk,
            }
        }
        chunk /= 2;
    }
    let single = |step: Step| match step {
        Step::Ask(client, pipeline) => {
            pipeline.into_iter().map(|request| Step::Ask(client, vec![request])).collect()
        }
        Step::Sleep(_) => vec![step],
    };
    let apart: Vec<Step> = steps.iter().cloned().flat_map(single).collect();
    if apart.len() > steps.len()
        && replays < REPLAYS
        && let Err(still) = replay(server, reference, &apart)
    {
        return shrink(server, reference, apart, still);
    }
    (steps, difference)
}

/// Empties both servers and sends both the same. `Err` tells of the first difference.
fn replay(server: &Server, reference: &Server, steps: &[Step]) -> Result<(), String> {
    let open = |server: &Server| -> Vec<Client> {
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
        clients[0].ask(&["FLUSHALL"], "+OK\r\n");
        clients
    };
    let (mut ours, mut theirs) = (open(server), open(reference));
    let mut asked: Vec<Asked> = (0..CLIENTS).map(|_| Asked::default()).collect();
    for step in steps {
        match step {
            Step::Sleep(ms) => thread::sleep(Duration::from_millis(*ms)),
            Step::Ask(client, pipeline) => {
                let wire: Vec<u8> = pipeline.iter().flat_map(|it| request(it)).collect();
                for side in [&mut ours[*client], &mut theirs[*client]] {
                    side.send(&wire);
                }
                for words in pipeline {
                    let (is, should) = (ours[*client].reply(), theirs[*client].reply());
                    if !asked[*client].agrees(words, &is, &should) {
                        return Err(format!(
                            "  to     {}\n  is     {}\n  redis  {}",
                            stream::shown(words),
                            escape(&is),
                            escape(&should)
                        ));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Every command has a place in the streams, or is named as one that has none.
#[test]
fn every_shared_command_is_compared() {
    for command in tallyring::command::lookup::visible() {
        let compared = stream::names().any(|name| name.eq_ignore_ascii_case(command.name));
        let exempt = stream::NOT_COMPARED.contains(&command.name);
        assert!(
            compared != exempt,
            "{}: add it to tests/wire/differential/stream.rs, or to NOT_COMPARED there",
            command.name
        );
    }
}
