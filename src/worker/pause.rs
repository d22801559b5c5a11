//! `CLIENT PAUSE`: the state that all workers share, and what it does to a connection. A request that has to wait stays
//! undecoded, and all behind it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Token, Worker};
use crate::command::operate::tell_synced;
use crate::command::session::Session;
use crate::command::{Awaited, Command, Flags};
use crate::table::effect::Lsn;

/// A pause, or none.
#[derive(Debug, Default)]
pub struct Pause {
    /// Monotonic milliseconds at which it ends, times two, and one more where reading requests wait too; 0 = none.
    state: AtomicU64,
}

impl Pause {
    /// Begins one, or makes the one under way longer and stricter.
    pub(super) fn begin(&self, now_ms: u64, ms: u64, all: bool) {
        let until = now_ms.saturating_add(ms).min(u64::MAX >> 1);
        let extend = |state: u64| {
            let state = if state >> 1 > now_ms { state } else { 0 };
            Some((state >> 1).max(until) << 1 | state & 1 | u64::from(all))
        };
        // AcqRel: pairs with the Acquire in `over_in`; whoever was told of the pause sees it.
        let _always = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, extend);
    }

    /// Ends it.
    pub(super) fn end(&self) {
        // Release: pairs with the Acquire in `over_in`.
        self.state.store(0, Ordering::Release);
    }

    /// Whether there may be one: what every request asks.
    #[inline]
    pub(super) fn is_set(&self) -> bool {
        // Relaxed: a connection that was answered after the pause began has seen it by then.
        self.state.load(Ordering::Relaxed) != 0
    }

    /// Milliseconds until it is over, 0 where there is none.
    pub(super) fn over_in(&self, now_ms: u64) -> u64 {
        (self.state.load(Ordering::Acquire) >> 1).saturating_sub(now_ms)
    }

    /// Whether a request has to wait.
    #[cold]
    pub(super) fn holds_back(&self, command: &Command, session: &Session, now_ms: u64) -> bool {
        let state = self.state.load(Ordering::Acquire);
        state >> 1 > now_ms && (state & 1 == 1 || session.writes(command) || command.flags.has(Flags::WRITE))
    }
}

/// A connection whose reply comes later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Monotonic milliseconds at which it comes at the latest.
    pub(super) until: u64,
    pub(super) token: Token,
    pub(super) awaited: Awaited,
    /// Position that has to be synced, where that is awaited.
    pub(super) lsn: Lsn,
}

impl Worker {
    /// A connection's next request waits for the end of the pause.
    pub(super) fn pause(&mut self, token: Token) {
        if let Some(connection) = self.get(token) {
            connection.paused = true;
            self.paused.push_back(token);
        }
    }

    /// Goes on with paused connections once the pause is over; while the server drains there is none.
    pub(super) fn check_paused(&mut self) {
        if self.paused.is_empty() || !self.draining && self.shared.pause.over_in(self.now_ms) > 0 {
            return;
        }
        for _ in 0..self.paused.len() {
            let Some(token) = self.paused.pop_front() else { break };
            if let Some(connection) = self.get(token) {
                connection.paused = false;
                self.resume(token);
            }
        }
    }

    /// Replies to those for whom it is there what they waited for, and to those whose time is over.
    pub(super) fn check_waiting(&mut self) {
        let durable = self.shared.journal().map_or(0, |journal| journal.ring.durable());
        let mut at = 0;
        while at < self.waiting.len() {
            let Waiting { until, token, awaited, lsn } = self.waiting[at];
            let (now_ms, draining) = (self.now_ms, self.draining);
            let there = awaited == Awaited::Journal && durable >= lsn;
            // Who is gone cannot be told after a while, and the server does not wait to end.
            if !there
                && self.get(token).is_some_and(|connection| !connection.eof && !draining && until > now_ms)
            {
                at += 1;
                continue;
            }
            self.waiting.swap_remove(at);
            if let Some(connection) = self.get(token) {
                connection.pending = false;
                self.conclude_pending(token, |reply| match awaited {
                    Awaited::Replicas => reply.integer(0),
                    Awaited::Journal | Awaited::JournalAndReplicas => tell_synced(reply, durable >= lsn),
                });
                self.resume(token);
            }
        }
    }
}
