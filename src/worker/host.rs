//! What commands ask of the world around the core, answered from what the workers share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::monitor::Gathering;
use super::timing::Timing;
use super::{Counts, Message, Readings, Shared, Slow};
use crate::command::acl::Users;
use crate::command::client_list::ClientFacts;
use crate::command::glob::{self, Case};
use crate::command::info::{CertificateFacts, Facts, Refusals};
use crate::command::save::{Begun, Busy, SaveFacts, Wish};
use crate::command::session::Session;
use crate::command::{Command, ConfigError, Host, RewriteError, lookup};
use crate::connection::{Client, Connection, Peer, Phase};
use crate::limits::{self, Limits};
use crate::metrics::events::Events;
use crate::metrics::meters::{Meters, Reading};
use crate::metrics::process::Process;
use crate::metrics::slowlog::SlowLog;
use crate::metrics::syncs::JournalFacts;
use crate::resp::args::Args;
use crate::resp::codes::Codes;
use crate::table::Figures;
use crate::table::effect::Lsn;
use crate::tls::{Certificates, Validity};

/// The host of one command.
pub(super) struct CallHost<'a> {
    pub(super) shared: &'a Shared,
    /// The connection the command came from.
    pub(super) client: &'a Client,
    /// The worker's number.
    pub(super) id: usize,
    /// The bounds as they stand.
    pub(super) limits: &'a Limits,
    /// Monotonic milliseconds.
    pub(super) now_ms: u64,
    /// Position that the connection's replies so far depend on.
    pub(super) wait: Lsn,
    /// Set when the directives have changed.
    pub(super) reload: &'a mut bool,
    /// What commands are timed with.
    pub(super) timing: &'a mut Timing,
    /// The worker's meters of commands.
    pub(super) meters: &'a Meters,
    /// Where lines for those who monitor go.
    pub(super) gathering: Option<&'a mut Gathering>,
}

impl CallHost<'_> {
    /// Lets other workers look at directives and users anew.
    fn tell_others(&self) {
        for (id, post) in self.shared.posts.iter().enumerate() {
            if id != self.id && post.send(Message::ConfigChanged).is_err() {
                log::warn!("worker {id} is too busy to hear of the changed directives");
            }
        }
    }
}

