//! What the admin interface is told, read from what the workers share. Nothing here sends them anything.

use std::fs;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use nix::errno::Errno;

use super::ServerError;
use super::settings::Directives;
use super::vitals::Health;
use crate::admin::{
    self, Access, Admin, CommandReading, Keys, Memory, Persistence, Reading, Source, Standing, WorkerReading,
};
use crate::clock::Clock;
use crate::command::lookup;
use crate::config::{Config, Password};
use crate::limits::{self, SyncPolicy};
use crate::metrics::process::{self, Process};
use crate::table::Survey;
use crate::tls::Certificates;
use crate::worker::{Counts, Post, Shared};

/// Templates that are shown.
const POPULAR: usize = 10;

/// The admin interface's token, out of its file where there is one.
pub(super) fn token_of(config: &Config) -> Result<Password, ServerError> {
    let Some(path) = &config.admin_token_file else { return Ok(config.admin_token.clone()) };
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| {
        ServerError::new(format!(
            "cannot read admin-token-file {shown}: {error} (remedy: make it readable for this user)"
        ))
    })?;
    let wrong = |why: &str| ServerError::new(format!("admin-token-file {shown}: {why}"));
    let word = text.lines().next().unwrap_or_default().trim();
    if word.is_empty() {
        return Err(wrong("its first line has no token (remedy: put one there, or remove the directive)"));
    }
    Password::token(word).map_err(|reason| wrong(&reason))
}

/// Serves figures on these sockets, if there are any. Besides, where, as the start-up line says it.
pub(super) fn publish(
    figures: &Arc<Figures>,
    doors: Vec<TcpListener>,
) -> Result<(Option<Admin>, String), ServerError> {
    if doors.is_empty() {
        return Ok((None, String::new()));
    }
    let at: Vec<String> =
        doors.iter().filter_map(|door| door.local_addr().ok()).map(|at| format!("http://{at}/")).collect();
    let source = Arc::<Figures>::clone(figures);
    let admin = Admin::start(doors, source)
        .map_err(|error| ServerError::new(format!("cannot start the admin interface: {error}")))?;
    Ok((Some(admin), at.join(", ")))
}

/// Reads what the workers share.
#[derive(Debug)]
pub(super) struct Figures {
    shared: Arc<Shared>,
    directives: Arc<Directives>,
    clock: Clock,
    ending: AtomicBool,
    health: Health,
    /// When the table was last looked through, and what that gave. Kept for [`limits::SURVEY_MS`].
    seen: Mutex<Option<(u64, Seen)>>,
}

/// What takes locks, or longer than a moment.
#[derive(Clone, Debug, Default)]
struct Seen {
    survey: Survey,
    process: Process,
    files: (u64, u64),
}

impl Figures {
    pub(super) fn of(shared: &Arc<Shared>, directives: &Arc<Directives>, clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            directives: Arc::clone(directives),
            clock: clock.clone(),
            ending: AtomicBool::new(false),
            health: Health::default(),
            seen: Mutex::new(None),
        })
    }

    /// The server ends.
    pub(super) fn set_ending(&self) {
        // Relaxed: for display.
        self.ending.store(true, Ordering::Relaxed);
    }

    fn seen(&self, now_ms: u64) -> Seen {
        let mut seen = self.seen.lock().expect("no holder of this lock panics");
        match &*seen {
            Some((at, seen)) if now_ms < at + limits::SURVEY_MS => seen.clone(),
            Some(_) | None => {
                let new = Seen {
                    survey: self.shared.table.survey(POPULAR),
                    process: Process::read(),
                    files: process::files(),
                };
                *seen = Some((now_ms, new.clone()));
                new
            }
        }
    }

    /// Which certificates there are, and until when they hold.
    fn certificates(&self) -> Vec<(&'static str, i64)> {
        let Some(tls) = self.shared.settings.tls() else { return Vec::new() };
        let Certificates { server, authority, .. } = tls.certificates();
        let named = [("server", server), ("authority", authority)];
        named.into_iter().filter_map(|(name, it)| Some((name, it.as_ref()?.until_unix_s))).collect()
    }

    fn persistence(&self) -> Option<Persistence> {
        let saving = self.shared.saves().map(|saves| saves.facts())?;
        let ring = &self.shared.journal()?.ring;
        // In this order, so that no difference is negative.
        let (durable, written) = (ring.durable(), ring.written());
        let appended = ring.tail();
        Some(Persistence {
            policy: match self.shared.settings.limits().sync {
                SyncPolicy::Always => "always",
                SyncPolicy::EverySecond => "everysec",
                SyncPolicy::Never => "no",
            },
            appended,
            unwritten: appended.saturating_sub(written),
            unsynced: appended.saturating_sub(durable),
            refusing: saving.refusing,
            syncs: Some(self.shared.watch.journal.durations_ns()),
            snapshots: saving.saves,
            snapshot_failed: saving.failed,
            snapshot_unix_s: saving.last_save_unix_s,
            snapshot_s: saving.last_s,
            snapshot_progress: saving.running.map(|running| running.percent / 100.0),
            unsaved_changes: self.shared.changes().saturating_sub(saving.saved_changes),
            bytes: saving.current_bytes,
        })
    }
}

impl Source for Figures {
    fn access(&self) -> Access {
        self.directives.access()
    }

    fn standstill(&self) -> Option<String> {
        // Relaxed: for display. Workers that end make no turns any more.
        if self.ending.load(Ordering::Relaxed) {
            return None;
        }
        self.health.standstill(&self.shared, self.clock.monotonic_ms())
    }

