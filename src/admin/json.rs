//! `/stats.json` and `/latency.json`: the same figures for programs. Knows the documents' shapes.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::source::{Keys, Persistence, Reading, Source, Standing};
use crate::metrics::histogram::compressed;

/// The media type.
pub(super) const TYPE: &str = "application/json";

/// Places of a histogram for each doubling: 9 % wide, which is less than a line of a chart.
const PLACES_PER_OCTAVE: f64 = 8.0;

/// Percentiles that are told.
const PERCENTILES: [(&str, f64); 6] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("p99.99", 99.99), ("max", 100.0)];

/// What the dashboard shows. Histograms are sums since the start: who asks twice knows what came between.
pub(super) fn stats(source: &dyn Source) -> Vec<u8> {
    let (reading, standing) = (source.reading(), source.standing());
    let process = &reading.process;
    let document = json!({
        "version": reading.version,
        "run_id": reading.run_id,
        "role": reading.role,
        "port": reading.port,
        "os": reading.os,
        "engine": reading.engine,
        "rung": reading.rung,
        "uptime_ms": reading.uptime_ms,
        "standing": describe(&standing).0,
        "clients": reading.clients,
        "max_clients": reading.max_clients,
        "counts": counts(&reading),
        "refusals": Map::from_iter(reading.refusals.iter().map(|(name, count)| ((*name).to_owned(), json!(count)))),
        "workers": reading.workers.iter().map(|worker| json!({
            "clients": worker.clients,
            "requests": worker.requests,
            "blocks": worker.blocks,
            "blocks_free": worker.blocks_free,
            "blocks_low_water": worker.blocks_low_water,
            "in_flight": worker.in_flight,
        })).collect::<Vec<_>>(),
        "keys": keys(&reading.keys),
        "memory": {
            "used": reading.memory.used,
            "dataset": reading.memory.dataset,
            "max": reading.memory.max,
            "machine": reading.memory.machine,
            "resident": process.resident,
            "peak": process.peak,
        },
        "cpu_s": process.cpu_s,
        "persistence": reading.persistence.as_ref().map(persistence),
        "places_per_octave": PLACES_PER_OCTAVE,
        "commands": source.commands().iter().map(|command| json!({
            "name": command.name,
            "calls": command.of.calls,
            "rejected": command.of.rejected,
            "failed": command.of.failed,
            "nanos": command.of.nanos,
            "service": places(&command.of.service),
            "reply": places(&command.of.reply),
        })).collect::<Vec<_>>(),
    });
    document.to_string().into_bytes()
}

/// Percentiles of each command, and its histograms whole: HdrHistogram's V2 format, deflated, in base64, as its logs and
/// tools have it.
pub(super) fn latency(source: &dyn Source) -> Vec<u8> {
    let document = json!({
        "unit": "ns",
        "run_id": source.reading().run_id,
        "commands": source.commands().iter().map(|command| json!({
            "name": command.name,
            "calls": command.of.calls,
            "service": distribution(&command.of.service),
            "reply": distribution(&command.of.reply),
        })).collect::<Vec<_>>(),
    });
    document.to_string().into_bytes()
}

/// A standing in one word, and in a sentence.
pub(super) fn describe(standing: &Standing) -> (&'static str, String) {
    match standing {
        Standing::Loading => ("loading", "loading: what was saved is being read".to_owned()),
        Standing::Ready => ("ready", "ready".to_owned()),
        Standing::Refusing(why) => ("refusing", format!("ready; commands that write are refused: {why}")),
        Standing::Ending => ("ending", "ending: the server has been told to stop".to_owned()),
    }
}

fn counts(reading: &Reading) -> Value {
    let counts = &reading.counts;
    json!({
        "connections": counts.connections,
        "requests": counts.requests,
        "errors": counts.errors,
        "received": counts.received,
        "sent": counts.sent,
        "hits": counts.hits,
        "misses": counts.misses,
        "changes": counts.changes,
        "turns": counts.turns,
        "system_calls": counts.system_calls,
        "submissions": counts.submissions,
        "completions": counts.completions,
        "starved": counts.starved,
        "overflows": counts.overflows,
    })
}

