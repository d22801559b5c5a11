//! Syncing the journal beside the thread that writes it, and how long writes and syncs take.

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use crate::clock::Clock;
use crate::journal::disk::{Failure, RealDisk};
use crate::journal::ring::Ring;
use crate::journal::writer::{Flush, Flushed, Progress, Writer};
use crate::metrics::events::Event;
use crate::worker::Watch;

/// A thread that syncs while the journal's thread goes on writing.
pub(super) struct Syncer {
    give: SyncSender<Flush<RealDisk>>,
    /// What came of it, and how many microseconds it took.
    take: Receiver<(Flushed, u64)>,
    /// It has one to do.
    pub(super) busy: bool,
    /// When it was given one last.
    pub(super) began_ms: u64,
    /// The next one is due, and waits for that one.
    delays: bool,
}

impl Syncer {
    /// Starts the thread; it wakes the one that calls this, and ends with this value.
    pub(super) fn start(clock: Clock) -> std::io::Result<Self> {
        let (give, given) = sync_channel::<Flush<RealDisk>>(1);
        let (done, take) = channel();
        let caller = thread::current();
        let body = move || {
            for flush in given {
                let began_us = clock.monotonic_us();
                let flushed = flush.run();
                // Nobody waits for it only if the process ends.
                let _ = done.send((flushed, clock.monotonic_us() - began_us));
                caller.unpark();
            }
        };
        thread::Builder::new().name("journal-sync".to_owned()).spawn(body)?;
        Ok(Self { give, take, busy: false, began_ms: 0, delays: false })
    }

    /// Publishes what was synced. True: something was.
    pub(super) fn finish(
        &mut self,
        writer: &mut Writer<RealDisk>,
        (gauge, ring): (&Gauge<'_>, &Ring),
        now_ms: u64,
        wait: bool,
    ) -> Result<bool, Failure> {
        if !self.busy {
            return Ok(false);
        }
        let done = if wait { self.take.recv().ok() } else { self.take.try_recv().ok() };
        let Some((flushed, took_us)) = done else { return Ok(false) };
        self.busy = false;
        writer.finish_flush(ring, now_ms, flushed)?;
        gauge.synced(took_us);
        gauge.watch.journal.set_syncing(false);
        gauge.watch.journal.lags_since(self.began_ms);
        Ok(true)
    }

    /// Begins to sync what is written, if it is not done and not under way.
    pub(super) fn begin(&mut self, writer: &mut Writer<RealDisk>, gauge: &Gauge<'_>, now_ms: u64) {
        if self.busy {
            // Counted once, however often it is asked for.
            if !std::mem::replace(&mut self.delays, true) {
                gauge.watch.journal.delayed();
            }
        } else if let Some(flush) = writer.start_flush() {
            (self.began_ms, self.delays) = (now_ms, false);
            gauge.watch.journal.set_syncing(true);
            self.busy = self.give.try_send(flush).is_ok();
            assert!(self.busy, "it has nothing to do, and does not end before this value");
        }
    }
}

/// Takes the time of what the journal's thread does.
pub(super) struct Gauge<'a> {
    pub(super) watch: &'a Watch,
    pub(super) clock: &'a Clock,
}

impl Gauge<'_> {
    /// A sync took so long, until now.
    fn synced(&self, took_us: u64) {
        self.watch.journal.synced(took_us);
        self.watch.took(Event::AofFsync, took_us, self.clock.unix_us());
    }

    /// A step of the writer, which may write and sync.
    pub(super) fn step(
        &self,
        writer: &mut Writer<RealDisk>,
        ring: &Ring,
        now_ms: u64,
    ) -> Result<Progress, Failure> {
        let (lags, tail) = (|| ring.durable() < ring.tail(), ring.tail());
        self.watch.journal.begin_step(lags(), now_ms);
        let began_us = self.clock.monotonic_us();
        let progress = writer.step(ring, now_ms, false)?;
        let took_us = self.clock.monotonic_us() - began_us;
        if progress.synced {
            self.synced(took_us);
        } else {
            // Frames, what says that they are durable, or a piece of the next file.
            self.watch.took(Event::AofWrite, took_us, self.clock.unix_us());
        }
        self.watch.journal.end_step(lags(), now_ms);
        if ring.durable() >= tail {
            self.watch.journal.lags_since(now_ms);
        }
        Ok(progress)
    }
}
