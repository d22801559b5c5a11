//! Well-behaved clients at a fixed rate, first alone and then beside some that do harm: what they notice of them.
//!
//! One loop on one thread for both. A process of its own for the harm would take the generator's processor away for
//! milliseconds at a time, and that is what latencies would show. The harm comes in steps of a system call or two between
//! two looks of the loop, and rests after each at least as long as it took, so that it has no more than half of the
//! thread's time. What that makes requests leave late is recorded for each window beside.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::client::Clients;
use super::harm::{Harm, Kind, Tally};
use super::mix::{Kind as Request, Mix, Order, Source};
use super::open::{self, Arrivals, Observer, PUNCTUAL, Pace};
use super::report::{Latency, recorder};
use super::{Fault, nanos, report_json, stand_by};
use crate::procfs;

/// Load at first that is in no window.
const MARGIN: Duration = Duration::from_millis(100);

/// Latest that 99 % of the requests may leave beside harm: what steps of it take, and the time to make up for them. More
/// than that, and something else had the processor.
const BESIDE: Duration = Duration::from_micros(200);

/// Between two looks at memory, in both windows alike.
const LOOK: Duration = Duration::from_millis(100);

/// How long the server may take to answer what is asked outside of the windows.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Well-behaved connections.
    pub(crate) connections: usize,
    /// `INCR` a second.
    pub(crate) rate: f64,
    /// Keys, all of which exist.
    pub(crate) keys: u64,
    /// The server's process.
    pub(crate) pid: u32,
    /// What harm.
    pub(crate) harm: Kind,
    /// Its connections.
    pub(crate) crowd: usize,
    /// Whether the server is a bare loop, which cannot be told anything.
    pub(crate) bare: bool,
    /// How long it is quiet.
    pub(crate) quiet: Duration,
    /// How long it is not.
    pub(crate) disturbed: Duration,
    /// Of keys and distances.
    pub(crate) seed: u64,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Disturbance {
    /// Connections of the harm.
    pub(crate) crowd: usize,
    /// `INCR` a second.
    pub(crate) asked_rate: f64,
    /// Latencies while there is no harm, from the time a request was meant for.
    pub(crate) quiet: Latency,
    /// From the first step of the harm on.
    pub(crate) disturbed: Latency,
    /// How much later than meant requests left before, by the generator's own fault.
    pub(crate) late_quiet: Latency,
    /// The same beside the harm: the load core's own part.
    pub(crate) late_disturbed: Latency,
    /// Whether the generator kept its schedule, but for the steps of the harm. If not, the latencies are its own.
    pub(crate) kept_up: bool,
    /// Seconds of harm.
    pub(crate) seconds: f64,
    /// Connections that it opened.
    pub(crate) opened: u64,
    /// Of them, ended by the server.
    pub(crate) ended: u64,
    /// Bytes that it sent.
    pub(crate) sent: u64,
    /// The process' memory before it, in bytes.
    pub(crate) before_bytes: u64,
    /// The most it had meanwhile.
    pub(crate) most_bytes: u64,
}

impl Disturbance {
    /// Latency that 99 % of the requests stayed below, in terms of what it was before.
    pub(crate) fn ratio(&self) -> f64 {
        self.disturbed.p99 / self.quiet.p99
    }
}

/// Opens the connections, says `ready`, and after a line does it all; the last line of the output is a [`Disturbance`]
/// as JSON.
///
/// # Errors
/// What connecting or asking says.
pub(crate) fn watch(
    address: SocketAddr,
    asked: &Asked,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let mut clients = Clients::connect(address, asked.connections)?;
    let mut steward = Steward::connect(address)?;
    stand_by(input, output)?;
    if !asked.bare {
        steward.prepare(asked.harm)?;
    }
    let mut source = Source::new(Mix::only(Request::Incr), asked.keys, Order::Random, asked.seed);
    let pace = Pace { rate: asked.rate, arrivals: Arrivals::Poisson, seed: asked.seed ^ 1 };
    let mut windows = Windows::new(*asked, address);
    let end = Duration::from_nanos(windows.from) + asked.disturbed;
    open::drive(&mut clients, &mut source, pace, end, &mut windows)?;
    let seen = windows.seen();
    // Gone, before the server is told that all may come again.
    drop(windows);
    if !asked.bare {
        steward.restore(asked.harm)?;
    }
    report_json(output, &seen)
}

/// A connection that tells the server what holds; it waits for answers, and is not used within the windows.
struct Steward {
    stream: BufReader<TcpStream>,
}

impl Steward {
    fn connect(address: SocketAddr) -> Result<Self, Fault> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    fn prepare(&mut self, harm: Kind) -> Result<(), Fault> {
        if let Some((request, reply)) = harm.preparation() {
            self.ask(&request, reply)?;
        }
        harm.settings().iter().try_for_each(|(name, value, _)| self.set(name, value))
    }

    fn restore(&mut self, harm: Kind) -> Result<(), Fault> {
        harm.settings().iter().try_for_each(|(name, _, value)| self.set(name, value))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let words = ["CONFIG", "SET", name, value].map(|word| format!("${}\r\n{word}\r\n", word.len()));
        self.ask(format!("*4\r\n{}", words.concat()).as_bytes(), "+OK")
    }

