//! Everything that is refused is counted, by its kind, and nothing else is.

use std::collections::BTreeMap;

use crate::client::{Arrival, Client, request};
use crate::introspection::info;
use crate::server::{Engine, PATIENCE, Server, wait_until};

on_every_engine![
    bytes_that_are_no_request_are_counted,
    requests_that_reach_no_command_are_counted,
    strangers_are_counted,
    limits_are_counted,
    idle_connections_are_counted,
];

/// Kinds that have been refused, and how often.
fn refused(client: &mut Client) -> BTreeMap<String, u64> {
    let all = info(client, &["refusals"]);
    let kinds = all.into_iter().map(|(kind, count)| (kind, count.parse().expect("a count is a number")));
    kinds.filter(|(_, count)| *count > 0).collect()
}

/// Nothing but these has been refused since the start. A count may take a moment to be there for all to see.
#[track_caller]
fn expect_refused(client: &mut Client, expected: &[(&str, u64)]) {
    let expected: BTreeMap<String, u64> =
        expected.iter().map(|(kind, count)| (format!("refused_{kind}"), *count)).collect();
    let mut last = BTreeMap::new();
    wait_until(&format!("these are counted: {expected:?}"), || {
        last = refused(client);
        last == expected
            || last.iter().any(|(kind, count)| expected.get(kind).is_none_or(|most| count > most))
    });
    assert_eq!(last, expected);
}

/// Sends what ends a connection with this error.
#[track_caller]
fn expect_error(server: &Server, bytes: &str, error: &str) {
    let mut client = server.connect();
    client.send(bytes);
    client.expect(format!("-ERR Protocol error: {error}\r\n"));
    client.expect_closed();
}

fn bytes_that_are_no_request_are_counted(engine: Engine) {
    let server = Server::with_flags(engine, &["--proto-max-bulk-len", "1mb"]);
    let mut witness = server.connect();
    witness.ask(&["PING"], "+PONG\r\n");
    expect_refused(&mut witness, &[]);
    expect_error(&server, "*x\r\n", "invalid multibulk length");
    expect_error(&server, "*2147483648\r\n", "invalid multibulk length");
    expect_error(&server, "*2\r\n$3\r\nGET\r\n$-1\r\n", "invalid bulk length");
    expect_error(&server, "*2\r\n$3\r\nGET\r\n$1048577\r\n", "invalid bulk length");
    expect_error(&server, "*2\r\n$3\r\nSET\r\n$x\r\n", "invalid bulk length");
    expect_error(&server, "*1\r\n:4\r\n", "expected '$', got ':'");
    expect_error(&server, "GET \"a\r\n", "unbalanced quotes in request");
    expect_error(&server, &"x".repeat(70_000), "too big inline request");
    expect_error(&server, &format!("*{}", "1".repeat(70_000)), "too big mbulk count string");
    let expected = [("multibulk_length", 2), ("bulk_length", 3), ("malformed", 4)];
    expect_refused(&mut witness, &expected);
    witness.ask(&["CONFIG", "RESETSTAT"], "+OK\r\n");
    expect_refused(&mut witness, &[]);
}

fn requests_that_reach_no_command_are_counted(engine: Engine) {
    let server = Server::with_flags(engine, &[]);
    let mut client = server.connect();
    client.send(request(&["NOSUCH"]).repeat(5));
    (0..5).for_each(|_| assert!(client.line().starts_with("-ERR unknown command")));
    client.send(request(&["CLIENT", "NOSUCH"]));
    assert!(client.line().starts_with("-ERR unknown subcommand"));
    client.send(request(&["GET"]).repeat(3));
    (0..3).for_each(|_| assert!(client.line().starts_with("-ERR wrong number of arguments")));
    client.send(request(&["INCR", &"k".repeat(64 * 1024 + 1)]));
    assert!(client.line().starts_with("-ERR key is too long"));
    // The same of requests that are too large to be held.
    for (name, counted) in [("NOSUCH", "unknown command"), ("GET", "wrong number of arguments")] {
        client.send(request(&[name].into_iter().chain([&"a".repeat(1000)[..]; 200]).collect::<Vec<_>>()));
        assert!(client.line().contains(counted));
    }
    let mut long = server.connect();
    let keys = [&"a".repeat(1000), &"a".repeat(1000), &"k".repeat(64 * 1024 + 1)];
    let mut exists = vec!["EXISTS"; 1];
    exists.extend((0..200).map(|n| keys[usize::from(n == 150) * 2].as_str()));
    let _closed_meanwhile = long.try_send(request(&exists));
    assert!(long.line().starts_with("-ERR key is too long"));
    long.expect_closed();
    // Errors of a command that was reached are none of these.
    client.send([request(&["SET", "text", "a"]), request(&["INCR", "text"])].concat());
    client.expect("+OK\r\n-ERR value is not an integer or out of range\r\n");
    expect_refused(&mut client, &[("unknown_command", 7), ("arity", 4), ("long_key", 2)]);
}

