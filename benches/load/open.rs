//! The fixed-rate loop: send times are fixed in advance, and latency counts from them.
//!
//! A generator that waits for replies before it sends leaves out just the requests that a stalled server would
//! have delayed (coordinated omission; Gil Tene named it). Here a request is due at its time whatever the server
//! does, and its latency runs from that time, so that a stall shows in every request it delayed. How late the
//! generator itself was is recorded beside, because that part is not the server's.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::client::Clients;
use super::closed::{Outcome, PATIENCE};
use super::mix::{Random, Source};
use super::report::recorder;
use super::{Fault, nanos};

/// How send times are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrivals {
    /// At equal distances.
    Uniform,
    /// As from many clients that know nothing of each other: exponential distances.
    Poisson,
}

/// Requests without a reply above which a run is given up: the rate is not one the server can do.
const OUTSTANDING: u64 = 1_000_000;

/// Latest that 99 % of the requests may leave for the generator to count as punctual. At half of a server's capacity
/// its one thread is half busy, too, and chance bunches requests: 20 to 30 µs are what that alone explains, and they
/// are in every server's latencies alike. Twice that means that something else had its processor.
pub(crate) const PUNCTUAL: Duration = Duration::from_micros(50);

/// Sends `pace.rate` requests a second for `time`, then awaits the replies. `depth` of them are due at a time, on one
/// connection, in one send.
///
/// The loop never sleeps: a timer would be late by more than a loopback round trip. It needs a processor to itself.
///
/// # Errors
/// Any fault ends the run: its figures would be worth nothing.
pub(crate) fn run(
    clients: &mut Clients,
    source: &mut Source,
    pace: Pace,
    depth: usize,
    time: Duration,
) -> Result<Outcome, Fault> {
    let mut latency = recorder();
    let ran = pipelined(clients, source, pace, depth, time, &mut latency)?;
    Ok(Outcome { operations: ran.answered, time: ran.time, latency, late: Some(ran.late) })
}

/// What is shown each reply of a run, and may end it.
pub(crate) trait Observer {
    /// A reply came at `now` to a request meant for `meant`, both in nanoseconds since the start of the run.
    fn answered(&mut self, meant: u64, now: u64);

    /// A request meant for `meant` left at `now`, likewise.
    fn left(&mut self, _meant: u64, _now: u64) {}

    /// Whether to go on sending. Called once a turn of the loop.
    ///
    /// # Errors
    /// What makes the run worth nothing.
    fn goes_on(&mut self, now: u64) -> Result<bool, Fault>;
}

impl Observer for Histogram<u64> {
    #[inline]
    fn answered(&mut self, meant: u64, now: u64) {
        self.saturating_record(now - meant);
    }

    #[inline]
    fn goes_on(&mut self, _: u64) -> Result<bool, Fault> {
        Ok(true)
    }
}

/// A run that an observer saw.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Requests answered.
    pub(crate) answered: u64,
    /// From the start to the last reply.
    pub(crate) time: Duration,
    /// Nanoseconds that requests left late.
    pub(crate) late: Histogram<u64>,
}

/// As [`run`], one request at a time, but what comes of replies, and whether it ends before `time`, is the observer's
/// business.
///
/// # Errors
/// See [`run`].
pub(crate) fn drive(
    clients: &mut Clients,
    source: &mut Source,
    pace: Pace,
    time: Duration,
    observer: &mut impl Observer,
) -> Result<Ran, Fault> {
    pipelined(clients, source, pace, 1, time, observer)
}

fn pipelined(
    clients: &mut Clients,
    source: &mut Source,
    pace: Pace,
    depth: usize,
    time: Duration,
    observer: &mut impl Observer,
) -> Result<Ran, Fault> {
    let mut answered = 0_u64;
    let mut sender = Sender::new(pace, depth as u64, nanos(time));
    let start = sender.start;
    let mut heard = start;
    loop {
        if !observer.goes_on(nanos(start.elapsed()))? {
            sender.end = sender.due;
        }
        sender.send_due(clients, source, observer)?;
        let before = answered;
        for nth in 0..clients.wait(0)? {
            let index = clients.ready(nth);
            let client = &mut clients.all[index];
            client.receive(&mut clients.scratch, |at| {
                observer.answered(at, nanos(start.elapsed()));
                answered += 1;
            })?;
            client.flush()?;
            // Between two replies as well: a turn over many of them would make what is due meanwhile late.
            sender.send_due(clients, source, observer)?;
        }
        let outstanding = sender.issued - answered;
        if outstanding == 0 && sender.is_done() {
            break;
        }
        if answered != before || outstanding == 0 {
            heard = Instant::now();
        } else if heard.elapsed() > PATIENCE {
            return Err(Fault::Stalled { outstanding });
        }
        if outstanding > OUTSTANDING {
            return Err(Fault::Overloaded { outstanding });
        }
    }
    Ok(Ran { answered, time: start.elapsed(), late: sender.late })
}

