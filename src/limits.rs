//! Every bound of the server, with its reason. Knows numbers only.
//!
//! Bounds that an operator may move are directives; [`Limits`] carries their current values to the
//! workers. The constants are fixed because code or the kernel's interface relies on them.

/// Bytes of one receive block. Holds a pipeline of 64 `INCR`s, and 256 of them stay inside L2.
pub const BLOCK_BYTES: usize = 4096;

/// Receive blocks of one worker: a power of two, as the provided-buffer ring wants.
pub const BLOCKS_PER_WORKER: u16 = 256;

/// Blocks that are lent to the kernel at once, whoever is connected: twice what one connection may execute in a turn.
pub const LENT_AT_LEAST: u16 = 32;

/// Blocks lent for each connection beside those.
const LENT_EACH: usize = 4;

/// Blocks to lend where so many are connected. One connection's flood is received into as many before the first turn
/// that sees it, and kept when it has to wait: few connections need few.
pub fn blocks_lent(connections: usize) -> u16 {
    let most = usize::from(LENT_AT_LEAST).saturating_add(connections.saturating_mul(LENT_EACH));
    u16::try_from(most).unwrap_or(u16::MAX).min(BLOCKS_PER_WORKER)
}

/// Receive blocks that all connections of a worker share which sent more than [`TURN_BYTES`] at once, and the bytes of
/// one: together what one of them may execute in a turn, since what comes above that would have to be kept. They are
/// larger than the common ones because they are always full.
pub const RATION_BLOCKS: u16 = 4;
/// See [`RATION_BLOCKS`].
pub const RATION_BLOCK_BYTES: usize = 16 * 1024;

/// Bytes from the ration that one connection has before the next of those who wait: a request of ten thousand keys, mostly,
/// whose bytes are then still in the cache. With a ration at a time such requests cost an eighth more.
pub const RATION_SHARE_BYTES: usize = 4 * TURN_BYTES;

/// Registrations of blocks with `recv fixed`, as many blocks each as a worker has without: the kernel takes 16,384, and
/// this many hold a quarter of a million connections per worker.
pub const FIXED_CHUNKS: u16 = 1024;

/// Registered blocks of one tokio-uring runtime: its pool takes no more (`UIO_MAXIOV`), and says nothing. Each
/// connection has one to receive into; sends take those that are over.
pub const RUNTIME_BLOCKS: usize = 1024;

/// Connections of a tokio-uring runtime up to which each has a block to send from besides.
pub const RUNTIME_ROOMY: usize = RUNTIME_BLOCKS / 2;

/// Registered blocks that sends may have at a time above that; others send from where the replies lie.
pub const RUNTIME_SENDS: usize = 64;

/// Bytes of one outgoing block. A batch of integer replies fits many times; a bulk reply spills to the next.
pub const OUT_BLOCK_BYTES: usize = 16 * 1024;

/// Bytes for a reply that nobody wants, over and over: it is in nobody's way in the cache.
pub const SCRATCH_BYTES: usize = 512;

/// Empty outgoing blocks that a worker keeps for reuse; those above go back to the allocator.
pub const OUT_BLOCKS_KEPT: usize = 256;

/// Longest header line (`*…`, `$…`) or inline request without its line end, as in Redis (`PROTO_INLINE_MAX_SIZE`).
pub const LINE_BYTES: usize = 64 * 1024;

/// Argument positions that one batch of requests keeps; a request with more is walked instead.
pub const SPANS: usize = 1024;

/// Requests decoded, hashed and prefetched before the first of them is executed.
pub const BATCH: usize = 32;

/// Bytes of requests that one connection executes in a turn before the others have theirs.
pub const TURN_BYTES: usize = 64 * 1024;

/// Keys whose deadline has passed that a worker removes in a turn, and those of one group more: some 20 µs, so that clients
/// hardly notice.
pub const EXPIRED_PER_TURN: usize = 64;

/// One in so many parts of its time is what a worker that executes commands spends on such keys, as in Redis (25 %); one
/// that does not goes on until they are gone. Enough for a million in half a second.
pub const EXPIRY_SHARE: u64 = 4;

