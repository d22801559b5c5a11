//! Clients that end in the wrong place: half-closed, reset, in the midst of a request or of the replies.

use std::fmt::Write;

use super::{Belongings, memory};
use crate::client::{Arrival, Client, bulk, request};
use crate::server::{Engine, PATIENCE, Server, wait_until};

on_every_engine![
    half_closed_with_replies_unsent,
    half_closed_amid_a_request,
    half_closed_and_never_read,
    reset_amid_a_command,
    reset_with_replies_unsent,
    reset_amid_a_streamed_request,
    reset_while_a_request_streams,
    broken_amid_a_streamed_request,
];

/// The end of the stream comes while the replies to what was sent before still wait for the client.
fn half_closed_with_replies_unsent(engine: Engine) {
    const REPLIES: usize = 60;
    let server = Server::with_flags(engine, &[]);
    let mut witness = server.connect();
    let value = "v".repeat(500_000);
    witness.ask(&["SET", "k", &value], "+OK\r\n");
    let before = Belongings::of(&server, &mut witness);
    let mut client = server.connect();
    client.send(request(&["GET", "k"]).repeat(REPLIES));
    client.send(request(&["INCR", "last"]));
    client.half_close();
    // 30 MB are more than the sockets hold: the server has seen the end, and the replies are with it.
    for n in 1..=100 {
        witness.ask(&["INCR", "quick"], format!(":{n}\r\n"));
    }
    let reply = bulk(&value);
    (0..REPLIES).for_each(|_| client.follow(&reply, |_| {}));
    client.expect(":1\r\n");
    client.expect_closed();
    before.expect_back(&server, &mut witness);
}

/// A server with one client, and what it has in use then. `k` holds so many bytes, if any.
fn at_rest(engine: Engine, bytes: Option<usize>) -> (Server, Client, Belongings) {
    let server = Server::with_flags(engine, &[]);
    let mut witness = server.connect();
    match bytes {
        Some(bytes) => witness.ask(&["SET", "k", &"v".repeat(bytes)], "+OK\r\n"),
        None => witness.ask(&["PING"], "+PONG\r\n"),
    }
    let before = Belongings::of(&server, &mut witness);
    (server, witness, before)
}

fn half_closed_amid_a_request(engine: Engine) {
    let (server, mut witness, before) = at_rest(engine, None);
    let last = request(&["INCRBY", "partial", "12"]);
    for cut in 1..last.len() {
        let mut client = server.connect();
        client.send([&request(&["INCR", "whole"]), &last[..cut]].concat());
        client.half_close();
        client.expect(format!(":{cut}\r\n"));
        client.expect_closed();
    }
    witness.ask(&["EXISTS", "partial"], ":0\r\n");
    before.expect_back(&server, &mut witness);
}

/// Nobody takes the replies, and nobody will: the client's end is all that is left to see, and its reset ends it.
fn half_closed_and_never_read(engine: Engine) {
    let (server, mut witness, before) = at_rest(engine, Some(500_000));
    let base = memory(&server);
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let mut client = server.connect();
            client.send(request(&["GET", "k"]).repeat(40));
            client.half_close();
            client
        })
        .collect();
    witness.ask(&["INCR", "quick"], ":1\r\n");
    crowd.into_iter().for_each(|client| client.reset());
    before.expect_back(&server, &mut witness);
    // Blocks of replies that are kept for reuse, 4 MiB, and what the allocator does not give back of the others.
    wait_until("the replies' memory is given back", || memory(&server).saturating_sub(base) < 16 * 1024);
}

fn reset_amid_a_command(engine: Engine) {
    let (server, mut witness, before) = at_rest(engine, None);
    let last = request(&["INCRBY", "partial", "12"]);
    for cut in 1..last.len() {
        let mut client = server.connect();
        client.ask(&["INCR", "whole"], format!(":{cut}\r\n"));
        client.send(&last[..cut]);
        client.reset();
    }
    witness.ask(&["EXISTS", "partial"], ":0\r\n");
    before.expect_back(&server, &mut witness);
}

fn reset_with_replies_unsent(engine: Engine) {
    let (server, mut witness, before) = at_rest(engine, Some(500_000));
    for round in 1..=20 {
        let mut client = server.connect();
        client.send(request(&["INCR", "n"]));
        client.send(request(&["GET", "k"]).repeat(40));
        // The first replies are here, so the others are on their way.
        client.expect(format!(":{round}\r\n$500000\r\n"));
        client.reset();
        witness.ask(&["GET", "n"], bulk(round.to_string()));
    }
    before.expect_back(&server, &mut witness);
}

/// Pairs that a streamed request declares, and those that arrive.
const PAIRS: usize = 40_000;
const ARRIVING: usize = 25_000;

