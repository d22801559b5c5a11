//! Whether work is linear in the bytes that arrive, however they arrive: `cargo bench --bench linear`.
//!
//! Each case is a request, or many, in single bytes, a turn each. It runs under `valgrind --tool=callgrind`, which counts
//! instructions the same way every time, once with some bytes and once with four times as many. Four times as many
//! instructions are linear; where work on what has already arrived is done again, it is up to sixteen times.

#[path = "micro/core.rs"]
mod core;

use std::process::{Command, ExitCode};

use self::core::Core;

/// Bytes of the smaller run; the larger has a mebibyte.
const SMALL: usize = 256 * 1024;

/// By how much the larger run is larger.
const FACTOR: usize = 4;

/// Instructions of the larger run in terms of the smaller one's, in per cent, that still count as linear: growing the
/// carry in steps of an eighth moves some bytes again.
const LINEAR: u64 = 100 * FACTOR as u64 * 11 / 10;

/// A case's name, and bytes of about that number for it.
type Case = (&'static str, fn(usize) -> Vec<u8>);

const CASES: [Case; 8] = [
    ("a held request of short arguments", |bytes| request("MSET", bytes / 20 * 2, "key:1")),
    ("a held request of long arguments", |bytes| request("MSET", 6, &"k".repeat(bytes / 6))),
    ("a request of one long argument", |bytes| request("ECHO", 1, &"k".repeat(bytes))),
    ("a request in parts", |bytes| request("MGET", bytes / 11, "key:1")),
    ("a request in parts of pairs", |bytes| request("MINCRBY", bytes / 7 / 2 * 2, "1")),
    ("a request that is dropped", |bytes| request("GET", bytes / 11, "key:1")),
    ("many short requests", |bytes| b"*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n".repeat(bytes / 24)),
    ("many short lines", |bytes| b"INCR k\r\n".repeat(bytes / 8)),
];

fn request(name: &str, count: usize, argument: &str) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n${}\r\n{name}\r\n", count + 1, name.len()).into_bytes();
    bytes.extend(format!("${}\r\n{argument}\r\n", argument.len()).repeat(count).into_bytes());
    bytes
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [play, case, bytes] = arguments.as_slice()
        && play == "--play"
    {
        let (_, input) = CASES[case.parse::<usize>().expect("a case's number")];
        return deliver(&mut input(bytes.parse().expect("a number of bytes")));
    }
    let mut linear = true;
    for (number, (name, _)) in CASES.iter().enumerate() {
        let small = instructions(number, SMALL);
        let large = instructions(number, SMALL * FACTOR);
        let per_cent = large * 100 / small;
        let verdict = if per_cent <= LINEAR { "linear" } else { "NOT LINEAR" };
        linear &= per_cent <= LINEAR;
        println!(
            "{name}: {small} instructions, {large} for {FACTOR} times the bytes: {per_cent} %, {verdict}"
        );
    }
    if linear { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A byte at a time.
fn deliver(bytes: &mut [u8]) -> ExitCode {
    let mut core = Core::new();
    for byte in bytes {
        core.turn(std::slice::from_mut(byte));
    }
    ExitCode::SUCCESS
}

/// Instructions of a case with so many bytes, without those of a run with none.
fn instructions(case: usize, bytes: usize) -> u64 {
    counted(case, bytes) - counted(case, 0)
}

fn counted(case: usize, bytes: usize) -> u64 {
    let program = std::env::current_exe().expect("a running program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--play".to_owned(), case.to_string(), bytes.to_string()])
        .output()
        .expect("valgrind is installed (apt-get install valgrind)");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "valgrind ended with {}: {text}", output.status);
    let line =
        text.lines().find(|line| line.contains("Collected :")).expect("callgrind says what it counted");
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number ends the line")
}
