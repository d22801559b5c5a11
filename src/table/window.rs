//! A sliding-window counter: sums of the buckets of time that are still in the window. Knows no clock: which bucket it is
//! now is an argument.
//!
//! Bucket number `n` of a window of `length` milliseconds in `buckets` parts begins `n × length / buckets` milliseconds
//! after the Unix epoch, so that every process that ever sees the window cuts time in the same places. The window is the
//! bucket of now and the `buckets − 1` before it. Only buckets in which something was counted are kept:
//!
//! ```text
//! length in ms | buckets | newest bucket | width | count | entries, the newest last: bucket mod 2^16, sum
//!      8            2           8            1       2                                       2        width
//! ```
#![expect(clippy::cast_possible_truncation, reason = "bucket numbers and sums are cut into bytes on purpose")]

use super::WindowShape;
use super::record::{read_number, width_of, write_number};

const COUNT: usize = 19;
const ENTRIES: usize = 21;

impl WindowShape {
    /// Most buckets of a window: two bytes tell any of them from all others.
    pub const MOST_BUCKETS: u16 = 1024;

    /// The number of the bucket that a time is in.
    pub fn bucket_at(self, now_ms: u64) -> u64 {
        let number = u128::from(now_ms) * u128::from(self.buckets) / u128::from(self.length_ms);
        u64::try_from(number).unwrap_or(u64::MAX)
    }
}

/// A window as it is kept. `count ≤ buckets ≤ 1,024`; the newest entry is that of the newest bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window<'a> {
    shape: WindowShape,
    newest: u64,
    width: usize,
    /// The entries alone.
    entries: &'a [u8],
    /// All of it.
    bytes: &'a [u8],
}

impl<'a> Window<'a> {
    /// Reads a window from the start of `bytes`. `None`: it is none.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let (buckets, rest) = rest.split_first_chunk::<2>()?;
        let (newest, rest) = rest.split_first_chunk::<8>()?;
        let (&width, rest) = rest.split_first()?;
        let (count, rest) = rest.split_first_chunk::<2>()?;
        let shape =
            WindowShape { length_ms: u64::from_le_bytes(*length), buckets: u16::from_le_bytes(*buckets) };
        let (width, count) = (usize::from(width), u16::from_le_bytes(*count));
        let possible = (1..=WindowShape::MOST_BUCKETS).contains(&shape.buckets)
            && shape.length_ms > 0
            && matches!(width, 1 | 2 | 4 | 8)
            && (1..=shape.buckets).contains(&count);
        if !possible {
            return None;
        }
        let entries = rest.get(..usize::from(count) * (2 + width))?;
        let bytes = &bytes[..ENTRIES + entries.len()];
        Some(Self { shape, newest: u64::from_le_bytes(*newest), width, entries, bytes })
    }

    /// Its length and the number of its buckets.
    pub fn shape(&self) -> WindowShape {
        self.shape
    }

    /// All of it, for [`Window::read`].
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bucket that is now, given the one that the clock says. A clock that was set back does not empty any bucket: the
    /// newest stays the newest.
    fn current(&self, bucket: u64) -> u64 {
        self.newest.max(bucket)
    }

    /// The buckets that are in the window at a bucket, and what was counted in each, the oldest first.
    fn inside(self, bucket: u64) -> impl DoubleEndedIterator<Item = (u64, i64)> {
        let oldest = self.current(bucket).saturating_sub(u64::from(self.shape.buckets) - 1);
        self.entries().filter(move |&(number, _)| number >= oldest)
    }

    /// Every bucket that is kept, the oldest first.
    pub fn entries(self) -> impl DoubleEndedIterator<Item = (u64, i64)> {
        self.entries.chunks_exact(2 + self.width).map(move |entry| {
            let (low, sum) = entry.split_at(2);
            let low = u16::from_le_bytes([low[0], low[1]]);
            let age = (self.newest as u16).wrapping_sub(low);
            (self.newest - u64::from(age), read_number(sum))
        })
    }

    /// What was counted in the window that ends at a bucket. Sums beyond an `i64` stop at its bounds: old buckets that go
    /// may leave such a sum behind.
    pub fn sum(&self, bucket: u64) -> i64 {
        let sum: i128 = self.inside(bucket).map(|(_, sum)| i128::from(sum)).sum();
        sum.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// What adding to the bucket of now would make of it: that bucket's number and sum, and the window's sum. `None`: one of
    /// the sums is not an `i64`.
    pub(super) fn plus(&self, bucket: u64, delta: i64) -> Option<Added> {
        let bucket = self.current(bucket);
        let here = self.entries().next_back().filter(|&(number, _)| number == bucket);
        let sum = here.map_or(Some(delta), |(_, sum)| sum.checked_add(delta))?;
        let all: i128 = self.inside(bucket).map(|(_, sum)| i128::from(sum)).sum();
        let total = i64::try_from(all + i128::from(delta)).ok()?;
        Some(Added { bucket, sum, total })
    }
}

