//! The unit tests of the parts of `seed.rs`, which as a bench without a harness cannot run its own.
#[path = "seed/mod.rs"]
mod seed;

fn main() -> std::io::Result<()> {
    seed::main()
}