/// Microseconds after a command during which a worker counts as one that executes commands.
pub const EXPIRY_BUSY_US: u64 = 1000;

/// Milliseconds after which a worker that waits looks again for keys whose deadline has passed: another worker may have
/// set an earlier deadline than any it knew.
pub const EXPIRY_STEP_MS: u64 = 100;

/// Keys removed for one command that needs memory. If that is not enough, the command is refused.
pub const EVICTED_PER_COMMAND: usize = 64;

/// Bytes of the log ring that workers write to and the journal thread empties, where nothing else is said: some 100,000
/// counters, which is what all cores change between two of its wake-ups.
pub const JOURNAL_RING_BYTES: u64 = 4 * 1024 * 1024;

/// Longest frame that lies in the log ring itself; a longer one waits beside it, and has only its place there.
pub const JOURNAL_INLINE_BYTES: u64 = 256 * 1024;

/// Bytes of files that lie ready for such frames, so that one of a usual length waits for nothing: some values of
/// `proto-max-bulk-len`. They bound the memory of those that are not yet written, too.
pub const JOURNAL_BESIDE_BYTES: u64 = 8 * 1024 * 1024;

/// Bytes of ring that a worker takes for itself at a time, so that the shared count is touched once in a thousand
/// writes.
pub const JOURNAL_CREDIT_BYTES: u64 = 64 * 1024;

/// Bytes of a file of the journal. Some seconds of writing, and soon zeroed.
pub const JOURNAL_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes that one checksum covers, unless a single frame is longer.
pub const JOURNAL_GROUP_BYTES: u64 = 1024 * 1024;

/// Bytes of the next file that are zeroed and synced in one step, so that no write waits for more.
pub const JOURNAL_ZEROED_BYTES: u64 = 1024 * 1024;

/// Milliseconds between two syncs where once in a second is enough.
pub const JOURNAL_SYNC_MS: u64 = 1000;

/// Bytes of a snapshot's block, which one checksum covers: a write that is worth its system call, and little memory.
pub const SNAPSHOT_BLOCK_BYTES: usize = 256 * 1024;

/// Bytes of a snapshot that are written before it is synced: what the journal's sync may find before it on the device's
/// queue.
pub const SNAPSHOT_SYNC_BYTES: u64 = 4 * 1024 * 1024;

/// The same where replies wait for the journal's syncs.
pub const SNAPSHOT_SMALL_SYNC_BYTES: u64 = 512 * 1024;

/// Times as long as such a sync took that none follows: a journal's sync then seldom finds one before it.
pub const SNAPSHOT_YIELD: u64 = 3;

/// Longest time, in milliseconds, that none follows: a device that is slow anyway is not made slower.
pub const SNAPSHOT_LONGEST_YIELD_MS: u64 = 50;

/// Most keys that one step of a snapshot copies, under the lock of one segment: at some 100 ns each some 50 µs.
pub const SNAPSHOT_STEP_KEYS: usize = 512;

/// Bytes that one step of a snapshot should copy at most, as far as the step before tells: at 10 GB/s and the faults of
/// fresh memory some 50 µs.
pub const SNAPSHOT_STEP_BYTES: usize = 64 * 1024;

/// Longest time, in milliseconds, that the copying rests after a step: one that was interrupted, or waited for its disk, is no
/// measure.
pub const SNAPSHOT_LONGEST_REST_MS: u64 = 1;

/// Milliseconds after which workers that have made no turn count as idle. More than a slice of the scheduler, in which they may
/// be kept from making one.
pub const SNAPSHOT_BUSY_MS: u64 = 20;

/// Keys above which none is taken when the server ends: it would take longer than a service manager waits.
pub const SNAPSHOT_KEYS_AT_END: usize = 2_000_000;

/// Milliseconds after the beginning of the end until which a snapshot at the end may be taken.
pub const SNAPSHOT_END_MS: u64 = 4_500;

/// Milliseconds between two looks at whether a snapshot is due.
pub const SNAPSHOT_LOOK_MS: u64 = 500;