impl Host for CallHost<'_> {
    fn limits(&self) -> &Limits {
        self.limits
    }

    fn facts(&self, table: Figures) -> Facts {
        let Shared { posts, identity, .. } = self.shared;
        let process = Process::read();
        let counts = self.shared.counts();
        let dataset = self.shared.table.heap_bytes() as u64;
        let certificates =
            self.shared.settings.tls().map_or_else(Certificates::default, |tls| tls.certificates().clone());
        Facts {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build_id: "0".to_owned(),
            os: identity.os.clone(),
            pid: identity.process,
            run_id: identity.run_id.clone(),
            tcp_port: identity.port,
            uptime_s: self.now_ms.saturating_sub(identity.started_ms) / 1000,
            executable: identity.executable.clone(),
            config_file: identity.config_file.clone(),
            engine: identity.engine.to_owned(),
            rung: identity.rung.clone(),
            workers: posts.len(),
            connected_clients: self.shared.connected.load(Ordering::Relaxed),
            max_clients: self.limits.max_clients,
            // No command here waits for another client.
            blocked_clients: 0,
            used_memory: identity.startup_bytes + dataset,
            used_memory_rss: process.resident,
            used_memory_peak: process.peak,
            used_memory_startup: identity.startup_bytes,
            used_memory_dataset: dataset,
            total_system_memory: process.machine,
            max_memory: self.limits.max_memory as u64,
            max_tokens: self.limits.max_tokens,
            max_memory_policy: if self.limits.evicts { "volatile-ttl" } else { "noeviction" }.to_owned(),
            evicted_keys: table.evicted,
            census: table.census,
            templates: self.shared.table.templates(),
            allocator: "libc".to_owned(),
            total_connections: counts.connections,
            refusals: refusals(&counts),
            total_commands: counts.commands,
            ops_per_second: posts.iter().map(|post| post.commands_per_second(self.now_ms)).sum(),
            net_input: counts.bytes_in,
            net_output: counts.bytes_out,
            error_replies: counts.errors,
            keyspace_hits: counts.hits,
            keyspace_misses: counts.misses,
            expired_keys: table.expired,
            keys: table.keys,
            keys_with_deadline: table.timed,
            changes: self.shared.changes(),
            loading: self.shared.is_loading(),
            saving: self.shared.saves().map_or_else(
                || SaveFacts {
                    last_save_unix_s: identity.started.unix_us / 1_000_000,
                    ..SaveFacts::default()
                },
                |saves| saves.facts(),
            ),
            expiry_capped: counts.expiry_capped,
            streamed: counts.streamed,
            busiest: self.shared.busiest(),
            disk: self.shared.watch.journal.disk().to_owned(),
            journal: self.shared.journal().map_or_else(JournalFacts::default, |journal| {
                self.shared.watch.journal.facts(self.now_ms, journal.lag())
            }),
            server_certificate: certificates.server.map(certificate),
            authority: certificates.authority.map(certificate),
            authorities: certificates.authorities,
            cpu_sys_s: process.system_s,
            cpu_user_s: process.user_s,
            ..engine_facts(self.shared, &counts)
        }
    }

    fn describe_client(&self, session: &Session) -> Vec<u8> {
        let mut line = Vec::new();
        facts_of(session, self.client, self.now_ms).line(&mut line);
        line
    }

    fn config_get(&self, patterns: &[&[u8]], found: &mut dyn FnMut(&str, &str)) {
        let wanted = |name: &str| {
            patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes(), Case::Ignored))
        };
        self.shared.settings.get(&wanted, found);
    }

    fn config_set(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), ConfigError> {
        self.shared.settings.set(pairs)?;
        self.shared.watch.set(&self.shared.settings.limits());
        *self.reload = true;
        self.tell_others();
        Ok(())
    }

    fn config_rewrite(&mut self) -> Result<(), RewriteError> {
        self.shared.settings.rewrite()
    }

    fn users(&self) -> &Users {
        &self.shared.users
    }

    fn users_changed(&mut self) {
        *self.reload = true;
        self.tell_others();
    }

    fn load_users(&mut self) -> Option<Result<(), String>> {
        let loaded = self.shared.settings.load_users();
        if matches!(loaded, Some(Ok(()))) {
            self.users_changed();
        }
        loaded
    }

    fn save_users(&mut self) -> Option<Result<(), String>> {
        self.shared.settings.save_users()
    }

    fn begin_within(&mut self) {
        self.timing.lap(0);
    }

    fn executed_within(&mut self, command: &'static Command, args: &Args<'_>, failed: bool, name: &[u8]) {
        let nanos = self.timing.served_within(self.meters, command, failed);
        if self.timing.is_slow(nanos) || *self.reload {
            self.shared.watch.slow(&Slow {
                command,
                args: *args,
                is_part: false,
                unix_us: self.timing.clock.unix_us(),
                duration_ns: nanos,
                peer: &self.client.peer,
                name,
            });
        }
    }

    fn readings(&mut self) -> Vec<Reading> {
        self.timing.settle(self.meters);
        self.shared.readings()
    }

    fn error_codes(&self) -> Codes {
        self.shared.errors()
    }

    fn reset_stats(&mut self) {
        self.timing.settle(self.meters);
        self.shared.reset_counts();
    }

    fn pause(&mut self, ms: u64, all: bool) {
        self.shared.pause.begin(self.now_ms, ms, all);
    }

    fn unpause(&mut self) {
        self.shared.pause.end();
        for (id, post) in self.shared.posts.iter().enumerate() {
            // A worker whose mailbox is full has a next turn anyway, in which it looks.
            if id != self.id && post.send(Message::Unpaused).is_err() {
                log::debug!("worker {id} hears of the end of the pause by itself");
            }
        }
    }

    fn may_debug(&self) -> bool {
        let mut allowed = false;
        self.shared.settings.get(&|name| name == "enable-debug-command", &mut |_, value| {
            allowed = value == "yes" || value == "local" && self.client.peer.is_local();
        });
        allowed
    }

    fn sleep(&mut self, seconds: f64) {
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }

    fn is_synced(&self) -> Option<bool> {
        self.shared.journal().map(|journal| journal.ring.durable() >= self.wait)
    }

    fn save(&mut self, wish: Wish) -> Result<Begun, Busy> {
        self.shared.saves().ok_or(Busy::NoDirectory)?.save(wish)
    }

    fn save_at_end(&mut self, save: Option<bool>) {
        if let Some(saves) = self.shared.saves() {
            saves.at_end(save);
        }
    }

    fn give_memory_back(&mut self) {
        self.shared.ask_for_trim();
    }

    fn shut_down(&mut self) -> bool {
        self.shared.stop()
    }

    fn show(&mut self, command: &'static Command, args: Args<'_>) {
        if let Some(gathering) = self.gathering.as_deref_mut() {
            gathering.add(self.client, command, args, None);
        }
    }

    fn slow_log(&self) -> &SlowLog {
        &self.shared.watch.slow_log
    }

    fn events(&self) -> &Events {
        &self.shared.watch.events
    }
}

fn certificate(of: Validity) -> CertificateFacts {
    let Validity { serial, until_unix_s } = of;
    CertificateFacts { serial, until_unix_s }
}

