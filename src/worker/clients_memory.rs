//! What connections take, where that is bounded (`maxmemory-clients`): above the bound those go that take the most.
//!
//! A connection is looked at when its engine asks what it wants, which is behind everything that happens to it. Its share of
//! the worker's sum is what it took then, so that a look costs a subtraction and an addition. Who wins is between the
//! workers: the one whose connections take most ends some.

use std::sync::atomic::Ordering;

use super::{Message, Token, Worker, token_of};
use crate::connection::{Connection, Phase};

/// Bytes of a connection: itself, what it has not been served of, what it has queued, and its unsent replies.
fn bytes_of(connection: &Connection) -> usize {
    let queued = connection.session.queue().map_or(0, |queue| queue.memory());
    size_of::<Connection>() + connection.input.memory() + queued + connection.unsent()
}

impl Worker {
    /// Takes account of a connection anew.
    #[inline]
    pub(super) fn account(&mut self, token: Token) {
        if self.limits.clients_memory > 0 {
            self.account_for(token);
        }
    }

    fn account_for(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(token.slot as usize) else { return };
        if connection.phase == Phase::Closing {
            // What it takes is as good as free.
            return;
        }
        let bytes = bytes_of(connection);
        self.clients_bytes = self.clients_bytes - connection.accounted + bytes;
        connection.accounted = bytes;
    }

    /// A connection is gone.
    pub(super) fn discount(&mut self, connection: &Connection) {
        self.clients_bytes -= connection.accounted;
    }

    /// The bound may be a new one: takes account of all connections, or of none any more.
    pub(super) fn account_for_all(&mut self) {
        let bounded = self.limits.clients_memory > 0;
        self.clients_bytes = 0;
        for (_, connection) in &mut self.connections {
            connection.accounted = if bounded { bytes_of(connection) } else { 0 };
            self.clients_bytes += connection.accounted;
        }
        self.publish_clients();
    }

    fn publish_clients(&self) {
        // Relaxed: for display, and to be compared.
        self.shared.posts[self.id].clients_bytes.store(self.clients_bytes, Ordering::Relaxed);
    }

    /// Whether the next turn has connections to end, here or at another worker.
    pub(super) fn takes_too_much(&self) -> bool {
        self.limits.clients_memory > 0 && {
            self.publish_clients();
            self.shared.clients_bytes() > self.limits.clients_memory
        }
    }

    /// Ends connections while all of them together take more than they may. Those that wish not to be ended are not, and
    /// whoever ends already is not looked at again.
    pub(super) fn bound_clients(&mut self) {
        let most = self.limits.clients_memory;
        if most == 0 {
            return;
        }
        self.publish_clients();
        // Relaxed: each worker's sum is its own, and one that is a turn old is a turn late.
        let sums = || self.shared.posts.iter().map(|post| post.clients_bytes.load(Ordering::Relaxed));
        let mut all = self.shared.clients_bytes();
        if all <= most {
            return;
        }
        let largest = sums().enumerate().max_by_key(|(_, bytes)| *bytes).map_or(self.id, |(id, _)| id);
        if largest != self.id {
            // It may be asleep.
            self.post(largest, Message::Watched);
            return;
        }
        while all > most
            && let Some(token) = self.largest()
        {
            let connection = self.get(token).expect("it was found a moment ago");
            let (client, bytes) = (connection.session.id, connection.accounted);
            log::warn!(
                client, bytes, limit = most;
                "closing client id={client}: it takes {bytes} bytes, and all clients take more than maxmemory-clients \
                 ({most} bytes)"
            );
            connection.phase = Phase::Closing;
            connection.accounted = 0;
            self.clients_bytes -= bytes;
            all -= bytes;
            self.counts.evicted_clients += 1;
            self.list(token);
        }
    }

    fn largest(&self) -> Option<Token> {
        let candidates = self.connections.iter().filter(|(_, connection)| {
            !connection.session.no_evict && connection.phase != Phase::Closing && connection.accounted > 0
        });
        let (slot, connection) = candidates.max_by_key(|(_, connection)| connection.accounted)?;
        Some(token_of(slot, connection))
    }
}
