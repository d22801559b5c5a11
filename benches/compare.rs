//! Compares servers: `cargo bench --bench compare -- --help`. A list of modules and the entry point, no more.
#![cfg_attr(
    test,
    expect(
        dead_code,
        unused_imports,
        reason = "cargo sets cfg(test) here, too, but without a harness no test runs: compare_parts.rs runs them"
    )
)]

mod bare;
#[path = "compare/mod.rs"]
mod compare;
mod load;
mod procfs;

use std::process::ExitCode;

fn main() -> ExitCode {
    compare::main()
}
