//! One connection's session: ciphertext in, plain text out, and the other way round. Sans-I/O; knows nothing of requests.
//!
//! What it holds of a connection that is idle is the session's keys: no buffer outlives the bytes in it.

use std::fmt;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{Error, SupportedCipherSuite};

use super::Profile;
use crate::limits;

/// A session. Its records are in order because each is encrypted behind all that were encrypted before:
///
/// ```text
///   outgoing: [ has left │ being sent ]      queued: [ handshake, tickets, alerts ]      replies, not encrypted yet
/// ```
/// While a send is in flight `outgoing` is neither written to nor freed; what comes up meanwhile is queued.
pub struct Tls {
    session: UnbufferedServerConnection,
    /// The beginning of a record whose rest has not arrived, or of a handshake message in several records.
    pub(super) partial: Vec<u8>,
    /// Records that wait for the next send.
    pub(super) queued: Vec<u8>,
    /// Records of this send, `sent` bytes of which have left; `sent <= outgoing.len()`.
    pub(super) outgoing: Vec<u8>,
    sent: usize,
    in_flight: bool,
    /// Bytes received before the handshake was done.
    handshake_bytes: usize,
    /// Records that were encrypted, at least.
    records: u64,
    farewell: Farewell,
    failure: Option<Failure>,
}

/// How far `close_notify` has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Farewell {
    None,
    /// It stands behind everything that was encrypted.
    Due,
    Said,
}

/// Why a session is over.
#[derive(Debug)]
enum Failure {
    /// The client's fault, mostly.
    Tls(Error),
    /// It takes more bytes for its handshake than it may.
    Long,
}

/// Ciphertext that is being worked off.
#[derive(Debug)]
pub struct Ciphertext<'b> {
    /// What a record's beginning had to be put before; empty where the block itself will do.
    joined: Vec<u8>,
    block: &'b mut [u8],
    /// Bytes that are done with.
    done: usize,
}

impl Ciphertext<'_> {
    fn rest(&mut self) -> &mut [u8] {
        let all = if self.joined.is_empty() { &mut *self.block } else { &mut self.joined[..] };
        &mut all[self.done..]
    }
}

