//! Tables of a summary that are about one kind of work each: many keys against few, memory of counters, expiry.
//!
//! Knows samples, and Markdown. A table without figures is an empty string.

use crate::load::commands::{REQUESTS, parts};
use crate::load::expiry::Expiry;
use crate::load::report::Latency;

use super::contender::NAMES;
use super::record::Sample;
use super::statistics::{Spread, paired_ratio, spread};
use super::summary::{digits, matrix, shown};
use super::work::{FEW_KEYS, Work};

/// Samples of a server, and of those the ones of some works.
fn of<'s>(
    samples: &'s [&Sample],
    server: &'static str,
    wanted: impl Fn(Work) -> bool + 's,
) -> impl Iterator<Item = &'s Sample> {
    samples.iter().copied().filter(move |sample| sample.server == server && wanted(sample.work))
}

/// Saturated: processor time among few keys and many, and the ratio.
pub(super) fn among(samples: &[&Sample]) -> String {
    let many = samples.iter().filter_map(|sample| match sample.work {
        Work::Among(keys) => Some(keys),
        _ => None,
    });
    let Some(many) = many.max() else { return String::new() };
    let mut text = format!(
        "\n| server | CPU/op among {FEW_KEYS} keys, µs | among {many}, µs | ratio | op/s among {many} | load busy |\n\
         |---|---|---|---|---|---|\n"
    );
    for server in NAMES {
        let cpu = |keys: u64| -> Vec<f64> {
            of(samples, server, move |work| work == Work::Among(keys))
                .filter_map(|sample| sample.cpu_us)
                .collect()
        };
        let (few_cpu, many_cpu) = (cpu(FEW_KEYS), cpu(many));
        // Every round has both, unless the run ended early.
        let pairs = few_cpu.len().min(many_cpu.len());
        let ratio = paired_ratio(&many_cpu[..pairs], &few_cpu[..pairs]);
        let (Some(few), Some(most), Some(ratio)) = (spread(&few_cpu), spread(&many_cpu), ratio) else {
            continue;
        };
        let reports: Vec<_> = of(samples, server, |work| work == Work::Among(many))
            .filter_map(|sample| sample.report.as_ref())
            .collect();
        let middle = |values: Vec<f64>| spread(&values).map_or(0.0, |spread| spread.median);
        text.push_str(&format!(
            "| {server} | {} | {} | {} | {:.0} | {:.0} % |\n",
            shown(few, digits(few.median)),
            shown(most, digits(most.median)),
            shown(ratio, 2),
            middle(reports.iter().map(|report| report.rate).collect()),
            middle(reports.iter().map(|report| report.generator_load * 100.0).collect()),
        ));
    }
    text
}

/// Memory per counter, and what the servers themselves say of it.
pub(super) fn holding(samples: &[&Sample]) -> String {
    let held: Vec<&Sample> =
        samples.iter().copied().filter(|sample| matches!(sample.work, Work::Holding(..))).collect();
    let Some(first) = held.first() else { return String::new() };
    let mut text = format!(
        "\nGrowth of the process' memory since it was empty, with {} connections that stay open:\n",
        first.shape.connections
    );
    text.push_str(&matrix(&held, 1, |sample| Some(sample.point?.per_counter)));
    text.push_str(
        "\nThe same by `used_memory_dataset` of `INFO`, from which Redis and Valkey leave out their index:\n",
    );
    text.push_str(&matrix(&held, 1, |sample| sample.point?.dataset));
    let mut keys: Vec<(Work, f64)> = Vec::new();
    for sample in held {
        if let Some(point) = sample.point
            && !keys.iter().any(|(work, _)| *work == sample.work)
        {
            keys.push((sample.work, point.key_bytes));
        }
    }
    let lengths: Vec<String> = keys.iter().map(|(work, bytes)| format!("{work} {bytes:.1}")).collect();
    text.push_str(&format!("\nMean length of the keys in bytes: {}.\n", lengths.join("; ")));
    text
}

/// Memory per counter over the number of counters: the process' and, behind the stroke, what the server says.
pub(super) fn growing(samples: &[&Sample]) -> String {
    let points = |server: &'static str| {
        of(samples, server, |work| matches!(work, Work::Growing(_))).filter_map(|sample| sample.point)
    };
    let servers: Vec<&str> = NAMES.into_iter().filter(|server| points(server).next().is_some()).collect();
    let Some(first) = servers.first() else { return String::new() };
    let mut text = format!(
        "\nBytes per counter while there come to be more (`memory.svg`): growth of the process' memory / of \
         `used_memory_dataset`. A server in the midst of growing an index holds the old and the new one.\n\n\
         | counters | {} |\n|---|{}\n",
        servers.join(" | "),
        "---|".repeat(servers.len())
    );
    for counters in points(first).map(|point| point.counters) {
        let cells = servers.iter().map(|server| {
            let point = points(server).find(|point| point.counters == counters);
            let said =
                |dataset: Option<f64>| dataset.map_or_else(|| "—".to_owned(), |said| format!("{said:.1}"));
            point.map_or_else(String::new, |point| {
                format!("{:.1} / {}", point.per_counter, said(point.dataset))
            })
        });
        text.push_str(&format!("| {counters} | {} |\n", cells.collect::<Vec<String>>().join(" | ")));
    }
    text
}

