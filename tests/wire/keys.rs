//! Keys: removing, looking, deadlines, and all of them at once.

use crate::client::request;
use crate::server::{Engine, Server, wait_until};

on_every_engine![
    keys_are_removed,
    keys_are_looked_at,
    deadlines_are_given_and_taken,
    deadlines_obey_their_conditions,
    a_deadline_in_the_past_removes,
    deadlines_must_be_sane,
    keys_go_away_at_their_deadline,
    all_keys_are_flushed,
];

fn keys_are_removed(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> MSET a 1 b 2 c text d 4
         < +OK
         > DEL a nothing a
         < :1
         > UNLINK b c nothing
         < :2
         > DEL nothing
         < :0
         > DBSIZE
         < :1
         > INCR a
         < :1
         > DEL
         < -ERR wrong number of arguments for 'del' command
         > UNLINK
         < -ERR wrong number of arguments for 'unlink' command",
    );
}

fn keys_are_looked_at(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> MSET a 1 b text
         < +OK
         > EXISTS a b nothing a
         < :3
         > TOUCH a nothing b
         < :2
         > TYPE a
         < +string
         > TYPE b
         < +string
         > TYPE nothing
         < +none
         > EXISTS
         < -ERR wrong number of arguments for 'exists' command
         > TYPE
         < -ERR wrong number of arguments for 'type' command",
    );
}

fn deadlines_are_given_and_taken(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk(
        "> TTL k
         < :-2
         > PTTL k
         < :-2
         > EXPIRE k 10
         < :0
         > PERSIST k
         < :0
         > SET k 1
         < +OK
         > TTL k
         < :-1
         > PTTL k
         < :-1
         > PERSIST k
         < :0
         > EXPIRE k 1000
         < :1
         > TTL k
         < :1000
         > PEXPIRE k 2000000
         < :1
         > TTL k
         < :2000",
    );
    client.send(request(&["PTTL", "k"]));
    let left = client.integer();
    assert!((1_990_000..=2_000_000).contains(&left), "PTTL says {left} ms right after PEXPIRE 2000000");
    client.talk(
        "> PERSIST k
         < :1
         > TTL k
         < :-1
         > EXPIREAT k 33177117420
         < :1
         > PEXPIREAT k 33177117420000
         < :1
         > GET k
         < $1
         < 1",
    );
}

fn deadlines_obey_their_conditions(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> SET k 1
         < +OK
         > EXPIRE k 100 XX
         < :0
         > EXPIRE k 100 GT
         < :0
         > EXPIRE k 100 NX
         < :1
         > EXPIRE k 200 NX
         < :0
         > EXPIRE k 50 GT
         < :0
         > EXPIRE k 200 gt
         < :1
         > EXPIRE k 300 LT
         < :0
         > EXPIRE k 150 LT
         < :1
         > TTL k
         < :150
         > EXPIRE k 500 XX GT
         < :1
         > PERSIST k
         < :1
         > EXPIRE k 77 LT
         < :1
         > TTL k
         < :77
         > EXPIRE k 10 NX XX
         < -ERR NX and XX, GT or LT options at the same time are not compatible
         > EXPIRE k 10 NX GT
         < -ERR NX and XX, GT or LT options at the same time are not compatible
         > EXPIRE k 10 GT LT
         < -ERR GT and LT options at the same time are not compatible
         > EXPIRE k 10 FOO
         < -ERR Unsupported option FOO
         > TTL k
         < :77",
    );
}

fn a_deadline_in_the_past_removes(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> MSET a 1 b 1 c 1 d 1
         < +OK
         > EXPIRE a 0
         < :1
         > PEXPIRE b -5
         < :1
         > EXPIREAT c 1
         < :1
         > PEXPIREAT d 1
         < :1
         > EXISTS a b c d
         < :0
         > DBSIZE
         < :0
         > INCR a
         < :1
         > TTL a
         < :-1",
    );
}

fn deadlines_must_be_sane(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> SET k 1
         < +OK
         > EXPIRE k abc
         < -ERR value is not an integer or out of range
         > EXPIRE k 9223372036854775807
         < -ERR invalid expire time in 'expire' command
         > EXPIRE k -9223372036854775808
         < -ERR invalid expire time in 'expire' command
         > PEXPIRE k 9223372036854775807
         < -ERR invalid expire time in 'pexpire' command
         > EXPIRE k
         < -ERR wrong number of arguments for 'expire' command
         > TTL k
         < :-1
         > TTL
         < -ERR wrong number of arguments for 'ttl' command",
    );
}

fn keys_go_away_at_their_deadline(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk(
        "> MSET a 1 b text c 3
         < +OK
         > PEXPIRE a 20
         < :1
         > PEXPIRE b 20
         < :1",
    );
    wait_until("both keys are gone 20 ms later", || {
        client.send(request(&["EXISTS", "a", "b"]));
        client.integer() == 0
    });
    client.talk(
        "> MGET a b c
         < *3
         < $-1
         < $-1
         < $1
         < 3
         > TYPE a
         < +none
         > TTL a
         < :-2
         > DEL b
         < :0
         > INCR a
         < :1
         > TTL a
         < :-1",
    );
}

fn all_keys_are_flushed(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    for flush in ["FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC", "FLUSHALL SYNC", "FLUSHDB ASYNC", "flushdb sync"] {
        client.talk(&format!(
            "> MSET a 1 b 2
             < +OK
             > EXPIRE b 100
             < :1
             > DBSIZE
             < :2
             > {flush}
             < +OK
             > DBSIZE
             < :0
             > GET a
             < $-1
             > INCR b
             < :1
             > TTL b
             < :-1"
        ));
    }
    client.talk("> FLUSHALL NOW\n< -ERR syntax error\n> DBSIZE\n< :1");
}
