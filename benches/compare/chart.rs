//! A record's processor time per operation or key, memory, and time of expiry, as bars: an SVG file written by hand.
//!
//! Each group has its own scale, because shapes differ by factors of twenty. Knows what a record holds, and SVG.

use super::contender::NAMES;
use super::record::Record;
use super::statistics::{Spread, spread};
use super::verdict::{Group, Metric, all, groups, values};
use super::work::{BULK_KEYS, Work};

const WIDTH: usize = 760;
/// Pixels left of the bars, for names.
const LEFT: usize = 190;
/// Pixels of the longest bar.
const LONGEST: f64 = 420.0;
const LINE: usize = 22;

/// The picture; without figures an empty one.
pub(super) fn svg(record: &Record) -> String {
    let (mut body, mut y) = (String::new(), 30);
    for group in groups(&record.samples) {
        let Some((metric, heading)) = shown(group) else { continue };
        let bars: Vec<(&str, Spread)> = NAMES
            .into_iter()
            .filter_map(|name| Some((name, spread(&all(&values(&record.samples, group, name, metric)))?)))
            .collect();
        let Some(most) = bars.iter().map(|(_, spread)| spread.high).max_by(f64::total_cmp) else { continue };
        body.push_str(&format!(
            "<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{}: {} connections, {heading}</text>\n",
            group.0.text(),
            group.1.connections
        ));
        y += LINE;
        for (name, figure) in bars {
            body.push_str(&bar(name, figure, most, y));
            y += LINE;
        }
        y += LINE / 2;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{}\" y=\"14\" text-anchor=\"end\" fill=\"#666\">{} {}; thin line: least to greatest round</text>\n\
         {body}</svg>\n",
        WIDTH - 10,
        record.date,
        record.commit
    )
}

/// What is drawn of a group, and its heading; none = nothing.
fn shown((_, shape, work): Group) -> Option<(Metric, String)> {
    Some(match work {
        Work::Closed if shape.depth == 1 => (Metric::Cpu, "unpipelined: µs of CPU per INCR".to_owned()),
        Work::Closed => (Metric::Cpu, format!("{} deep: µs of CPU per INCR", shape.depth)),
        Work::Keys(command, _) => {
            (Metric::Key(command), format!("{work}, {BULK_KEYS} at a time: ns of CPU per key"))
        }
        Work::Partial(command, _) => {
            (Metric::Held(command), format!("{work}, incomplete: memory held ÷ bytes sent"))
        }
        Work::Among(_) => (Metric::Cpu, format!("{} deep, {work}: µs of CPU per INCR", shape.depth)),
        Work::Holding(population, _) => (Metric::Counter(population), format!("{work}: bytes per counter")),
        Work::Expiry(..) => (Metric::Gone, format!("{work}: seconds until all are gone")),
        Work::Starting(source, _) => (Metric::Start(source), format!("{work}: seconds until it answers")),
        Work::Snapshot(_) => (Metric::Saving, format!("{work}: p99.9 meanwhile ÷ before")),
        Work::Beside(_) => (Metric::Disturbed, format!("{work}: p99 ÷ before")),
        Work::Calls | Work::Open(_) | Work::Idle | Work::Growing(_) | Work::Each => return None,
    })
}

fn bar(name: &str, figure: Spread, most: f64, y: usize) -> String {
    let pixels = |value: f64| value / most * LONGEST;
    let color = match name.split('-').next() {
        Some("tallyring") => "#2b6cb0",
        Some("bare") => "#bbbbbb",
        _ => "#d69e2e",
    };
    let (start, low, high) = (LEFT as f64, pixels(figure.low), pixels(figure.high));
    let (top, middle) = (y - 13, y - 5);
    format!(
        "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{name}</text>\
         <rect x=\"{LEFT}\" y=\"{top}\" width=\"{:.1}\" height=\"16\" fill=\"{color}\"/>\
         <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"black\"/>\
         <text x=\"{:.1}\" y=\"{y}\">{:.3}</text>\n",
        LEFT - 8,
        pixels(figure.median),
        start + low,
        start + high,
        start + high + 8.0,
        figure.median
    )
}