/// How far [`Tls::decrypt`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A piece is full; there may be more.
    More,
    /// What is left is no whole record.
    Done,
    /// The client has said that no more will come.
    End,
    /// The session is over; what it has to say of that waits to be sent.
    Failed,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("farewell", &self.farewell)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// A session that waits for its client to begin.
    pub fn new(profile: &Profile) -> Result<Box<Self>, Error> {
        Ok(Box::new(Self {
            session: UnbufferedServerConnection::new(Arc::clone(&profile.config))?,
            partial: Vec::new(),
            queued: Vec::new(),
            outgoing: Vec::new(),
            sent: 0,
            in_flight: false,
            handshake_bytes: 0,
            records: 0,
            farewell: Farewell::None,
            failure: None,
        }))
    }

    /// Whether nothing can be said in it yet.
    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// Why the session is over, if it is.
    pub fn failure(&self) -> Option<String> {
        self.failure.as_ref().map(|failure| match failure {
            Failure::Tls(error) => error.to_string(),
            Failure::Long => format!("more than {} bytes", limits::TLS_HANDSHAKE_BYTES),
        })
    }

    /// Whether the session is over, so that no reply can leave any more.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Bytes that have not left, or are still to be said.
    #[inline]
    pub fn unsent(&self) -> usize {
        self.outgoing.len() - self.sent + self.queued.len() + usize::from(self.farewell == Farewell::Due)
    }

    /// Whether a send is in flight.
    #[inline]
    pub fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// Bytes arrived: gives all that is to be decrypted now. [`Tls::keep`] takes back what is left of it.
    pub fn take_in<'b>(&mut self, block: &'b mut [u8]) -> Ciphertext<'b> {
        if self.session.is_handshaking() {
            self.handshake_bytes += block.len();
        }
        let mut joined = std::mem::take(&mut self.partial);
        if !joined.is_empty() {
            joined.extend_from_slice(block);
        }
        Ciphertext { joined, block, done: 0 }
    }

    /// Keeps the beginning of a record until the rest of it arrives.
    pub fn keep(&mut self, mut ciphertext: Ciphertext<'_>) {
        if self.has_failed() || ciphertext.rest().is_empty() {
            return;
        }
        if ciphertext.joined.is_empty() {
            self.partial.extend_from_slice(ciphertext.rest());
        } else {
            ciphertext.joined.drain(..ciphertext.done);
            self.partial = ciphertext.joined;
        }
    }

    /// Decrypts records into `plain` until it holds a piece of [`limits::TLS_PLAIN_BYTES`] or something has to be
    /// concluded; it never holds more than that and one record.
    pub fn decrypt(&mut self, from: &mut Ciphertext<'_>, plain: &mut Vec<u8>) -> Step {
        if self.has_failed() {
            return Step::Failed;
        }
        if self.session.is_handshaking() && self.handshake_bytes > limits::TLS_HANDSHAKE_BYTES {
            self.failure = Some(Failure::Long);
            return Step::Failed;
        }
        loop {
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(from.rest());
            let step = match state {
                Err(error) => {
                    self.failure = Some(Failure::Tls(error));
                    self.queue_alert();
                    return Step::Failed;
                }
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    append(&mut self.queued, 0, |room| message.encode(room).map_err(needed_to_encode));
                    None
                }
                Ok(ConnectionState::TransmitTlsData(messages)) => {
                    // They are queued, and leave before anything that is encrypted later.
                    messages.done();
                    None
                }
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    while let Some(Ok(record)) = records.next_record() {
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    (plain.len() >= limits::TLS_PLAIN_BYTES).then_some(Step::More)
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Some(Step::End),
                Ok(_) => Some(Step::Done),
            };
            from.done += discard;
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// The session has failed: queues what the client is told of it. Nothing of what arrived is looked at any more, which would
    /// only fail again.
    fn queue_alert(&mut self) {
        while self.session.wants_write() {
            let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut []);
            let Ok(ConnectionState::EncodeTlsData(mut message)) = state else { return };
            append(&mut self.queued, 0, |room| message.encode(room).map_err(needed_to_encode));
        }
    }

    /// Whether the next send begins: nothing is in flight or left of the last one. What is queued goes first.
    pub fn begin_send(&mut self) -> bool {
        if self.in_flight || self.sent < self.outgoing.len() {
            return false;
        }
        self.outgoing = std::mem::take(&mut self.queued);
        self.sent = 0;
        true
    }

    /// Bytes of replies that this send has room for.
    pub fn room(&self) -> usize {
        if self.has_failed() { 0 } else { limits::TLS_SEND_BYTES.saturating_sub(self.outgoing.len()) }
    }

    /// Encrypts `reply` for this send. Only between [`Tls::begin_send`] and [`Tls::start_send`].
    pub fn encrypt(&mut self, reply: &[u8]) {
        debug_assert!(!self.in_flight && self.sent == 0, "the kernel may have it");
        if self.has_failed() {
            return;
        }
        let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut self.partial);
        let Ok(ConnectionState::WriteTraffic(mut traffic)) = state else {
            // All that arrived was worked off: there is nothing that could come between.
            self.failure = Some(Failure::Tls(Error::HandshakeNotComplete));
            return;
        };
        let records = reply.len().div_ceil(RECORD_BYTES);
        self.records += records as u64;
        let likely = reply.len() + RECORD_EXTRA * records;
        let outcome = append(&mut self.outgoing, likely, |room| {
            traffic.encrypt(reply, room).map_err(needed_to_encrypt)
        });
        if !outcome {
            // Its keys have been used as often as they may: see `is_worn_out`.
            self.failure = Some(Failure::Tls(Error::EncryptError));
        }
    }

    /// Whether its keys have been used nearly as often as they may and cannot be renewed, as in TLS 1.2: the session is to
    /// end while what waits can still be said.
    #[inline]
    pub fn is_worn_out(&self) -> bool {
        self.records >= FRESH_RECORDS && self.records >= self.most_records()
    }

    /// As if it had encrypted nearly as much as it may.
    #[cfg(test)]
    pub(crate) fn wear(&mut self) {
        self.records = (1 << 24) - LAST_RECORDS;
    }

    /// Records that a session may have before it is worn out (RFC 8446, 5.5, which holds for TLS 1.2 too).
    #[cold]
    fn most_records(&self) -> u64 {
        match self.session.negotiated_cipher_suite() {
            Some(SupportedCipherSuite::Tls12(suite)) => {
                suite.common.confidentiality_limit.saturating_sub(LAST_RECORDS)
            }
            _ => u64::MAX,
        }
    }

    /// Begins to send what is there, which from now on stays where it is until [`Tls::sent`]. False: there is nothing, or a
    /// send is in flight.
    pub fn start_send(&mut self) -> bool {
        if self.in_flight {
            return false;
        }
        if self.farewell == Farewell::Due && self.queued.is_empty() {
            self.farewell = Farewell::Said;
            self.say_goodbye();
        }
        self.in_flight = self.sent < self.outgoing.len();
        self.in_flight
    }

    /// The bytes of the send in flight.
    pub fn sending(&self) -> &[u8] {
        debug_assert!(self.in_flight, "nobody asks for what is not sent");
        &self.outgoing[self.sent..]
    }

    /// The send in flight is over: `bytes` have left.
    ///
    /// # Panics
    /// If no send was in flight, or fewer bytes were.
    pub fn sent(&mut self, bytes: usize) {
        assert!(std::mem::take(&mut self.in_flight), "only a send that was started can end");
        assert!(bytes <= self.outgoing.len() - self.sent, "no more bytes leave than were in flight");
        self.sent += bytes;
        if self.sent == self.outgoing.len() {
            self.outgoing = Vec::new();
            self.sent = 0;
        }
    }

    /// Nothing more will be said: `close_notify` is to be sent behind the last reply. False: it was said, or there is no
    /// session to end.
    pub fn close(&mut self) -> bool {
        let has_session = !self.has_failed() && !self.session.is_handshaking();
        if self.farewell == Farewell::None && has_session {
            self.farewell = Farewell::Due;
        }
        self.farewell == Farewell::Due
    }

    fn say_goodbye(&mut self) {
        if self.has_failed() {
            return;
        }
        let UnbufferedStatus { state, .. } = self.session.process_tls_records(&mut self.partial);
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = state {
            append(&mut self.outgoing, RECORD_EXTRA, |room| {
                traffic.queue_close_notify(room).map_err(needed_to_encrypt)
            });
        }
    }
}

/// Plain text in a record at most (RFC 8446, 5.1), and what is around it at most: header, nonce, tag, type, and some.
const RECORD_BYTES: usize = 16 * 1024;
const RECORD_EXTRA: usize = 64;

/// Records up to which no session is worn out, and those that are left to one which is: for all replies that may wait.
const FRESH_RECORDS: u64 = 1 << 20;
const LAST_RECORDS: u64 = 1 << 16;

/// Appends what `write` writes into as many bytes as it needs, `likely` so many. False: it cannot.
fn append(
    to: &mut Vec<u8>,
    likely: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> bool {
    let before = to.len();
    let mut room = likely;
    loop {
        to.resize(before + room, 0);
        match write(&mut to[before..]) {
            Ok(written) => {
                to.truncate(before + written);
                return true;
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => {
                to.truncate(before);
                return false;
            }
        }
    }
}

fn needed_to_encode(error: EncodeError) -> Option<usize> {
    match error {
        EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Some(required_size),
        EncodeError::AlreadyEncoded => None,
    }
}

fn needed_to_encrypt(error: EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Some(required_size),
        EncryptError::EncryptExhausted => None,
    }
}
