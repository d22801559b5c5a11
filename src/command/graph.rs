//! The drawing of `LATENCY GRAPH`: samples as columns of characters, with how long ago each was below, as Redis draws
//! them. Knows numbers only.

use std::fmt::Write;

use crate::metrics::events::Series;

/// Columns of a strip of the drawing, and of the line above it.
const COLUMNS: usize = 80;

/// Lines of the columns above the labels.
const ROWS: usize = 4;

/// What a column's highest character is, by how full it is.
const TOPS: [char; 3] = ['_', 'o', '#'];

/// What is below that.
const BODY: char = '|';

/// Draws the samples of an event.
pub(super) fn draw(event: &str, series: &Series, now_s: u64) -> String {
    let values = || series.samples.iter().map(|sample| sample.ms);
    let (low, high) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
    let mut out = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        series.max_ms,
        "-".repeat(COLUMNS)
    );
    let columns: Vec<Column> = series
        .samples
        .iter()
        .map(|sample| Column {
            height: height(sample.ms - low, high - low),
            label: age(now_s.saturating_sub(sample.unix_s)),
        })
        .collect();
    for (number, strip) in columns.chunks(COLUMNS).enumerate() {
        if number > 0 {
            out.push('\n');
        }
        draw_strip(&mut out, strip);
    }
    out
}

struct Column {
    /// In thirds of a row, from 0 on: below `ROWS * TOPS.len()`.
    height: usize,
    label: String,
}

/// The height of a value that is so much above the lowest, where the highest is so much above it.
fn height(value: u64, range: u64) -> usize {
    let steps = ROWS * TOPS.len();
    let step = u128::from(value) * steps as u128 / u128::from(range.max(1));
    usize::try_from(step).map_or(steps - 1, |step| step.min(steps - 1))
}

/// Seconds in the largest unit of which it has one.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        86_400.. => format!("{}d", seconds / 86_400),
    }
}

fn draw_strip(out: &mut String, strip: &[Column]) {
    for row in (0..ROWS).rev() {
        let floor = row * TOPS.len();
        let characters = strip.iter().map(|column| match column.height.checked_sub(floor) {
            None => ' ',
            Some(above) => TOPS.get(above).copied().unwrap_or(BODY),
        });
        out.extend(characters);
        out.push('\n');
    }
    // A blank line, then the labels from top to bottom.
    let longest = strip.iter().map(|column| column.label.len()).max().unwrap_or(0);
    writeln!(out, "{}", " ".repeat(strip.len())).expect("writing to memory does not fail");
    for line in 0..longest {
        out.extend(strip.iter().map(|column| column.label.chars().nth(line).unwrap_or(' ')));
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::draw;
    use crate::metrics::events::{Sample, Series};

    fn series(samples: &[(u64, u64)]) -> Series {
        let max_ms = samples.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
        Series { samples: samples.iter().map(|&(unix_s, ms)| Sample { unix_s, ms }).collect(), max_ms }
    }

    /// The lines of a drawing behind the first two.
    fn columns(samples: &[(u64, u64)], now_s: u64) -> Vec<String> {
        let drawn = draw("command", &series(samples), now_s);
        drawn.lines().skip(2).map(str::to_owned).collect()
    }

    #[test]
    fn it_is_drawn_as_redis_draws_it() {
        let samples = [
            (465, 12),
            (466, 35),
            (467, 70),
            (469, 117),
            (470, 154),
            (471, 199),
            (472, 235),
            (474, 223),
            (475, 37),
            (476, 120),
            (477, 81),
        ];
        // Taken from Redis 7.0.15, which had these samples.
        let expected = "command - high 235 ms, low 12 ms (all time high 235 ms)\n\
            --------------------------------------------------------------------------------\n     \
                 o##   \n    \
                o|||   \n  \
              _#|||| #_\n\
            _o||||||o||\n           \n\
            11119875432\n\
            4320sssssss\n\
            ssss       \n";
        assert_eq!(draw("command", &series(&samples), 479), expected);
    }

    #[test]
    fn equal_samples_lie_on_the_ground() {
        assert_eq!(columns(&[(0, 7), (3500, 7)], 3600), ["  ", "  ", "  ", "__", "  ", "11", "hm"]);
        assert_eq!(columns(&[(0, 7)], 200_000)[5..], ["2", "d"]);
    }

    #[test]
    fn more_than_a_strip_goes_below_it() {
        let samples: Vec<(u64, u64)> = (0..100).map(|n| (n, n)).collect();
        let lines = columns(&samples, 99);
        let widths: Vec<usize> = lines.iter().map(String::len).collect();
        assert_eq!(widths, [[80; 8].as_slice(), &[0], &[20; 8]].concat());
    }
}