    fn ask(&mut self, request: &[u8], expected: &str) -> Result<(), Fault> {
        self.stream.get_mut().write_all(request)?;
        let mut line = String::new();
        self.stream.by_ref().take(1024).read_line(&mut line)?;
        if line.trim_end() == expected {
            Ok(())
        } else {
            Err(Fault::WrongReply(format!("{line:?}, not {expected}")))
        }
    }
}

/// Latencies before the harm and beside it. Times in nanoseconds since the loop's start.
struct Windows {
    asked: Asked,
    address: SocketAddr,
    /// When the harm begins.
    from: u64,
    harm: Option<Box<dyn Harm>>,
    /// When it may do its next step.
    step: u64,
    /// When to look at memory next.
    look: u64,
    quiet: [Histogram<u64>; 2],
    /// Latencies and lateness, as before.
    disturbed: [Histogram<u64>; 2],
    before_bytes: u64,
    most_bytes: u64,
}

impl Windows {
    fn new(asked: Asked, address: SocketAddr) -> Self {
        let pair = || [recorder(), recorder()];
        Self {
            asked,
            address,
            from: nanos(MARGIN + asked.quiet),
            harm: None,
            step: 0,
            look: 0,
            quiet: pair(),
            disturbed: pair(),
            before_bytes: 0,
            most_bytes: 0,
        }
    }

    /// The window of a request that was meant for this time, if it is in one.
    #[inline]
    fn window(&mut self, meant: u64) -> Option<&mut [Histogram<u64>; 2]> {
        if meant >= self.from {
            Some(&mut self.disturbed)
        } else if meant >= nanos(MARGIN) {
            Some(&mut self.quiet)
        } else {
            None
        }
    }

    fn look_around(&mut self, now: u64) -> Result<(), Fault> {
        let bytes = procfs::resident_data_bytes(self.asked.pid)?;
        if now < self.from {
            self.before_bytes = bytes;
        }
        self.most_bytes = self.most_bytes.max(bytes);
        Ok(())
    }

    fn seen(&self) -> Disturbance {
        let [quiet, late_quiet] = &self.quiet;
        let [disturbed, late_disturbed] = &self.disturbed;
        let punctual = |late: &Histogram<u64>, most| late.value_at_quantile(0.99) <= nanos(most);
        let Tally { opened, ended, sent } = self.harm.as_ref().map(|harm| harm.tally()).unwrap_or_default();
        Disturbance {
            crowd: self.asked.crowd,
            asked_rate: self.asked.rate,
            quiet: Latency::of(quiet),
            disturbed: Latency::of(disturbed),
            late_quiet: Latency::of(late_quiet),
            late_disturbed: Latency::of(late_disturbed),
            kept_up: punctual(late_quiet, PUNCTUAL) && punctual(late_disturbed, BESIDE),
            seconds: self.asked.disturbed.as_secs_f64(),
            opened,
            ended,
            sent,
            before_bytes: self.before_bytes,
            most_bytes: self.most_bytes,
        }
    }
}

impl Observer for Windows {
    #[inline]
    fn answered(&mut self, meant: u64, now: u64) {
        if let Some([latency, _]) = self.window(meant) {
            latency.saturating_record(now - meant);
        }
    }

    #[inline]
    fn left(&mut self, meant: u64, now: u64) {
        if let Some([_, late]) = self.window(meant) {
            late.saturating_record(now - meant);
        }
    }

    fn goes_on(&mut self, now: u64) -> Result<bool, Fault> {
        if now >= self.look {
            self.look_around(now)?;
            self.look = now + nanos(LOOK);
        }
        if now >= self.from.max(self.step) {
            let began = Instant::now();
            let Asked { harm: kind, crowd, .. } = self.asked;
            let harm = self.harm.get_or_insert_with(|| kind.start(self.address, crowd));
            harm.step()?;
            let took = nanos(began.elapsed());
            self.step = now + took + took.max(nanos(harm.rest()));
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Duration;

    use super::{Asked, Kind, MARGIN, Observer, Windows, nanos};

    #[test]
    fn requests_count_by_the_time_they_were_meant_for_and_the_harm_begins_at_its_time() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let asked = Asked {
            connections: 1,
            rate: 1.0,
            keys: 1,
            pid: std::process::id(),
            harm: Kind::Flood,
            crowd: 2,
            bare: true,
            quiet: 2 * MARGIN,
            disturbed: Duration::from_secs(1),
            seed: 1,
        };
        let mut windows = Windows::new(asked, listener.local_addr().unwrap());
        let from = 3 * nanos(MARGIN);
        for meant in [0, nanos(MARGIN), from - 1, from] {
            windows.left(meant, meant);
            windows.answered(meant, from + 5);
        }
        let seen = windows.seen();
        assert_eq!((seen.quiet.count, seen.late_quiet.count), (2, 2));
        assert_eq!((seen.disturbed.count, seen.late_disturbed.count), (1, 1));
        windows.goes_on(from - 1).unwrap();
        assert_eq!(windows.seen().opened, 0);
        windows.goes_on(from).unwrap();
        windows.goes_on(from).unwrap();
        assert_eq!(windows.seen().opened, 1, "it rests after a step");
        assert!(windows.seen().before_bytes > 0);
    }
}
