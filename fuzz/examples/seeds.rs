//! Writes the seeds of the corpus: `cargo run --example seeds` in `fuzz/`.
//!
//! They are the recorded protocol cases and the sessions of the command tests, keys of the files of Redis that its import
//! is tested with, and random scripts, in the form of each target's input. What fuzzing adds to them, and what minimising
//! takes away, changes the corpus afterwards.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tallyring_fuzz::input::{Dials, Random};
use tallyring_fuzz::vocabulary::{encoded, spelled_out};
use tallyring_fuzz::{rdb, sample};

/// Longest input that is worth replaying.
const LONGEST: usize = 2000;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    protocol(root);
    files(root);
}

/// What a start and an import read.
fn files(root: &Path) {
    for seed in 0..40 {
        let random = &mut Random::new(seed);
        write(root, "journal", &format!("random-{seed}"), &sample::script(random));
        write(root, "snapshot", &format!("random-{seed}"), &sample::script(random));
    }
    for name in ["redis-7.0", "redis-7.0-plain"] {
        let file = fs::read(root.join(format!("../tests/fixtures/{name}.rdb"))).expect("a recorded file");
        for (key, number) in rdb::keys(&file).into_iter().zip(0_u16..) {
            if key.len() <= LONGEST {
                let dials = Dials { switches: number.to_le_bytes()[0] & 3, seed: number };
                write(root, "rdb", &format!("{name}-{number}"), &dials.join(&key));
            }
        }
    }
}

/// Requests.
fn protocol(root: &Path) {
    let cases = fs::read_to_string(root.join("../tests/protocol-cases.jsonl")).expect("the recorded cases");
    for (line, number) in cases.lines().zip(0_u16..) {
        let case: Value = serde_json::from_str(line).expect("a case is an object");
        let Some(id) = case["id"].as_str() else { continue };
        // Each character stands for a byte.
        let sent = case["send"].as_str().unwrap_or_default().chars().map(u8::try_from);
        let Ok(sent) = sent.collect::<Result<Vec<u8>, _>>() else { continue };
        if sent.is_empty() || sent.len() > LONGEST {
            continue;
        }
        // As many different deliveries as there are cases; nothing is expanded.
        let dials = |switches: u16| Dials { switches: switches.to_le_bytes()[0] & 0x7f, seed: number };
        write(root, "decoder", id, &dials(number % 4).join(&sent));
        write(root, "connection", id, &dials(number.wrapping_mul(37) & !1).join(&sent));
    }
    for family in ["bulk", "counters", "keys", "session", "strings"] {
        let sessions = fs::read_to_string(root.join(format!("../tests/commands/{family}.txt")));
        for (session, number) in sessions.expect("the recorded sessions").split("\n# ").zip(0_u16..) {
            let requests: Vec<Vec<Vec<u8>>> = session
                .lines()
                .filter_map(|line| line.strip_prefix("> "))
                .filter(|line| !line.contains(['"', '\\']))
                .map(|line| line.split_ascii_whitespace().map(|word| word.as_bytes().to_vec()).collect())
                .filter(|request: &Vec<_>| !request.is_empty())
                .collect();
            let name = format!("{family}-{number}");
            let dials = Dials { switches: number.to_le_bytes()[0] & 7, seed: number };
            if let Some(stream) = spelled_out(&requests) {
                write(root, "streams", &name, &dials.join(&stream));
            }
            let wire: Vec<u8> = requests.iter().flat_map(|request| encoded(request)).collect();
            let dials = Dials { switches: number.wrapping_mul(41).to_le_bytes()[0] & 0x7e, seed: number };
            if wire.len() <= LONGEST {
                write(root, "connection", &name, &dials.join(&wire));
            }
        }
    }
}

fn write(root: &Path, target: &str, name: &str, input: &[u8]) {
    let folder = root.join("corpus").join(target);
    fs::create_dir_all(&folder).expect("a folder for the corpus");
    fs::write(folder.join(name), input).expect("a file in the corpus");
}
