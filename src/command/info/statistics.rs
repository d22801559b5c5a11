//! Sections of `INFO` with a line for each command, or for each kind of error: in Redis' format.

use super::Text;

/// The directive that says which percentiles are shown.
const PERCENTILES: &str = "latency-tracking-info-percentiles";

/// How often each command was called and what that took.
pub(super) fn commandstats(text: &mut Text<'_>) {
    for (name, reading) in text.commands().iter() {
        let micros = reading.nanos / 1000;
        let each = super::ratio(reading.nanos, reading.calls) / 1000.0;
        let (calls, rejected, failed) = (reading.calls, reading.rejected, reading.failed);
        text.field(
            &format!("cmdstat_{name}"),
            format!(
                "calls={calls},usec={micros},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}"
            ),
        );
    }
}

/// How often an error of each code was replied.
pub(super) fn errorstats(text: &mut Text<'_>) {
    let codes = text.host.error_codes();
    for (code, count) in codes.iter() {
        text.field(&format!("errorstat_{}", String::from_utf8_lossy(code)), format!("count={count}"));
    }
}

/// Percentiles of what each command took, in microseconds.
pub(super) fn latencystats(text: &mut Text<'_>) {
    let mut wanted = String::new();
    text.host.config_get(&[PERCENTILES.as_bytes()], &mut |_, value| wanted = value.to_owned());
    let percentiles: Vec<(&str, f64)> =
        wanted.split(' ').filter_map(|word| Some((word, word.parse().ok()?))).collect();
    for (name, reading) in text.commands().iter().filter(|(_, reading)| !reading.service.is_empty()) {
        let shown = percentiles.iter().map(|(word, percentile)| {
            let nanos = reading.service.value_at_percentile(*percentile);
            format!("p{word}={}.{:03}", nanos / 1000, nanos % 1000)
        });
        let shown = shown.collect::<Vec<_>>().join(",");
        text.field(&format!("latency_percentiles_usec_{name}"), shown);
    }
}
