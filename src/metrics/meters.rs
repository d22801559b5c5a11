//! What is counted and timed of each command: by a worker for itself, without a lock; summed over workers by whoever asks.
//!
//! Knows commands by their numbers. A reset changes nothing that a worker writes: it remembers the sums as they are, and
//! later readings are what has been added since, so that whatever is recorded meanwhile is in the one reading or the other.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

use super::histogram::{Counts, Recorder};

/// One command on one worker, which alone writes to it.
#[derive(Debug, Default)]
pub struct Meter {
    calls: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    nanos: AtomicU64,
    service: Recorder,
    reply: Recorder,
}

/// Adds to a counter that has one writer.
#[inline]
fn add(counter: &AtomicU64, value: u64) {
    // Relaxed: see `Recorder::record`.
    counter.store(counter.load(Ordering::Relaxed) + value, Ordering::Relaxed);
}

impl Meter {
    #[inline]
    fn served(&self, nanos: u64, keeps: bool) {
        add(&self.nanos, nanos);
        if keeps {
            self.service.record(nanos, 1);
        }
    }

    /// Replies to it were handed to the kernel so long after its first byte.
    #[inline]
    pub fn replied(&self, nanos: u64, times: u64) {
        self.reply.record(nanos, times);
    }

    /// It was refused before it was executed.
    pub fn rejected(&self) {
        add(&self.rejected, 1);
    }
}

/// Commands that were executed and are still to be counted.
///
/// The processor's counter is read only when everything before it is done, so that what is recorded between two readings is
/// waited for: a command that is counted at once costs 18.8 ns, one that is counted with others behind it 11.5
/// (`cargo bench --bench micro -- record`).
#[derive(Debug)]
pub struct Batch(Vec<Executed>);

#[derive(Debug)]
struct Executed {
    number: u32,
    failed: bool,
    /// From its first byte to its reply; `None`: that was not measured.
    nanos: Option<u64>,
}

impl Batch {
    /// Commands that a batch holds.
    const SIZE: usize = 64;

    /// None so far.
    pub fn new() -> Self {
        Self(Vec::with_capacity(Self::SIZE))
    }

    /// The command of this number was executed, took so long where that was measured, and replied an error or not.
    /// `keeps`: the histograms are to know.
    #[inline]
    pub fn add(&mut self, meters: &Meters, number: u32, nanos: Option<u64>, failed: bool, keeps: bool) {
        if self.0.len() == Self::SIZE {
            self.count(meters, keeps);
        }
        self.0.push(Executed { number, failed, nanos });
    }

    /// Counts them. Before a reply to one of them leaves, so that whoever has it finds its command counted.
    pub fn count(&mut self, meters: &Meters, keeps: bool) {
        for executed in self.0.drain(..) {
            let meter = meters.of(executed.number as usize);
            add(&meter.calls, 1);
            if let Some(nanos) = executed.nanos {
                meter.served(nanos, keeps);
            }
            if executed.failed {
                add(&meter.failed, 1);
            }
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// All commands on one worker.
#[derive(Debug)]
pub struct Meters(Box<[Meter]>);

impl Meters {
    /// Meters for so many commands.
    pub fn new(commands: usize) -> Self {
        Self((0..commands).map(|_| Meter::default()).collect())
    }

    /// The meter of the command of this number.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline]
    pub fn of(&self, number: usize) -> &Meter {
        &self.0[number]
    }
}

/// Sums of a command's meters.
#[derive(Clone, Debug, Default)]
struct Sums {
    calls: u64,
    rejected: u64,
    failed: u64,
    nanos: u64,
    service: Counts,
    reply: Counts,
}

impl Sums {
    fn add(&mut self, meter: &Meter) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.calls += read(&meter.calls);
        self.rejected += read(&meter.rejected);
        self.failed += read(&meter.failed);
        self.nanos += read(&meter.nanos);
        meter.service.add_to(&mut self.service);
        meter.reply.add_to(&mut self.reply);
    }

    fn since(self, earlier: &Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            rejected: self.rejected - earlier.rejected,
            failed: self.failed - earlier.failed,
            nanos: self.nanos - earlier.nanos,
            service: self.service.since(&earlier.service),
            reply: self.reply.since(&earlier.reply),
        }
    }
}

/// What was seen of a command, by all workers, since the last reset.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The command's number.
    pub number: usize,
    /// How often it was executed.
    pub calls: u64,
    /// How often it was refused before it was.
    pub rejected: u64,
    /// How often it replied an error.
    pub failed: u64,
    /// Nanoseconds that it took in all.
    pub nanos: u64,
    /// Nanoseconds from its first byte until its reply was encoded.
    pub service: Histogram<u64>,
    /// Nanoseconds from its first byte until its reply was handed to the kernel.
    pub reply: Histogram<u64>,
}

