//! All keys together: listed, walked over, renamed, copied.

use crate::client::request;
use crate::server::{Engine, Server};

on_every_engine![
    keys_are_walked_over_while_others_come_and_go,
    keys_change_names,
    whole_table_commands_work_inside_transactions,
    keys_are_described,
];

fn keys_are_walked_over_while_others_come_and_go(engine: Engine) {
    const KEYS: usize = 2000;
    let server = Server::start(engine);
    let (mut client, mut other) = (server.connect(), server.connect());
    for n in 0..KEYS {
        client.send(request(&["SET", &format!("stays:{n}"), "1"]));
    }
    (0..KEYS).for_each(|_| client.expect("+OK\r\n"));
    let (mut cursor, mut found, mut round) = ("0".to_owned(), Vec::new(), 0);
    loop {
        client.send(request(&["SCAN", &cursor, "MATCH", "stays:*", "COUNT", "100"]));
        client.expect("*2\r\n");
        cursor = client.text();
        let listed = client.line();
        for _ in 0..listed[1..].parse::<usize>().expect("an array") {
            found.push(client.text());
        }
        round += 1;
        other.ask(&["SET", &format!("comes:{round}"), "1"], "+OK\r\n");
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found.len(), KEYS);
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), KEYS);
    client.ask(&["KEYS", "stays:1999"], "*1\r\n$10\r\nstays:1999\r\n");
    client.ask(&["SCAN", "nothing"], "-ERR invalid cursor\r\n");
}

fn keys_change_names(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> HSET row hits 5
         < :1
         > EXPIRE row 100
         < :1
         > COPY row spare
         < :1
         > RENAME row line
         < +OK
         > TTL line
         < :100
         > HGET spare hits
         < $1
         < 5
         > RENAMENX line spare
         < :0
         > RENAME row line
         < -ERR no such key
         > COPY line spare DB 1
         < -ERR DB index is out of range
         > DBSIZE
         < :2",
    );
}

fn whole_table_commands_work_inside_transactions(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> SET a 1
         < +OK
         > MULTI
         < +OK
         > SCAN 0
         < +QUEUED
         > KEYS *
         < +QUEUED
         > RANDOMKEY
         < +QUEUED
         > RENAME a b
         < +QUEUED
         > DBSIZE
         < +QUEUED
         > EXEC
         < *5
         < *2
         < $1
         < 0
         < *1
         < $1
         < a
         < *1
         < $1
         < a
         < $1
         < a
         < +OK
         < :1",
    );
}

fn keys_are_described(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> SET a 5
         < +OK
         > OBJECT ENCODING a
         < $3
         < int
         > OBJECT REFCOUNT a
         < :2147483647
         > OBJECT ENCODING nothing
         < $-1
         > MEMORY USAGE nothing
         < $-1
         > MEMORY PURGE
         < +OK
         > OBJECT nothing
         < -ERR unknown subcommand 'nothing'. Try OBJECT HELP.",
    );
}
