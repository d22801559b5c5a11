//! What took too long, as the directives have it: commands into the slow log, they and other events into the latency
//! monitor. Shared by all workers and the journal's thread; nobody takes a lock here before something was slow.

use std::sync::atomic::{AtomicU64, Ordering};

use super::execute::Scene;
use super::host::addresses;
use crate::command::redact::redacted;
use crate::command::{Command, Flags};
use crate::connection::{Connection, Peer};
use crate::limits::Limits;
use crate::metrics::events::{Event, Events, Sample};
use crate::metrics::slowlog::{Entry, SlowLog, cut};
use crate::metrics::syncs::JournalReadings;
use crate::resp::args::Args;

/// A command that may have taken too long.
#[derive(Clone, Copy, Debug)]
pub struct Slow<'a> {
    /// What it was.
    pub command: &'static Command,
    /// Its arguments; where it is executed in parts, those of this part, without the name.
    pub args: Args<'a>,
    /// They are those of a part.
    pub is_part: bool,
    /// When it was over, in microseconds of Unix time.
    pub unix_us: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// Its client.
    pub peer: &'a Peer,
    /// The name that the client gave itself.
    pub name: &'a [u8],
}

impl Slow<'_> {
    fn entry(&self) -> Entry {
        let name = self.is_part.then_some(self.command.name.as_bytes());
        let count = self.args.len() + usize::from(self.is_part);
        Entry {
            id: 0,
            unix_s: self.unix_us / 1_000_000,
            duration_us: self.duration_ns / 1_000,
            arguments: cut(name.into_iter().chain(redacted(&self.args)), count),
            peer: addresses(self.peer).0,
            name: self.name.into(),
        }
    }
}

/// What is remembered of all that, and from where on it is too long.
#[derive(Debug)]
pub struct Watch {
    /// Commands.
    pub slow_log: SlowLog,
    /// Events.
    pub events: Events,
    /// Syncs of the journal.
    pub journal: JournalReadings,
    /// `slowlog-log-slower-than`, [`NEVER`] = no command is.
    slow_log_us: AtomicU64,
    /// `latency-monitor-threshold`, [`NEVER`] = nothing is.
    monitor_ms: AtomicU64,
}

/// Longer than anything takes.
const NEVER: u64 = u64::MAX;

impl Watch {
    /// Nothing was slow yet.
    pub fn new(limits: &Limits) -> Self {
        let watch = Self {
            slow_log: SlowLog::default(),
            events: Events::default(),
            journal: JournalReadings::default(),
            slow_log_us: AtomicU64::new(NEVER),
            monitor_ms: AtomicU64::new(NEVER),
        };
        watch.set(limits);
        watch
    }

    /// Judges by these bounds from now on.
    pub fn set(&self, limits: &Limits) {
        let monitor_ms = if limits.monitor_ms > 0 { limits.monitor_ms } else { NEVER };
        // Relaxed: numbers, which may be seen a moment late.
        self.slow_log_us.store(limits.slow_log_us.unwrap_or(NEVER), Ordering::Relaxed);
        self.monitor_ms.store(monitor_ms, Ordering::Relaxed);
        self.slow_log.keep(limits.slow_log_entries);
    }

    /// A command took so long that it may be too long, see [`Limits::slow_ns`].
    #[cold]
    pub fn slow(&self, slow: &Slow<'_>) {
        // As Redis has it, whole units count.
        let us = slow.duration_ns / 1_000;
        if us >= self.slow_log_us.load(Ordering::Relaxed) && !slow.command.flags.has(Flags::SKIP_SLOWLOG) {
            self.slow_log.add(slow.entry());
        }
        let fast = slow.command.flags.has(Flags::FAST);
        self.took(if fast { Event::FastCommand } else { Event::Command }, us, slow.unix_us);
    }

    /// An event took so long, until this moment of Unix time.
    #[inline]
    pub fn took(&self, event: Event, duration_us: u64, unix_us: u64) {
        let ms = duration_us / 1_000;
        if ms >= self.monitor_ms.load(Ordering::Relaxed) {
            self.events.add(event, Sample { unix_s: unix_us / 1_000_000, ms });
        }
    }
}

impl Scene<'_> {
    /// A command took so long that it may be too long, or has changed what is. `is_part`: it did so on a part of its
    /// arguments.
    #[cold]
    pub(super) fn note_slow(
        &self,
        connection: &Connection,
        command: &'static Command,
        (args, is_part): (Args<'_>, bool),
        duration_ns: u64,
    ) {
        self.shared.watch.slow(&Slow {
            command,
            args,
            is_part,
            unix_us: self.timing.clock.unix_us(),
            duration_ns,
            peer: &connection.client.peer,
            name: connection.session.name(),
        });
    }
}
