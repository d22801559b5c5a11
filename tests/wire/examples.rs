//! The sessions in the documents, played: every reply is printed as redis-cli prints it, and compared with the page.
//!
//! A session is a fenced block with lines that begin with redis-cli's prompt; those of one section go on from each other, on
//! a server that is empty at its beginning. Where a reply tells of time, a tenth may lie between it and the page.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::server::{Engine, Server};

on_every_engine![sessions_go_as_written];

const PAGES: [&str; 2] = ["README.md", "docs/examples.md"];

const PROMPT: &str = "127.0.0.1:6379> ";

/// Commands whose replies tell of time, and how many numbers at their end do.
const TIMES: [(&str, usize); 5] =
    [("TTL", 1), ("PTTL", 1), ("GETTTL", 1), ("CL.THROTTLE", 2), ("CL.PEEK", 2)];

/// A request and what redis-cli prints of its reply.
struct Exchange {
    request: String,
    printed: String,
}

impl Exchange {
    fn name(&self) -> &str {
        self.request.split(' ').next().unwrap_or_default()
    }
}

fn sessions_go_as_written(engine: Engine) {
    let mut played = 0;
    for page in PAGES {
        let text =
            fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect("a page is readable");
        let server = Server::start(engine);
        let mut client = server.connect();
        for section in sections(&text) {
            client.ask(&["FLUSHALL"], "+OK\r\n");
            for exchange in section {
                client.send_words(&exchange.request);
                let is = printed(&client.reply());
                let (name, should) = (exchange.name(), &exchange.printed);
                assert!(
                    agrees(name, &is, should),
                    "{page}\n{PROMPT}{}\n{is}\nis written there as\n{should}",
                    exchange.request
                );
                played += 1;
            }
        }
    }
    assert!(played >= 25, "only {played} requests were found in {PAGES:?}");
}

/// The exchanges of each section that has any.
fn sections(text: &str) -> Vec<Vec<Exchange>> {
    let mut sections: Vec<Vec<Exchange>> = vec![Vec::new()];
    let mut fenced = false;
    let mut session = false;
    for line in text.lines() {
        if line.starts_with("```") {
            (fenced, session) = (!fenced, false);
        } else if !fenced && line.starts_with("## ") {
            sections.push(Vec::new());
        } else if fenced {
            let section = sections.last_mut().expect("there is one from the beginning");
            if let Some(request) = line.strip_prefix(PROMPT) {
                session = true;
                section.push(Exchange { request: request.to_owned(), printed: String::new() });
            } else if session {
                let exchange = section.last_mut().expect("a session begins with a request");
                writeln!(exchange.printed, "{line}").expect("a string can be written to");
            }
        }
    }
    sections.retain(|section| !section.is_empty());
    sections
}

/// Whether a reply is what the page says, but for the time that has passed.
fn agrees(name: &str, is: &str, should: &str) -> bool {
    if is == should {
        return true;
    }
    let Some((_, times)) = TIMES.iter().find(|(time, _)| *time == name) else { return false };
    let (is, should): (Vec<&str>, Vec<&str>) = (is.lines().collect(), should.lines().collect());
    let from = should.len().saturating_sub(*times);
    is.len() == should.len()
        && is[..from] == should[..from]
        && is[from..].iter().zip(&should[from..]).all(|(is, should)| is == should || is_near(is, should))
}

/// Whether two lines are the same but for a time, and by how much that may differ.
fn is_near(is: &str, should: &str) -> bool {
    let number = |line: &str| {
        let (before, digits) = line.rsplit_once(' ')?;
        Some((before.to_owned(), digits.parse::<u64>().ok()?))
    };
    let (Some((before, is)), Some((written, should))) = (number(is), number(should)) else { return false };
    before == written && is.abs_diff(should) <= should.div_ceil(10)
}

/// A reply as redis-cli prints it for people.
fn printed(reply: &[u8]) -> String {
    let mut text = String::new();
    let rest = print(reply, "", &mut text);
    assert!(rest.is_empty(), "one reply, and no more: {}", rest.escape_ascii());
    text
}

/// Prints the first reply of `bytes`, of which lines but the first begin with `indent`. Gives what follows it.
fn print<'b>(bytes: &'b [u8], indent: &str, text: &mut String) -> &'b [u8] {
    let end = bytes.windows(2).position(|two| two == b"\r\n").expect("a whole reply");
    let (head, rest) = (String::from_utf8_lossy(&bytes[1..end]), &bytes[end + 2..]);
    match bytes[0] {
        b'+' => *text += &format!("{head}\n"),
        b'-' => *text += &format!("(error) {head}\n"),
        b':' => *text += &format!("(integer) {head}\n"),
        b'$' | b'*' if head == "-1" => *text += "(nil)\n",
        b'$' => {
            let length: usize = head.parse().expect("a length");
            *text += &format!("\"{}\"\n", rest[..length].escape_ascii());
            return &rest[length + 2..];
        }
        b'*' if head == "0" => *text += "(empty array)\n",
        b'*' => {
            let width = head.len();
            let deeper = format!("{indent}{}", " ".repeat(width + 2));
            let mut rest = rest;
            for element in 1..=head.parse::<usize>().expect("a count") {
                let before = if element == 1 { "" } else { indent };
                *text += &format!("{before}{element:width$}) ");
                rest = print(rest, &deeper, text);
            }
            return rest;
        }
        kind => panic!("a page shows no reply of kind {:?}", char::from(kind)),
    }
    rest
}

#[test]
fn replies_are_printed_as_redis_cli_does() {
    let is = printed(b"*3\r\n*2\r\n:1\r\n$-1\r\n*0\r\n*1\r\n*2\r\n+OK\r\n-ERR no\r\n");
    let should = "1) 1) (integer) 1\n   2) (nil)\n2) (empty array)\n3) 1) 1) OK\n      2) (error) ERR no\n";
    assert_eq!(is, should);
    let eleven = printed(&[&b"*11\r\n"[..], &b"$1\r\n\"\r\n".repeat(11)].concat());
    assert!(eleven.starts_with(" 1) \"\\\"\"\n") && eleven.ends_with("\n11) \"\\\"\"\n"), "{eleven}");
}

#[test]
fn times_may_differ_a_little() {
    assert!(agrees("TTL", "(integer) 95\n", "(integer) 100\n"));
    assert!(
        !agrees("TTL", "(integer) 80\n", "(integer) 100\n")
            && !agrees("TTL", "(integer) -1\n", "(integer) 1\n")
    );
    assert!(!agrees("GET", "(integer) 95\n", "(integer) 100\n"));
    assert!(!agrees("GETTTL", "1) (integer) 95\n2) (integer) 9\n", "1) (integer) 100\n2) (integer) 9\n"));
}