/// What engines and their turns have to say.
fn engine_facts(shared: &Shared, counts: &Counts) -> Facts {
    // Relaxed: for display.
    let reading = |of: fn(&Readings) -> &AtomicU64| {
        shared.posts.iter().map(move |post| of(&post.readings).load(Ordering::Relaxed))
    };
    Facts {
        submissions: counts.submissions,
        completions: counts.completions,
        system_calls: counts.system_calls,
        turns: counts.turns,
        overflows: counts.overflows,
        starved: counts.starved,
        in_flight: reading(|it| &it.in_flight).sum(),
        blocks_low_water: reading(|it| &it.blocks_low_water).min().unwrap_or(0),
        blocks_free: reading(|it| &it.blocks_free).sum(),
        blocks: reading(|it| &it.blocks).max().unwrap_or(0),
        ..Facts::default()
    }
}

/// Everything that was refused, by kind.
fn refusals(counts: &Counts) -> Refusals {
    Refusals {
        max_clients: counts.rejected,
        protected_mode: counts.denied,
        unauthenticated: counts.unauthenticated,
        unauthenticated_sizes: counts.unauthenticated_sizes,
        unauthenticated_times: counts.unauthenticated_times,
        wrong_passwords: counts.wrong_passwords,
        slowed_passwords: counts.slowed_passwords,
        unaccepted: counts.unaccepted,
        evicted_clients: counts.evicted_clients,
        denied_commands: counts.denied_commands,
        denied_keys: counts.denied_keys,
        tls_handshakes: counts.tls_handshakes,
        tls_sessions: counts.tls_sessions,
        unknown_commands: counts.unknown_commands,
        wrong_arities: counts.wrong_arities,
        long_keys: counts.long_keys,
        bad_counts: counts.bad_counts,
        bad_lengths: counts.bad_lengths,
        malformed: counts.malformed,
        query_overflows: counts.query_overflows,
        output_overflows: counts.output_overflows,
        monitor_overflows: counts.monitor_overflows,
        busy_questions: counts.busy_questions,
        idle: counts.idle,
    }
}

/// A connection as `CLIENT LIST` shows it.
pub(super) fn client_facts(connection: &Connection, now_ms: u64) -> ClientFacts {
    let unsent = connection.unsent();
    let waiting = connection.input.len();
    ClientFacts {
        closing: connection.phase != Phase::Open,
        query_bytes: waiting as u64,
        unsent_bytes: unsent as u64,
        unsent_blocks: unsent.div_ceil(limits::OUT_BLOCK_BYTES) as u64,
        memory_bytes: (size_of::<Connection>() + waiting + unsent) as u64,
        reads: !connection.eof,
        writes: unsent > 0,
        ..facts_of(&connection.session, &connection.client, now_ms)
    }
}

/// Address and port of a client, and those that it is connected to.
pub(super) fn addresses(peer: &Peer) -> (String, String) {
    let unix = || ("unixsocket:0".to_owned(), "unixsocket:0".to_owned());
    peer.ends().map_or_else(unix, |(remote, local)| (remote.to_string(), local.to_string()))
}

/// What is known without looking at the bytes under way.
pub(super) fn facts_of(session: &Session, client: &Client, now_ms: u64) -> ClientFacts {
    let (addr, laddr) = addresses(&client.peer);
    let identity = session.identity.as_deref();
    ClientFacts {
        id: session.id,
        addr,
        laddr,
        fd: client.fd,
        name: session.name().to_vec(),
        age_s: now_ms.saturating_sub(client.since_ms) / 1000,
        idle_s: now_ms.saturating_sub(client.active_ms) / 1000,
        no_evict: session.no_evict,
        no_touch: session.no_touch,
        monitors: session.monitors,
        queued: session.queue().map(|queue| (queue.len(), queue.memory())),
        closing: false,
        query_bytes: 0,
        query_free: 0,
        unsent_bytes: 0,
        unsent_blocks: 0,
        memory_bytes: size_of::<Connection>() as u64,
        reads: true,
        writes: false,
        command: client.last_command.map(full_name).unwrap_or_default(),
        user: String::from_utf8_lossy(session.user.name()).into_owned(),
        protocol: session.protocol,
        lib_name: identity.map(|it| it.lib_name.clone()).unwrap_or_default(),
        lib_version: identity.map(|it| it.lib_version.clone()).unwrap_or_default(),
    }
}

/// `get`, or `client|list` for a subcommand.
fn full_name(command: &'static Command) -> String {
    let listed = lookup::all().find(|(_, listed)| std::ptr::eq(*listed, command));
    lookup::full_name(listed.expect("every command is in the list"))
}