/// Milliseconds between two files of the journal that are removed.
pub const REMOVAL_REST_MS: u64 = 20;

/// Milliseconds after a failed snapshot before rules bring about the next one.
pub const SNAPSHOT_RETRY_MS: u64 = 5_000;

/// Milliseconds after a sync behind which nothing came, until the journal says in its file what is durable: a client that
/// waits for each reply does not have it say so between any two.
pub const JOURNAL_IDLE_MS: u64 = 10;

/// Milliseconds after which space that the disk did not have is asked for again.
pub const JOURNAL_RETRY_MS: u64 = 500;

/// Bytes that wait undecoded in a connection before it is no longer read from.
pub const BACKLOG_BYTES: usize = 64 * 1024;

/// Memory of emptied carries that a worker keeps for the next incomplete request: a backlog for each of a few busy
/// connections. What is above, and every carry of more than two backlogs, goes back to the allocator.
pub const SPARE_BYTES: usize = 2 * 1024 * 1024;

/// Connections that are a crowd: when half of them are gone, what they held is given back.
pub const CROWD: usize = 512;

/// Memory that a worker has freed before the kernel is given back what is free: less is soon needed again.
pub const TRIM_BYTES: usize = 4 * 1024 * 1024;

/// Milliseconds between two times of giving memory back.
pub const TRIM_PAUSE_MS: u64 = 1_000;

/// Bytes from which on a piece of memory is a mapping of its own, so that a carry grows by moving pages.
pub const MAPPED_BYTES: usize = 128 * 1024;

/// Unsent replies above which a connection is not read from.
pub const UNSENT_SOFT: usize = 1024 * 1024;

/// Unsent replies above which a request that is executed in parts waits: what a client that reads needs to be busy.
pub const STREAM_UNSENT: usize = 48 * 1024;

/// Milliseconds without a byte of reply leaving after which a connection above the soft mark is read from
/// again: its client may be one that writes everything before it reads.
pub const UNSENT_PATIENCE_MS: u64 = 100;

/// Milliseconds that a closed connection's unread input is drained, so that the last reply is not cut off
/// by a reset.
pub const LINGER_MS: u64 = 2_000;

/// Bytes drained while lingering; a client that still sends after that is cut off.
pub const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Longest key. Redis allows 512 MiB; a key is kept whole in memory and hashed on every use.
pub const KEY_BYTES: usize = 64 * 1024;

/// Longest value that any server may be told to take (`proto-max-bulk-len`), as in Redis by default. What a journal tells of
/// longer ones was not written by us.
pub const VALUE_BYTES: usize = 512 * 1024 * 1024;

/// Milliseconds between two lines of the log about the same want.
pub const COMPLAINT_MS: u64 = 10_000;

/// Milliseconds that a worker or the journal may stand still before probes are told: as long as the watchdog of the unit
/// waits.
pub const STANDSTILL_MS: u64 = 30_000;

/// Passwords in a row that may not fit before a connection is closed.
pub const WRONG_PASSWORDS: u8 = 10;

/// Passwords in a second that may not fit from one address before its next ones have to wait for their turn.
pub const WRONG_PASSWORDS_PER_SECOND: u64 = 100;

/// Addresses whose wrong passwords are counted at a time: 64 bytes each. Beyond, those with the fewest are forgotten.
pub const WATCHED_ADDRESSES: usize = 4096;

/// Bytes of a key or name that the log of denials keeps: it is for people to read.
pub const DENIED_BYTES: usize = 256;

/// Arguments of a request before the connection has authenticated, as in Redis.
pub const UNAUTHENTICATED_ARGS: i64 = 10;

/// Bytes of one argument before the connection has authenticated, as in Redis.
pub const UNAUTHENTICATED_BULK: usize = 16 * 1024;

/// Bytes of one request before the connection has authenticated.
pub const UNAUTHENTICATED_REQUEST: usize = 32 * 1024;

/// Bytes of a connection that has not authenticated and whose attempt waits for its turn. From [`UNAUTHENTICATED_REQUEST`] on
/// nothing is read; what was under way may still come.
pub const UNAUTHENTICATED_WAITING: usize = 64 * 1024;

