//! The families of `/metrics`: what each is called, its unit and its help.

use super::{Page, durations, pair};
use crate::admin::source::{CommandReading, Keys, Memory, Persistence, Reading, Standing, WorkerReading};
use crate::metrics::meters;

/// A gauge of yes and no.
fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}

/// Version, engine, readiness.
pub(super) fn server(page: &mut Page, reading: &Reading, standing: &Standing) {
    let facts = [
        ("version", reading.version),
        ("engine", reading.engine),
        ("rung", &reading.rung),
        ("role", reading.role),
    ];
    page.facts(("tallyring_build_info", "Version, engine and its rung, role; always 1."), &facts);
    let ready = matches!(standing, Standing::Ready | Standing::Refusing(_));
    page.gauge(("tallyring_ready", "1 while clients are served, as /readyz says."), flag(ready));
    let loading = *standing == Standing::Loading;
    page.gauge(("tallyring_loading", "1 while what was saved is being read."), flag(loading));
    page.gauge(("tallyring_uptime_seconds", "Time since the start."), reading.uptime_ms as f64 / 1e3);
}

/// Connections, requests, refusals.
pub(super) fn clients(page: &mut Page, reading: &Reading) {
    let counts = &reading.counts;
    page.gauge(("tallyring_connected_clients", "Connections now."), reading.clients as f64);
    page.gauge(("tallyring_max_clients", "The most connections there may be."), reading.max_clients as f64);
    page.counter(("tallyring_connections_total", "Connections accepted."), counts.connections);
    page.counter(("tallyring_requests_total", "Requests executed, refused ones included."), counts.requests);
    page.counter(
        ("tallyring_requests_streamed_total", "Requests that were executed while they arrived."),
        counts.streamed,
    );
    page.counter(("tallyring_error_replies_total", "Replies that were errors."), counts.errors);
    page.counter(("tallyring_received_bytes_total", "Bytes that clients sent."), counts.received);
    page.counter(("tallyring_sent_bytes_total", "Bytes sent to clients."), counts.sent);
    let refusals = reading.refusals.iter().copied();
    page.counters(("tallyring_refusals_total", "What was refused, by reason."), "reason", refusals);
}

/// Keys by how they are kept.
pub(super) fn keys(page: &mut Page, keys: &Keys) {
    let kept = [("numbered", keys.numbered as f64), ("packed", keys.packed as f64)];
    let help = "Keys by how they are kept: a number in a template, or a record.";
    page.gauges(("tallyring_keys", help), "kept", kept.into_iter());
    let bytes = [
        ("numbered", keys.numbered_bytes as f64),
        ("packed", keys.packed_bytes as f64),
        ("large_hash", keys.large_bytes as f64),
    ];
    page.gauges(
        ("tallyring_keys_memory_bytes", "Memory of keys by how they are kept."),
        "kept",
        bytes.into_iter(),
    );
    page.gauge(("tallyring_keys_with_deadline", "Keys with a deadline."), keys.timed as f64);
    page.counter(("tallyring_keys_expired_total", "Keys whose deadline passed."), keys.expired);
    page.counter(("tallyring_keys_evicted_total", "Keys removed because memory was needed."), keys.evicted);
    page.gauge(("tallyring_templates", "Texts around a number that many keys have."), keys.templates as f64);
    page.counter(
        ("tallyring_templates_refused_total", "Times a template was refused for want of room."),
        keys.templates_refused,
    );
    page.gauge(
        ("tallyring_row_shapes", "Sets of field names that rows have, by segment."),
        keys.shapes as f64,
    );
    page.gauge(("tallyring_tokens", "Tokens of retries that are remembered."), keys.tokens as f64);
    page.gauge(("tallyring_tokens_limit", "The most tokens that are remembered."), keys.max_tokens as f64);
    page.gauge(("tallyring_tokens_memory_bytes", "Memory of tokens."), keys.token_bytes as f64);
}

