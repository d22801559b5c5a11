//! `MONITOR`: what is shown, in which order, and to whom not.

use std::os::unix::net::UnixStream;
use std::thread;

use crate::client::Client;
use crate::memory::figure;
use crate::server::{Engine, Server, wait_until};

on_every_engine![
    what_is_executed_is_shown,
    what_is_refused_or_for_the_operator_is_not_shown,
    credentials_are_not_shown,
    transactions_are_shown_as_they_are_executed,
    a_monitor_keeps_off_the_keys,
    a_monitor_ends,
    a_monitor_is_marked_and_killed,
    clients_of_the_unix_socket_are_shown_by_its_path,
    nothing_is_missing_and_time_never_steps_back,
    a_monitor_that_does_not_read_is_closed,
];

/// A server with so many workers, and a connection that monitors.
fn monitored(engine: Engine, threads: &str) -> (Server, Client) {
    let server = Server::with_flags(engine, &["--threads", threads]);
    let monitor = monitor(&server);
    (server, monitor)
}

fn monitor(server: &Server) -> Client {
    let mut monitor = server.connect();
    monitor.talk("> MONITOR\n< +OK");
    monitor
}

/// The next line: microseconds since the Unix epoch, the client's address, and the request.
#[track_caller]
fn next(monitor: &mut Client) -> (u64, String, String) {
    let line = monitor.line();
    let parse = |line: &str| {
        let (time, rest) = line.strip_prefix('+')?.split_once(" [0 ")?;
        let (address, request) = rest.split_once("] ")?;
        let (seconds, micros) = time.split_once('.').filter(|(_, micros)| micros.len() == 6)?;
        let time = seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?;
        Some((time, address.to_owned(), request.to_owned()))
    };
    parse(&line).unwrap_or_else(|| panic!("this is no line of a monitor: {line:?}"))
}

/// The next lines show these requests.
#[track_caller]
fn expect(monitor: &mut Client, requests: &[&str]) {
    for request in requests {
        assert_eq!(next(monitor).2, *request);
    }
}

/// A word as it is shown.
fn quoted(words: &str) -> String {
    words.split(' ').map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" ")
}

