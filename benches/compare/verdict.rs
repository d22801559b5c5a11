//! The targets as data, and whether a run met them.
//!
//! A target without its figures is neither met nor missed: it says what is not there.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::load::population::Population;
use crate::load::snapshot::Snapshot;

use super::contender::{
    BARE_EPOLL, BARE_RING, OURS, OURS_ALWAYS, OURS_EPOLL, OURS_EPOLL_BUILD, OURS_EVERYSEC, OURS_NO, OURS_TWO,
    REDIS, REDIS_ALWAYS, REDIS_EVERYSEC, VALKEY, VALKEY_EVERYSEC,
};
use super::record::Sample;
use super::row::{RowName, Shape};
use super::statistics::{Spread, median, paired_ratio, spread};
use super::work::{FEW_KEYS, HALF, Many, Source, Work};

/// A figure of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    /// Processor time per operation.
    Cpu,
    /// System calls per operation.
    Calls,
    /// Latency at half load that half of the requests stay below.
    P50,
    /// The same for 99 %.
    P99,
    /// Bytes per idle connection.
    Connection,
    /// Processor time per key of this command.
    Key(Many),
    /// Memory held per byte sent of this command, whose end is still to come.
    Held(Many),
    /// Processor time per operation among many keys.
    Among,
    /// Memory per counter of these keys.
    Counter(Population),
    /// The same without the key's own bytes.
    BesideKey(Population),
    /// Seconds until keys that expire together are gone.
    Gone,
    /// Operations a second.
    Rate,
    /// Latency that 99.9 % of the requests stay below while a snapshot is written, in terms of what it was before.
    Saving,
    /// Memory that a snapshot takes, in terms of what there was before.
    Growth,
    /// Seconds until a server with data answers.
    Start(Source),
    /// Latency that 99 % of the requests stay below while keys expire, in terms of what it was before.
    Expiring,
    /// Latency that 99 % of the requests stay below beside harm, in terms of what it was before.
    Disturbed,
    /// MiB of memory that do not come back afterwards, without the slots of its connections.
    Left,
    /// What the server says that it did about the harm.
    Counted,
}

impl Metric {
    fn text(self) -> &'static str {
        match self {
            Self::Cpu => "CPU/op",
            Self::Calls => "system calls/op",
            Self::P50 => "p50 at half load",
            Self::P99 => "p99 at half load",
            Self::Connection => "bytes per idle connection",
            Self::Key(_) => "ns of CPU per key",
            Self::Held(_) => "memory held ÷ bytes sent",
            Self::Among => "CPU/op",
            Self::Counter(_) => "bytes per counter",
            Self::BesideKey(_) => "bytes per counter beside its key",
            Self::Gone => "seconds until all are gone",
            Self::Rate => "throughput",
            Self::Saving => "p99.9 while a snapshot is written ÷ before",
            Self::Growth => "memory growth meanwhile ÷ before",
            Self::Start(_) => "seconds until it answers",
            Self::Expiring => "p99 while keys expire ÷ before",
            Self::Disturbed => "p99 ÷ before",
            Self::Left => "MiB that stay afterwards",
            Self::Counted => "count in INFO",
        }
    }

    /// Whether this work has the figure.
    fn is_of(self, work: Work) -> bool {
        match self {
            Self::Cpu | Self::Rate => work == Work::Closed,
            Self::Calls => work == Work::Calls,
            Self::P50 | Self::P99 => work == Work::Open(HALF),
            Self::Connection => work == Work::Idle,
            Self::Key(command) => matches!(work, Work::Keys(of, _) if of == command),
            Self::Held(command) => matches!(work, Work::Partial(of, _) if of == command),
            Self::Among => matches!(work, Work::Among(keys) if keys > FEW_KEYS),
            Self::Counter(population) | Self::BesideKey(population) => {
                matches!(work, Work::Holding(of, _) if of == population)
            }
            Self::Saving | Self::Growth => matches!(work, Work::Snapshot(_)),
            Self::Start(source) => matches!(work, Work::Starting(of, _) if of == source),
            Self::Gone | Self::Expiring => matches!(work, Work::Expiry(..)),
            Self::Disturbed | Self::Left => matches!(work, Work::Beside(_)),
            Self::Counted => matches!(work, Work::Beside(harm) if harm.counter().is_some()),
        }
    }

    fn of(self, sample: &Sample) -> Option<f64> {
        // Latencies of a generator that was late are its own.
        let kept = sample.report.as_ref().filter(|report| report.kept_up);
        let latency = kept.map(|report| report.latency);
        match self {
            Self::Cpu | Self::Among => sample.cpu_us,
            Self::Calls => sample.system_calls,
            Self::P50 => latency.map(|latency| latency.p50),
            Self::P99 => latency.map(|latency| latency.p99),
            Self::Connection => sample.per_connection,
            Self::Key(_) => sample.per_key_ns,
            Self::Held(_) => sample.held,
            Self::Counter(_) => sample.point.map(|point| point.per_counter),
            Self::BesideKey(_) => sample.point.map(|point| point.per_counter - point.key_bytes),
            // Where some were left, the time they were waited for: it was at least that.
            Self::Gone => sample.expiry.as_ref().map(|expiry| expiry.gone_s),
            Self::Rate => sample.report.as_ref().map(|report| report.rate),
            Self::Saving => {
                let kept = sample.snapshot.as_ref().filter(|snapshot| snapshot.kept_up);
                kept.map(|snapshot| snapshot.saving.p999 / snapshot.quiet.p999)
            }
            Self::Growth => sample.snapshot.as_deref().map(Snapshot::growth),
            Self::Start(_) => sample.start.map(|start| start.seconds),
            Self::Expiring => {
                let kept = sample.expiry.as_ref().filter(|expiry| expiry.kept_up);
                kept.map(|expiry| expiry.expiring.p99 / expiry.quiet.p99)
            }
            Self::Disturbed => {
                let kept = sample.limits.as_ref().filter(|limits| limits.disturbance.kept_up);
                kept.map(|limits| limits.disturbance.ratio())
            }
            Self::Left => sample.limits.as_ref().map(|limits| limits.left_mib()),
            Self::Counted => sample.limits.as_ref()?.counted().map(|counted| counted as f64),
        }
    }
}

