//! What can be wrong with a configuration, each in one line for the operator. Knows no file and no process.

use std::fmt;

/// Where a line of configuration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// As the operator named it.
        path: String,
        /// Counted from 1.
        line: usize,
    },
    /// On the command line, after `--`.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{path}:{line}"),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// Why the server does not start with what it was given. Prints as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A file cannot be read.
    Unreadable {
        /// The line that includes it; none if it was named on the command line.
        origin: Option<Origin>,
        /// The file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// No directive of this name.
    Unknown {
        /// Where it stands.
        origin: Origin,
        /// As written.
        name: String,
        /// The directive that was probably meant.
        suggestion: Option<&'static str>,
    },
    /// A directive cannot have this value, or a line makes no sense.
    Invalid {
        /// Where it stands.
        origin: Origin,
        /// The directive; empty where the line has no readable name.
        name: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The command line itself makes no sense, or the whole of the configuration does not.
    Usage(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { origin, path, reason } => {
                if let Some(origin) = origin {
                    write!(f, "{origin}: ")?;
                }
                write!(f, "cannot read configuration file '{}': {reason}", path.escape_debug())
            }
            Self::Unknown { origin, name, suggestion } => {
                let name = name.escape_debug();
                match origin {
                    Origin::File { .. } => write!(f, "{origin}: unknown directive '{name}'")?,
                    Origin::Flag(_) => write!(f, "unknown option '--{name}'")?,
                }
                match (suggestion, origin) {
                    (Some(near), Origin::File { .. }) => write!(f, "; did you mean '{near}'?"),
                    (Some(near), Origin::Flag(_)) => write!(f, "; did you mean '--{near}'?"),
                    (None, _) => f.write_str("; see --help for all directives"),
                }
            }
            Self::Invalid { origin, name, reason } => match origin {
                Origin::File { .. } if !name.is_empty() => write!(f, "{origin}: {name}: {reason}"),
                Origin::File { .. } | Origin::Flag(_) => write!(f, "{origin}: {reason}"),
            },
            Self::Usage(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Why `CONFIG SET` refused. Names are as the client wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// No directive of this name.
    Unknown(String),
    /// The directive is fixed at start.
    Immutable(String),
    /// The directive may not be set over the network.
    Protected(String),
    /// The same directive twice.
    Duplicate(String),
    /// The value does not do; the reason, worded as in Redis, is in the second field.
    Invalid(String, String),
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "{name}: no such directive"),
            Self::Immutable(name) => write!(f, "{name}: can't set immutable config"),
            Self::Protected(name) => write!(f, "{name}: can't set protected config"),
            Self::Duplicate(name) => write!(f, "{name}: duplicate parameter"),
            Self::Invalid(name, reason) => write!(f, "{name}: {reason}"),
        }
    }
}

impl std::error::Error for SetError {}
