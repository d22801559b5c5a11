//! How long the journal's syncs take, and since when something waits for one. Written by the journal's thread alone, read
//! for display.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use hdrhistogram::Histogram;

/// Longest sync that is told from longer ones: a disk that takes more has failed.
const LONGEST_US: u64 = 600_000_000;

/// Significant digits of a duration.
const DIGITS: u8 = 2;

/// Nothing waits.
const NEVER: u64 = u64::MAX;

/// The journal's readings.
#[derive(Debug)]
pub struct JournalReadings {
    /// A sync takes tens of microseconds at least: a lock that nobody contends is nothing beside that.
    syncs: Mutex<Syncs>,
    /// Syncs that were due and had to wait for the one before.
    delayed: AtomicU64,
    /// One is under way.
    syncing: AtomicBool,
    /// Monotonic milliseconds since when something waits for its sync.
    lags_since_ms: AtomicU64,
    /// When the step under way began.
    step_since_ms: AtomicU64,
    /// The kernel's name of the disk.
    disk: OnceLock<String>,
}

#[derive(Debug)]
struct Syncs {
    durations_us: Histogram<u64>,
    last_us: u64,
}

/// The readings at one time. Durations in microseconds, of all syncs since the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalFacts {
    /// There is a journal.
    pub in_use: bool,
    /// Syncs.
    pub syncs: u64,
    /// The last one.
    pub last_us: u64,
    /// 99 of a hundred took no longer.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
    /// Syncs that were due and had to wait for the one before.
    pub delayed: u64,
    /// One is under way.
    pub syncing: bool,
    /// Bytes that were appended and are not written.
    pub unwritten_bytes: u64,
    /// Bytes that were appended and are not synced.
    pub lag_bytes: u64,
    /// Milliseconds for which the oldest of them has waited.
    pub lag_ms: u64,
}

impl Default for JournalReadings {
    fn default() -> Self {
        let durations_us =
            Histogram::new_with_max(LONGEST_US, DIGITS).expect("bounds and digits are those that it allows");
        Self {
            syncs: Mutex::new(Syncs { durations_us, last_us: 0 }),
            delayed: AtomicU64::new(0),
            syncing: AtomicBool::new(false),
            lags_since_ms: AtomicU64::new(NEVER),
            step_since_ms: AtomicU64::new(NEVER),
            disk: OnceLock::new(),
        }
    }
}

// Relaxed, in all of this: for display, and each reading stands alone.
impl JournalReadings {
    /// The journal is on this disk. Only the first to be named is kept.
    pub fn name_disk(&self, name: String) {
        let _named_before = self.disk.set(name);
    }

    /// Its name, empty where the kernel does not say.
    pub fn disk(&self) -> &str {
        self.disk.get().map_or("", String::as_str)
    }

    /// A sync took so long.
    pub fn synced(&self, duration_us: u64) {
        let mut syncs = self.syncs();
        syncs.durations_us.saturating_record(duration_us);
        syncs.last_us = duration_us;
    }

    /// How long syncs took, in nanoseconds.
    pub fn durations_ns(&self) -> Histogram<u64> {
        let micros = self.durations_us();
        let nanos = Histogram::new_with_max(LONGEST_US * 1000, DIGITS);
        let mut nanos = nanos.expect("bounds and digits are those that it allows");
        for place in micros.iter_recorded() {
            nanos.saturating_record_n(place.value_iterated_to() * 1000, place.count_at_value());
        }
        nanos
    }

    /// A sync that is due has to wait for the one before.
    pub fn delayed(&self) {
        self.delayed.fetch_add(1, Ordering::Relaxed);
    }

    /// A sync beside the journal's thread begins, or is over.
    pub fn set_syncing(&self, syncing: bool) {
        self.syncing.store(syncing, Ordering::Relaxed);
    }

