//! What is measured, in which order: what is done in each row of the targets, by whom, and the steps of a run.
//!
//! Knows how often and how long, not how. Servers take turns within each round, and each round starts with the
//! next of them, so that a drift of the machine falls on all alike.

use serde::Serialize;

use crate::load::harm::Kind;
use crate::load::population::Population;

use super::contender::{
    BARE_EPOLL, BARE_RING, OURS, OURS_ALWAYS, OURS_EPOLL, OURS_EPOLL_BUILD, OURS_EVERYSEC, OURS_FIXED,
    OURS_NO, OURS_TOKIO, OURS_TWO, REDIS, REDIS_ALWAYS, REDIS_EVERYSEC, REDIS_NO, VALKEY, VALKEY_ALWAYS,
    VALKEY_EVERYSEC,
};
use super::counters;
use super::options::{Effort, Options};
use super::row::{RowName, Shape};
use super::work::{Delivery, Due, FEW_KEYS, HALF, Many, NEARLY, Source, Work};

const DEEP: Shape = Shape { connections: 50, depth: 64 };
const MIDDLE: Shape = Shape { connections: 50, depth: 16 };
const FEW: Shape = Shape { connections: 8, depth: 1 };
const FLAT: Shape = Shape { connections: 50, depth: 1 };
const MANY: Shape = Shape { connections: 200, depth: 1 };

/// Connections of T11.
const IDLE: Shape = Shape { connections: 9000, depth: 1 };
/// Connections of T11 in a smoke run.
const IDLE_SMOKE: Shape = Shape { connections: 500, depth: 1 };

/// Of T6: a few clients that each name many keys at once; and of T9 and T10, where they create them.
const BULK: Shape = Shape { connections: 8, depth: 1 };
/// Of T7.
const PARTIAL: Shape = Shape { connections: 50, depth: 1 };
/// Of the commands' latencies, and one of T12.
const ALONE: Shape = Shape { connections: 1, depth: 1 };
/// Of T12: as many requests as one sync can serve.
const CROWD: Shape = Shape { connections: 500, depth: 1 };
/// Of T7 in a smoke run.
const PARTIAL_SMOKE: Shape = Shape { connections: 5, depth: 1 };

/// Those with a journal that is synced every second.
const EVERYSEC: [&str; 3] = [OURS_EVERYSEC, REDIS_EVERYSEC, VALKEY_EVERYSEC];

const EVERYONE: [&str; 6] = [OURS, OURS_EPOLL, REDIS, VALKEY, BARE_EPOLL, BARE_RING];

/// The shapes of a row.
fn shapes(row: RowName, effort: Effort) -> &'static [Shape] {
    match row {
        RowName::T1 | RowName::T1Everysec | RowName::T5 | RowName::T16 => &[DEEP],
        RowName::T2 | RowName::T2Everysec => &[MIDDLE],
        RowName::T3 | RowName::T3Everysec => &[FLAT, MANY],
        RowName::Latency => &[FLAT, MANY, MIDDLE],
        RowName::T4 => &[DEEP, MIDDLE, FEW, FLAT, MANY],
        RowName::T6 | RowName::T6Everysec | RowName::T9 | RowName::T10 => &[BULK],
        RowName::T7 if effort == Effort::Smoke => &[PARTIAL_SMOKE],
        RowName::T7 => &[PARTIAL],
        RowName::T11 if effort == Effort::Smoke => &[IDLE_SMOKE],
        RowName::T11 => &[IDLE],
        RowName::T12 => &[ALONE, FLAT, CROWD],
        RowName::T13 | RowName::T14 | RowName::T15 | RowName::Limits => &[FLAT],
        RowName::Commands => &[ALONE],
    }
}

