//! What of a connection's state is different where its bytes are encrypted: replies are taken off their chain when they are
//! encrypted, and what the session itself has to say goes before them and waits for nothing.

use super::Connection;
use crate::buffer::outgoing::{Mark, OutPool};
use crate::tls::Tls;

impl Connection {
    /// Bytes that have not left, `replies` of which are not encrypted. When the session is over these never will.
    pub(super) fn unsent_encrypted(tls: &Tls, replies: usize) -> usize {
        tls.unsent() + if tls.has_failed() { 0 } else { replies }
    }

    /// Whether all that has not left are replies that may have to wait: a session's own words do not.
    #[inline]
    pub(super) fn waits_with_all(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.unsent() == 0)
    }

    /// Whether something is still to be said although nothing waits to be sent: a reply that comes later, or that a session
    /// ends.
    pub(super) fn owes(&mut self) -> bool {
        match &mut self.tls {
            None => self.pending,
            Some(tls) if tls.has_failed() => false,
            Some(tls) => self.pending || tls.close(),
        }
    }

    /// Whether its client has not shown yet that it may be here: it has not authenticated, or is still shaking hands.
    pub fn is_stranger(&self) -> bool {
        !self.session.authenticated || self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// Begins to send the next ciphertext, which from now on stays where it is until [`Connection::sent`]: what the session has
    /// to say and, where they `may` leave, replies. Tells of the marks of those. False: there is nothing.
    pub fn start_send_encrypted(
        &mut self,
        may: bool,
        pool: &mut OutPool,
        told: &mut dyn FnMut(Mark),
    ) -> bool {
        let Some(tls) = &mut self.tls else { return false };
        if tls.begin_send()
            && may
            && let Some(mut replies) = self.outgoing.take()
        {
            while replies.pass_on(tls.room(), pool, told, &mut |bytes| tls.encrypt(bytes)) {}
            if replies.unsent() == 0 {
                pool.give(replies);
            } else {
                self.outgoing = Some(replies);
            }
        }
        tls.start_send()
    }
}
