//! The core without sockets: a test plays the engine, and time stands still unless it says otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::{Admission, Identity, Message, Post, Settings, Shared, Token, Worker};
use crate::clock::Clock;
use crate::command::{ConfigError, Now};
use crate::connection::{End, Peer, Wants};
use crate::limits::{self, Limits};
use crate::table::Table;

/// The directives of a test.
struct Fixed(Limits);

impl Settings for Fixed {
    fn limits(&self) -> Limits {
        self.0
    }

    fn get(&self, _: &dyn Fn(&str) -> bool, _: &mut dyn FnMut(&str, &str)) {}

    fn set(&self, _: &[(&[u8], &[u8])]) -> Result<(), ConfigError> {
        Ok(())
    }

    fn has_password(&self) -> bool {
        false
    }

    fn check_password(&self, _: &[u8]) -> Option<bool> {
        None
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
    let shared = Arc::new(Shared::new(Table::new(), Box::new(Fixed(limits)), posts.into(), identity));
    let seats = mail.into_iter().enumerate();
    let workers = seats.map(|(id, mail)| Worker::new(Arc::clone(&shared), id, clock.clone(), mail)).collect();
    Stage { workers, unix_us, rung }
}

impl Stage {
    fn pass(&self, time: Duration) {
        let microseconds = u64::try_from(time.as_micros()).expect("tests take no ages");
        self.unix_us.fetch_add(microseconds, Ordering::Relaxed);
    }
}

const LOCAL: &str = "127.0.0.1:50000";

fn peer(remote: &str) -> Peer {
    let local = "127.0.0.1:6379".parse().expect("an address");
    Peer::Tcp { remote: remote.parse().expect("an address"), local }
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
    let mut stage = stage(1, Limits::default());
    let worker = &mut stage.workers[0];
    let token = worker.connect();
    worker.begin_turn();
    worker.hear(token, b"INCR n\r\nINCR n\r\n");
    // As if a journal had given the second change position 7.
    worker.connections[token.slot as usize].wait = 7;
    assert!(!worker.wanted(token).send, "nothing is acknowledged before it is safe");
    worker.finish_turn();
    worker.shared.durable.store(6, Ordering::Release);
    worker.shared.posts[0].send(Message::Durable).expect("the mailbox has room");
    worker.begin_turn();
    worker.handle_mail();
    assert!(worker.is_listed(token) && !worker.wanted(token).send);
    worker.shared.durable.store(7, Ordering::Release);
    worker.shared.posts[0].send(Message::Durable).expect("the mailbox has room");
    worker.handle_mail();
    assert!(worker.is_listed(token), "the engine is told to look again");
    assert_eq!(text(&worker.flush(token)), ":1\r\n:2\r\n");
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
    assert_eq!(worker.wanted(token), Wants { read: true, send: false, end: End::Send });
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

/// A request of these arguments.
fn request<A: AsRef<[u8]>>(arguments: impl IntoIterator<Item = A, IntoIter: ExactSizeIterator>) -> Vec<u8> {
    let arguments = arguments.into_iter();
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        let argument = argument.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn words(name: &str, rest: impl IntoIterator<Item = String>) -> Vec<u8> {
    let all: Vec<String> = std::iter::once(name.to_owned()).chain(rest).collect();
    request(all)
}

/// Requests that are executed in parts, that are refused by their first arguments, and that are held.
fn large_requests() -> Vec<Vec<u8>> {
    let key = |n: usize| format!("k:{}", n * 7 % 400);
    let keys = |count: usize| (0..count).map(key);
    let pairs =
        |count: usize| (0..count).flat_map(|n| [key(n), if n % 9 == 0 { "x" } else { "3" }.to_owned()]);
    vec![
        words("MSET", (0..500).flat_map(|n| [key(n), if n % 5 == 0 { "text" } else { "10" }.to_owned()])),
        words("MGET", keys(3000)),
        words("EXISTS", keys(2500)),
        words("mincrby", pairs(2600)),
        words("TOUCH", keys(1025)),
        words("DEL", keys(200)),
        words("UNLINK", keys(1024)),
        words("MINCRBY", keys(1001)),
        words("GET", keys(1000)),
        words("NOSUCH", keys(1000)),
        words("CLIENT", keys(1000)),
        words("MGET", [String::new(), "a".repeat(3000), "b".repeat(100)]),
        b"INCR after\r\n".to_vec(),
    ]
}

#[test]
fn a_request_in_parts_is_answered_like_a_whole_one() {
    let bytes: Vec<u8> = large_requests().concat();
    let mut whole = stage(1, Limits { stream_threshold: usize::MAX, ..Limits::default() });
    let expected = play(&mut whole.workers[0], &bytes, bytes.len());
    assert!(expected.ends_with(b":1\r\n"));
    for block in [1, 2, 3, 7, 64, 1000, 4096] {
        for stream_threshold in [16, 1000, 10_000] {
            let mut parts = stage(1, Limits { stream_threshold, ..Limits::default() });
            let worker = &mut parts.workers[0];
            let replies = play(worker, &bytes, block);
            assert!(replies == expected, "blocks of {block}, from {stream_threshold} bytes on");
            worker.end_turn();
            let streamed = worker.shared.counts().streamed;
            let least = if stream_threshold == 16 { 7 } else { 2 };
            assert!(streamed >= least, "{streamed} requests were worked off as they arrived");
        }
    }
}

/// Delivers `bytes` in blocks, a turn each, and gives all replies.
fn play(worker: &mut Worker, bytes: &[u8], block: usize) -> Vec<u8> {
    let token = worker.connect();
    let mut replies = Vec::new();
    for block in bytes.chunks(block) {
        worker.begin_turn();
        worker.handle_bytes(token, &mut block.to_vec());
        replies.extend(worker.flush(token));
        worker.finish_turn();
        while !worker.throttled.is_empty() {
            worker.begin_turn();
            replies.extend(worker.flush(token));
            worker.finish_turn();
        }
    }
    replies
}

#[test]
fn a_request_in_parts_holds_neither_its_bytes_nor_its_replies() {
    let mut stage = stage(1, Limits::default());
    let worker = &mut stage.workers[0];
    let token = worker.connect();
    let bytes = words("MGET", (0..100_000).map(|n| format!("key:{n}")));
    worker.begin_turn();
    let mut most = 0;
    let mut replies = 0;
    for block in bytes.chunks(limits::BLOCK_BYTES) {
        while !worker.wanted(token).read {
            replies += worker.flush(token).len();
            worker.finish_turn();
            worker.begin_turn();
        }
        worker.handle_bytes(token, &mut block.to_vec());
        let connection = &worker.connections[token.slot as usize];
        most = most.max(connection.input.len() + connection.unsent());
    }
    while !worker.throttled.is_empty() || worker.wanted(token).send {
        replies += worker.flush(token).len();
        worker.finish_turn();
        worker.begin_turn();
    }
    assert_eq!(replies, "*100000\r\n".len() + 100_000 * "$-1\r\n".len());
    assert!(most < 2 * limits::STREAM_UNSENT + limits::BACKLOG_BYTES, "{most} bytes were held");
}

#[test]
fn a_request_in_parts_that_breaks_off_leaves_what_was_done() {
    let mut stage = stage(1, Limits { stream_threshold: 1000, ..Limits::default() });
    let worker = &mut stage.workers[0];
    let token = worker.connect();
    let mut bytes = words("MINCRBY", (0..1000).flat_map(|_| ["n".to_owned(), "1".to_owned()]));
    let cut = bytes.len() / 2;
    bytes[cut..cut + 40].fill(b'!');
    let replies = text(&worker.turn(token, &bytes));
    let (numbers, error) = replies.split_once("-ERR").expect("there is an error");
    assert!(
        numbers.starts_with("*1000\r\n:1\r\n:2\r\n") && error.starts_with(" Protocol error: "),
        "{error}"
    );
    assert_eq!(worker.wanted(token).end, End::Send);
    let other = worker.connect();
    let left = text(&worker.turn(other, b"GET n\r\n"));
    assert!(left.starts_with("$3\r\n"), "half of them: {left}");
}
