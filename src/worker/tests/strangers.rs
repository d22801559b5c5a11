//! Connections that have not given the password.

use std::time::Duration;

use super::{Fixed, stage_with, text};
use crate::connection::End;
use crate::limits::{self, Limits};

const NOAUTH: &str = "-NOAUTH Authentication required.\r\n";

fn guarded() -> Fixed {
    Fixed { limits: Limits::default(), password: Some(b"sesame"), profile: None }
}

#[test]
fn strangers_have_to_authenticate_in_time() {
    let mut stage = stage_with(1, guarded());
    let worker = &mut stage.workers[0];
    worker.begin_turn();
    let (silent, talking, known) = (worker.connect(), worker.connect(), worker.connect());
    assert_eq!(text(&worker.turn(known, b"AUTH sesame\r\n")), "+OK\r\n");
    let left = worker.finish_turn().expect("somebody is waited for");
    assert!(left <= Duration::from_millis(limits::UNAUTHENTICATED_MS + 1), "{left:?}");
    stage.pass(Duration::from_millis(limits::UNAUTHENTICATED_MS - 1));
    let worker = &mut stage.workers[0];
    assert_eq!(text(&worker.turn(talking, b"GET a\r\n")), NOAUTH);
    assert_eq!(worker.wanted(silent).end, End::Open, "it has a moment left");
    stage.pass(Duration::from_millis(1));
    let worker = &mut stage.workers[0];
    worker.begin_turn();
    assert_eq!(worker.wanted(silent).end, End::All);
    assert_eq!(worker.wanted(talking).end, End::All, "talking is no password");
    assert_eq!(worker.wanted(known).end, End::Open);
    worker.flush(known);
    assert_eq!(worker.finish_turn(), None, "nobody else is waited for");
    assert_eq!(worker.shared.counts().unauthenticated_times, 2);
}

#[test]
fn strangers_may_not_say_much() {
    let mut stage = stage_with(1, guarded());
    let worker = &mut stage.workers[0];
    let head = "*4\r\n$3\r\nSET\r\n$1\r\nk\r\n";
    let argument = format!("$16384\r\n{}\r\n", "v".repeat(16_384));
    let modest = worker.connect();
    assert_eq!(text(&worker.turn(modest, format!("{head}{argument}$1\r\nx\r\n").as_bytes())), NOAUTH);
    let greedy = worker.connect();
    let request = format!("{head}{argument}$16384\r\n{}", "v".repeat(16_384));
    let replies = text(&worker.turn(greedy, request.as_bytes()));
    assert_eq!(replies, "-ERR Protocol error: unauthenticated request is too long\r\n");
    assert_eq!(worker.wanted(greedy).end, End::Send);
    let known = worker.connect();
    assert_eq!(text(&worker.turn(known, b"AUTH sesame\r\n")), "+OK\r\n");
    assert_eq!(text(&worker.turn(known, request.as_bytes())), "", "who is known may say more");
    assert_eq!(worker.wanted(known).end, End::Open);
}

#[test]
fn strangers_are_not_told_much() {
    let mut stage = stage_with(1, guarded());
    let worker = &mut stage.workers[0];
    let (patient, mute) = (worker.connect(), worker.connect());
    let many = limits::UNAUTHENTICATED_UNSENT / NOAUTH.len();
    for _ in 0..3 {
        assert_eq!(text(&worker.turn(patient, &b"GET a\r\n".repeat(many))), NOAUTH.repeat(many));
    }
    worker.begin_turn();
    worker.hear(mute, &b"GET a\r\n".repeat(many));
    assert_eq!(worker.wanted(mute).end, End::Open);
    worker.hear(mute, b"GET a\r\n");
    assert_eq!(worker.wanted(mute).end, End::All, "it takes none of them");
}
