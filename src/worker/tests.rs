//! The core without sockets: a test plays the engine, and time stands still unless it says otherwise.

mod monitor;
mod secured;
mod strangers;
mod stream;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Admission, Identity, Journal, Message, Post, Settings, Shared, Token, Worker};
use crate::clock::Clock;
use crate::command::acl::{Digest, Users};
use crate::command::{ConfigError, Now, RewriteError};
use crate::connection::{End, Peer, Wants};
use crate::journal::ring::stand_in;
use crate::limits::{self, Limits, SyncPolicy};
use crate::table::Table;
use crate::tls::Profile;

/// The directives of a test.
struct Fixed {
    limits: Limits,
    password: Option<&'static [u8]>,
    /// Of the port that is encrypted, if one is.
    profile: Option<Arc<Mutex<Profile>>>,
}

impl Settings for Fixed {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn get(&self, _: &dyn Fn(&str) -> bool, _: &mut dyn FnMut(&str, &str)) {}

    fn set(&self, _: &[(&[u8], &[u8])]) -> Result<(), ConfigError> {
        Ok(())
    }

    fn rewrite(&self) -> Result<(), RewriteError> {
        Err(RewriteError::NoFile)
    }

    fn users(&self) -> Arc<Users> {
        Arc::new(Users::new(self.password.map(Digest::of)))
    }

    fn tls(&self) -> Option<Profile> {
        self.profile.as_ref().map(|profile| profile.lock().expect("nobody panics").clone())
    }
}

/// Workers that share a table, and their time.
struct Stage {
    workers: Vec<Worker>,
    unix_us: Arc<AtomicU64>,
    rung: Arc<AtomicUsize>,
}

const START_US: u64 = 1_800_000_000_000_000;

fn stage(workers: usize, limits: Limits) -> Stage {
    stage_with(workers, Fixed { limits, password: None, profile: None })
}

fn stage_with(workers: usize, settings: impl Settings + 'static) -> Stage {
    let unix_us = Arc::new(AtomicU64::new(START_US));
    let clock = Clock::virtual_time(Arc::clone(&unix_us));
    let rung = Arc::new(AtomicUsize::new(0));
    let (posts, mail): (Vec<_>, Vec<_>) = (0..workers)
        .map(|_| {
            let rung = Arc::clone(&rung);
            Post::new(Box::new(move || {
                rung.fetch_add(1, Ordering::Relaxed);
            }))
        })
        .unzip();
    let identity = Identity {
        run_id: "0".repeat(40),
        started: Now { unix_us: START_US },
        started_ms: clock.monotonic_ms(),
        startup_bytes: 0,
        executable: String::new(),
        process: 1,
        port: 6379,
        config_file: String::new(),
        engine: "none",
        rung: String::new(),
        os: String::new(),
    };
    let shared = Arc::new(Shared::new(Table::new(), Box::new(settings), posts.into(), identity));
    let seats = mail.into_iter().enumerate();
    let workers = seats.map(|(id, mail)| Worker::new(Arc::clone(&shared), id, clock.clone(), mail)).collect();
    Stage { workers, unix_us, rung }
}

impl Stage {
    /// Gives the server a journal on a disk in memory. Calling the result does what the journal's thread does in a step.
    fn keep_a_journal(&self) -> impl FnMut() + use<> {
        let (ring, mut write) = stand_in();
        let shared = Arc::clone(&self.workers[0].shared);
        shared.name_journal(Journal::new(ring, true, Box::new(|| {})));
        move || {
            write(&shared.journal().expect("it was named above").ring);
            shared.tell_expecting();
        }
    }

    fn pass(&self, time: Duration) {
        let microseconds = u64::try_from(time.as_micros()).expect("tests take no ages");
        self.unix_us.fetch_add(microseconds, Ordering::Relaxed);
    }
}

const LOCAL: &str = "127.0.0.1:50000";

fn peer(remote: &str) -> Peer {
    let local = "127.0.0.1:6379".parse().expect("an address");
    Peer::tcp(remote.parse().expect("an address"), local)
}

/// What an engine does, for one connection at a time.
impl Worker {
    fn connect(&mut self) -> Token {
        assert_eq!(self.admit(&peer(LOCAL)), Admission::Here);
        self.open(peer(LOCAL), 7)
    }

    fn hear(&mut self, token: Token, bytes: &[u8]) {
        for block in bytes.chunks(limits::BLOCK_BYTES) {
            self.handle_bytes(token, &mut block.to_vec());
        }
    }

