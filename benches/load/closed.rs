//! The saturating loop: each connection sends a pipeline, awaits all its replies, and sends the next at once.
//!
//! For throughput and processor time per operation. Its latencies are round trips of whole pipelines and say
//! nothing about a server at part load: [`super::open`] does.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::client::Clients;
use super::mix::Source;
use super::report::recorder;
use super::{Fault, nanos};

/// When to stop sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// After this time.
    Time(Duration),
    /// After exactly this many requests.
    Operations(u64),
}

/// What a loop did.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Requests answered.
    pub(crate) operations: u64,
    /// From the first request to the last reply.
    pub(crate) time: Duration,
    /// Nanoseconds; see [`super::report::Report::latency`].
    pub(crate) latency: Histogram<u64>,
    /// Nanoseconds that requests left late; only at a fixed rate.
    pub(crate) late: Option<Histogram<u64>>,
}

/// Seconds without any reply after which the server is taken for stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until the goal is reached and every reply is there.
///
/// # Errors
/// Any fault ends the run: its figures would be worth nothing.
pub(crate) fn run(
    clients: &mut Clients,
    source: &mut Source,
    depth: usize,
    goal: Goal,
) -> Result<Outcome, Fault> {
    let start = Instant::now();
    let mut batches = Batches { start, depth: depth as u64, goal, issued: 0 };
    let mut latency = recorder();
    let mut answered = 0_u64;
    for index in 0..clients.all.len() {
        batches.issue(clients, index, source)?;
    }
    let mut heard = start;
    while answered < batches.issued {
        let ready = clients.wait(250)?;
        if ready == 0 && heard.elapsed() > PATIENCE {
            return Err(Fault::Stalled { outstanding: clients.outstanding() });
        }
        for nth in 0..ready {
            let index = clients.ready(nth);
            let client = &mut clients.all[index];
            let before = client.outstanding();
            let mut sent_at = 0;
            client.receive(&mut clients.scratch, |at| sent_at = at)?;
            client.flush()?;
            let replies = before - client.outstanding();
            if replies == 0 {
                continue;
            }
            answered += replies as u64;
            if client.outstanding() == 0 {
                heard = Instant::now();
                latency.saturating_record(nanos(heard - start).saturating_sub(sent_at));
                batches.issue(clients, index, source)?;
            }
        }
    }
    Ok(Outcome { operations: answered, time: start.elapsed(), latency, late: None })
}

/// Hands out pipelines until the goal is reached.
struct Batches {
    start: Instant,
    depth: u64,
    goal: Goal,
    issued: u64,
}

impl Batches {
    fn issue(&mut self, clients: &mut Clients, index: usize, source: &mut Source) -> Result<(), Fault> {
        let now = self.start.elapsed();
        let count = match self.goal {
            Goal::Time(limit) if now >= limit => 0,
            Goal::Time(_) => self.depth,
            Goal::Operations(total) => self.depth.min(total - self.issued),
        };
        let client = &mut clients.all[index];
        for _ in 0..count {
            client.enqueue(source, nanos(now));
        }
        self.issued += count;
        client.flush()
    }
}
