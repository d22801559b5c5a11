//! The rows of the targets, and the shapes they are measured under. Knows their names only.

use std::fmt;

use serde::{Serialize, Serializer};

/// A row of the targets, or one beside them, in the order in which they are measured: T6 makes the servers hold the many keys that T5 is
/// about, and none before it is to meet so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowName {
    /// `INCR`, 50 connections, 64 deep.
    T1,
    /// The same 16 deep.
    T2,
    /// Unpipelined, 50 and 200 connections.
    T3,
    /// Latencies at fixed rates; no target.
    Latency,
    /// Our engines against each other, every shape.
    T4,
    /// Requests that name many keys.
    T6,
    /// Many keys against few.
    T5,
    /// Memory of large requests that are not complete.
    T7,
    /// Memory of counters.
    T9,
    /// Memory of counters in rows.
    T10,
    /// Memory of idle connections.
    T11,
    /// T1 with a journal synced every second.
    T1Everysec,
    /// T2 likewise.
    T2Everysec,
    /// T3 likewise.
    T3Everysec,
    /// The writing part of T6 likewise.
    T6Everysec,
    /// What syncing before replies leave costs.
    T12,
    /// Latencies while a snapshot is written.
    T13,
    /// Start with many counters on disk.
    T14,
    /// Keys that expire together.
    T15,
    /// Two workers against one.
    T16,
    /// Latencies of the well-behaved while others do harm.
    Limits,
    /// Latencies of every command; no target.
    Commands,
}

impl RowName {
    /// All of them, in order.
    pub(super) const ALL: [Self; 22] = [
        Self::T1,
        Self::T2,
        Self::T3,
        Self::Latency,
        Self::T4,
        Self::T6,
        Self::T5,
        Self::T7,
        Self::T9,
        Self::T10,
        Self::T11,
        Self::T1Everysec,
        Self::T2Everysec,
        Self::T3Everysec,
        Self::T6Everysec,
        Self::T12,
        Self::T13,
        Self::T14,
        Self::T15,
        Self::T16,
        Self::Limits,
        Self::Commands,
    ];

    /// As the user writes it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::T1 => "T1",
            Self::T2 => "T2",
            Self::T3 => "T3",
            Self::Latency => "latency",
            Self::T4 => "T4",
            Self::T5 => "T5",
            Self::T6 => "T6",
            Self::T7 => "T7",
            Self::T9 => "T9",
            Self::T10 => "T10",
            Self::T11 => "T11",
            Self::T1Everysec => "T1-everysec",
            Self::T2Everysec => "T2-everysec",
            Self::T3Everysec => "T3-everysec",
            Self::T6Everysec => "T6-everysec",
            Self::T12 => "T12",
            Self::T13 => "T13",
            Self::T14 => "T14",
            Self::T15 => "T15",
            Self::T16 => "T16",
            Self::Limits => "limits",
            Self::Commands => "commands",
        }
    }

    /// Whether its servers write to disk: each measurement then has one of its own, with an empty directory that goes
    /// with it, because a journal of millions of requests a second fills disks.
    pub(super) fn is_durable(self) -> bool {
        match self {
            Self::T1Everysec
            | Self::T2Everysec
            | Self::T3Everysec
            | Self::T6Everysec
            | Self::T12
            | Self::T13
            | Self::T14 => true,
            Self::T1
            | Self::T2
            | Self::T3
            | Self::Latency
            | Self::T4
            | Self::T5
            | Self::T6
            | Self::T7
            | Self::T9
            | Self::T10
            | Self::T11
            | Self::T15
            | Self::T16
            | Self::Limits
            | Self::Commands => false,
        }
    }

    /// Reads what the user wrote, for clap.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let row = Self::ALL.into_iter().find(|row| row.text().eq_ignore_ascii_case(text));
        row.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::text).join(", ")))
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
        assert!(RowName::ALL.is_sorted());
        assert!(RowName::parse("T8").is_err());
    }
}