/// What a figure is compared with.
#[derive(Clone, Copy, Debug)]
enum Against {
    /// Nothing: the bound is the figure's own.
    Nothing,
    /// The best of these, under the same work.
    Best(&'static [&'static str]),
    /// The same server's, under another work of the row and shape.
    Itself(Work),
}

/// One target: `metric` of `ours` is at most (or at least) `bound` × what it is compared with.
struct Target {
    row: RowName,
    metric: Metric,
    ours: &'static str,
    against: Against,
    bound: f64,
    /// Bound of the interval's upper end, where there is one.
    upper: Option<f64>,
    /// Shapes with fewer connections do not count.
    connections: usize,
    /// Shapes with more connections do not count.
    most: usize,
    /// Whether more is better.
    least: bool,
}

/// At most `bound` × the best of some.
const fn target(row: RowName, metric: Metric, best: &'static [&'static str], bound: f64) -> Target {
    Target { against: Against::Best(best), ..own(row, metric, bound) }
}

/// At most `bound`.
const fn own(row: RowName, metric: Metric, bound: f64) -> Target {
    let against = Against::Nothing;
    Target {
        row,
        metric,
        ours: OURS,
        against,
        bound,
        upper: None,
        connections: 0,
        most: usize::MAX,
        least: false,
    }
}

/// With a journal synced every second, at most `bound` × the better peer with the same.
const fn everysec(row: RowName, bound: f64) -> Target {
    Target { ours: OURS_EVERYSEC, ..target(row, Metric::Cpu, &[REDIS_EVERYSEC, VALKEY_EVERYSEC], bound) }
}

/// Synced before replies leave, under the shape of so many connections: `metric` against another server's.
const fn always(metric: Metric, connections: usize, best: &'static [&'static str], bound: f64) -> Target {
    Target { ours: OURS_ALWAYS, connections, most: connections, ..target(RowName::T12, metric, best, bound) }
}

/// The same with a bound from below.
const fn at_least(target: Target) -> Target {
    Target { least: true, ..target }
}

