//! Requests too large to be held, in blocks of any size and by hostile hands.

use super::{Token, Worker, stage, text};
use crate::connection::End;
use crate::limits::{self, Limits};

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
    play_on(worker, token, bytes, block)
}

fn play_on(worker: &mut Worker, token: Token, bytes: &[u8], block: usize) -> Vec<u8> {
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
    assert!(numbers.starts_with("*1000\r\n:1\r\n:2\r\n"), "{numbers}");
    assert_eq!(worker.wanted(token).end, End::Send);
    let other = worker.connect();
    let left = text(&worker.turn(other, b"GET n\r\n"));
    let counted: usize = left.lines().nth(1).and_then(|line| line.parse().ok()).expect("a number");
    assert_eq!(numbers.lines().last(), Some(format!(":{counted}").as_str()));
    let executed = 2 * counted;
    let note = format!(
        " Protocol error: expected '$', got '!' ({executed} of 2000 arguments of mincrby were executed)"
    );
    assert_eq!(error.trim_end(), note);
}

#[test]
fn a_long_key_ends_a_request_in_parts() {
    let mut stage = stage(1, Limits { stream_threshold: 1000, ..Limits::default() });
    let worker = &mut stage.workers[0];
    let token = worker.connect();
    let keys = (0..500).map(|n| if n == 300 { "k".repeat(limits::KEY_BYTES + 1) } else { "k".to_owned() });
    let bytes = words("EXISTS", keys);
    let replies = play_on(worker, token, &bytes, 512);
    let error = "-ERR key is too long (65537 bytes, at most 65536) (300 of 500 arguments of exists were executed)\r\n";
    assert_eq!(text(&replies), error);
    assert_eq!(worker.wanted(token).end, End::Send);
}

#[test]
fn only_requests_in_parts_may_have_any_number_of_arguments() {
    let limits = Limits { max_args: 100, stream_threshold: 300, ..Limits::default() };
    let keys = |count: usize| (0..count).map(|n| format!("k{n}"));
    let error = "-ERR Protocol error: invalid multibulk length\r\n";
    for (bytes, expected) in [
        (words("MGET", keys(2000)), format!("*2000\r\n{}", "$-1\r\n".repeat(2000))),
        // The same where it arrives whole.
        (words("DEL", keys(101)), ":0\r\n".to_owned()),
        (words("MSET", keys(98)), "+OK\r\n".to_owned()),
        (words("MSET", keys(100)), error.to_owned()),
        // Refused before the rest of it has come.
        (words("MSET", keys(2000))[..400].to_vec(), error.to_owned()),
    ] {
        for block in [150, 4096] {
            let mut stage = stage(1, limits);
            let replies = play(&mut stage.workers[0], &bytes, block);
            assert_eq!(text(&replies), expected, "in blocks of {block} bytes");
        }
    }
}