/// Unsent replies of a connection that has not authenticated.
pub const UNAUTHENTICATED_UNSENT: usize = 16 * 1024;

/// Milliseconds in which a connection has to authenticate where a password is set.
pub const UNAUTHENTICATED_MS: u64 = 10_000;

/// Bytes of a TLS connection before its handshake is done: a client's chain of certificates has a few thousand.
pub const TLS_HANDSHAKE_BYTES: usize = 32 * 1024;

/// Plain text that is decrypted before it is worked off, one record above which there may be: what a block has, however small
/// its records are.
pub const TLS_PLAIN_BYTES: usize = 16 * 1024;

/// Ciphertext of one send, more or less: four records at their longest, so that what is encrypted is still in the cache when
/// the kernel copies it.
pub const TLS_SEND_BYTES: usize = 64 * 1024;

/// Messages that wait in a worker's mailbox. Full is answered with an error to whoever asked.
pub const MAILBOX: usize = 1024;

/// Questions to all workers (`CLIENT LIST`, `CLIENT KILL`) that one worker has open at a time.
pub const QUESTIONS: usize = 64;

/// Bytes of a request's arguments that `MONITOR` shows; the rest is counted. A request of more is executed in parts.
pub const MONITOR_LINE_BYTES: usize = 64 * 1024;

/// Bytes of lines for those who monitor that a worker gathers before it passes them on in the midst of a turn.
pub const MONITOR_CHUNK_BYTES: usize = 256 * 1024;

/// Messages with such lines that wait in a worker's mailbox before others keep theirs: most of it is for other mail.
pub const MONITOR_MESSAGES: usize = 256;

/// Bytes of such lines that may wait in a worker's mailbox, that one worker keeps while a mailbox is full, and that may wait
/// for those of a slower worker. Above that the connections that monitor are closed, so that nobody is held up: a second
/// of what a busy worker executes.
pub const MONITOR_BACKLOG_BYTES: usize = 32 * 1024 * 1024;

/// Milliseconds that lines wait for those of a worker which is in the midst of a turn. After that they are shown, and that
/// worker's come late.
pub const MONITOR_PATIENCE_MS: u64 = 1_000;

/// Listening sockets: addresses of `bind`, for `port` and `tls-port` each, and the Unix socket.
pub const LISTENERS: usize = 33;

/// Milliseconds of silence after which a connection is no longer read from while the server drains.
pub const DRAIN_SILENCE_MS: u64 = 50;

/// Milliseconds after which no connection is read from while the server drains.
pub const DRAIN_TALK_MS: u64 = 1_000;

/// Bytes of the slow log. Its entries have a few hundred each, 5 KiB at most, and an operator who keeps a million of them means
/// the small ones.
pub const SLOW_LOG_BYTES: usize = 64 * 1024 * 1024;

/// Seconds that a drain may take before connections are cut.
pub const DRAIN_SECONDS: u64 = 4;

/// Connections of the admin interface at one time; more wait to be accepted. A few scrapers and dashboards are some ten.
pub const ADMIN_CONNECTIONS: usize = 32;

/// Bytes of the head of one request to it: a browser's cookies for other servers of this machine come along. The least
/// that hyper takes is 8 KiB.
pub const ADMIN_HEAD_BYTES: usize = 16 * 1024;

/// Milliseconds for the head of a request to arrive, waiting for its first byte included.
pub const ADMIN_HEAD_MS: u64 = 10_000;

/// Milliseconds after which a connection of it is asked to end, and until it is cut then: who does not take a reply keeps
/// no place.
pub const ADMIN_CONNECTION_MS: u64 = 60_000;
/// See [`ADMIN_CONNECTION_MS`].
pub const ADMIN_FAREWELL_MS: u64 = 5_000;

/// Milliseconds between two looks through the whole table for the admin interface: these take each segment's lock, and are
/// to cost the same however often somebody asks.
pub const SURVEY_MS: u64 = 500;

/// When the journal is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before a reply leaves that shows a change.
    Always,
    /// Once a second.
    EverySecond,
    /// When the kernel likes.
    Never,
}

