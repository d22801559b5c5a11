//! Many keys whose deadlines fall into one second, and how it is for others meanwhile.
//!
//! One loop at a fixed rate from before the first deadline until the keys are gone: what it saw before is the quiet that
//! what it saw afterwards is compared with. It asks for the number of keys itself, between two requests, because a
//! process of its own for that would take the generator's processor away just when latencies are looked at.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::aside::Aside;
use super::client::Clients;
use super::closed::{self, Goal};
use super::mix::{Kind, Mix, Order, Source};
use super::open::{self, Arrivals, Observer, PUNCTUAL, Pace};
use super::population::{Deadlines, Population};
use super::report::{Latency, recorder};
use super::{Fault, fault, nanos, report_json, say, stand_by};

/// Between two questions for the number of keys.
const LOOK: Duration = Duration::from_millis(10);

/// Load that is in neither histogram: at first, and right before the first deadline.
const MARGIN: Duration = Duration::from_millis(100);

/// Requests in a pipeline while keys are created.
const DEPTH: usize = 64;

const DBSIZE: &[u8] = b"*1\r\n$6\r\nDBSIZE\r\n";

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Connections.
    pub(crate) connections: usize,
    /// `INCR` a second.
    pub(crate) rate: f64,
    /// Keys without a deadline, which the `INCR`s are for.
    pub(crate) keys: u64,
    /// Keys with one.
    pub(crate) due: u64,
    /// Milliseconds that their deadlines are spread over; 0 = all at once.
    pub(crate) spread_ms: u64,
    /// How long the keys with a deadline may take to be created.
    pub(crate) creating: Duration,
    /// How long the quiet is at least.
    pub(crate) quiet: Duration,
    /// How long after the first deadline the keys are waited for.
    pub(crate) limit: Duration,
    /// Of keys, values, deadlines and distances.
    pub(crate) seed: u64,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Expiry {
    /// Keys with a deadline.
    pub(crate) due: u64,
    /// Milliseconds that their deadlines were spread over.
    pub(crate) spread_ms: u64,
    /// `INCR` a second.
    pub(crate) asked_rate: f64,
    /// Seconds it took to create the keys with a deadline.
    pub(crate) creating_s: f64,
    /// Seconds from the first deadline until no key with one was left; if some were, how long they were waited for.
    pub(crate) gone_s: f64,
    /// Keys that were left then.
    pub(crate) left: u64,
    /// Latencies before the first deadline.
    pub(crate) quiet: Latency,
    /// From the first deadline until the keys were gone.
    pub(crate) expiring: Latency,
    /// How much later than meant requests left, by the generator's own fault.
    pub(crate) late: Latency,
    /// Whether the generator kept its schedule. If not, the latencies are its own.
    pub(crate) kept_up: bool,
}

/// What is said instead of an [`Expiry`] where creating the keys took so long that no quiet was left.
pub(crate) const LATE: &str = "late";

/// Opens the connections, says `ready`, and after a line does it all; the last line of the output is an [`Expiry`] as
/// JSON, or [`LATE`].
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
    let mut census = Aside::connect(address)?;
    stand_by(input, output)?;
    let mut source = Source::new(Mix::only(Kind::Incr), asked.keys, Order::Sequential, 0);
    closed::run(&mut clients, &mut source, DEPTH, Goal::Operations(asked.keys))?;
    let (created, first) = create(&mut clients, asked)?;
    let left = first.saturating_duration_since(Instant::now());
    if left < asked.quiet + 2 * MARGIN {
        return say(output, LATE);
    }
    let mut source = Source::new(Mix::only(Kind::Incr), asked.keys, Order::Random, asked.seed);
    let pace = Pace { rate: asked.rate, arrivals: Arrivals::Poisson, seed: asked.seed ^ 1 };
    let (quiet, expiring) = (recorder(), recorder());
    // Last, because the loop's time starts now.
    let first = nanos(first.saturating_duration_since(Instant::now()));
    let mut windows = Windows {
        quiet,
        expiring,
        first,
        keys: asked.keys,
        left: asked.due,
        gone: None,
        look: 0,
        census: &mut census,
    };
    let end = Duration::from_nanos(first) + asked.limit;
    let ran = open::drive(&mut clients, &mut source, pace, end, &mut windows)?;
    let gone = windows.gone.unwrap_or(nanos(end));
    let seen = Expiry {
        due: asked.due,
        spread_ms: asked.spread_ms,
        asked_rate: asked.rate,
        creating_s: created.as_secs_f64(),
        gone_s: Duration::from_nanos(gone.saturating_sub(first)).as_secs_f64(),
        left: windows.left,
        quiet: Latency::of(&windows.quiet),
        expiring: Latency::of(&windows.expiring),
        late: Latency::of(&ran.late),
        kept_up: ran.late.value_at_quantile(0.99) <= nanos(PUNCTUAL),
    };
    report_json(output, &seen)
}

