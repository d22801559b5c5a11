//! Floats as Redis computes with them: the 80-bit extended format of x86 (`long double`), in software, so that every
//! digit of `INCRBYFLOAT` is the same on any machine.
//!
//! ```text
//! value = mantissa · 2^exponent      mantissa: 64 bits, the highest set unless the exponent is the least there is
//! ```
//!
//! Reading is exact and then rounded once, as `strtold` does it; printing is exact and then rounded to 17 decimals,
//! as `%.17Lf` does it. Both round halves to even. What has few digits needs no memory; the rest is worked out with
//! [`Natural`] numbers.

use std::cmp::Ordering;

use arrayvec::ArrayVec;

use super::natural::Natural;

/// Bytes from which on Redis reads no float (`MAX_LONG_DOUBLE_CHARS`).
const TEXT_BYTES: usize = 5 * 1024;

/// The exponent of the smallest number.
const LEAST: i32 = -16_445;

/// The exponent of the greatest numbers.
const MOST: i32 = 16_320;

/// A decimal exponent that is out of reach with any number of digits there may be.
const FAR: i32 = 1_000_000;

/// Decimals of the printed form.
const DECIMALS: usize = 17;
/// As many, as a factor.
const DECIMAL: u64 = 10_u64.pow(17);

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

/// Reads a float the way Redis does: what `strtold` reads in the C locale, hexadecimal ones and infinities included,
/// without blanks around it. What is no number, is a NaN, or is out of range in either direction is refused.
pub fn parse(text: &[u8]) -> Option<Extended> {
    if text.len() >= TEXT_BYTES {
        return None;
    }
    let (negative, body) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity") {
        return Some(Extended::Infinite { negative });
    }
    let read = match body {
        [b'0', b'x' | b'X', hexadecimal @ ..] => parse_hexadecimal(negative, hexadecimal),
        _ => parse_decimal(negative, body),
    }?;
    // Infinite only by being too large, which `strtold` reports.
    matches!(read, Extended::Finite(_)).then_some(read)
}

/// Splits `mantissa exponent` at one of the `marks`; what follows has to be an integer, and is bounded by `FAR`.
fn split_exponent<'t>(body: &'t [u8], marks: &[u8; 2]) -> Option<(&'t [u8], i32)> {
    let Some(at) = memchr::memchr2(marks[0], marks[1], body) else { return Some((body, 0)) };
    let (negative, digits) = match &body[at + 1..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let mut exponent = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        exponent = (exponent * 10 + i32::from(digit - b'0')).min(FAR);
    }
    Some((&body[..at], if negative { -exponent } else { exponent }))
}

/// The digits of `12.34` without leading zeros, and how many of them stand behind the point.
fn split_point(body: &[u8], is_digit: fn(&u8) -> bool) -> Option<(Vec<u8>, i32)> {
    let point = memchr::memchr(b'.', body);
    let (whole, part) = point.map_or((body, &[][..]), |at| (&body[..at], &body[at + 1..]));
    if whole.is_empty() && part.is_empty() || !whole.iter().chain(part).all(is_digit) {
        return None;
    }
    let behind = i32::try_from(part.len()).expect("texts are bounded");
    let digits = whole.iter().chain(part).copied().skip_while(|digit| *digit == b'0').collect();
    Some((digits, behind))
}

fn parse_decimal(negative: bool, body: &[u8]) -> Option<Extended> {
    let (mantissa, exponent) = split_exponent(body, b"eE")?;
    if let Some(short) = parse_short(negative, mantissa, exponent) {
        return Some(short);
    }
    let (mut digits, behind) = split_point(mantissa, u8::is_ascii_digit)?;
    let mut exponent = exponent - behind;
    while digits.last() == Some(&b'0') {
        digits.pop();
        exponent += 1;
    }
    if digits.is_empty() {
        return Some(Extended::Finite(Finite::zero(negative)));
    }
    // Below 10^magnitude and not below a tenth of it: nothing beyond these is worth working out.
    let magnitude = exponent + i32::try_from(digits.len()).expect("texts are bounded");
    if !(-4_951..=4_933).contains(&magnitude) {
        return None;
    }
    let digits = Natural::of_digits(&digits);
    let scale = Natural::of_digits(b"1").times_power_of_ten(exponent.unsigned_abs() as usize);
    let (mut dividend, mut divisor) = if exponent < 0 {
        (digits, scale)
    } else {
        (digits.times_power_of_ten(exponent.unsigned_abs() as usize), Natural::of_digits(b"1"))
    };
    // A quotient of 66 or 67 bits: those of the mantissa, and enough to round by.
    let shift = 66 + signed(divisor.bits()) - signed(dividend.bits());
    if shift >= 0 {
        dividend.shift_left(shift.unsigned_abs() as usize);
    } else {
        divisor.shift_left(shift.unsigned_abs() as usize);
    }
    let (quotient, rest) = dividend.divide(divisor);
    not_vanished(Finite::rounded(negative, quotient, rest, -shift))
}

