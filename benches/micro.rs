//! Nanoseconds of single parts, without a socket: `cargo bench --bench micro [-- part of a name]`.
//!
//! With `--smoke` each case runs just once and nothing is measured.
//!
//! Each part has a module with one function that runs its cases through a [`timing::Bench`]; a new part is a new
//! module and one line in `main`.

#[path = "micro/core.rs"]
mod core;
#[path = "micro/decoder.rs"]
mod decoder;
#[path = "micro/encoder.rs"]
mod encoder;
#[path = "micro/integer.rs"]
mod integer;
#[path = "micro/locks.rs"]
mod locks;
#[path = "micro/recording.rs"]
mod recording;
#[path = "micro/shuffle.rs"]
mod shuffle;
#[path = "micro/table.rs"]
mod table;
#[path = "micro/timing.rs"]
#[expect(dead_code, reason = "here nothing is counted")]
mod timing;
#[path = "micro/turn.rs"]
mod turn;

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    // Cargo says `--bench` when figures are wanted; without it (under `cargo test`) each case runs once.
    let is_given = |flag: &str| std::env::args().any(|argument| argument == flag);
    let measured = is_given("--bench") && !is_given("--smoke");
    let effort = if measured { timing::Effort::Measured } else { timing::Effort::Once };
    let mut bench = timing::Bench::new(filter, effort);
    integer::run(&mut bench);
    encoder::run(&mut bench);
    decoder::run(&mut bench);
    table::run(&mut bench);
    locks::run(&mut bench);
    turn::run(&mut bench);
    recording::run(&mut bench);
}