/// What an addition makes of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Added {
    /// The bucket that was added to.
    pub(super) bucket: u64,
    /// What is counted in it then.
    pub(super) sum: i64,
    /// What is counted in the whole window.
    pub(super) total: i64,
}

/// Writes a window into `out`, which is a window's payload from `at` on: `before` with `sum` in `bucket`, without what has
/// left it. A bucket that left it already changes nothing.
pub(super) fn write(
    out: &mut Vec<u8>,
    shape: WindowShape,
    before: Option<Window<'_>>,
    (bucket, sum): (u64, i64),
) {
    let newest = before.map_or(bucket, |window| window.current(bucket));
    let oldest = newest.saturating_sub(u64::from(shape.buckets) - 1);
    let kept = |number: u64| number >= oldest && number != bucket;
    let old = || before.into_iter().flat_map(Window::entries).filter(|&(number, _)| kept(number));
    let new = (bucket >= oldest).then_some((bucket, sum));
    let width = old().chain(new).map(|(_, sum)| width_of(sum)).max().unwrap_or(1);
    let count = old().count() + usize::from(new.is_some());
    out.extend_from_slice(&shape.length_ms.to_le_bytes());
    out.extend_from_slice(&shape.buckets.to_le_bytes());
    out.extend_from_slice(&newest.to_le_bytes());
    out.push(width as u8);
    out.extend_from_slice(&(count as u16).to_le_bytes());
    let earlier = old().filter(|&(number, _)| number < bucket);
    let later = old().filter(|&(number, _)| number > bucket);
    for (number, sum) in earlier.chain(new).chain(later) {
        out.extend_from_slice(&(number as u16).to_le_bytes());
        out.extend_from_slice(&sum.to_le_bytes()[..width]);
    }
}

