//! Encrypted connections: the session that stands between a block of ciphertext and the bytes of requests, and between replies
//! and what is sent. Engines know nothing of it.

use super::{Token, Unsent, Worker, token_of};
use crate::buffer::outgoing::Mark;
use crate::connection::{Connection, Peer, Phase};
use crate::tls::{Profile, Step, Tls};

impl Worker {
    /// Gives a connection that was just accepted a session, if it came to the port for that. True: it has one.
    pub(super) fn encrypt(&mut self, connection: &mut Connection) -> bool {
        let Some(profile) = self.profile_for(&connection.client.peer) else { return false };
        match Tls::new(profile) {
            Ok(tls) => connection.tls = Some(tls),
            Err(error) => {
                let client = connection.session.id;
                log::warn!(client; "closing client id={client}: no TLS session can be made: {error}");
                connection.phase = Phase::Closing;
            }
        }
        true
    }

    /// What connections to the port that this one came to are encrypted with.
    pub(super) fn profile_for(&self, peer: &Peer) -> Option<&Profile> {
        let (_, local) = peer.ends()?;
        self.profile.as_ref().filter(|profile| profile.is_for(local.port()))
    }

    /// Ciphertext arrived: works off what it says, a piece at a time.
    pub(super) fn decrypt(&mut self, token: Token, bytes: &mut [u8]) {
        let now_ms = self.now_ms;
        let Some(connection) = self.get(token) else { return };
        if connection.phase != Phase::Open {
            // Nothing is to be said any more: it is dropped as it is.
            return self.take_in(token, bytes);
        }
        connection.client.active_ms = now_ms;
        if connection.eof {
            return;
        }
        let Some(tls) = &mut connection.tls else { return };
        let mut ciphertext = tls.take_in(bytes);
        let was_handshaking = tls.is_handshaking();
        let mut plain = std::mem::take(&mut self.plain);
        let step = loop {
            let Some(tls) = self.session(token) else { break Step::Done };
            let step = tls.decrypt(&mut ciphertext, &mut plain);
            if !plain.is_empty() {
                self.take_in(token, &mut plain);
                plain.clear();
            }
            let goes_on = self.get(token).is_some_and(|connection| connection.phase == Phase::Open);
            if step != Step::More || !goes_on {
                break step;
            }
        };
        self.plain = plain;
        if let Some(tls) = self.session(token) {
            tls.keep(ciphertext);
        }
        match step {
            Step::More | Step::Done => self.settle(token),
            Step::End => self.handle_end(token),
            Step::Failed => self.give_up_session(token, was_handshaking),
        }
    }

    /// A connection has not shaken hands in time.
    pub(super) fn give_up_handshake(&mut self, token: Token) {
        let Some(connection) = self.get(token) else { return };
        let client = connection.session.id;
        log::debug!(client; "closing client id={client}: its TLS handshake is not done in time");
        connection.phase = Phase::Closing;
        self.counts.tls_handshakes += 1;
        self.list(token);
    }

    /// A session is over before its time: only what it has to say of that is still sent.
    fn give_up_session(&mut self, token: Token, was_handshaking: bool) {
        let slot = token.slot as usize;
        if self.streams(token) {
            self.abandon(slot, "its TLS session broke");
        }
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let (client, what) = (connection.session.id, if was_handshaking { "handshake" } else { "session" });
        let cause = connection.tls.as_ref().and_then(|tls| tls.failure()).unwrap_or_default();
        log::debug!(client; "closing client id={client}: its TLS {what} failed: {cause}");
        if was_handshaking {
            self.counts.tls_handshakes += 1;
        } else {
            self.counts.tls_sessions += 1;
        }
        if let Some(replies) = connection.outgoing.take() {
            self.pool.recycle(replies);
        }
        connection.input.clear(&mut self.spare);
        if connection.phase == Phase::Open {
            connection.phase = Phase::Finishing;
        }
        self.settle(token);
    }

    /// The next ciphertext to send; see [`Worker::start_send`].
    pub(super) fn start_send_encrypted(&mut self, slot: usize, busy: bool) -> Option<Unsent<'_>> {
        let safe = self.shared.reached(self.limits.sync);
        let connection = self.connections.get_mut(slot).expect("the caller found it");
        let may = connection.wait <= safe;
        let had_failed = connection.tls.as_ref().is_some_and(|tls| tls.has_failed());
        let (timing, meters, mut now) = (&self.timing, &self.shared.posts[self.id].meters, None);
        let mut told = |mark: Mark| timing.replied(meters, &mark, &mut now);
        let begun = connection.start_send_encrypted(may, &mut self.pool, &mut told);
        let token = token_of(slot, connection);
        if connection.phase == Phase::Open && connection.tls.as_ref().is_some_and(|tls| tls.is_worn_out()) {
            // What it has asked for is answered, and it comes again.
            connection.phase = Phase::Finishing;
        }
        if !had_failed && connection.tls.as_ref().is_some_and(|tls| tls.has_failed()) {
            self.give_up_session(token, false);
        } else if !begun {
            // There was nothing after all: whoever waits for it to leave need not.
            self.settle(token);
        }
        let connection = self.connections.get(slot).filter(|_| begun)?;
        let last = !busy && connection.phase == Phase::Open;
        let bytes = connection.tls.as_ref()?.sending();
        Some(Unsent { bytes, last: last && bytes.len() == connection.unsent() })
    }

    fn session(&mut self, token: Token) -> Option<&mut Tls> {
        self.get(token)?.tls.as_deref_mut()
    }
}
