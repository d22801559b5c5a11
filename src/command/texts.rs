//! Error texts that several families share, word for word as Redis has them. Knows no command.

/// An argument or a stored value should have been a decimal `i64`.
pub const NOT_INTEGER: &str = "ERR value is not an integer or out of range";

/// The result of an addition is no `i64`.
pub const OVERFLOW: &str = "ERR increment or decrement would overflow";

/// What was saved is still being read.
pub const LOADING: &str = "LOADING Redis is loading the dataset in memory";

/// How the refusal of a command that writes begins while the disk has no space for the journal.
pub const MISCONF: &str = "MISCONF Errors writing to the AOF file: ";

/// A command needs memory, and `maxmemory` is reached.
pub const NO_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// An argument or a stored value should have been a float.
pub const NOT_FLOAT: &str = "ERR value is not a valid float";

/// The sum is no float.
pub const NOT_FINITE: &str = "ERR increment would produce NaN or Infinity";

/// The key holds another kind of value than the command is for.
pub const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// Options that do not fit together, or an unknown one.
pub const SYNTAX: &str = "ERR syntax error";

/// A user or a password that does not do; which of the two is not said.
pub const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// The part of an argument that error texts quote: Redis prints arguments as C strings, up to the first NUL.
pub fn quotable(argument: &[u8]) -> &[u8] {
    match memchr::memchr(0, argument) {
        Some(end) => &argument[..end],
        None => argument,
    }
}
