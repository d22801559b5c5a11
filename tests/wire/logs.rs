//! The log as those see it who collect it: one event a line, with its fields, and none for a request.

use std::fs::{self, File};
use std::io::Read;
use std::thread;

use nix::pty::openpty;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::server::{Engine, Server, wait_until};

on_every_engine![
    events_are_json_where_nobody_reads_them,
    a_terminal_shows_sentences,
    requests_are_not_logged,
    a_closed_client_is_named_in_fields,
    the_level_changes_while_it_serves,
    a_log_file_that_was_moved_away_is_let_go_of,
];

/// The events of a log in JSON.
#[track_caller]
fn events(log: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    log.lines().map(parse).collect()
}

/// The one event whose message has these words, once it is there.
#[track_caller]
fn event(server: &Server, words: &str) -> Value {
    wait_until(words, || server.output().contains(words));
    let is_meant = |event: &Value| event["message"].as_str().is_some_and(|message| message.contains(words));
    let mut found = events(&server.output()).into_iter().filter(is_meant);
    let event = found.next().expect("it was seen");
    assert_eq!(found.next(), None, "it is logged once");
    event
}

fn events_are_json_where_nobody_reads_them(engine: Engine) {
    let mut server = Server::with_flags(engine, &["--appendfsync", "no", "--unixsocket", "s"]);
    let ready = event(&server, " ready: ");
    assert_eq!(ready["level"], "notice");
    assert_eq!(ready["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&ready["engine"], &ready["workers"]), (&engine.name().into(), &1.into()));
    assert_eq!((&ready["appendfsync"], &ready["counters"]), (&"no".into(), &0.into()));
    assert_eq!(ready["pid"], server.pid().expect("it is ours"));
    assert!(ready["dir"].as_str().is_some_and(|dir| dir.ends_with("tallyring-data")), "{ready}");
    let listens = ready["listens"].as_str().expect("it listens");
    assert!(listens.contains(&server.addr().to_string()) && listens.ends_with(" s"), "{listens}");
    assert!(ready["rung"].is_string() && ready["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    server.terminate();
    wait_until("the server has ended", || server.exited().is_some());
    assert!(event(&server, "SIGTERM")["message"].is_string());
}

fn a_terminal_shows_sentences(engine: Engine) {
    let pty = openpty(None, None).expect("there are terminals");
    let shown = thread::spawn({
        let mut side = File::from(pty.master);
        move || {
            let (mut text, mut block) = (Vec::new(), [0; 4096]);
            // The end of a terminal whose last process is gone is an error.
            while let Ok(bytes @ 1..) = side.read(&mut block) {
                text.extend_from_slice(&block[..bytes]);
            }
            String::from_utf8(text).expect("sentences are text")
        }
    });
    let slave = File::from(pty.slave);
    let mut server = Server::prepared(engine, &[], &|command| {
        command.stderr(slave.try_clone().expect("a descriptor can be duplicated"));
    });
    drop(slave);
    server.terminate();
    wait_until("the server has ended", || server.exited().is_some());
    drop(server);
    let shown = shown.join().expect("the reader does not panic");
    let ready = shown.lines().find(|line| line.contains(" ready: ")).unwrap_or_else(|| panic!("{shown}"));
    let (time, rest) = ready.split_once(' ').expect("a time comes first");
    assert!(time.len() == 24 && rest.starts_with("notice tallyring "), "{ready}");
    assert!(!shown.contains('{'), "{shown}");
}

fn requests_are_not_logged(engine: Engine) {
    let server = Server::with_flags(engine, &["--loglevel", "debug"]);
    let mut client = server.connect();
    client.talk("> PING\n< +PONG");
    let before = events(&server.output()).len();
    for _ in 0..200 {
        client.talk("> INCRBY n 0\n< :0\n> HGET n f\n< -WRONGTYPE Operation against a key holding the wrong kind of value");
        client.talk("> GET\n< -ERR wrong number of arguments for 'get' command");
    }
    assert_eq!(events(&server.output()).len(), before, "{}", server.output());
}

fn a_closed_client_is_named_in_fields(engine: Engine) {
    let server = Server::with_flags(engine, &["--client-query-buffer-limit", "1mb"]);
    let mut client = server.connect();
    client.send_words("CLIENT ID");
    let id = client.integer();
    client.send("*3\r\n$4\r\nMSET\r\n$1\r\nn\r\n$1048576\r\n");
    client.send(vec![b'x'; 1 << 20]);
    client.line();
    let closing = event(&server, "client-query-buffer-limit");
    assert_eq!((&closing["client"], &closing["limit"]), (&id.into(), &(1 << 20).into()), "{closing}");
    assert_eq!(closing["level"], "warning");
}

fn the_level_changes_while_it_serves(engine: Engine) {
    let server = Server::with_flags(engine, &["--timeout", "1"]);
    let mut client = server.connect();
    client.talk("> CONFIG SET loglevel verbose\n< +OK");
    client.expect_closed();
    assert_eq!(event(&server, "closing idle client")["level"], "verbose");
}

fn a_log_file_that_was_moved_away_is_let_go_of(engine: Engine) {
    let server = Server::with_flags(engine, &["--logfile", "t.log"]);
    let (log, moved) = (server.dir().join("t.log"), server.dir().join("t.log.1"));
    fs::rename(&log, &moved).expect("the log is there");
    server.signal(Signal::SIGHUP);
    wait_until("the log is opened anew", || fs::read_to_string(&log).is_ok_and(|text| !text.is_empty()));
    let text = fs::read_to_string(&log).expect("it is there");
    assert!(text.contains("log file"), "{text}");
    assert!(fs::read_to_string(&moved).expect("it is there").contains(" ready: "));
    server.connect().talk("> PING\n< +PONG");
}
