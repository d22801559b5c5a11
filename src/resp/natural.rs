//! Natural numbers of any size, as far as exact reading and printing of floats needs them. Knows no sign and no point.

/// Limbs of 32 bits, the lowest first; no zero limb at the end, so that nothing at all is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Natural(Vec<u32>);

/// What nine decimal digits hold: the largest power of ten in a limb.
const CHUNK: u32 = 1_000_000_000;
/// See [`CHUNK`].
const CHUNK_DIGITS: usize = 9;

impl Natural {
    /// Reads decimal digits.
    pub(super) fn of_digits(digits: &[u8]) -> Self {
        let mut number = Self::default();
        for chunk in digits.chunks(CHUNK_DIGITS) {
            let (mut scale, mut value) = (1, 0);
            for digit in chunk {
                scale *= 10;
                value = value * 10 + u32::from(digit - b'0');
            }
            number.scale_and_add(scale, value);
        }
        number
    }

    /// `value` times two to the power of `shift`.
    pub(super) fn shifted(value: u64, shift: usize) -> Self {
        let mut number = Self::default();
        let (low, high) = halves(value);
        number.0.extend([low, high]);
        number.trim();
        number.shift_left(shift);
        number
    }

    /// Times ten to the power of `exponent`.
    pub(super) fn times_power_of_ten(mut self, exponent: usize) -> Self {
        for _ in 0..exponent / CHUNK_DIGITS {
            self.scale_and_add(CHUNK, 0);
        }
        for _ in 0..exponent % CHUNK_DIGITS {
            self.scale_and_add(10, 0);
        }
        self
    }