/// Sends what is due, over the connections in turn.
struct Sender {
    schedule: Schedule,
    start: Instant,
    /// When the next request is due, in nanoseconds since the start.
    due: u64,
    /// When to stop, likewise.
    end: u64,
    issued: u64,
    /// Requests that are due at a time.
    depth: u64,
    /// The next request's connection.
    turn: usize,
    late: Histogram<u64>,
}

impl Sender {
    fn new(pace: Pace, depth: u64, end: u64) -> Self {
        let mut schedule = Schedule::new(Pace { rate: pace.rate / depth as f64, ..pace });
        let due = schedule.next();
        Self { schedule, start: Instant::now(), due, end, issued: 0, depth, turn: 0, late: recorder() }
    }

    fn is_done(&self) -> bool {
        self.due >= self.end
    }

    fn send_due(
        &mut self,
        clients: &mut Clients,
        source: &mut Source,
        observer: &mut impl Observer,
    ) -> Result<(), Fault> {
        let mut now = nanos(self.start.elapsed());
        while self.due <= now && !self.is_done() {
            let client = &mut clients.all[self.turn];
            for _ in 0..self.depth {
                client.enqueue(source, self.due);
            }
            client.flush()?;
            self.late.saturating_record(now - self.due);
            observer.left(self.due, now);
            self.turn = (self.turn + 1) % clients.all.len();
            self.issued += self.depth;
            self.due = self.schedule.next();
            now = nanos(self.start.elapsed());
        }
        Ok(())
    }
}

/// A rate, how it is spread, and what the spreading starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Requests a second, above 0.
    pub(crate) rate: f64,
    /// Spread.
    pub(crate) arrivals: Arrivals,
    /// Seed of the distances.
    pub(crate) seed: u64,
}

/// Send times, in order.
#[derive(Debug)]
struct Schedule {
    pace: Pace,
    random: Random,
    /// Time of the last request handed out, in seconds since the start: adding whole nanoseconds would lose a
    /// part of every distance, and with it up to a hundredth of a percent of the rate.
    at: f64,
}

impl Schedule {
    fn new(pace: Pace) -> Self {
        Self { pace, random: Random::new(pace.seed), at: 0.0 }
    }

    /// The next send time, in nanoseconds since the start.
    fn next(&mut self) -> u64 {
        let distance = match self.pace.arrivals {
            Arrivals::Uniform => 1.0,
            Arrivals::Poisson => -self.random.unit().ln(),
        };
        self.at += distance / self.pace.rate;
        nanos(Duration::from_secs_f64(self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrivals, Pace, Schedule};

    #[test]
    fn schedules_have_the_rate_asked_for() {
        for arrivals in [Arrivals::Uniform, Arrivals::Poisson] {
            let mut schedule = Schedule::new(Pace { rate: 50_000.0, arrivals, seed: 3 });
            let times: Vec<u64> = (0..100_000).map(|_| schedule.next()).collect();
            assert!(times.is_sorted());
            let seconds = times[times.len() - 1] as f64 / 1e9;
            assert!((seconds - 2.0).abs() < 0.03, "{arrivals:?}: {seconds}");
        }
    }

    #[test]
    fn exponential_distances_have_their_spread() {
        let mut schedule = Schedule::new(Pace { rate: 1000.0, arrivals: Arrivals::Poisson, seed: 5 });
        let mut last = 0;
        let mut longer_than_mean = 0;
        for _ in 0..100_000 {
            let at = schedule.next();
            longer_than_mean += u32::from(at - last > 1_000_000);
            last = at;
        }
        // 1/e of exponential distances are above their mean.
        assert!((36_000..37_600).contains(&longer_than_mean), "{longer_than_mean}");
    }
}
