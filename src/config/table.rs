//! The directives, one description each: the file, the command line, `--help`, `CONFIG GET` and `CONFIG SET` all
//! answer from here. Knows the fields of [`Config`] and nothing about where words come from.

use super::directive::Change::{Immutable, Live, Protected};
use super::directive::Write::{Lines, Many, One};
use super::directive::{Directive, Section};
use super::kind::{
    AdminPort, Bind, DebugCommand, EngineChoice, EvictionPolicy, Fsync, LogFormat, LogLevel, Password,
    ReceiveMode, SavePoint, Share, percentiles,
};
use super::value::{Fault, choice, choice_name, integer, memory, octal, yes_no, yes_no_name};
use super::{Config, encryption};
use crate::limits::VALUE_BYTES;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Redis' upper bound of most numbers.
const INT: i64 = i32::MAX as i64;

/// Addresses of one server, as in Redis.
const BINDS: usize = 16;

/// Threads of one server; above any machine's use, and low enough that a slip does not start a million.
const THREADS: i64 = 1024;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// All directives by subject.
pub(super) static SECTIONS: &[Section] = &[
    Section { title: "Network", directives: NETWORK },
    Section { title: "TLS", directives: encryption::DIRECTIVES },
    Section { title: "Admin interface", directives: ADMIN },
    Section { title: "Clients", directives: CLIENTS },
    Section { title: "Security", directives: super::security::SECURITY },
    Section { title: "Limits", directives: LIMITS },
    Section { title: "Data", directives: DATA },
    Section { title: "Engine", directives: ENGINE },
    Section { title: "Logging and latency", directives: LOGGING },
];

const NETWORK: &[Directive] = &[
    Directive {
        name: "port",
        default: "6379",
        help: "TCP port; 0 = none",
        change: Immutable,
        write: One(|config, word| put(&mut config.port, integer(word, 0..=65_535))),
        show: |config| config.port.to_string(),
    },
    Directive {
        name: "bind",
        default: "127.0.0.1 -::1",
        help: "addresses to listen on; * = all IPv4, ::* = all IPv6, leading - = may be missing, \"\" = none",
        change: Immutable,
        write: Many(|config, words| put(&mut config.bind, binds(words))),
        show: |config| joined(&config.bind),
    },
    Directive {
        name: "unixsocket",
        default: "\"\"",
        help: "path of a Unix socket to listen on; \"\" = none",
        change: Immutable,
        write: One(|config, word| put(&mut config.unixsocket, Ok(path_or_none(word)))),
        show: |config| shown_path(config.unixsocket.as_deref()),
    },
    Directive {
        name: "unixsocketperm",
        default: "0",
        help: "permissions of the Unix socket, in octal; 0 = as the umask leaves them",
        change: Immutable,
        write: One(|config, word| put(&mut config.unixsocketperm, octal(word))),
        show: |config| format!("{:o}", config.unixsocketperm),
    },
    Directive {
        name: "tcp-backlog",
        default: "511",
        help: "connections that wait to be accepted; the kernel caps it at net.core.somaxconn",
        change: Immutable,
        write: One(|config, word| put(&mut config.tcp_backlog, integer(word, 0..=INT))),
        show: |config| config.tcp_backlog.to_string(),
    },
    Directive {
        name: "tcp-keepalive",
        default: "300",
        help: "seconds between keep-alive probes; 0 = none",
        change: Live,
        write: One(|config, word| put(&mut config.tcp_keepalive, integer(word, 0..=INT))),
        show: |config| config.tcp_keepalive.to_string(),
    },
];

const ADMIN: &[Directive] = &[
    Directive {
        name: "admin-port",
        default: "9121",
        help: "HTTP port of metrics, health and dashboard; 0 = none",
        change: Immutable,
        write: One(|config, word| put(&mut config.admin_port, AdminPort::parse(word))),
        show: |config| config.admin_port.number.to_string(),
    },
    Directive {
        name: "admin-bind",
        default: "127.0.0.1 -::1",
        help: "addresses of the admin port, as in bind",
        change: Immutable,
        write: Many(|config, words| put(&mut config.admin_bind, binds(words))),
        show: |config| joined(&config.admin_bind),
    },
    Directive {
        name: "admin-token",
        default: "\"\"",
        help: "bearer token that readers of figures must give; \"\" = none",
        change: Immutable,
        write: One(|config, word| put(&mut config.admin_token, Password::parse_token(word))),
        show: |config| config.admin_token.shown(),
    },
    Directive {
        name: "admin-token-file",
        default: "\"\"",
        help: "file whose first line is that token; \"\" = none",
        change: Immutable,
        write: One(|config, word| put(&mut config.admin_token_file, Ok(path_or_none(word)))),
        show: |config| shown_path(config.admin_token_file.as_deref()),
    },
];

