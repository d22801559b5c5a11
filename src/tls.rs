//! TLS as a state machine: what the server shows in handshakes (`profile`), and one connection's session between
//! ciphertext and plain text (`session`), until when certificates hold (`validity`). Knows neither sockets nor requests.
//!
//! ```text
//!   received bytes ──▶ Tls::take_in ──▶ Tls::decrypt ──▶ plain text, a piece at a time
//!                                          └─▶ queued: handshake messages, tickets, alerts ─┐
//!   bytes to send  ◀── Tls::start_send ◀── ciphertext ◀─────────────────────────────────────┴─ Tls::encrypt ◀── replies
//! ```

mod profile;
mod session;
mod validity;

pub use profile::{Clients, Profile, Refusal, Terms};
pub use session::{Ciphertext, Step, Tls};
pub use validity::{Certificates, Validity};

#[cfg(test)]
pub(crate) mod tests;
