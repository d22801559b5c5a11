//! A bound of file sizes that is lowered below where the journal is being written: it waits for the bound to be raised, and
//! meanwhile nothing is changed of which nobody may be told.

use std::time::{Duration, Instant};

use crate::client::{Arrival, Client, request};
use crate::place::{Place, run};
use crate::server::{Engine, Server, wait_until};

const REFUSED: &str = "-MISCONF Errors writing to the AOF file: File too large";

/// Bytes that a file may have meanwhile.
const BOUND: usize = 64 * 1024;

fn set_bound(server: &Server, bound: &str) {
    let pid = server.pid().expect("it is ours").to_string();
    run("prlimit", &["--pid", &pid, &format!("--fsize={bound}:")]);
}

/// Texts of ten thousand bytes that together are twice the bound.
const TEXTS: usize = 2 * BOUND / 10_000;

/// Writes so much that the journal's file is written to behind the bound.
fn go_past_the_bound(client: &mut Client) {
    let text = "t".repeat(10_000);
    for number in 0..TEXTS {
        client.ask(&["SET", &format!("text:{number}"), &text], "+OK\r\n");
    }
}

/// Whether the server has found that it cannot write.
fn is_blocked(server: &Server) -> bool {
    server.output().contains("there is no space for the journal: File too large")
}

/// Increments until the server finds that it cannot write: what `n` is by then, and the connection whose increment waits, if
/// one does. It is neither lost nor acknowledged.
fn write_until_blocked(server: &Server, mut n: i64) -> (i64, Option<Client>) {
    loop {
        let mut client = server.connect();
        client.send(request(&["INCR", "n"]));
        while let Arrival::Nothing = client.receive(Duration::from_millis(10)) {
            if is_blocked(server) {
                return (n + 1, Some(client));
            }
        }
        let line = client.line();
        if line == REFUSED {
            return (n, None);
        }
        n += 1;
        assert_eq!(line, format!(":{n}"));
    }
}

fn a_lowered_bound(engine: Engine, mode: &str) {
    let place = Place::new();
    let dir = place.dir();
    let flags = ["--dir", &dir, "--appendfsync", mode];
    let server = Server::with_flags(engine, &flags);
    let mut client = server.connect();
    go_past_the_bound(&mut client);
    client.talk("> SAVE\n< +OK\n> SET s old\n< +OK");
    set_bound(&server, &BOUND.to_string());
    let (n, waiting) = write_until_blocked(&server, 0);
    wait_until("the server says what it waits for", || is_blocked(&server));
    // Long and short, they are refused at once; others are served.
    let long = "l".repeat(300_000);
    for words in [
        &["INCR", "other"][..],
        &["SET", "s", "new"],
        &["SET", "s", &long],
        &["DEL", "s"],
        &["COPY", "s", "t"],
    ] {
        client.ask(words, format!("{REFUSED}\r\n"));
    }
    client.talk("> PING\n< +PONG\n> MULTI\n< +OK");
    client.ask(&["INCR", "other"], format!("{REFUSED}\r\n"));
    client.talk("> EXEC\n< -EXECABORT Transaction discarded because of previous errors.");
    // What does not depend on a change that waits is shown.
    let shown = (0..TEXTS).any(|number| {
        let mut reader = server.connect();
        reader.send(request(&["STRLEN", &format!("text:{number}")]));
        !matches!(reader.receive(Duration::from_millis(500)), Arrival::Nothing) && reader.line() == ":10000"
    });
    assert!(shown, "reads are served");
    // A snapshot fails, and leaves nothing behind.
    client.send(request(&["SAVE"]));
    let saved = client.line();
    assert!(saved.starts_with("-ERR"), "{saved}");
    assert!(server.pid().is_some() && !names(&place).iter().any(|name| name.ends_with(".part")));
    set_bound(&server, "unlimited");
    let began = Instant::now();
    wait_until("writes are served again", || {
        client.send(request(&["INCR", "other"]));
        client.line() == ":1"
    });
    assert!(began.elapsed() < Duration::from_secs(2), "served again after {:?}", began.elapsed());
    if let Some(mut waiting) = waiting {
        waiting.expect(format!(":{n}\r\n"));
    }
    client.talk("> SAVE\n< +OK\n> GET s\n< $3\n< old");
    client.ask(&["SET", "long", &long], "+OK\r\n");
    client.ask_words("INCRBY n 0", format!(":{n}\r\n"));
    drop(server);
    let server = Server::with_flags(engine, &flags);
    let mut client = server.connect();
    client.ask_words("INCRBY n 0", format!(":{n}\r\n"));
    client.talk("> GET s\n< $3\n< old\n> GET other\n< $1\n< 1\n> STRLEN long\n< :300000\n> EXISTS t\n< :0");
}

/// The process dies while it waits: what was acknowledged is in the ring, or was never acknowledged.
fn a_death_below_a_lowered_bound(engine: Engine, mode: &str) {
    let place = Place::new();
    let dir = place.dir();
    let flags = ["--dir", &dir, "--appendfsync", mode];
    let server = Server::with_flags(engine, &flags);
    let mut client = server.connect();
    go_past_the_bound(&mut client);
    set_bound(&server, &BOUND.to_string());
    let (n, waiting) = write_until_blocked(&server, 0);
    drop(server);
    let server = Server::with_flags(engine, &flags);
    let mut client = server.connect();
    client.send(request(&["INCRBY", "n", "0"]));
    let found = client.integer();
    let acknowledged = n - i64::from(waiting.is_some());
    assert!(found == acknowledged || found == n, "{found} were found, and {acknowledged} acknowledged");
}

fn names(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.data()).expect("it is there");
    entries.map(|entry| entry.expect("it is there").file_name().to_string_lossy().into_owned()).collect()
}

fn a_lowered_bound_with_a_sync_for_each_reply(engine: Engine) {
    a_lowered_bound(engine, "always");
}

fn a_lowered_bound_with_a_sync_each_second(engine: Engine) {
    a_lowered_bound(engine, "everysec");
}

fn a_lowered_bound_without_syncs(engine: Engine) {
    a_lowered_bound(engine, "no");
}

fn a_death_below_a_lowered_bound_with_a_sync_for_each_reply(engine: Engine) {
    a_death_below_a_lowered_bound(engine, "always");
}

fn a_death_below_a_lowered_bound_with_a_sync_each_second(engine: Engine) {
    a_death_below_a_lowered_bound(engine, "everysec");
}

fn a_death_below_a_lowered_bound_without_syncs(engine: Engine) {
    a_death_below_a_lowered_bound(engine, "no");
}

on_both_engines!(
    a_lowered_bound_with_a_sync_for_each_reply,
    a_lowered_bound_with_a_sync_each_second,
    a_lowered_bound_without_syncs,
    a_death_below_a_lowered_bound_with_a_sync_for_each_reply,
    a_death_below_a_lowered_bound_with_a_sync_each_second,
    a_death_below_a_lowered_bound_without_syncs,
);
