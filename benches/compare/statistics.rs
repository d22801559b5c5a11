//! Medians, spreads, and intervals of paired ratios. Knows numbers only.

use serde::{Deserialize, Serialize};

use crate::load::mix::Random;

/// The middle of some values, and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    /// Half of the values are at or below.
    pub(super) median: f64,
    /// The least value, or the lower end of the interval.
    pub(super) low: f64,
    /// The greatest value, or the upper end of the interval.
    pub(super) high: f64,
}

/// Resamples of the bootstrap: enough that the interval's ends move by less than their own width's hundredth.
const RESAMPLES: usize = 4000;

/// The middle value; of an even number of values the mean of the two in the middle. `None` of none.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// Median, least and greatest value.
pub(super) fn spread(values: &[f64]) -> Option<Spread> {
    let low = values.iter().copied().min_by(f64::total_cmp)?;
    let high = values.iter().copied().max_by(f64::total_cmp)?;
    Some(Spread { median: median(values)?, low, high })
}

/// Median of `ours[i] / theirs[i]` with its 95 % bootstrap interval (percentile method, Efron 1979).
///
/// Rounds are paired because the two values of a round were taken within seconds of each other: whatever slowed
/// the machine slowed both. Below five pairs the interval is the range.
pub(super) fn paired_ratio(ours: &[f64], theirs: &[f64]) -> Option<Spread> {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    let whole = spread(&ratios)?;
    if ratios.len() < 5 {
        return Some(whole);
    }
    let mut random = Random::new(ratios.len() as u64);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let pick = |_| ratios[usize::try_from(random.below(ratios.len() as u64)).unwrap_or(0)];
            let resample: Vec<f64> = (0..ratios.len()).map(pick).collect();
            median(&resample).expect("a resample has as many values as the original")
        })
        .collect();
    medians.sort_unstable_by(f64::total_cmp);
    let (low, high) = (medians[RESAMPLES / 40], medians[RESAMPLES - 1 - RESAMPLES / 40]);
    Some(Spread { median: whole.median, low, high })
}

#[cfg(test)]
mod tests {
    use super::{median, paired_ratio, spread};

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
        let spread = spread(&[2.0, 5.0, 3.0]).unwrap();
        assert_eq!((spread.low, spread.median, spread.high), (2.0, 3.0, 5.0));
    }

    #[test]
    fn a_constant_ratio_has_no_spread_however_the_machine_drifts() {
        let theirs: Vec<f64> = (1..=15).map(f64::from).collect();
        let ours: Vec<f64> = theirs.iter().map(|value| value * 0.5).collect();
        let ratio = paired_ratio(&ours, &theirs).unwrap();
        assert_eq!((ratio.low, ratio.median, ratio.high), (0.5, 0.5, 0.5));
    }

    #[test]
    fn the_interval_lies_inside_the_range_and_around_the_median() {
        let theirs = [1.0; 15];
        let ours = [0.9, 1.1, 1.0, 0.95, 1.05, 1.0, 0.97, 1.02, 0.99, 1.01, 3.0, 0.98, 1.03, 0.96, 1.04];
        let ratio = paired_ratio(&ours, &theirs).unwrap();
        assert_eq!(ratio.median, 1.0);
        assert!(0.9 < ratio.low && ratio.low < 1.0 && 1.0 < ratio.high && ratio.high < 1.1, "{ratio:?}");
    }
}