/// A request that counts each of `PAIRS` keys once, cut off behind the pair of number `ARRIVING`.
fn torn_request() -> String {
    let mut request = format!("*{}\r\n$7\r\nMINCRBY\r\n", 2 * PAIRS + 1);
    for n in 0..ARRIVING {
        let key = format!("n:{n}");
        write!(request, "${}\r\n{key}\r\n$1\r\n1\r\n", key.len()).expect("memory takes it");
    }
    request
}

/// Each key that arrived was counted once, and the log says how many arguments that were.
#[track_caller]
fn expect_counted_once(server: &Server) {
    let mut witness = server.connect();
    let mut mget = vec!["MGET".to_owned()];
    mget.extend((0..PAIRS).map(|n| format!("n:{n}")));
    witness.send(request(&mget));
    witness.expect(format!("*{PAIRS}\r\n"));
    witness.follow(
        ["$1\r\n1\r\n".repeat(ARRIVING), "$-1\r\n".repeat(PAIRS - ARRIVING)].concat().as_bytes(),
        |_| {},
    );
    let (executed, declared) = ((2 * ARRIVING).to_string(), (2 * PAIRS).to_string());
    wait_until(&format!("the log says that {executed} of {declared} arguments were executed"), || {
        let log = server.output();
        let numbers = |line: &str| -> Vec<String> {
            line.split(|sign: char| !sign.is_ascii_digit()).map(str::to_owned).collect()
        };
        log.lines().filter(|line| line.contains("mincrby")).any(|line| {
            let numbers = numbers(line);
            numbers.contains(&executed) && numbers.contains(&declared)
        })
    });
}

fn reset_amid_a_streamed_request(engine: Engine) {
    let (server, mut witness, before) = at_rest(engine, None);
    let mut client = server.connect();
    // The next key and half of its delta come along, and change nothing.
    client.send([&torn_request(), "$5\r\nn:odd\r\n$1"].concat());
    client.expect(format!("*{PAIRS}\r\n"));
    client.follow(":1\r\n".repeat(ARRIVING).as_bytes(), |_| {});
    client.reset();
    before.expect_back(&server, &mut witness);
    expect_counted_once(&server);
}

/// The reset comes while the request is on its way: what had arrived counts, from the first key on, and once.
fn reset_while_a_request_streams(engine: Engine) {
    let (server, mut witness, before) = at_rest(engine, None);
    let torn = torn_request();
    for (percent, replies) in [(20, 0), (31, 1), (52, 1000), (73, 7000), (99, 20_000)] {
        let mut client = server.connect();
        client.send(&torn[..torn.len() * percent / 100]);
        client.expect(format!("*{PAIRS}\r\n"));
        client.follow(":1\r\n".repeat(replies).as_bytes(), |_| {});
        client.reset();
        before.expect_back(&server, &mut witness);
        witness.send(request(&["DBSIZE"]));
        let counted = usize::try_from(witness.integer()).expect("a number of keys is not negative");
        assert!((replies..=ARRIVING).contains(&counted), "{counted} keys after {replies} replies were read");
        let keys: Vec<String> = (0..ARRIVING).map(|n| format!("n:{n}")).collect();
        witness.send(request(
            &std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect::<Vec<_>>(),
        ));
        witness.expect(format!("*{ARRIVING}\r\n"));
        let values = ["$1\r\n1\r\n".repeat(counted), "$-1\r\n".repeat(ARRIVING - counted)].concat();
        witness.follow(values.as_bytes(), |_| {});
        witness.ask(&["FLUSHALL"], "+OK\r\n");
    }
}

fn broken_amid_a_streamed_request(engine: Engine) {
    let (server, mut witness, before) = at_rest(engine, None);
    let mut client = server.connect();
    client.send([&torn_request(), "$5\r\nn:odd\r\n:1\r\n$1\r\n1\r\n"].concat());
    client.expect(format!("*{PAIRS}\r\n"));
    client.follow(":1\r\n".repeat(ARRIVING).as_bytes(), |_| {});
    let error = client.line();
    assert!(error.starts_with("-ERR Protocol error: expected '$', got ':'"), "{error}");
    client.expect_closed();
    drop(client);
    before.expect_back(&server, &mut witness);
    expect_counted_once(&server);
    witness.ask(&["EXISTS", "n:odd"], ":0\r\n");
    // A client that is still sending when the error leaves gets it all the same.
    let mut talker = server.connect();
    let _closed_meanwhile = talker.try_send([&torn_request(), "oops\r\n", &"x".repeat(1 << 20)].concat());
    while let Arrival::Bytes = talker.receive(PATIENCE) {}
    let replies = talker.take();
    let tail = String::from_utf8_lossy(&replies[replies.len().saturating_sub(200)..]).into_owned();
    assert!(tail.contains("-ERR Protocol error: expected '$', got 'o'"), "it ends in {tail:?}");
}
