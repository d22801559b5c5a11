//! What the admin interface is told: figures of the server at one moment. Knows names and numbers, not where they come
//! from.

use hdrhistogram::Histogram;

use super::access::Access;
use crate::metrics::meters;

/// Where figures come from. The server implements it; every call only reads, and asks no worker.
pub trait Source: Send + Sync {
    /// Who may read figures, as the directives stand.
    fn access(&self) -> Access;
    /// What has stood still for too long, and for how long.
    fn standstill(&self) -> Option<String>;
    /// Whether clients are served.
    fn standing(&self) -> Standing;
    /// All figures.
    fn reading(&self) -> Reading;
    /// Figures of each command that was called.
    fn commands(&self) -> Vec<CommandReading>;
}

/// Whether clients are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// What was saved is being read.
    Loading,
    /// They are.
    Ready,
    /// They are, but for commands that write: the reason.
    Refusing(String),
    /// The server ends.
    Ending,
}

/// The server at one moment. Times in seconds unless their name says otherwise, sizes in bytes, counts since the start.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Version of tallyring.
    pub version: &'static str,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// `master`, as `ROLE` has it.
    pub role: &'static str,
    /// Name of the engine.
    pub engine: &'static str,
    /// Rung of the ladder of kernel features that it stands on.
    pub rung: String,
    /// Operating system, release, architecture.
    pub os: String,
    /// TCP port of clients, 0 = none.
    pub port: u16,
    /// Unix time of the start.
    pub started_s: f64,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// Each worker.
    pub workers: Vec<WorkerReading>,
    /// Connections now, and the most there may be.
    pub clients: usize,
    /// See `clients`.
    pub max_clients: usize,
    /// Events of all workers.
    pub counts: Counts,
    /// What was refused, by kind.
    pub refusals: Vec<(&'static str, u64)>,
    /// Keys.
    pub keys: Keys,
    /// Memory.
    pub memory: Memory,
    /// The journal and its snapshots. `None`: nothing is kept on disk.
    pub persistence: Option<Persistence>,
    /// Certificates, `server` and `authority`, and the Unix seconds until which each holds.
    pub certificates: Vec<(&'static str, i64)>,
    /// The process as the kernel sees it.
    pub process: Process,
}

/// One worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerReading {
    /// Connections it serves.
    pub clients: usize,
    /// Requests executed.
    pub requests: u64,
    /// Receive blocks there are, that are free, and the fewest that were free at one time.
    pub blocks: u64,
    /// See `blocks`.
    pub blocks_free: u64,
    /// See `blocks`.
    pub blocks_low_water: u64,
    /// Operations that the kernel has and that are not over.
    pub in_flight: u64,
}

/// Events of all workers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Requests executed, refused ones included.
    pub requests: u64,
    /// Requests that were worked off while they arrived.
    pub streamed: u64,
    /// Replies that were errors.
    pub errors: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Keys that reading commands found.
    pub hits: u64,
    /// Keys that they looked for in vain.
    pub misses: u64,
    /// Changes to keys.
    pub changes: u64,
    /// Turns of workers.
    pub turns: u64,
    /// System calls of engines.
    pub system_calls: u64,
    /// Entries submitted to rings.
    pub submissions: u64,
    /// Completions reaped from rings.
    pub completions: u64,
    /// Times a receive found no free block.
    pub starved: u64,
    /// Times a completion queue overflowed.
    pub overflows: u64,
    /// Sends.
    pub sends: u64,
}

/// Keys by how they are kept.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Keys with a deadline.
    pub timed: usize,
    /// Removed because their deadline passed.
    pub expired: u64,
    /// Removed because memory was needed.
    pub evicted: u64,
    /// Counters that are a number in a template.
    pub numbered: usize,
    /// Their bytes.
    pub numbered_bytes: usize,
    /// Keys with a record.
    pub packed: usize,
    /// Their bytes, those of large hashes left out.
    pub packed_bytes: usize,
    /// Bytes of large hashes.
    pub large_bytes: usize,
    /// Shapes of rows.
    pub shapes: usize,
    /// Tokens that are remembered.
    pub tokens: usize,
    /// Their bytes.
    pub token_bytes: usize,
    /// The most tokens there may be.
    pub max_tokens: usize,
    /// Templates.
    pub templates: usize,
    /// Times a template was refused for want of room.
    pub templates_refused: u64,
    /// Those with most counters: text with `{id}` in it, counters, bytes.
    pub top_templates: Vec<(String, usize, usize)>,
}

/// Memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Bytes of keys, and of what the server had before the first one.
    pub used: u64,
    /// Bytes of keys.
    pub dataset: u64,
    /// Bytes of what the server had before the first key.
    pub startup: u64,
    /// `maxmemory`, 0 = none.
    pub max: u64,
    /// Bytes of the machine.
    pub machine: u64,
}

/// The journal and its snapshots.
#[derive(Clone, Debug, Default)]
pub struct Persistence {
    /// `always`, `everysec`, `no`.
    pub policy: &'static str,
    /// Bytes appended since there is a journal.
    pub appended: u64,
    /// Bytes that are not yet in files.
    pub unwritten: u64,
    /// Bytes that a loss of power would take.
    pub unsynced: u64,
    /// The disk has no space: commands that write are refused.
    pub refusing: bool,
    /// How long syncs took, in nanoseconds. `None`: it is not measured.
    pub syncs: Option<Histogram<u64>>,
    /// Snapshots since the start.
    pub snapshots: u64,
    /// The last one failed.
    pub snapshot_failed: bool,
    /// Unix time of the last one, or of the start.
    pub snapshot_unix_s: u64,
    /// How long the last one took.
    pub snapshot_s: Option<u64>,
    /// How much of the one that is under way is done, from 0 to 1.
    pub snapshot_progress: Option<f64>,
    /// Changes that no snapshot has.
    pub unsaved_changes: u64,
    /// Bytes of the last snapshot and of the journal since.
    pub bytes: u64,
}

/// The process as the kernel sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Seconds in user mode and in the kernel.
    pub cpu_s: f64,
    /// Bytes resident.
    pub resident: u64,
    /// Most bytes resident so far.
    pub peak: u64,
    /// Bytes of address space.
    pub addressed: u64,
    /// Threads.
    pub threads: u64,
    /// Open files.
    pub files: u64,
    /// The most there may be.
    pub max_files: u64,
}

/// Figures of one command since the start or the last `CONFIG RESETSTAT`.
#[derive(Clone, Debug)]
pub struct CommandReading {
    /// `get`, `config|get`.
    pub name: String,
    /// What was counted and timed.
    pub of: meters::Reading,
}
