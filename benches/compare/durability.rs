//! What durability costs, for people: tables of a summary, and two pictures, SVG files written by hand.
//!
//! Knows what a record holds, Markdown, and SVG. Without figures a table is empty and there is no picture.

use crate::load::snapshot::{Slice, Snapshot};

use super::contender::{NAMES, OURS_ALWAYS, OURS_EVERYSEC, OURS_NO, REDIS_ALWAYS, REDIS_EVERYSEC, REDIS_NO};
use super::record::{Record, Sample};
use super::row::{RowName, Shape};
use super::statistics::{median, spread};
use super::summary::shown;
use super::verdict::shapes;
use super::work::Work;

/// Latencies of the saturating loop: what a client waits for, with all others at work.
pub(super) fn round_trips(row: RowName, samples: &[&Sample]) -> String {
    let mut text = String::new();
    for server in NAMES.into_iter().filter(|_| row == RowName::T12) {
        let of = |pick: fn(&Sample) -> Option<f64>| {
            let same = samples.iter().filter(|sample| sample.server == server);
            median(&same.filter_map(|sample| pick(sample)).collect::<Vec<f64>>())
        };
        let [p50, p99] = LATENCIES.map(of);
        let (Some(p50), Some(p99)) = (p50, p99) else { continue };
        if text.is_empty() {
            text.push_str(
                "\nSaturated, so with all connections waiting: round trips (`durability.svg`).\n\n",
            );
            text.push_str("| server | p50, µs | p99, µs |\n|---|---|---|\n");
        }
        text.push_str(&format!("| {server} | {p50:.0} | {p99:.0} |\n"));
    }
    text
}

/// p50 and p99 of a round trip.
const LATENCIES: [fn(&Sample) -> Option<f64>; 2] =
    [|sample| Some(sample.report.as_ref()?.latency.p50), |sample| Some(sample.report.as_ref()?.latency.p99)];

/// Latencies before snapshots and meanwhile, and memory.
pub(super) fn snapshots(samples: &[&Sample]) -> String {
    let mut text = String::new();
    for server in NAMES {
        let rounds: Vec<&Snapshot> = samples
            .iter()
            .filter(|sample| sample.server == server)
            .filter_map(|sample| sample.snapshot.as_deref())
            .collect();
        let Some(first) = rounds.first() else { continue };
        let figure = |pick: fn(&Snapshot) -> f64| {
            spread(&rounds.iter().map(|round| pick(round)).collect::<Vec<f64>>())
        };
        let middle = |pick: fn(&Snapshot) -> f64| figure(pick).map_or(0.0, |spread| spread.median);
        let whole = |pick, digits| figure(pick).map_or_else(String::new, |spread| shown(spread, digits));
        if text.is_empty() {
            text.push_str(&format!(
                "\n{} keys; µs from the intended send time (`snapshot.svg`, `snapshot.csv`):\n\n\
                 | server | asked/s | written in, s | p99 before | p99 meanwhile | p99.9 before | \
                 p99.9 meanwhile | ratio | max meanwhile | memory before, MiB | growth | rounds kept |\n\
                 |---|---|---|---|---|---|---|---|---|---|---|---|\n",
                first.keys
            ));
        }
        text.push_str(&format!(
            "| {server} | {:.0} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {:.1} | {:.0} | {} | {} of {} |\n",
            middle(|round| round.asked_rate),
            whole(|round| round.ended_s - round.began_s, 2),
            middle(|round| round.quiet.p99),
            middle(|round| round.saving.p99),
            middle(|round| round.quiet.p999),
            middle(|round| round.saving.p999),
            whole(|round| round.saving.p999 / round.quiet.p999, 2),
            middle(|round| round.saving.max),
            middle(|round| round.before_bytes as f64 / f64::from(1 << 20)),
            whole(Snapshot::growth, 3),
            rounds.iter().filter(|round| round.kept_up).count(),
            rounds.len()
        ));
    }
    text
}

/// Seconds of a start, and what was read for it.
pub(super) fn starts(samples: &[&Sample]) -> String {
    let mut works: Vec<Work> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.start.is_some()) {
        if !works.contains(&sample.work) {
            works.push(sample.work);
        }
    }
    let mut text = String::new();
    for work in works {
        text.push_str(&format!(
            "\n{work}, as a rule out of the page cache:\n\n| server | seconds | files, MiB |\n|---|---|---|\n"
        ));
        for server in NAMES {
            let of = samples.iter().filter(|sample| sample.server == server && sample.work == work);
            let starts: Vec<_> = of.filter_map(|sample| sample.start).collect();
            let seconds = spread(&starts.iter().map(|start| start.seconds).collect::<Vec<f64>>());
            let Some(seconds) = seconds else { continue };
            let bytes: Vec<f64> = starts.iter().map(|start| start.stored_bytes as f64).collect();
            let stored = median(&bytes).unwrap_or(0.0) / f64::from(1 << 20);
            text.push_str(&format!("| {server} | {} | {stored:.1} |\n", shown(seconds, 2)));
        }
    }
    text
}

