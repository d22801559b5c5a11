//! What well-behaved clients notice of others that do harm, what memory it takes, and whether that comes back.
//!
//! Each measurement has a server of its own: filled, then saturated for its capacity, of which the load asks half. Also
//! the table of it, in Markdown.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::load::harm::Kind;
use crate::load::limits::Disturbance;
use crate::procfs;

use super::contender::{Contender, NAMES};
use super::measure::{Helper, Load, fill, measure};
use super::memory::Cores;
use super::options::Effort;
use super::record::Sample;
use super::server::Server;
use super::statistics::{median, spread};
use super::summary::shown;
use super::work::Work;

/// Connections of which a part is as good as all in a smoke run.
const CROWD: usize = 1000;

/// Bytes of a connection's slot, which stays for the next one.
const SLOT: u64 = 512;

/// How long it may take altogether.
const RETURN: Duration = Duration::from_secs(15);

/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(100);

/// What is there, and who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// What harm.
    pub(super) harm: Kind,
    /// Keys, all of which exist.
    pub(super) keys: u64,
    /// Well-behaved connections.
    pub(super) connections: usize,
    /// Of keys and distances.
    pub(super) seed: u64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Limits {
    harm: &'static str,
    /// As the load saw it.
    pub(super) disturbance: Disturbance,
    /// The process' memory in the end, in bytes.
    pub(super) after_bytes: u64,
    /// Growth of the fields of `INFO` that count what was refused, slowed or starved, where they grew.
    pub(super) grown: BTreeMap<String, i64>,
    /// The field that counts this harm.
    counter: Option<&'static str>,
}

impl Limits {
    /// What the server says that it did about this harm.
    pub(super) fn counted(&self) -> Option<i64> {
        let counter = self.counter?;
        (!self.grown.is_empty()).then(|| self.grown.get(counter).copied().unwrap_or(0))
    }

    /// MiB of memory that did not come back, without the slots of the connections that there were at a time.
    pub(super) fn left_mib(&self) -> f64 {
        let slots = self.disturbance.crowd as u64 * SLOT;
        self.after_bytes.saturating_sub(self.disturbance.before_bytes + slots) as f64 / f64::from(1 << 20)
    }
}

/// Fields of `INFO` that tell what became of harm.
fn tells(field: &str) -> bool {
    const PREFIXES: [&str; 2] = ["refused_", "slowed_"];
    const FIELDS: [&str; 4] =
        ["evicted_clients", "receives_starved", "unaccepted", "total_connections_received"];
    PREFIXES.iter().any(|prefix| field.starts_with(prefix)) || FIELDS.contains(&field)
}

/// A fresh server, asked half of what it can do, before and beside harm.
///
/// # Errors
/// A sentence about the load or the server.
pub(super) fn watch(
    contender: &Contender,
    cores: Cores,
    effort: Effort,
    asked: Asked,
) -> Result<Limits, String> {
    let server = Server::start(contender, &[cores.server])?;
    let of = |what: String| format!("{}: {what}; its log ends: {}", server.name, server.log_end());
    let (saturated, quiet, disturbed, settle, part) = match effort {
        Effort::Full => (2.0, 4.0, 8.0, 3.0, 1),
        Effort::Quick => (0.3, 0.8, 1.2, 0.5, 1),
        // Long enough for every limit to be reached; of crowds a part will do.
        Effort::Smoke => (0.1, 0.3, 1.2, 0.5, 20),
    };
    let settle = Duration::from_secs_f64(settle);
    let Asked { harm, keys, connections, seed } = asked;
    if contender.has_table() {
        fill(&server, &[cores.load], keys).map_err(of)?;
    }
    let closed = Load {
        mix: "incr".to_owned(),
        connections,
        depth: 1,
        warm: saturated / 4.0,
        seconds: saturated,
        rate: None,
        keys,
        seed,
    };
    let capacity = measure(&server, &[cores.load], &closed, || Ok(()), |(), _| Ok(()))?.report.rate;
    let before = server.info("everything");
    let bare = if contender.has_table() { "" } else { " --bare" };
    let arguments = format!(
        "--connections {connections} --rate {} --keys {keys} --pid {} --harm {} --crowd {} --quiet {quiet} \
         --disturbed {disturbed} --seed {seed}{bare}",
        (capacity / 2.0).round(),
        server.pid(),
        harm.text(),
        if harm.connections() > CROWD { harm.connections() / part } else { harm.connections() }
    );
    let line = Helper::told(&[cores.load], "limits", server.port, &arguments).map_err(of)?;
    let disturbance: Disturbance =
        serde_json::from_str(&line).map_err(|error| format!("no report: {error}"))?;
    let after_bytes = returned(&server, disturbance.before_bytes, settle).map_err(of)?;
    let mut grown = server.info("everything");
    for (field, value) in &mut grown {
        *value -= before.get(field).copied().unwrap_or(0);
    }
    grown.retain(|field, value| tells(field) && *value != 0);
    Ok(Limits { harm: harm.text(), disturbance, after_bytes, grown, counter: harm.counter() })
}

