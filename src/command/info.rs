//! `INFO`: the server's state as text, in the sections and under the names that Redis' monitors read. Knows
//! [`Facts`], not where they come from.

mod facts;
mod statistics;

use std::fmt::Write;
use std::rc::Rc;

pub use self::facts::{CertificateFacts, Facts, Refusals};
use super::lookup::named;
use super::session::SERVER_VERSION;
use super::{Argument, Call, Command, Docs, Flags, Host, Keys, Outcome};
use crate::metrics::meters::Reading;

/// `INFO [section …]`
pub static INFO: Command = Command {
    name: "info",
    arity: -1,
    flags: Flags::LOADING.and(Flags::STALE).and(Flags::ALL_KEYS),
    keys: Keys::NONE,
    access: &[],
    categories: &["dangerous"],
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    docs: Docs {
        summary: "Describes the server's state, in sections.",
        since: "1.0.0",
        group: "server",
        complexity: "O(1)",
        arguments: &[Argument::new("section", "string").maybe().many()],
    },
    run: info,
    subcommands: &[],
};

/// A section: its name as an argument, and what writes it.
type Section = (&'static str, fn(&mut Text<'_>));

const SECTIONS: [Section; 15] = [
    ("server", server),
    ("clients", clients),
    ("memory", memory),
    ("persistence", persistence),
    ("stats", stats),
    ("refusals", refusals),
    ("replication", replication),
    ("cpu", cpu),
    ("commandstats", statistics::commandstats),
    ("errorstats", statistics::errorstats),
    ("latencystats", statistics::latencystats),
    ("cluster", cluster),
    ("tls", tls),
    ("keyspace", keyspace),
    ("engine", engine),
];

/// Sections that are shown only to who asks for them, or for all: a line for every command. As in Redis.
const ONLY_ASKED: [&str; 2] = ["commandstats", "latencystats"];

fn info(call: &mut Call<'_>) -> Outcome {
    let table = call.figures();
    let facts = call.host.facts(table);
    let asked = |name: &str| call.args.tail(1).any(|argument| name.as_bytes().eq_ignore_ascii_case(argument));
    let wanted = |section: &str| {
        let by_default = !ONLY_ASKED.contains(&section);
        let default = call.args.len() == 1 || asked("default");
        asked(section) || asked("all") || asked("everything") || default && by_default
    };
    let mut text = Text {
        out: String::new(),
        facts: &facts,
        host: call.host,
        commands: None,
        unix_us: call.now.unix_us,
    };
    for (name, write) in SECTIONS {
        if wanted(name) {
            text.section(name);
            write(&mut text);
        }
    }
    call.reply.verbatim(*b"txt", text.out.as_bytes());
    Outcome::Done
}

/// The text as it grows.
struct Text<'f> {
    out: String,
    facts: &'f Facts,
    host: &'f mut dyn Host,
    /// What commands took, once a section has asked.
    commands: Option<Rc<[(String, Reading)]>>,
    unix_us: u64,
}

impl Text<'_> {
    /// What commands took, by their names.
    fn commands(&mut self) -> Rc<[(String, Reading)]> {
        let Self { host, commands, .. } = self;
        Rc::clone(commands.get_or_insert_with(|| named(host.readings()).collect()))
    }

    fn section(&mut self, name: &str) {
        if !self.out.is_empty() {
            self.out.push_str("\r\n");
        }
        let title = match name {
            "cpu" | "tls" => name.to_ascii_uppercase(),
            _ => name[..1].to_ascii_uppercase() + &name[1..],
        };
        write!(self.out, "# {title}\r\n").expect("writing to memory does not fail");
    }

    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        write!(self.out, "{name}:{value}\r\n").expect("writing to memory does not fail");
    }

    fn size(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        self.field(&format!("{name}_human"), human(bytes));
    }

    /// Fields of what Redis counts and what does not happen here.
    fn zeros(&mut self, names: &[&str]) {
        for name in names {
            self.field(name, 0);
        }
    }
}

/// A size as people read it, in Redis' manner.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [(u32, &str); 5] = [(50, "P"), (40, "T"), (30, "G"), (20, "M"), (10, "K")];
    match UNITS.iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{:.2}{unit}", ratio(bytes, 1 << shift)),
        None => format!("{bytes}B"),
    }
}

