//! The pictures of the report, hand-written SVG: inline on the page, and as files beside the summary.
//!
//! Colours are classes, so that one drawing serves a light and a dark page. Figures are those of the tables.

use std::collections::BTreeMap;

use super::axis::{Scale, nines, percent, quantile, short};
use super::bars::{self, WIDTH, style};
use super::choice::{Chosen, Group};
use super::escape::html;
use super::figures::{is_curve, middle, place, servers};
use super::reading::{Record, Sample, shape};
use crate::compare::statistics::median;
use crate::compare::summary::digits;
use crate::load::report::Latency;

/// A picture.
pub(super) struct Picture {
    /// Its file's name.
    pub(super) file: &'static str,
    /// One line that says what is drawn.
    pub(super) title: &'static str,
    /// How to read it, and which records it is from.
    pub(super) note: String,
    body: String,
    height: f64,
}

/// Colours on white and on black, and what lines and letters look like.
pub(super) const STYLE: &str = "\
svg{font:13px system-ui,sans-serif}svg .t{fill:#1f2933}svg .m{fill:#5b6773}svg .h{font-weight:600}svg .g{stroke:#dfe4e9}\
svg .w{stroke:#1f2933;stroke-width:1.2}svg .bg{fill:#fff}svg .o{paint-order:stroke;stroke:#fff;stroke-width:4px}\
svg .a{color:#1a5fb4}svg .b{color:#2fa3c7}svg .c{color:#7b52ab}svg .d{color:#3a8f6a}\
svg .r{color:#c0392b}svg .v{color:#c77d00}svg .x{color:#8a949e}\
@media(prefers-color-scheme:dark){svg .t{fill:#e6e9ec}svg .m{fill:#a0abb6}svg .g{stroke:#343c44}svg .w{stroke:#e6e9ec}\
svg .bg{fill:#14181c}svg .o{stroke:#14181c}svg .a{color:#62a0ea}svg .b{color:#67d3ee}svg .c{color:#c3a1ec}svg .d{color:#74cfa5}\
svg .r{color:#f2766a}svg .v{color:#f0b54a}svg .x{color:#8a949e}}";

impl Picture {
    /// For a page that has [`STYLE`].
    pub(super) fn inline(&self) -> String {
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"{}\">\n{}</svg>\n",
            self.height,
            html(self.title),
            self.body
        )
    }

    /// As a file of its own.
    pub(super) fn standing_alone(&self) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{:.0}\" height=\"{:.0}\" viewBox=\"-16 -34 {:.0} {:.0}\" \
             role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n\
             <rect class=\"bg\" x=\"-16\" y=\"-34\" width=\"100%\" height=\"100%\"/>\n\
             <text class=\"t h\" x=\"0\" y=\"-12\">{}</text>\n{}</svg>\n",
            WIDTH + 32.0,
            self.height + 46.0,
            WIDTH + 32.0,
            self.height + 46.0,
            html(self.title),
            html(self.title),
            self.body
        )
    }
}

/// All for which there are figures.
pub(super) fn of(chosen: &Chosen<'_>) -> Vec<Picture> {
    [latency(chosen), depth(chosen), counters(chosen), curve(chosen), held(chosen)]
        .into_iter()
        .flatten()
        .collect()
}

/// "Records: a, b."
fn sources<'r>(records: impl Iterator<Item = &'r Record>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for record in records {
        if !names.contains(&record.name.as_str()) {
            names.push(&record.name);
        }
    }
    format!("From {}.", names.join(", "))
}

/// Names and strokes of servers, and where the drawing below may begin.
fn legend(names: &[&str], top: f64) -> (String, f64) {
    let mut text = String::new();
    for (nth, name) in names.iter().enumerate() {
        let (column, line) = (nth % 2, nth / 2);
        let (x, y) = (WIDTH / 2.0 * column as f64, top + 12.0 + 19.0 * line as f64);
        let (class, dashes) = style(name);
        text.push_str(&format!(
            "<line class=\"{class}\" stroke=\"currentColor\" stroke-width=\"2.5\" stroke-dasharray=\"{dashes}\" \
             x1=\"{x:.0}\" x2=\"{:.0}\" y1=\"{:.0}\" y2=\"{:.0}\"/><text class=\"t\" x=\"{:.0}\" y=\"{y:.0}\">{}</text>\n",
            x + 26.0,
            y - 4.0,
            y - 4.0,
            x + 33.0,
            html(name)
        ));
    }
    (text, top + 19.0 * names.len().div_ceil(2) as f64 + 8.0)
}

