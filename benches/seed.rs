//! What parsers take of the heap: `cargo bench --bench seed [-- --record DIR]`. The entry point, no more.
#![cfg_attr(
    test,
    expect(
        unused_imports,
        reason = "cargo sets cfg(test) here, too, but without a harness no test runs: seed_parts.rs runs them"
    )
)]

#[path = "seed/mod.rs"]
mod seed;

fn main() -> std::io::Result<()> {
    seed::main()
}