/// Creates the keys with a deadline; gives how long that took, and the time of the first deadline.
fn create(clients: &mut Clients, asked: &Asked) -> Result<(Duration, Instant), Fault> {
    let ahead = asked.creating + asked.quiet + 2 * MARGIN;
    let (start, now) = (Instant::now(), SystemTime::now());
    let epoch = now.duration_since(UNIX_EPOCH).map_err(|error| fault(&error.to_string()))?;
    let from = (epoch + ahead).as_millis();
    let from = u64::try_from(from).expect("milliseconds since 1970 are far below 2^64");
    let mut source = Source::new(
        Mix::only(Kind::Create(Population::Sessions, 1)),
        asked.due,
        Order::Sequential,
        asked.seed,
    );
    // The last of them a millisecond short of the whole spread: in the same second.
    source.set_deadlines(Deadlines { from, spread: asked.spread_ms.saturating_sub(1) });
    closed::run(clients, &mut source, DEPTH, Goal::Operations(asked.due))?;
    // A millisecond of the epoch began up to one before the time that was read.
    Ok((start.elapsed(), start + (Duration::from_millis(from).saturating_sub(epoch))))
}

/// Latencies before and after the first deadline. Times in nanoseconds since the loop's start.
struct Windows<'c> {
    quiet: Histogram<u64>,
    expiring: Histogram<u64>,
    /// The first deadline.
    first: u64,
    /// Keys without a deadline.
    keys: u64,
    /// Keys with one, when they were counted last.
    left: u64,
    /// When they were seen to be gone.
    gone: Option<u64>,
    /// When to ask for the number of keys next.
    look: u64,
    census: &'c mut Aside,
}

impl Observer for Windows<'_> {
    #[inline]
    fn answered(&mut self, meant: u64, now: u64) {
        if meant >= self.first {
            self.expiring.saturating_record(now - meant);
        } else if (nanos(MARGIN)..self.first - nanos(MARGIN)).contains(&meant) {
            self.quiet.saturating_record(now - meant);
        }
    }

    fn goes_on(&mut self, now: u64) -> Result<bool, Fault> {
        if let Some(keys) = keys(self.census)? {
            self.left = keys.saturating_sub(self.keys);
            if self.left == 0 && self.gone.is_none() {
                if now < self.first {
                    return Err(fault("keys were gone before their deadline"));
                }
                self.gone = Some(now);
            }
        }
        if now >= self.look {
            self.census.ask(DBSIZE)?;
            self.look = now + nanos(LOOK);
        }
        Ok(self.gone.is_none())
    }
}

/// The number of keys that a server has, once it has answered.
fn keys(census: &mut Aside) -> Result<Option<u64>, Fault> {
    let Some(answer) = census.answer()? else { return Ok(None) };
    let keys = answer.strip_prefix(':').and_then(|keys| keys.parse().ok());
    keys.map(Some).ok_or_else(|| Fault::WrongReply(format!("{answer} to DBSIZE")))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::{Aside, DBSIZE, MARGIN, Observer, Windows, keys, nanos, recorder};

    /// A census, and the server's end of its connection.
    fn census() -> (Aside, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let census = Aside::connect(listener.local_addr().unwrap()).unwrap();
        (census, listener.accept().unwrap().0)
    }

    fn await_answer(census: &mut Aside) -> u64 {
        loop {
            if let Some(keys) = keys(census).unwrap() {
                return keys;
            }
        }
    }

    #[test]
    fn an_answer_may_come_in_pieces() {
        let (mut census, mut server) = census();
        assert_eq!(keys(&mut census).unwrap(), None, "nothing was asked");
        census.ask(DBSIZE).unwrap();
        server.write_all(b":12").unwrap();
        assert_eq!(keys(&mut census).unwrap(), None);
        census.ask(DBSIZE).unwrap();
        server.write_all(b"34\r\n").unwrap();
        assert_eq!(await_answer(&mut census), 1234);
        census.ask(DBSIZE).unwrap();
        server.write_all(b"-ERR no\r\n").unwrap();
        assert!((0..).find_map(|_| keys(&mut census).err()).is_some());
    }

    #[test]
    fn requests_count_by_the_time_they_were_meant_for() {
        let (mut census, mut server) = census();
        let first = 10 * nanos(MARGIN);
        let mut windows = Windows {
            quiet: recorder(),
            expiring: recorder(),
            first,
            keys: 5,
            left: 10,
            gone: None,
            look: 0,
            census: &mut census,
        };
        // At the start and right before the deadline in neither.
        for meant in [0, nanos(MARGIN), 9 * nanos(MARGIN) - 1, 9 * nanos(MARGIN), first - 1, first] {
            windows.answered(meant, first + 1);
        }
        assert_eq!((windows.quiet.len(), windows.expiring.len()), (2, 1));
        let mut count = |windows: &mut Windows<'_>, keys: &str, now| {
            assert!(windows.goes_on(now).unwrap(), "asks");
            server.write_all(keys.as_bytes()).unwrap();
            while windows.census.due && windows.gone.is_none() {
                windows.look = u64::MAX;
                windows.goes_on(now).unwrap();
            }
            windows.look = 0;
        };
        count(&mut windows, ":15\r\n", first + 1);
        assert_eq!((windows.left, windows.gone), (10, None));
        count(&mut windows, ":5\r\n", first + 2);
        assert_eq!((windows.left, windows.gone), (0, Some(first + 2)));
    }
}