/// Servers of some groups, in the order of tables.
fn names<'r>(groups: &[&Group<'r>]) -> Vec<&'r str> {
    let mut names: Vec<&str> = groups.iter().flat_map(|group| servers(group)).collect();
    names.sort_by_key(|name| place(name));
    names.dedup();
    names
}

/// Left and right end of drawings with a vertical axis.
const LEFT: f64 = 52.0;
const RIGHT: f64 = WIDTH - 28.0;

/// Horizontal lines with numbers.
fn levels(scale: &Scale) -> String {
    let line = |value: f64| {
        let y = scale.place(value);
        format!(
            "<line class=\"g\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"m\" x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 6.0,
            y + 4.0,
            short(value)
        )
    };
    scale.ticks().into_iter().map(line).collect()
}

/// A vertical line with a text below.
fn post(x: f64, (top, bottom): (f64, f64), text: &str) -> String {
    format!(
        "<line class=\"g\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.0}\" y2=\"{bottom:.0}\"/>\
         <text class=\"m\" x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>\n",
        bottom + 17.0,
        html(text)
    )
}

fn polyline(server: &str, places: &[(f64, f64)]) -> String {
    let (class, dashes) = style(server);
    let places: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    format!(
        "<polyline class=\"{class}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\" \
         stroke-dasharray=\"{dashes}\" points=\"{}\"/>\n",
        places.join(" ")
    )
}

/// Latency at fixed rates by percentile: a panel for each shape and rate.
fn latency(chosen: &Chosen<'_>) -> Option<Picture> {
    let open = |group: &&Group<'_>| group.work.starts_with("open");
    let all: Vec<&Group<'_>> = chosen.groups.iter().filter(open).collect();
    let row: Vec<&Group<'_>> = all.iter().copied().filter(|group| group.row == "latency").collect();
    let groups = if row.is_empty() { all } else { row };
    let (mut body, mut y) = legend(&names(&groups), 0.0);
    for group in &groups {
        body.push_str(&panel(group, y)?);
        y += PANEL;
    }
    (!groups.is_empty()).then(|| Picture {
        file: "latency.svg",
        title: "Latency at a fixed rate by percentile, µs from the intended send time",
        note: format!(
            "Each further nine is one step to the right. A line in a panel is a server; ends are where the requests end. \
             Rounds in which the load itself was late are left out, unless there is no other (then it is said). {}",
            sources(groups.iter().map(|group| group.record))
        ),
        body,
        height: y,
    })
}

const PANEL: f64 = 254.0;

fn panel(group: &Group<'_>, top: f64) -> Option<String> {
    let lines: Vec<(&str, Vec<(f64, f64)>)> =
        servers(group).into_iter().map(|server| (server, distribution(group, server))).collect();
    let points = || lines.iter().flat_map(|(_, points)| points);
    let (upper, lower) = (top + 42.0, top + PANEL - 34.0);
    let scale = Scale::log(points().map(|(_, micros)| *micros), lower, upper)?;
    let last = points().map(|(nines, _)| *nines).max_by(f64::total_cmp)?.max(1.0);
    let x = |nines: f64| LEFT + nines / last * (RIGHT - LEFT);
    let rate = group.samples.iter().find_map(|sample| sample.report.as_ref()?.asked_rate).unwrap_or(0.0);
    let late: Vec<&str> =
        lines.iter().map(|(server, _)| *server).filter(|server| is_late(group, server)).collect();
    // Names of many would not fit.
    let late = match late.len() {
        0 => String::new(),
        all if all == lines.len() => "; load late for all".to_owned(),
        1 => format!("; load late for {}", late[0]),
        some => format!("; load late for {some} of {}", lines.len()),
    };
    let mut text = format!(
        "<text class=\"t h\" x=\"0\" y=\"{:.0}\">{}</text>\
         <text class=\"m\" x=\"0\" y=\"{:.0}\">{rate:.0}/s, {}{}</text>\n",
        top + 14.0,
        html(&shape_words(group.shape)),
        top + 30.0,
        html(work_words(group.work)),
        html(&late)
    );
    text.push_str(&levels(&scale));
    for at in [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999].into_iter().filter(|at| nines(*at) <= last + 1e-9) {
        text.push_str(&post(x(nines(at)), (upper, lower), &percent(at)));
    }
    for (server, points) in &lines {
        let places: Vec<(f64, f64)> =
            points.iter().map(|&(nines, micros)| (x(nines), scale.place(micros.max(1e-3)))).collect();
        text.push_str(&polyline(server, &places));
    }
    Some(text)
}

