//! The journal: what changed, on disk in the order in which it changed, so that a later start has it again.
//!
//! ```text
//! workers ── effects ─ record ─ frame ──> ring ──> writer ─ groups ──> segment files ──> recovery ── effects
//!            under the lock of the        one add     the journal thread, synced         at the next start
//!            segment of the table         each        as `appendfsync` says
//! ```
//!
//! The **ring** is a stretch of memory that a file backs, so that what a worker put there survives the process. A
//! position in the stream of bytes that went through it is an LSN. A **frame** is what is replayed whole or not at all,
//! a **group** what one checksum covers, a **segment** a file of groups. Nothing here knows the table, a command or a
//! client; time is an argument, and files are reached through a [`disk::Disk`].
//!
//! What holds, whatever happens:
//!
//! 1. What recovery yields is a beginning of what was appended, in that order, without a gap — but for frames that a
//!    process was killed in the middle of writing, on which nothing can depend.
//! 2. It reaches at least to the durable LSN published before a loss of power, and to the last complete frame of the ring
//!    after a mere death of the process.
//! 3. What was durable and cannot be read is an error that names file and offset, and never left out silently.
//!
//! To read: `record` (an effect as bytes), `frame`, `ring` (what workers use), `segment` (what files look like),
//! `disk`, `spare` (files made ahead), `writer`, `recovery`; `snapshot`, which stands in for the log before its start;
//! `life` (what is drawn for each life of a process).

pub mod disk;
pub mod frame;
pub mod life;
pub mod record;
pub mod recovery;
pub mod ring;
pub mod segment;
pub mod snapshot;
mod spare;
#[cfg(test)]
mod tests;
pub mod writer;

use crate::table::effect::Lsn;

/// Where a log begins. Below it is 0, which means none.
pub const ORIGIN: Lsn = frame::WORD;

/// What tells one life of a server from another. Random but for `boot`; drawn by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// This life of the process.
    pub run: u128,
    /// This life of the machine: `/proc/sys/kernel/random/boot_id`.
    pub boot: u128,
    /// Makes the marks of frames and groups something that no client can write by accident or on purpose.
    pub secret: u64,
}
