//! Transactions on the wire: what is queued and executed as one, what refuses it, what watched keys do, and that
//! nobody sees half of one, on however many workers.

use std::thread;

use crate::client::{Client, request};
use crate::server::{Engine, Server};

on_every_engine![
    requests_are_queued_and_executed_as_one,
    queued_requests_are_kept_however_they_arrive,
    other_clients_touch_watched_keys,
    clients_that_leave_watch_nothing,
    transactions_of_many_clients_are_atomic,
    optimistic_counters_lose_nothing,
    huge_requests_are_queued_whole,
];

fn requests_are_queued_and_executed_as_one(engine: Engine) {
    let server = Server::start(engine);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.talk(
        "> MULTI
         < +OK
         > INCR n
         < +QUEUED
         > INCRBY n x
         < +QUEUED
         > APPEND n 5
         < +QUEUED",
    );
    other.talk("> EXISTS n\n< :0");
    client.talk(
        "> EXEC
         < *3
         < :1
         < -ERR value is not an integer or out of range
         < :2
         > GET n
         < $2
         < 15
         > MULTI
         < +OK
         > GET
         < -ERR wrong number of arguments for 'get' command
         > EXEC
         < -EXECABORT Transaction discarded because of previous errors.
         > MULTI
         < +OK
         > DBSIZE
         < +QUEUED
         > FLUSHALL
         < +QUEUED
         > DBSIZE
         < +QUEUED
         > SET k v
         < +QUEUED
         > EXEC
         < *4
         < :1
         < +OK
         < :0
         < +OK
         > DBSIZE
         < :1
         > MULTI
         < +OK
         > INFO keyspace
         < +QUEUED
         > UNWATCH
         < +QUEUED
         > EXEC
         < *2",
    );
    assert!(client.text().contains("db0:keys=1"));
    client.expect("+OK\r\n");
}

fn queued_requests_are_kept_however_they_arrive(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    // As a pipeline, in two halves that cut an argument, and with words of an inline request.
    let mut wire = request(&["MULTI"]);
    for n in 0..500 {
        wire.extend(request(&["SET", &format!("key:{n}"), &format!("value {n}")]));
    }
    wire.extend(b"incrby count 5\r\n");
    wire.extend(request(&["EXEC"]));
    let (head, tail) = wire.split_at(wire.len() / 2);
    client.send(head);
    client.expect("+OK\r\n");
    client.send(tail);
    client.expect("+QUEUED\r\n".repeat(501) + "*501\r\n" + &"+OK\r\n".repeat(500) + ":5\r\n");
    client.talk(
        "> GET key:250
         < $9
         < value 250",
    );
}

fn other_clients_touch_watched_keys(engine: Engine) {
    let server = Server::start(engine);
    let (mut client, mut other) = (server.connect(), server.connect());
    for (change, touched) in [
        ("SET k 5", true),
        ("DEL k", true),
        ("EXPIRE k 1000", true),
        ("FLUSHALL", true),
        ("GET k", false),
        ("SET other 1", false),
    ] {
        other.ask(&["SET", "k", "1"], "+OK\r\n");
        client.talk("> WATCH k z\n< +OK\n> MULTI\n< +OK\n> INCR n\n< +QUEUED");
        other.send(request(&change.split(' ').collect::<Vec<_>>()));
        let _ = other.reply();
        client.send(request(&["EXEC"]));
        let reply = client.reply();
        assert_eq!(reply == b"*-1\r\n", touched, "after {change}: {}", reply.escape_ascii());
    }
}

fn clients_that_leave_watch_nothing(engine: Engine) {
    let server = Server::start(engine);
    for round in 0..3 {
        let mut leaving = server.connect();
        leaving.talk("> WATCH k\n< +OK\n> MULTI\n< +OK\n> SET k mine\n< +QUEUED");
        match round {
            0 => drop(leaving),
            1 => leaving.reset(),
            _ => leaving.talk("> RESET\n< +RESET\n> EXEC\n< -ERR EXEC without MULTI"),
        }
        server.connect().talk("> INCR k\n< :1\n> DEL k\n< :1");
    }
}

/// The values of `keys`, read at one time.
fn sum(client: &mut Client, keys: &[String]) -> i64 {
    client.send(request(&[&["MGET".to_owned()], keys].concat()));
    assert_eq!(client.line(), format!("*{}", keys.len()));
    keys.iter().map(|_| client.text().parse::<i64>().expect("a number")).sum()
}

fn transactions_of_many_clients_are_atomic(engine: Engine) {
    const ROUNDS: usize = 200;
    let server = Server::with_flags(engine, &["--threads", "2"]);
    let keys: Vec<String> = (0..8).map(|n| format!("account:{n}")).collect();
    for key in &keys {
        server.connect().ask(&["SET", key, "100"], "+OK\r\n");
    }
    thread::scope(|scope| {
        for mover in 0..4 {
            let (server, keys) = (&server, &keys);
            scope.spawn(move || {
                let mut client = server.connect();
                for round in 0..ROUNDS {
                    let (from, to) = (&keys[(mover + round) % 8], &keys[(mover * 3 + round * 5 + 1) % 8]);
                    let mut wire = request(&["MULTI"]);
                    wire.extend(request(&["DECRBY", from, "7"]));
                    wire.extend(request(&["INCRBY", to, "7"]));
                    wire.extend(request(&["EXEC"]));
                    client.send(wire);
                    client.expect("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n");
                    client.integer();
                    client.integer();
                }
            });
        }
        let mut client = server.connect();
        for _ in 0..ROUNDS {
            assert_eq!(sum(&mut client, &keys), 800, "a transfer was seen half done");
        }
    });
    assert_eq!(sum(&mut server.connect(), &keys), 800);
}

fn optimistic_counters_lose_nothing(engine: Engine) {
    const EACH: usize = 50;
    let server = Server::with_flags(engine, &["--threads", "2"]);
    server.connect().ask(&["SET", "n", "0"], "+OK\r\n");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = server.connect();
                let mut done = 0;
                while done < EACH {
                    client.ask(&["WATCH", "n"], "+OK\r\n");
                    client.send(request(&["GET", "n"]));
                    let next = client.text().parse::<usize>().expect("a number") + 1;
                    client.talk("> MULTI\n< +OK");
                    client.ask(&["SET", "n", &next.to_string()], "+QUEUED\r\n");
                    client.send(request(&["EXEC"]));
                    done += usize::from(client.reply() == b"*1\r\n+OK\r\n");
                }
            });
        }
    });
    server.connect().talk(&format!("> GET n\n< $3\n< {}", 4 * EACH));
}

fn huge_requests_are_queued_whole(engine: Engine) {
    let server = Server::start(engine);
    let (mut client, mut other) = (server.connect(), server.connect());
    let mut exists = vec!["EXISTS".to_owned()];
    exists.extend((0..20_000).map(|n| format!("key:{n}")));
    other.ask(&["SET", "key:19999", "1"], "+OK\r\n");
    client.ask(&["MULTI"], "+OK\r\n");
    let wire = request(&exists);
    let (head, tail) = wire.split_at(wire.len() - 10);
    client.send(head);
    other.ask(&["SET", "key:0", "1"], "+OK\r\n");
    client.send(tail);
    client.expect("+QUEUED\r\n");
    client.ask(&["EXEC"], "*1\r\n:2\r\n");
}