const TARGETS: [Target; 47] = [
    target(RowName::T1, Metric::Cpu, &[REDIS, VALKEY], 0.50),
    target(RowName::T2, Metric::Cpu, &[REDIS, VALKEY], 0.70),
    target(RowName::T3, Metric::Cpu, &[REDIS], 0.90),
    target(RowName::T3, Metric::Cpu, &[VALKEY], 0.90),
    target(RowName::T3, Metric::Cpu, &[BARE_EPOLL], 1.05),
    target(RowName::T3, Metric::Cpu, &[BARE_RING], 1.05),
    Target { upper: Some(1.03), ..target(RowName::T4, Metric::Cpu, &[OURS_EPOLL_BUILD], 1.0) },
    Target { connections: 50, ..target(RowName::T4, Metric::Calls, &[OURS_EPOLL_BUILD], 0.1) },
    target(RowName::T4, Metric::P50, &[OURS_EPOLL_BUILD], 1.05),
    target(RowName::T4, Metric::P99, &[OURS_EPOLL_BUILD], 1.05),
    Target { against: Against::Itself(Work::Among(FEW_KEYS)), ..own(RowName::T5, Metric::Among, 1.25) },
    target(RowName::T5, Metric::Among, &[REDIS], 0.5),
    own(RowName::T6, Metric::Key(Many::Mget), 45.0),
    own(RowName::T6, Metric::Key(Many::Mincrby), 60.0),
    own(RowName::T7, Metric::Held(Many::Mget), 0.05),
    own(RowName::T7, Metric::Held(Many::Mset), 1.15),
    own(RowName::T9, Metric::Counter(Population::Articles), 16.0),
    own(RowName::T9, Metric::BesideKey(Population::Words), 16.0),
    own(RowName::T9, Metric::Counter(Population::Timed), 32.0),
    own(RowName::T9, Metric::BesideKey(Population::Throttles), 32.0),
    own(RowName::T10, Metric::Counter(Population::Rows), 10.0),
    own(RowName::T11, Metric::Connection, 400.0),
    Target { ours: OURS_EPOLL, ..own(RowName::T11, Metric::Connection, 400.0) },
    everysec(RowName::T1Everysec, 0.65),
    everysec(RowName::T2Everysec, 0.80),
    everysec(RowName::T3Everysec, 0.90),
    Target { ours: OURS_EVERYSEC, ..own(RowName::T6Everysec, Metric::Key(Many::Mincrby), 100.0) },
    at_least(always(Metric::Rate, 500, &[OURS_NO], 0.85)),
    // As much work for each operation as that throughput leaves time for.
    always(Metric::Cpu, 500, &[OURS_NO], 1.0 / 0.85),
    at_least(always(Metric::Rate, 50, &[REDIS_ALWAYS], 1.2)),
    at_least(always(Metric::Rate, 1, &[REDIS_ALWAYS], 1.0)),
    Target { connections: 0, most: usize::MAX, ..always(Metric::Cpu, 0, &[REDIS_ALWAYS], 0.85) },
    Target { ours: OURS_EVERYSEC, ..own(RowName::T13, Metric::Saving, 1.5) },
    Target { ours: OURS_ALWAYS, ..own(RowName::T13, Metric::Saving, 1.5) },
    Target { ours: OURS_EVERYSEC, ..own(RowName::T13, Metric::Growth, 0.05) },
    Target { ours: OURS_ALWAYS, ..own(RowName::T13, Metric::Growth, 0.05) },
    Target { ours: OURS_EVERYSEC, ..own(RowName::T14, Metric::Start(Source::Snapshot), 3.0) },
    Target { ours: OURS_EVERYSEC, ..own(RowName::T14, Metric::Start(Source::Journal), 8.0) },
    own(RowName::T15, Metric::Gone, 2.0),
    own(RowName::T15, Metric::Expiring, 1.5),
    own(RowName::Limits, Metric::Disturbed, 2.0),
    // What a loop without limits and without a table shows is the kernel's part and the load core's.
    target(RowName::Limits, Metric::Disturbed, &[BARE_EPOLL], 2.0),
    Target { ours: OURS_EPOLL, ..own(RowName::Limits, Metric::Disturbed, 2.0) },
    own(RowName::Limits, Metric::Left, 8.0),
    Target { ours: OURS_EPOLL, ..own(RowName::Limits, Metric::Left, 8.0) },
    at_least(own(RowName::Limits, Metric::Counted, 1.0)),
    Target { ours: OURS_TWO, ..target(RowName::T16, Metric::Cpu, &[OURS], 1.25) },
];