/// `part` in terms of `whole`, 0 where there is no whole.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits after the point")]
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn server(text: &mut Text<'_>) {
    let facts = text.facts;
    text.field("redis_version", SERVER_VERSION);
    text.field("redis_git_sha1", "00000000");
    text.field("redis_git_dirty", 0);
    text.field("redis_build_id", &facts.build_id);
    text.field("redis_mode", "standalone");
    text.field("tallyring_version", &facts.version);
    text.field("os", &facts.os);
    text.field("arch_bits", usize::BITS);
    text.field("monotonic_clock", "POSIX clock_gettime");
    text.field("multiplexing_api", &facts.engine);
    text.field("process_id", facts.pid);
    text.field("process_supervised", "no");
    text.field("run_id", &facts.run_id);
    text.field("tcp_port", facts.tcp_port);
    text.field("server_time_usec", text.unix_us);
    text.field("uptime_in_seconds", facts.uptime_s);
    text.field("uptime_in_days", facts.uptime_s / 86_400);
    text.field("hz", 10);
    text.field("configured_hz", 10);
    text.field("lru_clock", text.unix_us / 1_000_000 % (1 << 24));
    text.field("executable", &facts.executable);
    text.field("config_file", &facts.config_file);
    text.field("io_threads_active", 0);
}

fn clients(text: &mut Text<'_>) {
    let facts = text.facts;
    text.field("connected_clients", facts.connected_clients);
    text.zeros(&["cluster_connections"]);
    text.field("maxclients", facts.max_clients);
    text.zeros(&["client_recent_max_input_buffer", "client_recent_max_output_buffer"]);
    text.field("blocked_clients", facts.blocked_clients);
    text.zeros(&["tracking_clients", "clients_in_timeout_table"]);
}

fn memory(text: &mut Text<'_>) {
    let facts = text.facts;
    let used = facts.used_memory;
    text.size("used_memory", used);
    text.size("used_memory_rss", facts.used_memory_rss);
    text.size("used_memory_peak", facts.used_memory_peak);
    text.field("used_memory_peak_perc", format!("{:.2}%", 100.0 * ratio(used, facts.used_memory_peak)));
    text.field("used_memory_overhead", used.saturating_sub(facts.used_memory_dataset));
    text.field("used_memory_startup", facts.used_memory_startup);
    text.field("used_memory_dataset", facts.used_memory_dataset);
    text.field("used_memory_dataset_perc", format!("{:.2}%", 100.0 * ratio(facts.used_memory_dataset, used)));
    text.size("total_system_memory", facts.total_system_memory);
    text.size("used_memory_lua", 0);
    text.size("used_memory_scripts", 0);
    text.zeros(&["number_of_cached_scripts", "number_of_functions", "number_of_libraries"]);
    text.size("maxmemory", facts.max_memory);
    text.field("maxmemory_policy", &facts.max_memory_policy);
    text.field("mem_fragmentation_ratio", format!("{:.2}", ratio(facts.used_memory_rss, used)));
    text.field("mem_fragmentation_bytes", facts.used_memory_rss.saturating_sub(used));
    text.zeros(&["mem_not_counted_for_evict", "mem_replication_backlog", "mem_clients_slaves"]);
    text.zeros(&["mem_clients_normal", "mem_cluster_links", "mem_aof_buffer"]);
    text.field("mem_allocator", &facts.allocator);
    text.zeros(&["active_defrag_running", "lazyfree_pending_objects", "lazyfreed_objects"]);
}

fn persistence(text: &mut Text<'_>) {
    let (facts, saving) = (text.facts, &text.facts.saving);
    let flag = u8::from;
    let (ok, seconds) =
        (|failed| if failed { "err" } else { "ok" }, |s: Option<u64>| s.map_or(-1, u64::cast_signed));
    // Of a snapshot that is to shorten the journal, the fields of the append-only file tell.
    let running = saving.running.filter(|running| !running.rewrites);
    let rewriting = saving.running.filter(|running| running.rewrites);
    text.field("loading", flag(facts.loading));
    text.zeros(&["async_loading"]);
    text.field("rdb_changes_since_last_save", facts.changes.saturating_sub(saving.saved_changes));
    text.field("rdb_bgsave_in_progress", flag(running.is_some()));
    text.field("rdb_bgsave_percent", format!("{:.2}", saving.running.map_or(0.0, |running| running.percent)));
    text.field("rdb_last_save_time", saving.last_save_unix_s);
    text.field("rdb_last_bgsave_status", ok(saving.failed));
    text.field("rdb_last_bgsave_time_sec", seconds(saving.last_s));
    text.field("rdb_current_bgsave_time_sec", seconds(running.map(|running| running.seconds)));
    text.field("rdb_saves", saving.saves);
    text.zeros(&["rdb_last_cow_size"]);
    text.field("aof_enabled", flag(saving.in_use));
    text.field("aof_rewrite_in_progress", flag(rewriting.is_some()));
    text.field("aof_rewrite_scheduled", flag(saving.scheduled));
    text.field("aof_last_rewrite_time_sec", seconds(saving.last_s));
    text.field("aof_current_rewrite_time_sec", seconds(rewriting.map(|running| running.seconds)));
    text.field("aof_last_bgrewrite_status", ok(saving.failed));
    text.field("aof_last_write_status", ok(saving.refusing));
    text.zeros(&["aof_last_cow_size"]);
    if saving.in_use {
        text.field("aof_current_size", saving.current_bytes);
        text.field("aof_base_size", saving.base_bytes);
        text.zeros(&["aof_pending_rewrite"]);
        syncs(text);
    }
}

