//! Counting: `INCR`, `DECR`, `INCRBY`, `DECRBY`, at the edges too.

use crate::server::{Engine, Server};

on_every_ring![
    a_missing_counter_starts_at_zero,
    amounts_are_added_and_taken,
    text_is_not_counted,
    amounts_are_canonical_integers,
    overflow_changes_nothing,
    counting_keeps_the_deadline,
    arity_is_checked,
];

fn a_missing_counter_starts_at_zero(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> INCR up
         < :1
         > INCR up
         < :2
         > DECR down
         < :-1
         > DECR down
         < :-2
         > GET up
         < $1
         < 2
         > GET down
         < $2
         < -2",
    );
}

fn amounts_are_added_and_taken(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> INCRBY n 10
         < :10
         > INCRBY n -30
         < :-20
         > DECRBY n 5
         < :-25
         > DECRBY n -25
         < :0
         > INCRBY n 0
         < :0
         > DECRBY fresh 7
         < :-7
         > SET n 41
         < +OK
         > INCR n
         < :42
         > INCRBY n 9223372036854775765
         < :9223372036854775807
         > DECRBY n 9223372036854775807
         < :0
         > DECRBY n 9223372036854775807
         < :-9223372036854775807
         > DECR n
         < :-9223372036854775808
         > GET n
         < $20
         < -9223372036854775808",
    );
}

fn text_is_not_counted(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    for text in ["abc", "007", "+5", "1.5", "\" 5\"", "\"5 \"", "\"\"", "-0", "9223372036854775808"] {
        client.talk(&format!(
            "> SET n {text}
             < +OK
             > INCR n
             < -ERR value is not an integer or out of range
             > DECRBY n 3
             < -ERR value is not an integer or out of range"
        ));
    }
    client.talk(
        "> GET n
         < $19
         < 9223372036854775808",
    );
}

fn amounts_are_canonical_integers(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk("> SET n 10\n< +OK");
    for amount in ["abc", "1.5", "+1", "01", "1e3", "\"\"", "\" 1\"", "9223372036854775808"] {
        client.talk(&format!(
            "> INCRBY n {amount}
             < -ERR value is not an integer or out of range
             > DECRBY n {amount}
             < -ERR value is not an integer or out of range"
        ));
    }
    client.talk(
        "> GET n
         < $2
         < 10",
    );
}

fn overflow_changes_nothing(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> SET max 9223372036854775807
         < +OK
         > INCR max
         < -ERR increment or decrement would overflow
         > INCRBY max 1
         < -ERR increment or decrement would overflow
         > DECRBY max -1
         < -ERR increment or decrement would overflow
         > GET max
         < $19
         < 9223372036854775807
         > SET min -9223372036854775808
         < +OK
         > DECR min
         < -ERR increment or decrement would overflow
         > INCRBY min -1
         < -ERR increment or decrement would overflow
         > DECRBY min 1
         < -ERR increment or decrement would overflow
         > GET min
         < $20
         < -9223372036854775808
         > DECRBY n -9223372036854775808
         < -ERR decrement would overflow
         > EXISTS n
         < :0",
    );
}

fn counting_keeps_the_deadline(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> SET n 1 EXAT 33177117420
         < +OK
         > INCR n
         < :2
         > INCRBY n 5
         < :7
         > DECR n
         < :6
         > PEXPIREAT n 33177117420000 GT
         < :0
         > PERSIST n
         < :1
         > TTL n
         < :-1",
    );
}

fn arity_is_checked(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> INCR
         < -ERR wrong number of arguments for 'incr' command
         > INCR a b
         < -ERR wrong number of arguments for 'incr' command
         > DECR
         < -ERR wrong number of arguments for 'decr' command
         > INCRBY a
         < -ERR wrong number of arguments for 'incrby' command
         > INCRBY a 1 2
         < -ERR wrong number of arguments for 'incrby' command
         > DecrBy a
         < -ERR wrong number of arguments for 'decrby' command
         > EXISTS a
         < :0",
    );
}
