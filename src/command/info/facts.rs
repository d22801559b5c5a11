//! What `INFO` tells, as it is found out before.

use crate::command::save::SaveFacts;
use crate::metrics::busiest::Busiest;
use crate::metrics::syncs::JournalFacts;
use crate::table::Census;

/// The server's state. Times in seconds unless their name says otherwise, sizes in bytes, counts since the
/// start or the last `CONFIG RESETSTAT`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Version of tallyring.
    pub version: String,
    /// Hash of the build, for error reports.
    pub build_id: String,
    /// Operating system, its release and the machine's architecture.
    pub os: String,
    /// Process id.
    pub pid: u32,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// Port listened on, 0 = none.
    pub tcp_port: u16,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Path of the executable.
    pub executable: String,
    /// Path of the configuration file, empty without one.
    pub config_file: String,
    /// Name of the engine, `uring` or `epoll` for instance.
    pub engine: String,
    /// Rung of the ladder of kernel features that the engine stands on.
    pub rung: String,
    /// Workers.
    pub workers: usize,
    /// Connections now.
    pub connected_clients: usize,
    /// `maxclients`
    pub max_clients: usize,
    /// Connections that wait for a reply that comes later.
    pub blocked_clients: usize,
    /// Bytes allocated.
    pub used_memory: u64,
    /// Resident set of the process.
    pub used_memory_rss: u64,
    /// Highest resident set so far.
    pub used_memory_peak: u64,
    /// Bytes of buffers and tables that every server has, keys or none.
    pub used_memory_startup: u64,
    /// Bytes of the counters.
    pub used_memory_dataset: u64,
    /// Memory of the machine.
    pub total_system_memory: u64,
    /// `maxmemory`, 0 = none.
    pub max_memory: u64,
    /// `maxtokens`
    pub max_tokens: usize,
    /// `maxmemory-policy`
    pub max_memory_policy: String,
    /// Name of the allocator.
    pub allocator: String,
    /// Connections accepted.
    pub total_connections: u64,
    /// What was refused, by kind.
    pub refusals: Refusals,
    /// Commands executed.
    pub total_commands: u64,
    /// Commands a second, lately.
    pub ops_per_second: u64,
    /// Bytes received.
    pub net_input: u64,
    /// Bytes sent.
    pub net_output: u64,
    /// Replies that were errors.
    pub error_replies: u64,
    /// Keys that reading commands found.
    pub keyspace_hits: u64,
    /// Keys that reading commands looked for in vain.
    pub keyspace_misses: u64,
    /// Keys whose deadline passed.
    pub expired_keys: u64,
    /// Keys removed because memory was needed.
    pub evicted_keys: u64,
    /// Keys and their bytes by how they are kept.
    pub census: Census,
    /// Templates, and how often one was refused for want of room.
    pub templates: (usize, u64),
    /// Keys.
    pub keys: usize,
    /// Keys with a deadline.
    pub keys_with_deadline: usize,
    /// Changes since the start.
    pub changes: u64,
    /// What was saved is being read.
    pub loading: bool,
    /// How saving stands.
    pub saving: SaveFacts,
    /// How syncing stands.
    pub journal: JournalFacts,
    /// The kernel's name of the disk that the journal is on, empty where it does not say.
    pub disk: String,
    /// The certificate that the server shows, of those that are encrypted with. `None`: nobody is.
    pub server_certificate: Option<CertificateFacts>,
    /// Of the authorities of clients' certificates, the one that ends first.
    pub authority: Option<CertificateFacts>,
    /// How many authorities there are.
    pub authorities: usize,
    /// Seconds of system time of the process.
    pub cpu_sys_s: f64,
    /// Seconds of user time of the process.
    pub cpu_user_s: f64,
    /// Operations handed to the ring; 0 where there is none.
    pub submissions: u64,
    /// Completions reaped from the ring; 0 where there is none.
    pub completions: u64,
    /// Operations that the kernel has and that are not over; 0 where there is no ring.
    pub in_flight: u64,
    /// System calls of the workers.
    pub system_calls: u64,
    /// Turns of the workers.
    pub turns: u64,
    /// Turns that left keys for the next one whose deadline had passed.
    pub expiry_capped: u64,
    /// Requests that were executed part by part while they arrived.
    pub streamed: u64,
    /// Who sent most of the commands of the last second.
    pub busiest: Busiest,
    /// Times the completion queue overflowed.
    pub overflows: u64,
    /// Times a receive found no free block.
    pub starved: u64,
    /// Receive blocks of all workers that hold nobody's bytes.
    pub blocks_free: u64,
    /// Fewest free receive blocks of a worker so far.
    pub blocks_low_water: u64,
    /// Receive blocks of a worker.
    pub blocks: u64,
}

/// A certificate, for whoever renews it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Its serial number in hexadecimal digits.
    pub serial: String,
    /// Unix seconds of the last moment at which it holds.
    pub until_unix_s: i64,
}

/// How often clients were refused, by kind, since the start or the last `CONFIG RESETSTAT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Connections above `maxclients`, or for which an engine had no block.
    pub max_clients: u64,
    /// Connections of other machines in protected mode.
    pub protected_mode: u64,
    /// Requests before authentication.
    pub unauthenticated: u64,
    /// Connections closed for more or longer arguments, or more replies, than are allowed before authentication.
    pub unauthenticated_sizes: u64,
    /// Connections closed because they did not authenticate in time.
    pub unauthenticated_times: u64,
    /// Wrong passwords.
    pub wrong_passwords: u64,
    /// Attempts at one that had to wait, because too many came from their address.
    pub slowed_passwords: u64,
    /// Attempts to accept a connection for which the kernel had no descriptor or memory.
    pub unaccepted: u64,
    /// Connections ended because all together took too much memory.
    pub evicted_clients: u64,
    /// The user may not run the command.
    pub denied_commands: u64,
    /// The user may not touch one of the keys.
    pub denied_keys: u64,
    /// TLS handshakes that failed, or were not done in time.
    pub tls_handshakes: u64,
    /// TLS sessions that broke after their handshake.
    pub tls_sessions: u64,
    /// Requests that named no command.
    pub unknown_commands: u64,
    /// Requests with a wrong number of arguments.
    pub wrong_arities: u64,
    /// Requests with a key above the bound.
    pub long_keys: u64,
    /// Connections closed for a number of arguments that was none, or above `proto-max-multibulk-len`.
    pub bad_counts: u64,
    /// Connections closed for an argument's length that was none, or above `proto-max-bulk-len`.
    pub bad_lengths: u64,
    /// Connections closed for bytes that were not the protocol in another way.
    pub malformed: u64,
    /// Connections closed for a request above `client-query-buffer-limit`.
    pub query_overflows: u64,
    /// Connections closed for replies above `client-output-buffer-limit`.
    pub output_overflows: u64,
    /// Connections closed for monitoring more than could be passed on to them.
    pub monitor_overflows: u64,
    /// `CLIENT LIST` and `CLIENT KILL` while too many of them were under way.
    pub busy_questions: u64,
    /// Connections closed for `timeout`.
    pub idle: u64,
}
