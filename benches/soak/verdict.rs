//! What has to hold when the load has ended, and whether it does.

use super::ground::Counts;
use super::ledger::Found;
use super::samples::{Sample, fit, floor};

/// Growth of memory that is taken for none, in MiB an hour.
const SLOPE: f64 = 1.0;

/// Seconds of load below which growth is not judged: the second half is then too short to tell a leak from a saw's teeth.
const JUDGED_FROM: u64 = 20 * 60;

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// What has to hold.
    pub(crate) what: &'static str,
    /// What was found.
    pub(crate) found: String,
    /// What is wanted.
    pub(crate) wanted: String,
    /// Whether that is so; none = not judged.
    pub(crate) met: Option<bool>,
}

fn verdict(what: &'static str, found: String, wanted: &str, met: bool) -> Verdict {
    Verdict { what, found, wanted: wanted.to_owned(), met: Some(met) }
}

/// Whether resident memory grows, judged by the second half.
pub(crate) fn slope(samples: &[Sample], seconds: u64) -> Verdict {
    let what = "resident memory grows, MiB an hour (least squares, second half)";
    let Some(line) = fit(&floor(samples)) else {
        let found = "too few samples".to_owned();
        return Verdict { what, found, wanted: format!("≤ {SLOPE}"), met: None };
    };
    let raw = fit(&samples[samples.len() / 2..]
        .iter()
        .map(|sample| (sample.at_s / 3600.0, sample.rss as f64 / f64::from(1 << 20)))
        .collect::<Vec<_>>());
    let raw = raw.map_or(0.0, |raw| raw.slope);
    let mut found = format!("{:.2} ± {:.2} (through every sample: {raw:.2})", line.slope, 2.0 * line.error);
    let judged = seconds >= JUDGED_FROM;
    if !judged {
        found.push_str("; not judged below 20 minutes");
    }
    // Missed only where it is more than what chance explains: two standard errors.
    let met = judged.then_some(line.slope - 2.0 * line.error <= SLOPE);
    Verdict { what, found, wanted: format!("≤ {SLOPE}"), met }
}

/// What came back, of what was there before the load.
pub(crate) fn returned(base: &Sample, end: &Sample) -> Vec<Verdict> {
    let back = |what, base: u64, end: u64| {
        verdict(what, end.to_string(), &format!("{base}, as before"), base == end)
    };
    vec![
        back("connections, the one that asks", base.clients, end.clients),
        back("open descriptors", base.descriptors, end.descriptors),
        back("receive blocks that are free", base.blocks_free, end.blocks_free),
        back("operations without an end: accepts, bells, the asking receive", base.in_flight, end.in_flight),
        verdict("bytes of the journal that are not synced", end.lag.to_string(), "0", end.lag == 0),
    ]
}

/// Whether counters are what was acknowledged.
pub(crate) fn counters(what: &'static str, found: &Found) -> Verdict {
    let Found { exact, bounded, acknowledged, wrong, first } = found;
    let mut text =
        format!("{wrong} wrong of {exact} exact and {bounded} bounded, {acknowledged} acknowledged");
    if let Some(first) = first {
        text.push_str(&format!("; first: {first}"));
    }
    verdict(what, text, "0 wrong", *wrong == 0 && *exact > 0)
}

/// Whether everything that was to happen did, and nothing else.
pub(crate) fn happened(counts: &Counts, troubles: &[String], log: &str) -> Vec<Verdict> {
    let missing: Vec<&str> =
        counts.all().into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect();
    let found = if missing.is_empty() { "all".to_owned() } else { format!("never: {}", missing.join(", ")) };
    let said = if troubles.is_empty() { "none".to_owned() } else { troubles.join("; ") };
    let panics = log.lines().filter(|line| line.contains("panicked") || line.contains("ERROR")).count();
    vec![
        verdict("every kind of request and fault happened", found, "all", missing.is_empty()),
        verdict("wrong replies and lost connections of the well-behaved", said, "none", troubles.is_empty()),
        verdict("panics and errors in the server's log", panics.to_string(), "0", panics == 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::{returned, slope};
    use crate::soak::samples::Sample;

    #[test]
    fn growth_is_judged_where_the_run_is_long_enough() {
        let grown = |per_hour: f64| -> Vec<Sample> {
            (0..1200_u32)
                .map(|at| {
                    let bytes = f64::from(100 << 20) + per_hour * f64::from(1 << 20) * f64::from(at) / 3600.0;
                    let rss = format!("{bytes:.0}").parse().unwrap();
                    Sample { at_s: f64::from(at), rss, ..Sample::default() }
                })
                .collect()
        };
        assert_eq!(slope(&grown(0.5), 1200).met, Some(true));
        assert_eq!(slope(&grown(2.0), 1200).met, Some(false));
        assert_eq!(slope(&grown(2.0), 60).met, None);
    }

    #[test]
    fn what_does_not_come_back_is_a_miss() {
        let base =
            Sample { descriptors: 20, blocks_free: 520, in_flight: 5, clients: 1, ..Sample::default() };
        assert!(returned(&base, &base).iter().all(|verdict| verdict.met == Some(true)));
        let end = Sample { descriptors: 21, ..base };
        let missed: Vec<_> =
            returned(&base, &end).into_iter().filter(|verdict| verdict.met == Some(false)).collect();
        assert_eq!(missed.len(), 1);
        assert!(missed[0].what.contains("descriptors"));
    }
}
