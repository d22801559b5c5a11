//! Printing floats: exactly, and rounded to 17 decimals once.

use arrayvec::ArrayVec;

use super::Finite;
use crate::resp::natural::Natural;

/// Decimals of the printed form.
const DECIMALS: usize = 17;
/// As many, as a factor.
const DECIMAL: u64 = 10_u64.pow(17);

/// The text of a number.
#[derive(Clone, Debug)]
pub enum Decimal {
    /// A sign, 39 digits and a point at most.
    Short(ArrayVec<u8, 41>),
    /// More.
    Long(Vec<u8>),
}

impl AsRef<[u8]> for Decimal {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Short(text) => text,
            Self::Long(text) => text,
        }
    }
}

impl Finite {
    /// Its decimal form with up to 17 decimals, without zeros at its end and without an exponent.
    pub fn print(self) -> Decimal {
        let sign: &[u8] = if self.negative { b"-" } else { b"" };
        if self.exponent > 64 {
            let shift = self.exponent.unsigned_abs() as usize;
            let digits = Natural::shifted(self.mantissa, shift).digits();
            return Decimal::Long([sign, &digits].concat());
        }
        let (whole, mut decimals) =
            if self.exponent >= 0 { (u128::from(self.mantissa) << self.exponent, 0) } else { self.split() };
        let mut text = ArrayVec::new();
        if self.negative && (whole, decimals) != (0, 0) {
            text.push(b'-');
        }
        text.extend(itoa::Buffer::new().format(whole).bytes());
        if decimals != 0 {
            let mut width = DECIMALS;
            while decimals.is_multiple_of(10) {
                decimals /= 10;
                width -= 1;
            }
            let mut buffer = itoa::Buffer::new();
            let digits = buffer.format(decimals);
            text.push(b'.');
            text.extend(std::iter::repeat_n(b'0', width - digits.len()));
            text.extend(digits.bytes());
        }
        Decimal::Short(text)
    }

    /// What stands before the point and, rounded, behind it, of a number with a negative exponent.
    fn split(self) -> (u128, u64) {
        let places = self.exponent.unsigned_abs();
        if places > 127 {
            // Below 2^-63, which is half a unit of the last decimal at most.
            return (0, 0);
        }
        let whole = self.mantissa.checked_shr(places).unwrap_or(0);
        let part = self.mantissa - whole.checked_shl(places).unwrap_or(0);
        let scaled = u128::from(part) * u128::from(DECIMAL);
        let (decimals, half) = (scaled >> places, 1_u128 << (places - 1));
        let dropped = scaled & (half | (half - 1));
        let up = dropped > half || dropped == half && decimals & 1 == 1;
        let decimals = u64::try_from(decimals).expect("a part is below one") + u64::from(up);
        if decimals == DECIMAL { (u128::from(whole) + 1, 0) } else { (u128::from(whole), decimals) }
    }
}
