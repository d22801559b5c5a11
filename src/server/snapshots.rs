//! Snapshots while the server runs: when one is due, the thread that takes them one at a time, and the last one at the end.
//!
//! ```text
//! clients ── SAVE, BGSAVE … ─> Office <── rules, each half second ── thread: copy a step ─ write ─ sync ─┐
//!                                 └──── outcome ──> clients                    until the table is through │
//!    journal thread: sync up to its end <──────────────────────────────────────────────────────────────┘
//!    then: its name, older ones removed; journal thread: drop what lies before its start
//! ```

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::clock::Clock;
use crate::journal::disk::{Failure, RealDisk};
use crate::journal::ring::Ring;
use crate::journal::snapshot::{self, Batch, Head, Summary, Writer};
use crate::limits::{self, SyncPolicy};
use crate::table::Position;
use crate::table::effect::Lsn;
use crate::worker::{Begun, Busy, Journal, Running, SaveFacts, Saves, Shared, Wish};

use super::ServerError;
use super::idle::yield_disk;
use super::persistence::Orders;
use super::settings::{Directives, SaveRules};

/// Outcomes that are remembered, for connections that are about to look.
const OUTCOMES: usize = 16;

/// Milliseconds between two looks at whether the journal is durable.
const DURABLE_STEP: Duration = Duration::from_millis(1);

/// Why a snapshot is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Somebody waits for it.
    Wait,
    /// At a client's wish, or because so much changed.
    Background,
    /// To shorten the journal.
    Rewrite,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    kind: Kind,
    began_ms: u64,
}

/// The last snapshot, which may be of an earlier life.
#[derive(Clone, Copy, Debug)]
struct Last {
    start: Lsn,
    bytes: u64,
    /// Changes counted when it was begun.
    changes: u64,
    /// Monotonic milliseconds, and seconds since the Unix epoch: of its end, or of the start of the server.
    ended_ms: u64,
    unix_s: u64,
}

#[derive(Debug)]
struct State {
    current: Option<Current>,
    wanted: Option<Kind>,
    /// Snapshots begun: the number of the current one, or of the last.
    begun: u64,
    outcomes: VecDeque<(u64, Result<(), String>)>,
    last: Last,
    saves: u64,
    took_s: Option<u64>,
    /// Monotonic milliseconds at which the last one failed; `None`: it did not.
    failed_ms: Option<u64>,
    ending: bool,
    at_end: Option<bool>,
}

/// Where snapshots are asked for.
struct Office {
    state: Mutex<State>,
    bell: Condvar,
    clock: Clock,
    /// Keys and tokens that the current one has copied, and is to copy.
    copied: AtomicU64,
    expected: AtomicU64,
    shared: std::sync::Weak<Shared>,
}

impl std::fmt::Debug for Office {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Office").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Office {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl Saves for Office {
    fn save(&self, wish: Wish) -> Result<Begun, Busy> {
        let mut state = self.state();
        if state.ending {
            return Err(Busy::Ending);
        }
        // What is wanted begins in a moment.
        let under_way = state.current.map(|current| current.kind).or(state.wanted);
        let (kind, begun) = match (wish, under_way) {
            (Wish::Wait, Some(Kind::Background)) => return Err(Busy::Saving),
            // One that begins after the wish, and ends after the one that is under way.
            (Wish::Wait, None | Some(Kind::Wait | Kind::Rewrite)) => {
                (Kind::Wait, Begun::Number(state.begun + 1))
            }
            (Wish::Begin | Wish::BeginOrLater, None) => (Kind::Background, Begun::Started),
            (Wish::Begin | Wish::BeginOrLater, Some(Kind::Wait | Kind::Background)) => {
                return Err(Busy::Saving);
            }
            (Wish::Begin, Some(Kind::Rewrite)) => return Err(Busy::Rewriting),
            (Wish::BeginOrLater, Some(Kind::Rewrite)) => (Kind::Background, Begun::Scheduled),
            (Wish::Rewrite, None) => (Kind::Rewrite, Begun::Started),
            (Wish::Rewrite, Some(Kind::Rewrite)) => return Err(Busy::Rewriting),
            (Wish::Rewrite, Some(Kind::Wait | Kind::Background)) => (Kind::Rewrite, Begun::Scheduled),
        };
        // They are all the same to whoever waits.
        state.wanted = Some(if state.wanted == Some(Kind::Wait) { Kind::Wait } else { kind });
        drop(state);
        self.bell.notify_one();
        Ok(begun)
    }