    /// Whether it is among the connections to look at; all others are looked at, too.
    fn is_listed(&mut self, token: Token) -> bool {
        let mut listed = false;
        while let Some(changed) = self.next_changed() {
            listed |= changed == token;
        }
        listed
    }

    fn wanted(&mut self, token: Token) -> Wants {
        self.wants(token).expect("the connection is there")
    }

    /// Sends all that wants to leave.
    fn flush(&mut self, token: Token) -> Vec<u8> {
        let mut left = Vec::new();
        while self.wants(token).is_some_and(|wants| wants.send) {
            let bytes = self.start_send(token).expect("it wants to send").bytes.to_vec();
            self.handle_sent(token, bytes.len());
            left.extend_from_slice(&bytes);
        }
        left
    }

    fn finish_turn(&mut self) -> Option<Duration> {
        while self.next_changed().is_some() {}
        self.end_turn()
    }

    /// A whole turn with one delivery.
    fn turn(&mut self, token: Token, bytes: &[u8]) -> Vec<u8> {
        self.begin_turn();
        self.hear(token, bytes);
        let left = self.flush(token);
        self.finish_turn();
        left
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn replies_wait_for_the_position_they_depend_on() {
    let mut stage = stage(1, Limits { sync: SyncPolicy::Always, ..Limits::default() });
    let mut journal = stage.keep_a_journal();
    let worker = &mut stage.workers[0];
    let token = worker.connect();
    worker.begin_turn();
    worker.hear(token, b"INCR n\r\nINCR n\r\n");
    let Wants { send, owes, .. } = worker.wanted(token);
    assert!(!send && owes, "nothing is acknowledged before it is safe");
    let reader = worker.connect();
    assert!(!worker.wanted(reader).owes, "only what was asked is owed");
    worker.hear(reader, b"PING\r\n");
    assert_eq!(text(&worker.flush(reader)), "+PONG\r\n", "it shows nothing that could be lost");
    worker.hear(reader, b"GET n\r\n");
    assert!(!worker.wanted(reader).send, "nor is it shown to anybody");
    worker.finish_turn();
    journal();
    worker.begin_turn();
    worker.handle_mail();
    assert!(worker.is_listed(token), "the engine is told to look again");
    assert!(!worker.wanted(token).owes, "it may leave now");
    assert_eq!(text(&worker.flush(token)), ":1\r\n:2\r\n");
    assert_eq!(text(&worker.flush(reader)), "$1\r\n2\r\n");
}

#[test]
fn requests_behind_a_pending_reply_wait_for_it() {
    let mut stage = stage(2, Limits::default());
    let (first, second) = stage.workers.split_at_mut(1);
    let (asking, asked) = (&mut first[0], &mut second[0]);
    let token = asking.connect();
    assert_eq!(asking.turn(token, b"CLIENT KILL TYPE replica\r\nINCR n\r\n"), b"");
    assert_eq!(asking.turn(token, b"INCR n\r\n"), b"", "what comes later waits, too");
    assert!(asking.wanted(token).read, "and is kept meanwhile");
    asked.begin_turn();
    asked.handle_mail();
    asked.finish_turn();
    asking.begin_turn();
    asking.handle_mail();
    assert_eq!(text(&asking.flush(token)), ":0\r\n:1\r\n:2\r\n");
    assert!(stage.rung.load(Ordering::Relaxed) >= 2, "each side rang for the other");
}

#[test]
fn a_connection_gets_its_share_of_a_turn_and_no_more() {
    let mut stage = stage(1, Limits::default());
    let worker = &mut stage.workers[0];
    let (greedy, modest) = (worker.connect(), worker.connect());
    let request = b"*2\r\n$4\r\nINCR\r\n$1\r\ng\r\n";
    let requests = 4 * limits::TURN_BYTES / request.len();
    worker.begin_turn();
    worker.hear(greedy, &request.repeat(requests));
    worker.hear(modest, b"INCR m\r\n");
    assert_eq!(worker.flush(modest), b":1\r\n");
    let mut replies = worker.flush(greedy);
    let first = replies.iter().filter(|byte| **byte == b'\n').count();
    let share = limits::TURN_BYTES / request.len();
    assert!(
        (share..=share + limits::BATCH).contains(&first),
        "{first} requests in a turn, {share} are a share"
    );
    let mut turns = 1;
    while worker.finish_turn() == Some(Duration::ZERO) {
        worker.begin_turn();
        replies.extend(worker.flush(greedy));
        turns += 1;
    }
    assert!((4..=5).contains(&turns), "four shares took {turns} turns");
    let expected: String = (1..=requests).map(|n| format!(":{n}\r\n")).collect();
    assert!(text(&replies) == expected, "every request is answered, in order");
}

#[test]
fn who_takes_no_replies_is_not_read_from_until_patience_ends() {
    let limits = Limits { output_buffer: 8 << 20, ..Limits::default() };
    let mut stage = stage(1, limits);
    let token = stage.workers[0].connect();
    let value = "v".repeat(600_000);
    stage.workers[0].turn(token, format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000\r\n{value}\r\n").as_bytes());
    let worker = &mut stage.workers[0];
    worker.begin_turn();
    worker.hear(token, &b"GET k\r\n".repeat(5));
    assert!(!worker.wanted(token).read, "above the soft mark nothing more is read");
    let unsent = worker.connections[token.slot as usize].unsent();
    assert!((limits::UNSENT_SOFT..limits::UNSENT_SOFT + 700_000).contains(&unsent), "{unsent}");
    assert_eq!(worker.finish_turn(), Some(Duration::from_millis(limits::UNSENT_PATIENCE_MS)));
    stage.pass(Duration::from_millis(limits::UNSENT_PATIENCE_MS));
    let worker = &mut stage.workers[0];
    worker.begin_turn();
    assert!(worker.wanted(token).read, "it may be one that writes everything before it reads");
    let unsent = worker.connections[token.slot as usize].unsent();
    assert!(unsent > 5 * 600_000, "{unsent}");
    worker.hear(token, &b"GET k\r\n".repeat(1000));
    assert_eq!(worker.wanted(token).end, End::All, "but not for ever");
    let unsent = worker.connections[token.slot as usize].unsent();
    assert!(
        unsent < limits.output_buffer + 700_000,
        "the limit is held while requests are executed: {unsent}"
    );
}

#[test]
fn the_last_reply_is_not_cut_off_by_unread_input() {
    let mut stage = stage(1, Limits::default());
    let worker = &mut stage.workers[0];
    let token = worker.connect();
    worker.begin_turn();
    worker.hear(token, b"QUIT\r\nINCR n\r\n");
    assert_eq!(worker.wanted(token).end, End::Open);
    assert_eq!(worker.flush(token), b"+OK\r\n");
    assert_eq!(worker.wanted(token), Wants { read: true, send: false, owes: false, end: End::Send });
    worker.hear(token, b"INCR n\r\n");
    assert!(!worker.wanted(token).send, "what comes after the end is dropped");
    worker.finish_turn();
    stage.pass(Duration::from_millis(limits::LINGER_MS));
    let worker = &mut stage.workers[0];
    worker.begin_turn();
    assert_eq!(worker.wanted(token).end, End::All, "a client that never closes is not waited for long");
    worker.closed(token);
    assert_eq!(worker.connections(), 0);
}

#[test]
fn draining_lets_clients_finish_what_they_are_sending() {
    let mut stage = stage(1, Limits::default());
    let worker = &mut stage.workers[0];
    let (silent, talking) = (worker.connect(), worker.connect());
    stage.pass(Duration::from_millis(limits::DRAIN_SILENCE_MS));
    let worker = &mut stage.workers[0];
    worker.turn(talking, b"INCR n\r\n");
    worker.shared.posts[0].send(Message::Drain).expect("the mailbox has room");
    worker.begin_turn();
    worker.handle_mail();
    assert!(worker.draining() && !worker.finished());
    assert_eq!(worker.wanted(silent).end, End::Receive);
    assert_eq!(worker.wanted(talking).end, End::Open);
    worker.finish_turn();
    for _ in 0..limits::DRAIN_TALK_MS / 40 {
        stage.pass(Duration::from_millis(40));
        assert!(stage.workers[0].turn(talking, b"INCR n\r\n").starts_with(b":"));
    }
    let worker = &mut stage.workers[0];
    assert_eq!(worker.wanted(talking).end, End::Receive, "who never stops is stopped");
    for token in [silent, talking] {
        worker.handle_end(token);
        assert_eq!(worker.wanted(token).end, End::All);
        worker.closed(token);
    }
    assert!(worker.finished());
}

#[test]
fn what_follows_a_reset_is_bounded_as_before_auth() {
    let wire = b"AUTH pw\r\nPING\r\nRESET\r\n*11\r\n$4\r\nMGET\r\n$1\r\na\r\n";
    for block in [wire.len(), 1] {
        let settings = Fixed { limits: Limits::default(), password: Some(b"pw"), profile: None };
        let mut stage = stage_with(1, settings);
        let worker = &mut stage.workers[0];
        let token = worker.connect();
        let replies: Vec<u8> = wire.chunks(block).flat_map(|block| worker.turn(token, block)).collect();
        let expected = "+OK\r\n+PONG\r\n+RESET\r\n-ERR Protocol error: unauthenticated multibulk length\r\n";
        assert_eq!(text(&replies), expected, "in blocks of {block}");
    }
}

#[test]
fn idle_connections_end_and_busy_ones_do_not() {
    let mut stage = stage(1, Limits { idle_seconds: 2, ..Limits::default() });
    let tokens: Vec<Token> = (0..30).map(|_| stage.workers[0].connect()).collect();
    for _ in 0..25 {
        stage.pass(Duration::from_millis(100));
        stage.workers[0].turn(tokens[3], b"PING\r\n");
    }
    for _ in 0..12 {
        stage.pass(Duration::from_millis(100));
        stage.workers[0].turn(tokens[3], b"PING\r\n");
    }
    for token in tokens.iter().copied() {
        let expected = if token == tokens[3] { End::Open } else { End::All };
        assert_eq!(stage.workers[0].wanted(token).end, expected);
    }
}

#[test]
fn connections_are_admitted_where_there_is_room() {
    let mut stage = stage(2, Limits { max_clients: 4, ..Limits::default() });
    let worker = &mut stage.workers[0];
    let admitted: Vec<Admission> = (0..4).map(|_| worker.admit(&peer(LOCAL))).collect();
    assert_eq!(admitted.iter().filter(|admission| **admission == Admission::Here).count(), 2);
    assert_eq!(admitted.iter().filter(|admission| **admission == Admission::To(1)).count(), 2);
    let refused = worker.admit(&peer(LOCAL));
    assert_eq!(refused, Admission::Refused(b"-ERR max number of clients reached\r\n"));
}

#[test]
fn without_a_password_only_this_machine_is_served() {
    let mut closed = stage(1, Limits::default());
    for remote in ["192.0.2.1:4000", "[2001:db8::1]:4000", "[::ffff:192.0.2.1]:4000"] {
        let Admission::Refused(reply) = closed.workers[0].admit(&peer(remote)) else { panic!("{remote}") };
        assert!(reply.starts_with(b"-DENIED ") && reply.ends_with(b"\r\n"));
        assert_eq!(reply.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
    }
    for remote in [LOCAL, "[::1]:4000", "[::ffff:127.0.0.1]:4000"] {
        assert_eq!(closed.workers[0].admit(&peer(remote)), Admission::Here, "{remote}");
    }
    assert_eq!(closed.workers[0].admit(&Peer::Unix), Admission::Here);
    let mut open = stage(1, Limits { local_only: false, ..Limits::default() });
    assert_eq!(open.workers[0].admit(&peer("192.0.2.1:4000")), Admission::Here);
}

#[test]
fn what_comes_late_for_a_closed_connection_harms_nobody() {
    let mut stage = stage(1, Limits::default());
    let worker = &mut stage.workers[0];
    let old = worker.connect();
    worker.turn(old, b"INCR n\r\n");
    worker.handle_broken(old);
    worker.closed(old);
    let new = worker.connect();
    assert_eq!(new.slot, old.slot, "the slot is used again");
    assert_ne!(new.generation, old.generation);
    worker.begin_turn();
    worker.hear(old, b"INCR n\r\n");
    worker.handle_sent(old, 4);
    worker.handle_end(old);
    worker.handle_broken(old);
    worker.closed(old);
    assert!(worker.wants(old).is_none() && worker.start_send(old).is_none());
    assert_eq!(worker.turn(new, b"INCR n\r\n"), b":2\r\n");
}

#[test]
fn a_request_in_single_bytes_is_one_request() {
    let mut stage = stage(1, Limits::default());
    let worker = &mut stage.workers[0];
    let token = worker.connect();
    let request = b"*3\r\n$6\r\nINCRBY\r\n$3\r\nkey\r\n$2\r\n40\r\nINCRBY key 2\r\n";
    let replies: Vec<u8> = request.iter().flat_map(|byte| worker.turn(token, &[*byte])).collect();
    assert_eq!(text(&replies), ":40\r\n:42\r\n");
    assert!(worker.connections[token.slot as usize].input.is_empty());
}
