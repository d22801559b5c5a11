//! What each life of a process draws for its journal: its identity, this life of the machine, the size of its ring.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;

use super::Identity;
use crate::limits::JOURNAL_RING_BYTES;

/// Name of the file that the log ring is in.
pub const RING: &str = "journal.ring";

impl Identity {
    /// One that no other life has, on a machine in this life of its own.
    pub fn draw(boot: u128) -> Self {
        Self { run: random(), boot, secret: RandomState::new().hash_one(0) }
    }
}

/// This life of the machine.
///
/// # Errors
/// The system's; `InvalidData` if it tells no number.
pub fn boot_id() -> io::Result<u128> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let named =
        |kind, why: &dyn std::fmt::Display| io::Error::new(kind, format!("cannot read {PATH}: {why}"));
    let text = fs::read_to_string(PATH).map_err(|error| named(error.kind(), &error))?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).map_err(|error| named(io::ErrorKind::InvalidData, &error))
}

/// A number that no other process draws.
fn random() -> u128 {
    let state = RandomState::new();
    u128::from(state.hash_one(1)) << 64 | u128::from(state.hash_one(2))
}

/// Bytes of the log ring beside files of this size: each has room for many rings, however its groups fall.
pub fn ring_bytes(segment: u64) -> u64 {
    let most = JOURNAL_RING_BYTES.min(segment / 16);
    1 << (u64::BITS - 1 - most.leading_zeros())
}