/// The same for what fits into machine words, which is nearly everything: up to 19 digits, none of them further from
/// the point than that.
fn parse_short(negative: bool, mantissa: &[u8], mut exponent: i32) -> Option<Extended> {
    let (mut value, mut count, mut behind) = (0_u64, 0, None);
    for &byte in mantissa {
        match (byte, behind) {
            (b'0'..=b'9', _) => {
                count += 1;
                value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
                behind = behind.map(|behind| behind + 1);
            }
            (b'.', None) => behind = Some(0),
            _ => return None,
        }
    }
    exponent -= behind.unwrap_or(0);
    if count == 0 || exponent.abs() > 19 {
        return None;
    }
    if value == 0 {
        return Some(Extended::Finite(Finite::zero(negative)));
    }
    let scale = u128::from(10_u64.pow(exponent.unsigned_abs()));
    if exponent >= 0 {
        return Some(Finite::rounded(negative, u128::from(value) * scale, false, 0));
    }
    // The highest bit at the top, so that the quotient by less than 2^64 has 64 bits at least, and one more by half of
    // the divisor.
    let shift = u128::from(value).leading_zeros();
    let dividend = u128::from(value) << shift;
    let (quotient, rest) = (dividend / scale, dividend % scale * 2);
    let quotient = quotient << 1 | u128::from(rest >= scale);
    Some(Finite::rounded(negative, quotient, rest != 0 && rest != scale, -signed(shift as usize) - 1))
}

fn parse_hexadecimal(negative: bool, body: &[u8]) -> Option<Extended> {
    let (mantissa, exponent) = split_exponent(body, b"pP")?;
    let (digits, behind) = split_point(mantissa, u8::is_ascii_hexdigit)?;
    if digits.is_empty() {
        return Some(Extended::Finite(Finite::zero(negative)));
    }
    // 30 digits and the rest as a hint: twice what a mantissa has.
    let (near, far) = digits.split_at(digits.len().min(30));
    let value = near.iter().fold(0_u128, |value, digit| {
        value << 4 | u128::from(char::from(*digit).to_digit(16).expect("it is hexadecimal"))
    });
    let rest = far.iter().any(|digit| *digit != b'0');
    let exponent = exponent + 4 * (signed(far.len()) - behind);
    match Finite::rounded(negative, value, rest, exponent) {
        Extended::Infinite { .. } => None,
        finite => not_vanished(finite),
    }
}

/// A number that was not 0 before it was rounded must not be 0 afterwards.
fn not_vanished(read: Extended) -> Option<Extended> {
    let vanished = matches!(read, Extended::Finite(number) if number.mantissa == 0);
    (!vanished).then_some(read)
}

fn signed(count: usize) -> i32 {
    i32::try_from(count).expect("bits of numbers whose texts are bounded")
}

impl Finite {
    /// The greatest number.
    pub const MAX: Self = Self { negative: false, mantissa: u64::MAX, exponent: MOST };

    const fn zero(negative: bool) -> Self {
        Self { negative, mantissa: 0, exponent: LEAST }
    }