/// The operator's bounds, as they stand now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of the whole server (`maxclients`).
    pub max_clients: usize,
    /// Bytes of one argument (`proto-max-bulk-len`).
    pub max_bulk: usize,
    /// Arguments of one request that is executed whole (`proto-max-multibulk-len`).
    pub max_args: usize,
    /// Bytes of one request (`client-query-buffer-limit`).
    pub query_buffer: usize,
    /// Bytes of an incomplete request from which on it may be executed in parts (`stream-threshold`).
    pub stream_threshold: usize,
    /// Bytes of unsent replies above which a connection is closed (`client-output-buffer-limit normal`), 0 = none.
    pub output_buffer: usize,
    /// Bytes above which commands that may need memory are refused (`maxmemory`), 0 = none.
    pub max_memory: usize,
    /// Tokens that are remembered at a time (`maxtokens`).
    pub max_tokens: usize,
    /// When the journal is synced (`appendfsync`).
    pub sync: SyncPolicy,
    /// Keys with a deadline go first, those with the earliest (`maxmemory-policy volatile-ttl`).
    pub evicts: bool,
    /// Seconds after which an idle connection is closed (`timeout`), 0 = never.
    pub idle_seconds: u64,
    /// Seconds between keep-alive probes (`tcp-keepalive`), 0 = none.
    pub keepalive_seconds: u32,
    /// Only clients of this machine are served while no password is needed (`protected-mode`).
    pub local_only: bool,
    /// Histograms of what commands take are kept (`latency-tracking`).
    pub tracks_latency: bool,
    /// Microseconds from which on a command enters the slow log (`slowlog-log-slower-than`); `None`: none does.
    pub slow_log_us: Option<u64>,
    /// Entries that the slow log keeps (`slowlog-max-len`).
    pub slow_log_entries: usize,
    /// Milliseconds from which on an event is noted by the latency monitor (`latency-monitor-threshold`), 0 = none is.
    pub monitor_ms: u64,
    /// Entries of the log of what was denied (`acllog-max-len`).
    pub denials: usize,
    /// Bytes that all connections may take (`maxmemory-clients`), 0 = no bound.
    pub clients_memory: usize,
}

impl Limits {
    /// Whether a connection with this many bytes of unsent replies is to be closed.
    #[inline]
    pub fn refuse_unsent(&self, bytes: usize) -> bool {
        self.output_buffer > 0 && bytes > self.output_buffer
    }

    /// Nanoseconds from which on a command is slow, be it for the slow log or for the latency monitor.
    pub fn slow_ns(&self) -> u64 {
        let log = self.slow_log_us.map_or(u64::MAX, |us| us.saturating_mul(1_000));
        let monitor = if self.monitor_ms == 0 { u64::MAX } else { self.monitor_ms.saturating_mul(1_000_000) };
        log.min(monitor)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_clients: 10_000,
            max_bulk: 1024 * 1024,
            max_args: 1024 * 1024,
            query_buffer: 64 * 1024 * 1024,
            stream_threshold: 64 * 1024,
            output_buffer: 256 * 1024 * 1024,
            max_memory: 0,
            max_tokens: 10_000_000,
            sync: SyncPolicy::EverySecond,
            evicts: false,
            idle_seconds: 0,
            keepalive_seconds: 300,
            local_only: true,
            tracks_latency: true,
            slow_log_us: Some(10_000),
            slow_log_entries: 128,
            monitor_ms: 0,
            denials: 128,
            clients_memory: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;

    #[test]
    fn slow_is_what_is_above_the_lower_threshold() {
        let slow_ns =
            |slow_log_us, monitor_ms| Limits { slow_log_us, monitor_ms, ..Limits::default() }.slow_ns();
        assert_eq!(slow_ns(Some(10_000), 0), 10_000_000);
        assert_eq!(slow_ns(Some(10_000), 5), 5_000_000);
        assert_eq!(slow_ns(Some(0), 5), 0);
        assert_eq!(slow_ns(None, 5), 5_000_000);
        assert_eq!(slow_ns(None, 0), u64::MAX);
    }
}
