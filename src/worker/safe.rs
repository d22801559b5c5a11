//! What waits for the journal: requests for space in it, replies until what they show is safe.

use super::{Token, Worker};
use crate::command::Awaited;
use crate::table::effect::Lsn;

impl Worker {
    /// Goes on with requests that were waiting for space in the journal, as long as there is some: each in its turn, so that
    /// none that needs much waits for those that need little.
    pub(super) fn check_unwritten(&mut self) {
        for _ in 0..self.unwritten.len() {
            let Some(token) = self.unwritten.pop_front() else { return };
            // It came to nothing: the next time it is the first again.
            if !self.try_first(token) && self.unwritten.back() == Some(&token) {
                self.unwritten.rotate_right(1);
                return;
            }
        }
    }

    /// The same for those that were waiting for longer files.
    pub(super) fn check_unfiled(&mut self) {
        for _ in 0..self.unfiled.len() {
            let Some(ring) = self.shared.ring() else { return };
            if self.desk.waits_beside(ring) && self.unfiled.front().is_some_and(|first| self.is_open(*first))
            {
                return;
            }
            let Some(token) = self.unfiled.pop_front() else { return };
            if !self.is_open(token) {
                self.desk.withdraw(ring);
            } else if !self.try_first(token) && self.unfiled.back() == Some(&token) {
                self.unfiled.rotate_right(1);
                return;
            }
        }
    }

    /// Goes on with the first of those that wait for space. False: nothing was executed.
    fn try_first(&mut self, token: Token) -> bool {
        let commands = self.counts.commands;
        let Some(connection) = self.get(token) else { return true };
        connection.throttled = false;
        self.first_in_line = true;
        self.resume(token);
        self.first_in_line = false;
        self.counts.commands != commands
    }

    /// Whether a token still names a connection.
    fn is_open(&self, token: Token) -> bool {
        self.connections.get(token.slot as usize).is_some_and(|it| it.generation == token.generation)
    }

    /// Goes on with replies that were waiting until what they show is safe, if more is safe now.
    pub(super) fn check_safe(&mut self) {
        if self.unsafe_replies.is_empty() {
            return;
        }
        let reached = self.shared.reached(self.limits.sync);
        if reached <= self.waiting_for {
            return;
        }
        self.waiting_for = Lsn::MAX;
        for token in std::mem::take(&mut self.unsafe_replies) {
            if let Some(connection) = self.get(token) {
                connection.is_unsafe = false;
                self.list(token);
            }
        }
    }

    /// Wakes the journal thread, if it has to do something for this worker or for space. True: replies that were waiting
    /// need not wait any more.
    pub(super) fn call_the_journal(&mut self) -> bool {
        let Some(journal) = self.shared.journal() else { return false };
        let for_sync = self.waiting.iter().any(|it| it.awaited == Awaited::Journal);
        let waits = !self.unsafe_replies.is_empty();
        if waits || for_sync {
            self.shared.posts[self.id].expect();
        }
        journal.call(waits || !self.unfiled.is_empty());
        // Looked at after the post says that it waits: either this sees what was published, or the publisher sees that.
        let durable = journal.ring.durable();
        waits && self.shared.reached(self.limits.sync) > self.waiting_for
            || for_sync && self.waiting.iter().any(|it| it.awaited == Awaited::Journal && durable >= it.lsn)
    }
}
