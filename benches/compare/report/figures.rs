//! What of a measurement is compared: the figures that a sample has, and which servers a server of ours stands beside.

use std::collections::BTreeMap;

use crate::compare::contender::{OURS, is_ours};
use crate::compare::statistics::{Spread, paired_ratio, spread};

use super::choice::Group;
use super::reading::Sample;

/// A figure: its name, whether more of it is better, and how it is read.
#[derive(Clone, Copy)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) more: bool,
    pub(super) of: fn(&Sample) -> Option<f64>,
}

const fn less(name: &'static str, of: fn(&Sample) -> Option<f64>) -> Figure {
    Figure { name, more: false, of }
}

/// All that are compared. A sample has few of them.
pub(super) const FIGURES: [Figure; 13] = [
    less("CPU/op, µs", |sample| {
        sample.cpu_us.filter(|_| is_saturated(sample) && sample.per_key_ns.is_none())
    }),
    Figure {
        name: "op/s",
        more: true,
        of: |sample| Some(sample.report.as_ref().filter(|_| sample.row == "T12")?.rate),
    },
    less("p50, µs", |sample| Some(kept(sample)?.p50)),
    less("p99, µs", |sample| Some(kept(sample)?.p99)),
    less("p99.9, µs", |sample| Some(kept(sample)?.p999)),
    less("CPU per key, ns", |sample| sample.per_key_ns),
    less("memory held ÷ bytes sent", |sample| sample.held),
    less("bytes per counter", |sample| {
        sample.point.filter(|_| !is_curve(sample)).map(|point| point.per_counter)
    }),
    less("bytes per idle connection", |sample| sample.per_connection.filter(|_| sample.held.is_none())),
    less("seconds until all are gone", |sample| Some(sample.expiry?.gone_s)),
    less("p99 meanwhile ÷ before", |sample| {
        let expiry = sample.expiry.filter(|expiry| expiry.kept_up)?;
        Some(expiry.expiring.p99 / expiry.quiet.p99)
    }),
    less("p99.9 meanwhile ÷ before", |sample| {
        let snapshot = sample.snapshot.filter(|snapshot| snapshot.kept_up)?;
        Some(snapshot.saving.p999 / snapshot.quiet.p999)
    }),
    less("seconds until it answers", |sample| Some(sample.start?.seconds)),
];

/// Whether the server was given all it takes, uncounted.
fn is_saturated(sample: &Sample) -> bool {
    sample.work == "closed" || sample.work.starts_with("among ")
}

/// Whether a sample is a point of a curve over the number of counters.
pub(super) fn is_curve(sample: &Sample) -> bool {
    sample.work.starts_with("up to ")
}

/// Latencies at a fixed rate that are the server's.
fn kept(sample: &Sample) -> Option<crate::load::report::Latency> {
    let report = sample.report.as_ref()?;
    (report.asked_rate.is_some() && report.kept_up).then_some(report.latency)
}

/// A server's figure by round.
pub(super) fn rounds(group: &Group<'_>, server: &str, figure: Figure) -> BTreeMap<usize, f64> {
    let same = group.samples.iter().filter(|sample| sample.server == server);
    same.filter_map(|sample| Some((sample.round, (figure.of)(sample)?))).collect()
}

/// Its median, least and greatest.
pub(super) fn middle(group: &Group<'_>, server: &str, of: fn(&Sample) -> Option<f64>) -> Option<Spread> {
    let same = group.samples.iter().filter(|sample| sample.server == server);
    spread(&same.filter_map(|sample| of(sample)).collect::<Vec<f64>>())
}

/// One server's figure in terms of another's, over the rounds that both have.
pub(super) fn ratio(group: &Group<'_>, ours: &str, theirs: &str, figure: Figure) -> Option<Spread> {
    let (ours, theirs) = (rounds(group, ours, figure), rounds(group, theirs, figure));
    let pairs = ours.iter().filter_map(|(round, &value)| Some((value, *theirs.get(round)?)));
    let (ours, theirs): (Vec<f64>, Vec<f64>) = pairs.unzip();
    paired_ratio(&ours, &theirs)
}

/// Servers of a group, in the order of tables; those that the harness has forgotten come last.
pub(super) fn servers<'r>(group: &Group<'r>) -> Vec<&'r str> {
    let mut names: Vec<&str> = Vec::new();
    for sample in &group.samples {
        if !names.contains(&sample.server.as_str()) {
            names.push(&sample.server);
        }
    }
    names.sort_by_key(|name| place(name));
    names
}

/// Place in tables.
pub(super) fn place(name: &str) -> usize {
    let names = crate::compare::contender::NAMES;
    names.iter().position(|known| *known == name).unwrap_or(names.len())
}

/// The server of a group that is ours by default: the engine, and the mode of syncing where there are several.
pub(super) fn defaults<'r>(group: &Group<'r>) -> Vec<&'r str> {
    let ours =
        |name: &&str| is_ours(name) && name.strip_prefix(OURS).is_some_and(|mode| MODES.contains(&mode));
    servers(group).into_iter().filter(ours).collect()
}

/// Modes of syncing, as names of servers end.
const MODES: [&str; 4] = ["", "-no", "-everysec", "-always"];

/// Whether a server is one to do better than: another of the same mode of syncing that answers from a table. A row about
/// starts pairs those that read the same kind of file.
pub(super) fn is_rival(row: &str, ours: &str, other: &str) -> bool {
    let mode = |name: &str| MODES.iter().skip(1).copied().find(|mode| name.ends_with(mode)).unwrap_or("");
    other != ours && !other.starts_with("bare-") && (row == "T14" || mode(ours) == mode(other))
}

#[cfg(test)]
mod tests {
    use super::{defaults, is_rival, ratio};
    use crate::compare::report::choice::Chosen;
    use crate::compare::report::choice::tests::record;

    #[test]
    fn rivals_sync_alike_and_have_a_table() {
        assert!(
            is_rival("T3", "tallyring-uring", "tallyring-epoll")
                && is_rival("T3", "tallyring-uring", "redis")
        );
        assert!(!is_rival("T3", "tallyring-uring", "bare-ring"));
        assert!(is_rival("T12", "tallyring-uring-always", "redis-always"));
        assert!(!is_rival("T12", "tallyring-uring-always", "tallyring-uring-no"));
        assert!(is_rival("T14", "tallyring-uring-everysec", "redis"));
    }

    #[test]
    fn a_figure_is_compared_round_by_round() {
        let records = [record("one", "2026-01-02", "bb", "", 0.25)];
        let chosen = Chosen::of(&records);
        let group = &chosen.groups[0];
        assert_eq!(defaults(group), ["tallyring-uring"]);
        let ratio = ratio(group, "tallyring-uring", "redis", super::FIGURES[0]).unwrap();
        assert!((ratio.median - 0.25).abs() < 1e-9);
    }
}
