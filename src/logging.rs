//! The log: one line per record, to standard error or a file. Knows how lines look, not what they say.
//!
//! `2026-01-31T12:00:00.123Z notice listening on 127.0.0.1:6379`: UTC time with milliseconds, Redis' name of the
//! level, the message. Control characters are escaped, so that a client's bytes cannot forge a line.

use crate::config::LogLevel;
use env_logger::Target;
use log::{Level, LevelFilter};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Starts the log, once per process. `file` is appended to; none: standard error.
///
/// The file is opened here and stays open; an error to open it is returned.
pub fn start(level: LogLevel, file: Option<&Path>) -> io::Result<()> {
    let target = match file {
        Some(path) => Target::Pipe(Box::new(OpenOptions::new().create(true).append(true).open(path)?)),
        None => Target::Stderr,
    };
    let logger = env_logger::Builder::new()
        // The level is held by the facade, where it can change; other crates have nothing to say below a warning.
        .filter_level(LevelFilter::Warn)
        .filter_module("tallyring", LevelFilter::Trace)
        .target(target)
        .format(|out, record| {
            let time = out.timestamp_millis();
            writeln!(out, "{time} {} {}", name(record.level()), one_line(&record.args().to_string()))
        })
        .build();
    log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
    set_level(level);
    Ok(())
}

/// Changes which lines are logged, from now on and for all threads.
pub fn set_level(level: LogLevel) {
    log::set_max_level(match level {
        LogLevel::Debug => LevelFilter::Trace,
        LogLevel::Verbose => LevelFilter::Debug,
        LogLevel::Notice => LevelFilter::Info,
        LogLevel::Warning => LevelFilter::Warn,
    });
}

/// Redis' name of a level. It has none for errors, which are ours to see first.
fn name(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warning",
        Level::Info => "notice",
        Level::Debug => "verbose",
        Level::Trace => "debug",
    }
}

/// The message without line breaks and terminal control.
fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for symbol in message.chars() {
        if symbol.is_control() { line.extend(symbol.escape_default()) } else { line.push(symbol) }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_message_stays_on_its_line() {
        assert_eq!(one_line("a\nb\r\t\u{1b}[31m é"), r"a\nb\r\t\u{1b}[31m é");
    }
}