/// Changes the sum of the newest bucket in place. False: it is another bucket, or the sum needs more bytes.
pub(super) fn set_newest(payload: &mut [u8], bucket: u64, sum: i64) -> bool {
    let Some(window) = Window::read(payload) else { return false };
    let (width, end) = (window.width, window.bytes.len());
    if window.newest != bucket || width_of(sum) > width {
        return false;
    }
    debug_assert!(u16::from_le_bytes([payload[COUNT], payload[COUNT + 1]]) > 0);
    write_number(&mut payload[end - width..end], sum);
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection;
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::{Window, WindowShape, set_newest, write};

    /// Every bucket since the beginning, none of them ever forgotten.
    #[derive(Default)]
    struct Model {
        buckets: BTreeMap<u64, i64>,
    }

    impl Model {
        fn sum(&self, shape: WindowShape, bucket: u64) -> i128 {
            let newest = self.buckets.last_key_value().map_or(bucket, |(&newest, _)| newest.max(bucket));
            let oldest = newest.saturating_sub(u64::from(shape.buckets) - 1);
            self.buckets.range(oldest..=newest).map(|(_, &sum)| i128::from(sum)).sum()
        }
    }

    fn delta() -> impl Strategy<Value = i64> {
        prop_oneof![8 => -3..100_i64, 1 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
    }

    fn shape() -> impl Strategy<Value = WindowShape> {
        let buckets = prop_oneof![1..8_u16, Just(60), Just(1024)];
        (1..5_000_u64, buckets).prop_map(|(length_ms, buckets)| WindowShape { length_ms, buckets })
    }

    proptest! {
        #[test]
        fn a_window_counts_as_if_every_bucket_were_kept(
            shape in shape(),
            start in 0..2_000_000_000_000_u64,
            steps in collection::vec((prop_oneof![4 => -20..200_i64, 1 => -9000..9000_i64], delta()), 1..80),
        ) {
            let (mut model, mut kept, mut now) = (Model::default(), Vec::new(), start);
            for (pause, delta) in steps {
                now = now.saturating_add_signed(pause);
                let bucket = shape.bucket_at(now);
                let window = Window::read(&kept);
                let newest = model.buckets.last_key_value().map_or(bucket, |(&newest, _)| newest.max(bucket));
                let sum = model.buckets.get(&newest).map_or(Some(delta), |sum| sum.checked_add(delta));
                let total = i64::try_from(model.sum(shape, bucket) + i128::from(delta)).ok();
                let added = match window {
                    Some(window) => window.plus(bucket, delta).map(|added| (added.bucket, added.sum, added.total)),
                    None => Some((bucket, delta, delta)),
                };
                prop_assert_eq!(added, sum.zip(total).map(|(sum, total)| (newest, sum, total)));
                if let Some((number, sum, _)) = added {
                    model.buckets.insert(number, sum);
                    let mut rewritten = Vec::new();
                    write(&mut rewritten, shape, window, (number, sum));
                    if set_newest(&mut kept, number, sum) {
                        let of = |bytes| Window::read(bytes).map(|window| (window.newest, window.sum(number)));
                        prop_assert_eq!(of(&kept), of(&rewritten), "in place or anew");
                    } else {
                        kept = rewritten;
                    }
                }
                if let Some(window) = Window::read(&kept) {
                    prop_assert_eq!(window.shape(), shape);
                    prop_assert_eq!(window.bytes(), &kept[..]);
                    for later in [0, 1, u64::from(shape.buckets) - 1, u64::from(shape.buckets), 5000] {
                        let sum = model.sum(shape, bucket + later);
                        let sum = sum.clamp(i64::MIN.into(), i64::MAX.into());
                        prop_assert_eq!(i128::from(window.sum(bucket + later)), sum);
                    }
                }
            }
        }

        #[test]
        fn bytes_are_a_window_or_none(bytes in collection::vec(any::<u8>(), 0..80)) {
            if let Some(window) = Window::read(&bytes) {
                prop_assert!(window.bytes().len() <= bytes.len());
                window.sum(u64::MAX);
                window.sum(0);
            }
        }
    }

    #[test]
    fn buckets_have_borders() {
        let shape = WindowShape { length_ms: 1000, buckets: 4 };
        assert_eq!([0, 249, 250, 999, 1000].map(|now| shape.bucket_at(now)), [0, 0, 1, 3, 4]);
        let uneven = WindowShape { length_ms: 1000, buckets: 3 };
        assert_eq!([333, 334, 666, 667, 999, 1000].map(|now| uneven.bucket_at(now)), [0, 1, 1, 2, 2, 3]);
        let fine = WindowShape { length_ms: 1, buckets: 1024 };
        assert_eq!(fine.bucket_at(3), 3072, "shorter than the clock can tell");
        assert_eq!(WindowShape { length_ms: 1, buckets: 1024 }.bucket_at(u64::MAX), u64::MAX);
    }

    #[test]
    fn an_old_bucket_told_again_changes_only_itself() {
        let shape = WindowShape { length_ms: 1000, buckets: 4 };
        let of = |before: &[u8], bucket, sum| {
            let mut out = Vec::new();
            write(&mut out, shape, Window::read(before), (bucket, sum));
            out
        };
        let window =
            [(10, 1), (12, 2), (13, 3)].iter().fold(Vec::new(), |window, &(n, sum)| of(&window, n, sum));
        let sums = |bytes: &[u8]| Window::read(bytes).unwrap().entries().collect::<Vec<_>>();
        assert_eq!(sums(&window), [(10, 1), (12, 2), (13, 3)]);
        assert_eq!(sums(&of(&window, 12, 300)), [(10, 1), (12, 300), (13, 3)]);
        assert_eq!(sums(&of(&window, 11, 5)), [(10, 1), (11, 5), (12, 2), (13, 3)]);
        assert_eq!(sums(&of(&window, 9, 5)), [(10, 1), (12, 2), (13, 3)], "it has left the window");
        assert_eq!(sums(&of(&window, 16, 7)), [(13, 3), (16, 7)]);
    }
}
