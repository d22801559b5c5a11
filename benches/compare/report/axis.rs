//! Axes: logarithmic ones, and that of percentiles, on which 90 %, 99 % and 99.9 % lie at equal distances.

/// Where a quantile lies on the axis of percentiles: the logarithm of 1 / (1 - quantile). 0 at 0, 1 at 90 %, 2 at 99 %.
pub(super) fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

/// The quantile that lies there.
pub(super) fn quantile(nines: f64) -> f64 {
    1.0 - 10_f64.powf(-nines)
}

/// A quantile for people: 50 %, 99.9 %.
pub(super) fn percent(quantile: f64) -> String {
    let text = format!("{:.3}", quantile * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// From values to places in a picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// Logarithms of the least and the greatest value; they differ.
    from: f64,
    to: f64,
    /// Where these two lie.
    begin: f64,
    end: f64,
}

impl Scale {
    /// A logarithmic scale from `begin` to `end` that holds all values above 0; none without one.
    pub(super) fn log(values: impl Iterator<Item = f64>, begin: f64, end: f64) -> Option<Self> {
        let logs: Vec<f64> = values.filter(|value| *value > 0.0).map(f64::log10).collect();
        let from = logs.iter().copied().min_by(f64::total_cmp)?;
        let to = logs.iter().copied().max_by(f64::total_cmp)?;
        // At least a factor of two, so that one value alone lies in the middle of something.
        let room = (0.3 - (to - from)).max(0.0) / 2.0;
        Some(Self { from: from - room, to: to + room, begin, end })
    }

    /// The place of a value above 0.
    pub(super) fn place(&self, value: f64) -> f64 {
        self.begin + (value.log10() - self.from) / (self.to - self.from) * (self.end - self.begin)
    }

    /// The powers of ten on it, and 2 and 5 times these where there is room.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let digits: &[f64] = if self.to - self.from < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = (-6..13_i32).map(|power| 10_f64.powi(power));
        let all = powers.flat_map(|power| digits.iter().map(move |digit| digit * power));
        // Room for what rounding does to the ends.
        all.filter(|value| (self.from - 1e-9..=self.to + 1e-9).contains(&value.log10())).collect()
    }
}

/// A number for an axis: 0.5, 20, 5k, 2M.
pub(super) fn short(number: f64) -> String {
    match number {
        number if number >= 1e6 => format!("{}M", number / 1e6),
        number if number >= 1e3 => format!("{}k", number / 1e3),
        number => format!("{}", (number * 1e6).round() / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::{Scale, nines, percent, quantile, short};

    #[test]
    fn each_further_nine_is_one_step() {
        for (at, expected) in [(0.0, 0.0), (0.9, 1.0), (0.99, 2.0), (0.999, 3.0), (0.9999, 4.0)] {
            assert!((nines(at) - expected).abs() < 1e-9, "{at}");
            assert!((quantile(expected) - at).abs() < 1e-12, "{expected}");
        }
        assert!((nines(0.5) - std::f64::consts::LOG10_2).abs() < 1e-9);
        assert_eq!([0.0, 0.5, 0.999, 0.99999].map(percent), ["0 %", "50 %", "99.9 %", "99.999 %"]);
    }

    #[test]
    fn the_ends_of_a_scale_are_its_least_and_greatest_value() {
        let scale = Scale::log([10.0, 1000.0, 0.0].into_iter(), 300.0, 100.0).unwrap();
        assert!((scale.place(10.0) - 300.0).abs() < 1e-9 && (scale.place(1000.0) - 100.0).abs() < 1e-9);
        assert!((scale.place(100.0) - 200.0).abs() < 1e-9);
        assert_eq!(scale.ticks(), [10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
        assert!(Scale::log([0.0].into_iter(), 0.0, 1.0).is_none());
    }

    #[test]
    fn one_value_has_a_scale_too() {
        let scale = Scale::log([5.0].into_iter(), 0.0, 100.0).unwrap();
        assert!((scale.place(5.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.1, 20.0, 5e3, 2e6].map(short), ["0.1", "20", "5k", "2M"]);
    }
}
