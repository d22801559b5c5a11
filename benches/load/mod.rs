//! The load generator: many connections on one thread, every reply checked, latencies without coordinated omission.
//!
//! Knows requests and replies as a client sees them. It refuses to know which server it talks to, what a round of
//! a comparison is, or how processor time is measured. In reading order: what is asked ([`mix`], [`population`]) and what
//! a reply must look like ([`reply`]), one connection ([`client`]), the saturating loop ([`closed`]) and the fixed-rate
//! loop ([`open`]), a connection beside them ([`aside`]), what only holds connections ([`idle`], [`partial`]), what creates keys ([`grow`]) and sees them expire
//! ([`expiry`]), what sees a snapshot written ([`snapshot`]), what does harm beside
//! ([`harm`]) and what others notice of it ([`limits`]), what times every command ([`commands`]), what is reported ([`report`]), and the command line ([`role`]).

pub(crate) mod aside;
pub(crate) mod client;
pub(crate) mod closed;
pub(crate) mod commands;
pub(crate) mod expiry;
pub(crate) mod grow;
pub(crate) mod harm;
pub(crate) mod idle;
pub(crate) mod limits;
pub(crate) mod mix;
pub(crate) mod open;
pub(crate) mod partial;
pub(crate) mod population;
pub(crate) mod reply;
pub(crate) mod report;
pub(crate) mod role;
pub(crate) mod snapshot;

use std::fmt;
use std::io::{self, BufRead, Write};
use std::time::Duration;

use serde::Serialize;

/// Nanoseconds of a duration, in the type that histograms and schedules use.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("a run lasts less than 584 years")
}

/// Why a run of load is worth nothing.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A reply that no correct server sends; the text shows it.
    WrongReply(String),
    /// The server closed a connection.
    Closed,
    /// Nothing arrived although replies were due.
    Stalled {
        /// Requests without a reply.
        outstanding: u64,
    },
    /// The fixed rate is far above what the server does.
    Overloaded {
        /// Requests without a reply.
        outstanding: u64,
    },
    /// The world's fault.
    Io(io::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongReply(what) => write!(f, "wrong reply: {what}"),
            Self::Closed => f.write_str("the server closed a connection"),
            Self::Stalled { outstanding } => {
                write!(f, "the server stopped answering with {outstanding} requests outstanding")
            }
            Self::Overloaded { outstanding } => {
                write!(f, "{outstanding} requests are outstanding: the rate is above the server's capacity")
            }
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Fault {}

/// Says a line to whoever started this.
fn say(output: &mut dyn Write, line: &str) -> Result<(), Fault> {
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}

/// Says `ready`, and waits for the line that lets the run go on.
fn stand_by(input: &mut dyn BufRead, output: &mut dyn Write) -> Result<(), Fault> {
    say(output, "ready")?;
    if input.read_line(&mut String::new())? == 0 {
        return Err(fault("nobody waits for the report any more"));
    }
    Ok(())
}

/// Says a report, as a line of JSON.
fn report_json(output: &mut dyn Write, report: &impl Serialize) -> Result<(), Fault> {
    say(output, &serde_json::to_string(report).map_err(|error| fault(&error.to_string()))?)
}

/// A fault that this sentence says.
fn fault(text: &str) -> Fault {
    Fault::Io(io::Error::other(text.to_owned()))
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<nix::errno::Errno> for Fault {
    fn from(errno: nix::errno::Errno) -> Self {
        Self::Io(errno.into())
    }
}