const WIDTH: f64 = 860.0;
/// Pixels left of drawings, for names and numbers.
const LEFT: f64 = 190.0;
const LINE: f64 = 22.0;

/// Begins a picture, with its place and time.
fn framed(record: &Record, height: f64, heading: &str, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"18\">{heading}</text>\n{body}\
         <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"#666\">{} {}</text>\n</svg>\n",
        WIDTH - 10.0,
        height - 8.0,
        record.date,
        record.commit
    )
}

/// The modes of syncing, ours beside redis' of the same mode, and the colour of each mode.
const MODES: [(&str, &str); 6] = [
    (OURS_NO, "#90cdf4"),
    (REDIS_NO, "#f6e05e"),
    (OURS_EVERYSEC, "#4299e1"),
    (REDIS_EVERYSEC, "#d69e2e"),
    (OURS_ALWAYS, "#2b6cb0"),
    (REDIS_ALWAYS, "#975a16"),
];

/// Throughput and round trips of each mode at each number of connections; each has its own scale.
pub(super) fn modes_svg(record: &Record) -> Option<String> {
    let (mut body, mut y) = (String::new(), 46.0);
    for shape in shapes(&record.samples).into_iter().filter(|(row, _)| *row == RowName::T12).map(|(_, of)| of)
    {
        let panels = ["operations a second", "round trip, p50, µs", "round trip, p99, µs"];
        body.push_str(&format!(
            "<text x=\"10\" y=\"{y:.0}\" font-weight=\"bold\">{} connections</text>\n",
            shape.connections
        ));
        let picks = [(|sample| Some(sample.report.as_ref()?.rate)) as fn(&Sample) -> Option<f64>];
        for (nth, pick) in picks.into_iter().chain(LATENCIES).enumerate() {
            let width = (WIDTH - LEFT) / 3.0;
            let x = LEFT + width * nth as f64;
            body.push_str(&format!("<text x=\"{x:.0}\" y=\"{y:.0}\" fill=\"#666\">{}</text>\n", panels[nth]));
            body.push_str(&bars(record, shape, pick, (x, y + LINE, width - 80.0)));
        }
        for (nth, (server, _)) in MODES.iter().enumerate() {
            let y = y + LINE * (nth as f64 + 1.0);
            body.push_str(&format!(
                "<text x=\"{:.0}\" y=\"{y:.0}\" text-anchor=\"end\">{server}</text>\n",
                LEFT - 8.0
            ));
        }
        y += LINE * (MODES.len() as f64 + 1.5);
    }
    let heading =
        "INCR, unpipelined, saturated: the journal synced when the kernel likes, every second, always";
    (!body.is_empty()).then(|| framed(record, y + LINE, heading, &body))
}

/// One figure of all modes as bars, from the place `x`, `y` on, the longest as long as that.
fn bars(
    record: &Record,
    shape: Shape,
    pick: fn(&Sample) -> Option<f64>,
    (x, y, longest): (f64, f64, f64),
) -> String {
    let figures = MODES.map(|(server, _)| {
        let same =
            |sample: &&Sample| (sample.row, sample.shape, sample.server) == (RowName::T12, shape, server);
        median(&record.samples.iter().filter(same).filter_map(pick).collect::<Vec<f64>>())
    });
    let Some(most) = figures.into_iter().flatten().max_by(f64::total_cmp) else { return String::new() };
    let mut text = String::new();
    for (nth, figure) in figures.into_iter().enumerate() {
        let (Some(figure), (_, color), y) = (figure, MODES[nth], y + LINE * nth as f64) else { continue };
        let length = figure / most * longest;
        text.push_str(&format!(
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"{length:.1}\" height=\"16\" fill=\"{color}\"/>\
             <text x=\"{:.1}\" y=\"{y:.0}\">{figure:.0}</text>\n",
            y - 13.0,
            x + length + 6.0
        ));
    }
    text
}

/// A figure of a slice, its name, and its colour.
type Line = (fn(&Slice) -> f64, &'static str, &'static str);

/// What is drawn of latencies over time.
const LINES: [Line; 3] = [
    (|slice| slice.latency.p50, "p50", "#a0aec0"),
    (|slice| slice.latency.p99, "p99", "#2b6cb0"),
    (|slice| slice.latency.p999, "p99.9", "#c05621"),
];