/// Who takes part in a row.
pub(super) fn servers(row: RowName) -> &'static [&'static str] {
    match row {
        RowName::T1 | RowName::T2 | RowName::T3 | RowName::Latency => &EVERYONE,
        RowName::T4 => &[OURS, OURS_EPOLL_BUILD],
        RowName::T5 | RowName::T11 | RowName::Commands => &[OURS, OURS_EPOLL, REDIS, VALKEY],
        RowName::T6 | RowName::T7 => &[OURS, OURS_FIXED, OURS_TOKIO, OURS_EPOLL, REDIS, VALKEY],
        RowName::T1Everysec | RowName::T2Everysec | RowName::T3Everysec => &EVERYSEC,
        RowName::T6Everysec => &[OURS_EVERYSEC],
        RowName::T12 => {
            &[OURS_NO, OURS_EVERYSEC, OURS_ALWAYS, REDIS_NO, REDIS_EVERYSEC, REDIS_ALWAYS, VALKEY_ALWAYS]
        }
        RowName::T13 => &[OURS_EVERYSEC, OURS_ALWAYS, REDIS_EVERYSEC, REDIS_ALWAYS],
        RowName::T14 => &[OURS_EVERYSEC, REDIS, REDIS_EVERYSEC, VALKEY, VALKEY_EVERYSEC],
        // Engines have nothing to do with the table.
        RowName::T9 | RowName::T10 | RowName::T15 => &[OURS, REDIS, VALKEY],
        RowName::T16 => &[OURS, OURS_TWO, REDIS, VALKEY],
        // The bare loop tells what the kernel and the load core have to do with it.
        RowName::Limits => &[OURS, OURS_EPOLL, BARE_EPOLL],
    }
}

/// Whether a server that takes part in a row does this work there: peers read either a snapshot or a journal, ours reads
/// the one and then what follows it in the other.
fn does(server: &str, work: Work) -> bool {
    match work {
        Work::Starting(Source::Snapshot, _) => [OURS_EVERYSEC, REDIS, VALKEY].contains(&server),
        Work::Starting(Source::Journal, _) => EVERYSEC.contains(&server),
        // It has neither large replies nor passwords, nor words.
        Work::Beside(Kind::Slow | Kind::Strangers) => server != BARE_EPOLL,
        Work::Closed
        | Work::Calls
        | Work::Open(_)
        | Work::Idle
        | Work::Keys(..)
        | Work::Partial(..)
        | Work::Among(_)
        | Work::Holding(..)
        | Work::Growing(_)
        | Work::Expiry(..)
        | Work::Snapshot(_)
        | Work::Beside(_)
        | Work::Each => true,
    }
}

/// Which of a contender's servers a step asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Instance {
    /// On its own processor, with the keys of the run.
    Main,
    /// The same with [`FEW_KEYS`].
    Few,
    /// On the processors of servers and load alike, as the load then is, too.
    Wide,
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
    /// Seconds that are; where a work takes as long as it takes, how long that is, without what its keys take.
    pub(super) seconds: f64,
    /// Keys that a server of its own has at first.
    pub(super) created: u64,
}

impl Step {
    /// Seconds this takes, more or less, for the display of the time left.
    pub(super) fn estimate(&self) -> f64 {
        // A server of its own, with its keys.
        let created = if self.row.is_durable() && self.warm > 0.0 { self.created as f64 * 1e-6 } else { 0.0 };
        let fresh = if self.row.is_durable() { 0.4 + created } else { 0.0 };
        fresh
            + match self.work {
                Work::Closed | Work::Open(_) => self.warm + self.seconds + 0.05,
                Work::Calls => self.warm + self.seconds + 0.15,
                Work::Idle => 0.5 + self.shape.connections as f64 * 1e-4,
                Work::Keys(..) | Work::Among(_) => self.warm + self.seconds + 0.1,
                Work::Partial(..) | Work::Each | Work::Beside(_) => self.seconds,
                Work::Holding(Population::Rows, keys) => self.seconds + keys as f64 * 4e-6,
                Work::Holding(_, keys) | Work::Growing(keys) => self.seconds + keys as f64 * 1e-6,
                Work::Expiry(_, keys) => self.seconds + keys as f64 * 8e-6,
                Work::Snapshot(keys) => self.seconds + keys as f64 * 2e-6,
                Work::Starting(_, keys) => self.seconds + keys as f64 * 1.5e-6,
            }
    }