    fn outcome(&self, number: u64) -> Option<Result<(), String>> {
        let state = self.state();
        state.outcomes.iter().find(|(of, _)| *of == number).map(|(_, outcome)| outcome.clone())
    }

    fn at_end(&self, save: Option<bool>) {
        self.state().at_end = save;
    }

    fn facts(&self) -> SaveFacts {
        let state = self.state();
        let now_ms = self.clock.monotonic_ms();
        // Relaxed: for display.
        let [copied, expected] = [&self.copied, &self.expected].map(|it| it.load(Ordering::Relaxed));
        let running = state.current.map(|current| Running {
            rewrites: current.kind == Kind::Rewrite,
            seconds: (now_ms - current.began_ms) / 1000,
            percent: (100.0 * copied as f64 / expected.max(1) as f64).min(100.0),
        });
        let shared = self.shared.upgrade();
        let ring = shared.as_ref().and_then(|shared| shared.journal()).map(|journal| &journal.ring);
        SaveFacts {
            in_use: true,
            saved_changes: state.last.changes,
            last_save_unix_s: state.last.unix_s,
            running,
            scheduled: state.current.is_some() && state.wanted.is_some(),
            saves: state.saves,
            failed: state.failed_ms.is_some(),
            last_s: state.took_s,
            refusing: ring.is_some_and(|ring| ring.refusing().is_some()),
            current_bytes: state.last.bytes + ring.map_or(0, |ring| log_bytes(ring, &state.last)),
            base_bytes: state.last.bytes,
        }
    }
}

/// Bytes of the journal since a snapshot.
fn log_bytes(ring: &Ring, last: &Last) -> u64 {
    ring.tail().saturating_sub(last.start)
}

/// Why there is no snapshot.
#[derive(Debug)]
enum Trouble {
    Disk(Failure),
    /// There is no space for the journal, an errno: it does not reach the end of the snapshot.
    NoSpace(i32),
    /// The server ends.
    Ending,
    /// It would take too long.
    Late,
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Disk(failure)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk(failure) => failure.fmt(f),
            Self::NoSpace(errno) => {
                let why = nix::errno::Errno::from_raw(*errno).desc();
                write!(f, "there is no space for the journal: {why}")
            }
            Self::Ending => f.write_str("the server is ending"),
            Self::Late => f.write_str("there is no time left for it"),
        }
    }
}

/// What takes snapshots.
struct Taker {
    shared: Arc<Shared>,
    directives: Arc<Directives>,
    clock: Clock,
    disk: RealDisk,
    orders: Arc<Orders>,
    office: Arc<Office>,
    run: u128,
}

/// The snapshots of a server: its thread, and the way to it.
pub(super) struct Snapshots {
    thread: JoinHandle<()>,
    taker: Arc<Taker>,
}

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshots").field("office", &self.taker.office).finish_non_exhaustive()
    }
}

impl Snapshots {
    /// Starts the thread. `loaded` is the snapshot that the table was read from.
    pub(super) fn start(
        shared: &Arc<Shared>,
        directives: &Arc<Directives>,
        clock: &Clock,
        (disk, orders): (RealDisk, Arc<Orders>),
        (run, loaded): (u128, Option<Summary>),
    ) -> Result<Self, ServerError> {
        let (ended_ms, unix_s) = (clock.monotonic_ms(), clock.unix_us() / 1_000_000);
        let (start, bytes) =
            loaded.map_or((crate::journal::ORIGIN, 0), |summary| (summary.head.start, summary.bytes));
        let state = State {
            current: None,
            wanted: None,
            begun: 0,
            outcomes: VecDeque::new(),
            last: Last { start, bytes, changes: 0, ended_ms, unix_s },
            saves: 0,
            took_s: None,
            failed_ms: None,
            ending: false,
            at_end: None,
        };
        let office = Arc::new(Office {
            state: Mutex::new(state),
            bell: Condvar::new(),
            clock: clock.clone(),
            copied: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            shared: Arc::downgrade(shared),
        });
        shared.name_saves(Arc::<Office>::clone(&office));
        let (shared, directives) = (Arc::clone(shared), Arc::clone(directives));
        let taker = Arc::new(Taker { shared, directives, clock: clock.clone(), disk, orders, office, run });
        let body = {
            let taker = Arc::clone(&taker);
            move || taker.work()
        };
        let thread = thread::Builder::new().name("snapshot".to_owned()).spawn(body);
        let thread = thread.map_err(|error| ServerError::new(format!("cannot start a thread: {error}")))?;
        Ok(Self { thread, taker })
    }

