//! A record as a page of tables, for people. Knows what a record holds, and Markdown.

use super::contender::NAMES;
use super::durability;
use super::limits;
use super::plan;
use super::record::{Record, Sample};
use super::row::{RowName, Shape};
use super::statistics::{Spread, spread};
use super::tables;
use super::verdict::{Judged, shapes};
use super::work::{BULK_KEYS, HALF, NEARLY, Work};

/// What a quick run leaves out, as its record says.
const QUICK: &str = "one or two rounds of 0.3 s; a fifth of T7's arguments and of the most keys of T5 and T6, a tenth of the keys of \
T15 and of servers with a journal, a twentieth of those of T9 and T10, a fiftieth of those of T13 and T14; every other harm of the limits. For a look: its spreads are ranges \
of few rounds, and servers with fewer keys have more of them in caches.";

/// The summary.
pub(super) fn markdown(record: &Record) -> String {
    let mut text = format!("# Comparison of {}, commit {}\n\n", record.date, record.commit);
    text.push_str(&facts(record));
    if let Some(failure) = &record.failure {
        text.push_str(&format!("\n**The run ended early:** {failure}\n"));
    }
    if !record.missing.is_empty() {
        text.push_str("\nMissing:\n");
        for missing in &record.missing {
            text.push_str(&format!("- {}: {}\n", missing.name, missing.why));
        }
    }
    if !record.unmeasured.is_empty() {
        text.push_str("\nNot measured, because the server does not know the command:\n");
        for plan::Unable { row, work, server, command } in &record.unmeasured {
            text.push_str(&format!("- {}, {work}: {server}, `{command}`\n", row.text()));
        }
    }
    text.push_str(&verdicts(&record.verdicts));
    for (row, shape) in shapes(&record.samples) {
        let samples: Vec<&Sample> =
            record.samples.iter().filter(|sample| (sample.row, sample.shape) == (row, shape)).collect();
        text.push_str(&format!("\n## {} — {}\n", row.text(), title(row, shape)));
        text.push_str(&closed(&samples));
        text.push_str(&load_bound(&samples));
        for percent in [HALF, NEARLY] {
            text.push_str(&open(&samples, percent));
        }
        text.push_str(&matrix(&samples, 1, |sample| sample.per_key_ns));
        text.push_str(&matrix(&samples, 3, |sample| sample.held));
        text.push_str(&idle(&samples));
        text.push_str(&tables::among(&samples));
        text.push_str(&tables::holding(&samples));
        text.push_str(&tables::growing(&samples));
        text.push_str(&tables::expiry(&samples));
        text.push_str(&durability::round_trips(row, &samples));
        text.push_str(&durability::snapshots(&samples));
        text.push_str(&durability::starts(&samples));
        text.push_str(&limits::table(&samples));
        text.push_str(&tables::commands(&samples));
    }
    text
}

fn facts(record: &Record) -> String {
    let machine = &record.machine;
    let mut text = format!(
        "{}, processors {}{}, {} MiB, kernel {}, governor: {}, clock source: {}. {}; load average at the start: {}.\n\n",
        machine.processor,
        machine.cores,
        if machine.virtualized { ", virtual" } else { "" },
        machine.memory_mib,
        machine.kernel,
        machine.governor,
        machine.clocksource,
        machine.pinning,
        machine.load_average,
    );
    let counter = record.counter.unwrap_or("not counted: neither perf nor strace works here");
    text.push_str(&format!(
        "`cargo bench --bench compare -- {}`. `save \"\"` on all servers, and \
         `auto-aof-rewrite-percentage 0` where there is a journal. CPU per operation is the growth of schedstat over all threads; medians (least to greatest). Of it user: the share of user ticks in `stat`; waits and preemptions: voluntary and involuntary context switches in `status` of all threads. System calls, in a run of their own: {}.\n\n",
        record.flags, counter
    ));
    if record.flags.split(' ').any(|flag| flag == "--quick") {
        text.push_str(&format!("`--quick`: {QUICK}\n\n"));
    }
    for (name, version) in &record.servers {
        let mode = record.modes.get(name).map_or("", String::as_str);
        text.push_str(&format!("- {name}: {version}; {mode}\n"));
    }
    text
}

