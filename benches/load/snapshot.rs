//! A snapshot written under load: latencies before, meanwhile and afterwards, and the memory it takes.
//!
//! One loop at a fixed rate; what it saw before the snapshot is the quiet that the rest is compared with. It asks for the
//! snapshot and for its progress itself, and looks at the server's memory, all the while at the same intervals, so that
//! whatever that costs is in all of the figures.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::aside::Aside;
use super::client::Clients;
use super::mix::{Kind, Mix, Order, Source};
use super::open::{self, Arrivals, Observer, PUNCTUAL, Pace};
use super::report::{Latency, recorder};
use super::{Fault, fault, nanos, report_json, stand_by};
use crate::procfs;

/// Between two looks at the snapshot's progress and at memory; also a slice of the latencies over time.
const LOOK: Duration = Duration::from_millis(100);

/// Load at first that is in no window.
const MARGIN: Duration = Duration::from_millis(100);

/// Of the load behind the end of the snapshot, for the picture.
const AFTER: Duration = Duration::from_secs(1);

const BGSAVE: &[u8] = b"*1\r\n$6\r\nBGSAVE\r\n";
const PROGRESS: &[u8] = b"*2\r\n$4\r\nINFO\r\n$11\r\npersistence\r\n";

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Connections.
    pub(crate) connections: usize,
    /// `INCR` a second.
    pub(crate) rate: f64,
    /// Keys, all of which exist.
    pub(crate) keys: u64,
    /// The server's process.
    pub(crate) pid: u32,
    /// How long it is quiet before the snapshot.
    pub(crate) quiet: Duration,
    /// How long the snapshot may take.
    pub(crate) limit: Duration,
    /// Of keys and distances.
    pub(crate) seed: u64,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Keys.
    pub(crate) keys: u64,
    /// `INCR` a second.
    pub(crate) asked_rate: f64,
    /// Latencies before the snapshot.
    pub(crate) quiet: Latency,
    /// From the request for it until it was there.
    pub(crate) saving: Latency,
    /// When it was asked for, in seconds since the start of the load.
    pub(crate) began_s: f64,
    /// When it was seen to be there, likewise.
    pub(crate) ended_s: f64,
    /// The process' memory before, in bytes.
    pub(crate) before_bytes: u64,
    /// The most it had meanwhile.
    pub(crate) most_bytes: u64,
    /// What a child process had copied in the end, as the server says; 0 where there is none.
    pub(crate) copied_bytes: u64,
    /// Latencies over time.
    pub(crate) slices: Vec<Slice>,
    /// How much later than meant requests left, by the generator's own fault.
    pub(crate) late: Latency,
    /// Whether the generator kept its schedule. If not, the latencies are its own.
    pub(crate) kept_up: bool,
}

impl Snapshot {
    /// Memory that the snapshot took, in terms of what there was before.
    pub(crate) fn growth(&self) -> f64 {
        (self.most_bytes.saturating_sub(self.before_bytes) + self.copied_bytes) as f64
            / self.before_bytes as f64
    }
}

/// The latencies of the requests that were meant for one tenth of a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// Its beginning, in seconds since the start of the load.
    pub(crate) at_s: f64,
    /// Latencies.
    pub(crate) latency: Latency,
}

/// Opens the connections, says `ready`, and after a line does it all; the last line of the output is a [`Snapshot`] as
/// JSON.
///
/// # Errors
/// What connecting or asking says, a snapshot that fails or takes too long.
pub(crate) fn watch(
    address: SocketAddr,
    asked: &Asked,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let mut clients = Clients::connect(address, asked.connections)?;
    let aside = Aside::connect(address)?;
    stand_by(input, output)?;
    let mut source = Source::new(Mix::only(Kind::Incr), asked.keys, Order::Random, asked.seed);
    let pace = Pace { rate: asked.rate, arrivals: Arrivals::Poisson, seed: asked.seed ^ 1 };
    let mut watcher = Watcher {
        asked: *asked,
        aside,
        // Room for the longest run at once: growing would stop the loop. Pages are touched as they are written.
        answers: Vec::with_capacity(capacity(asked)),
        stage: Stage::Quiet,
        began: u64::MAX,
        ended: u64::MAX,
        look: 0,
        before_bytes: 0,
        most_bytes: 0,
        copied_bytes: 0,
    };
    let end = MARGIN + asked.quiet + asked.limit + AFTER;
    let ran = open::drive(&mut clients, &mut source, pace, end, &mut watcher)?;
    let late = (Latency::of(&ran.late), ran.late.value_at_quantile(0.99) <= nanos(PUNCTUAL));
    report_json(output, &watcher.seen(late)?)
}

/// Requests of the longest run, and some more, because their distances are random.
fn capacity(asked: &Asked) -> usize {
    let seconds = asked.quiet + asked.limit + AFTER + MARGIN;
    let most = Duration::from_secs_f64(asked.rate * 1.05).as_secs() * (seconds.as_secs() + 1);
    usize::try_from(most).expect("a usize has 64 bits here")
}

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was asked for.
    Quiet,
    /// The snapshot was asked for, and its beginning is not confirmed.
    Asked,
    /// It is being written.
    Saving,
    /// It is there.
    Done,
}

/// Keeps every answer and sorts them out at the end. Times in nanoseconds since the loop's start.
struct Watcher {
    asked: Asked,
    aside: Aside,
    /// When a request was meant to leave, and its latency.
    answers: Vec<(u64, u64)>,
    stage: Stage,
    /// When the snapshot was asked for; `u64::MAX` = not yet, as below.
    began: u64,
    /// When it was seen to be there; `began <= ended`.
    ended: u64,
    /// When to look next.
    look: u64,
    before_bytes: u64,
    most_bytes: u64,
    copied_bytes: u64,
}

