//! A file of effects that make a table as it was while the log went from one position to another. Is given effects and
//! gives them back; knows no table.
//!
//! ```text
//! file     [ header, a block of the device ][ block ] … [ block ][ trailer ]
//! header   [ magic, format, run, start LSN, time, checksum ]
//! block    [ length, checksum, records: a whole number of them ]
//! trailer  [ its mark, checksum, end LSN, keys, tokens, records, blocks ]
//! ```
//!
//! A checksum covers the one before it, so that no block can be left out, put elsewhere or taken from another file. The
//! file is written under a **temporary name** and has its own, `snapshot-` and the start LSN in 16 hexadecimal digits, only
//! once all of it is durable, and the log up to the end LSN: what has the name is whole, or was damaged later.
//!
//! What was recorded before the start LSN is in the effects, what is recorded from the end LSN on is not, and of what lies
//! between some is: with the log from the start LSN on top it is the table (see [`crate::table::effect`]).

use std::path::PathBuf;

use super::disk::{Disk, Failure};
use super::record::{self, Malformed};
use super::segment;
use crate::limits::SNAPSHOT_BLOCK_BYTES;
use crate::table::effect::{Effect, Lsn};

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Damage, Reader, Refusal};
pub use write::{Finished, Writer};

/// Format of the files. A change that an older version would misread is a new one.
pub const VERSION: u32 = 1;

const MAGIC: &[u8; 24] = b"tallyring snapshot\0\0\0\0\0\0";
const PREFIX: &str = "snapshot-";

/// End of the name of a file that is being written.
pub(super) const TEMPORARY: &str = ".part";

/// Bytes in front of the first block.
const HEADER_LEN: usize = 4096;
/// Bytes in front of a block's records.
const FRONT_LEN: usize = 8;
/// In place of a length: the trailer follows.
const TRAILER: u32 = u32::MAX;
/// Bytes of the trailer behind its front.
const TRAILER_LEN: usize = 40;

/// The name of a snapshot that starts here.
pub fn name_of(start: Lsn) -> String {
    format!("{PREFIX}{start:016x}")
}

/// Where the snapshot of this name starts, if it is one's.
pub fn start_of(name: &str) -> Option<Lsn> {
    let start = u64::from_str_radix(name.strip_prefix(PREFIX)?, 16).ok()?;
    (name_of(start) == name).then_some(start)
}

/// Where the newest snapshot of a directory starts.
///
/// # Errors
/// The disk's.
pub fn newest<D: Disk>(disk: &D) -> Result<Option<Lsn>, Failure> {
    Ok(disk.names()?.iter().filter_map(|name| start_of(name)).max())
}

/// Removes what killed processes have left half written. Returns how many files that were. Nobody writes a snapshot here.
///
/// # Errors
/// The disk's.
pub fn remove_unfinished<D: Disk>(disk: &D) -> Result<usize, Failure> {
    let is_temporary =
        |name: &&String| name.strip_suffix(TEMPORARY).is_some_and(|name| start_of(name).is_some());
    let names = disk.names()?;
    let unfinished: Vec<&String> = names.iter().filter(is_temporary).collect();
    for name in &unfinished {
        disk.remove(name)?;
    }
    Ok(unfinished.len())
}

/// Removes files of the log that a durable snapshot has made superfluous, by their numbers, the oldest first: what is left if
/// that ends early is a log without its beginning. `rest` is called behind each.
///
/// # Errors
/// The disk's.
pub fn remove_superseded<D: Disk>(disk: &D, numbers: &[u64], mut rest: impl FnMut()) -> Result<(), Failure> {
    for &number in numbers {
        disk.remove(&segment::name_of(number))?;
        rest();
    }
    if numbers.is_empty() { Ok(()) } else { disk.sync_names() }
}

/// Removes the snapshots that start before `start`, where one starts whose name is durable. Returns how many.
///
/// # Errors
/// The disk's.
pub fn remove_older<D: Disk>(disk: &D, start: Lsn) -> Result<usize, Failure> {
    let names = disk.names()?;
    let older: Vec<&String> =
        names.iter().filter(|name| start_of(name).is_some_and(|other| other < start)).collect();
    for name in &older {
        disk.remove(name)?;
    }
    if !older.is_empty() {
        disk.sync_names()?;
    }
    Ok(older.len())
}