/// Height of one server's panel of latencies over time.
const PANEL: f64 = 170.0;
/// Of it the drawing.
const DRAWN: f64 = 130.0;

/// Latencies over time around a snapshot, each server's first round; microseconds on a logarithmic axis.
pub(super) fn snapshot_svg(record: &Record) -> Option<String> {
    let mut shown: Vec<(&str, &Snapshot)> = Vec::new();
    for sample in record.samples.iter().filter(|sample| sample.round == 0) {
        shown.extend(sample.snapshot.as_deref().map(|snapshot| (sample.server, snapshot)));
    }
    shown.sort_by_key(|(server, _)| NAMES.iter().position(|name| name == server));
    let slices = || shown.iter().flat_map(|(_, snapshot)| &snapshot.slices);
    let most = slices().map(|slice| slice.latency.p999).max_by(f64::total_cmp)?.max(10.0);
    let last = slices().map(|slice| slice.at_s).max_by(f64::total_cmp)?.max(0.1);
    let scale = Scale { last, most: most.log10().ceil() };
    let mut body = String::new();
    for (nth, (server, snapshot)) in shown.iter().enumerate() {
        body.push_str(&scale.panel(server, snapshot, 70.0 + PANEL * nth as f64));
    }
    let heading = "INCR at half of each server's capacity: µs from the intended send time, by 100 ms; \
                   grey: a snapshot is written";
    for (nth, (_, name, color)) in LINES.iter().enumerate() {
        let x = 60.0 + 60.0 * nth as f64;
        body.push_str(&format!(
            "<text x=\"{x:.0}\" y=\"36\" fill=\"{color}\" font-weight=\"bold\">{name}</text>\n"
        ));
    }
    Some(framed(record, 80.0 + PANEL * shown.len() as f64, heading, &body))
}

/// From seconds and microseconds to places in a panel.
struct Scale {
    /// Seconds at the right end, above 0.
    last: f64,
    /// Logarithm of the microseconds at the upper end, at least 1; the lower end is 1 µs.
    most: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        60.0 + seconds / self.last * (WIDTH - 80.0)
    }

    /// Below the top of the panel.
    fn y(&self, micros: f64) -> f64 {
        DRAWN * (1.0 - micros.max(1.0).log10() / self.most)
    }

    fn panel(&self, server: &str, snapshot: &Snapshot, top: f64) -> String {
        let (from, to) = (self.x(snapshot.began_s), self.x(snapshot.ended_s));
        let mut text = format!(
            "<rect x=\"{from:.1}\" y=\"{top:.0}\" width=\"{:.1}\" height=\"{DRAWN:.0}\" fill=\"#eee\"/>\
             <text x=\"60\" y=\"{:.0}\" font-weight=\"bold\">{server}, {:.0}/s</text>\n",
            (to - from).max(1.0),
            top - 6.0,
            snapshot.asked_rate
        );
        for power in (0..12_i32).take_while(|power| f64::from(*power) <= self.most) {
            let (micros, y) = (10_f64.powi(power), top + self.y(10_f64.powi(power)));
            text.push_str(&format!(
                "<line x1=\"60\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"54\" y=\"{:.1}\" text-anchor=\"end\">{micros:.0}</text>\n",
                WIDTH - 20.0,
                y + 4.0
            ));
        }
        for (seconds, anchor) in [(0.0, "start"), (self.last, "end")] {
            text.push_str(&format!(
                "<text x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"{anchor}\" fill=\"#666\">{seconds:.1} s</text>\n",
                self.x(seconds),
                top + DRAWN + 15.0
            ));
        }
        for (pick, _, color) in LINES {
            let place = |slice: &Slice| format!("{:.1},{:.1}", self.x(slice.at_s), top + self.y(pick(slice)));
            let places: Vec<String> = snapshot.slices.iter().map(place).collect();
            text.push_str(&format!(
                "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\" points=\"{}\"/>\n",
                places.join(" ")
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{DRAWN, Scale, WIDTH};

    #[test]
    fn a_panel_ends_where_its_scale_does() {
        let scale = Scale { last: 10.0, most: 4.0 };
        assert!((scale.x(0.0) - 60.0).abs() < 1e-9 && (scale.x(10.0) - (WIDTH - 20.0)).abs() < 1e-9);
        assert!((scale.y(1.0) - DRAWN).abs() < 1e-9 && scale.y(10_000.0).abs() < 1e-9);
        assert!((scale.y(0.2) - DRAWN).abs() < 1e-9, "less than a microsecond is none");
    }
}
