//! The tables of the report, before they are Markdown or HTML: plain text in cells.

use crate::compare::statistics::median;
use crate::compare::summary::{digits, shown};
use crate::load::report::{Latency, Report};

use super::choice::{Chosen, Group, deniers, order};
use super::figures::{middle, servers};
use super::losses::bound;
use super::pictures::{shape_words, work_words};
use super::reading::Sample;

/// A table.
pub(super) struct Table {
    /// What is in it.
    pub(super) caption: &'static str,
    /// Names of the columns.
    pub(super) head: Vec<&'static str>,
    /// Cells, line by line; the first of each is the line's name.
    pub(super) lines: Vec<Vec<String>>,
}

/// What is said of a target.
pub(super) const MISSED: &str = "missed";

/// Rows that are measured elsewhere, and where.
const ELSEWHERE: [(&str, &str); 1] =
    [("T8", "heap allocations per command: counted by tests/allocations.rs, in no record")];

/// Targets T1 to T16, and what came of them.
pub(super) fn targets(chosen: &Chosen<'_>) -> Table {
    let mut lines: Vec<Vec<String>> = chosen
        .verdicts
        .iter()
        .map(|(record, verdict)| {
            let value =
                verdict.value.map_or_else(|| "—".to_owned(), |value| shown(value, digits(value.median)));
            let met = verdict.met.map_or("no figures", |met| if met { "met" } else { MISSED });
            let deniers = deniers(chosen, verdict);
            let met = if deniers.is_empty() {
                met.to_owned()
            } else {
                format!("{met}; missed in {}", deniers.join(", "))
            };
            vec![
                verdict.row.clone(),
                verdict.shape.clone(),
                verdict.what.clone(),
                value,
                bound(verdict),
                met,
                record.name.clone(),
            ]
        })
        .collect();
    for row in (1..=16).map(|number| format!("T{number}")) {
        let there = |line: &Vec<String>| line[0].split('-').next() == Some(&row);
        if !lines.iter().any(there) {
            let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == row);
            let what = elsewhere.map_or("in none of these records", |(_, what)| what);
            let [shape, figure, bound, met, record] = ["", "—", "", "no figures", ""].map(str::to_owned);
            lines.push(vec![row, shape, what.to_owned(), figure, bound, met, record]);
        }
    }
    // Stable: what one row has stays in its order.
    lines.sort_by(|one, other| order(&one[0]).cmp(&order(&other[0])));
    Table {
        caption: "Targets: the median, with the 95 % interval of paired rounds (below five rounds: least to greatest) behind it",
        head: vec!["row", "shape", "what", "figure", "aimed at", "", "record"],
        lines,
    }
}

/// Latencies at fixed rates.
pub(super) fn latencies(chosen: &Chosen<'_>) -> Table {
    let mut lines = Vec::new();
    for group in chosen.groups.iter().filter(|group| group.work.starts_with("open")) {
        for server in servers(group) {
            lines.extend(latency_line(group, server));
        }
    }
    Table {
        caption: "Latency at a fixed rate, µs from the intended send time, medians of rounds (kept: those in which 99 % of \
                  the requests left within 50 µs of their time; where none was kept, of all)",
        head: vec![
            "row", "shape", "load", "server", "asked/s", "p50", "p90", "p99", "p99.9", "p99.99", "max",
            "kept", "record",
        ],
        lines,
    }
}

fn latency_line(group: &Group<'_>, server: &str) -> Option<Vec<String>> {
    let same = group.samples.iter().filter(|sample| sample.server == server);
    let all: Vec<&Report> = same.filter_map(|sample| sample.report.as_ref()).collect();
    let kept = all.iter().filter(|report| report.kept_up).count();
    let counted = all.iter().filter(|report| kept == 0 || report.kept_up);
    let counted: Vec<Latency> = counted.map(|report| report.latency).collect();
    let mut line = vec![
        group.row.to_owned(),
        shape_words(group.shape),
        work_words(group.work).to_owned(),
        server.to_owned(),
        format!("{:.0}", all.first()?.asked_rate?),
    ];
    const PICKS: [fn(&Latency) -> f64; 6] =
        [|of| of.p50, |of| of.p90, |of| of.p99, |of| of.p999, |of| of.p9999, |of| of.max];
    for pick in PICKS {
        let middle = median(&counted.iter().map(pick).collect::<Vec<f64>>())?;
        line.push(format!("{middle:.0}"));
    }
    line.push(format!("{kept} of {}", all.len()));
    line.push(group.record.name.clone());
    Some(line)
}