/// Memory, and what is looked for in it.
pub(super) fn memory(page: &mut Page, memory: &Memory) {
    let help = "Memory of keys and of what the server had before the first one; what maxmemory bounds.";
    page.gauge(("tallyring_memory_used_bytes", help), memory.used as f64);
    page.gauge(("tallyring_memory_dataset_bytes", "Memory of keys and tokens."), memory.dataset as f64);
    page.gauge(("tallyring_memory_startup_bytes", "Memory before the first key."), memory.startup as f64);
    page.gauge(("tallyring_memory_limit_bytes", "maxmemory; 0 = none."), memory.max as f64);
}

/// Turns, system calls, blocks.
pub(super) fn engine(page: &mut Page, reading: &Reading) {
    let counts = &reading.counts;
    page.counter(("tallyring_keyspace_hits_total", "Keys that reading commands found."), counts.hits);
    page.counter(("tallyring_keyspace_misses_total", "Keys they looked for in vain."), counts.misses);
    page.counter(("tallyring_changes_total", "Changes to keys."), counts.changes);
    page.counter(("tallyring_engine_turns_total", "Times workers asked the kernel for work."), counts.turns);
    page.counter(("tallyring_engine_system_calls_total", "System calls of the engine."), counts.system_calls);
    page.counter(("tallyring_engine_submissions_total", "Entries submitted to rings."), counts.submissions);
    page.counter(
        ("tallyring_engine_completions_total", "Completions reaped from rings."),
        counts.completions,
    );
    page.counter(("tallyring_engine_sends_total", "Sends."), counts.sends);
    let help = "Times a receive ended because no block was free.";
    page.counter(("tallyring_engine_receives_starved_total", help), counts.starved);
    page.counter(
        ("tallyring_engine_overflows_total", "Times a completion queue overflowed."),
        counts.overflows,
    );
    let names: Vec<String> = (0..reading.workers.len()).map(|number| number.to_string()).collect();
    let workers = || names.iter().map(String::as_str).zip(&reading.workers);
    page.gauge(("tallyring_workers", "Workers."), names.len() as f64);
    let requests = workers().map(|(name, worker)| (name, worker.requests));
    page.counters(("tallyring_worker_requests_total", "Requests executed, by worker."), "worker", requests);
    for (title, of) in [
        (
            ("tallyring_worker_clients", "Connections, by worker."),
            (|it| it.clients as f64) as fn(&WorkerReading) -> f64,
        ),
        (("tallyring_worker_operations", "Operations that the kernel has, by worker."), |it| {
            it.in_flight as f64
        }),
        (("tallyring_worker_blocks", "Receive blocks, by worker."), |it| it.blocks as f64),
        (("tallyring_worker_blocks_free", "Receive blocks that are free, by worker."), |it| {
            it.blocks_free as f64
        }),
        (("tallyring_worker_blocks_low_water", "Fewest that were free at one time, by worker."), |it| {
            it.blocks_low_water as f64
        }),
    ] {
        page.gauges(title, "worker", workers().map(|(name, worker)| (name, of(worker))));
    }
}

