//! Values: `GET`, `SET` with all its options, `GETSET`, `GETDEL`, `SETNX`, `SETEX`, `MGET`, `MSET`.

use crate::client::{bulk, request};
use crate::server::{Engine, Server, wait_until};

on_every_engine![
    values_come_back_as_they_were_set,
    any_byte_may_stand_in_keys_and_values,
    set_replaces_value_and_deadline,
    set_obeys_its_conditions,
    set_gives_the_old_value,
    set_takes_deadlines_of_four_kinds,
    set_refuses_what_makes_no_sense,
    setnx_sets_once,
    setex_sets_a_deadline,
    getset_swaps,
    getdel_takes_away,
    many_keys_are_read_and_set_at_once,
    nulls_are_nulls_in_both_protocols,
];

fn values_come_back_as_they_were_set(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> GET nothing
         < $-1
         > SET word hello
         < +OK
         > GET word
         < $5
         < hello
         > SET empty \"\"
         < +OK
         > GET empty
         < $0
         <
         > SET number 007
         < +OK
         > GET number
         < $3
         < 007
         > SET number -0
         < +OK
         > GET number
         < $2
         < -0
         > set Number 5
         < +OK
         > gEt number
         < $2
         < -0
         > GET
         < -ERR wrong number of arguments for 'get' command
         > GET a b
         < -ERR wrong number of arguments for 'get' command
         > SET a
         < -ERR wrong number of arguments for 'set' command",
    );
}

fn any_byte_may_stand_in_keys_and_values(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let every_byte: Vec<u8> = (0..=255).collect();
    for (key, value) in
        [(&every_byte[..], &b"\r\n"[..]), (b"\r\n$3\r\n", &every_byte), (b"", b"the empty key")]
    {
        client.send(request(&[b"SET", key, value]));
        client.expect("+OK\r\n");
        client.send(request(&[b"GET", key]));
        client.expect(bulk(value));
    }
    client.talk("> DBSIZE\n< :3");
}

fn set_replaces_value_and_deadline(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> SET k 1 EX 1000
         < +OK
         > SET k text KEEPTTL
         < +OK
         > TTL k
         < :1000
         > SET k 2
         < +OK
         > TTL k
         < :-1
         > GET k
         < $1
         < 2",
    );
}

fn set_obeys_its_conditions(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> SET k 1 XX
         < $-1
         > SET k 1 NX
         < +OK
         > SET k 2 NX
         < $-1
         > SET k 2 nx EX 100
         < $-1
         > TTL k
         < :-1
         > SET k 3 xx
         < +OK
         > GET k
         < $1
         < 3",
    );
}

fn set_gives_the_old_value(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> SET k 1 GET
         < $-1
         > SET k two GET
         < $1
         < 1
         > SET k 3 GET NX
         < $3
         < two
         > GET k
         < $3
         < two
         > SET k 3 XX GET EX 100
         < $3
         < two
         > TTL k
         < :100
         > SET fresh 1 NX GET
         < $-1
         > GET fresh
         < $1
         < 1
         > SET missing 1 XX GET
         < $-1
         > EXISTS missing
         < :0",
    );
}

fn set_takes_deadlines_of_four_kinds(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk(
        "> SET k 1 EX 1000
         < +OK
         > TTL k
         < :1000
         > SET k 1 px 2000000
         < +OK
         > TTL k
         < :2000
         > SET k 1 EXAT 1
         < +OK
         > GET k
         < $-1
         > SET k 1 PXAT 1
         < +OK
         > EXISTS k
         < :0
         > SET k 1 PXAT 33177117420000
         < +OK
         > GET k
         < $1
         < 1
         > SET k 1 PX 20
         < +OK",
    );
    wait_until("the key set for 20 ms is gone", || {
        client.send(request(&["EXISTS", "k"]));
        client.integer() == 0
    });
    client.talk("> GET k\n< $-1\n> PTTL k\n< :-2");
}