fn title(row: RowName, shape: Shape) -> String {
    match (row, shape.depth) {
        (RowName::T6 | RowName::T6Everysec, _) => format!(
            "{BULK_KEYS} existing keys in each request, {} connections, unpipelined: ns of CPU per key",
            shape.connections
        ),
        (RowName::T7, _) => {
            format!("{} requests sent but for the last 10 bytes: memory held ÷ bytes sent", shape.connections)
        }
        (RowName::T9 | RowName::T10, _) => "memory of a fresh server, bytes per counter".to_owned(),
        (RowName::T13, _) => {
            let connections = shape.connections;
            format!("`INCR`, {connections} connections, at half of each server's capacity around a snapshot")
        }
        (RowName::T14, _) => "start with counters on disk".to_owned(),
        (RowName::T15, _) => {
            format!("keys whose deadlines fall into one second; `INCR`, {} connections", shape.connections)
        }
        (RowName::Limits, _) => format!(
            "`INCR`, {} connections, at half of each server's capacity beside clients that do harm",
            shape.connections
        ),
        (RowName::T16, depth) => format!(
            "`INCR`, {} connections, {depth} deep; servers and load on the same processors",
            shape.connections
        ),
        (RowName::Commands, _) => {
            "every command, one connection, unpipelined: µs of a round trip (`commands.csv`)".to_owned()
        }
        (RowName::T11, _) => format!("{} idle connections after one `INCR`", shape.connections),
        (_, 1) => format!("`INCR`, {} connections, unpipelined", shape.connections),
        (_, depth) => format!("`INCR`, {} connections, {depth} deep", shape.connections),
    }
}

fn verdicts(verdicts: &[Judged]) -> String {
    if verdicts.is_empty() {
        return String::new();
    }
    let mut text =
        String::from("\n## Targets\n\n| row | shape | what | value | bound | |\n|---|---|---|---|---|---|\n");
    for judged in verdicts {
        let value = judged.value.map_or_else(|| "—".to_owned(), |value| shown(value, digits(value.median)));
        let upper = judged.upper.map(|upper| format!(" (interval {upper:.2})")).unwrap_or_default();
        let met = judged.met.map_or("no figures", |met| if met { "met" } else { "**missed**" });
        let bound = judged.bound;
        let sign = if judged.least { "≥" } else { "≤" };
        text.push_str(&format!(
            "| {} | {} | {} | {value} | {sign} {bound:.*}{upper} | {met} |\n",
            judged.row.text(),
            judged.shape,
            judged.what,
            if bound < 10.0 { 2 } else { 0 }
        ));
    }
    text
}

/// Saturated: processor time, throughput, switches, system calls.
fn closed(samples: &[&Sample]) -> String {
    let mut text = String::new();
    for server in NAMES {
        let column = |work: Work, pick: &dyn Fn(&Sample) -> Option<f64>| {
            let same = samples.iter().filter(|sample| sample.server == server && sample.work == work);
            spread(&same.filter_map(|sample| pick(sample)).collect::<Vec<f64>>())
        };
        let Some(cpu) = column(Work::Closed, &|sample| sample.cpu_us) else { continue };
        if text.is_empty() {
            text.push_str(
                "\n| server | CPU/op, µs | of it user | op/s | waits/op | preempted/op | system calls/op | \
                 server busy | load busy | memory, MiB |\n|---|---|---|---|---|---|---|---|---|---|\n",
            );
        }
        let middle = |pick: &dyn Fn(&Sample) -> Option<f64>, digits: usize| {
            column(Work::Closed, pick)
                .map_or_else(|| "—".to_owned(), |spread| format!("{:.digits$}", spread.median))
        };
        let calls = column(Work::Calls, &|sample| sample.system_calls);
        text.push_str(&format!(
            "| {server} | {} | {} | {} | {} | {} | {} | {} % | {} % | {} |\n",
            shown(cpu, digits(cpu.median)),
            middle(&|sample| sample.user_us, digits(cpu.median)),
            middle(&|sample| Some(sample.report.as_ref()?.rate), 0),
            middle(&|sample| sample.voluntary, 4),
            middle(&|sample| sample.involuntary, 4),
            calls.map_or_else(|| "—".to_owned(), |calls| format!("{:.4}", calls.median)),
            middle(&|sample| sample.server_load.map(|load| load * 100.0), 0),
            middle(&|sample| Some(sample.report.as_ref()?.generator_load * 100.0), 0),
            middle(&|sample| Some(sample.anonymous as f64 / f64::from(1 << 20)), 1),
        ));
    }
    text
}

/// Names servers that had to wait for the load: fewer requests gather between two of their turns than if the load
/// were faster, so that their figures are, if anything, too high.
fn load_bound(samples: &[&Sample]) -> String {
    let names: Vec<&str> = NAMES
        .into_iter()
        .filter(|&server| {
            let saturated = |work| matches!(work, Work::Closed | Work::Keys(..) | Work::Among(_));
            let of = samples.iter().filter(|sample| sample.server == server && saturated(sample.work));
            let idle =
                of.filter_map(|sample| Some((sample.server_load?, sample.report.as_ref()?.generator_load)));
            spread(&idle.map(|(server, load)| load - server).collect::<Vec<f64>>())
                .is_some_and(|ahead| ahead.median > 0.05)
        })
        .collect();
    if names.is_empty() {
        return String::new();
    }
    format!("\nThe load was busier than the server, and so the limit, for: {}.\n", names.join(", "))
}

