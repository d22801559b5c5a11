//! The only caller of the system clocks. Everything else is given the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Reads the time: the system's, or a test's.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// The vDSO's clocks, about 20 ns a reading where the TSC is the clock source.
    System {
        /// Monotonic milliseconds count from here.
        start: Instant,
        /// The processor's own counter where it is invariant, else the monotonic clock.
        counter: quanta::Clock,
    },
    /// Microseconds since the Unix epoch, set by a test; also the monotonic clock.
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clocks.
    pub fn system() -> Self {
        Self { source: Source::System { start: Instant::now(), counter: quanta::Clock::new() } }
    }

    /// A clock that shows what `unix_us` holds.
    pub fn virtual_time(unix_us: Arc<AtomicU64>) -> Self {
        Self { source: Source::Virtual(unix_us) }
    }

    /// Microseconds since the Unix epoch; may step back when the system's clock is set.
    pub fn unix_us(&self) -> u64 {
        match &self.source {
            Source::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                u64::try_from(since.as_micros()).expect("half a million years fit")
            }
            // Relaxed: a test sets the time between the steps it observes; nothing is published through it.
            Source::Virtual(unix_us) => unix_us.load(Ordering::Relaxed),
        }
    }

    /// Milliseconds that only grow, from an arbitrary start.
    pub fn monotonic_ms(&self) -> u64 {
        self.monotonic_us() / 1000
    }

    /// Microseconds that only grow, from the same start.
    pub fn monotonic_us(&self) -> u64 {
        match &self.source {
            Source::System { start, .. } => {
                u64::try_from(start.elapsed().as_micros()).expect("half a million years fit")
            }
            // Relaxed: as above.
            Source::Virtual(unix_us) => unix_us.load(Ordering::Relaxed),
        }
    }

    /// A reading of the finest counter there is, in units of its own, for [`Clock::nanos_between`].
    #[inline]
    pub fn ticks(&self) -> u64 {
        match &self.source {
            Source::System { counter, .. } => counter.raw(),
            // Relaxed: as above.
            Source::Virtual(unix_us) => unix_us.load(Ordering::Relaxed) * 1000,
        }
    }

    /// Nanoseconds between two readings of the counter; 0 where the later one is less, as it may be on another processor.
    #[inline]
    pub fn nanos_between(&self, earlier: u64, later: u64) -> u64 {
        match &self.source {
            Source::System { counter, .. } => counter.delta_as_nanos(earlier, later),
            Source::Virtual(_) => later.saturating_sub(earlier),
        }
    }
}