    fn standing(&self) -> Standing {
        // Relaxed: for display.
        if self.ending.load(Ordering::Relaxed) {
            return Standing::Ending;
        }
        if self.shared.is_loading() {
            return Standing::Loading;
        }
        match self.shared.journal().and_then(|journal| journal.ring.refusing()) {
            Some(errno) => Standing::Refusing(Errno::from_raw(errno).desc().to_owned()),
            None => Standing::Ready,
        }
    }

    fn reading(&self) -> Reading {
        let shared = &self.shared;
        let identity = &shared.identity;
        let bounds = shared.settings.limits();
        let now_ms = self.clock.monotonic_ms();
        let Seen { survey, process, files } = self.seen(now_ms);
        let counts = shared.totals();
        let dataset = shared.table.heap_bytes() as u64;
        Reading {
            version: env!("CARGO_PKG_VERSION"),
            run_id: identity.run_id.clone(),
            role: "master",
            engine: identity.engine,
            rung: identity.rung.clone(),
            os: identity.os.clone(),
            port: identity.port,
            started_s: identity.started.unix_us as f64 / 1e6,
            uptime_ms: now_ms.saturating_sub(identity.started_ms),
            workers: shared.posts.iter().map(worker).collect(),
            // Relaxed: for display.
            clients: shared.connected.load(Ordering::Relaxed),
            max_clients: bounds.max_clients,
            refusals: refusals(&counts),
            counts: events(&counts),
            keys: keys(survey, shared.table.templates(), bounds.max_tokens),
            memory: Memory {
                used: identity.startup_bytes + dataset,
                dataset,
                startup: identity.startup_bytes,
                max: bounds.max_memory as u64,
                machine: process.machine,
            },
            persistence: self.persistence(),
            certificates: self.certificates(),
            process: admin::Process {
                cpu_s: process.user_s + process.system_s,
                resident: process.resident,
                peak: process.peak,
                addressed: process.addressed,
                threads: process.threads,
                files: files.0,
                max_files: files.1,
            },
        }
    }

    fn commands(&self) -> Vec<CommandReading> {
        let named = lookup::named(self.shared.readings());
        named.map(|(name, of)| CommandReading { name, of }).collect()
    }
}

fn worker(post: &Post) -> WorkerReading {
    let mut counts = Counts::default();
    post.stats.add_to(&mut counts);
    // Relaxed, all of them: for display.
    WorkerReading {
        clients: post.connections.load(Ordering::Relaxed),
        requests: counts.commands,
        blocks: post.readings.blocks.load(Ordering::Relaxed),
        blocks_free: post.readings.blocks_free.load(Ordering::Relaxed),
        blocks_low_water: post.readings.blocks_low_water.load(Ordering::Relaxed),
        in_flight: post.readings.in_flight.load(Ordering::Relaxed),
    }
}

fn events(counts: &Counts) -> admin::Counts {
    admin::Counts {
        connections: counts.connections,
        requests: counts.commands,
        streamed: counts.streamed,
        errors: counts.errors,
        received: counts.bytes_in,
        sent: counts.bytes_out,
        hits: counts.hits,
        misses: counts.misses,
        changes: counts.changes,
        turns: counts.turns,
        system_calls: counts.system_calls,
        submissions: counts.submissions,
        completions: counts.completions,
        starved: counts.starved,
        overflows: counts.overflows,
        sends: counts.sends,
    }
}

/// The kinds of refusals, named as in `INFO refusals`.
fn refusals(counts: &Counts) -> Vec<(&'static str, u64)> {
    vec![
        ("maxclients", counts.rejected),
        ("protected_mode", counts.denied),
        ("unauthenticated", counts.unauthenticated),
        ("unauthenticated_size", counts.unauthenticated_sizes),
        ("unauthenticated_time", counts.unauthenticated_times),
        ("wrong_password", counts.wrong_passwords),
        ("denied_command", counts.denied_commands),
        ("denied_key", counts.denied_keys),
        ("unaccepted", counts.unaccepted),
        ("clients_memory", counts.evicted_clients),
        ("tls_handshake", counts.tls_handshakes),
        ("tls_session", counts.tls_sessions),
        ("unknown_command", counts.unknown_commands),
        ("arity", counts.wrong_arities),
        ("long_key", counts.long_keys),
        ("multibulk_length", counts.bad_counts),
        ("bulk_length", counts.bad_lengths),
        ("malformed", counts.malformed),
        ("query_buffer", counts.query_overflows),
        ("output_buffer", counts.output_overflows),
        ("busy", counts.busy_questions),
        ("idle", counts.idle),
    ]
}

fn keys(survey: Survey, templates: (usize, u64), max_tokens: usize) -> Keys {
    let (figures, census) = (survey.figures, survey.figures.census);
    Keys {
        timed: figures.timed,
        expired: figures.expired,
        evicted: figures.evicted,
        numbered: census.numbered,
        numbered_bytes: census.numbered_bytes,
        packed: census.packed,
        packed_bytes: census.packed_bytes,
        large_bytes: census.large_bytes,
        shapes: census.shapes,
        tokens: census.tokens,
        token_bytes: census.token_bytes,
        max_tokens,
        templates: templates.0,
        templates_refused: templates.1,
        top_templates: survey.popular.into_iter().map(|one| (one.text, one.counters, one.bytes)).collect(),
    }
}
