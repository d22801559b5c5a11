//! Floats as Redis computes with them: the 80-bit extended format of x86 (`long double`), in software, so that every
//! digit of `INCRBYFLOAT` is the same on any machine.
//!
//! ```text
//! value = mantissa · 2^exponent      mantissa: 64 bits, the highest set unless the exponent is the least there is
//! ```
//!
//! Reading is exact and then rounded once, as `strtold` does it; printing is exact and then rounded to 17 decimals,
//! as `%.17Lf` does it. Both round halves to even. What has few digits needs no memory; the rest is worked out with
//! natural numbers of any size.

use std::cmp::Ordering;

mod print;
mod read;
#[cfg(test)]
mod tests;

pub use print::Decimal;
pub use read::parse;

/// The exponent of the smallest number.
const LEAST: i32 = -16_445;

/// The exponent of the greatest numbers.
const MOST: i32 = 16_320;

/// A float that is no NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// A number.
    Finite(Finite),
    /// Beyond all numbers, on either side.
    Infinite {
        /// Below all of them.
        negative: bool,
    },
}

/// A number.
#[derive(Clone, Copy, Debug)]
pub struct Finite {
    negative: bool,
    /// 0, or its highest bit is set, or `exponent == LEAST`.
    mantissa: u64,
    /// `LEAST <= exponent <= MOST`.
    exponent: i32,
}

impl Finite {
    /// The greatest number.
    pub const MAX: Self = Self { negative: false, mantissa: u64::MAX, exponent: MOST };

    const fn zero(negative: bool) -> Self {
        Self { negative, mantissa: 0, exponent: LEAST }
    }

    /// `value · 2^exponent`, and less than one such unit more where there is a `rest`, rounded to the nearest number,
    /// of two equally near ones to the even one. With a rest, `value` has 65 bits at least.
    fn rounded(negative: bool, value: u128, rest: bool, exponent: i32) -> Extended {
        let bits = 128 - signed(value.leading_zeros() as usize);
        debug_assert!(!rest || bits > 64, "enough bits to round by");
        if bits == 0 {
            return Extended::Finite(Self::zero(negative));
        }
        let drop = (bits - 64).max(LEAST.saturating_sub(exponent));
        let (mut mantissa, mut exponent) = (value, exponent);
        if drop > 128 {
            // Less than half of the smallest number.
            return Extended::Finite(Self::zero(negative));
        } else if drop > 0 {
            let half = 1_u128 << (drop - 1);
            let dropped = value & (half | (half - 1));
            mantissa = value.checked_shr(drop.unsigned_abs()).unwrap_or(0);
            let up = dropped > half || dropped == half && (rest || mantissa & 1 == 1);
            mantissa += u128::from(up);
            exponent += drop;
            if mantissa >> 64 != 0 {
                mantissa >>= 1;
                exponent += 1;
            }
        } else {
            // As far up as it goes.
            let up = (64 - bits).min(exponent.saturating_sub(LEAST));
            mantissa <<= up;
            exponent -= up;
        }
        if exponent > MOST {
            return Extended::Infinite { negative };
        }
        let mantissa = u64::try_from(mantissa).expect("64 bits are left");
        Extended::Finite(if mantissa == 0 {
            Self::zero(negative)
        } else {
            Self { negative, mantissa, exponent }
        })
    }

    /// The sum, rounded; too large a one is infinite.
    #[must_use]
    pub fn plus(self, other: Self) -> Extended {
        let (high, low) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        if low.mantissa == 0 || high.mantissa == 0 {
            let (some, none) = if low.mantissa == 0 { (high, low) } else { (low, high) };
            let negative = some.negative && (some.mantissa != 0 || none.negative);
            return Extended::Finite(Self { negative, ..some });
        }
        // 62 places below the higher mantissa are exact, and there is room for a carry; what lies below them only
        // has to be there, since two numbers so far apart do not cancel out.
        let distance = (high.exponent - low.exponent).unsigned_abs();
        let (above, below) = (u128::from(high.mantissa) << 62, u128::from(low.mantissa) << 62);
        let shifted = below.checked_shr(distance).unwrap_or(0);
        let rest = distance > 127 || shifted << distance != below;
        let exponent = high.exponent - 62;
        if high.negative == low.negative {
            return Self::rounded(high.negative, above + shifted, rest, exponent);
        }
        match above.cmp(&shifted) {
            Ordering::Equal if !rest => Extended::Finite(Self::zero(false)),
            Ordering::Less => Self::rounded(low.negative, shifted - above, rest, exponent),
            Ordering::Equal | Ordering::Greater => {
                Self::rounded(high.negative, above - shifted - u128::from(rest), rest, exponent)
            }
        }
    }

    /// The same number on the other side of 0.
    #[must_use]
    pub fn negated(self) -> Self {
        Self { negative: !self.negative, ..self }
    }
}

impl From<i64> for Finite {
    fn from(value: i64) -> Self {
        match Self::rounded(value < 0, u128::from(value.unsigned_abs()), false, 0) {
            Extended::Finite(number) => number,
            Extended::Infinite { .. } => unreachable!("an integer of 64 bits is a mantissa"),
        }
    }
}

impl PartialOrd for Extended {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Extended {
    fn cmp(&self, other: &Self) -> Ordering {
        // An infinity is compared by its side, and a number by what it is only with other numbers.
        let side = |float: &Self| match float {
            Self::Infinite { negative: true } => -1,
            Self::Finite(_) => 0,
            Self::Infinite { negative: false } => 1,
        };
        match (self, other) {
            (Self::Finite(left), Self::Finite(right)) => left.cmp(right),
            _ => side(self).cmp(&side(other)),
        }
    }
}

impl PartialEq for Finite {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Finite {}

impl PartialOrd for Finite {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Finite {
    fn cmp(&self, other: &Self) -> Ordering {
        // A mantissa is normal unless its exponent is the least, so that the exponents decide where they differ.
        let size = |number: &Self| (number.exponent, number.mantissa);
        match (self.mantissa, other.mantissa, self.negative, other.negative) {
            (0, 0, ..) => Ordering::Equal,
            (_, _, false, false) => size(self).cmp(&size(other)),
            (_, _, true, true) => size(other).cmp(&size(self)),
            (_, _, true, false) => Ordering::Less,
            (_, _, false, true) => Ordering::Greater,
        }
    }
}

fn signed(count: usize) -> i32 {
    i32::try_from(count).expect("bits of numbers whose texts are bounded")
}
