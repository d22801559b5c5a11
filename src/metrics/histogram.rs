//! Histograms that one thread fills and any thread reads at any time: the counts of an HdrHistogram, as atomics.
//!
//! The places are those of HdrHistogram (<https://hdrhistogram.github.io/HdrHistogram/>) with a lowest value of 1 ns and two
//! significant digits: values below 256 have a place each, and every doubling above has 128, so that a place is at most 1/128
//! wide in terms of its values. [`Counts::histogram`] makes one of the `hdrhistogram` crate's, which has the same places.
//!
//! ```text
//! value   0 … 255     256 … 511    512 … 1023         …    2^36 … 2^37 - 1
//! place   0 … 255     256 … 383    384 … 511               3840 … 3967
//! width   1           2            4                       2^29
//! ```

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

/// Significant decimal digits of a value that are kept.
pub const DIGITS: u8 = 2;

/// Nanoseconds above which all values are alike: 137 s.
pub const HIGHEST: u64 = (1 << HIGHEST_BITS) - 1;

const HIGHEST_BITS: u32 = 37;

/// Bits of a value that are kept: enough for twice the values of [`DIGITS`] digits.
const KEPT_BITS: u32 = 8;

const HALF: usize = 1 << (KEPT_BITS - 1);

/// Places.
const PLACES: usize = (HIGHEST_BITS - KEPT_BITS + 2) as usize * HALF;

const _: () = assert!(2 * 10_usize.pow(DIGITS as u32) <= 2 * HALF && place_of(HIGHEST) == PLACES - 1);

/// The place of a value.
#[inline]
const fn place_of(value: u64) -> usize {
    let value = if value > HIGHEST { HIGHEST } else { value };
    let doublings = u64::BITS - KEPT_BITS - (value | ((1 << KEPT_BITS) - 1)).leading_zeros();
    // For the first doubling the upper half of the kept values begins at HALF, which is what makes the places adjacent.
    #[expect(clippy::cast_possible_truncation, reason = "the shift leaves eight bits")]
    let kept = (value >> doublings) as usize;
    doublings as usize * HALF + kept
}

/// The least value of a place.
const fn value_of(place: usize) -> u64 {
    if place < 2 * HALF {
        return place as u64;
    }
    let doublings = place / HALF - 1;
    ((place - doublings * HALF) as u64) << doublings
}

/// A histogram that one thread fills. Has no memory before its first value, then 31 KiB.
#[derive(Debug, Default)]
pub struct Recorder {
    counts: OnceLock<Box<[AtomicU64]>>,
}

impl Recorder {
    /// Counts a duration so many times. Only one thread calls this, ever.
    #[inline]
    pub fn record(&self, nanos: u64, times: u64) {
        let counts = self.counts.get_or_init(|| (0..PLACES).map(|_| AtomicU64::new(0)).collect());
        let count = &counts[place_of(nanos)];
        // Relaxed, and a load and a store instead of an addition: there is one writer, and each count stands alone.
        count.store(count.load(Ordering::Relaxed) + times, Ordering::Relaxed);
    }

    /// Adds what was counted so far.
    pub fn add_to(&self, sum: &mut Counts) {
        let Some(counts) = self.counts.get() else { return };
        sum.0.resize(PLACES, 0);
        for (sum, count) in sum.0.iter_mut().zip(counts) {
            *sum += count.load(Ordering::Relaxed);
        }
    }
}

/// Counts as they were at a moment: of one histogram, or a sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(Vec<u64>);

impl Counts {
    /// What was counted since `earlier`, an older sum of the same recorders.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        for (count, before) in self.0.iter_mut().zip(&earlier.0) {
            *count -= before;
        }
        self
    }

    /// Values counted.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// As a histogram of nanoseconds.
    pub fn histogram(&self) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, HIGHEST, DIGITS).expect("the bounds are in order");
        for (place, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            histogram.record_n(value_of(place), *count).expect("no value is above the bound");
        }
        histogram
    }
}

/// A histogram in HdrHistogram's compressed encoding, version 2, in base64: as its logs and tools have it.
pub fn compressed(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    let done = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    done.expect("memory takes everything, and no count is above what the encoding has");
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::{Counts, DIGITS, HIGHEST, PLACES, Recorder, place_of, value_of};
    use hdrhistogram::Histogram;

    #[test]
    fn places_follow_each_other_and_hold_their_values() {
        for place in 0..PLACES {
            assert_eq!(place_of(value_of(place)), place);
            if place + 1 < PLACES {
                assert_eq!(place_of(value_of(place + 1) - 1), place, "the last value before the next place");
            }
        }
        assert_eq!(place_of(u64::MAX), PLACES - 1, "what is longer counts as the longest");
    }

    #[test]
    fn places_are_those_of_the_library() {
        let histogram = Histogram::<u64>::new_with_bounds(1, HIGHEST, DIGITS).expect("bounds in order");
        assert_eq!(histogram.distinct_values(), PLACES);
        for place in 0..PLACES {
            assert_eq!(histogram.lowest_equivalent(value_of(place)), value_of(place));
            if place + 1 < PLACES {
                assert_eq!(histogram.highest_equivalent(value_of(place)) + 1, value_of(place + 1));
            }
        }
    }

    fn counts(values: &[u64]) -> Counts {
        let recorder = Recorder::default();
        values.iter().for_each(|value| recorder.record(*value, 1));
        let mut counts = Counts::default();
        recorder.add_to(&mut counts);
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Percentiles are those of the sorted values, but for the width of a place.
        #[test]
        fn percentiles_are_the_exact_ones(
            mut values in proptest::collection::vec((0_u32..37, any::<u64>()), 1..400),
            rank in any::<proptest::sample::Index>(),
        ) {
            // As many small ones as large ones.
            let mut values: Vec<u64> = values.drain(..).map(|(bits, random)| random % (1 << bits)).collect();
            let rank = rank.index(values.len());
            let quantile = (rank as f64 + 0.5) / values.len() as f64;
            let found = counts(&values).histogram().value_at_quantile(quantile);
            values.sort_unstable();
            let exact = values[rank];
            assert!(found >= exact && found - exact <= exact / 128, "{found} instead of {exact}");
        }
    }

    #[test]
    fn each_value_is_counted_once_while_others_read_and_begin_anew() {
        const EACH: u64 = 300_000;
        let recorders = [Recorder::default(), Recorder::default()];
        let done = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let writers = recorders.each_ref().map(|recorder| {
                scope.spawn(move || (0..EACH).for_each(|value| recorder.record(value % 5000, 1)))
            });
            let reader = scope.spawn(|| {
                let (mut seen, mut before) = (0, Counts::default());
                loop {
                    let last = done.load(Ordering::Acquire);
                    let mut now = Counts::default();
                    recorders.iter().for_each(|recorder| recorder.add_to(&mut now));
                    seen += now.clone().since(&before).histogram().len();
                    before = now;
                    if last {
                        return (seen, before.total());
                    }
                }
            });
            writers.into_iter().for_each(|writer| writer.join().expect("writers do not panic"));
            done.store(true, Ordering::Release);
            reader.join().expect("the reader does not panic")
        });
        assert_eq!(seen, (2 * EACH, 2 * EACH), "between resets, and in all");
    }
}