    /// Ends the thread, and takes a last snapshot if that is wanted and there is time: the server began to end at
    /// `began_ms`. No worker runs any more, and the journal's thread does.
    pub(super) fn end(self, began_ms: u64) {
        let taker = &self.taker;
        taker.office.state().ending = true;
        taker.office.bell.notify_one();
        if self.thread.join().is_err() {
            log::error!("the snapshots' thread has panicked");
            return;
        }
        let (wanted, start) = {
            let state = taker.office.state();
            (state.at_end, state.last.start)
        };
        let tail = taker.ring().tail();
        if !wanted.unwrap_or_else(|| !taker.directives.save_rules().points.is_empty()) || tail == start {
            return;
        }
        let keys = taker.shared.table.len();
        if keys > limits::SNAPSHOT_KEYS_AT_END {
            log::warn!(
                "no snapshot at the end: {keys} keys are more than {}; the next start reads the journal too",
                limits::SNAPSHOT_KEYS_AT_END
            );
            return;
        }
        taker.run_one(Kind::Wait, Some(began_ms + limits::SNAPSHOT_END_MS));
    }
}

impl Taker {
    fn journal(&self) -> &Journal {
        self.shared.journal().expect("there are snapshots where there is a journal")
    }

    fn ring(&self) -> &Ring {
        &self.journal().ring
    }

    /// The thread.
    fn work(&self) {
        if let Err(errno) = yield_disk() {
            log::debug!("snapshots are written as everything else is: {errno}");
        }
        while let Some(kind) = self.next() {
            self.run_one(kind, None);
        }
    }

    /// Waits until a snapshot is wanted or due. `None`: the server ends.
    fn next(&self) -> Option<Kind> {
        let pause = Duration::from_millis(limits::SNAPSHOT_LOOK_MS);
        loop {
            self.remove_superseded();
            let mut state = self.office.state();
            if state.wanted.is_none() && !state.ending {
                state = self.office.bell.wait_timeout(state, pause).expect("no holder of this lock panics").0;
            }
            if state.ending {
                return None;
            }
            if let Some(kind) = state.wanted {
                return Some(kind);
            }
            let (last, failed_ms) = (state.last, state.failed_ms);
            drop(state);
            if let Some(kind) = self.due(&last, failed_ms) {
                self.office.state().wanted.get_or_insert(kind);
            }
        }
    }

    /// Removes the files of the journal that a snapshot has replaced, without rests where the server ends.
    fn remove_superseded(&self) {
        self.orders.remove_superseded(&self.disk, || {
            if !self.office.state().ending {
                thread::sleep(Duration::from_millis(limits::REMOVAL_REST_MS));
            }
        });
    }