/// What is known of a snapshot before it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The life of the process that wrote it.
    pub run: u128,
    /// All that was recorded before it is in the effects. 0 where there is no log.
    pub start: Lsn,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
}

impl Head {
    /// As the first bytes of a file, and their checksum.
    fn encode(&self) -> (Vec<u8>, u32) {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&u64::from(VERSION).to_le_bytes());
        bytes.extend_from_slice(&self.run.to_le_bytes());
        bytes.extend_from_slice(&self.start.to_le_bytes());
        bytes.extend_from_slice(&self.created_ms.to_le_bytes());
        bytes.resize(HEADER_LEN - 4, 0);
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// What the first bytes of a file tell, and their checksum.
    fn parse(bytes: &[u8]) -> Result<(Self, u32), Damage> {
        let number =
            |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().expect("the length was checked"));
        if bytes.len() != HEADER_LEN || !bytes.starts_with(MAGIC) {
            return Err(Damage::Foreign);
        }
        let (body, checksum) = bytes.split_at(HEADER_LEN - 4);
        let checksum = u32::from_le_bytes(*checksum.first_chunk().expect("it was split there"));
        let version = u32::try_from(number(24)).unwrap_or(u32::MAX);
        if version > VERSION {
            return Err(Damage::Newer(version));
        }
        if version == 0 || crc32c::crc32c(body) != checksum {
            return Err(Damage::Header);
        }
        let run = u128::from(number(40)) << u64::BITS | u128::from(number(32));
        Ok((Self { run, start: number(48), created_ms: number(56) }, checksum))
    }
}

/// What a snapshot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Keys. The fields of a hash stand one behind the other.
    pub keys: u64,
    /// Tokens.
    pub tokens: u64,
    /// Records.
    pub records: u64,
}

/// What is known of a snapshot when it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What was known before.
    pub head: Head,
    /// The log has to reach up to here.
    pub end: Lsn,
    /// What it holds.
    pub totals: Totals,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Counts effects.
#[derive(Debug, Default)]
struct Count {
    totals: Totals,
    /// The hash whose fields pass by.
    hash: Option<Vec<u8>>,
}

impl Count {
    fn add(&mut self, effect: &Effect<'_>) {
        self.totals.records += 1;
        match *effect {
            Effect::Field { key, .. } if self.hash.as_deref() == Some(key) => return,
            Effect::Field { key, .. } => {
                self.totals.keys += 1;
                let hash = self.hash.get_or_insert_default();
                hash.clear();
                hash.extend_from_slice(key);
                return;
            }
            Effect::Set { .. } => self.totals.keys += 1,
            Effect::Token { .. } => self.totals.tokens += 1,
            Effect::Deadline { .. }
            | Effect::Remove { .. }
            | Effect::RemoveField { .. }
            | Effect::Splice { .. }
            | Effect::Bucket { .. }
            | Effect::Flush => {}
        }
        self.hash = None;
    }
}

/// Effects that were copied and are to be written: filled where nothing slow may be done, such as under a lock.
#[derive(Debug)]
pub struct Batch {
    records: Vec<u8>,
    /// Where a block may end, each some [`SNAPSHOT_BLOCK_BYTES`] behind the one before.
    cuts: Vec<usize>,
    count: Count,
}

impl Default for Batch {
    fn default() -> Self {
        // Room for what a step usually copies, so that nothing is allocated there.
        Self { records: Vec::with_capacity(SNAPSHOT_BLOCK_BYTES), cuts: Vec::new(), count: Count::default() }
    }
}

impl Batch {
    /// Adds an effect.
    pub fn push(&mut self, effect: &Effect<'_>) {
        record::encode(effect, &mut self.records);
        self.count.add(effect);
        if self.records.len() - self.cuts.last().copied().unwrap_or(0) >= SNAPSHOT_BLOCK_BYTES {
            self.cuts.push(self.records.len());
        }
    }

    /// Bytes that wait to be written.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none do.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// The checksum of a block, of whose front it covers the length, and the one before.
fn checksum_of(before: u32, length: u32, body: &[u8]) -> u32 {
    let mut front = [0; 8];
    front[..4].copy_from_slice(&before.to_le_bytes());
    front[4..].copy_from_slice(&length.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&front), body)
}

const _: () = assert!(SNAPSHOT_BLOCK_BYTES < TRAILER as usize);