    /// `value · 2^exponent`, and less than one such unit more where there is a `rest`, rounded to the nearest number,
    /// of two equally near ones to the even one. With a rest, `value` has 66 bits at least.
    fn rounded(negative: bool, value: u128, rest: bool, exponent: i32) -> Extended {
        let bits = 128 - signed(value.leading_zeros() as usize);
        debug_assert!(!rest || bits > 65, "enough bits to round by");
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

#[cfg(test)]
mod tests {
    use super::{DECIMAL, Extended, Finite, LEAST, MOST, parse, parse_decimal, parse_short};

    fn number(text: &str) -> Finite {
        match parse(text.as_bytes()) {
            Some(Extended::Finite(number)) => number,
            other => panic!("{text} is read as {other:?}"),
        }
    }

    fn shown(number: Finite) -> String {
        String::from_utf8(number.print().as_ref().to_vec()).unwrap()
    }

    fn sum(left: &str, right: &str) -> String {
        match number(left).plus(number(right)) {
            Extended::Finite(sum) => shown(sum),
            Extended::Infinite { negative } => format!("infinite {negative}"),
        }
    }

    #[test]
    fn texts_are_read_as_the_c_library_reads_them() {
        for (text, mantissa, exponent) in [
            ("1", 1 << 63, -63),
            ("0x1p0", 1 << 63, -63),
            ("+0X.8P+1", 1 << 63, -63),
            ("1.", 1 << 63, -63),
            (".5", 1 << 63, -64),
            ("0.1", 0xcccc_cccc_cccc_cccd, -67),
            ("3.0e-1", 0x9999_9999_9999_999a, -65),
            ("18446744073709551615", u64::MAX, 0),
            // Halves go to the even side.
            ("18446744073709551616", 1 << 63, 1),
            ("36893488147419103231", 1 << 63, 2),
            ("36893488147419103229", u64::MAX - 1, 1),
            ("0x1.00000000000000010000000000000000000000000000001p0", (1 << 63) | 1, -63),
            ("0x1.00000000000000010000000000000000000000000000000p0", 1 << 63, -63),
            ("1.189731495357231765e4932", u64::MAX, MOST),
            ("3.6e-4951", 1, LEAST),
            ("1.9e-4951", 1, LEAST),
            ("3.3621031431120935063e-4932", 1 << 63, LEAST),
        ] {
            let Finite { mantissa: read, exponent: power, negative } = number(text);
            assert_eq!((read, power, negative), (mantissa, exponent, false), "{text}");
        }
        for zero in ["0", "-0", "+0.0", "0e99999999999", "0x0p-99999", "00000000000000000000000.000", ".0"] {
            assert_eq!(number(zero), Finite::zero(false), "{zero}");
        }
        for infinite in ["inf", "-Inf", "+INFINITY"] {
            let negative = infinite.starts_with('-');
            assert_eq!(parse(infinite.as_bytes()), Some(Extended::Infinite { negative }));
        }
    }

    #[test]
    fn what_redis_does_not_read_is_refused() {
        for text in [
            "",
            " 1",
            "1 ",
            "\t1",
            "1\0",
            "x",
            "-",
            "+",
            ".",
            "-.",
            "e5",
            "1e",
            "1e+",
            "1e5.0",
            "1.2.3",
            "--1",
            "+-1",
            "0x",
            "0x.",
            "0xp1",
            "0x1p",
            "0x1p-",
            "0xg",
            "1p3",
            "nan",
            "-nan",
            "nan(1)",
            "infin",
            "infinityx",
            "1,5",
            "1_0",
            "1.2e4932",
            "1e4933",
            "1e99999999999999999999",
            "1.8e-4951",
            "1e-4952",
            "1e-9999999999999",
            "0x1p16384",
            "0x1p-16446",
            "0x1p-99999999999",
            "0x1.ffffffffffffffffp16383",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        let long = vec![b'1'; 5120];
        assert_eq!((parse(&long), parse(&long[..4000]).is_some()), (None, true));
    }

    #[test]
    fn numbers_are_printed_with_17_decimals_at_most() {
        for (text, printed) in [
            ("0", "0"),
            ("-0", "0"),
            ("10", "10"),
            ("0.1", "0.1"),
            ("-1.50", "-1.5"),
            ("5e3", "5000"),
            ("1e-17", "0.00000000000000001"),
            ("0.5e-17", "0"),
            ("-0.4e-17", "0"),
            ("0.6e-17", "0.00000000000000001"),
            ("2.5e-17", "0.00000000000000002"),
            ("3.5e-17", "0.00000000000000004"),
            ("0.99999999999999999999", "1"),
            ("123456789012345678.9", "123456789012345678.8984375"),
            ("1e40", "9999999999999999999783686092270256259072"),
            ("1e-4940", "0"),
        ] {
            assert_eq!(shown(number(text)), printed, "{text}");
        }
    }

    #[test]
    fn sums_are_rounded_once() {
        for (left, right, expected) in [
            ("0.1", "0.2", "0.3"),
            ("3.0", "1.1", "4.1"),
            ("1", "-1", "0"),
            ("-0", "-0", "0"),
            ("1e19", "0.5", "10000000000000000000"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551616", "-1", "18446744073709551615"),
            ("1e30", "-1e30", "0"),
            ("1", "1e-30", "1"),
            ("1", "-1e-4940", "1"),
            ("1.18e4932", "1.18e4932", "infinite false"),
            ("-1.18e4932", "-1.18e4932", "infinite true"),
            ("9223372036854775807", "1", "9223372036854775808"),
        ] {
            assert_eq!(sum(left, right), expected, "{left} + {right}");
            assert_eq!(sum(right, left), expected, "{right} + {left}");
        }
        assert_eq!(Finite::from(i64::MIN), number("-9223372036854775808"));
    }

    #[test]
    fn the_short_way_leads_where_the_long_one_does() {
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let digits = (state >> 20).to_string();
            let (whole, part) = digits.split_at(usize::try_from(state % 7).unwrap().min(digits.len()));
            let exponent = i32::try_from((state >> 8) % 9).unwrap() - 4;
            let text = format!("{whole}.{part}");
            let short = parse_short(false, text.as_bytes(), exponent);
            // A zero too many for the short way's 19 digits changes nothing.
            let long = format!("0{text}00000000000000000000e{exponent}");
            assert!(parse_short(false, &long.as_bytes()[..long.len() - 3], exponent).is_none());
            let long = parse_decimal(false, long.as_bytes());
            assert!(short.is_some() && short == long, "{text}e{exponent}: {short:?}, not {long:?}");
        }
    }

    #[test]
    fn numbers_are_ordered() {
        let texts =
            ["-1e4932", "-2", "-1.5", "-1e-4950", "0", "1e-4950", "1e-4000", "0.5", "1", "1.25", "1e300"];
        for (at, left) in texts.iter().enumerate() {
            for (other, right) in texts.iter().enumerate() {
                assert_eq!(number(left).cmp(&number(right)), at.cmp(&other), "{left} and {right}");
            }
        }
        assert_eq!(number("-0").cmp(&number("0")), std::cmp::Ordering::Equal);
        assert_eq!(DECIMAL.to_string().len(), 18);
    }
}
