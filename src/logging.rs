//! The log: one event a line, to standard error, a file or the system's journal. Knows how events look and where they go,
//! not what they say.
//!
//! | form | where by itself (`log-format auto`) | an event |
//! |---|---|---|
//! | text | a terminal | `2026-01-31T12:00:00.123Z notice listening on 127.0.0.1:6379` |
//! | json | a file, a pipe | `{"time":"2026-01-31T12:00:00.123Z","level":"notice","message":"…","client":5}` |
//! | journald | standard error that is a stream to the journal | a message with priority and fields |
//!
//! The message is a sentence and has it all; what programs look for in it stands beside it, as fields.

mod line;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

use crate::clock::Clock;
use crate::config::{LogFormat, LogLevel};

static LOGGER: OnceLock<Logger> = OnceLock::new();

/// Starts the log, once per process. `file` is appended to; none: standard error, or the journal.
///
/// The file is opened here; an error to open it is returned.
pub fn start(level: LogLevel, format: LogFormat, file: Option<&Path>) -> io::Result<()> {
    let sink = match file {
        Some(path) => Sink::File(path.to_owned(), Mutex::new(append(path)?)),
        None if format == LogFormat::Journald => Sink::Journal(journal()?),
        // Where the journal is not to be had, whoever reads standard error has the lines.
        None if format == LogFormat::Auto && connected_to_journal() => {
            journal().map_or(Sink::Stderr, Sink::Journal)
        }
        None => Sink::Stderr,
    };
    let on_terminal = matches!(sink, Sink::Stderr) && io::stderr().is_terminal();
    let is_text = match format {
        LogFormat::Text => true,
        LogFormat::Auto => on_terminal,
        LogFormat::Json => false,
        LogFormat::Journald if file.is_some() => {
            return Err(io::Error::other("log-format journald has no file: leave logfile out"));
        }
        LogFormat::Journald => false,
    };
    let logger = LOGGER.get_or_init(|| Logger { sink, is_text, clock: Clock::system() });
    log::set_logger(logger).map_err(io::Error::other)?;
    set_level(level);
    Ok(())
}

/// Changes which events are logged, from now on and for all threads.
pub fn set_level(level: LogLevel) {
    log::set_max_level(match level {
        LogLevel::Debug => LevelFilter::Trace,
        LogLevel::Verbose => LevelFilter::Debug,
        LogLevel::Notice => LevelFilter::Info,
        LogLevel::Warning => LevelFilter::Warn,
    });
}

/// Opens the file anew, so that one that was moved away is let go of. Without a file there is nothing to do.
pub fn reopen() -> io::Result<()> {
    let Some(Logger { sink: Sink::File(path, file), .. }) = LOGGER.get() else { return Ok(()) };
    let opened = append(path)?;
    *file.lock().unwrap_or_else(PoisonError::into_inner) = opened;
    Ok(())
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn journal() -> io::Result<JournalLog> {
    Ok(JournalLog::new()?.with_syslog_identifier("tallyring".to_owned()))
}

/// Where events go.
enum Sink {
    Stderr,
    File(PathBuf, Mutex<File>),
    Journal(JournalLog),
}

struct Logger {
    sink: Sink,
    /// Sentences for people; else JSON.
    is_text: bool,
    clock: Clock,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Other crates have nothing to say below a warning.
        metadata.level() <= Level::Warn || metadata.target().starts_with("tallyring")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if let Sink::Journal(journal) = &self.sink {
            let message = line::one_line(&record.args().to_string());
            let record = record.to_builder();
            return journal.log(&{ record }.args(format_args!("{message}")).build());
        }
        let time = line::time(self.clock.unix_us());
        let line = if self.is_text { line::text(&time, record) } else { line::json(&time, record) };
        // Nobody can be told of a log that cannot be written.
        let _unwritten = match &self.sink {
            Sink::File(_, file) => {
                file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
            }
            Sink::Stderr | Sink::Journal(_) => io::stderr().lock().write_all(line.as_bytes()),
        };
    }

    fn flush(&self) {}
}
