//! Runs the recorded protocol cases: hostile or unusual input, and what Redis 7.0.15 answers to it, byte for byte.
//!
//! `tests/protocol-cases.jsonl` holds one case a line. Each is delivered whole, cut in two, and byte by byte, with
//! one outcome. `case` knows the format, `play` delivers, and here the cases are dealt out to threads, each with
//! servers of its own.

mod case;
mod play;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::json;

use self::case::Case;
use self::play::{knows, play, still_serves};
use crate::server::{Engine, Server, is_foreign, is_shared};

on_every_engine![
    recorded_cases_are_answered_as_recorded,
    a_client_that_never_reads_is_played,
    wrong_outcomes_are_noticed,
];

/// Cases that need a command of a later version. They are sent all the same, and must leave the server serving. One
/// that passes, or whose command there is, must be taken off.
const NOT_YET: &[(&str, &str)] = &[];

/// Threads that work through the cases side by side.
const LANES: usize = 4;

/// Cases on record. A run of fewer would say less than it seems to.
const CASES: usize = 125;

const RECORDED: &str = include_str!("../protocol-cases.jsonl");

/// What is wrong with a case as a whole: its failures, or that it is listed as not yet possible and should not be.
fn judge(case: &Case, server: &Server) -> Vec<String> {
    let failures = play(case, server);
    let Some((id, command)) = NOT_YET.iter().find(|(id, _)| *id == case.id && !is_foreign()) else {
        return failures;
    };
    let mut found: Vec<String> = still_serves(case, server).err().into_iter().collect();
    match knows(case, server, command) {
        Ok(false) => {}
        Ok(true) => {
            found.push(format!("{id} is on NOT_YET for want of {command}, which there is: {failures:?}"))
        }
        Err(error) => found.push(error),
    }
    if failures.is_empty() {
        found.push(format!("{id} passes: take it off NOT_YET, where it stands for want of {command}"));
    }
    found
}

/// A server for this case: one that was started for the same directives, or a new one.
fn server_for<'s>(
    case: &Case,
    engine: Engine,
    servers: &'s mut BTreeMap<BTreeMap<String, String>, Server>,
) -> &'s Server {
    servers.entry(case.config.clone()).or_insert_with(|| {
        if case.config.is_empty() {
            return Server::start(engine);
        }
        let flags = case.flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Server::with_flags(engine, &flags)
    })
}

fn recorded_cases_are_answered_as_recorded(engine: Engine) {
    let cases: Vec<Case> = RECORDED.lines().map(Case::read).collect();
    assert!(cases.len() >= CASES, "{} cases are left of {CASES}", cases.len());
    for (id, command) in NOT_YET {
        assert!(cases.iter().any(|case| case.id == *id), "NOT_YET names {id}, which is no case");
        eprintln!("NOT YET: case {id} needs {command}; it must only leave the server serving");
    }
    // The slowest first: those that play one delivery after another.
    let mut queue: Vec<&Case> = cases.iter().collect();
    queue.sort_by_key(|case| std::cmp::Reverse((!case.stands_alone(), case.deliveries().len())));
    let queue = Mutex::new(VecDeque::from(queue));
    let failures = Mutex::new(Vec::new());
    let lanes = if is_shared() { 1 } else { LANES };
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                let mut servers = BTreeMap::new();
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(case) = next else { return };
                    let found = judge(case, server_for(case, engine, &mut servers));
                    failures.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Plays a case that is not on record.
fn play_own(engine: Engine, case: &serde_json::Value) -> Vec<String> {
    let case = Case::read(&case.to_string());
    play(&case, server_for(&case, engine, &mut BTreeMap::new()))
}

/// The format knows clients that never read, though no recorded case has one.
fn a_client_that_never_reads_is_played(engine: Engine) {
    let echo = format!("*2\r\n$4\r\nECHO\r\n$10000\r\n{}\r\n", "v".repeat(10_000));
    let mut case = json!({
        "id": "own-1", "group": "own", "title": "replies that nobody takes, above the limit", "match": "exact",
        "config": { "client-output-buffer-limit": "normal 4mb 0 0" }, "setup": [["SET", "k", "1"]],
        // Far more than the limit and the sockets hold together.
        "send": [{ "repeat": [echo, 4000] }], "read": false, "expect": "", "conn": "closed",
        "then": [["GET", "k"], "$1\r\n1\r\n"], "rss_max_kb": 3 * 4096,
    });
    assert_eq!(play_own(engine, &case), Vec::<String>::new());
    case["conn"] = json!("open");
    assert_eq!(play_own(engine, &case).len(), 1, "it is noticed that the connection was closed");
    case["send"] = json!([{ "repeat": ["PING\r\n", 10] }]);
    assert_eq!(play_own(engine, &case), Vec::<String>::new());
}

/// The runner itself is no rubber stamp: what is not as a case says is a failure, whatever way it was delivered.
fn wrong_outcomes_are_noticed(engine: Engine) {
    let right = json!({
        "id": "own-2", "group": "own", "title": "a runner that sees", "setup": [], "send": "INCR n\r\n", "match": "exact",
        "expect": ":1\r\n", "conn": "open", "then": [["GET", "n"], "$1\r\n1\r\n"], "rss_max_kb": 1024,
    });
    assert_eq!(play_own(engine, &right), Vec::<String>::new());
    for (field, wrong) in [
        ("expect", json!(":2\r\n")),
        ("expect", json!("")),
        ("probe", json!("+GNOP\r\n")),
        ("then", json!([["GET", "n"], "$1\r\n2\r\n"])),
        ("send", json!("INCR n\r\nINCR n\r\n")),
        ("send", json!("INCR n\r\nQUIT\r\n")),
        ("setup", json!([["SET", "n", "1"]])),
        ("setup", json!([["NOSUCH"]])),
    ] {
        let mut case = right.clone();
        case[field] = wrong.clone();
        if field != "send" {
            case["send"] = json!("INCR n\n");
        }
        let found = play_own(engine, &case);
        assert!(!found.is_empty(), "{field}: {wrong} was taken for right");
    }
    let together = json!({
        "id": "own-3", "group": "own", "title": "the same for deliveries under way together", "send": "PING\n",
        "match": "exact", "expect": "+PONG\r\n", "conn": "open", "rss_max_kb": 1024,
    });
    assert_eq!(play_own(engine, &together), Vec::<String>::new());
    for (field, wrong) in [
        ("expect", json!("")),
        ("expect", json!("+GNOP\r\n")),
        ("probe", json!("+GNOP\r\n")),
        ("send", json!("PING\nPING\n")),
        ("send", json!("QUIT\n")),
    ] {
        let mut case = together.clone();
        case[field] = wrong.clone();
        let found = play_own(engine, &case);
        assert!(!found.is_empty(), "{field}: {wrong} was taken for right, all at once");
    }
}
