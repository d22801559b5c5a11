//! How long commands take: the readings of the counter at the borders of requests, and what they are told.
//!
//! ```text
//!        decode a batch of n     run 1      run 2           run n        hand the replies to the kernel
//! began ├─────────────────────┼──────────┼────────── … ──┼─────────┤ …  ├
//!        a share of it for each: service time = share + its own run      reply time = from `began`
//! ```
//!
//! A service time has nothing of the other requests of its batch, so that the sum over all commands is the time that they
//! took; a reply time has everything its client waits for, the journal too, but for the network.

use crate::buffer::outgoing::Mark;
use crate::clock::Clock;
use crate::command::{Command, Parts, lookup};
use crate::limits::Limits;
use crate::metrics::meters::{Batch, Meter, Meters};

use super::execute::Scene;

/// Commands whose numbers a worker has at hand.
const KNOWN: usize = 16;

/// What a worker needs to time commands.
#[derive(Debug)]
pub(super) struct Timing {
    pub(super) clock: Clock,
    /// Histograms are kept (`latency-tracking`).
    keeps: bool,
    /// The counter is read at all.
    reads: bool,
    /// Nanoseconds from which on a command is slow.
    slow_ns: u64,
    /// Addresses of commands, and their numbers: by a part of the address.
    known: [(usize, u32); KNOWN],
    /// Commands that are still to be counted.
    executed: Batch,
    /// The reading at the last border between two requests.
    pub(super) border: u64,
    /// The reading when the batch at hand began.
    began: u64,
    /// Nanoseconds of each request's share in decoding the batch.
    share: u64,
    /// The command that was executed last, to be taken by whoever marks its reply.
    last: Option<u32>,
    /// Requests that it has executed: it is `EXEC`.
    within: Vec<u32>,
}

impl Timing {
    pub(super) fn new(clock: Clock, limits: &Limits) -> Self {
        let mut timing = Self {
            clock,
            keeps: false,
            reads: false,
            slow_ns: u64::MAX,
            known: [(0, 0); KNOWN],
            executed: Batch::new(),
            border: 0,
            began: 0,
            share: 0,
            last: None,
            within: Vec::new(),
        };
        timing.obey(limits);
        timing
    }

    /// Goes by new directives. What was executed before is counted.
    pub(super) fn obey(&mut self, limits: &Limits) {
        self.keeps = limits.tracks_latency;
        self.slow_ns = limits.slow_ns();
        self.reads = self.keeps || self.slow_ns < u64::MAX;
    }

    #[inline]
    fn read(&self) -> u64 {
        if self.reads { self.clock.ticks() } else { 0 }
    }

    /// A batch is decoded next, or a part of a request that streams.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.began = self.read();
        self.border = self.began;
        self.share = 0;
    }

    /// The batch is decoded and has so many requests.
    #[inline]
    pub(super) fn decoded(&mut self, requests: usize) {
        // What decoding took goes to the one request otherwise.
        if requests > 1 {
            self.border = self.read();
            self.share = self.clock.nanos_between(self.began, self.border) / requests as u64;
        }
    }

    /// A request is over that began at the border `from`. Nanoseconds that it took, its share in decoding besides.
    #[inline]
    pub(super) fn lap(&mut self, from: u64) -> u64 {
        self.border = self.read();
        self.clock.nanos_between(from, self.border)
    }

    /// The request at hand is over, as above.
    #[inline]
    pub(super) fn lap_all(&mut self, from: u64) -> u64 {
        self.lap(from) + self.share
    }

    /// Whether a request that took so long is slow.
    #[inline]
    pub(super) fn is_slow(&self, nanos: u64) -> bool {
        nanos >= self.slow_ns
    }

    /// A command was executed, and took so long.
    #[inline]
    pub(super) fn served(&mut self, meters: &Meters, command: &'static Command, nanos: u64, failed: bool) {
        self.last = Some(self.count(meters, command, nanos, failed));
    }

    #[inline]
    fn count(&mut self, meters: &Meters, command: &'static Command, nanos: u64, failed: bool) -> u32 {
        let number = self.number(command);
        self.executed.add(meters, number, self.reads.then_some(nanos), failed, self.keeps);
        number
    }

    /// Counts what was executed: before its replies leave, and before anything counted is shown.
    pub(super) fn settle(&mut self, meters: &Meters) {
        self.executed.count(meters, self.keeps);
    }

    /// A command was refused.
    pub(super) fn rejected(&mut self, meters: &Meters, command: &'static Command) {
        meter(meters, self.number(command)).rejected();
    }

    /// A request of a transaction was executed, since the last border. Nanoseconds that it took.
    pub(super) fn served_within(&mut self, meters: &Meters, command: &'static Command, failed: bool) -> u64 {
        let nanos = self.lap(self.border);
        let number = self.count(meters, command, nanos, failed);
        self.within.push(number);
        nanos
    }

    /// What the reply to the command that was executed last is marked with, and when its request came; `None`: none was, or
    /// that is not wanted.
    #[inline]
    pub(super) fn take_mark(&mut self) -> Option<(u32, u64)> {
        let last = self.last.take()?;
        self.keeps.then_some((last, self.began))
    }

    /// Likewise the requests that it has executed.
    #[inline]
    pub(super) fn take_within(&mut self) -> impl Iterator<Item = u32> {
        self.within.drain(..)
    }

    /// Replies that are marked so were handed to the kernel. `now` is read for the first of them.
    #[inline]
    pub(super) fn replied(&self, meters: &Meters, mark: &Mark, now: &mut Option<u64>) {
        let now = *now.get_or_insert_with(|| self.clock.ticks());
        meter(meters, mark.kind).replied(self.clock.nanos_between(mark.since, now), u64::from(mark.times));
    }

    /// The number of a command.
    #[inline]
    fn number(&mut self, command: &'static Command) -> u32 {
        let address = std::ptr::from_ref(command).addr();
        // Commands are some hundred bytes long and stand one behind the other, family by family.
        let known = &mut self.known[(address >> 6 ^ address >> 10) % KNOWN];
        if known.0 != address {
            let number = u32::try_from(lookup::number_of(command)).expect("there are some hundred");
            *known = (address, number);
        }
        known.1
    }
}

impl Scene<'_> {
    /// A part of a request was executed. The last one counts for all of them. Nanoseconds that this one took.
    pub(super) fn part_done(
        &mut self,
        command: &'static Command,
        parts: &mut Parts,
        border: u64,
        last: bool,
    ) -> u64 {
        if parts.done == 1 {
            parts.since = self.timing.began;
        }
        let nanos = self.timing.lap_all(border);
        parts.nanos += nanos;
        if last {
            self.timing.served(&self.shared.posts[self.id].meters, command, parts.nanos, parts.failed);
        }
        nanos
    }
}

#[inline]
fn meter(meters: &Meters, number: u32) -> &Meter {
    meters.of(number as usize)
}
