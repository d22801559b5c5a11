//! What can be counted and measured about the server. Knows no command and no connection.

pub mod busiest;
pub mod events;
pub mod histogram;
pub mod meters;
pub mod process;
pub mod slowlog;
pub mod syncs;