/// The server's memory when it is no more than before, or has not fallen for the time `settle`: it is given back in steps.
fn returned(server: &Server, before: u64, settle: Duration) -> Result<u64, String> {
    let memory = || procfs::resident_data_bytes(server.pid()).map_err(|error| error.to_string());
    let start = Instant::now();
    let (mut least, mut fell) = (memory()?, start);
    while least > before && fell.elapsed() < settle && start.elapsed() < RETURN {
        thread::sleep(LOOK);
        let now = memory()?;
        if now < least {
            (least, fell) = (now, Instant::now());
        }
    }
    Ok(least)
}

/// What is said before the table.
const NOTE: &str = "\nThe harm comes from the thread that keeps the load's schedule, in small steps between two looks of its \
loop; so a part of what is measured is the load core's own. It shows as *late*: p99 of how much later than meant requests \
left, before / beside the harm. The bare loop knows no limits: what it does beside the same harm is the part of the kernel and \
the load core. µs from the intended send time; memory is the process' own, in MiB, before, at most, and when all of its clients were gone. A round is kept where 99 % of the requests left within 50 µs of their time before, and \
within 200 µs beside the harm: where not, somebody else had the processor, and it is not judged.\n\n";

/// Latencies before harm and beside it, memory, and what was counted.
pub(super) fn table(samples: &[&Sample]) -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        for server in NAMES {
            let same = |sample: &&&Sample| sample.server == server && sample.work == Work::Beside(kind);
            let rounds: Vec<&Limits> =
                samples.iter().filter(same).filter_map(|sample| sample.limits.as_deref()).collect();
            if rounds.is_empty() {
                continue;
            }
            if text.is_empty() {
                text.push_str(NOTE);
                text.push_str(
                    "| beside | server | asked/s | p50 | p99 | p99.9 | p99 ratio | late | opened/s | MB/s | \
                     ended/s | memory | rounds kept | counted |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
                );
            }
            text.push_str(&format!("| {} | {server} | {} |\n", kind.shown(), line(&rounds)));
        }
    }
    text
}

fn line(rounds: &[&Limits]) -> String {
    let middle = |pick: fn(&Disturbance) -> f64| {
        let figures: Vec<f64> = rounds.iter().map(|round| pick(&round.disturbance)).collect();
        median(&figures).unwrap_or(0.0)
    };
    let pair = |before: fn(&Disturbance) -> f64, beside: fn(&Disturbance) -> f64| {
        format!("{:.0} / {:.0}", middle(before), middle(beside))
    };
    let ratios: Vec<f64> = rounds.iter().map(|round| round.disturbance.ratio()).collect();
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let after: Vec<f64> = rounds.iter().map(|round| round.after_bytes as f64).collect();
    let mut counted: Vec<String> = Vec::new();
    for field in rounds.iter().flat_map(|round| round.grown.keys()) {
        let figures: Vec<f64> =
            rounds.iter().map(|round| round.grown.get(field).copied().unwrap_or(0) as f64).collect();
        let figure = format!("`{field}` {:.0}", median(&figures).unwrap_or(0.0));
        if !counted.iter().any(|known| known.starts_with(&format!("`{field}`"))) {
            counted.push(figure);
        }
    }
    format!(
        "{:.0} | {} | {} | {} | {} | {} | {:.0} | {:.1} | {:.0} | {:.0} / {:.0} / {:.0} | {} of {} | {}",
        middle(|seen| seen.asked_rate),
        pair(|seen| seen.quiet.p50, |seen| seen.disturbed.p50),
        pair(|seen| seen.quiet.p99, |seen| seen.disturbed.p99),
        pair(|seen| seen.quiet.p999, |seen| seen.disturbed.p999),
        spread(&ratios).map_or_else(String::new, |ratios| shown(ratios, 2)),
        pair(|seen| seen.late_quiet.p99, |seen| seen.late_disturbed.p99),
        middle(|seen| seen.opened as f64 / seen.seconds),
        middle(|seen| seen.sent as f64 / 1e6 / seen.seconds),
        middle(|seen| seen.ended as f64 / seen.seconds),
        mib(middle(|seen| seen.before_bytes as f64)),
        mib(middle(|seen| seen.most_bytes as f64)),
        mib(median(&after).unwrap_or(0.0)),
        rounds.iter().filter(|round| round.disturbance.kept_up).count(),
        rounds.len(),
        counted.join(", ")
    )
}
