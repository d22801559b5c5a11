//! What a connection says about itself: `PING`, `ECHO`, `HELLO`, `AUTH`, `SELECT`, `QUIT`, `RESET`, and requests
//! in one line.

use crate::client::{Client, request};
use crate::server::{Engine, Server};

on_every_engine![
    ping_and_echo_answer,
    unknown_commands_are_named,
    inline_commands_are_understood,
    hello_describes_the_server,
    hello_refuses_other_versions,
    there_is_one_database,
    quit_answers_and_closes,
    nothing_runs_after_quit,
    reset_starts_over,
    a_password_is_asked_for,
];

fn ping_and_echo_answer(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> PING
         < +PONG
         > ping hello
         < $5
         < hello
         > ECHO \"two words\"
         < $9
         < two words
         > ECHO \"\"
         < $0
         <
         > PING a b
         < -ERR wrong number of arguments for 'ping' command
         > ECHO
         < -ERR wrong number of arguments for 'echo' command",
    );
}

fn unknown_commands_are_named(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> NOSUCH
         < -ERR unknown command 'NOSUCH', with args beginning with:\x20
         > nosuch one two
         < -ERR unknown command 'nosuch', with args beginning with: 'one' 'two'\x20
         > CLIENT NOSUCH
         < -ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.
         > CLIENT
         < -ERR wrong number of arguments for 'client' command
         > CLIENT ID 5
         < -ERR wrong number of arguments for 'client|id' command",
    );
}

fn inline_commands_are_understood(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.send("PING\r\n");
    client.expect("+PONG\r\n");
    client.send("SET  greeting   \"hello world\"\nGET greeting\r\n");
    client.expect("+OK\r\n$11\r\nhello world\r\n");
    client.send("SET bytes \"\\x00\\n\\\"\"\r\nGET bytes\r\n");
    client.expect("+OK\r\n$3\r\n\0\n\"\r\n");
    client.send("SET single 'it\\'s \\n'\r\nGET single\r\n");
    client.expect("+OK\r\n$7\r\nit's \\n\r\n");
    client.send("\r\n\r\n  \r\nINCR n\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\nINCR n\r\n");
    client.expect(":1\r\n:2\r\n:3\r\n");
    client.send("GET \"unbalanced\r\n");
    client.expect("-ERR Protocol error: unbalanced quotes in request\r\n");
    client.expect_closed();
}

fn hello_describes_the_server(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    assert_eq!(hello(&mut client, &["HELLO"]), ("*14".to_owned(), 2));
    assert_eq!(hello(&mut client, &["HELLO", "3"]), ("%7".to_owned(), 3));
    assert_eq!(hello(&mut client, &["HELLO"]), ("%7".to_owned(), 3));
    assert_eq!(hello(&mut client, &["HELLO", "3", "SETNAME", "me"]), ("%7".to_owned(), 3));
    client.talk("> CLIENT GETNAME\n< $2\n< me");
    assert_eq!(hello(&mut client, &["HELLO", "2"]), ("*14".to_owned(), 2));
    client.talk("> GET nothing\n< $-1");
}

/// Sends a `HELLO` and reads its reply: the first line, and the protocol version it tells.
pub(crate) fn hello(client: &mut Client, arguments: &[&str]) -> (String, i64) {
    client.send(request(arguments));
    let first = client.line();
    client.expect("$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n");
    assert!(client.text().starts_with('7'), "clients take the version for that of Redis");
    client.expect("$5\r\nproto\r\n");
    let version = client.integer();
    client.expect("$2\r\nid\r\n");
    assert!(client.integer() > 0, "connections are numbered from 1");
    client.expect("$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n");
    (first, version)
}

fn hello_refuses_other_versions(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> HELLO 1
         < -NOPROTO unsupported protocol version
         > HELLO 4
         < -NOPROTO unsupported protocol version
         > HELLO three
         < -ERR Protocol version is not an integer or out of range
         > HELLO 3 FOO
         < -ERR Syntax error in HELLO option 'FOO'
         > HELLO 3 SETNAME
         < -ERR Syntax error in HELLO option 'SETNAME'
         > HELLO 3 SETNAME \"two words\"
         < -ERR Client names cannot contain spaces, newlines or special characters.
         > GET nothing
         < $-1",
    );
}

fn there_is_one_database(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> SELECT 0
         < +OK
         > SELECT 16
         < -ERR DB index is out of range
         > SELECT -1
         < -ERR DB index is out of range
         > SELECT abc
         < -ERR value is not an integer or out of range",
    );
}

fn quit_answers_and_closes(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.send("PING\r\nQUIT\r\n");
    client.expect("+PONG\r\n+OK\r\n");
    client.expect_closed();
}

fn nothing_runs_after_quit(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.send("INCR n\r\nQUIT\r\nINCR n\r\nINCR n\r\n");
    client.expect(":1\r\n+OK\r\n");
    client.expect_closed();
    server.connect().talk("> GET n\n< $1\n< 1");
}

fn reset_starts_over(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    hello(&mut client, &["HELLO", "3", "SETNAME", "me"]);
    client.talk(
        "> GET nothing
         < _
         > RESET
         < +RESET
         > GET nothing
         < $-1
         > CLIENT GETNAME
         < $-1",
    );
}

fn a_password_is_asked_for(engine: Engine) {
    let server = Server::with_flags(engine, &["--requirepass", "sesame"]);
    let mut client = server.connect();
    client.talk(
        "> PING
         < -NOAUTH Authentication required.
         > INCR n
         < -NOAUTH Authentication required.
         > NOSUCH
         < -ERR unknown command 'NOSUCH', with args beginning with:\x20
         > AUTH wrong
         < -WRONGPASS invalid username-password pair or user is disabled.
         > AUTH nobody sesame
         < -WRONGPASS invalid username-password pair or user is disabled.
         > HELLO 3
         < -NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time
         > AUTH sesame
         < +OK
         > INCR n
         < :1
         > RESET
         < +RESET
         > INCR n
         < -NOAUTH Authentication required.
         > AUTH default sesame
         < +OK
         > INCR n
         < :2",
    );
    let mut other = server.connect();
    assert_eq!(hello(&mut other, &["HELLO", "3", "AUTH", "default", "sesame"]), ("%7".to_owned(), 3));
    other.talk("> INCR n\n< :3");
    let mut greedy = server.connect();
    greedy.send("*11\r\n");
    greedy.expect("-ERR Protocol error: unauthenticated multibulk length\r\n");
    greedy.expect_closed();
}
