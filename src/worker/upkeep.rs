//! What the table needs beside commands: keys whose deadline has passed go, a little in each turn, and where memory is
//! bounded keys go to make room.

use super::Worker;
use super::execute::Scene;
use super::scribe::Changes;
use crate::command::Now;
use crate::limits;
use crate::metrics::events::Event;
use crate::table::Moment;

/// How the removal of keys whose deadline has passed shares a worker's time with requests.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Commands executed when this was looked at last.
    commands: u64,
    /// Monotonic microseconds until which it counts as busy.
    busy_until_us: u64,
    /// Until then nothing is removed, if it is busy.
    pause_until_us: u64,
    /// What was said last.
    pauses: bool,
}

impl Pace {
    /// Whether removals wait for their share, by the number of commands executed so far.
    fn pauses(&mut self, commands: u64, now_us: u64) -> bool {
        if commands != self.commands {
            self.commands = commands;
            self.busy_until_us = now_us + limits::EXPIRY_BUSY_US;
        }
        self.pauses = now_us < self.busy_until_us.min(self.pause_until_us);
        self.pauses
    }

    /// Some were removed, which took so long. What took very long was interrupted.
    fn removed(&mut self, now_us: u64, took_us: u64) {
        self.pause_until_us = now_us + took_us.min(limits::EXPIRY_BUSY_US) * (limits::EXPIRY_SHARE - 1);
    }
}

impl Worker {
    /// Does a turn's share of what the table has to do by now.
    pub(super) fn check_table(&mut self) {
        let table = &self.shared.table;
        let next = table.next_task();
        if next == u64::MAX && !self.sweeping || self.now_ms < self.sweep_at_ms {
            return;
        }
        let now_ms = self.clock.unix_us() / 1000;
        if next <= now_ms || self.sweeping {
            if self.sweep_pace.pauses(self.counts.commands, self.clock.monotonic_us()) {
                self.sweeping = true;
                return;
            }
            let ring = self.shared.ring();
            self.desk.begin_removals();
            if self.shared.is_loading() || ring.is_some_and(|ring| !self.desk.prepare_removals(ring)) {
                // They go when there is space for saying so. Until then they read as absent.
                self.sweeping = false;
                self.sweep_at_ms = self.now_ms + limits::EXPIRY_STEP_MS;
                return;
            }
            let effects = &mut Changes { count: &mut self.counts.changes, desk: &mut self.desk, ring };
            let began_us = self.clock.monotonic_us();
            self.sweeping =
                table.expire(&mut self.sweep, limits::EXPIRED_PER_TURN, &mut Moment { now_ms, effects });
            let ended_us = self.clock.monotonic_us();
            let took_us = ended_us - began_us;
            self.sweep_pace.removed(ended_us, took_us);
            self.shared.watch.took(Event::ExpireCycle, took_us, now_ms * 1000);
            self.counts.expiry_capped += u64::from(self.sweeping);
            // A long one: as much as it takes is asked for in the next turn.
            self.sweeping |= self.desk.kept_key();
        }
    }

    /// How long the table can wait; `None`: for ever.
    pub(super) fn table_wait_ms(&self) -> Option<u64> {
        if self.sweeping {
            // Who is busy is woken by requests; who is not any more goes on without a pause.
            return Some(u64::from(self.sweep_pace.pauses));
        }
        let next = self.shared.table.next_task();
        if next == u64::MAX {
            return None;
        }
        if self.now_ms < self.sweep_at_ms {
            return Some(self.sweep_at_ms - self.now_ms);
        }
        let now_ms = self.clock.unix_us() / 1000;
        // Rounded up by one: a deadline that has not quite passed when we look costs another turn.
        Some((next.saturating_sub(now_ms) + 1).min(limits::EXPIRY_STEP_MS))
    }
}

impl Scene<'_> {
    /// Whether a command that may need memory may not run since `maxmemory` is reached. Keys that may go for any command
    /// go first, as in Redis.
    #[inline]
    pub(super) fn lacks_memory(&mut self, needs: bool, now: Now) -> bool {
        self.limits.max_memory > 0 && !self.has_memory(now) && needs
    }

    /// Whether the table is within `maxmemory`, after keys that may go for it have gone.
    fn has_memory(&mut self, now: Now) -> bool {
        self.is_within_memory() || {
            let began_us = self.timing.clock.monotonic_us();
            let has_room = self.make_room(now);
            let took_us = self.timing.clock.monotonic_us() - began_us;
            self.shared.watch.took(Event::EvictionCycle, took_us, now.unix_us);
            has_room
        }
    }

    fn is_within_memory(&self) -> bool {
        let used = self.shared.identity.startup_bytes + self.shared.table.heap_bytes() as u64;
        used <= self.limits.max_memory as u64
    }

    #[cold]
    fn make_room(&mut self, now: Now) -> bool {
        let table = &self.shared.table;
        for _ in 0..limits::EVICTED_PER_COMMAND {
            if !self.limits.evicts || self.ring.is_some_and(|ring| !self.desk.prepare_removals(ring)) {
                return false;
            }
            let (count, ring) = (&mut self.counts.changes, self.ring);
            let evicted = self.desk.removing(|desk| {
                let effects = &mut Changes { count, desk, ring };
                table.evict(&mut Moment { now_ms: now.ms(), effects })
            });
            if !evicted {
                return false;
            }
            if self.is_within_memory() {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn removals_take_a_quarter_of_a_busy_worker() {
        let mut pace = Pace::default();
        let (mut now_us, mut spent_us, mut commands) = (1_000_000, 0, 0);
        while now_us < 2_000_000 {
            commands += 1;
            if !pace.pauses(commands, now_us) {
                now_us += 20;
                spent_us += 20;
                pace.removed(now_us, 20);
            }
            now_us += 5;
        }
        assert!((200_000..260_000).contains(&spent_us), "{spent_us}");
    }

    #[test]
    fn an_idle_worker_removes_without_a_pause() {
        let mut pace = Pace::default();
        assert!(!pace.pauses(7, 100));
        pace.removed(1100, 1000);
        assert!(pace.pauses(8, 1100), "a command came meanwhile");
        assert!(pace.pauses(8, 2099));
        assert!(!pace.pauses(8, 2100), "none came any more");
    }

    #[test]
    fn interruptions_are_not_waited_for_three_times() {
        let mut pace = Pace::default();
        assert!(!pace.pauses(0, 0));
        pace.removed(500_000, 500_000);
        assert!(pace.pauses(1, 502_999));
        assert!(!pace.pauses(2, 503_000));
    }
}