/// A target and what came of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Judged {
    /// The row.
    pub(super) row: RowName,
    /// The shape.
    pub(super) shape: Shape,
    /// What is compared, in words.
    pub(super) what: String,
    /// Median and interval of the paired ratios (or of the figure itself); none = figures are not there.
    pub(super) value: Option<Spread>,
    /// At most this, or at least.
    pub(super) bound: f64,
    /// Whether at least.
    pub(super) least: bool,
    /// The interval's upper end at most this.
    pub(super) upper: Option<f64>,
    /// Whether it is met.
    pub(super) met: Option<bool>,
}

/// What the servers of a row did in turns: its shape, and the work.
pub(super) type Group = (RowName, Shape, Work);

/// The figures of one server in a group, by round.
pub(super) fn values(samples: &[Sample], group: Group, server: &str, metric: Metric) -> BTreeMap<usize, f64> {
    samples
        .iter()
        .filter(|sample| (sample.row, sample.shape, sample.work) == group && sample.server == server)
        .filter_map(|sample| Some((sample.round, metric.of(sample)?)))
        .collect()
}

/// Median and interval of the ratios of the rounds that both have.
fn ratio(ours: &BTreeMap<usize, f64>, theirs: &BTreeMap<usize, f64>) -> Option<Spread> {
    let pairs = ours.iter().filter_map(|(round, &ours)| Some((ours, *theirs.get(round)?)));
    let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.unzip();
    paired_ratio(&ours, &theirs)
}

/// Every row and shape that has samples, in order.
pub(super) fn shapes(samples: &[Sample]) -> Vec<(RowName, Shape)> {
    let mut seen = Vec::new();
    for sample in samples {
        if !seen.contains(&(sample.row, sample.shape)) {
            seen.push((sample.row, sample.shape));
        }
    }
    seen
}

/// Every group that has samples, in order.
pub(super) fn groups(samples: &[Sample]) -> Vec<Group> {
    let mut seen = Vec::new();
    for sample in samples {
        let group = (sample.row, sample.shape, sample.work);
        if !seen.contains(&group) {
            seen.push(group);
        }
    }
    seen
}

/// Judges every target of the rows that were measured.
pub(super) fn judge(samples: &[Sample]) -> Vec<Judged> {
    let mut judged = Vec::new();
    for group in groups(samples) {
        let (row, shape, work) = group;
        for target in TARGETS.iter().filter(|target| target.row == row && target.metric.is_of(work)) {
            if (target.connections..=target.most).contains(&shape.connections) {
                judged.push(judge_one(samples, target, group));
            }
        }
    }
    judged
}

/// The figures without their rounds.
pub(super) fn all(values: &BTreeMap<usize, f64>) -> Vec<f64> {
    values.values().copied().collect()
}

