//! Decimal integers as Redis reads and prints them: no sign but a leading minus, no leading zero, no blank.

/// Reads a canonical decimal `i64`, exactly as Redis' `string2ll`: `"-0"`, `"+1"`, `"01"` and `""` are refused.
///
/// A string is canonical when printing the number gives the same bytes back, which is what lets a counter be
/// stored as a number.
#[inline]
pub fn parse(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (&first, rest) = digits.split_first()?;
    if first == b'0' {
        return (rest.is_empty() && !negative).then_some(0);
    }
    if !first.is_ascii_digit() || digits.len() > 19 {
        return None;
    }
    let mut magnitude = u64::from(first - b'0');
    for &byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // 19 digits are below 10^19, which is below 2^64: this cannot overflow.
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn canonical_integers_are_read() {
        for (text, value) in [
            ("0", 0),
            ("7", 7),
            ("-1", -1),
            ("10", 10),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(value), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "-",
            "-0",
            "+1",
            "01",
            "-01",
            " 1",
            "1 ",
            "1.0",
            "0x10",
            "1e3",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "1\0",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let mut buffer = itoa::Buffer::new();
        for shift in 0..63 {
            for value in [1_i64 << shift, -(1_i64 << shift), (1_i64 << shift) - 1] {
                assert_eq!(parse(buffer.format(value).as_bytes()), Some(value));
            }
        }
    }
}
