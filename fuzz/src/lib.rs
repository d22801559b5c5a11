//! What the fuzzers check, as plain functions of bytes. Needs neither a fuzzer nor a nightly compiler.
//!
//! Each target has a module with `check(data)`, which panics where the server is wrong. `fuzz_targets/` calls them from
//! libFuzzer; `tests/fuzz_corpus.rs` includes this file and replays the corpus and random inputs in `cargo test`.
//!
//! - [`decoder`]: the decoder against a plain parser ([`reference`]), however the bytes are cut.
//! - [`connection`]: the core as an engine drives it ([`client`], [`stage`]): replies do not depend on delivery.
//! - [`streams`]: commands ([`vocabulary`]) against a plain map with deadlines ([`model`]).
//! - [`journal`], [`snapshot`]: what a start reads, [`damage`]d and [`forged`], from a [`directory`] in memory.
//! - [`rdb`]: files of Redis, whole and in pieces.

pub mod client;
pub mod connection;
pub mod damage;
pub mod decoder;
pub mod directory;
pub mod forged;
pub mod input;
pub mod journal;
pub mod model;
pub mod parts;
pub mod rdb;
pub mod reference;
pub mod reply;
pub mod sample;
pub mod script;
pub mod snapshot;
pub mod stage;
pub mod streams;
pub mod survey;
pub mod vocabulary;