/// Whether in every round the load left late.
fn is_late(group: &Group<'_>, server: &str) -> bool {
    let mut of = group
        .samples
        .iter()
        .filter(|sample| sample.server == server)
        .filter_map(|sample| sample.report.as_ref());
    of.all(|report| !report.kept_up)
}

/// A quantile that every record has, and where.
type Known = (f64, fn(&Latency) -> f64);

/// A server's latencies over all rounds that count: how many nines, and µs. Where a record has no distributions, medians
/// of its percentiles.
fn distribution(group: &Group<'_>, server: &str) -> Vec<(f64, f64)> {
    let late = is_late(group, server);
    let reports: Vec<_> = group
        .samples
        .iter()
        .filter(|sample| sample.server == server)
        .filter_map(|sample| sample.report.as_ref())
        .filter(|report| late || report.kept_up)
        .collect();
    let mut whole: Option<hdrhistogram::Histogram<u64>> = None;
    for histogram in reports.iter().filter_map(|report| report.decoded()) {
        match &mut whole {
            // Both have the bounds of the load's recorder, so that nothing is outside.
            Some(whole) => whole.add(&histogram).unwrap_or(()),
            None => whole = Some(histogram),
        }
    }
    if let Some(whole) = whole {
        let last = (whole.len() as f64).max(1.0).log10();
        // The least values lie far below all others and would flatten the rest.
        let steps = (2_u32..).map(|step| f64::from(step) * 0.05).take_while(|at| *at <= last);
        return steps.map(|at| (at, whole.value_at_quantile(quantile(at)) as f64 / 1000.0)).collect();
    }
    const KNOWN: [Known; 5] = [
        (0.5, |of| of.p50),
        (0.9, |of| of.p90),
        (0.99, |of| of.p99),
        (0.999, |of| of.p999),
        (0.9999, |of| of.p9999),
    ];
    let middle = |pick: fn(&Latency) -> f64| {
        median(&reports.iter().map(|report| pick(&report.latency)).collect::<Vec<f64>>())
    };
    KNOWN.into_iter().filter_map(|(at, pick)| Some((nines(at), middle(pick)?))).collect()
}

/// "50 connections, 16 deep"
pub(super) fn shape_words(name: &str) -> String {
    match shape(name) {
        Some((connections, 1)) => format!("{connections} connections, unpipelined"),
        Some((connections, depth)) => format!("{connections} connections, {depth} deep"),
        None => name.to_owned(),
    }
}

/// At which part of the capacity.
pub(super) fn work_words(work: &str) -> &str {
    match work {
        "open" => "half of the slowest server's capacity",
        "open at 80 %" => "80 % of the slowest server's capacity",
        other => other,
    }
}

