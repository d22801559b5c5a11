//! Directives of Redis that are not ours: those without a meaning here, and those that would promise something
//! this server does not do. Knows nothing of our own directives.

/// What becomes of a directive of Redis that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has no meaning here, or asks for what is the case anyway: accepted with a warning.
    Inert,
    /// It would change what clients or operators can rely on: refused, for this reason.
    Refused(&'static str),
}

/// A directive that is refused unless it asks for what is the case anyway.
struct Refusal {
    name: &'static str,
    /// Values that ask for nothing; none: every use is refused.
    harmless: &'static [&'static str],
    reason: &'static str,
}

/// What becomes of `name` with the words after it. `None`: no directive of Redis.
pub(super) fn judge(name: &str, words: &[String]) -> Option<Verdict> {
    if let Some(refusal) = REFUSALS.iter().find(|refusal| refusal.name == name) {
        let value = words.join(" ");
        let harmless = refusal.harmless.iter().any(|harmless| harmless.eq_ignore_ascii_case(&value));
        return Some(if harmless { Verdict::Inert } else { Verdict::Refused(refusal.reason) });
    }
    INERT.contains(&name).then_some(Verdict::Inert)
}

/// The names of all of them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    REFUSALS.iter().map(|refusal| refusal.name).chain(INERT.iter().copied())
}

const NO_REPLICA: &str = "this version does not replicate; remove the line";
const NO_WAITING: &str = "this version does not replicate, so no write could be accepted; set 0";

const REFUSALS: &[Refusal] = &[
    Refusal {
        name: "cluster-enabled",
        harmless: &["no"],
        reason: "this version is no cluster node; set cluster-enabled no",
    },
    Refusal {
        name: "daemonize",
        harmless: &["no"],
        reason: "the server stays in the foreground; leave that to the service manager, and set daemonize no",
    },
    Refusal {
        name: "supervised",
        harmless: &["no", "auto"],
        reason: "the server does not report readiness; use a service of type exec, and set supervised no",
    },
    Refusal { name: "replicaof", harmless: &["no one", ""], reason: NO_REPLICA },
    Refusal { name: "slaveof", harmless: &["no one", ""], reason: NO_REPLICA },
    Refusal { name: "min-replicas-to-write", harmless: &["0"], reason: NO_WAITING },
    Refusal { name: "min-slaves-to-write", harmless: &["0"], reason: NO_WAITING },
    Refusal {
        name: "rename-command",
        harmless: &[],
        reason: "commands keep their names here; remove the line, and guard the port with requirepass or bind",
    },
    Refusal { name: "loadmodule", harmless: &[], reason: "there are no modules here; remove the line" },
    Refusal { name: "sentinel", harmless: &[], reason: "this server is no sentinel; remove the line" },
    Refusal {
        name: "notify-keyspace-events",
        harmless: &[""],
        reason: "this version sends no events, so a listener would wait forever; set it to \"\"",
    },
];