fn what_is_executed_is_shown(engine: Engine) {
    for threads in ["1", "2"] {
        let (server, mut monitor) = monitored(engine, threads);
        let mut client = server.connect();
        client.talk("> SET n 5\n< +OK\n> GeT n\n< $1\n< 5");
        let (time, address, request) = next(&mut monitor);
        let own = client.tcp().local_addr().expect("a connected socket has an address");
        assert_eq!((address, request), (own.to_string(), quoted("SET n 5")));
        assert!(time > 1_700_000_000_000_000, "{time} is this century's");
        expect(&mut monitor, &[&quoted("GeT n")]);
        client.send(b"*2\r\n$4\r\nECHO\r\n$12\r\na b\x00\xff\n\r\t\x07\x08\"\\\r\n");
        client.reply();
        expect(&mut monitor, &[r#""ECHO" "a b\x00\xff\n\r\t\a\b\"\\""#]);
        // What fails was executed.
        client.talk("> SET text abc\n< +OK\n> INCR text\n< -ERR value is not an integer or out of range");
        expect(&mut monitor, &[&quoted("SET text abc"), &quoted("INCR text")]);
        client.send("ping \"a b\"\r\n");
        client.expect("$3\r\na b\r\n");
        expect(&mut monitor, &[r#""ping" "a b""#]);
    }
}

fn what_is_refused_or_for_the_operator_is_not_shown(engine: Engine) {
    let (server, mut monitor) = monitored(engine, "2");
    let mut client = server.connect();
    client.talk(
        "> NOSUCH
         < -ERR unknown command 'NOSUCH', with args beginning with:\x20
         > GET
         < -ERR wrong number of arguments for 'get' command
         > MONITOR again
         < -ERR wrong number of arguments for 'monitor' command
         > CONFIG SET timeout 0
         < +OK
         > CONFIG RESETSTAT
         < +OK
         > CLIENT KILL TYPE replica
         < :0
         > CLIENT NO-EVICT off
         < +OK
         > CLIENT SETNAME me
         < +OK
         > QUIT
         < +OK",
    );
    expect(&mut monitor, &[&quoted("CLIENT SETNAME me"), &quoted("QUIT")]);
}

fn credentials_are_not_shown(engine: Engine) {
    let (server, mut monitor) = monitored(engine, "1");
    let mut client = server.connect();
    client.talk("> AUTH default sesame\n< +OK");
    client.send_words("AUTH sesame");
    client.reply();
    client.send_words("HELLO 2 AUTH default sesame SETNAME me");
    client.reply();
    expect(
        &mut monitor,
        &[
            r#""AUTH" "(redacted)" "(redacted)""#,
            r#""AUTH" "(redacted)""#,
            r#""HELLO" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "me""#,
        ],
    );
}

fn transactions_are_shown_as_they_are_executed(engine: Engine) {
    let (server, mut monitor) = monitored(engine, "2");
    let mut client = server.connect();
    client.talk(
        "> MULTI
         < +OK
         > INCR n
         < +QUEUED
         > MONITOR
         < +QUEUED
         > GET n
         < +QUEUED
         > EXEC
         < *3
         < :1
         < -ERR MONITOR isn't allowed for DENY BLOCKING client
         < $1
         < 1
         > MULTI
         < +OK
         > INCR n
         < +QUEUED
         > DISCARD
         < +OK
         > MULTI
         < +OK
         > EXEC now
         < -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command
         > EXEC
         < -ERR EXEC without MULTI",
    );
    for request in ["MULTI", "INCR n", "GET n", "EXEC", "MULTI", "DISCARD", "MULTI", "EXEC now", "EXEC"] {
        expect(&mut monitor, &[&quoted(request)]);
    }
}

fn a_monitor_keeps_off_the_keys(engine: Engine) {
    const KEPT_OFF: &str = "-ERR Replica can't interact with the keyspace\r\n";
    let (_server, mut monitor) = monitored(engine, "2");
    monitor.talk("> PING\n< +PONG");
    expect(&mut monitor, &[&quoted("PING")]);
    for words in ["GET n", "SET n 1", "INCR n", "DBSIZE", "KEYS *"] {
        monitor.ask_words(words, KEPT_OFF);
    }
    // The second time it says nothing.
    monitor.send_words("MONITOR");
    monitor.talk("> ECHO x\n< $1\n< x");
    expect(&mut monitor, &[&quoted("ECHO x")]);
}

fn a_monitor_ends(engine: Engine) {
    let (server, mut watcher) = monitored(engine, "2");
    let mut client = server.connect();
    watcher.talk("> RESET\n< +RESET\n> SET n 1\n< +OK");
    client.talk("> SET n 2\n< +OK");
    watcher.talk("> GET n\n< $1\n< 2\n> MONITOR\n< +OK");
    client.talk("> SET n 3\n< +OK");
    expect(&mut watcher, &[&quoted("SET n 3")]);
    watcher.talk("> QUIT\n< +OK");
    watcher.expect_closed();
    let gone = monitor(&server);
    gone.reset();
    client.talk("> SET n 4\n< +OK");
    let mut other = monitor(&server);
    client.talk("> SET n 5\n< +OK");
    expect(&mut other, &[&quoted("SET n 5")]);
}

fn a_monitor_is_marked_and_killed(engine: Engine) {
    let (server, mut monitor) = monitored(engine, "2");
    let mut client = server.connect();
    client.send_words("CLIENT LIST");
    let list = client.text();
    let marked = list.lines().filter(|line| line.contains(" flags=O ") && line.contains(" cmd=monitor "));
    assert_eq!(marked.count(), 1, "{list}");
    client.talk("> CLIENT KILL TYPE normal\n< :1");
    monitor.expect_closed();
}

fn clients_of_the_unix_socket_are_shown_by_its_path(engine: Engine) {
    let server = Server::with_flags(engine, &["--unixsocket", "s"]);
    let mut monitor = monitor(&server);
    let socket = UnixStream::connect(server.dir().join("s")).expect("the server listens there");
    Client::over_unix(socket).talk("> PING\n< +PONG");
    let (_, address, request) = next(&mut monitor);
    assert_eq!((address.as_str(), request), ("unix:s", quoted("PING")));
}

/// Connections that write at the same time, and requests of each.
const CLIENTS: usize = 4;
const REQUESTS: usize = 2_000;

fn nothing_is_missing_and_time_never_steps_back(engine: Engine) {
    let (server, mut monitor) = monitored(engine, "2");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut client = server.connect();
            thread::spawn(move || {
                for round in 0..REQUESTS / 20 {
                    let requests: String =
                        (0..20).map(|at| format!("ECHO {number}-{}\r\n", round * 20 + at)).collect();
                    client.send(requests);
                    for _ in 0..20 {
                        client.text();
                    }
                }
            })
        })
        .collect();
    let (mut last, mut seen) = (0, [0; CLIENTS]);
    for _ in 0..CLIENTS * REQUESTS {
        let (time, _, request) = next(&mut monitor);
        assert!(time >= last, "{request} at {time} comes behind {last}");
        last = time;
        let place =
            request.strip_prefix("\"ECHO\" \"").and_then(|rest| rest.strip_suffix('"')?.split_once('-'));
        let (number, at) = place.unwrap_or_else(|| panic!("nobody has sent {request}"));
        let number: usize = number.parse().expect("clients are numbered");
        assert_eq!(at.parse(), Ok(seen[number]), "client {number}");
        seen[number] += 1;
    }
    for client in clients {
        client.join().expect("no client failed");
    }
}

fn a_monitor_that_does_not_read_is_closed(engine: Engine) {
    let (server, _monitor) = monitored(engine, "2");
    let mut client = server.connect();
    client.talk("> CONFIG SET client-output-buffer-limit \"normal 1mb 0 0\"\n< +OK");
    let value = "x".repeat(16 * 1024);
    wait_until("the monitor is closed", || {
        for _ in 0..64 {
            client.ask(&["SET", "n", &value], "+OK\r\n");
        }
        figure(&mut client, "connected_clients") == 1
    });
}
