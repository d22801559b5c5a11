//! What can be counted and measured about the server. Knows no command and no connection.

pub mod process;
