//! The unit tests of the parts of `soak.rs`, which as a bench without a harness cannot run its own.
#![expect(dead_code, reason = "only the parts are tested: the run itself takes minutes")]

#[path = "compare/launch.rs"]
mod launch;
#[path = "compare/machine.rs"]
mod machine;
#[path = "procfs.rs"]
mod procfs;
#[path = "soak/mod.rs"]
mod soak;
