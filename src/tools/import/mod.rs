//! `tallyring import`: the keys of an RDB file or of a running server, written as a log that a server starts from.
//!
//! ```text
//! file ── rdb ───┐                                   ┌ log ── journal, a segment file after the other
//!                ├─ keys and values, one at a time ─ intake
//! server ─ live ─┘   (`Sink`)                        └ summary, progress
//! ```
//!
//! Nothing is held but what is under way: memory depends neither on the number of keys nor on the fields of a hash. For a
//! directory without a log, one is made aside and brought there when it is complete: an import that fails, or is killed,
//! leaves none.

use std::path::Path;

use super::arguments::Order;
use super::{Terminal, ToolError, written};
use crate::clock::Clock;

mod intake;
mod live;
mod log;
mod progress;
pub mod rdb;

use intake::Intake;
use log::Log;
use progress::Progress;

/// Takes what a source holds, key by key.
pub trait Sink {
    /// A key comes, and when it goes. False: its value is not wanted.
    ///
    /// # Errors
    /// It cannot be taken; the import ends. So too below.
    fn key(&mut self, key: &[u8], kind: Kind, deadline: Option<u64>) -> Result<bool, ToolError>;

    /// Bytes of a value or field that are still wanted; longer ones are told with [`Sink::too_long`] instead.
    fn most_bytes(&self) -> usize;

    /// The value of the key, which is a string.
    ///
    /// # Errors
    /// As above.
    fn string(&mut self, value: &[u8]) -> Result<(), ToolError>;

    /// A field of the key, which is a hash, and its value.
    ///
    /// # Errors
    /// As above.
    fn field(&mut self, field: &[u8], value: &[u8]) -> Result<(), ToolError>;

    /// A value or a field was left out.
    fn too_long(&mut self);

    /// The key is complete.
    ///
    /// # Errors
    /// As above.
    fn end(&mut self) -> Result<(), ToolError>;

    /// So much of the source is behind us.
    fn passed(&mut self, position: u64);
}

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string or a counter.
    String,
    /// Fields.
    Hash,
    /// Something that has no place here, by its name.
    Other(&'static str),
    /// Something in a database that was not asked for.
    Elsewhere,
}

/// Imports.
pub(super) fn run(order: &Order, terminal: &mut Terminal<'_>) -> Result<(), ToolError> {
    for warning in &order.config.warnings {
        terminal.say(warning);
    }
    let clock = Clock::system();
    let began = clock.monotonic_ms();
    // What can be wrong with the source is found before the directory is touched.
    let mut source = Source::open(order)?;
    if order.merge
        && let Source::File(file) = &source
    {
        rdb::check(file, order.db)?;
    }
    let mut log = Log::open(&order.config, order.merge, &clock)?;
    let progress = Progress::begin(source.size(), source.unit(), clock.clone(), terminal);
    let replaces = order.merge || matches!(source, Source::Server(_));
    let mut intake =
        Intake::new(&mut log, progress, order.config.proto_max_bulk_len, replaces, clock.unix_us() / 1000);
    let read = match &mut source {
        Source::File(file) => rdb::read(file, order.db, &mut intake),
        Source::Server(server) => server.read(&clock, &mut intake),
    };
    let summary = intake.finish();
    match read.and(summary) {
        Ok(summary) => {
            log.close()?;
            let ms = clock.monotonic_ms() - began;
            written(terminal.out.write_all(summary.text(&order.config.dir, ms).as_bytes()))
        }
        Err(error) => Err(log.give_up(error)),
    }
}

/// Where keys come from.
enum Source {
    File(rdb::RdbFile),
    Server(Box<live::Server>),
}

impl Source {
    fn open(order: &Order) -> Result<Self, ToolError> {
        match order.source.split_once("://") {
            Some(("redis", rest)) => Ok(Self::Server(Box::new(live::Server::connect(rest, order.db)?))),
            Some((scheme, _)) => Err(ToolError::usage(format!(
                "import: '{}' is no source: give FILE.rdb, or redis://HOST:PORT (no TLS)",
                scheme.escape_debug()
            ))),
            None => Ok(Self::File(rdb::RdbFile::open(Path::new(&order.source))?)),
        }
    }

    /// Bytes of a file, keys of a server.
    fn size(&self) -> u64 {
        match self {
            Self::File(file) => file.bytes(),
            Self::Server(server) => server.keys(),
        }
    }

    fn unit(&self) -> progress::Unit {
        match self {
            Self::File(_) => progress::Unit::Bytes,
            Self::Server(_) => progress::Unit::Keys,
        }
    }
}
