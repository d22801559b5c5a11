//! What is measured, in which order: the rows of the targets, their shapes, and the steps of a run.
//!
//! Knows how often and how long, not how. Servers take turns within each round, and each round starts with the
//! next of them, so that a drift of the machine falls on all alike.

use super::contender::{
    BARE_EPOLL, BARE_RING, OURS, OURS_EPOLL, OURS_EPOLL_BUILD, OURS_FIXED, OURS_TOKIO, REDIS, VALKEY, is_ours,
};
use super::options::{Effort, Options};
use super::row::{RowName, Shape};
use super::work::{Delivery, Many, Work};

const DEEP: Shape = Shape { connections: 50, depth: 64 };
const MIDDLE: Shape = Shape { connections: 50, depth: 16 };
const FEW: Shape = Shape { connections: 8, depth: 1 };
const FLAT: Shape = Shape { connections: 50, depth: 1 };
const MANY: Shape = Shape { connections: 200, depth: 1 };

/// Connections of T11.
const IDLE: Shape = Shape { connections: 9000, depth: 1 };
/// Connections of T11 in a smoke run.
const IDLE_SMOKE: Shape = Shape { connections: 500, depth: 1 };

/// Of T6: a few clients that each name many keys at once.
const BULK: Shape = Shape { connections: 8, depth: 1 };
/// Of T7.
const PARTIAL: Shape = Shape { connections: 50, depth: 1 };
/// Of T7 in a smoke run.
const PARTIAL_SMOKE: Shape = Shape { connections: 5, depth: 1 };

const EVERYONE: [&str; 6] = [OURS, OURS_EPOLL, REDIS, VALKEY, BARE_EPOLL, BARE_RING];

/// The shapes of a row.
fn shapes(row: RowName, effort: Effort) -> &'static [Shape] {
    match row {
        RowName::T1 => &[DEEP],
        RowName::T2 => &[MIDDLE],
        RowName::T3 => &[FLAT, MANY],
        RowName::T4 => &[DEEP, MIDDLE, FEW, FLAT, MANY],
        RowName::T6 => &[BULK],
        RowName::T7 if effort == Effort::Smoke => &[PARTIAL_SMOKE],
        RowName::T7 => &[PARTIAL],
        RowName::T11 if effort == Effort::Smoke => &[IDLE_SMOKE],
        RowName::T11 => &[IDLE],
    }
}

/// Who takes part in a row.
pub(super) fn servers(row: RowName) -> &'static [&'static str] {
    match row {
        RowName::T1 | RowName::T2 | RowName::T3 => &EVERYONE,
        RowName::T4 => &[OURS, OURS_EPOLL_BUILD],
        RowName::T6 | RowName::T7 => &[OURS, OURS_FIXED, OURS_TOKIO, OURS_EPOLL, REDIS, VALKEY],
        RowName::T11 => &[OURS, OURS_EPOLL, REDIS, VALKEY],
    }
}

/// Whether a server can do a work: `MINCRBY` is ours alone.
fn can(server: &str, work: Work) -> bool {
    match work {
        Work::Keys(Many::Mincrby, _) => is_ours(server),
        Work::Closed
        | Work::Calls
        | Work::Open
        | Work::Idle
        | Work::Keys(Many::Mget | Many::Mset, _)
        | Work::Partial(..) => true,
    }
}

/// One measurement to make.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    /// For which row.
    pub(super) row: RowName,
    /// With which shape.
    pub(super) shape: Shape,
    /// Against which server.
    pub(super) server: &'static str,
    /// The how-manieth turn, from 0.
    pub(super) round: usize,
    /// What.
    pub(super) work: Work,
    /// Seconds of load that are not measured.
    pub(super) warm: f64,
    /// Seconds that are.
    pub(super) seconds: f64,
}

impl Step {
    /// Seconds this takes, more or less, for the display of the time left.
    pub(super) fn estimate(&self) -> f64 {
        match self.work {
            Work::Closed | Work::Open => self.warm + self.seconds + 0.05,
            Work::Calls => self.warm + self.seconds + 0.15,
            Work::Idle => 0.5 + self.shape.connections as f64 * 1e-4,
            Work::Keys(..) => self.warm + self.seconds + 0.1,
            Work::Partial(_, Delivery::Whole) => 1.0,
            Work::Partial(_, Delivery::Pieces) => 4.0,
        }
    }