/// When keys were gone, and latencies before and meanwhile.
pub(super) fn expiry(samples: &[&Sample]) -> String {
    let mut works: Vec<Work> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.expiry.is_some()) {
        if !works.contains(&sample.work) {
            works.push(sample.work);
        }
    }
    let mut text = String::new();
    for work in works {
        text.push_str(&format!(
            "\n{work}; seconds from the first deadline, µs from the intended send time:\n\n\
             | server | gone after, s | left then | asked/s | p99 before | p99 meanwhile | ratio | p99.9 before | \
             p99.9 meanwhile | max meanwhile | rounds kept |\n|---|---|---|---|---|---|---|---|---|---|---|\n"
        ));
        for server in NAMES {
            let rounds: Vec<&Expiry> = of(samples, server, move |of| of == work)
                .filter_map(|sample| sample.expiry.as_deref())
                .collect();
            if let Some(line) = expiry_line(&rounds) {
                text.push_str(&format!("| {server} | {line} |\n"));
            }
        }
    }
    text
}

/// Round trips of every command: median of the rounds. A server that does not know one has an empty cell.
pub(super) fn commands(samples: &[&Sample]) -> String {
    let servers: Vec<&str> = NAMES
        .into_iter()
        .filter(|&server| samples.iter().any(|sample| sample.server == server && !sample.commands.is_empty()))
        .collect();
    if servers.is_empty() {
        return String::new();
    }
    let heads: Vec<String> = servers.iter().map(|server| format!("{server}, p50 | p99")).collect();
    let mut text =
        format!("\n| request | {} |\n|---|{}\n", heads.join(" | "), "---|---|".repeat(servers.len()));
    for (_, request, _) in REQUESTS.iter().map(|line| parts(line)) {
        let figure = |server: &str, pick: fn(&Latency) -> f64| {
            let same = samples.iter().filter(|sample| sample.server == server);
            let timed =
                same.flat_map(|sample| sample.commands.iter().filter(|timed| timed.request == request));
            let figures: Vec<f64> = timed.map(|timed| pick(&timed.latency)).collect();
            spread(&figures).map_or_else(String::new, |spread| format!("{:.1}", spread.median))
        };
        let cells: Vec<String> = servers
            .iter()
            .flat_map(|server| [figure(server, |latency| latency.p50), figure(server, |latency| latency.p99)])
            .collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            text.push_str(&format!("| `{request}` | {} |\n", cells.join(" | ")));
        }
    }
    text
}

fn expiry_line(rounds: &[&Expiry]) -> Option<String> {
    let figure = |pick: &dyn Fn(&Expiry) -> f64| -> Option<Spread> {
        spread(&rounds.iter().map(|round| pick(round)).collect::<Vec<f64>>())
    };
    let middle = |pick: &dyn Fn(&Expiry) -> f64| Some(figure(pick)?.median);
    Some(format!(
        "{} | {:.0} | {:.0} | {:.1} | {:.1} | {} | {:.1} | {:.1} | {:.1} | {} of {}",
        shown(figure(&|round| round.gone_s)?, 2),
        middle(&|round| round.left as f64)?,
        middle(&|round| round.asked_rate)?,
        middle(&|round| round.quiet.p99)?,
        middle(&|round| round.expiring.p99)?,
        shown(figure(&|round| round.expiring.p99 / round.quiet.p99)?, 2),
        middle(&|round| round.quiet.p999)?,
        middle(&|round| round.expiring.p999)?,
        middle(&|round| round.expiring.max)?,
        rounds.iter().filter(|round| round.kept_up).count(),
        rounds.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::{FEW_KEYS, Sample, Work, among, growing};
    use crate::compare::counters::Point;
    use crate::compare::row::{RowName, Shape};

    fn sample(work: Work, server: &'static str, round: usize) -> Sample {
        Sample::blank((RowName::T5, Shape { connections: 50, depth: 64 }, work), server, round)
    }

    #[test]
    fn few_and_many_keys_are_paired_by_round() {
        let mut samples = Vec::new();
        for (round, slow) in [(0, 1.0), (1, 2.0), (2, 4.0)] {
            for (work, cpu) in [(Work::Among(FEW_KEYS), 0.4), (Work::Among(10_000), 0.5)] {
                samples.push(Sample { cpu_us: Some(cpu * slow), ..sample(work, "redis", round) });
            }
        }
        let text = among(&samples.iter().collect::<Vec<_>>());
        assert!(
            text.contains("| redis | 0.800 (0.400–1.600) | 1.000 (0.500–2.000) | 1.25 (1.25–1.25) |"),
            "{text}"
        );
        assert_eq!(among(&[]), "");
    }

    #[test]
    fn a_curve_that_ended_early_leaves_cells_empty() {
        let at = |server, counters, dataset| Sample {
            point: Some(Point { counters, per_counter: 9.96, dataset, key_bytes: 15.0, bytes: 0 }),
            ..sample(Work::Growing(200), server, 0)
        };
        let samples =
            [at("tallyring-uring", 100, Some(8.0)), at("redis", 100, None), at("tallyring-uring", 200, None)];
        let text = growing(&samples.iter().collect::<Vec<_>>());
        assert!(text.contains("| counters | tallyring-uring | redis |"), "{text}");
        assert!(text.contains("| 100 | 10.0 / 8.0 | 10.0 / — |\n| 200 | 10.0 / — |  |"), "{text}");
    }
}
