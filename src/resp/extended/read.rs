//! Reading floats: decimal and hexadecimal, exactly, and rounded once.

use super::{Extended, Finite, signed};
use crate::resp::natural::Natural;

/// Bytes from which on Redis reads no float (`MAX_LONG_DOUBLE_CHARS`).
const TEXT_BYTES: usize = 5 * 1024;

/// A decimal exponent that is out of reach with any number of digits there may be.
const FAR: i32 = 1_000_000;

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

pub(super) fn parse_decimal(negative: bool, body: &[u8]) -> Option<Extended> {
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
pub(super) fn parse_short(negative: bool, mantissa: &[u8], mut exponent: i32) -> Option<Extended> {
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
