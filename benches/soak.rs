//! A mixed load with faults for many minutes, and what is left when it ends: `cargo bench --bench soak -- --minutes 20`. A
//! list of modules and the entry point, no more.
#![cfg_attr(
    test,
    expect(
        dead_code,
        unused_imports,
        reason = "cargo sets cfg(test) here, too, but without a harness no test runs: soak_parts.rs runs them"
    )
)]

#[path = "compare/launch.rs"]
mod launch;
#[path = "compare/machine.rs"]
mod machine;
#[path = "procfs.rs"]
mod procfs;
#[path = "soak/mod.rs"]
mod soak;

use std::process::ExitCode;

fn main() -> ExitCode {
    soak::main()
}
