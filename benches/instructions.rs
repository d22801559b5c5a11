//! Whether parts take more instructions than they did: `cargo bench --bench instructions`.
//!
//! Each case of `micro` that is listed runs under `valgrind --tool=callgrind`, which counts the same way every time: in calls
//! of the case alone, so often and then more often. The difference, by calls and units, is what one takes. `instructions.txt` has what it took last, and
//! why that changed; more than three percent above it fails. `-- --update "why"` writes the file anew.

#[path = "micro/core.rs"]
mod core;
#[path = "micro/decoder.rs"]
mod decoder;
#[path = "micro/encoder.rs"]
mod encoder;
#[path = "micro/integer.rs"]
mod integer;
#[path = "micro/shuffle.rs"]
mod shuffle;
#[path = "micro/table.rs"]
mod table;
#[path = "micro/timing.rs"]
#[expect(dead_code, reason = "here nothing is timed")]
mod timing;
#[path = "micro/turn.rs"]
mod turn;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use timing::{Bench, Effort};

/// What is counted.
const CASES: [&str; 13] = [
    "integer::parse, 4 to 6 digits",
    "encode::integer, 6 digits",
    "encode::bulk integer, 6 digits",
    "encode::bulk, 16 bytes",
    "decode::pipeline of INCR, a request",
    "decode::MGET of 10,000 arguments, an argument",
    "decode::inline PING",
    "decode::INCR in two deliveries",
    "table::add, 1000 keys, fetched ahead",
    "turn::INCR, 1000 keys, 64 a turn",
    "turn::INCR, 1000 keys, 1 a turn",
    "turn::MGET of 200 keys, a key",
    "turn::MINCRBY of 200 keys, a key",
];

/// Calls of the two runs: between them, what a call takes when everything is warm.
const CALLS: [u32; 2] = [50, 250];

/// Growth that fails, in percent.
const GROWTH: f64 = 3.0;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--play", case, calls] => {
            play(case, calls.parse().expect("a number of calls"));
            ExitCode::SUCCESS
        }
        ["--update", why] if !why.is_empty() => update(why),
        [] => compare(),
        other => {
            eprintln!("no such arguments: {other:?} (remedy: none, or --update \"why they grew\")");
            ExitCode::FAILURE
        }
    }
}

fn play(case: &str, calls: u32) {
    let mut bench = Bench::new(Some(case.to_owned()), Effort::Counted(calls));
    integer::run(&mut bench);
    encoder::run(&mut bench);
    decoder::run(&mut bench);
    table::run(&mut bench);
    turn::run(&mut bench);
}

/// Instructions of a case, by unit.
fn count(case: &str) -> f64 {
    let [few, many] = CALLS.map(|calls| counted(case, calls));
    let calls = f64::from(CALLS[1] - CALLS[0]);
    (many.0 - few.0) as f64 / calls / few.1
}

/// Instructions of a whole run, and units of a call.
fn counted(case: &str, calls: u32) -> (u64, f64) {
    let program = std::env::current_exe().expect("a running program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*counted_calls*"])
        .arg(program)
        .args(["--play", case, &calls.to_string()])
        .output()
        .expect("valgrind is installed (apt-get install valgrind)");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "valgrind ended with {}: {text}", output.status);
    let line =
        text.lines().find(|line| line.contains("Collected :")).expect("callgrind says what it counted");
    let total =
        line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number ends the line");
    let said = String::from_utf8_lossy(&output.stdout);
    let units = said.lines().find_map(|line| line.strip_prefix("units ")?.parse().ok());
    (total, units.unwrap_or_else(|| panic!("there is no case of this name: {case}")))
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

/// The figures of the file, by case.
fn recorded() -> BTreeMap<String, (f64, String)> {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let read = lines.filter_map(|line| {
        let mut parts = line.split('\t');
        let (case, figure, why) = (parts.next()?, parts.next()?, parts.next()?);
        Some((case.to_owned(), (figure.parse().ok()?, why.to_owned())))
    });
    read.collect()
}

fn update(why: &str) -> ExitCode {
    let before = recorded();
    let mut text = String::from(
        "# Instructions by unit, and why they last changed by more than a percent. Made by\n\
         # cargo bench --bench instructions -- --update \"why\"\n",
    );
    for case in CASES {
        let now = count(case);
        // What has not moved keeps its reason.
        let (figure, why) = match before.get(case) {
            Some((then, reason)) if (now / then - 1.0).abs() <= 0.01 => (*then, reason.as_str()),
            _ => (now, why),
        };
        println!("{case}: {figure:.1}");
        writeln!(text, "{case}\t{figure:.1}\t{why}").expect("memory takes everything");
    }
    std::fs::write(file(), text).expect("the sources can be written");
    ExitCode::SUCCESS
}

fn compare() -> ExitCode {
    let recorded = recorded();
    let mut fine = true;
    for case in CASES {
        let now = count(case);
        let verdict = match recorded.get(case) {
            None => {
                fine = false;
                "NOT RECORDED".to_owned()
            }
            Some((then, _)) => {
                let growth = (now / then - 1.0) * 100.0;
                let grew = growth > GROWTH;
                fine &= !grew;
                format!("{growth:+.1} % of {then:.1}{}", if grew { ", GREW" } else { "" })
            }
        };
        println!("{case}: {now:.1} instructions, {verdict}");
    }
    if !fine {
        println!(
            "more instructions than recorded (remedy: find out why; if it is worth it, -- --update \"why\")"
        );
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
