//! What can be counted and measured about the server. Knows no command and no connection.

pub mod histogram;
pub mod meters;
pub mod process;
