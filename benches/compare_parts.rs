//! The unit tests of the parts of `compare.rs`, which as a bench without a harness cannot run its own.
mod bare;
#[path = "compare/mod.rs"]
mod compare;
mod load;
mod procfs;

use std::process::ExitCode;

fn main() -> ExitCode {
    compare::main()
}