fn judge_one(samples: &[Sample], target: &Target, group: Group) -> Judged {
    let (row, shape, work) = group;
    let of = |server| values(samples, group, server, target.metric);
    let ours = of(target.ours);
    let (value, against) = match target.against {
        Against::Nothing => (spread(&all(&ours)), String::new()),
        Against::Itself(base) => {
            let base_values = values(samples, (row, shape, base), target.ours, target.metric);
            (ratio(&ours, &base_values), format!(" ÷ {base}"))
        }
        Against::Best(servers) => {
            let medians = servers.iter().filter_map(|&server| Some((server, median(&all(&of(server)))?)));
            let better = |one: f64, other: f64| {
                if target.least { other.total_cmp(&one) } else { one.total_cmp(&other) }
            };
            match medians.min_by(|(_, one), (_, other)| better(*one, *other)) {
                Some((server, _)) => (ratio(&ours, &of(server)), format!(" ÷ {server}")),
                None => (None, format!(" ÷ {} (no figures)", servers.join(" or "))),
            }
        }
    };
    let which = match work {
        Work::Keys(..)
        | Work::Partial(..)
        | Work::Among(_)
        | Work::Holding(..)
        | Work::Expiry(..)
        | Work::Snapshot(_)
        | Work::Beside(_)
        | Work::Starting(..) => format!(", {work}"),
        Work::Closed | Work::Calls | Work::Open(_) | Work::Idle | Work::Growing(_) | Work::Each => {
            String::new()
        }
    };
    let met = value.map(|value| {
        let within = if target.least { value.median >= target.bound } else { value.median <= target.bound };
        within && target.upper.is_none_or(|upper| value.high <= upper)
    });
    Judged {
        row,
        shape,
        what: format!("{} of {}{which}{against}", target.metric.text(), target.ours),
        value,
        bound: target.bound,
        least: target.least,
        upper: target.upper,
        met,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{FEW_KEYS, Many, Metric, Population, RowName, Sample, Shape, Work, judge, ratio};
    use crate::compare::counters::Point;
    use crate::compare::work::Due;
    use crate::load::expiry::Expiry;
    use crate::load::report::{Latency, Report};

    fn sample(row: RowName, server: &'static str, round: usize, cpu: f64) -> Sample {
        let shape = Shape { connections: 50, depth: 64 };
        Sample { cpu_us: Some(cpu), ..Sample::blank((row, shape, Work::Closed), server, round) }
    }

    #[test]
    fn the_better_peer_counts() {
        let mut samples = Vec::new();
        for round in 0..5 {
            samples.push(sample(RowName::T1, "tallyring-uring", round, 0.18));
            samples.push(sample(RowName::T1, "redis", round, 0.40));
            samples.push(sample(RowName::T1, "valkey", round, 0.30));
        }
        let judged = judge(&samples);
        assert_eq!(judged.len(), 1);
        assert!((judged[0].value.unwrap().median - 0.6).abs() < 1e-9);
        assert_eq!(judged[0].met, Some(false));
        assert!(judged[0].what.ends_with("÷ valkey"), "{}", judged[0].what);
    }

    #[test]
    fn only_rounds_that_both_have_are_paired() {
        let ours = BTreeMap::from([(0, 1.0), (2, 3.0), (3, 5.0)]);
        let theirs = BTreeMap::from([(0, 2.0), (1, 100.0), (2, 6.0)]);
        let ratio = ratio(&ours, &theirs).unwrap();
        assert_eq!((ratio.low, ratio.median, ratio.high), (0.5, 0.5, 0.5));
    }

    #[test]
    fn without_figures_there_is_no_verdict() {
        let judged = judge(&[sample(RowName::T1, "redis", 0, 0.4)]);
        assert_eq!((judged.len(), judged[0].met), (1, None));
    }

    #[test]
    fn each_work_of_a_row_is_judged_by_its_own_target() {
        let of = |command, keys, ns| Sample {
            work: Work::Keys(command, keys),
            per_key_ns: Some(ns),
            ..sample(RowName::T6, "tallyring-uring", 0, 400.0)
        };
        let judged =
            judge(&[of(Many::Mget, 10, 44.0), of(Many::Mget, 100, 59.0), of(Many::Mincrby, 10, 59.0)]);
        let met: Vec<Option<bool>> = judged.iter().map(|judged| judged.met).collect();
        assert_eq!(met, [Some(true), Some(false), Some(true)]);
        assert!(judged[1].what.ends_with("MGET of 100 keys"), "{}", judged[1].what);
    }

    #[test]
    fn an_interval_above_its_bound_misses_the_target() {
        let mut samples = Vec::new();
        for round in 0..15_u8 {
            let ours = if round % 3 == 0 { 1.2 } else { 0.99 };
            samples.push(sample(RowName::T4, "tallyring-uring", round.into(), ours));
            samples.push(sample(RowName::T4, "tallyring-epoll-build", round.into(), 1.0));
        }
        let judged = judge(&samples);
        let cpu = judged.iter().find(|judged| judged.what.starts_with(Metric::Cpu.text())).unwrap();
        assert!(cpu.value.unwrap().median < 1.0);
        assert_eq!(cpu.met, Some(cpu.value.unwrap().high <= 1.03));
    }

    #[test]
    fn many_keys_are_compared_with_few_of_the_same_round() {
        let of = |keys, server, round, cpu| Sample {
            work: Work::Among(keys),
            ..sample(RowName::T5, server, round, cpu)
        };
        let mut samples = Vec::new();
        for (round, slow) in [(0, 1.0), (1, 3.0), (2, 1.0)] {
            samples.push(of(FEW_KEYS, "tallyring-uring", round, 0.2 * slow));
            samples.push(of(10_000_000, "tallyring-uring", round, 0.24 * slow));
            samples.push(of(10_000_000, "redis", round, 0.6 * slow));
        }
        let judged = judge(&samples);
        let found: Vec<(f64, Option<bool>)> =
            judged.iter().map(|judged| (judged.value.unwrap().high, judged.met)).collect();
        assert!((found[0].0 - 1.2).abs() < 1e-9 && (found[1].0 - 0.4).abs() < 1e-9, "{found:?}");
        assert!(found.iter().all(|(_, met)| *met == Some(true)));
        assert!(judged[0].what.ends_with("among 10000000 keys ÷ among 1000 keys"), "{}", judged[0].what);
    }

    #[test]
    fn keys_that_say_nothing_may_cost_their_own_bytes_too() {
        let of = |population, per_counter| Sample {
            work: Work::Holding(population, 10),
            point: Some(Point { counters: 10, per_counter, dataset: None, key_bytes: 16.0, bytes: 0 }),
            ..sample(RowName::T9, "tallyring-uring", 0, 0.0)
        };
        let samples =
            [of(Population::Words, 32.0), of(Population::Articles, 16.5), of(Population::Days, 99.0)];
        let met: Vec<Option<bool>> = judge(&samples).iter().map(|judged| judged.met).collect();
        assert_eq!(met, [Some(true), Some(false)]);
    }

    #[test]
    fn keys_that_stay_miss_their_target_and_a_late_generator_says_nothing() {
        let latency = |p99| Latency { p99, ..Latency::default() };
        let expiry = Expiry {
            due: 10,
            spread_ms: 1000,
            asked_rate: 1.0,
            creating_s: 0.0,
            gone_s: 20.0,
            left: 3,
            quiet: latency(10.0),
            expiring: latency(14.0),
            late: latency(0.0),
            kept_up: true,
        };
        let of = |kept_up| Sample {
            work: Work::Expiry(Due::Spread, 10),
            expiry: Some(Box::new(Expiry { kept_up, ..expiry.clone() })),
            ..sample(RowName::T15, "tallyring-uring", 0, 0.0)
        };
        let met = |sample| judge(&[sample]).iter().map(|judged| judged.met).collect::<Vec<Option<bool>>>();
        assert_eq!(met(of(true)), [Some(false), Some(true)]);
        assert_eq!(met(of(false)), [Some(false), None]);
    }

    #[test]
    fn more_throughput_is_better_and_counts_under_its_own_shape() {
        let of = |connections, server, rate| {
            let shape = Shape { connections, depth: 1 };
            let report = Report { rate, ..report() };
            Sample { report: Some(report), ..Sample::blank((RowName::T12, shape, Work::Closed), server, 0) }
        };
        let samples = [
            of(1, "tallyring-uring-always", 90.0),
            of(1, "redis-always", 100.0),
            of(50, "tallyring-uring-always", 130.0),
            of(50, "redis-always", 100.0),
        ];
        let judged = judge(&samples);
        let rates: Vec<_> = judged.iter().filter(|judged| judged.least).collect();
        let met: Vec<(f64, Option<bool>)> = rates.iter().map(|judged| (judged.bound, judged.met)).collect();
        assert_eq!(met, [(1.0, Some(false)), (1.2, Some(true))]);
    }

    fn report() -> Report {
        Report {
            mix: "incr".to_owned(),
            connections: 1,
            depth: 1,
            keys: 1,
            seed: 1,
            operations: 1,
            keys_named: 1,
            seconds: 1.0,
            asked_rate: None,
            rate: 1.0,
            latency: Latency::default(),
            histogram: None,
            late: None,
            kept_up: true,
            generator_load: 1.0,
            generator_rss: 0,
        }
    }

    #[test]
    fn two_workers_are_compared_with_one() {
        let samples = [
            sample(RowName::T16, "tallyring-uring", 0, 0.20),
            sample(RowName::T16, "tallyring-uring-2-workers", 0, 0.26),
            sample(RowName::T16, "redis", 0, 0.10),
        ];
        let judged = judge(&samples);
        assert_eq!((judged.len(), judged[0].met), (1, Some(false)));
        assert!(judged[0].what.ends_with("÷ tallyring-uring"), "{}", judged[0].what);
    }
}