/// The sums at the last reset.
#[derive(Debug, Default)]
pub struct Baseline(Mutex<Vec<Sums>>);

impl Baseline {
    /// What was added since the last reset, of commands of which anything was.
    pub fn readings<'m>(&self, meters: impl Iterator<Item = &'m Meters>) -> Vec<Reading> {
        let before = self.0.lock().expect("no holder of this lock panics");
        Self::read(sums(meters), &before)
    }

    /// The same, and begins anew.
    pub fn reset<'m>(&self, meters: impl Iterator<Item = &'m Meters>) -> Vec<Reading> {
        let mut before = self.0.lock().expect("no holder of this lock panics");
        let now = sums(meters);
        let readings = Self::read(now.clone(), &before);
        *before = now;
        readings
    }

    fn read(now: Vec<Sums>, before: &[Sums]) -> Vec<Reading> {
        let none = Sums::default();
        let since = now.into_iter().enumerate().map(|(number, sums)| {
            let sums = sums.since(before.get(number).unwrap_or(&none));
            (number, sums)
        });
        since
            .filter(|(_, sums)| sums.calls + sums.rejected + sums.failed > 0 || sums.reply.total() > 0)
            .map(|(number, sums)| Reading {
                number,
                calls: sums.calls,
                rejected: sums.rejected,
                failed: sums.failed,
                nanos: sums.nanos,
                service: sums.service.histogram(),
                reply: sums.reply.histogram(),
            })
            .collect()
    }
}

fn sums<'m>(meters: impl Iterator<Item = &'m Meters>) -> Vec<Sums> {
    let mut sums: Vec<Sums> = Vec::new();
    for meters in meters {
        sums.resize(meters.0.len(), Sums::default());
        for (sum, meter) in sums.iter_mut().zip(&meters.0) {
            sum.add(meter);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{Baseline, Batch, Meters};

    #[test]
    fn readings_begin_anew_with_a_reset() {
        let (meters, baseline) = ([Meters::new(3), Meters::new(3)], Baseline::default());
        for of in &meters {
            let mut batch = Batch::new();
            batch.add(of, 1, Some(1000), false, true);
            batch.count(of, true);
            of.of(2).rejected();
        }
        let readings = baseline.reset(meters.iter());
        assert_eq!(readings.iter().map(|reading| reading.number).collect::<Vec<_>>(), [1, 2]);
        let (called, refused) = (&readings[0], &readings[1]);
        assert_eq!((called.calls, called.nanos, called.service.len(), called.reply.len()), (2, 2000, 2, 0));
        assert_eq!((refused.calls, refused.rejected), (0, 2));
        assert!(baseline.readings(meters.iter()).is_empty());
        meters[0].of(1).replied(5_000_000, 7);
        let again = baseline.readings(meters.iter());
        assert_eq!((again[0].calls, again[0].reply.len()), (0, 7));
        assert!(again[0].reply.max() >= 5_000_000 && again[0].reply.max() < 5_050_000);
    }

    /// Two workers count, a third thread begins anew all the while: each call is in exactly one reading.
    #[test]
    fn every_call_is_in_one_reading_while_workers_run() {
        const EACH: u64 = 50_000;
        let (meters, baseline) = ([Meters::new(2), Meters::new(2)], Baseline::default());
        let done = AtomicBool::new(false);
        let (calls, nanos, service, reply) = std::thread::scope(|scope| {
            let workers = meters.each_ref().map(|meters| {
                scope.spawn(move || {
                    let mut batch = Batch::new();
                    for nanos in 0..EACH {
                        batch.add(meters, 1, Some(nanos), false, true);
                        meters.of(1).replied(nanos * 2, 1);
                    }
                    batch.count(meters, true);
                })
            });
            let reader = scope.spawn(|| {
                let mut sums = (0, 0, 0, 0);
                loop {
                    let last = done.load(Ordering::Acquire);
                    for reading in baseline.reset(meters.iter()) {
                        sums.0 += reading.calls;
                        sums.1 += reading.nanos;
                        sums.2 += reading.service.len();
                        sums.3 += reading.reply.len();
                    }
                    if last {
                        return sums;
                    }
                }
            });
            workers.into_iter().for_each(|worker| worker.join().expect("workers do not panic"));
            done.store(true, Ordering::Release);
            reader.join().expect("the reader does not panic")
        });
        assert_eq!((calls, service, reply), (2 * EACH, 2 * EACH, 2 * EACH));
        assert_eq!(nanos, EACH * (EACH - 1));
    }
}
