//! What time does to connections: those that wait for their client, that linger, that are idle, that are to end.

use std::time::Duration;

use super::{Worker, token_of};
use crate::connection::Phase;
use crate::limits;

/// Milliseconds between two looks for idle connections.
pub(super) const IDLE_STEP_MS: u64 = 100;

/// Milliseconds between two looks for connections that have fallen silent while the server drains.
pub(super) const DRAIN_STEP_MS: u64 = 10;

impl Worker {
    /// How long the engine may wait for the next event, `None` = for ever. `at_once`: there is something to do already.
    pub(super) fn longest_wait(&mut self, at_once: bool) -> Option<Duration> {
        let mut wait = None;
        let mut at_most = |ms: u64| wait = Some(wait.map_or(ms, |other: u64| other.min(ms)));
        if !self.throttled.is_empty() || at_once {
            at_most(0);
        }
        let lines_wait = !self.unwritten.is_empty() || !self.unfiled.is_empty();
        if !self.outbox.is_empty() || lines_wait || self.monitoring.waits() {
            at_most(1);
        }
        if let Some(ms) = self.table_wait_ms() {
            at_most(ms);
        }
        if !self.stalled.is_empty() {
            at_most(limits::UNSENT_PATIENCE_MS);
        }
        if !self.paused.is_empty() {
            at_most(self.shared.pause.over_in(self.now_ms));
        }
        if let Some(until) = self.waiting.iter().map(|it| it.until).min().filter(|it| *it < u64::MAX) {
            at_most(until.saturating_sub(self.now_ms));
        }
        if let Some((until, _)) = self.lingering.front() {
            at_most(until.saturating_sub(self.now_ms) + 1);
        }
        // Those that are known or gone meanwhile are not waited for.
        while let Some(&(until, token)) = self.strangers.front() {
            if self.get(token).is_some_and(|connection| connection.is_stranger()) {
                at_most(until.saturating_sub(self.now_ms));
                break;
            }
            self.strangers.pop_front();
        }
        if self.takes_too_much() {
            at_most(1);
        }
        if let Some((until, _)) = self.slowed.front() {
            at_most(until.saturating_sub(self.now_ms));
        }
        if self.limits.idle_seconds > 0 && !self.connections.is_empty() {
            at_most(IDLE_STEP_MS);
        }
        if self.draining {
            at_most(DRAIN_STEP_MS);
        }
        wait.map(Duration::from_millis)
    }

    /// Goes on with stalled connections whose replies have left meanwhile, or whose client has not taken a byte
    /// for so long that it may be one that writes everything before it reads.
    pub(super) fn check_stalled(&mut self) {
        for _ in 0..self.stalled.len() {
            let Some(token) = self.stalled.pop_front() else { break };
            let now_ms = self.now_ms;
            let Some(connection) = self.get(token) else { continue };
            if !connection.stalled {
                continue;
            }
            if now_ms.saturating_sub(connection.left_ms) >= limits::UNSENT_PATIENCE_MS {
                // Still stalled, so that the next byte that leaves ends the indulgence; listed again by then.
                connection.stalled = false;
                connection.overrun = true;
                self.resume(token);
            } else {
                self.stalled.push_back(token);
            }
        }
    }

    pub(super) fn check_lingering(&mut self) {
        while let Some(&(until, token)) = self.lingering.front()
            && until <= self.now_ms
        {
            self.lingering.pop_front();
            if let Some(connection) = self.get(token) {
                connection.phase = Phase::Closing;
                self.list(token);
            }
        }
    }

    /// Looks at a tenth of the slots, ten times a second, for connections that were idle for too long.
    pub(super) fn check_idle(&mut self) {
        let idle_ms = self.limits.idle_seconds * 1000;
        if idle_ms == 0 || self.now_ms < self.idle_due_ms {
            return;
        }
        self.idle_due_ms = self.now_ms + IDLE_STEP_MS;
        for _ in 0..self.slots / 10 + 1 {
            self.idle_at = if self.idle_at + 1 < self.slots { self.idle_at + 1 } else { 0 };
            let now_ms = self.now_ms;
            if let Some(connection) = self.connections.get_mut(self.idle_at)
                && !connection.session.monitors
                && now_ms.saturating_sub(connection.client.active_ms) >= idle_ms
            {
                let client = connection.session.id;
                log::debug!(client; "closing idle client id={client}");
                self.counts.idle += 1;
                connection.phase = Phase::Closing;
                let token = token_of(self.idle_at, connection);
                self.list(token);
            }
        }
    }

    /// The server is to end: serves what clients are sending, and nothing they begin from now on.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        self.drain_began_ms = self.now_ms;
        self.drain_due_ms = self.now_ms;
        self.check_drain();
    }

    /// Shuts receiving on connections that are silent: of a client in the midst of sending, more is under way than
    /// the socket has. One that never stops is cut off after a while.
    pub(super) fn check_drain(&mut self) {
        if !self.draining || self.now_ms < self.drain_due_ms {
            return;
        }
        self.drain_due_ms = self.now_ms + DRAIN_STEP_MS;
        let over = self.now_ms >= self.drain_began_ms + limits::DRAIN_TALK_MS;
        for (_, connection) in &mut self.connections {
            let silent_ms = self.now_ms.saturating_sub(connection.client.active_ms);
            connection.draining |= over || silent_ms >= limits::DRAIN_SILENCE_MS;
        }
        self.list_all();
    }
}
