//! Whether and when clients are answered: `CLIENT REPLY`, `CLIENT PAUSE`, `WAIT`, `SHUTDOWN`.

use std::time::{Duration, Instant};

use crate::client::{Arrival, request};
use crate::server::{Engine, Server, is_shared, wait_until};

on_every_engine![
    replies_can_be_switched_off,
    a_pause_holds_writes_back,
    a_pause_of_all_ends_by_itself,
    a_request_in_one_line_survives_a_pause,
    clients_may_leave_in_a_pause,
    there_are_no_replicas_to_wait_for,
    clients_end_the_server,
];

fn replies_can_be_switched_off(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let mut wire = Vec::new();
    for words in [
        "PING",
        "CLIENT REPLY SKIP",
        "INCR n",
        "INCR n",
        "CLIENT REPLY OFF",
        "INCR n",
        "NOSUCH",
        "GET",
        "CLIENT REPLY SKIP",
        "MGET n n n",
        "CLIENT LIST",
        "MULTI",
        "INCR n",
        "EXEC",
        "CLIENT REPLY ON",
        "GET n",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY SKIP",
        "PING",
        "ECHO heard",
    ] {
        wire.extend(request(&words.split(' ').collect::<Vec<_>>()));
    }
    client.send(wire);
    client.expect("+PONG\r\n:2\r\n+OK\r\n$1\r\n4\r\n$5\r\nheard\r\n");
    // What is not wanted may be large.
    client.ask(&["SET", "large", &"x".repeat(100_000)], "+OK\r\n");
    client.send(request(&["CLIENT", "REPLY", "OFF"]));
    client.send(request(&["GET", "large"]));
    client.send(request(&["RESET"]));
    client.expect("+RESET\r\n");
}

fn a_pause_holds_writes_back(engine: Engine) {
    let server = Server::with_flags(engine, &["--threads", "2"]);
    let (mut operator, mut client, mut other) = (server.connect(), server.connect(), server.connect());
    operator.talk("> CLIENT PAUSE 60000 WRITE\n< +OK");
    client.talk("> GET n\n< $-1\n> INCRBY n x y\n< -ERR wrong number of arguments for 'incrby' command");
    other.talk("> MULTI\n< +OK\n> GET n\n< +QUEUED\n> EXEC\n< *1\n< $-1");
    // A write waits, and so does what follows it on its connection.
    let mut wire = request(&["INCR", "n"]);
    wire.extend(request(&["PING"]));
    client.send(&wire);
    other.send(request(&["INCRBY", "n", "1"]));
    // A shorter or milder pause changes nothing.
    operator.talk("> CLIENT PAUSE 1 WRITE\n< +OK\n> GET n\n< $-1");
    assert!(matches!(client.receive(Duration::from_millis(50)), Arrival::Nothing));
    assert!(matches!(other.receive(Duration::from_millis(1)), Arrival::Nothing));
    operator.talk("> CLIENT UNPAUSE\n< +OK");
    let first = client.integer();
    client.expect("+PONG\r\n");
    assert_eq!(other.integer(), 3 - first);
}

fn a_request_in_one_line_survives_a_pause(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.ask_words("CLIENT PAUSE 50 WRITE", "+OK\r\n");
    client.send("SET  key  \"two \\x77ords\"\r\nSET other 'it\\'s'\r\nGET key\r\nGET other\r\n");
    client.expect("+OK\r\n+OK\r\n$9\r\ntwo words\r\n$4\r\nit's\r\n");
}

fn a_pause_of_all_ends_by_itself(engine: Engine) {
    let server = Server::start(engine);
    let (mut operator, mut client) = (server.connect(), server.connect());
    let began = Instant::now();
    operator.talk("> CLIENT PAUSE 150\n< +OK");
    client.talk("> PING\n< +PONG");
    operator.talk("> CLIENT UNPAUSE\n< +OK\n> PING\n< +PONG");
    // It counts from the beginning of the turn that it was asked for in.
    assert!(began.elapsed() >= Duration::from_millis(140), "{:?}", began.elapsed());
}

fn clients_may_leave_in_a_pause(engine: Engine) {
    let server = Server::start(engine);
    let (mut operator, mut client) = (server.connect(), server.connect());
    operator.talk("> CLIENT PAUSE 60000 WRITE\n< +OK");
    client.send(request(&["INCR", "n"]));
    client.half_close();
    client.expect_closed();
    operator.talk("> CLIENT UNPAUSE\n< +OK\n> GET n\n< $-1");
}

fn there_are_no_replicas_to_wait_for(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let began = Instant::now();
    client.talk("> WAIT 0 100000\n< :0\n> WAIT 1 50\n< :0\n> PING\n< +PONG");
    assert!(began.elapsed() >= Duration::from_millis(40), "{:?}", began.elapsed());
    client.send(request(&["WAIT", "1", "0"]));
    assert!(matches!(client.receive(Duration::from_millis(50)), Arrival::Nothing));
    client.half_close();
    wait_until("who waits for ever is let go when it leaves", || {
        matches!(client.receive(Duration::from_millis(10)), Arrival::Closed)
    });
}

fn clients_end_the_server(engine: Engine) {
    if is_shared() {
        return;
    }
    let mut server = Server::with_flags(engine, &["--threads", "2"]);
    let mut client = server.connect();
    client.talk(
        "> SHUTDOWN ABORT\n< -ERR No shutdown in progress.\n> SHUTDOWN SAVE NOSAVE\n< -ERR syntax error",
    );
    client.send(request(&["SHUTDOWN", "NOSAVE"]));
    client.expect_closed();
    wait_until("the server ends", || server.exited().is_some());
    assert!(server.exited().is_some_and(|status| status.success()));
}