const CLIENTS: &[Directive] = &[
    Directive {
        name: "timeout",
        default: "0",
        help: "seconds after which an idle connection is closed; 0 = never",
        change: Live,
        write: One(|config, word| put(&mut config.timeout, integer(word, 0..=INT))),
        show: |config| config.timeout.to_string(),
    },
    Directive {
        name: "enable-debug-command",
        default: "no",
        help: "who may use DEBUG: no, yes (everybody), local (clients of this machine)",
        change: Immutable,
        write: One(|config, word| put(&mut config.enable_debug_command, choice(word, DebugCommand::NAMES))),
        show: |config| choice_name(config.enable_debug_command, DebugCommand::NAMES),
    },
];

const LIMITS: &[Directive] = &[
    Directive {
        name: "maxclients",
        default: "10000",
        help: "connections of the whole server",
        change: Live,
        write: One(|config, word| put(&mut config.maxclients, integer(word, 1..=i64::from(u32::MAX)))),
        show: |config| config.maxclients.to_string(),
    },
    Directive {
        name: "proto-max-bulk-len",
        default: "1mb",
        help: "bytes of one argument, so also of one value",
        change: Live,
        write: One(|config, word| {
            put(&mut config.proto_max_bulk_len, memory(word, MIB..=VALUE_BYTES as u64))
        }),
        show: |config| config.proto_max_bulk_len.to_string(),
    },
    Directive {
        name: "proto-max-multibulk-len",
        default: "1048576",
        help: "arguments of one request that does not stream",
        change: Live,
        // Below 1024 a CONFIG SET that takes it back might no longer pass.
        write: One(|config, word| put(&mut config.proto_max_multibulk_len, integer(word, 1024..=INT))),
        show: |config| config.proto_max_multibulk_len.to_string(),
    },
    Directive {
        name: "client-query-buffer-limit",
        default: "64mb",
        help: "bytes of one request that does not stream",
        change: Live,
        // Positions inside a request have 32 bits.
        write: One(|config, word| put(&mut config.client_query_buffer_limit, memory(word, MIB..=GIB))),
        show: |config| config.client_query_buffer_limit.to_string(),
    },
    Directive {
        name: "client-output-buffer-limit",
        default: "normal 256mb 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60",
        help: "class, hard, soft, seconds: unsent reply bytes above which a connection is closed; 0 = no limit",
        change: Live,
        write: Many(|config, words| config.client_output_buffer_limit.change(words)),
        show: |config| config.client_output_buffer_limit.to_string(),
    },
    Directive {
        name: "stream-threshold",
        default: "64kb",
        help: "bytes of an incomplete request from which on it is executed in parts, where its keys are independent",
        change: Live,
        write: One(|config, word| put(&mut config.stream_threshold, memory(word, 4 * KIB..=GIB))),
        show: |config| config.stream_threshold.to_string(),
    },
];

