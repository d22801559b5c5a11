//! The rows of the targets, and the shapes they are measured under. Knows their names only.

use std::fmt;

use serde::{Serialize, Serializer};

/// A row of the targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowName {
    /// `INCR`, 50 connections, 64 deep.
    T1,
    /// The same 16 deep.
    T2,
    /// Unpipelined, 50 and 200 connections.
    T3,
    /// Our engines against each other, every shape.
    T4,
    /// Requests that name many keys.
    T6,
    /// Memory of large requests that are not complete.
    T7,
    /// Memory of idle connections.
    T11,
}

impl RowName {
    /// All of them, in order.
    pub(super) const ALL: [Self; 7] = [Self::T1, Self::T2, Self::T3, Self::T4, Self::T6, Self::T7, Self::T11];

    /// As the user writes it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::T1 => "T1",
            Self::T2 => "T2",
            Self::T3 => "T3",
            Self::T4 => "T4",
            Self::T6 => "T6",
            Self::T7 => "T7",
            Self::T11 => "T11",
        }
    }

    /// Reads what the user wrote, for clap.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let row = Self::ALL.into_iter().find(|row| row.text().eq_ignore_ascii_case(text));
        row.ok_or_else(|| "expected T1, T2, T3, T4, T6, T7 or T11".to_owned())
    }
}

impl Serialize for RowName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

/// Connections and requests in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Connections.
    pub(super) connections: usize,
    /// Requests in a pipeline; 1 = unpipelined.
    pub(super) depth: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.depth {
            1 => write!(f, "{}", self.connections),
            depth => write!(f, "{} × {depth}", self.connections),
        }
    }
}

impl Serialize for Shape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::RowName;

    #[test]
    fn rows_are_read_as_they_are_printed() {
        for row in RowName::ALL {
            assert_eq!(RowName::parse(row.text()), Ok(row));
        }
        assert!(RowName::parse("T5").is_err());
    }
}
