//! Memory that bytes arrive in and leave from: receive blocks with a lending rule, outgoing chains, and the way back to
//! the kernel.
//!
//! Knows addresses and lengths; never a socket, a ring or what the bytes mean.

pub mod block;
pub mod outgoing;
pub mod trim;
pub mod witness;