const DATA: &[Directive] = &[
    Directive {
        name: "databases",
        default: "1",
        help: "there is one, database 0; more are accepted with a warning",
        change: Immutable,
        write: One(|config, word| only_one_database(config, integer(word, 1..=INT)?)),
        show: |_| "1".to_owned(),
    },
    Directive {
        name: "dir",
        default: "./tallyring-data",
        help: "directory of the data files, made where there is none",
        change: Protected,
        write: One(|config, word| put(&mut config.dir, directory(word))),
        show: |config| shown_path(Some(&config.dir)),
    },
    Directive {
        name: "appendonly",
        default: "yes",
        help: "keep a journal of all changes, so that a restart loses none",
        change: Immutable,
        write: One(|config, word| put(&mut config.appendonly, yes_no(word))),
        show: |config| yes_no_name(config.appendonly),
    },
    Directive {
        name: "appendfsync",
        default: "everysec",
        help: "when the journal is synced: everysec, always (before a reply leaves), no (when the kernel likes)",
        change: Live,
        write: One(|config, word| put(&mut config.appendfsync, choice(word, Fsync::NAMES))),
        show: |config| choice_name(config.appendfsync, Fsync::NAMES),
    },
    Directive {
        name: "journal-segment-size",
        default: "64mb",
        help: "bytes of one file of the journal, which are allocated ahead of use",
        change: Immutable,
        write: One(|config, word| {
            put(&mut config.journal_segment_size, memory(word, MIN_SEGMENT..=MAX_SEGMENT))
        }),
        show: |config| config.journal_segment_size.to_string(),
    },
    Directive {
        name: "auto-aof-rewrite-percentage",
        default: "100",
        help: "growth of the journal, in percent of the last snapshot, after which the next one is taken; 0 = never",
        change: Live,
        write: One(|config, word| put(&mut config.auto_aof_rewrite_percentage, integer(word, 0..=INT))),
        show: |config| config.auto_aof_rewrite_percentage.to_string(),
    },
    Directive {
        name: "auto-aof-rewrite-min-size",
        default: "64mb",
        help: "bytes of the journal below which no snapshot is taken for its growth",
        change: Live,
        write: One(|config, word| put(&mut config.auto_aof_rewrite_min_size, memory(word, 0..=u64::MAX))),
        show: |config| config.auto_aof_rewrite_min_size.to_string(),
    },
    Directive {
        name: "save",
        default: "3600 1 300 100 60 10000",
        help: "seconds and changes: a snapshot is taken after so many seconds if there were so many changes; \"\" = none",
        change: Live,
        write: Lines { add: add_save_points, clear: |config| config.save.clear() },
        show: |config| {
            let points = config.save.iter().map(|point| format!("{} {}", point.seconds, point.changes));
            points.collect::<Vec<_>>().join(" ")
        },
    },
    Directive {
        name: "maxmemory",
        default: "0",
        help: "bytes that keys may take, with what the server began with; 0 = no bound",
        change: Live,
        write: One(|config, word| put(&mut config.maxmemory, memory(word, 0..=u64::MAX))),
        show: |config| config.maxmemory.to_string(),
    },
    Directive {
        name: "maxmemory-clients",
        default: "0",
        help: "bytes that all connections may take, or percent of maxmemory (5%); 0 = no bound",
        change: Live,
        write: One(|config, word| put(&mut config.maxmemory_clients, Share::parse(word))),
        show: |config| config.maxmemory_clients.shown(),
    },
    Directive {
        name: "maxmemory-policy",
        default: "noeviction",
        help: "what goes when maxmemory is reached: noeviction, volatile-ttl",
        change: Live,
        write: One(|config, word| put(&mut config.maxmemory_policy, EvictionPolicy::parse(word))),
        show: |config| choice_name(config.maxmemory_policy, EvictionPolicy::NAMES),
    },
    Directive {
        name: "maxtokens",
        default: "10000000",
        help: "tokens of INCRONCE and MINCRONCE that are remembered at a time",
        change: Live,
        write: One(|config, word| put(&mut config.maxtokens, integer(word, 0..=i64::from(u32::MAX)))),
        show: |config| config.maxtokens.to_string(),
    },
];

const ENGINE: &[Directive] = &[
    Directive {
        name: "engine",
        default: "auto",
        help: "auto (the best that the kernel allows), uring, tokio-uring, epoll",
        change: Immutable,
        write: One(|config, word| put(&mut config.engine, EngineChoice::parse(word))),
        show: |config| choice_name(config.engine, EngineChoice::NAMES),
    },
    Directive {
        name: "recv",
        default: "multishot",
        help: "receive blocks of engine uring: multishot (shared by all connections), fixed (one each, registered)",
        change: Immutable,
        write: One(|config, word| put(&mut config.recv, ReceiveMode::parse(word))),
        show: |config| choice_name(config.recv, ReceiveMode::NAMES),
    },
    Directive {
        name: "threads",
        default: "0",
        help: "workers; 0 = one per CPU that the process may use",
        change: Immutable,
        write: One(|config, word| put(&mut config.threads, integer(word, 0..=THREADS))),
        show: |config| config.threads.to_string(),
    },
];

