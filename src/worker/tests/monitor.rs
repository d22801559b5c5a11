//! Monitors: lines of several workers are passed on in the order of time, and those that cannot take them are closed.

use std::time::Duration;

use super::{Stage, stage, text};
use crate::limits::{self, Limits};
use crate::worker::Token;

const MICROSECOND: Duration = Duration::from_micros(1);

/// Two workers, a monitor at the first, and a client at each.
fn watched() -> (Stage, Token, [Token; 2]) {
    let mut stage = stage(2, Limits::default());
    let monitor = stage.workers[0].connect();
    // In this order the connections are shared out evenly.
    let there = stage.workers[1].connect();
    let clients = [stage.workers[0].connect(), there];
    assert_eq!(stage.workers[0].turn(monitor, b"MONITOR\r\n"), b"", "both are asked first");
    mail_turn(&mut stage, 1);
    assert_eq!(mail_turn(&mut stage, 0), [monitor]);
    assert_eq!(text(&stage.workers[0].flush(monitor)), "+OK\r\n");
    (stage, monitor, clients)
}

/// A turn that reads the mail; gives the connections that want something afterwards.
fn mail_turn(stage: &mut Stage, worker: usize) -> Vec<Token> {
    let worker = &mut stage.workers[worker];
    worker.begin_turn();
    worker.handle_mail();
    let mut changed = Vec::new();
    while let Some(token) = worker.next_changed() {
        changed.push(token);
    }
    worker.end_turn();
    changed
}

/// What is shown, each line without its time and address.
fn shown(stage: &mut Stage, monitor: Token) -> Vec<String> {
    let lines = text(&stage.workers[0].flush(monitor));
    lines.lines().map(|line| line.split_once("] ").expect("an address ends so").1.to_owned()).collect()
}

#[test]
fn lines_wait_for_a_worker_in_the_midst_of_a_turn() {
    let (mut stage, monitor, [here, there]) = watched();
    stage.workers[1].begin_turn();
    stage.pass(MICROSECOND);
    stage.workers[1].hear(there, b"SET first 1\r\n");
    stage.pass(MICROSECOND);
    stage.workers[0].turn(here, b"SET second 2\r\n");
    assert!(shown(&mut stage, monitor).is_empty(), "an earlier line may come");
    stage.pass(MICROSECOND);
    stage.workers[1].hear(there, b"SET third 3\r\n");
    assert!(stage.workers[1].finish_turn().is_none(), "it waits for nothing");
    stage.pass(MICROSECOND);
    mail_turn(&mut stage, 0);
    let expected = [r#""SET" "first" "1""#, r#""SET" "second" "2""#, r#""SET" "third" "3""#];
    assert_eq!(shown(&mut stage, monitor), expected);
}

#[test]
fn lines_do_not_wait_for_ever() {
    let (mut stage, monitor, [here, _]) = watched();
    stage.workers[1].begin_turn();
    stage.pass(MICROSECOND);
    stage.workers[0].turn(here, b"PING\r\n");
    let wait = stage.workers[0].finish_turn();
    assert_eq!(wait, Some(Duration::from_millis(1)), "it looks again in a moment");
    assert!(shown(&mut stage, monitor).is_empty());
    stage.pass(Duration::from_millis(limits::MONITOR_PATIENCE_MS));
    mail_turn(&mut stage, 0);
    assert_eq!(shown(&mut stage, monitor), [r#""PING""#]);
}

#[test]
fn a_monitor_whose_worker_reads_no_mail_is_closed_and_nobody_else_waits() {
    let (mut stage, monitor, [_, there]) = watched();
    let value = "x".repeat(limits::MONITOR_LINE_BYTES);
    let request = format!("*2\r\n$4\r\nECHO\r\n${}\r\n{value}\r\n", value.len()).into_bytes();
    let most = 2 * limits::MONITOR_BACKLOG_BYTES / value.len() + 2 * limits::MONITOR_MESSAGES;
    for _ in 0..most {
        let reply = stage.workers[1].turn(there, &request);
        assert!(reply.len() > value.len(), "who is watched is answered at once");
    }
    mail_turn(&mut stage, 0);
    assert_eq!(stage.workers[0].wanted(monitor).end, crate::connection::End::All);
    assert_eq!(stage.workers[0].shared.counts().monitor_overflows, 1);
    stage.workers[0].closed(monitor);
    mail_turn(&mut stage, 1);
    stage.workers[1].turn(there, b"PING\r\n");
    assert!(mail_turn(&mut stage, 0).is_empty(), "nothing is gathered any more");
}

#[test]
fn a_reset_ends_it_and_a_second_monitor_goes_on() {
    let (mut stage, monitor, [here, there]) = watched();
    stage.workers[0].turn(here, b"MONITOR\r\n");
    mail_turn(&mut stage, 1);
    mail_turn(&mut stage, 0);
    assert_eq!(text(&stage.workers[0].flush(here)), "+OK\r\n");
    assert_eq!(stage.workers[0].turn(monitor, b"RESET\r\n"), b"+RESET\r\n");
    stage.workers[1].turn(there, b"PING\r\n");
    mail_turn(&mut stage, 0);
    assert!(shown(&mut stage, monitor).is_empty());
    let lines = shown(&mut stage, here);
    assert_eq!(lines, [r#""RESET""#, r#""PING""#]);
}