impl Observer for Watcher {
    #[inline]
    fn answered(&mut self, meant: u64, now: u64) {
        self.answers.push((meant, now - meant));
    }

    fn goes_on(&mut self, now: u64) -> Result<bool, Fault> {
        if let Some(answer) = self.aside.answer()? {
            self.told(&answer, now)?;
        }
        if now >= self.look {
            self.look_around(now)?;
            self.look = now + nanos(LOOK);
        }
        let unfinished = matches!(self.stage, Stage::Asked | Stage::Saving);
        if unfinished && now > self.began.saturating_add(nanos(self.asked.limit)) {
            return Err(fault("the snapshot is not there within its time"));
        }
        Ok(now < self.ended.saturating_add(nanos(AFTER)))
    }
}

impl Watcher {
    fn look_around(&mut self, now: u64) -> Result<(), Fault> {
        let bytes = procfs::resident_data_bytes(self.asked.pid)?;
        match self.stage {
            Stage::Quiet => self.before_bytes = bytes,
            Stage::Asked | Stage::Saving => self.most_bytes = self.most_bytes.max(bytes),
            Stage::Done => {}
        }
        let due = self.stage == Stage::Quiet && now >= nanos(MARGIN + self.asked.quiet);
        if due && self.aside.ask(BGSAVE)? {
            self.stage = Stage::Asked;
            self.began = now;
        } else {
            // If an answer is due still, the server is slow to tell: there is none to ask for.
            self.aside.ask(PROGRESS)?;
        }
        Ok(())
    }

    fn told(&mut self, answer: &str, now: u64) -> Result<(), Fault> {
        match self.stage {
            Stage::Quiet | Stage::Done => {}
            Stage::Asked if answer.starts_with('+') => self.stage = Stage::Saving,
            Stage::Asked => return Err(Fault::WrongReply(format!("{answer} to BGSAVE"))),
            Stage::Saving => {
                // The first is of those that report while the child runs, the other of all that have one.
                let copied = ["current_cow_size", "rdb_last_cow_size"].map(|name| field(answer, name));
                let copied = copied.into_iter().flatten().filter_map(|bytes| bytes.parse().ok());
                self.copied_bytes = copied.fold(self.copied_bytes, u64::max);
                match (field(answer, "rdb_bgsave_in_progress"), field(answer, "rdb_last_bgsave_status")) {
                    (Some("1"), _) => {}
                    (Some("0"), Some("ok")) => {
                        self.stage = Stage::Done;
                        self.ended = now;
                    }
                    (progress, status) => {
                        let what = format!("snapshot in progress: {progress:?}, status: {status:?}");
                        return Err(Fault::WrongReply(what));
                    }
                }
            }
        }
        Ok(())
    }

    /// What came of it; `late` is what the generator says of itself.
    fn seen(&self, (late, kept_up): (Latency, bool)) -> Result<Snapshot, Fault> {
        if self.stage != Stage::Done {
            return Err(fault("the load ended before the snapshot"));
        }
        let seconds = |nanos| Duration::from_nanos(nanos).as_secs_f64();
        Ok(Snapshot {
            keys: self.asked.keys,
            asked_rate: self.asked.rate,
            quiet: self.between(nanos(MARGIN), self.began),
            saving: self.between(self.began, self.ended),
            began_s: seconds(self.began),
            ended_s: seconds(self.ended),
            before_bytes: self.before_bytes,
            most_bytes: self.most_bytes,
            copied_bytes: self.copied_bytes,
            slices: slices(&self.answers),
            late,
            kept_up,
        })
    }

    /// Latencies of the requests that were meant for some time.
    fn between(&self, from: u64, to: u64) -> Latency {
        let mut histogram = recorder();
        for &(_, latency) in self.answers.iter().filter(|(meant, _)| (from..to).contains(meant)) {
            histogram.saturating_record(latency);
        }
        Latency::of(&histogram)
    }
}

/// The value of a field of `INFO`.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_end)
}

/// Latencies by the slice that a request was meant for.
fn slices(answers: &[(u64, u64)]) -> Vec<Slice> {
    let mut ordered = answers.to_vec();
    ordered.sort_unstable();
    let slice = |meant: u64| meant / nanos(LOOK);
    ordered
        .chunk_by(|(one, _), (other, _)| slice(*one) == slice(*other))
        .map(|of| {
            let mut histogram = recorder();
            of.iter().for_each(|&(_, latency)| histogram.saturating_record(latency));
            let at_s = Duration::from_nanos(slice(of[0].0) * nanos(LOOK)).as_secs_f64();
            Slice { at_s, latency: Latency::of(&histogram) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{LOOK, field, nanos, slices};

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "# Persistence\r\nrdb_bgsave_in_progress:1\r\nrdb_bgsave_in:2\r\n";
        assert_eq!(field(text, "rdb_bgsave_in_progress"), Some("1"));
        assert_eq!(field(text, "rdb_bgsave_in"), Some("2"));
        assert_eq!(field(text, "rdb_bgsave"), None);
    }

    #[test]
    fn a_request_counts_where_it_was_meant_to_be_sent() {
        let look = nanos(LOOK);
        // Answered in another order than meant, and none at all for the second slice.
        let found = slices(&[(2 * look, 9_000), (0, 5_000), (look - 1, 3 * look)]);
        let shown: Vec<(f64, u64)> = found.iter().map(|slice| (slice.at_s, slice.latency.count)).collect();
        assert_eq!(shown, [(0.0, 2), (0.2, 1)]);
    }
}
