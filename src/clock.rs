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
    },
    /// Microseconds since the Unix epoch, set by a test; also the monotonic clock.
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clocks.
    pub fn system() -> Self {
        Self { source: Source::System { start: Instant::now() } }
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
        match &self.source {
            Source::System { start } => {
                u64::try_from(start.elapsed().as_millis()).expect("half a billion years fit")
            }
            // Relaxed: as above.
            Source::Virtual(unix_us) => unix_us.load(Ordering::Relaxed) / 1000,
        }
    }
}