    /// Bits up to the highest that is set; 0 for 0.
    pub(super) fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| self.0.len() * 32 - top.leading_zeros() as usize)
    }

    /// Its lowest 128 bits.
    #[cfg(test)]
    fn low(&self) -> u128 {
        self.0.iter().take(4).rev().fold(0, |low, limb| low << 32 | u128::from(*limb))
    }

    /// Divided by two to the power of `shift`, and whether something is lost by that.
    pub(super) fn shift_right(&mut self, shift: usize) -> bool {
        let (limbs, bits) = (shift / 32, shift % 32);
        if limbs >= self.0.len() {
            let lost = !self.0.is_empty();
            self.0.clear();
            return lost;
        }
        let mut lost = self.0.drain(..limbs).any(|limb| limb != 0);
        let mut above = 0;
        for limb in self.0.iter_mut().rev() {
            let wide = u64::from(above) << 32 | u64::from(*limb);
            above = *limb & ((1 << bits) - 1);
            *limb = halves(wide >> bits).0;
        }
        lost |= above != 0;
        self.trim();
        lost
    }

    /// Times two to the power of `shift`.
    pub(super) fn shift_left(&mut self, shift: usize) {
        let (limbs, bits) = (shift / 32, shift % 32);
        if self.0.is_empty() {
            return;
        }
        let mut carry = 0;
        for limb in &mut self.0 {
            let wide = u64::from(*limb) << bits | u64::from(carry);
            (*limb, carry) = halves(wide);
        }
        self.0.push(carry);
        self.0.splice(0..0, std::iter::repeat_n(0, limbs));
        self.trim();
    }

    /// The quotient by `divisor`, of which the caller knows that it fits, and whether something remains. Bit by bit:
    /// the quotients asked for are short, however long the numbers are.
    pub(super) fn divide(mut self, mut divisor: Self) -> (u128, bool) {
        let steps = (self.bits() + 1).saturating_sub(divisor.bits());
        debug_assert!(steps <= 128, "the quotient fits");
        divisor.shift_left(steps);
        let mut quotient = 0;
        for _ in 0..=steps {
            quotient <<= 1;
            if self.try_subtract(&divisor) {
                quotient |= 1;
            }
            divisor.shift_right(1);
        }
        (quotient, !self.0.is_empty())
    }

    /// Its decimal digits.
    pub(super) fn digits(mut self) -> Vec<u8> {
        let mut reversed = Vec::with_capacity(self.bits() / 3 + CHUNK_DIGITS);
        while !self.0.is_empty() {
            let mut rest = self.divide_by_chunk();
            // The highest chunk ends with its last digit that is not 0, all others have nine.
            for _ in 0..CHUNK_DIGITS {
                if self.0.is_empty() && rest == 0 {
                    break;
                }
                reversed.push(b"0123456789"[rest as usize % 10]);
                rest /= 10;
            }
        }
        reversed.reverse();
        reversed
    }

    fn divide_by_chunk(&mut self) -> u32 {
        let mut rest = 0_u64;
        for limb in self.0.iter_mut().rev() {
            let wide = rest << 32 | u64::from(*limb);
            *limb = halves(wide / u64::from(CHUNK)).0;
            rest = wide % u64::from(CHUNK);
        }
        self.trim();
        halves(rest).0
    }

    fn scale_and_add(&mut self, scale: u32, addend: u32) {
        let mut carry = addend;
        for limb in &mut self.0 {
            let wide = u64::from(*limb) * u64::from(scale) + u64::from(carry);
            (*limb, carry) = halves(wide);
        }
        if carry > 0 {
            self.0.push(carry);
        }
    }

    /// Takes `other` away, if it is not larger.
    fn try_subtract(&mut self, other: &Self) -> bool {
        let longer = self.0.len().cmp(&other.0.len());
        if longer.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_lt() {
            return false;
        }
        let mut borrow = false;
        for (at, limb) in self.0.iter_mut().enumerate() {
            let taken = other.0.get(at).copied().unwrap_or(0);
            let (once, under) = limb.overflowing_sub(taken);
            let (twice, under_again) = once.overflowing_sub(u32::from(borrow));
            *limb = twice;
            borrow = under || under_again;
        }
        debug_assert!(!borrow, "it is not larger");
        self.trim();
        true
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

/// The lower and the upper half.
fn halves(wide: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = wide.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

#[cfg(test)]
mod tests {
    use super::Natural;

    fn of(value: u128) -> Natural {
        Natural::of_digits(value.to_string().as_bytes())
    }

    #[test]
    fn digits_come_back_as_they_were_read() {
        for text in
            ["1", "4294967295", "4294967296", "1000000000", "999999999999999999", "10000000000000000000"]
        {
            assert_eq!(Natural::of_digits(text.as_bytes()).digits(), text.as_bytes());
        }
        let long: Vec<u8> = (0..5000).map(|n| b"1234567890"[n % 10]).collect();
        assert_eq!(Natural::of_digits(&long).digits(), long);
        assert_eq!(Natural::of_digits(b"000").digits(), b"");
        assert_eq!(of(7).times_power_of_ten(20).digits(), b"700000000000000000000");
    }

    #[test]
    fn shifts_tell_what_they_lose() {
        for shift in [0, 1, 31, 32, 33, 64, 95, 127] {
            let mut number = Natural::shifted(5, shift);
            assert_eq!((number.low(), number.bits()), (5 << shift, 3 + shift));
            assert!(!number.shift_right(shift));
            assert_eq!(number, of(5));
        }
        for (value, shift, left, lost) in
            [(5, 1, 2, true), (4, 1, 2, false), (1 << 70, 69, 2, false), (1, 200, 0, true)]
        {
            let mut number = of(value);
            assert_eq!((number.shift_right(shift), number.low()), (lost, left), "{value} >> {shift}");
        }
    }

    #[test]
    fn quotients_are_those_of_u128() {
        let values = [1, 2, 3, 7, 10, 1 << 32, (1 << 64) - 1, 1 << 64, u128::MAX / 3, u128::MAX];
        for dividend in values {
            for divisor in values {
                let exact = (dividend / divisor, dividend % divisor != 0);
                assert_eq!(of(dividend).divide(of(divisor)), exact, "{dividend} / {divisor}");
            }
        }
    }
}
