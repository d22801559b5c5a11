//! `maxmemory`: what is refused when it is reached, what goes to make room; and keys that go by themselves.

use crate::client::{Client, request};
use crate::introspection::info;
use crate::server::{Engine, Server, wait_until};

on_every_engine![
    commands_that_need_memory_are_refused,
    transactions_that_need_memory_are_refused_whole,
    transactions_are_not_queued_without_memory,
    the_key_with_the_nearest_deadline_goes_first,
    keys_go_away_without_being_touched,
];

/// To what may need memory where there is none.
pub(crate) const REFUSED: &str = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";

/// A field of `INFO` that is a number.
pub(crate) fn figure(client: &mut Client, name: &str) -> u64 {
    info(client, &[])[name].parse().expect("it is a number")
}

fn set_most(client: &mut Client, bytes: u64) {
    client.ask(&["CONFIG", "SET", "maxmemory", &bytes.to_string()], "+OK\r\n");
}

fn commands_that_need_memory_are_refused(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk("> SET n 5\n< +OK\n> HSET h f 1\n< :1\n> SET gone 1\n< +OK");
    set_most(&mut client, 1);
    for request in [
        "SET n 6",
        "INCR n",
        "DECRBY n 2",
        "INCRBYFLOAT n 1",
        "MSET a 1",
        "APPEND n 1",
        "SETRANGE n 0 1",
        "GETSET n 1",
        "HSET h f 2",
        "HINCRBY h f 1",
        "COPY n m",
    ] {
        client.ask_words(request, REFUSED);
    }
    client.talk(
        "> GET n
         < $1
         < 5
         > HGET h f
         < $1
         < 1
         > DEL gone
         < :1
         > EXPIRE n 100
         < :1
         > PERSIST n
         < :1
         > RENAME n m
         < +OK
         > HDEL h f
         < :1
         > PING
         < +PONG",
    );
    set_most(&mut client, 0);
    client.talk("> INCR m\n< :6");
    // The bound counts what is used: with room above it, commands go on.
    let used = figure(&mut client, "used_memory");
    set_most(&mut client, used + 64 * 1024 * 1024);
    client.talk("> INCR m\n< :7");
}

fn transactions_that_need_memory_are_refused_whole(engine: Engine) {
    let server = Server::start(engine);
    let (mut client, mut operator) = (server.connect(), server.connect());
    client.talk("> SET n 5\n< +OK\n> MULTI\n< +OK\n> INCR n\n< +QUEUED\n> GET n\n< +QUEUED");
    set_most(&mut operator, 1);
    client.talk(
        "> EXEC
         < -EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.
         > EXEC
         < -ERR EXEC without MULTI
         > MULTI
         < +OK
         > INCR n
         < -OOM command not allowed when used memory > 'maxmemory'.
         > EXEC
         < -EXECABORT Transaction discarded because of previous errors.
         > EXEC
         < -ERR EXEC without MULTI",
    );
    set_most(&mut operator, 0);
    // What reads alone is executed, if it was queued before.
    client.talk("> MULTI\n< +OK\n> GET n\n< +QUEUED");
    set_most(&mut operator, 1);
    client.talk("> EXEC\n< *1\n< $1\n< 5");
}

fn transactions_are_not_queued_without_memory(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk("> SET n 5\n< +OK");
    set_most(&mut client, 1);
    // Whatever it is, it would take memory until `EXEC`.
    for words in [
        "GET n",
        "DEL n",
        "PING",
        "MULTI",
        "WATCH n",
        "UNWATCH",
        "HELLO 3",
        "CLIENT LIST",
        "INFO",
        "SELECT 0",
    ] {
        client.talk("> MULTI\n< +OK");
        client.ask_words(words, REFUSED);
        client.talk("> EXEC\n< -EXECABORT Transaction discarded because of previous errors.");
    }
    // What is no request, or may not be queued, is refused for that.
    client.talk("> MULTI\n< +OK");
    client.ask_words("NOSUCH", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n");
    client.talk(
        "> GET
         < -ERR wrong number of arguments for 'get' command
         > SHUTDOWN
         < -ERR Command not allowed inside a transaction
         > DISCARD
         < +OK
         > MULTI
         < +OK
         > EXEC
         < *0
         > MULTI
         < +OK
         > RESET
         < +RESET
         > MULTI
         < +OK
         > QUIT
         < +OK",
    );
    client.expect_closed();
}

fn the_key_with_the_nearest_deadline_goes_first(engine: Engine) {
    const BYTES: usize = 500_000;
    let server = Server::with_flags(engine, &["--maxmemory-policy", "volatile-ttl"]);
    let mut client = server.connect();
    let value = "v".repeat(BYTES);
    for (key, seconds) in [("far", "9000"), ("near", "1000"), ("nearer", "500"), ("farther", "10000")] {
        client.ask(&["SET", key, &value, "EX", seconds], "+OK\r\n");
    }
    client.ask(&["SET", "stays", &value], "+OK\r\n");
    let mut left = vec!["nearer", "near", "far", "farther"];
    for evicted in 1..=3 {
        // One of them has to go for it, and one is enough.
        let used = figure(&mut client, "used_memory");
        set_most(&mut client, used - 100_000);
        client.talk("> PING\n< +PONG");
        assert_eq!(figure(&mut client, "evicted_keys"), evicted);
        client.ask(&["EXISTS", left.remove(0)], ":0\r\n");
        for key in &left {
            client.ask(&["EXISTS", key], ":1\r\n");
        }
    }
    // When no key with a deadline is left, nothing goes any more, and what needs memory is refused.
    set_most(&mut client, 1);
    client.ask(&["INCR", "n"], REFUSED);
    client.talk("> EXISTS farther stays\n< :1\n> DBSIZE\n< :1");
    assert_eq!(figure(&mut client, "evicted_keys"), 4);
}

fn keys_go_away_without_being_touched(engine: Engine) {
    const KEYS: u64 = 1000;
    let server = Server::start(engine);
    let mut client = server.connect();
    let mut pipeline = Vec::new();
    for n in 0..KEYS {
        pipeline.extend(request(&["SET", &format!("count:{n}"), "1", "PX", "20"]));
    }
    client.send(&pipeline);
    (0..KEYS).for_each(|_| client.expect("+OK\r\n"));
    client.talk(
        "> HSET row f 1
         < :1
         > SET stays 1
         < +OK
         > SET stays:too 1 EX 1000
         < +OK
         > PEXPIRE row 20
         < :1",
    );
    wait_until("all keys but two are gone", || {
        client.send(request(&["DBSIZE"]));
        client.integer() == 2
    });
    assert_eq!(figure(&mut client, "expired_keys"), KEYS + 1);
    client.talk("> GET stays\n< $1\n< 1\n> EXISTS stays:too\n< :1");
}