/// Processor time per operation by depth of the pipeline, at 50 connections.
fn depth(chosen: &Chosen<'_>) -> Option<Picture> {
    let mut groups: Vec<(u64, &Group<'_>)> = chosen
        .groups
        .iter()
        .filter(|group| ["T1", "T2", "T3"].contains(&group.row) && group.work == "closed")
        .filter_map(|group| match shape(group.shape)? {
            (50, depth) => Some((depth, group)),
            _ => None,
        })
        .collect();
    groups.sort_by_key(|(depth, _)| *depth);
    let all: Vec<&Group<'_>> = groups.iter().map(|(_, group)| *group).collect();
    let names = names(&all);
    let (mut body, top) = legend(&names, 0.0);
    let (top, bottom) = (top + 10.0, top + 260.0);
    let cpu = |group: &Group<'_>, server: &str| middle(group, server, |sample| sample.cpu_us);
    let figures = || groups.iter().flat_map(|(_, group)| names.iter().filter_map(|name| cpu(group, name)));
    let scale = Scale::log(figures().flat_map(|figure| [figure.low, figure.high]), bottom, top)?;
    let across = Scale::log(groups.iter().map(|(depth, _)| *depth as f64), LEFT + 46.0, RIGHT - 46.0)?;
    body.push_str(&levels(&scale));
    for (depth, _) in &groups {
        let words = if *depth == 1 { "unpipelined".to_owned() } else { format!("{depth} deep") };
        body.push_str(&post(across.place(*depth as f64), (top, bottom), &words));
    }
    for name in &names {
        let points: Vec<(f64, crate::compare::statistics::Spread)> = groups
            .iter()
            .filter_map(|(depth, group)| Some((across.place(*depth as f64), cpu(group, name)?)))
            .collect();
        let places: Vec<(f64, f64)> =
            points.iter().map(|(x, figure)| (*x, scale.place(figure.median))).collect();
        body.push_str(&polyline(name, &places));
        let (class, _) = style(name);
        for (x, figure) in points {
            let y = scale.place(figure.median);
            body.push_str(&format!(
                "<line class=\"{class}\" stroke=\"currentColor\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
                 <circle class=\"{class}\" fill=\"currentColor\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\"/>\n",
                scale.place(figure.low),
                scale.place(figure.high)
            ));
            if ["a", "r"].contains(&class) {
                let (dx, dy) = if class == "a" { (-8.0, 15.0) } else { (8.0, -7.0) };
                let anchor = if class == "a" { "end" } else { "start" };
                body.push_str(&format!(
                    "<text class=\"o {class}\" fill=\"currentColor\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{:.*}</text>\n",
                    x + dx,
                    y + dy,
                    digits(figure.median),
                    figure.median
                ));
            }
        }
    }
    Some(Picture {
        file: "depth.svg",
        title: "µs of CPU per INCR by depth of the pipeline, 50 connections, 10^6 keys",
        note: format!(
            "Both axes are logarithmic; a stroke through a point reaches from the least to the greatest round. The bare loops \
             answer without a decoder and a table. {}",
            sources(all.iter().map(|group| group.record))
        ),
        body,
        height: bottom + 26.0,
    })
}

/// Figures of servers as bars, where the groups that `wanted` takes have one.
fn barred<'c, 'r>(
    chosen: &'c Chosen<'r>,
    of: fn(&Sample) -> Option<f64>,
) -> (Vec<bars::Group>, Vec<&'c Group<'r>>) {
    let with = |group: &&Group<'r>| group.samples.iter().any(|sample| of(sample).is_some());
    let groups: Vec<&Group<'r>> = chosen.groups.iter().filter(with).collect();
    let bars = groups
        .iter()
        .map(|group| bars::Group {
            heading: group.work.to_owned(),
            remark: String::new(),
            bars: servers(group)
                .into_iter()
                .filter_map(|server| Some((server.to_owned(), middle(group, server, of)?)))
                .collect(),
        })
        .collect();
    (bars, groups)
}

/// Of each server, by its place in tables, how many keys it held at most, and where.
type Most<'c, 'r> = BTreeMap<(usize, &'r str), (u64, &'c Group<'r>)>;

/// Bytes per counter: of each kind of key, each server where it held the most of them.
fn counters(chosen: &Chosen<'_>) -> Option<Picture> {
    let held = |sample: &Sample| sample.point.filter(|_| !is_curve(sample)).map(|point| point.per_counter);
    let (_, groups) = barred(chosen, held);
    let mut kinds: Vec<(&str, Most<'_, '_>)> = Vec::new();
    for group in &groups {
        let (count, kind) = group.work.split_once(' ').unwrap_or(("0", group.work));
        let count: u64 = count.parse().unwrap_or(0);
        let at = kinds.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
            kinds.push((kind, Most::new()));
            kinds.len() - 1
        });
        for server in servers(group) {
            let most = kinds[at].1.entry((place(server), server)).or_insert((count, group));
            if most.0 < count {
                *most = (count, group);
            }
        }
    }
    let drawn: Vec<bars::Group> = kinds
        .iter()
        .map(|(kind, of)| {
            let counts: Vec<String> = of
                .iter()
                .map(|((_, server), (count, _))| format!("{server} {}", short(*count as f64)))
                .collect();
            let figure = |(key, most): (&(usize, &str), &(u64, &Group<'_>))| {
                Some((key.1.to_owned(), middle(most.1, key.1, held)?))
            };
            bars::Group {
                heading: kind.trim_start_matches("× ").to_owned(),
                remark: format!("keys: {}", counts.join(", ")),
                bars: of.iter().filter_map(figure).collect(),
            }
        })
        .collect();
    let (body, height) = bars::draw(&drawn)?;
    Some(Picture {
        file: "counters.svg",
        title: "Bytes of memory per counter",
        note: format!(
            "Growth of the process' memory with so many keys, the keys' own bytes included. {}",
            sources(groups.iter().map(|group| group.record))
        ),
        body,
        height,
    })
}

/// Bytes per counter over the number of counters.
fn curve(chosen: &Chosen<'_>) -> Option<Picture> {
    let groups: Vec<&Group<'_>> =
        chosen.groups.iter().filter(|group| group.samples.iter().any(|sample| is_curve(sample))).collect();
    // Of each server the curve that reaches furthest.
    let mut curves: BTreeMap<(usize, &str), Vec<(f64, f64)>> = BTreeMap::new();
    let reach = |points: &[(f64, f64)]| points.last().map_or(0.0, |(counters, _)| *counters);
    for group in &groups {
        for server in servers(group) {
            let of = group.samples.iter().filter(|sample| sample.server == server);
            let points: Vec<(f64, f64)> = of
                .filter_map(|sample| sample.point)
                .map(|point| (point.counters as f64, point.per_counter))
                .collect();
            let known = curves.entry((place(server), server)).or_default();
            if reach(known) < reach(&points) {
                *known = points;
            }
        }
    }
    let names: Vec<&str> = curves.keys().map(|(_, server)| *server).collect();
    let (mut body, top) = legend(&names, 0.0);
    let (top, bottom) = (top + 6.0, top + 226.0);
    let points = || curves.values().flatten();
    let across = Scale::log(points().map(|(counters, _)| *counters), LEFT, RIGHT)?;
    let most = points().map(|(_, bytes)| *bytes).max_by(f64::total_cmp)?.max(1.0) * 1.04;
    let y = |bytes: f64| bottom - bytes / most * (bottom - top);
    let step =
        [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0].into_iter().find(|step| most / step <= 8.0).unwrap_or(most);
    for bytes in (0..=8_u8).map(|line| f64::from(line) * step).filter(|bytes| *bytes <= most) {
        let y = y(bytes);
        body.push_str(&format!(
            "<line class=\"g\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"m\" x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{bytes:.0}</text>\n",
            LEFT - 6.0,
            y + 4.0
        ));
    }
    for counters in across.ticks() {
        body.push_str(&post(across.place(counters), (top, bottom), &short(counters)));
    }
    for ((_, server), points) in &curves {
        let places: Vec<(f64, f64)> =
            points.iter().map(|(counters, bytes)| (across.place(*counters), y(*bytes))).collect();
        body.push_str(&polyline(server, &places));
    }
    Some(Picture {
        file: "curve.svg",
        title: "Bytes per counter by number of counters, views:article:N",
        note: format!(
            "Growth of the process' memory, so steps are indexes that grow. {}",
            sources(groups.iter().map(|group| group.record))
        ),
        body,
        height: bottom + 26.0,
    })
}

/// Memory of requests in flight.
fn held(chosen: &Chosen<'_>) -> Option<Picture> {
    let (drawn, groups) = barred(chosen, |sample| sample.held);
    let (body, height) = bars::draw(&drawn)?;
    Some(Picture {
        file: "in-flight.svg",
        title: "Memory held ÷ bytes sent, 50 requests of which the end is missing",
        note: format!(
            "Requests of 100,000 arguments (a quick run: 20,000) sent but for their last 10 bytes. `MGET` is answered while it arrives; `MSET` is all or nothing, so its arguments have to be kept. {}",
            sources(groups.iter().map(|group| group.record))
        ),
        body,
        height,
    })
}

#[cfg(test)]
mod tests {
    use super::{of, shape_words};
    use crate::compare::report::choice::Chosen;
    use crate::compare::report::choice::tests::record;

    #[test]
    fn a_picture_is_drawn_of_what_is_there() {
        let records = [record("one", "2026-01-02", "bb", "", 0.25)];
        let pictures = of(&Chosen::of(&records));
        assert_eq!(pictures.iter().map(|picture| picture.file).collect::<Vec<_>>(), ["depth.svg"]);
        let alone = pictures[0].standing_alone();
        assert!(alone.contains("prefers-color-scheme:dark") && !alone.contains("href"), "{alone}");
        assert!(pictures[0].note.ends_with("From one."), "{}", pictures[0].note);
    }

    #[test]
    fn shapes_are_told_in_words() {
        assert_eq!(shape_words("50 × 16"), "50 connections, 16 deep");
        assert_eq!(shape_words("200"), "200 connections, unpipelined");
    }
}