    /// Keys that must exist in the servers that live for the whole run; 0 = it starts its own server.
    pub(super) fn keys(&self, effort: Effort) -> u64 {
        match self.work {
            Work::Closed | Work::Calls | Work::Open => keys(effort),
            Work::Keys(_, keys) => keys,
            Work::Idle | Work::Partial(..) => 0,
        }
    }
}

/// Different keys that the load names, all of which exist.
pub(super) fn keys(effort: Effort) -> u64 {
    match effort {
        Effort::Full | Effort::Quick => 1_000_000,
        Effort::Smoke => 20_000,
    }
}

/// Every step of a run, over the servers that are there.
pub(super) fn steps(options: &Options, present: &[&'static str]) -> Vec<Step> {
    let mut steps = Vec::new();
    for &row in &options.rows {
        let servers: Vec<&str> =
            servers(row).iter().copied().filter(|server| present.contains(server)).collect();
        for &shape in shapes(row, options.effort) {
            for work in works(row, shape, options.effort) {
                let rounds = if work == Work::Calls { 1 } else { rounds(options, row) };
                let able: Vec<&str> = servers.iter().copied().filter(|&server| can(server, work)).collect();
                push_rounds(&mut steps, options.effort, (row, shape), &able, work, rounds);
            }
        }
    }
    steps
}

/// What is done in a row under a shape, in order.
fn works(row: RowName, shape: Shape, effort: Effort) -> Vec<Work> {
    match row {
        RowName::T4 if shape.depth == 1 => vec![Work::Closed, Work::Open, Work::Calls],
        RowName::T1 | RowName::T2 | RowName::T3 | RowName::T4 => vec![Work::Closed, Work::Calls],
        RowName::T6 => {
            let many = [keys(effort), 10 * keys(effort)];
            many.into_iter()
                .flat_map(|keys| [Many::Mget, Many::Mincrby].map(|command| Work::Keys(command, keys)))
                .collect()
        }
        RowName::T7 => [Many::Mget, Many::Mset]
            .into_iter()
            .flat_map(|command| [Delivery::Whole, Delivery::Pieces].map(|how| Work::Partial(command, how)))
            .collect(),
        RowName::T11 => vec![Work::Idle],
    }
}

/// Arguments behind the name of a request of T7.
pub(super) fn partial_arguments(effort: Effort) -> u32 {
    match effort {
        Effort::Full | Effort::Quick => 100_000,
        Effort::Smoke => 5_000,
    }
}

fn rounds(options: &Options, row: RowName) -> usize {
    options.rounds.unwrap_or(match (options.effort, row) {
        (Effort::Full, RowName::T4) => 15,
        (Effort::Quick, RowName::T4) | (Effort::Full, _) => 5,
        // Memory varies little.
        (Effort::Quick, RowName::T7) => 1,
        (Effort::Quick, _) => 3,
        (Effort::Smoke, _) => 1,
    })
}

fn push_rounds(
    steps: &mut Vec<Step>,
    effort: Effort,
    (row, shape): (RowName, Shape),
    servers: &[&'static str],
    work: Work,
    rounds: usize,
) {
    let (warm, seconds) = match (effort, work) {
        (Effort::Full, Work::Closed | Work::Keys(..)) => (0.5, 2.0),
        (Effort::Full, Work::Open) => (0.5, 4.0),
        (Effort::Full, Work::Calls) => (0.3, 0.5),
        (Effort::Quick, Work::Closed | Work::Keys(..)) => (0.2, 0.6),
        (Effort::Quick, Work::Open) => (0.2, 1.5),
        (Effort::Quick, Work::Calls) => (0.1, 0.2),
        (Effort::Smoke, Work::Open) => (0.05, 0.3),
        (Effort::Smoke, Work::Closed | Work::Calls | Work::Keys(..)) => (0.05, 0.1),
        // As long as it takes.
        (_, Work::Idle | Work::Partial(..)) => (0.0, 0.0),
    };
    for round in 0..rounds {
        for turn in 0..servers.len() {
            let server = servers[(round + turn) % servers.len()];
            steps.push(Step { row, shape, server, round, work, warm, seconds });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RowName, Shape, Work, push_rounds};
    use crate::compare::options::Effort;

    #[test]
    fn every_round_has_every_server_once_and_starts_with_the_next() {
        let mut steps = Vec::new();
        let shape = Shape { connections: 1, depth: 1 };
        push_rounds(&mut steps, Effort::Quick, (RowName::T4, shape), &["a", "b"], Work::Closed, 3);
        let order: Vec<(usize, &str)> = steps.iter().map(|step| (step.round, step.server)).collect();
        assert_eq!(order, [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]);
    }
}