fn set_refuses_what_makes_no_sense(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk("> SET k old\n< +OK");
    for options in [
        "NX XX",
        "EX",
        "PX",
        "EX 1 PX 1",
        "EX 1 KEEPTTL",
        "KEEPTTL PX 1",
        "KEEPTTL EXAT 1",
        "EXAT 1 PXAT 1",
        "FOO",
        "EX 1 EX",
        "XX NX GET",
        "PERSIST",
        "GET GET EX",
        "\"\"",
    ] {
        client.ask_words(&format!("SET k v {options}"), "-ERR syntax error\r\n");
    }
    for options in ["EX 0", "EX -1", "PX 0", "PX -1", "EXAT 0", "PXAT -5", "EX 9223372036854775807"] {
        client.ask_words(&format!("SET k v {options}"), "-ERR invalid expire time in 'set' command\r\n");
    }
    for options in ["EX abc", "PX 1.5", "EXAT \"\"", "PXAT 9223372036854775808", "EX abc NX"] {
        client.ask_words(&format!("SET k v {options}"), "-ERR value is not an integer or out of range\r\n");
    }
    client.talk("> GET k\n< $3\n< old\n> TTL k\n< :-1");
}

fn setnx_sets_once(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> SETNX k 1
         < :1
         > SETNX k 2
         < :0
         > GET k
         < $1
         < 1
         > SETNX k
         < -ERR wrong number of arguments for 'setnx' command",
    );
}

fn setex_sets_a_deadline(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> SETEX k 100 v
         < +OK
         > TTL k
         < :100
         > PSETEX k 50000 w
         < +OK
         > TTL k
         < :50
         > GET k
         < $1
         < w
         > SETEX k 0 x
         < -ERR invalid expire time in 'setex' command
         > PSETEX k -1 x
         < -ERR invalid expire time in 'psetex' command
         > SETEX k ten x
         < -ERR value is not an integer or out of range
         > GET k
         < $1
         < w",
    );
}

fn getset_swaps(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> GETSET k 1
         < $-1
         > INCR k
         < :2
         > EXPIRE k 100
         < :1
         > GETSET k 0
         < $1
         < 2
         > GET k
         < $1
         < 0
         > TTL k
         < :-1
         > GETSET k
         < -ERR wrong number of arguments for 'getset' command",
    );
}

fn getdel_takes_away(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> GETDEL k
         < $-1
         > INCRBY k 12
         < :12
         > GETDEL k
         < $2
         < 12
         > EXISTS k
         < :0
         > SET k text
         < +OK
         > GETDEL k
         < $4
         < text
         > GET k
         < $-1",
    );
}

fn many_keys_are_read_and_set_at_once(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> MSET a 1 b two c \"\"
         < +OK
         > MGET a b c nothing a
         < *5
         < $1
         < 1
         < $3
         < two
         < $0
         <
         < $-1
         < $1
         < 1
         > MSET a 1 a 2
         < +OK
         > GET a
         < $1
         < 2
         > EXPIRE a 100
         < :1
         > MSET a 3
         < +OK
         > TTL a
         < :-1
         > MSET a
         < -ERR wrong number of arguments for 'mset' command
         > MSET a 4 b
         < -ERR wrong number of arguments for 'mset' command
         > MGET
         < -ERR wrong number of arguments for 'mget' command
         > GET a
         < $1
         < 3",
    );
}

fn nulls_are_nulls_in_both_protocols(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.send(request(&["HELLO", "3"]));
    client.send(request(&["PING"]));
    while client.line() != "+PONG" {}
    client.talk(
        "> GET nothing
         < _
         > MGET nothing nothing
         < *2
         < _
         < _
         > SET k 1 XX
         < _
         > SET k 1 GET
         < _
         > GETDEL nothing
         < _
         > HELLO 2 OOPS
         < -ERR Syntax error in HELLO option 'OOPS'
         > RESET
         < +RESET
         > GET nothing
         < $-1",
    );
}
