//! The Redis protocol, both ways: requests decoded where they lie, replies encoded where they leave from.
//!
//! Knows bytes. Nothing here knows a command, a connection or a clock.

pub mod args;
pub mod codes;
pub mod decode;
pub mod encode;
pub mod extended;
pub mod integer;
mod natural;
pub mod quote;