/// How the journal's syncs go: first in Redis' words, then in ours.
fn syncs(text: &mut Text<'_>) {
    let journal = &text.facts.journal;
    text.field("aof_buffer_length", journal.unwritten_bytes);
    text.field("aof_pending_bio_fsync", u8::from(journal.syncing));
    text.field("aof_delayed_fsync", journal.delayed);
    text.field("aof_last_fsync_us", journal.last_us);
    text.field("journal_syncs", journal.syncs);
    text.field("journal_sync_p99_us", journal.p99_us);
    text.field("journal_sync_max_us", journal.max_us);
    text.field("journal_lag_bytes", journal.lag_bytes);
    text.field("journal_lag_ms", journal.lag_ms);
}

fn stats(text: &mut Text<'_>) {
    let facts = text.facts;
    text.field("total_connections_received", facts.total_connections);
    text.field("total_commands_processed", facts.total_commands);
    text.field("instantaneous_ops_per_sec", facts.ops_per_second);
    text.field("total_net_input_bytes", facts.net_input);
    text.field("total_net_output_bytes", facts.net_output);
    text.field("instantaneous_input_kbps", "0.00");
    text.field("instantaneous_output_kbps", "0.00");
    let refused = &facts.refusals;
    text.field("rejected_connections", refused.max_clients + refused.protected_mode);
    text.zeros(&["sync_full", "sync_partial_ok", "sync_partial_err"]);
    text.field("expired_keys", facts.expired_keys);
    text.field("expired_stale_perc", "0.00");
    text.field("expired_time_cap_reached_count", facts.expiry_capped);
    text.zeros(&["expire_cycle_cpu_milliseconds"]);
    text.field("evicted_keys", facts.evicted_keys);
    text.field("evicted_clients", refused.evicted_clients);
    text.zeros(&["total_eviction_exceeded_time"]);
    text.field("keyspace_hits", facts.keyspace_hits);
    text.field("keyspace_misses", facts.keyspace_misses);
    text.zeros(&["pubsub_channels", "pubsub_patterns", "pubsubshard_channels"]);
    text.zeros(&["latest_fork_usec", "total_forks", "migrate_cached_sockets", "slave_expires_tracked_keys"]);
    text.zeros(&["active_defrag_hits", "active_defrag_misses"]);
    text.zeros(&["active_defrag_key_hits", "active_defrag_key_misses"]);
    text.zeros(&["tracking_total_keys", "tracking_total_items", "tracking_total_prefixes"]);
    text.field("client_query_buffer_limit_disconnections", refused.query_overflows);
    text.field("client_output_buffer_limit_disconnections", refused.output_overflows);
    text.field("acl_access_denied_auth", refused.wrong_passwords);
    text.field("acl_access_denied_cmd", refused.denied_commands);
    text.field("acl_access_denied_key", refused.denied_keys);
    text.zeros(&["acl_access_denied_channel"]);
    text.zeros(&["unexpected_error_replies"]);
    text.field("total_error_replies", facts.error_replies);
    text.zeros(&["dump_payload_sanitizations"]);
}

