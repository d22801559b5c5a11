//! A disk without space: who writes is told so, nothing else changes, and it ends by itself.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::place::{Place, Volume, can_mount, run};
use crate::server::{Engine, Server, wait_until};

/// Refusals in a row after which nothing is under way any more: what was written makes room for a little more.
const LAST: u32 = 10;

/// Writes until that is refused for good, with a request that asks for less space than all that come after. Returns what `n`
/// holds by what was acknowledged.
fn write_until_refused(client: &mut Client, cause: &str) -> i64 {
    let refusal = format!("-MISCONF Errors writing to the AOF file: {cause}");
    let (mut sum, mut refusals) = (0, 0);
    while refusals < LAST {
        client.send_words("INCR n");
        let line = client.line();
        if let Some(digits) = line.strip_prefix(':') {
            sum += 1;
            refusals = 0;
            assert_eq!(digits, sum.to_string());
        } else {
            refusals += 1;
            assert_eq!(line, refusal);
            thread::sleep(Duration::from_millis(20));
        }
    }
    sum
}

/// What holds while there is no space.
fn check_refusals(server: &Server, sum: i64, cause: &str) {
    let refused = format!("MISCONF Errors writing to the AOF file: {cause}");
    let mut client = server.connect();
    let shown = format!("${}\r\n{sum}\r\n", sum.to_string().len());
    client.ask_words("GET n", &shown);
    client.talk(&format!("> SET s new\n< -{refused}\n> GET s\n< $3\n< old\n> MINCRBY n 1 m 1\n< -{refused}"));
    client.talk(&format!("> DEL s another\n< -{refused}\n> FLUSHALL SYNC\n< -{refused}\n> STRLEN s\n< :3"));
    client.talk(&format!(
        "> MULTI\n< +OK\n> GET n\n< +QUEUED\n> INCRBY n 1\n< -{refused}\n> EXEC\n< -EXECABORT Transaction discarded because \
         of previous errors."
    ));
    let long = "x".repeat(300_000);
    client.ask(&["SET", "s", &long], format!("-{refused}\r\n"));
    client.talk("> GET short\n< $-1\n> EXISTS short\n< :0\n> PING\n< +PONG");
    client.ask_words("GET n", &shown);
}

/// There is space again: writes go on by themselves, and nothing was lost over it.
fn check_return(engine: Engine, server: Server, flags: &[&str], mut sum: i64) {
    let began = Instant::now();
    let mut client = server.connect();
    wait_until("writes are served again", || {
        client.send_words("INCRBY n 3");
        client.line().starts_with(':')
    });
    sum += 3;
    eprintln!("writes were served again after {:?}", began.elapsed());
    client.ask_words("INCRBY n 0", format!(":{sum}\r\n"));
    drop(server);
    let server = Server::with_flags(engine, flags);
    server.connect().ask_words("INCRBY n 0", format!(":{sum}\r\n"));
    server.connect().talk("> GET s\n< $3\n< old\n> GET short\n< $-1");
}

/// Prepares a key with a value, one that passes away, and a transaction that is still to be executed.
fn prepare(server: &Server) -> Client {
    let mut waiting = server.connect();
    waiting.talk("> SET s old\n< +OK\n> SET short v PX 1000\n< +OK\n> MULTI\n< +OK\n> SET s queued\n< +QUEUED\n> INCR n\n< +QUEUED");
    waiting
}

fn check_waiting(mut waiting: Client, server: &Server, cause: &str) {
    waiting.ask_words(
        "EXEC",
        format!(
            "-EXECABORT Transaction discarded because of: MISCONF Errors writing to the AOF file: {cause}\r\n"
        ),
    );
    let mut client = server.connect();
    wait_until("a deadline passes", || {
        client.send_words("EXISTS short");
        client.integer() == 0
    });
}

fn a_full_disk(engine: Engine, mode: &str) {
    if !can_mount("a full file system") {
        return;
    }
    const CAUSE: &str = "No space left on device";
    let mut volume = Volume::new(96);
    let dir = volume.dir();
    let flags = ["--dir", &dir, "--appendfsync", mode];
    let server = Server::with_flags(engine, &flags);
    let waiting = prepare(&server);
    volume.fill();
    let sum = write_until_refused(&mut server.connect(), CAUSE);
    check_waiting(waiting, &server, CAUSE);
    check_refusals(&server, sum, CAUSE);
    volume.free();
    check_return(engine, server, &flags, sum);
}

/// The next file may not be as long as this one is: as it is with a quota.
fn a_bound_of_file_sizes(engine: Engine, mode: &str) {
    const CAUSE: &str = "File too large";
    let place = Place::new();
    let dir = place.dir();
    let flags = ["--dir", &dir, "--appendfsync", mode];
    let server = Server::with_flags(engine, &flags);
    let waiting = prepare(&server);
    let pid = server.pid().expect("it is ours").to_string();
    run("prlimit", &["--pid", &pid, "--fsize=1048575:"]);
    let sum = write_until_refused(&mut server.connect(), CAUSE);
    check_waiting(waiting, &server, CAUSE);
    check_refusals(&server, sum, CAUSE);
    run("prlimit", &["--pid", &pid, "--fsize=unlimited:"]);
    check_return(engine, server, &flags, sum);
}

/// A file may never be as long as it has to be: said at the start, and no signal.
fn a_bound_that_no_file_fits(engine: Engine) {
    let place = Place::new();
    let dir = place.dir();
    let socket = format!("{dir}/socket");
    let mut bounded = Command::new("prlimit");
    bounded.args(["--fsize=500000", env!("CARGO_BIN_EXE_tallyring"), "--engine", engine.name()]);
    bounded.args([
        "--dir",
        &dir,
        "--admin-port",
        "0",
        "--port",
        "0",
        "--unixsocket",
        &socket,
        "--journal-segment-size",
        "1mb",
    ]);
    let done = bounded.output().expect("prlimit is part of every system");
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{}\n{said}", done.status);
    assert!(said.contains("cannot begin the journal") && said.contains("File too large"), "{said}");
}

fn a_full_disk_with_a_sync_for_each_reply(engine: Engine) {
    a_full_disk(engine, "always");
}

fn a_full_disk_with_a_sync_each_second(engine: Engine) {
    a_full_disk(engine, "everysec");
}

fn a_full_disk_without_syncs(engine: Engine) {
    a_full_disk(engine, "no");
}

fn a_bound_of_file_sizes_with_a_sync_for_each_reply(engine: Engine) {
    a_bound_of_file_sizes(engine, "always");
}

fn a_bound_of_file_sizes_with_a_sync_each_second(engine: Engine) {
    a_bound_of_file_sizes(engine, "everysec");
}

fn a_bound_of_file_sizes_without_syncs(engine: Engine) {
    a_bound_of_file_sizes(engine, "no");
}

on_both_engines!(
    a_bound_that_no_file_fits,
    a_full_disk_with_a_sync_for_each_reply,
    a_full_disk_with_a_sync_each_second,
    a_full_disk_without_syncs,
    a_bound_of_file_sizes_with_a_sync_for_each_reply,
    a_bound_of_file_sizes_with_a_sync_each_second,
    a_bound_of_file_sizes_without_syncs,
);