/// At a part of the slowest server's capacity: latencies.
fn open(samples: &[&Sample], percent: u8) -> String {
    let mut text = String::new();
    for server in NAMES {
        let rounds: Vec<_> = samples
            .iter()
            .filter(|sample| sample.server == server && sample.work == Work::Open(percent))
            .filter_map(|sample| sample.report.as_ref())
            .collect();
        let Some(first) = rounds.first() else { continue };
        if text.is_empty() {
            text.push_str(&format!(
                "\nAt a fixed rate, {percent} % of the slowest server's capacity; µs from the intended send time:\n\n\
                 | server | asked/s | done/s | p50 | p90 | p99 | p99.9 | p99.99 | max | sent late, p99 | rounds kept |\n\
                 |---|---|---|---|---|---|---|---|---|---|---|\n"
            ));
        }
        let middle = |pick: &dyn Fn(&crate::load::report::Report) -> f64, digits: usize| {
            let values: Vec<f64> = rounds.iter().map(|report| pick(report)).collect();
            spread(&values).map_or_else(String::new, |spread| format!("{:.digits$}", spread.median))
        };
        let kept = rounds.iter().filter(|report| report.kept_up).count();
        text.push_str(&format!(
            "| {server} | {:.0} | {} | {} | {} | {} | {} | {} | {} | {} | {kept} of {} |\n",
            first.asked_rate.unwrap_or(0.0),
            middle(&|report| report.rate, 0),
            middle(&|report| report.latency.p50, 1),
            middle(&|report| report.latency.p90, 1),
            middle(&|report| report.latency.p99, 1),
            middle(&|report| report.latency.p999, 1),
            middle(&|report| report.latency.p9999, 1),
            middle(&|report| report.latency.max, 1),
            middle(&|report| report.late.map_or(0.0, |late| late.p99), 1),
            rounds.len(),
        ));
    }
    text
}

/// One figure of a row's different works, a column each. A server that cannot do a work has an empty cell.
pub(super) fn matrix(samples: &[&Sample], digits: usize, pick: fn(&Sample) -> Option<f64>) -> String {
    let mut works: Vec<Work> = Vec::new();
    for sample in samples.iter().filter(|sample| pick(sample).is_some()) {
        if !works.contains(&sample.work) {
            works.push(sample.work);
        }
    }
    if works.is_empty() {
        return String::new();
    }
    let heads: Vec<String> = works.iter().map(Work::to_string).collect();
    let mut text = format!("\n| server | {} |\n|---|{}\n", heads.join(" | "), "---|".repeat(works.len()));
    for server in NAMES {
        let cell = |&work: &Work| {
            let same = samples.iter().filter(|sample| sample.server == server && sample.work == work);
            spread(&same.filter_map(|sample| pick(sample)).collect::<Vec<f64>>())
        };
        let cells: Vec<Option<Spread>> = works.iter().map(cell).collect();
        if cells.iter().any(Option::is_some) {
            let cells =
                cells.into_iter().map(|cell| cell.map_or_else(String::new, |cell| shown(cell, digits)));
            text.push_str(&format!("| {server} | {} |\n", cells.collect::<Vec<String>>().join(" | ")));
        }
    }
    text
}

fn idle(samples: &[&Sample]) -> String {
    let mut text = String::new();
    for server in NAMES {
        let of = samples.iter().filter(|sample| sample.server == server && sample.work == Work::Idle);
        let Some(bytes) = spread(&of.filter_map(|sample| sample.per_connection).collect::<Vec<f64>>()) else {
            continue;
        };
        if text.is_empty() {
            text.push_str("\n| server | bytes per connection |\n|---|---|\n");
        }
        text.push_str(&format!("| {server} | {} |\n", shown(bytes, 0)));
    }
    text
}

/// A median, and least and greatest beside it.
pub(super) fn shown(value: Spread, digits: usize) -> String {
    format!("{:.digits$} ({:.digits$}–{:.digits$})", value.median, value.low, value.high)
}

/// Decimal places that leave three significant digits or so.
pub(super) fn digits(value: f64) -> usize {
    match value {
        value if value >= 100.0 => 0,
        value if value >= 2.0 => 2,
        _ => 3,
    }
}
