//! What the table needs beside commands: keys whose deadline has passed go, a little in each turn, and where memory is
//! bounded keys go to make room.

use super::Worker;
use super::execute::{Changes, Scene};
use crate::command::Now;
use crate::limits;
use crate::table::Moment;

impl Worker {
    /// Does a turn's share of what the table has to do by now.
    pub(super) fn check_table(&mut self) {
        let table = &self.shared.table;
        let next = table.next_task();
        if next == u64::MAX && !self.sweeping {
            return;
        }
        let now_ms = self.clock.unix_us() / 1000;
        if next <= now_ms || self.sweeping {
            let at = &mut Moment { now_ms, effects: &mut Changes(&mut self.counts.changes) };
            self.sweeping = table.expire(&mut self.sweep, limits::EXPIRED_PER_TURN, at);
        }
    }

    /// How long the table can wait; `None`: for ever.
    pub(super) fn table_wait_ms(&self) -> Option<u64> {
        if self.sweeping {
            return Some(0);
        }
        let next = self.shared.table.next_task();
        if next == u64::MAX {
            return None;
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
        let table = &self.shared.table;
        let most = self.limits.max_memory as u64;
        let within = || self.shared.identity.startup_bytes + table.heap_bytes() as u64 <= most;
        for _ in 0..limits::EVICTED_PER_COMMAND {
            if within() {
                return true;
            }
            let at = &mut Moment { now_ms: now.ms(), effects: &mut Changes(&mut self.counts.changes) };
            if !self.limits.evicts || !table.evict(at) {
                return false;
            }
        }
        within()
    }
}