    /// The rows that are compared with each other as one.
    pub(super) fn group(&self) -> (RowName, Shape, Work) {
        (self.row, self.shape, self.work)
    }

    /// The server that it asks, among those that live on; none = it starts its own.
    pub(super) fn instance(&self) -> Option<Instance> {
        match self.work {
            _ if self.row.is_durable() => None,
            Work::Closed | Work::Calls | Work::Open(_) if self.row == RowName::T16 => Some(Instance::Wide),
            Work::Among(FEW_KEYS) => Some(Instance::Few),
            Work::Closed | Work::Calls | Work::Open(_) | Work::Keys(..) | Work::Among(_) => {
                Some(Instance::Main)
            }
            Work::Idle
            | Work::Partial(..)
            | Work::Holding(..)
            | Work::Growing(_)
            | Work::Expiry(..)
            | Work::Snapshot(_)
            | Work::Starting(..)
            | Work::Beside(_)
            | Work::Each => None,
        }
    }

    /// Keys that must exist in the server that it asks.
    pub(super) fn keys(&self, effort: Effort) -> u64 {
        match self.work {
            Work::Closed | Work::Calls | Work::Open(_) if self.row.is_durable() => durable(effort),
            Work::Beside(_) => durable(effort),
            Work::Closed | Work::Calls | Work::Open(_) => keys(effort),
            Work::Keys(_, keys) | Work::Among(keys) | Work::Snapshot(keys) | Work::Starting(_, keys) => keys,
            Work::Idle
            | Work::Partial(..)
            | Work::Holding(..)
            | Work::Growing(_)
            | Work::Expiry(..)
            | Work::Each => 0,
        }
    }
}

/// Seconds that a run takes, more or less: its steps, and before them starts and keys of the servers that live on.
pub(super) fn estimate(steps: &[Step], effort: Effort) -> f64 {
    let mut standing: Vec<(&str, Instance, u64)> = Vec::new();
    let mut seconds = 0.0;
    for step in steps {
        seconds += step.estimate();
        let Some(instance) = step.instance() else { continue };
        let keys = step.keys(effort);
        match standing.iter_mut().find(|(server, of, _)| (*server, *of) == (step.server, instance)) {
            Some((_, _, there)) => {
                seconds += keys.saturating_sub(*there) as f64 * 1e-6;
                *there = keys.max(*there);
            }
            None => {
                seconds += 0.2 + keys as f64 * 1e-6;
                standing.push((step.server, instance, keys));
            }
        }
    }
    seconds
}

/// The same of a server that writes to disk, which has to be filled for each measurement.
fn durable(effort: Effort) -> u64 {
    match effort {
        Effort::Full => keys(effort),
        Effort::Quick => keys(effort) / 10,
        Effort::Smoke => keys(effort),
    }
}

/// The most keys that are there.
fn most(effort: Effort) -> u64 {
    match effort {
        Effort::Full | Effort::Smoke => 10 * keys(effort),
        Effort::Quick => 2 * keys(effort),
    }
}

/// Different keys that the load names, all of which exist.
pub(super) fn keys(effort: Effort) -> u64 {
    match effort {
        Effort::Full | Effort::Quick => 1_000_000,
        Effort::Smoke => 20_000,
    }
}

/// Keys of which so many are created where memory is measured: as many take long.
fn held(effort: Effort, keys: u64) -> u64 {
    match effort {
        Effort::Full => keys,
        Effort::Quick => keys / 20,
        Effort::Smoke => keys / 500,
    }
}

/// Keys of a snapshot, and of a server that starts.
fn stored(effort: Effort) -> u64 {
    match effort {
        Effort::Full => 10_000_000,
        Effort::Quick => 200_000,
        Effort::Smoke => 20_000,
    }
}