fn strangers_are_counted(engine: Engine) {
    let server = Server::with_flags(engine, &["--requirepass", "sesame"]);
    let mut witness = server.connect();
    witness.ask(&["AUTH", "sesame"], "+OK\r\n");
    // Whoever looked whether the server was up is a stranger, too.
    witness.ask(&["CONFIG", "RESETSTAT"], "+OK\r\n");
    let mut stranger = server.connect();
    stranger.send([request(&["GET", "a"]), request(&["INFO"]), request(&["HELLO", "3"])].concat());
    (0..3).for_each(|_| assert!(stranger.line().starts_with("-NOAUTH ")));
    stranger
        .send([request(&["AUTH", "wrong"]), request(&["HELLO", "3", "AUTH", "default", "wrong"])].concat());
    (0..2).for_each(|_| assert!(stranger.line().starts_with("-WRONGPASS ")));
    expect_error(&server, "*11\r\n", "unauthenticated multibulk length");
    expect_error(&server, "*2\r\n$4\r\nAUTH\r\n$16385\r\n", "unauthenticated bulk length");
    let argument = "v".repeat(16 * 1024);
    let mut greedy = server.connect();
    let whole = request(&["SET", &argument, &argument]);
    greedy.send(&whole[..whole.len() - 3]);
    greedy.expect("-ERR Protocol error: unauthenticated request is too long\r\n");
    greedy.expect_closed();
    let expected = [("unauthenticated", 3), ("wrong_password", 2), ("unauthenticated_size", 3)];
    expect_refused(&mut witness, &expected);
    let stats = info(&mut witness, &["stats"]);
    assert_eq!(stats.get("acl_access_denied_auth").map(String::as_str), Some("2"), "as Redis names it");
}

fn limits_are_counted(engine: Engine) {
    let flags = ["--maxclients", "3", "--client-query-buffer-limit", "1mb"];
    let flags = [&flags[..], &["--client-output-buffer-limit", "normal", "1mb", "0", "0"]].concat();
    let server = Server::with_flags(engine, &flags);
    let mut witness = server.connect();
    witness.ask(&["SET", "k", &"v".repeat(900_000)], "+OK\r\n");
    let others = [(); 2].map(|()| {
        let mut other = server.connect();
        other.ask(&["PING"], "+PONG\r\n");
        other
    });
    for _ in 0..4 {
        let mut refused = server.connect();
        refused.expect("-ERR max number of clients reached\r\n");
        refused.expect_closed();
    }
    let [mut greedy, mut mute] = others;
    // All-or-nothing, so it would have to be held whole; the server may close while it is still being sent.
    let mset: Vec<String> =
        std::iter::once("MSET".to_owned()).chain((0..40_000).map(|n| format!("{n:0100}"))).collect();
    let _closed_meanwhile = greedy.try_send(request(&mset));
    while let Arrival::Bytes = greedy.receive(PATIENCE) {}
    let said = String::from_utf8_lossy(&greedy.take()).into_owned();
    assert_eq!(said, "-ERR Protocol error: request is larger than client-query-buffer-limit\r\n");
    let _closed_meanwhile = mute.try_send(request(&["GET", "k"]).repeat(100));
    let expected = [("maxclients", 4), ("query_buffer", 1), ("output_buffer", 1)];
    expect_refused(&mut witness, &expected);
    let stats = info(&mut witness, &["stats"]);
    for (field, count) in [
        ("rejected_connections", "4"),
        ("client_query_buffer_limit_disconnections", "1"),
        ("client_output_buffer_limit_disconnections", "1"),
    ] {
        assert_eq!(stats.get(field).map(String::as_str), Some(count), "{field}");
    }
}

fn idle_connections_are_counted(engine: Engine) {
    let server = Server::with_flags(engine, &["--timeout", "1"]);
    let mut idle: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    idle.iter_mut().for_each(|client| client.ask(&["PING"], "+PONG\r\n"));
    idle.iter_mut().for_each(Client::expect_closed);
    let mut witness = server.connect();
    let counted = refused(&mut witness).get("refused_idle").copied();
    assert_eq!(counted, Some(3));
}