/// A field per kind; those of Redis that say the same are in the stats section besides.
fn refusals(text: &mut Text<'_>) {
    let refused = &text.facts.refusals;
    for (name, count) in [
        ("refused_maxclients", refused.max_clients),
        ("refused_protected_mode", refused.protected_mode),
        ("refused_unauthenticated", refused.unauthenticated),
        ("refused_unauthenticated_size", refused.unauthenticated_sizes),
        ("refused_unauthenticated_time", refused.unauthenticated_times),
        ("refused_wrong_password", refused.wrong_passwords),
        ("slowed_password", refused.slowed_passwords),
        ("unaccepted", refused.unaccepted),
        ("refused_command", refused.denied_commands),
        ("refused_key", refused.denied_keys),
        ("refused_tls_handshake", refused.tls_handshakes),
        ("refused_tls_session", refused.tls_sessions),
        ("refused_unknown_command", refused.unknown_commands),
        ("refused_arity", refused.wrong_arities),
        ("refused_long_key", refused.long_keys),
        ("refused_multibulk_length", refused.bad_counts),
        ("refused_bulk_length", refused.bad_lengths),
        ("refused_malformed", refused.malformed),
        ("refused_query_buffer", refused.query_overflows),
        ("refused_output_buffer", refused.output_overflows),
        ("refused_monitor", refused.monitor_overflows),
        ("refused_busy", refused.busy_questions),
        ("refused_idle", refused.idle),
    ] {
        text.field(name, count);
    }
}

fn replication(text: &mut Text<'_>) {
    text.field("role", "master");
    text.zeros(&["connected_slaves"]);
    text.field("master_failover_state", "no-failover");
    text.field("master_replid", &text.facts.run_id);
    text.field("master_replid2", format!("{:040}", 0));
    text.zeros(&["master_repl_offset"]);
    text.field("second_repl_offset", -1);
    text.zeros(&["repl_backlog_active", "repl_backlog_size"]);
    text.zeros(&["repl_backlog_first_byte_offset", "repl_backlog_histlen"]);
}

fn cpu(text: &mut Text<'_>) {
    text.field("used_cpu_sys", format!("{:.6}", text.facts.cpu_sys_s));
    text.field("used_cpu_user", format!("{:.6}", text.facts.cpu_user_s));
    text.field("used_cpu_sys_children", "0.000000");
    text.field("used_cpu_user_children", "0.000000");
}

fn cluster(text: &mut Text<'_>) {
    text.zeros(&["cluster_enabled"]);
}

fn keyspace(text: &mut Text<'_>) {
    let facts = text.facts;
    if facts.keys > 0 {
        let expires = facts.keys_with_deadline;
        text.field("db0", format!("keys={},expires={expires},avg_ttl=0", facts.keys));
    }
    let census = &facts.census;
    let (templates, refused) = facts.templates;
    text.field("templates", templates);
    text.field("templates_refused", refused);
    text.field("row_shapes", census.shapes);
    text.field("keys_numbered", census.numbered);
    text.field("keys_packed", census.packed);
    text.field(
        "bytes_per_numbered_key",
        format!("{:.2}", ratio(census.numbered_bytes as u64, census.numbered as u64)),
    );
    let packed = census.packed_bytes + census.large_bytes;
    text.field("bytes_per_packed_key", format!("{:.2}", ratio(packed as u64, census.packed as u64)));
    text.field("tokens", census.tokens);
    text.field("maxtokens", facts.max_tokens);
    text.field("bytes_per_token", format!("{:.2}", ratio(census.token_bytes as u64, census.tokens as u64)));
}

/// As in Valkey 9.1. Its certificate for connections that it makes itself is there for readers: we make none.
fn tls(text: &mut Text<'_>) {
    let facts = text.facts;
    let now_s = i64::try_from(text.unix_us / 1_000_000).unwrap_or(i64::MAX);
    for (name, certificate) in
        [("server", &facts.server_certificate), ("client", &None), ("ca", &facts.authority)]
    {
        let serial = certificate.as_ref().map_or("none", |it| it.serial.as_str());
        let left_s = certificate.as_ref().map_or(0, |it| it.until_unix_s - now_s);
        text.field(&format!("tls_{name}_cert_serial"), serial);
        text.field(&format!("tls_{name}_cert_expires_in_seconds"), left_s);
    }
    text.field("tls_ca_cert_count", facts.authorities);
}

fn engine(text: &mut Text<'_>) {
    let facts = text.facts;
    text.field("engine", &facts.engine);
    text.field("engine_rung", &facts.rung);
    text.field("workers", facts.workers);
    text.field("turns", facts.turns);
    text.field("system_calls", facts.system_calls);
    text.field("ring_submissions", facts.submissions);
    text.field("ring_completions", facts.completions);
    text.field("ring_in_flight", facts.in_flight);
    text.field("ring_overflows", facts.overflows);
    text.field("receives_starved", facts.starved);
    text.field("blocks_per_worker", facts.blocks);
    text.field("blocks_free", facts.blocks_free);
    text.field("blocks_low_water", facts.blocks_low_water);
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn sizes_read_as_in_redis() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (2_216_712, "2.11M"),
            (12_808_192, "12.21M"),
            (25_276_510_208, "23.54G"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