/// Numbers of keys at which memory is looked at while there come to be `most` of them.
pub(super) fn points(effort: Effort, most: u64) -> Vec<u64> {
    let (first, count) = match effort {
        Effort::Full => (most / 200, 40),
        Effort::Quick => (most / 20, 6),
        Effort::Smoke => (most / 20, 6),
    };
    counters::steps(first, most, count)
}

/// What a server that takes part in a row cannot do there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Unable {
    /// The row.
    pub(super) row: RowName,
    /// The work.
    pub(super) work: Work,
    /// The server.
    pub(super) server: &'static str,
    /// The command that it does not know.
    pub(super) command: &'static str,
}

/// Every step of a run, over the servers that are there, and what is left out because a server does not `know` a
/// command.
pub(super) fn steps(
    options: &Options,
    present: &[&'static str],
    know: impl Fn(&str, &str) -> bool,
) -> (Vec<Step>, Vec<Unable>) {
    let (mut steps, mut unable) = (Vec::new(), Vec::new());
    for &row in &options.rows {
        let servers: Vec<&str> =
            servers(row).iter().copied().filter(|server| present.contains(server)).collect();
        for &shape in shapes(row, options.effort) {
            for works in works(row, shape, options.effort) {
                let needed = works.iter().find_map(|&work| Some((work, work.needs()?)));
                let doing =
                    servers.iter().copied().filter(|server| works.iter().all(|&work| does(server, work)));
                let can = |server: &&str| needed.is_none_or(|(_, command)| know(server, command));
                let (able, lacking): (Vec<&str>, Vec<&str>) = doing.partition(can);
                if let Some((work, command)) = needed {
                    unable.extend(lacking.into_iter().map(|server| Unable { row, work, server, command }));
                }
                let rounds = rounds(options, row, works[0]);
                push_rounds(&mut steps, options.effort, (row, shape), &able, &works, rounds);
            }
        }
    }
    (steps, unable)
}

/// What is done in a row under a shape, in order. Works that are compared with each other are in one list: a server does
/// them one right after the other, in each of its turns.
fn works(row: RowName, shape: Shape, effort: Effort) -> Vec<Vec<Work>> {
    let many = most(effort);
    let one_by_one = match row {
        RowName::T5 => return vec![vec![Work::Among(FEW_KEYS), Work::Among(many)]],
        RowName::T4 if shape.depth == 1 => vec![Work::Closed, Work::Open(HALF), Work::Calls],
        RowName::Latency => vec![Work::Closed, Work::Open(HALF), Work::Open(NEARLY)],
        RowName::T1 | RowName::T2 | RowName::T3 | RowName::T4 => vec![Work::Closed, Work::Calls],
        RowName::T1Everysec | RowName::T2Everysec | RowName::T3Everysec | RowName::T12 => vec![Work::Closed],
        RowName::T6Everysec => [durable(effort), many].map(|keys| Work::Keys(Many::Mincrby, keys)).to_vec(),
        RowName::T13 => vec![Work::Snapshot(stored(effort))],
        RowName::T14 => {
            [Source::Snapshot, Source::Journal].map(|source| Work::Starting(source, stored(effort))).to_vec()
        }
        RowName::T6 => [keys(effort), many]
            .into_iter()
            .flat_map(|keys| [Many::Mget, Many::Mincrby].map(|command| Work::Keys(command, keys)))
            .collect(),
        RowName::T7 => [Many::Mget, Many::Mset]
            .into_iter()
            .flat_map(|command| [Delivery::Whole, Delivery::Pieces].map(|how| Work::Partial(command, how)))
            .collect(),
        RowName::T9 => {
            let keys = held(effort, 10_000_000);
            let populations = [Population::Articles, Population::Days, Population::Words, Population::Timed];
            let mut works: Vec<Work> = populations.map(|population| Work::Holding(population, keys)).to_vec();
            works.push(Work::Holding(Population::Throttles, held(effort, 1_000_000)));
            works.push(Work::Growing(2 * keys));
            works
        }
        RowName::T10 => vec![Work::Holding(Population::Rows, held(effort, 1_000_000))],
        RowName::T11 => vec![Work::Idle],
        RowName::T15 => {
            let keys = if effort == Effort::Quick { keys(effort) / 10 } else { keys(effort) };
            let due = [Due::Spread, Due::AtOnce].map(|due| Work::Expiry(due, keys));
            [Work::Closed].into_iter().chain(due).collect()
        }
        RowName::T16 => vec![Work::Closed],
        RowName::Limits => {
            let part = if effort == Effort::Quick { 2 } else { 1 };
            Kind::ALL.into_iter().step_by(part).map(Work::Beside).collect()
        }
        RowName::Commands => vec![Work::Each],
    };
    one_by_one.into_iter().map(|work| vec![work]).collect()
}

/// Arguments behind the name of a request of T7.
pub(super) fn partial_arguments(effort: Effort) -> u32 {
    match effort {
        Effort::Full => 100_000,
        Effort::Quick => 20_000,
        Effort::Smoke => 5_000,
    }
}

fn rounds(options: &Options, row: RowName, work: Work) -> usize {
    // One count is exact, and one curve is a picture.
    if matches!(work, Work::Calls | Work::Growing(_)) {
        return 1;
    }
    options.rounds.unwrap_or(match (options.effort, row) {
        (Effort::Full, RowName::T4) => 15,
        (Effort::Full, _) => 5,
        // A look: where it is about more than that, say how many.
        (Effort::Quick, RowName::T1 | RowName::T2 | RowName::T3) => 2,
        (Effort::Quick, _) => 1,
        (Effort::Smoke, _) => 1,
    })
}

/// Seconds of load that are not measured, and that are.
fn times(effort: Effort, work: Work) -> (f64, f64) {
    match (effort, work) {
        (Effort::Full, Work::Closed | Work::Keys(..) | Work::Among(_)) => (0.5, 2.0),
        (Effort::Full, Work::Open(_)) => (0.5, 4.0),
        (Effort::Full, Work::Calls) => (0.3, 0.5),
        (Effort::Quick, Work::Closed | Work::Keys(..) | Work::Among(_)) => (0.1, 0.3),
        (Effort::Quick, Work::Open(_)) => (0.1, 0.5),
        (Effort::Quick, Work::Calls) => (0.05, 0.15),
        (Effort::Smoke, Work::Open(_)) => (0.05, 0.3),
        (Effort::Smoke, Work::Closed | Work::Calls | Work::Keys(..) | Work::Among(_)) => (0.05, 0.1),
        // As long as it takes; this is what it took.
        (_, Work::Idle) => (0.0, 0.0),
        (Effort::Full, Work::Partial(_, Delivery::Whole)) => (0.0, 1.0),
        (Effort::Full, Work::Partial(_, Delivery::Pieces)) => (0.0, 4.0),
        (_, Work::Partial(_, Delivery::Whole)) => (0.0, 0.5),
        (_, Work::Partial(_, Delivery::Pieces)) => (0.0, 0.8),
        (Effort::Full, Work::Holding(..)) | (_, Work::Starting(..)) => (0.0, 1.0),
        (_, Work::Holding(..)) => (0.0, 0.7),
        (Effort::Full, Work::Growing(_)) => (0.0, 15.0),
        (_, Work::Growing(_)) => (0.0, 2.0),
        (Effort::Full, Work::Expiry(..) | Work::Snapshot(_)) => (0.0, 5.0),
        (_, Work::Expiry(..) | Work::Snapshot(_)) => (0.0, 2.8),
        (Effort::Full, Work::Beside(_)) => (0.0, 20.0),
        (_, Work::Beside(_)) => (0.0, 3.3),
        (Effort::Full, Work::Each) => (0.0, 3.0),
        (_, Work::Each) => (0.0, 1.5),
    }
}

fn push_rounds(
    steps: &mut Vec<Step>,
    effort: Effort,
    (row, shape): (RowName, Shape),
    servers: &[&'static str],
    works: &[Work],
    rounds: usize,
) {
    for round in 0..rounds {
        for turn in 0..servers.len() {
            let server = servers[(round + turn) % servers.len()];
            for &work in works {
                let (warm, seconds) = times(effort, work);
                let created = durable(effort);
                steps.push(Step { row, shape, server, round, work, warm, seconds, created });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::{FEW_KEYS, Instance, RowName, Shape, Work, push_rounds, steps};
    use crate::compare::options::{Effort, Options, arguments};

    fn asked(line: &str) -> Options {
        Options::read(&arguments(Command::new("compare")).get_matches_from(line.split(' '))).unwrap()
    }

    #[test]
    fn every_round_has_every_server_once_and_starts_with_the_next() {
        let mut steps = Vec::new();
        let shape = Shape { connections: 1, depth: 1 };
        push_rounds(&mut steps, Effort::Quick, (RowName::T4, shape), &["a", "b"], &[Work::Closed], 3);
        let order: Vec<(usize, &str)> = steps.iter().map(|step| (step.round, step.server)).collect();
        assert_eq!(order, [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]);
    }

    #[test]
    fn works_that_are_compared_with_each_other_follow_each_other() {
        let (steps, _) = steps(&asked("compare --only T5 --quick"), &["redis", "valkey"], |_, _| true);
        assert_eq!(steps.len(), 4);
        for (number, pair) in steps.chunks(2).enumerate() {
            assert_eq!((pair[0].server, pair[0].round), (pair[1].server, pair[1].round));
            assert_eq!(pair[0].round, number / 2);
            assert_eq!(pair[0].work, Work::Among(FEW_KEYS));
            let instances = [pair[0].instance(), pair[1].instance()];
            assert_eq!(instances, [Some(Instance::Few), Some(Instance::Main)]);
        }
    }

    #[test]
    fn no_row_meets_more_keys_than_it_names() {
        for line in ["compare", "compare --quick", "compare --smoke"] {
            let options = asked(line);
            let (steps, _) = steps(&options, &["tallyring-uring", "redis"], |_, _| true);
            let of = |instance| steps.iter().filter(move |step| step.instance() == Some(instance));
            // T15 has new ones: the rows before it start their own.
            let main = of(Instance::Main).filter(|step| step.row != RowName::T15);
            assert!(main.map(|step| step.keys(options.effort)).is_sorted(), "{line}");
            assert!(of(Instance::Few).all(|step| step.keys(options.effort) == FEW_KEYS), "{line}");
        }
    }

    #[test]
    fn what_a_server_does_not_know_is_left_out_and_said() {
        let know = |server: &str, command: &str| server == "tallyring-uring" && command == "HSET";
        let (steps, unable) =
            steps(&asked("compare --only T9,T10 --quick"), &["tallyring-uring", "redis"], know);
        let said: Vec<(&str, &str)> = unable.iter().map(|unable| (unable.server, unable.command)).collect();
        assert_eq!(said, [("tallyring-uring", "CL.THROTTLE"), ("redis", "CL.THROTTLE"), ("redis", "HSET")]);
        assert_eq!(steps.iter().filter(|step| step.row == RowName::T10).count(), 1);
    }

    #[test]
    fn a_quick_run_of_everything_is_planned_to_take_less_than_five_minutes() {
        let options = asked("compare --quick");
        let (steps, _) = steps(&options, &crate::compare::contender::NAMES, |_, _| true);
        let planned = super::estimate(&steps, options.effort);
        assert!(planned < 300.0, "{planned:.0} s");
        let several = |row| steps.iter().filter(|step| step.row == row).map(|step| step.round).max();
        assert_eq!([several(RowName::T1), several(RowName::Latency)], [Some(1), Some(0)]);
    }

    #[test]
    fn keys_are_created_once_for_all_rows_that_find_them() {
        let options = asked("compare --quick --only T1,T2,T6");
        let (steps, _) = steps(&options, &["redis"], |_, _| true);
        let measured: f64 = steps.iter().map(super::Step::estimate).sum();
        let created = super::estimate(&steps, options.effort) - measured;
        assert!((created - 2.2).abs() < 1e-9, "a start, a million keys, another million: {created}");
    }
}