    /// What the rules say.
    fn due(&self, last: &Last, failed_ms: Option<u64>) -> Option<Kind> {
        let now_ms = self.clock.monotonic_ms();
        if failed_ms.is_some_and(|failed| now_ms < failed + limits::SNAPSHOT_RETRY_MS) {
            return None;
        }
        let SaveRules { points, growth_percent, growth_bytes } = self.directives.save_rules();
        let (changes, passed_ms) = (self.shared.changes() - last.changes, now_ms - last.ended_ms);
        let met = |&&(seconds, wanted): &&(u64, u64)| changes >= wanted && passed_ms >= seconds * 1000;
        if let Some((seconds, wanted)) = points.iter().find(met) {
            log::info!("{changes} changes in {} s (save {seconds} {wanted})", passed_ms / 1000);
            return Some(Kind::Background);
        }
        let log = log_bytes(self.ring(), last);
        let grown = log as u128 * 100 >= u128::from(last.bytes.max(1)) * u128::from(growth_percent);
        if growth_percent > 0 && log + last.bytes >= growth_bytes && grown {
            log::info!("the journal has grown to {log} bytes behind a snapshot of {} bytes", last.bytes);
            return Some(Kind::Rewrite);
        }
        None
    }

    /// Takes one, and tells everybody.
    fn run_one(&self, kind: Kind, until_ms: Option<u64>) {
        let began_ms = self.clock.monotonic_ms();
        let number = {
            let mut state = self.office.state();
            state.wanted = None;
            state.begun += 1;
            state.current = Some(Current { kind, began_ms });
            state.begun
        };
        let changes = self.shared.changes();
        let table = &self.shared.table;
        let expected = (table.len() + table.tokens()) as u64;
        // Relaxed, here and below: for display.
        self.office.expected.store(expected, Ordering::Relaxed);
        self.office.copied.store(0, Ordering::Relaxed);
        log::info!("taking a snapshot of {expected} keys and tokens");
        let taken = self.take(until_ms).inspect_err(|_| {
            // A full disk has its space back at once.
            if let Err(failure) = snapshot::remove_unfinished(&self.disk) {
                log::warn!("what was written of a snapshot stays until the next start: {failure}");
            }
        });
        let now_ms = self.clock.monotonic_ms();
        let seconds = (now_ms - began_ms) as f64 / 1000.0;
        let mut state = self.office.state();
        state.current = None;
        let outcome = match taken {
            Ok(summary) => {
                let rate = summary.totals.keys as f64 / seconds.max(0.001);
                log::info!(
                    file = snapshot::name_of(summary.head.start), keys = summary.totals.keys, bytes = summary.bytes, seconds;
                    "{}: {} keys and {} tokens, {} bytes in {seconds:.2} s, {rate:.0} keys/s",
                    snapshot::name_of(summary.head.start),
                    summary.totals.keys,
                    summary.totals.tokens,
                    summary.bytes
                );
                let unix_s = self.clock.unix_us() / 1_000_000;
                let (start, bytes) = (summary.head.start, summary.bytes);
                state.last = Last { start, bytes, changes, ended_ms: now_ms, unix_s };
                state.saves += 1;
                state.failed_ms = None;
                Ok(())
            }
            Err(Trouble::Ending) => Err(Trouble::Ending.to_string()),
            Err(trouble) => {
                log::error!(
                    seconds;
                    "no snapshot after {seconds:.2} s: {trouble}; the one before and the journal stay"
                );
                state.failed_ms = Some(now_ms);
                Err(trouble.to_string())
            }
        };
        state.took_s = Some((now_ms - began_ms) / 1000);
        state.outcomes.push_back((number, outcome));
        if state.outcomes.len() > OUTCOMES {
            state.outcomes.pop_front();
        }
        drop(state);
        self.shared.tell_saved();
    }

    fn take(&self, until_ms: Option<u64>) -> Result<Summary, Trouble> {
        // Before the first key is copied: what was recorded below it, under a segment's lock, is seen when that is taken.
        let head = Head { run: self.run, start: self.ring().tail(), created_ms: self.clock.unix_us() / 1000 };
        let mut writer = Writer::begin(&self.disk, head)?;
        self.copy(&mut writer, until_ms)?;
        // Behind the last key: what was copied is recorded below it.
        let finished = writer.finish(self.ring().tail())?;
        self.wait_durable(finished.summary().end, until_ms)?;
        let summary = finished.publish()?;
        if let Err(failure) = snapshot::remove_older(&self.disk, head.start) {
            log::warn!("an older snapshot stays: {failure}");
        }
        self.orders.drop_before(head.start);
        Ok(summary)
    }

