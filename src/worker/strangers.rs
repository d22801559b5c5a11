//! Connections that have not authenticated where a password is set, or whose TLS handshake is not done: how much they may say,
//! how much they are told, and for how long.

use super::{Token, Worker};
use crate::connection::Phase;
use crate::limits;

impl Worker {
    /// A connection was opened that has to authenticate in time.
    pub(super) fn expect_password(&mut self, token: Token) {
        self.strangers.push_back((self.now_ms + limits::UNAUTHENTICATED_MS, token));
    }

    /// Closes connections that have not authenticated in time.
    pub(super) fn check_strangers(&mut self) {
        while let Some(&(until, token)) = self.strangers.front()
            && until <= self.now_ms
        {
            self.strangers.pop_front();
            if let Some(connection) = self.get(token).filter(|it| it.is_stranger()) {
                if connection.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
                    self.give_up_handshake(token);
                    continue;
                }
                let client = connection.session.id;
                log::debug!(client; "closing client id={client}: it has not authenticated in time");
                connection.phase = Phase::Closing;
                self.counts.unauthenticated_times += 1;
                self.list(token);
            }
        }
    }

    /// Ends a connection that has not authenticated and asks or is told too much, after its bytes were worked off.
    pub(super) fn bound_stranger(&mut self, token: Token) {
        let Some(connection) = self.get(token).filter(|it| !it.session.authenticated) else { return };
        // Where it is not runnable, what waits are requests: its guess has to wait for its turn.
        let most = if connection.runnable() {
            limits::UNAUTHENTICATED_REQUEST
        } else {
            limits::UNAUTHENTICATED_WAITING
        };
        let long = connection.input.len() > most;
        let id = connection.session.id;
        if connection.unsent() > limits::UNAUTHENTICATED_UNSENT {
            connection.phase = Phase::Closing;
            self.counts.unauthenticated_sizes += 1;
            log::warn!("closing client id={id}: it takes no replies and has not authenticated");
        } else if long {
            self.counts.unauthenticated_sizes += 1;
            self.refuse(token, b"ERR Protocol error: unauthenticated request is too long");
        }
    }
}
