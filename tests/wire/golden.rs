//! Transcripts of sessions with Redis 7.0.15, which every engine has to answer in the same bytes.
//!
//! The files of `tests/golden/`: `# title` begins a session on an empty server, `n> words` is what client n asks, and
//! the line behind it the reply, its bytes escaped as Rust escapes them. To record them anew, or, with a seed, to add
//! the stream and the sums of that seed:
//!
//! ```text
//! TALLYRING_REDIS=/usr/bin/redis-server TALLYRING_RECORD_SEED=7 cargo test --test wire golden::record -- --ignored
//! ```
//!
//! A new session is written without its replies, and gets them by recording.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::client::{Client, escape, request};
use crate::differential::{CLIENTS, Request, Step, TIMES, floats, redis, stream};
use crate::server::{Engine, Server};

on_every_engine![replies_are_as_recorded];

/// Sums in the transcript of a seed.
const SUMS: usize = 150;

/// A line of a transcript.
enum Line {
    /// A new session.
    Title(String),
    /// A client's request, and the reply to it, where it is known.
    Ask(usize, Request, Option<Vec<u8>>),
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("there are transcripts");
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the folder is readable").path()).collect();
    files.sort();
    files
}

fn replies_are_as_recorded(engine: Engine) {
    let files = files();
    assert!(files.len() >= 5, "there are transcripts");
    for file in files {
        let text = fs::read_to_string(&file).expect("a transcript is readable");
        let server = Server::start(engine);
        let mut clients = Vec::new();
        for line in lines(&text) {
            match line {
                Line::Title(_) => clients = begin(&server),
                Line::Ask(client, words, reply) => {
                    let should = reply.unwrap_or_else(|| panic!("{} has to be recorded", file.display()));
                    clients[client].send(request(&words));
                    let is = clients[client].reply();
                    assert!(
                        is == should,
                        "{}\n  to        {}\n  is        {}\n  recorded  {}",
                        file.display(),
                        shown(&words),
                        escape(&is),
                        escape(&should)
                    );
                }
            }
        }
    }
}

#[test]
#[ignore = "writes tests/golden anew: set TALLYRING_REDIS and run with --ignored"]
fn record() {
    let reference = Server::reference(&redis());
    if let Ok(seed) = std::env::var("TALLYRING_RECORD_SEED") {
        let seed = seed.parse().expect("TALLYRING_RECORD_SEED is a number");
        for (name, steps) in [("stream", stream(seed)), ("floats", floats(seed, SUMS))] {
            let text = format!("# {name} of seed {seed}\n") + &requests(steps);
            fs::write(folder().join(format!("{name}-{seed}.txt")), text).expect("the folder is writable");
        }
    }
    for file in files() {
        let text = fs::read_to_string(&file).expect("a transcript is readable");
        let mut recorded = String::new();
        let mut clients = Vec::new();
        for line in lines(&text) {
            match line {
                Line::Title(title) => {
                    clients = begin(&reference);
                    writeln!(recorded, "# {title}").expect("a string can be written to");
                }
                Line::Ask(client, words, _) => {
                    clients[client].send(request(&words));
                    let reply = clients[client].reply();
                    writeln!(recorded, "{client}> {}\n{}", shown(&words), reply.escape_ascii())
                        .expect("a string can be written to");
                }
            }
        }
        fs::write(&file, recorded).expect("a transcript is writable");
    }
}

/// The requests of a stream whose replies are the same at any time.
fn requests(steps: Vec<Step>) -> String {
    let mut text = String::new();
    for step in steps {
        let Step::Ask(client, pipeline) = step else { continue };
        for words in pipeline {
            let name = words[0].to_ascii_uppercase();
            let timed = TIMES.iter().any(|(time, _)| time.as_bytes() == name);
            let passes = words.windows(2).any(|two| two == [&b"PX"[..], b"1"]);
            if !timed && !passes && name != b"HELLO" {
                writeln!(text, "{client}> {}", shown(&words)).expect("a string can be written to");
            }
        }
    }
    text
}

fn begin(server: &Server) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
    clients[0].ask(&["FLUSHALL"], "+OK\r\n");
    clients
}

fn lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            lines.push(Line::Title(title.to_owned()));
        } else if let Some((client, words)) = line.split_once("> ")
            && let Ok(client) = client.parse()
        {
            lines.push(Line::Ask(client, split(words), None));
        } else if let Some(Line::Ask(_, _, reply @ None)) = lines.last_mut() {
            *reply = Some(unescape(line));
        } else {
            panic!("no line of a transcript: {line}");
        }
    }
    lines
}

/// Words with blanks between them, each in double quotes.
fn shown(words: &[Vec<u8>]) -> String {
    words.iter().map(|word| escape(word)).collect::<Vec<_>>().join(" ")
}

/// Words as [`shown`] writes them, or plain ones.
fn split(line: &str) -> Request {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let quoted = rest.strip_prefix('"');
        let body = quoted.unwrap_or(rest);
        let mut escaped = false;
        let end = body.find(|letter| {
            let ends = !escaped && letter == if quoted.is_some() { '"' } else { ' ' };
            escaped = !escaped && letter == '\\';
            ends
        });
        let end = end.unwrap_or(body.len());
        words.push(unescape(&body[..end]));
        rest = body[end..].trim_start_matches('"').trim_start();
    }
    words
}

/// What `escape_ascii` has escaped.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().expect("something is escaped") {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                b'x' => {
                    let digits: String = rest.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
                }
                other => other,
            },
            _ => byte,
        });
    }
    bytes
}

#[test]
fn words_come_back_as_they_were_shown() {
    let words: Request =
        vec![b"SET".to_vec(), b"".to_vec(), b"a \"b\" \\".to_vec(), (0..=255).collect(), b"\\\"".to_vec()];
    assert_eq!(split(&shown(&words)), words);
    assert_eq!(split("SET k \"a b\" 5"), [&b"SET"[..], b"k", b"a b", b"5"]);
}