/// Certificates, where connections are encrypted.
pub(super) fn certificates(page: &mut Page, ends: &[(&'static str, i64)]) {
    let help = "When a certificate ends: the server's own, and of the authorities of clients' the first.";
    let ends = ends.iter().map(|&(of, unix_s)| (of, unix_s as f64));
    page.gauges(("tallyring_tls_certificate_expiry_timestamp_seconds", help), "certificate", ends);
}

/// The journal and its snapshots.
pub(super) fn persistence(page: &mut Page, persistence: &Persistence) {
    page.counter(
        ("tallyring_journal_appended_bytes_total", "Bytes appended to the journal."),
        persistence.appended,
    );
    let help = "Bytes that are appended and not yet in files.";
    page.gauge(("tallyring_journal_unwritten_bytes", help), persistence.unwritten as f64);
    page.gauge(
        ("tallyring_journal_unsynced_bytes", "Bytes that a loss of power would take."),
        persistence.unsynced as f64,
    );
    let help = "1 while the disk has no space and commands that write are refused.";
    page.gauge(("tallyring_journal_refusing", help), flag(persistence.refusing));
    if let Some(syncs) = &persistence.syncs {
        let title = ("tallyring_journal_sync_duration_seconds", "How long syncs of the journal took.");
        page.durations(title, vec![durations(Vec::new(), syncs, None)]);
    }
    page.gauge(
        ("tallyring_journal_files_bytes", "The last snapshot and the journal since."),
        persistence.bytes as f64,
    );
    page.counter(("tallyring_snapshots_total", "Snapshots since the start."), persistence.snapshots);
    page.gauge(("tallyring_snapshot_failed", "1 if the last one failed."), flag(persistence.snapshot_failed));
    let help = "When the last snapshot was taken, or the server started.";
    page.gauge(("tallyring_snapshot_timestamp_seconds", help), persistence.snapshot_unix_s as f64);
    if let Some(seconds) = persistence.snapshot_s {
        page.gauge(
            ("tallyring_snapshot_last_duration_seconds", "How long the last one took."),
            seconds as f64,
        );
    }
    let running = persistence.snapshot_progress.is_some();
    page.gauge(("tallyring_snapshot_running", "1 while one is being taken."), flag(running));
    let help = "How much of it is done; 0 while none is being taken.";
    page.gauge(("tallyring_snapshot_progress_ratio", help), persistence.snapshot_progress.unwrap_or(0.0));
    page.gauge(
        ("tallyring_snapshot_unsaved_changes", "Changes that no snapshot has."),
        persistence.unsaved_changes as f64,
    );
}

/// Calls and latencies by command.
pub(super) fn commands(page: &mut Page, commands: &[CommandReading]) {
    fn each(
        commands: &[CommandReading],
        of: fn(&meters::Reading) -> u64,
    ) -> impl Iterator<Item = (&str, u64)> {
        commands.iter().map(move |it| (it.name.as_str(), of(&it.of)))
    }
    let title = ("tallyring_commands_total", "Commands executed.");
    page.counters(title, "command", each(commands, |it| it.calls));
    let title = ("tallyring_commands_rejected_total", "Commands refused before they were executed.");
    page.counters(title, "command", each(commands, |it| it.rejected));
    let title = ("tallyring_commands_failed_total", "Commands whose reply was an error.");
    page.counters(title, "command", each(commands, |it| it.failed));
    let service = commands
        .iter()
        .map(|it| durations(vec![pair("command", &it.name)], &it.of.service, Some(it.of.nanos)))
        .collect();
    page.durations(("tallyring_command_duration_seconds", "How long commands took to execute."), service);
    let reply =
        commands.iter().map(|it| durations(vec![pair("command", &it.name)], &it.of.reply, None)).collect();
    let help = "From the arrival of a command's bytes until its reply was handed to the kernel.";
    page.durations(("tallyring_reply_duration_seconds", help), reply);
}

/// The process, under the names that all programs have for it.
pub(super) fn process(page: &mut Page, reading: &Reading) {
    let process = &reading.process;
    let help = "Total user and system CPU time spent in seconds.";
    page.counter_of_parts(("process_cpu_seconds_total", help), process.cpu_s);
    page.gauge(("process_resident_memory_bytes", "Resident memory size in bytes."), process.resident as f64);
    page.gauge(("process_virtual_memory_bytes", "Virtual memory size in bytes."), process.addressed as f64);
    page.gauge(("process_open_fds", "Number of open file descriptors."), process.files as f64);
    page.gauge(("process_max_fds", "Maximum number of open file descriptors."), process.max_files as f64);
    page.gauge(("process_threads", "Number of OS threads in the process."), process.threads as f64);
    let help = "Start time of the process since unix epoch in seconds.";
    page.gauge(("process_start_time_seconds", help), reading.started_s);
}