    /// Writes the table, step by step. Where workers are at work it rests after each for as long as the step took: else the
    /// scheduler would have them wait for whole slices of its own, of milliseconds. No lock is held then; a thread of low
    /// priority might be left standing while it holds one.
    fn copy(&self, writer: &mut Writer<'_, RealDisk>, until_ms: Option<u64>) -> Result<(), Trouble> {
        let mut batch = Batch::default();
        let mut count = limits::SNAPSHOT_STEP_KEYS / 8;
        let mut position = Some(Position::START);
        let (mut turns, mut busy_ms) = (self.shared.totals().turns, None);
        while let Some(here) = position {
            let began = self.clock.ticks();
            position = self.shared.table.export(here, count, &mut |effect| batch.push(effect));
            count = next_count(count, batch.len());
            writer.take(&mut batch)?;
            let took = Duration::from_nanos(self.clock.nanos_between(began, self.clock.ticks()));
            let now_ms = self.clock.monotonic_ms();
            let turns_before = std::mem::replace(&mut turns, self.shared.totals().turns);
            if turns != turns_before {
                busy_ms = Some(now_ms);
            }
            if until_ms.is_none()
                && busy_ms.is_some_and(|busy_ms| now_ms - busy_ms < limits::SNAPSHOT_BUSY_MS)
            {
                thread::sleep(took.min(Duration::from_millis(limits::SNAPSHOT_LONGEST_REST_MS)));
            }
            self.sync_some(writer, until_ms.is_some())?;
            let totals = writer.totals();
            self.office.copied.store(totals.keys + totals.tokens, Ordering::Relaxed);
            self.check(until_ms)?;
        }
        Ok(())
    }

    /// Syncs what was written, if that is much. Where replies wait for the journal's syncs, which wait behind this one on the
    /// device, the pieces are small and most of the time is the journal's; but not where all `hurries` to the end.
    fn sync_some(&self, writer: &mut Writer<'_, RealDisk>, hurries: bool) -> Result<(), Trouble> {
        let yields = !hurries && self.shared.settings.limits().sync == SyncPolicy::Always;
        let most = if yields { limits::SNAPSHOT_SMALL_SYNC_BYTES } else { limits::SNAPSHOT_SYNC_BYTES };
        if writer.unsynced() < most {
            return Ok(());
        }
        let began = self.clock.ticks();
        writer.sync()?;
        if yields {
            let took = self.clock.nanos_between(began, self.clock.ticks());
            let rest = Duration::from_nanos(took * limits::SNAPSHOT_YIELD);
            thread::sleep(rest.min(Duration::from_millis(limits::SNAPSHOT_LONGEST_YIELD_MS)));
        }
        Ok(())
    }

    /// Waits until the journal is durable up to `end`.
    fn wait_durable(&self, end: Lsn, until_ms: Option<u64>) -> Result<(), Trouble> {
        let ring = self.ring();
        self.journal().want_sync(end);
        while ring.durable() < end {
            if let Some(errno) = ring.refusing() {
                return Err(Trouble::NoSpace(errno));
            }
            self.check(until_ms)?;
            thread::sleep(DURABLE_STEP);
        }
        Ok(())
    }

    /// Whether it is still wanted. The last one, which has an end, is taken while the server ends.
    fn check(&self, until_ms: Option<u64>) -> Result<(), Trouble> {
        match until_ms {
            None if self.office.state().ending => Err(Trouble::Ending),
            Some(until_ms) if self.clock.monotonic_ms() >= until_ms => Err(Trouble::Late),
            None | Some(_) => Ok(()),
        }
    }
}

/// Keys of the next step, where one of `count` has copied so many bytes: a segment is not kept locked for longer than a
/// request may wait.
fn next_count(count: usize, bytes: usize) -> usize {
    if bytes > limits::SNAPSHOT_STEP_BYTES {
        (count * limits::SNAPSHOT_STEP_BYTES / bytes).max(1)
    } else if bytes < limits::SNAPSHOT_STEP_BYTES / 4 {
        (2 * count).min(limits::SNAPSHOT_STEP_KEYS)
    } else {
        count
    }
}

#[cfg(test)]
mod tests;