const LOGGING: &[Directive] = &[
    Directive {
        name: "loglevel",
        default: "notice",
        help: "least importance that is logged: debug, verbose, notice, warning",
        change: Live,
        write: One(|config, word| put(&mut config.loglevel, choice(word, LogLevel::NAMES))),
        show: |config| choice_name(config.loglevel, LogLevel::NAMES),
    },
    Directive {
        name: "log-format",
        default: "auto",
        help: "text, json, journald, or auto: text on a terminal, the system's journal under systemd, else json",
        change: Immutable,
        write: One(|config, word| put(&mut config.log_format, choice(word, LogFormat::NAMES))),
        show: |config| choice_name(config.log_format, LogFormat::NAMES),
    },
    Directive {
        name: "logfile",
        default: "\"\"",
        help: "file that the log is appended to, opened anew at SIGHUP; \"\" = standard error",
        change: Immutable,
        write: One(|config, word| put(&mut config.logfile, Ok(path_or_none(word)))),
        show: |config| shown_path(config.logfile.as_deref()),
    },
    Directive {
        name: "latency-tracking",
        default: "yes",
        help: "measure each command's latency",
        change: Live,
        write: One(|config, word| put(&mut config.latency_tracking, yes_no(word))),
        show: |config| yes_no_name(config.latency_tracking),
    },
    Directive {
        name: "latency-tracking-info-percentiles",
        default: "50 99 99.9",
        help: "percentiles that INFO shows for each command; \"\" = none",
        change: Live,
        write: Many(|config, words| put(&mut config.latency_percentiles, percentiles(words))),
        show: |config| joined(&config.latency_percentiles),
    },
    Directive {
        name: "slowlog-log-slower-than",
        default: "10000",
        help: "microseconds from which on a command enters the slow log; 0 = each one, -1 = none",
        change: Live,
        write: One(|config, word| put(&mut config.slowlog_log_slower_than, integer(word, -1..=i64::MAX))),
        show: |config| config.slowlog_log_slower_than.to_string(),
    },
    Directive {
        name: "slowlog-max-len",
        default: "128",
        help: "entries that the slow log keeps",
        change: Live,
        // Above some hundred thousand, `limits::SLOW_LOG_BYTES` is reached first.
        write: One(|config, word| put(&mut config.slowlog_max_len, integer(word, 0..=1_000_000))),
        show: |config| config.slowlog_max_len.to_string(),
    },
    Directive {
        name: "latency-monitor-threshold",
        default: "0",
        help: "milliseconds from which on the latency monitor notes what took so long; 0 = it notes nothing",
        change: Live,
        write: One(|config, word| put(&mut config.latency_monitor_threshold, integer(word, 0..=i64::MAX))),
        show: |config| config.latency_monitor_threshold.to_string(),
    },
];

/// Stores a value that was read, and nothing if it was not.
pub(super) fn put<T>(field: &mut T, read: Result<T, Fault>) -> Result<(), Fault> {
    *field = read?;
    Ok(())
}

/// Words with blanks between them.
fn joined<T: Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

/// A path, as it was written.
pub(super) fn shown_path(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

/// A path; an empty word means none.
pub(super) fn path_or_none(word: &str) -> Option<PathBuf> {
    if word.is_empty() { None } else { Some(PathBuf::from(word)) }
}

/// A directory, which need not exist.
fn directory(word: &str) -> Result<PathBuf, Fault> {
    path_or_none(word).ok_or_else(|| Fault::malformed("argument must be a directory"))
}

/// The addresses to listen on; a single empty word means none.
fn binds(words: &[&str]) -> Result<Vec<Bind>, Fault> {
    if words == [""] {
        return Ok(Vec::new());
    }
    if words.len() > BINDS {
        return Err(Fault::malformed(format!("argument must be at most {BINDS} addresses")));
    }
    words.iter().map(|word| Bind::parse(word)).collect()
}

/// Warns of databases that are not there: a client learns of it only when it selects one.
fn only_one_database(config: &mut Config, databases: i64) -> Result<(), Fault> {
    if databases > 1 {
        config
            .warn(format!("databases {databases}: only database 0 exists; SELECT of any other is an error"));
    }
    Ok(())
}

/// Bytes of the smallest file of a journal, and of the largest.
const MIN_SEGMENT: u64 = 1 << 20;
const MAX_SEGMENT: u64 = 1 << 32;

/// Adds points to those of earlier lines; `save ""` drops them.
fn add_save_points(config: &mut Config, words: &[&str]) -> Result<(), Fault> {
    let points = SavePoint::parse_all(words)?;
    if points.is_empty() {
        config.save.clear();
    }
    config.save.extend(points);
    Ok(())
}
