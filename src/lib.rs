//! tallyring: a counter server for Linux on io_uring that speaks the Redis protocol.
//!
//! The program is `main.rs`; this library is what it is made of. A tour, from the bytes inwards and out again:
//!
//! 1. [`server`] opens listeners and starts workers; [`config`] says how.
//! 2. An [`engine`] moves bytes between sockets and a [`worker`], turn by turn. It knows descriptors and nothing of the
//!    protocol.
//! 3. The [`worker`] keeps a [`connection`] per client, decodes requests in place ([`resp::decode`]), and executes them
//!    in batches. Where a port is for that, a [`tls`] session stands before the decoder and behind the replies.
//! 4. A [`command`] finds its keys in the [`table`], changes them, says what changed, and writes its reply
//!    ([`resp::encode`]).
//! 5. Replies wait in outgoing chains ([`buffer::outgoing`]) until the engine sends them.
//!
//! Nothing between 2 and 5 names a socket, a thread or a file: the core can be driven by a test. `ARCHITECTURE.md`
//! follows one `INCRBY` through all of it.

pub mod admin;
pub mod buffer;
pub mod clock;
pub mod command;
pub mod config;
pub mod connection;
pub mod engine;
pub mod journal;
pub mod limits;
pub mod logging;
pub mod metrics;
pub mod resp;
pub mod server;
pub mod table;
pub mod tls;
pub mod tools;
pub mod worker;
