//! A record's memory per counter over the number of counters, as curves: an SVG file written by hand.
//!
//! Counters are on a logarithmic axis, because indexes grow by factors. Knows what a record holds, and SVG.

use super::contender::{NAMES, REDIS, is_ours};
use super::counters::Point;
use super::record::Record;
use super::work::Work;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
/// Of the drawing within the picture.
const LEFT: f64 = 60.0;
const RIGHT: f64 = WIDTH - 20.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = HEIGHT - 50.0;

/// The picture; none without figures.
pub(super) fn svg(record: &Record) -> Option<String> {
    let curves: Vec<(&str, Vec<Point>)> = NAMES
        .into_iter()
        .map(|name| {
            let of = record.samples.iter().filter(|sample| sample.server == name);
            let growing = of.filter(|sample| matches!(sample.work, Work::Growing(_)));
            (name, growing.filter_map(|sample| sample.point).collect())
        })
        .filter(|(_, points): &(&str, Vec<Point>)| !points.is_empty())
        .collect();
    let scale = Scale::of(curves.iter().flat_map(|(_, points)| points))?;
    let mut body = scale.axes();
    for (nth, (name, points)) in curves.iter().enumerate() {
        let color = color(name);
        body.push_str(&scale.line(points, color, "", |point| Some(point.per_counter)));
        body.push_str(&scale.line(points, color, " stroke-dasharray=\"4 3\"", |point| point.dataset));
        let x = LEFT + 10.0 + 170.0 * nth as f64;
        body.push_str(&format!(
            "<text x=\"{x:.0}\" y=\"38\" fill=\"{color}\" font-weight=\"bold\">{name}</text>\n"
        ));
    }
    Some(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\">Bytes per counter, views:article:N: growth of the process' memory; dashed: of \
         used_memory_dataset</text>\n{body}\
         <text x=\"{RIGHT}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"#666\">{} {}</text>\n</svg>\n",
        HEIGHT - 8.0,
        record.date,
        record.commit
    ))
}

fn color(name: &str) -> &'static str {
    match name {
        name if is_ours(name) => "#2b6cb0",
        REDIS => "#c05621",
        _ => "#6b8e23",
    }
}

/// From counters and bytes to places in the picture.
struct Scale {
    /// Logarithms of the least and the greatest number of counters; they differ.
    from: f64,
    to: f64,
    /// Bytes at the upper end, at least 1.
    most: f64,
}

impl Scale {
    /// One that all points fit in; none without two different numbers of counters.
    fn of<'p>(points: impl Iterator<Item = &'p Point> + Clone) -> Option<Self> {
        let counters = points.clone().map(|point| (point.counters as f64).ln());
        let from = counters.clone().min_by(f64::total_cmp)?;
        let to = counters.max_by(f64::total_cmp)?;
        let most = points.flat_map(|point| [Some(point.per_counter), point.dataset]).flatten();
        let most = most.max_by(f64::total_cmp)?.max(1.0) * 1.05;
        (to > from).then_some(Self { from, to, most })
    }

    fn x(&self, counters: f64) -> f64 {
        LEFT + (counters.ln() - self.from) / (self.to - self.from) * (RIGHT - LEFT)
    }

    fn y(&self, bytes: f64) -> f64 {
        BOTTOM - bytes / self.most * (BOTTOM - TOP)
    }

    /// Lines with numbers at 1, 2 and 5 times the powers of ten, and at ten or so even numbers of bytes.
    fn axes(&self) -> String {
        let mut text = String::new();
        let ticks = (0..12).flat_map(|power| [1.0, 2.0, 5.0].map(|digit: f64| digit * 10_f64.powi(power)));
        // Room for what rounding does to the ends.
        let within = (self.from.exp() * 0.999)..=(self.to.exp() * 1.001);
        for counters in ticks.filter(|counters| within.contains(counters)) {
            let x = self.x(counters);
            text.push_str(&format!(
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\" stroke=\"#ddd\"/>\
                 <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>\n",
                BOTTOM + 18.0,
                short(counters)
            ));
        }
        let step = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
            .into_iter()
            .find(|step| self.most / step <= 12.0)
            .unwrap_or(self.most);
        for line in 0..=12_u8 {
            let bytes = f64::from(line) * step;
            if bytes <= self.most {
                let y = self.y(bytes);
                text.push_str(&format!(
                    "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                     <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{bytes:.0}</text>\n",
                    LEFT - 6.0,
                    y + 4.0
                ));
            }
        }
        text.push_str(&format!(
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">counters</text>\n",
            f64::midpoint(LEFT, RIGHT),
            BOTTOM + 36.0
        ));
        text
    }

    fn line(&self, points: &[Point], color: &str, dashes: &str, pick: fn(&Point) -> Option<f64>) -> String {
        let places: Vec<String> = points
            .iter()
            .filter_map(|point| Some((point.counters as f64, pick(point)?.max(0.0))))
            .map(|(counters, bytes)| format!("{:.1},{:.1}", self.x(counters), self.y(bytes)))
            .collect();
        format!(
            "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"{dashes} points=\"{}\"/>\n",
            places.join(" ")
        )
    }
}

/// 50000 as 50k, 2000000 as 2M.
fn short(number: f64) -> String {
    match number {
        number if number >= 1e6 => format!("{:.0}M", number / 1e6),
        number if number >= 1e3 => format!("{:.0}k", number / 1e3),
        number => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{BOTTOM, LEFT, Point, RIGHT, Scale, short};

    fn point(counters: u64, per_counter: f64) -> Point {
        Point { counters, per_counter, dataset: None, key_bytes: 0.0, bytes: 0 }
    }

    #[test]
    fn the_ends_of_a_curve_are_the_ends_of_the_picture() {
        let points = [point(100, 90.0), point(10_000, 10.0), point(1_000, 100.0)];
        let scale = Scale::of(points.iter()).unwrap();
        assert!((scale.x(100.0) - LEFT).abs() < 1e-9 && (scale.x(10_000.0) - RIGHT).abs() < 1e-9);
        // A power of ten in the middle of two others.
        assert!((scale.x(1_000.0) - f64::midpoint(LEFT, RIGHT)).abs() < 1e-9);
        assert!((scale.y(0.0) - BOTTOM).abs() < 1e-9);
        let axes = scale.axes();
        for label in ["100", "1k", "10k", "counters"] {
            assert!(axes.contains(&format!(">{label}<")), "{axes}");
        }
    }

    #[test]
    fn one_point_is_no_curve() {
        assert!(Scale::of([point(100, 1.0)].iter()).is_none());
        assert!(Scale::of([].iter()).is_none());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([200.0, 5e3, 1e5, 2e7].map(short), ["200", "5k", "100k", "20M"]);
    }
}
