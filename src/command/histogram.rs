//! What commands took, as `LATENCY HISTOGRAM`, `LATENCY HDR` and `INFO` show it. The first and the last are Redis' own.

use hdrhistogram::Histogram;

use super::lookup::named;
use super::{Call, Outcome};
use crate::metrics::histogram::compressed;
use crate::metrics::meters::Reading;

/// The upper end of the first step of `LATENCY HISTOGRAM`, in nanoseconds; each further one is twice as long.
const FIRST_STEP: u64 = 1024;

/// `LATENCY HISTOGRAM [command …]`
pub(super) fn cumulative(call: &mut Call<'_>) -> Outcome {
    let shown = wanted(call);
    call.reply.map(shown.len());
    for (name, reading) in &shown {
        let steps = steps(&reading.service);
        call.reply.bulk(name.as_bytes());
        call.reply.map(2);
        call.reply.bulk(b"calls");
        call.reply.integer(reading.service.len().cast_signed());
        call.reply.bulk(b"histogram_usec");
        call.reply.map(steps.len());
        for (micros, calls) in steps {
            call.reply.integer(micros.cast_signed());
            call.reply.integer(calls.cast_signed());
        }
    }
    Outcome::Done
}

/// Calls that took no longer than each step, in microseconds, where they are more than in the step before.
fn steps(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let (mut steps, mut before, mut end) = (Vec::new(), 0, FIRST_STEP);
    while before < histogram.len() {
        // Of the values that are told apart, the last one of the step's.
        let last = histogram.highest_equivalent(end);
        let within = histogram.count_between(0, end);
        if within > before {
            steps.push((last / 1000, within));
        }
        before = within;
        end *= 2;
    }
    steps
}

/// `LATENCY HDR [command …]`
pub(super) fn encoded(call: &mut Call<'_>) -> Outcome {
    let shown = wanted(call);
    call.reply.map(shown.len());
    for (name, reading) in &shown {
        call.reply.bulk(name.as_bytes());
        call.reply.map(FIGURES.len() + 3);
        figures(call, &reading.service);
        call.reply.bulk(b"reply");
        call.reply.map(FIGURES.len() + 2);
        figures(call, &reading.reply);
    }
    Outcome::Done
}

/// A figure's name, and the figure of a histogram.
type Figure = (&'static str, fn(&Histogram<u64>) -> u64);

/// What is told of a histogram besides how many values there are.
const FIGURES: [Figure; 7] = [
    ("min", |histogram| histogram.min()),
    ("p50", |histogram| histogram.value_at_quantile(0.5)),
    ("p90", |histogram| histogram.value_at_quantile(0.9)),
    ("p99", |histogram| histogram.value_at_quantile(0.99)),
    ("p99.9", |histogram| histogram.value_at_quantile(0.999)),
    ("p99.99", |histogram| histogram.value_at_quantile(0.9999)),
    ("max", |histogram| histogram.max()),
];

fn figures(call: &mut Call<'_>, histogram: &Histogram<u64>) {
    call.reply.bulk(b"count");
    call.reply.integer(histogram.len().cast_signed());
    for (name, figure) in FIGURES {
        call.reply.bulk(name.as_bytes());
        call.reply.double(micros(figure(histogram)).as_bytes());
    }
    call.reply.bulk(b"hdr");
    call.reply.bulk(compressed(histogram).as_bytes());
}

/// Nanoseconds as microseconds, to the nanosecond.
fn micros(nanos: u64) -> String {
    format!("{}.{:03}", nanos / 1000, nanos % 1000)
}

/// The readings of the commands that the request names, of all where it names none, with their names: those that were
/// executed. A container stands for its subcommands.
fn wanted(call: &mut Call<'_>) -> Vec<(String, Reading)> {
    let readings = call.host.readings().into_iter().filter(|reading| !reading.service.is_empty());
    let named: Vec<(String, Reading)> = named(readings).collect();
    if call.args.len() == 2 {
        return named;
    }
    let names: Vec<String> =
        call.args.tail(2).map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).collect();
    let asked = |name: &str| {
        let container = name.split_once('|').map(|(container, _)| container);
        names.iter().any(|asked| asked == name || Some(asked.as_str()) == container)
    };
    named.into_iter().filter(|(name, _)| asked(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::{micros, steps};
    use crate::metrics::histogram::{DIGITS, HIGHEST};
    use hdrhistogram::Histogram;

    #[test]
    fn steps_double_and_tell_what_is_below() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, HIGHEST, DIGITS).expect("bounds in order");
        assert!(steps(&histogram).is_empty());
        for nanos in [100, 1000, 1031, 1032, 5000, 30_000, 30_001, 40_000_000] {
            histogram.record(nanos).expect("within bounds");
        }
        let expected = [(1, 3), (2, 4), (8, 5), (33, 7), (67_633, 8)];
        assert_eq!(steps(&histogram), expected, "as Redis' own iteration over these values has it");
    }

    #[test]
    fn nanoseconds_are_kept() {
        assert_eq!([micros(0), micros(999), micros(1_234_567)], ["0.000", "0.999", "1234.567"]);
    }
}