    /// The journal's thread begins a step, from which the disk may not let it come back for long: what is appended meanwhile
    /// has waited since then at most.
    #[inline]
    pub fn begin_step(&self, lags: bool, now_ms: u64) {
        self.set_lagging(lags, now_ms);
        self.step_since_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The step that began at this time is over.
    #[inline]
    pub fn end_step(&self, lags: bool, began_ms: u64) {
        self.step_since_ms.store(NEVER, Ordering::Relaxed);
        self.set_lagging(lags, began_ms);
    }

    /// All that was appended is synced, or there is something that is not.
    #[inline]
    fn set_lagging(&self, lags: bool, now_ms: u64) {
        let lagged = self.lags_since_ms.load(Ordering::Relaxed) != NEVER;
        if lags != lagged {
            self.lags_since_ms.store(if lags { now_ms } else { NEVER }, Ordering::Relaxed);
        }
    }

    /// Of what waits for its sync, nothing was appended before this time.
    pub fn lags_since(&self, ms: u64) {
        if self.lags_since_ms.load(Ordering::Relaxed) != NEVER {
            self.lags_since_ms.store(ms, Ordering::Relaxed);
        }
    }

    /// The readings of a journal of which so many bytes are not synced and not written.
    pub fn facts(&self, now_ms: u64, (lag_bytes, unwritten_bytes): (u64, u64)) -> JournalFacts {
        let syncs = self.syncs();
        let since_ms = self.lags_since_ms.load(Ordering::Relaxed);
        let since_ms = since_ms.min(self.step_since_ms.load(Ordering::Relaxed));
        JournalFacts {
            in_use: true,
            syncs: syncs.durations_us.len(),
            last_us: syncs.last_us,
            p99_us: syncs.durations_us.value_at_quantile(0.99),
            max_us: syncs.durations_us.max(),
            delayed: self.delayed.load(Ordering::Relaxed),
            syncing: self.syncing.load(Ordering::Relaxed),
            unwritten_bytes,
            lag_bytes,
            // What was appended a moment ago may not have been noticed yet.
            lag_ms: if lag_bytes > 0 { now_ms.saturating_sub(since_ms) } else { 0 },
        }
    }

    /// The durations in microseconds.
    pub fn durations_us(&self) -> Histogram<u64> {
        self.syncs().durations_us.clone()
    }

    /// Counts from zero again.
    pub fn reset(&self) {
        self.syncs().durations_us.reset();
        self.delayed.store(0, Ordering::Relaxed);
    }

    fn syncs(&self) -> MutexGuard<'_, Syncs> {
        self.syncs.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::{JournalFacts, JournalReadings};

    #[test]
    fn syncs_are_counted_and_measured() {
        let readings = JournalReadings::default();
        assert_eq!(readings.facts(5, (0, 0)), JournalFacts { in_use: true, ..JournalFacts::default() });
        (0..99).for_each(|_| readings.synced(100));
        readings.synced(50_000);
        readings.delayed();
        let facts = readings.facts(5, (0, 0));
        assert_eq!((facts.syncs, facts.last_us, facts.p99_us, facts.delayed), (100, 50_000, 100, 1));
        assert!((50_000..51_000).contains(&facts.max_us), "{facts:?}");
        readings.synced(u64::MAX);
        assert_eq!(readings.durations_us().len(), 101, "what is longer than any is counted as the longest");
        readings.reset();
        assert_eq!((readings.facts(5, (0, 0)).syncs, readings.facts(5, (0, 0)).delayed), (0, 0));
    }

    #[test]
    fn what_waits_is_as_old_as_its_oldest_byte() {
        let readings = JournalReadings::default();
        let lag = |now_ms| readings.facts(now_ms, (64, 0)).lag_ms;
        readings.begin_step(true, 100);
        readings.end_step(true, 100);
        readings.begin_step(true, 200);
        readings.end_step(true, 200);
        assert_eq!(lag(250), 150);
        readings.lags_since(180);
        assert_eq!(lag(250), 70, "a sync that began at 180 is over");
        readings.end_step(false, 300);
        readings.lags_since(290);
        assert_eq!((readings.facts(400, (0, 0)).lag_ms, lag(400)), (0, 0));
        readings.begin_step(false, 500);
        assert_eq!(
            (readings.facts(900, (0, 0)).lag_ms, lag(900)),
            (0, 400),
            "appended during a step that lasts"
        );
    }
}
