//! Figures of servers as bars, in groups on one scale. Knows SVG, and the colour of each server.

use crate::compare::statistics::Spread;
use crate::compare::summary::digits;

use super::escape::html;

/// Width of all pictures, in units of their own: letters of 13 are still read when a phone shows it on 360.
pub(super) const WIDTH: f64 = 520.0;
/// Left of the bars, for names.
const LEFT: f64 = 168.0;
/// Right of the longest bar, for numbers.
const RIGHT: f64 = 84.0;
const LINE: f64 = 21.0;

/// Bars with a heading.
pub(super) struct Group {
    pub(super) heading: String,
    /// A line below it, or nothing.
    pub(super) remark: String,
    pub(super) bars: Vec<(String, Spread)>,
}

/// A server's colour as a class, and how its lines are dashed: so that they are told apart without colours.
pub(super) fn style(server: &str) -> (&'static str, &'static str) {
    let is = |prefix: &str| server.starts_with(prefix);
    match server {
        "tallyring-epoll" | "tallyring-epoll-build" => ("b", "7 3"),
        "tallyring-uring-fixed" | "tallyring-uring-2-workers" => ("c", "2 2"),
        "tallyring-tokio-uring" => ("d", "9 3 2 3"),
        "bare-ring" => ("x", "2 3"),
        _ if is("tallyring") => ("a", ""),
        _ if is("redis") => ("r", ""),
        _ if is("valkey") => ("v", "10 3"),
        _ => ("x", "5 3"),
    }
}

/// The drawing and its height; nothing without a figure above 0.
pub(super) fn draw(groups: &[Group]) -> Option<(String, f64)> {
    let figures = groups.iter().flat_map(|group| &group.bars).map(|(_, figure)| figure.high);
    let most = figures.max_by(f64::total_cmp).filter(|most| *most > 0.0)?;
    let (mut body, mut y) = (String::new(), 6.0);
    for group in groups.iter().filter(|group| !group.bars.is_empty()) {
        y += LINE;
        body.push_str(&format!("<text class=\"t h\" x=\"0\" y=\"{y:.0}\">{}</text>\n", html(&group.heading)));
        if !group.remark.is_empty() {
            y += LINE - 4.0;
            body.push_str(&format!(
                "<text class=\"m\" x=\"0\" y=\"{y:.0}\">{}</text>\n",
                html(&group.remark)
            ));
        }
        for (server, figure) in &group.bars {
            y += LINE;
            body.push_str(&bar(server, *figure, most, y));
        }
        y += 8.0;
    }
    Some((body, y + 6.0))
}

fn bar(server: &str, figure: Spread, most: f64, y: f64) -> String {
    let pixels = |value: f64| value / most * (WIDTH - LEFT - RIGHT);
    let (class, _) = style(server);
    let middle = y - 5.0;
    let mut text = format!(
        "<text class=\"t\" x=\"{:.0}\" y=\"{y:.0}\" text-anchor=\"end\">{}</text>\
         <rect class=\"{class}\" fill=\"currentColor\" x=\"{LEFT}\" y=\"{:.0}\" width=\"{:.1}\" height=\"14\" rx=\"2\"/>",
        LEFT - 8.0,
        html(server),
        y - 12.0,
        pixels(figure.median).max(1.0),
    );
    if figure.high > figure.low {
        text.push_str(&format!(
            "<line class=\"w\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.0}\" y2=\"{middle:.0}\"/>",
            LEFT + pixels(figure.low),
            LEFT + pixels(figure.high)
        ));
    }
    text.push_str(&format!(
        "<text class=\"t\" x=\"{:.1}\" y=\"{y:.0}\">{:.*}</text>\n",
        LEFT + pixels(figure.high).max(1.0) + 7.0,
        digits(figure.median).min(if figure.median >= 10.0 { 1 } else { 3 }),
        figure.median
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::{Group, draw};
    use crate::compare::statistics::Spread;

    fn even(value: f64) -> Spread {
        Spread { median: value, low: value, high: value }
    }

    #[test]
    fn the_greatest_figure_has_the_longest_bar_and_names_are_escaped() {
        let bars = vec![("redis".to_owned(), even(2.0)), ("<b>".to_owned(), even(1.0))];
        let (body, height) =
            draw(&[Group { heading: "a & b".to_owned(), remark: String::new(), bars }]).unwrap();
        assert!(body.contains("width=\"268.0\"") && body.contains("width=\"134.0\""), "{body}");
        assert!(body.contains("a &amp; b") && body.contains("&lt;b&gt;") && height > 60.0, "{body}");
    }

    #[test]
    fn without_figures_there_is_no_picture() {
        assert!(draw(&[Group { heading: String::new(), remark: String::new(), bars: Vec::new() }]).is_none());
    }
}