/// Where the columns of [`saturated`] come from.
pub(super) const SOURCES: &str = "CPU: growth of schedstat over all threads of the server. Of it user: the share of user ticks \
in stat. Waits and preemptions: voluntary and involuntary context switches in status of all threads. System calls: counted in a \
run of their own, by what each record names.";

/// Saturated: processor time, its parts, context switches and system calls per operation.
pub(super) fn saturated(chosen: &Chosen<'_>) -> Table {
    let mut lines = Vec::new();
    for group in chosen.groups.iter().filter(|group| group.work == "closed") {
        let calls = chosen.groups.iter().find(|other| {
            (other.row, other.shape, other.work) == (group.row, group.shape, "calls")
                && std::ptr::eq(other.record, group.record)
        });
        for server in servers(group) {
            let figure = |of: fn(&Sample) -> Option<f64>, digits: usize| {
                middle(group, server, of)
                    .map_or_else(|| "—".to_owned(), |of| format!("{:.digits$}", of.median))
            };
            let Some(cpu) = middle(group, server, |sample| sample.cpu_us) else { continue };
            let counted = calls.and_then(|calls| middle(calls, server, |sample| sample.system_calls));
            lines.push(vec![
                group.row.to_owned(),
                shape_words(group.shape),
                server.to_owned(),
                shown(cpu, digits(cpu.median)),
                figure(|sample| sample.user_us, digits(cpu.median)),
                figure(|sample| Some(sample.report.as_ref()?.rate), 0),
                figure(|sample| sample.voluntary, 4),
                figure(|sample| sample.involuntary, 4),
                counted.map_or_else(|| "—".to_owned(), |calls| format!("{:.4}", calls.median)),
                group.record.name.clone(),
            ]);
        }
    }
    Table {
        caption: "Saturated, INCR: per operation, medians of rounds (least to greatest)",
        head: vec![
            "row",
            "shape",
            "server",
            "CPU, µs",
            "of it user",
            "op/s",
            "waits",
            "preemptions",
            "system calls",
            "record",
        ],
        lines,
    }
}

/// Where everything is from.
pub(super) fn records(chosen: &Chosen<'_>) -> Table {
    let lines = chosen
        .records
        .iter()
        .map(|record| {
            let machine = &record.machine;
            let place = format!(
                "{}, processors {}{}, {} MiB",
                machine.processor,
                machine.cores,
                if machine.virtualized { ", virtual" } else { "" },
                machine.memory_mib
            );
            let ended =
                record.failure.as_ref().map(|why| format!("; ended early: {why}")).unwrap_or_default();
            let servers: Vec<&str> = record.servers.values().map(String::as_str).collect();
            let versions = ["Redis server v=", "Valkey server v="].map(|start| {
                let of = servers.iter().find_map(|server| server.strip_prefix(start));
                of.and_then(|of| of.split(' ').next())
                    .map(|of| format!("{}{of}", start.replace(" server v=", " ")))
            });
            let versions: Vec<String> = versions.into_iter().flatten().collect();
            vec![
                record.name.clone(),
                record.date.clone(),
                record.commit.clone(),
                format!("{}{ended}", record.flags),
                place,
                // Without the number of its build.
                machine.kernel.split(" #").next().unwrap_or_default().to_owned(),
                machine.load_average.clone(),
                versions.join(", "),
                record.counter.clone().unwrap_or_else(|| "not counted".to_owned()),
            ]
        })
        .collect();
    Table {
        caption: "Records that this page is made of",
        head: vec![
            "record",
            "date",
            "commit",
            "arguments",
            "machine",
            "kernel",
            "load average",
            "peers",
            "system calls counted by",
        ],
        lines,
    }
}

#[cfg(test)]
mod tests {
    use super::{MISSED, targets};
    use crate::compare::report::choice::Chosen;
    use crate::compare::report::choice::tests::record;

    #[test]
    fn every_target_has_a_line_whether_there_are_figures_or_not() {
        let records = [record("one", "2026-01-02", "bb", "", 0.75)];
        let table = targets(&Chosen::of(&records));
        assert_eq!(table.lines.len(), 16);
        assert_eq!(table.lines[0][3..], ["0.750 (0.750–0.750)", "≤ 0.50", MISSED, "one"].map(str::to_owned));
        assert!(table.lines[7][2].contains("tests/allocations.rs"));
        assert_eq!(table.lines[15][0], "T16");
    }
}
