//! Reads the words of a directive: numbers, sizes, choices. Knows no directive by name.
//!
//! A client of `CONFIG SET` sees these reasons, so their wording follows Redis 7.0.

use std::ops::RangeInclusive;

/// Why a value does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not what the directive takes.
    Malformed(String),
    /// It is understood, and this server will not promise it.
    Refused(String),
}

impl Fault {
    /// A value that is not what the directive takes.
    pub(super) fn malformed(reason: impl Into<String>) -> Self {
        Self::Malformed(reason.into())
    }

    /// A value that this server will not promise.
    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }

    /// The reason alone.
    pub(super) fn into_reason(self) -> String {
        match self {
            Self::Malformed(reason) | Self::Refused(reason) => reason,
        }
    }
}

/// `yes` or `no`.
pub(super) fn yes_no(word: &str) -> Result<bool, Fault> {
    if word.eq_ignore_ascii_case("yes") {
        Ok(true)
    } else if word.eq_ignore_ascii_case("no") {
        Ok(false)
    } else {
        Err(Fault::malformed("argument must be 'yes' or 'no'"))
    }
}

/// How a yes or no is printed.
pub(super) fn yes_no_name(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// A decimal integer without `+`, leading zeros or blanks.
pub(super) fn integer<T: TryFrom<i64>>(word: &str, range: RangeInclusive<i64>) -> Result<T, Fault> {
    let number: i64 = word
        .parse()
        .ok()
        .filter(|number: &i64| number.to_string() == word)
        .ok_or_else(|| Fault::malformed("argument couldn't be parsed into an integer"))?;
    if !range.contains(&number) {
        return Err(outside(range.start(), range.end()));
    }
    // A range beyond the field's type would be a mistake in the table; it is answered, not wrapped.
    T::try_from(number).map_err(|_| outside(range.start(), range.end()))
}

/// Permission bits in octal, up to 777.
pub(super) fn octal(word: &str) -> Result<u32, Fault> {
    let bits = Some(word)
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|word| u32::from_str_radix(word, 8).ok())
        .ok_or_else(|| Fault::malformed("argument couldn't be parsed as an octal number"))?;
    if bits > 0o777 { Err(outside("0", "777")) } else { Ok(bits) }
}

/// Bytes with an optional unit: `b`, `k`, `m`, `g` are powers of 1000, `kb`, `mb`, `gb` powers of 1024.
pub(super) fn memory(word: &str, range: RangeInclusive<u64>) -> Result<usize, Fault> {
    let bytes = bytes(word).ok_or_else(|| Fault::malformed("argument must be a memory value"))?;
    if !range.contains(&bytes) {
        return Err(outside(range.start(), range.end()));
    }
    usize::try_from(bytes).map_err(|_| outside(range.start(), range.end()))
}

/// The number of bytes that `word` means; what is beyond 64 bits counts as the largest number.
pub(super) fn bytes(word: &str) -> Option<u64> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = word.split_at(digits);
    if number.is_empty() {
        return None;
    }
    let scale: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    // Only digits: the one way to fail is to be too large.
    Some(number.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(scale))
}

/// One of a few names, in any case.
pub(super) fn choice<T: Copy>(word: &str, names: &[(&str, T)]) -> Result<T, Fault> {
    names.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, value)| *value).ok_or_else(|| {
        let all: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        Fault::malformed(format!("argument(s) must be one of the following: {}", all.join(", ")))
    })
}

/// The name of one of a few values.
pub(super) fn choice_name<T: Copy + PartialEq>(value: T, names: &[(&str, T)]) -> String {
    let found = names.iter().find(|(_, candidate)| *candidate == value);
    found.expect("every value of a choice has a name").0.to_owned()
}

/// The answer to a number outside of its range.
fn outside(least: impl std::fmt::Display, most: impl std::fmt::Display) -> Fault {
    Fault::Malformed(format!("argument must be between {least} and {most} inclusive"))
}

#[cfg(test)]
mod tests {
    use super::{Fault, bytes, integer, memory, octal, yes_no};

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (word, size) in [
            ("0", 0),
            ("100", 100),
            ("100b", 100),
            ("1k", 1000),
            ("1kb", 1024),
            ("2m", 2_000_000),
            ("2mb", 2 << 20),
            ("3g", 3_000_000_000),
            ("3GB", 3 << 30),
            ("1Kb", 1024),
            ("99999999999999999999", u64::MAX),
            ("99999999999gb", u64::MAX),
        ] {
            assert_eq!(bytes(word), Some(size), "{word}");
        }
        for word in ["", "kb", "-1", "1.5mb", "1tb", "10%", "1 kb", " 1", "1kbb"] {
            assert_eq!(bytes(word), None, "{word:?}");
        }
    }

    #[test]
    fn sizes_keep_their_range() {
        assert_eq!(memory("1kb", 1..=2048), Ok(1024));
        let fault = Fault::malformed("argument must be between 1 and 2048 inclusive");
        assert_eq!(memory("0", 1..=2048), Err(fault.clone()));
        assert_eq!(memory("3k", 1..=2048), Err(fault));
        assert_eq!(memory("x", 1..=2048), Err(Fault::malformed("argument must be a memory value")));
    }

    #[test]
    fn integers_are_canonical_and_keep_their_range() {
        assert_eq!(integer::<u16>("65535", 0..=65535), Ok(65535));
        assert_eq!(integer::<i64>("-1", -1..=5), Ok(-1));
        for word in ["", "x", "+5", "05", "5.0", "0x10", " 5", "9999999999999999999"] {
            let fault = Fault::malformed("argument couldn't be parsed into an integer");
            assert_eq!(integer::<u16>(word, 0..=65535), Err(fault), "{word:?}");
        }
        let fault = Fault::malformed("argument must be between 0 and 65535 inclusive");
        assert_eq!(integer::<u16>("70000", 0..=65535), Err(fault.clone()));
        assert_eq!(integer::<u16>("-1", 0..=65535), Err(fault));
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!(octal("700"), Ok(0o700));
        assert_eq!(octal("0"), Ok(0));
        for word in ["", "900", "+7", "rwx"] {
            assert_eq!(octal(word), Err(Fault::malformed("argument couldn't be parsed as an octal number")));
        }
        assert_eq!(octal("1777"), Err(Fault::malformed("argument must be between 0 and 777 inclusive")));
    }

    #[test]
    fn yes_and_no_come_in_any_case() {
        assert_eq!(yes_no("YES"), Ok(true));
        assert_eq!(yes_no("no"), Ok(false));
        assert_eq!(yes_no("1"), Err(Fault::malformed("argument must be 'yes' or 'no'")));
    }
}
