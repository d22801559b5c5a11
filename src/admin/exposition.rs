//! `/metrics`: figures in the text format of Prometheus, 0.0.4. Knows names, units and help; the syntax is a crate's.

mod families;

use hdrhistogram::Histogram;
use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use super::source::Source;

/// The media type.
pub(super) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the buckets of every histogram, in nanoseconds: 1 µs to 10 s in steps of 1, 2.5 and 5.
const BOUNDS: [u64; 22] = {
    let mut bounds = [0; 22];
    let (mut at, mut decade) = (0, 1_000);
    while at < bounds.len() {
        bounds[at] = decade;
        if at + 2 < bounds.len() {
            bounds[at + 1] = decade * 5 / 2;
            bounds[at + 2] = decade * 5;
        }
        (at, decade) = (at + 3, decade * 10);
    }
    bounds
};

/// Everything, as text.
pub(super) fn text(source: &dyn Source) -> Vec<u8> {
    let mut page = Page::default();
    let reading = source.reading();
    families::server(&mut page, &reading, &source.standing());
    families::clients(&mut page, &reading);
    families::keys(&mut page, &reading.keys);
    families::memory(&mut page, &reading.memory);
    families::engine(&mut page, &reading);
    if let Some(persistence) = &reading.persistence {
        families::persistence(&mut page, persistence);
    }
    families::certificates(&mut page, &reading.certificates);
    families::commands(&mut page, &source.commands());
    families::process(&mut page, &reading);
    let mut text = Vec::with_capacity(32 * 1024);
    // A family without a member would be refused, and is left out by `add`.
    TextEncoder::new().encode(&page.families, &mut text).expect("whole families go into memory");
    text
}

/// The families so far.
#[derive(Default)]
struct Page {
    families: Vec<MetricFamily>,
}

/// A name and what it means.
type Title<'t> = (&'t str, &'t str);

impl Page {
    /// A sum that only grows.
    fn counter(&mut self, title: Title<'_>, value: u64) {
        self.add(title, MetricType::COUNTER, vec![counter(Vec::new(), value as f64)]);
    }

    /// A sum that is no whole number.
    fn counter_of_parts(&mut self, title: Title<'_>, value: f64) {
        self.add(title, MetricType::COUNTER, vec![counter(Vec::new(), value)]);
    }

    /// Sums that only grow, one for each value of a label.
    fn counters<'v>(&mut self, title: Title<'_>, label: &str, values: impl Iterator<Item = (&'v str, u64)>) {
        let members = values.map(|(of, value)| counter(vec![pair(label, of)], value as f64)).collect();
        self.add(title, MetricType::COUNTER, members);
    }

    /// What goes up and down.
    fn gauge(&mut self, title: Title<'_>, value: f64) {
        self.add(title, MetricType::GAUGE, vec![gauge(Vec::new(), value)]);
    }

    /// The same for each value of a label.
    fn gauges<'v>(&mut self, title: Title<'_>, label: &str, values: impl Iterator<Item = (&'v str, f64)>) {
        let members = values.map(|(of, value)| gauge(vec![pair(label, of)], value)).collect();
        self.add(title, MetricType::GAUGE, members);
    }

    /// What does not change, as labels.
    fn facts(&mut self, title: Title<'_>, facts: &[(&str, &str)]) {
        let labels = facts.iter().map(|(name, value)| pair(name, value)).collect();
        self.add(title, MetricType::GAUGE, vec![gauge(labels, 1.0)]);
    }

    /// Durations in nanoseconds, shown in seconds.
    fn durations(&mut self, title: Title<'_>, members: Vec<Metric>) {
        self.add(title, MetricType::HISTOGRAM, members);
    }

    fn add(&mut self, (name, help): Title<'_>, kind: MetricType, members: Vec<Metric>) {
        if members.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(members);
        self.families.push(family);
    }
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn counter(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::default();
    metric.set_label(labels);
    metric.set_counter(counter);
    metric
}

fn gauge(labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::default();
    metric.set_label(labels);
    metric.set_gauge(gauge);
    metric
}

/// Durations by [`BOUNDS`]. A recorded value is known to about the width of its place in `histogram`, and counts below a
/// bound if all of that place is. `sum`: nanoseconds, where they are known better than by the places.
fn durations(labels: Vec<LabelPair>, histogram: &Histogram<u64>, sum: Option<u64>) -> Metric {
    let mut buckets: Vec<Bucket> = Vec::with_capacity(BOUNDS.len());
    let (mut below, mut estimate) = (0, 0.0);
    let mut bounds = BOUNDS.iter().copied();
    let mut bound = bounds.next();
    for place in histogram.iter_recorded() {
        let highest = place.value_iterated_to();
        while let Some(passed) = bound.filter(|bound| highest > *bound) {
            buckets.push(bucket(passed, below));
            bound = bounds.next();
        }
        below += place.count_at_value();
        estimate += histogram.median_equivalent(highest) as f64 * place.count_at_value() as f64;
    }
    buckets.extend(bound.into_iter().chain(bounds).map(|bound| bucket(bound, below)));
    let mut shown = prometheus::proto::Histogram::default();
    shown.set_sample_count(below);
    shown.set_sample_sum(sum.map_or(estimate, |sum| sum as f64) / 1e9);
    shown.set_bucket(buckets);
    let mut metric = Metric::default();
    metric.set_label(labels);
    metric.set_histogram(shown);
    metric
}

fn bucket(bound: u64, count: u64) -> Bucket {
    let mut bucket = Bucket::default();
    bucket.set_upper_bound(bound as f64 / 1e9);
    bucket.set_cumulative_count(count);
    bucket
}

#[cfg(test)]
mod tests;