/// Redis 7.0's, with the older names it still takes, and what 7.2 to 8.0 put into their example files.
const INERT: &[&str] = &[
    "acl-pubsub-default",
    "active-defrag-cycle-max",
    "active-defrag-cycle-min",
    "active-defrag-ignore-bytes",
    "active-defrag-max-scan-fields",
    "active-defrag-threshold-lower",
    "active-defrag-threshold-upper",
    "active-expire-effort",
    "activedefrag",
    "activerehashing",
    "always-show-logo",
    "aof-disable-auto-gc",
    "aof-load-truncated",
    "aof-rewrite-incremental-fsync",
    "aof-timestamp-enabled",
    "aof-use-rdb-preamble",
    "aof-rewrite-cpulist",
    "aof_rewrite_cpulist",
    "appenddirname",
    "appendfilename",
    "bgsave-cpulist",
    "bgsave_cpulist",
    "bind-source-addr",
    "bio-cpulist",
    "bio_cpulist",
    "busy-reply-threshold",
    "cluster-allow-pubsubshard-when-down",
    "cluster-allow-reads-when-down",
    "cluster-allow-replica-migration",
    "cluster-announce-bus-port",
    "cluster-announce-hostname",
    "cluster-announce-human-nodename",
    "cluster-announce-ip",
    "cluster-announce-port",
    "cluster-announce-tls-port",
    "cluster-config-file",
    "cluster-link-sendbuf-limit",
    "cluster-migration-barrier",
    "cluster-node-timeout",
    "cluster-port",
    "cluster-preferred-endpoint-type",
    "cluster-replica-no-failover",
    "cluster-replica-validity-factor",
    "cluster-require-full-coverage",
    "cluster-slave-no-failover",
    "cluster-slave-validity-factor",
    "crash-log-enabled",
    "crash-memcheck-enabled",
    "dbfilename",
    "disable-thp",
    "dynamic-hz",
    "enable-module-command",
    "enable-protected-configs",
    "hash-max-listpack-entries",
    "hash-max-listpack-value",
    "hash-max-ziplist-entries",
    "hash-max-ziplist-value",
    "hide-user-data-from-log",
    "hll-sparse-max-bytes",
    "hz",
    "ignore-warnings",
    "io-threads",
    "io-threads-do-reads",
    "jemalloc-bg-thread",
    "lazyfree-lazy-eviction",
    "lazyfree-lazy-expire",
    "lazyfree-lazy-server-del",
    "lazyfree-lazy-user-del",
    "lazyfree-lazy-user-flush",
    "lfu-decay-time",
    "lfu-log-factor",
    "list-compress-depth",
    "list-max-listpack-size",
    "list-max-ziplist-entries",
    "list-max-ziplist-size",
    "list-max-ziplist-value",
    "locale-collate",
    "lua-replicate-commands",
    "lua-time-limit",
    "masterauth",
    "masteruser",
    "max-new-connections-per-cycle",
    "max-new-tls-connections-per-cycle",
    "maxmemory-eviction-tenacity",
    "maxmemory-samples",
    "min-replicas-max-lag",
    "min-slaves-max-lag",
    "no-appendfsync-on-rewrite",
    "oom-score-adj",
    "oom-score-adj-values",
    "pidfile",
    "proc-title-template",
    "propagation-error-behavior",
    "rdb-del-sync-files",
    "rdb-save-incremental-fsync",
    "rdbchecksum",
    "rdbcompression",
    "repl-backlog-size",
    "repl-backlog-ttl",
    "repl-disable-tcp-nodelay",
    "repl-diskless-load",
    "repl-diskless-sync",
    "repl-diskless-sync-delay",
    "repl-diskless-sync-max-replicas",
    "repl-ping-replica-period",
    "repl-ping-slave-period",
    "repl-timeout",
    "replica-announce-ip",
    "replica-announce-port",
    "replica-announced",
    "replica-full-sync-buffer-limit",
    "replica-ignore-disk-write-errors",
    "replica-ignore-maxmemory",
    "replica-lazy-flush",
    "replica-priority",
    "replica-read-only",
    "replica-serve-stale-data",
    "sanitize-dump-payload",
    "server-cpulist",
    "server_cpulist",
    "set-max-intset-entries",
    "set-max-listpack-entries",
    "set-max-listpack-value",
    "set-proc-title",
    "shutdown-on-sigint",
    "shutdown-on-sigterm",
    "shutdown-timeout",
    "slave-announce-ip",
    "slave-announce-port",
    "slave-ignore-maxmemory",
    "slave-lazy-flush",
    "slave-priority",
    "slave-read-only",
    "slave-serve-stale-data",
    "socket-mark-id",
    "stop-writes-on-bgsave-error",
    "stream-node-max-bytes",
    "stream-node-max-entries",
    "syslog-enabled",
    "syslog-facility",
    "syslog-ident",
    "tls-ciphers",
    "tls-ciphersuites",
    "tls-client-cert-file",
    "tls-client-key-file",
    "tls-client-key-file-pass",
    "tls-cluster",
    "tls-dh-params-file",
    "tls-prefer-server-ciphers",
    "tls-replication",
    "tls-session-cache-timeout",
    "tracking-table-max-keys",
    "zset-max-listpack-entries",
    "zset-max-listpack-value",
    "zset-max-ziplist-entries",
    "zset-max-ziplist-value",
];

#[cfg(test)]
mod tests {
    use super::{INERT, Verdict, judge, names};

    fn verdict(line: &str) -> Option<Verdict> {
        let mut words = line.split(' ').map(str::to_owned);
        let name = words.next().unwrap();
        judge(&name, &words.collect::<Vec<_>>())
    }

    #[test]
    fn what_changes_nothing_is_accepted() {
        for line in ["hz 10", "daemonize no", "replicaof NO ONE", "tls-ciphers DEFAULT", "io-threads 4"] {
            assert_eq!(verdict(line), Some(Verdict::Inert), "{line}");
        }
    }

    #[test]
    fn what_would_be_a_promise_is_refused() {
        for line in [
            "daemonize yes",
            "replicaof 10.0.0.1 6379",
            "rename-command CONFIG hidden",
            "cluster-enabled yes",
            "supervised systemd",
        ] {
            assert!(matches!(verdict(line), Some(Verdict::Refused(_))), "{line}");
        }
        assert_eq!(verdict("nonsense 1"), None);
    }

    #[test]
    fn each_name_stands_once_and_in_lower_case() {
        let mut all: Vec<&str> = names().collect();
        assert!(all.iter().all(|name| *name == name.to_ascii_lowercase()));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(INERT.len() > 100, "a stock file of redis is full of these");
    }
}
