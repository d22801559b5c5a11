//! Bytes of connections: those that arrive, the end of them, and those that leave.

use super::{Token, Unsent, Worker};
use crate::buffer::outgoing::Mark;
use crate::connection::Phase;

impl Worker {
    /// Bytes arrived. They are the engine's block, ours until this returns.
    pub fn handle_bytes(&mut self, token: Token, bytes: &mut [u8]) {
        self.counts.bytes_in += bytes.len() as u64;
        match self.get(token) {
            None => {}
            Some(connection) if connection.tls.is_none() => self.take_in(token, bytes),
            Some(_) => self.decrypt(token, bytes),
        }
    }

    /// Works off bytes of requests, as far as they may be executed, and keeps the rest.
    pub(super) fn take_in(&mut self, token: Token, bytes: &mut [u8]) {
        let now_ms = self.now_ms;
        let Some(connection) = self.get(token) else { return };
        match connection.phase {
            Phase::Open => {}
            Phase::Finishing | Phase::Lingering => {
                connection.drained =
                    connection.drained.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                return self.settle(token);
            }
            Phase::Closing => return,
        }
        connection.client.active_ms = now_ms;
        if connection.input.is_empty() && connection.runnable() {
            let used = self.execute(token, bytes);
            self.keep(token, &bytes[used..]);
        } else {
            self.keep(token, bytes);
            self.resume(token);
        }
        if self.begin_stream(token.slot as usize) {
            self.resume(token);
        }
        self.bound_stranger(token);
        self.settle(token);
    }

    /// The client has sent its last byte; it may still read.
    pub fn handle_end(&mut self, token: Token) {
        if let Some(connection) = self.get(token) {
            connection.eof = true;
            self.check_waiting();
            self.check_saved();
            self.settle(token);
        }
    }

    /// The connection is broken: nothing can be received or sent any more.
    pub fn handle_broken(&mut self, token: Token) {
        if let Some(connection) = self.get(token) {
            connection.eof = true;
            connection.phase = Phase::Closing;
            self.list(token);
        }
    }

    /// A send is over, `bytes` have left (0 = it failed or was cancelled; the engine then says so).
    pub fn handle_sent(&mut self, token: Token, bytes: usize) {
        self.counts.bytes_out += bytes as u64;
        self.counts.sends += 1;
        let (now_ms, slot) = (self.now_ms, token.slot as usize);
        let Some(connection) = self.connections.get_mut(slot).filter(|it| it.generation == token.generation)
        else {
            return;
        };
        connection.sent(bytes, now_ms, &mut self.pool);
        if connection.phase == Phase::Open
            && !connection.eof
            && !connection.stalled
            && connection.unsent() == 0
        {
            // The usual: everything has left, and nothing new is wanted.
            return;
        }
        if connection.stalled && connection.unsent() <= connection.soft_mark() {
            // Its entry on the list of stalled connections is dropped when it is come across.
            connection.stalled = false;
            self.resume(token);
        }
        self.settle(token);
    }

    /// The next bytes to send on a connection. They stay where they are until [`Worker::handle_sent`].
    pub fn start_send(&mut self, token: Token) -> Option<Unsent<'_>> {
        let slot = token.slot as usize;
        let connection = self.connections.get(slot).filter(|it| it.generation == token.generation)?;
        // A monitor is shown lines when nothing else wakes the engine.
        let busy = connection.phase != Phase::Open
            || connection.eof
            || connection.stalled
            || connection.session.monitors;
        if connection.tls.is_some() {
            return self.start_send_encrypted(slot, busy);
        }
        let connection = &mut self.connections[slot];
        let unsent = connection.unsent();
        let (timing, meters, mut now) = (&self.timing, &self.shared.posts[self.id].meters, None);
        let mut told = |mark: Mark| timing.replied(meters, &mark, &mut now);
        let bytes = connection.outgoing.as_mut()?.start_send(&mut self.pool, &mut told)?;
        Some(Unsent { bytes, last: !busy && bytes.len() == unsent })
    }
}
