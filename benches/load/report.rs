//! What a run of load reports: operations, rate, latencies, and whether the generator itself was the limit.
//!
//! Knows numbers only; it crosses from the generator's process to the harness as one line of JSON.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// A histogram for latencies: 1 ns to 60 s, three significant digits.
pub(crate) fn recorder() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3)
        .expect("the bounds are in order and 3 digits are allowed")
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// Number of values.
    pub(crate) count: u64,
    /// Half of the values are at or below this.
    pub(crate) p50: f64,
    /// 90 % are.
    pub(crate) p90: f64,
    /// 99 % are.
    pub(crate) p99: f64,
    /// 99.9 % are.
    pub(crate) p999: f64,
    /// 99.99 % are.
    pub(crate) p9999: f64,
    /// All are.
    pub(crate) max: f64,
}

impl Latency {
    /// Reads the quantiles out of a histogram of nanoseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            count: histogram.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: histogram.max() as f64 / 1000.0,
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, p50, p90, p99, p999, p9999, max } = self;
        write!(f, "p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  p99.9 {p999:.1}  p99.99 {p9999:.1}  ")?;
        write!(f, "max {max:.1} µs ({count} values)")
    }
}

/// The generator's own resources, to tell whether it was the limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    busy: Duration,
}

impl Own {
    /// Processor time of this process so far.
    pub(crate) fn now() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("asking for one's own usage cannot fail");
        Self { busy: time(usage) }
    }

    /// Processor time since then.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().busy.saturating_sub(self.busy)
    }
}

fn time(usage: Usage) -> Duration {
    let [user, system] = [usage.user_time(), usage.system_time()].map(|part| {
        let seconds = u64::try_from(part.tv_sec()).unwrap_or(0);
        let micros = u64::try_from(part.tv_usec()).unwrap_or(0);
        Duration::from_micros(seconds * 1_000_000 + micros)
    });
    user + system
}

/// The outcome of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What was asked, as [`super::mix::Mix`] prints it.
    pub(crate) mix: String,
    /// Connections.
    pub(crate) connections: usize,
    /// Requests in one pipeline.
    pub(crate) depth: usize,
    /// Number of different keys.
    pub(crate) keys: u64,
    /// What the random numbers started from.
    pub(crate) seed: u64,
    /// Requests answered.
    pub(crate) operations: u64,
    /// Keys named by them.
    pub(crate) keys_named: u64,
    /// From the first request to the last reply.
    pub(crate) seconds: f64,
    /// Requests a second that were asked for; none = as many as the server takes.
    pub(crate) asked_rate: Option<f64>,
    /// Requests a second that were answered.
    pub(crate) rate: f64,
    /// Closed loop: from sending a pipeline to its last reply. Fixed rate: from the time a request was meant to be
    /// sent to its reply.
    pub(crate) latency: Latency,
    /// Fixed rate: all latencies, in nanoseconds, as HdrHistogram's compressed form (V2) in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) histogram: Option<String>,
    /// Fixed rate: how much later than meant requests left, by the generator's own fault.
    pub(crate) late: Option<Latency>,
    /// Fixed rate: whether the generator kept its schedule. If not, the latencies are its own.
    pub(crate) kept_up: bool,
    /// Share of one processor that the generator used.
    pub(crate) generator_load: f64,
    /// Resident bytes of the generator.
    pub(crate) generator_rss: u64,
}

/// A histogram in HdrHistogram's compressed form, in base64.
pub(crate) fn encoded(histogram: &Histogram<u64>) -> Option<String> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(histogram, &mut bytes).ok()?;
    Some(BASE64_STANDARD.encode(bytes))
}

impl Report {
    /// The histogram of latencies, if it is there and whole.
    pub(crate) fn decoded(&self) -> Option<Histogram<u64>> {
        let bytes = BASE64_STANDARD.decode(self.histogram.as_ref()?).ok()?;
        Deserializer::new().deserialize(&mut bytes.as_slice()).ok()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mix, connections, depth, keys, seed, .. } = self;
        writeln!(f, "{mix}, {connections} connections, {depth} deep, {keys} keys, seed {seed}")?;
        let Self { operations, seconds, rate, .. } = self;
        writeln!(f, "{operations} operations in {seconds:.3} s: {rate:.0} a second")?;
        if self.keys_named > self.operations {
            writeln!(f, "{:.0} keys a second", self.keys_named as f64 / seconds)?;
        }
        match self.asked_rate {
            None => writeln!(f, "pipeline round trip: {}", self.latency)?,
            Some(asked) => {
                writeln!(
                    f,
                    "asked for {asked:.0} a second; latency from the intended send time: {}",
                    self.latency
                )?;
            }
        }
        if let Some(late) = self.late {
            writeln!(f, "sent later than meant: {late}")?;
        }
        if self.asked_rate.is_some_and(|asked| *rate < 0.97 * asked) {
            writeln!(f, "THE RATE WAS NOT REACHED")?;
        }
        if !self.kept_up {
            writeln!(f, "THE GENERATOR DID NOT KEEP UP: these latencies are its own, not the server's")?;
        }
        let rss = self.generator_rss as f64 / f64::from(1 << 20);
        write!(f, "generator: {:.0} % of a processor, {rss:.1} MiB resident", self.generator_load * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Latency, Report, encoded, recorder};

    #[test]
    fn a_distribution_survives_the_record() {
        let mut histogram = recorder();
        for nanos in [40_000, 50_000, 60_000, 9_000_000] {
            histogram.record(nanos).unwrap();
        }
        let text = r#"{"mix": "incr", "connections": 1, "depth": 1, "keys": 1, "seed": 1, "operations": 4, "keys_named": 4,
            "seconds": 1.0, "asked_rate": 4.0, "rate": 4.0, "late": null, "kept_up": true, "generator_load": 0.1,
            "generator_rss": 0, "latency": {"count": 4, "p50": 0, "p90": 0, "p99": 0, "p999": 0, "p9999": 0, "max": 0}}"#;
        let old: Report = serde_json::from_str(text).unwrap();
        assert_eq!(old.decoded(), None);
        let report = Report { histogram: encoded(&histogram), ..old };
        let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(again.decoded(), Some(histogram));
    }

    #[test]
    fn quantiles_are_microseconds() {
        let mut histogram = recorder();
        for micros in 1..=1000_u64 {
            histogram.record(micros * 1000).unwrap();
        }
        let latency = Latency::of(&histogram);
        assert_eq!(latency.count, 1000);
        assert!((latency.p50 - 500.0).abs() < 1.0, "{latency}");
        assert!((latency.p99 - 990.0).abs() < 1.0, "{latency}");
        assert!((latency.max - 1000.0).abs() < 1.0, "{latency}");
    }
}