fn keys(keys: &Keys) -> Value {
    json!({
        "count": keys.numbered + keys.packed,
        "timed": keys.timed,
        "expired": keys.expired,
        "evicted": keys.evicted,
        "numbered": keys.numbered,
        "numbered_bytes": keys.numbered_bytes,
        "packed": keys.packed,
        "packed_bytes": keys.packed_bytes + keys.large_bytes,
        "tokens": keys.tokens,
        "templates": keys.templates,
        "top_templates": keys.top_templates.iter().map(|(text, counters, bytes)| json!({
            "text": text,
            "counters": counters,
            "bytes": bytes,
        })).collect::<Vec<_>>(),
    })
}

fn persistence(persistence: &Persistence) -> Value {
    json!({
        "policy": persistence.policy,
        "appended": persistence.appended,
        "unwritten": persistence.unwritten,
        "unsynced": persistence.unsynced,
        "refusing": persistence.refusing,
        "syncs": persistence.syncs.as_ref().map(places),
        "snapshots": persistence.snapshots,
        "snapshot_failed": persistence.snapshot_failed,
        "snapshot_unix_s": persistence.snapshot_unix_s,
        "snapshot_s": persistence.snapshot_s,
        "snapshot_progress": persistence.snapshot_progress,
        "unsaved_changes": persistence.unsaved_changes,
        "bytes": persistence.bytes,
    })
}

/// Counts by place, those that are not 0: a value of `v` nanoseconds is in place `floor(log2(v) * PLACES_PER_OCTAVE)`.
fn places(histogram: &Histogram<u64>) -> Vec<[u64; 2]> {
    let mut places: Vec<[u64; 2]> = Vec::new();
    for step in histogram.iter_recorded() {
        let middle = histogram.median_equivalent(step.value_iterated_to()).max(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 512")]
        let place = ((middle as f64).log2() * PLACES_PER_OCTAVE).floor() as u64;
        match places.last_mut() {
            Some([last, count]) if *last == place => *count += step.count_at_value(),
            Some(_) | None => places.push([place, step.count_at_value()]),
        }
    }
    places
}

fn distribution(histogram: &Histogram<u64>) -> Value {
    let percentiles = PERCENTILES
        .iter()
        .map(|(name, percentile)| ((*name).to_owned(), json!(histogram.value_at_percentile(*percentile))));
    json!({
        "count": histogram.len(),
        "mean": histogram.mean(),
        "percentiles": Map::from_iter(percentiles),
        "hdr": compressed(histogram),
    })
}

#[cfg(test)]
mod tests {
    use super::{describe, distribution, places};
    use crate::admin::source::Standing;
    use hdrhistogram::Histogram;

    #[test]
    fn places_keep_counts_and_order() {
        let mut histogram = Histogram::new(3).unwrap();
        for value in 1..=100_000_u64 {
            histogram.record(value).unwrap();
        }
        let places = places(&histogram);
        assert_eq!(places.iter().map(|[_, count]| count).sum::<u64>(), 100_000);
        assert!(places.is_sorted_by(|[before, _], [after, _]| before < after));
        // Half of all values lie between 50,000 and 100,000, which is one doubling.
        let upper: u64 = places.iter().filter(|[place, _]| *place >= 125).map(|[_, count]| count).sum();
        assert!((45_000..55_000).contains(&upper), "{upper}");
    }

    #[test]
    fn a_distribution_can_be_decoded() {
        use base64::Engine as _;
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        histogram.record_n(1_000, 99).unwrap();
        histogram.record(1_000_000).unwrap();
        let shown = distribution(&histogram);
        assert_eq!(shown["count"], 100);
        assert_eq!(shown["percentiles"]["p50"], 1_000);
        let text = shown["hdr"].as_str().unwrap();
        assert!(text.starts_with("HISTFAAA"), "what tools expect: {text}");
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        let mut decoder = hdrhistogram::serialization::Deserializer::new();
        let decoded: Histogram<u64> = decoder.deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!((decoded.len(), decoded.max()), (100, histogram.max()));
    }

    #[test]
    fn a_standing_is_a_word_and_a_sentence() {
        let (word, sentence) = describe(&Standing::Refusing("no space".to_owned()));
        assert_eq!(
            (word, sentence.as_str()),
            ("refusing", "ready; commands that write are refused: no space")
        );
        assert_eq!(describe(&Standing::Loading).0, "loading");
    }
}
