//! Splits one line of configuration into words, by Redis' rules of quoting. Knows no directive.
//!
//! Double quotes understand `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a` and take any other escaped byte as it is;
//! single quotes understand `\'` alone. A closing quote must end its word.

/// Why a line cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsplit {
    /// A quote is not closed, or something follows the closing quote.
    Unbalanced,
    /// A word is not UTF-8.
    NotText,
}

impl Unsplit {
    /// What the operator is told.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Unbalanced => "unbalanced quotes: close each one, and put a blank after it",
            Self::NotText => "not UTF-8 text",
        }
    }
}

/// The words of `line`; none if it is blank.
pub(super) fn split(line: &[u8]) -> Result<Vec<String>, Unsplit> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii();
    while !rest.is_empty() {
        let (word, after) = next(rest)?;
        words.push(String::from_utf8(word).map_err(|_| Unsplit::NotText)?);
        rest = after.trim_ascii_start();
    }
    Ok(words)
}

/// The first word of `text`, and what follows it.
fn next(text: &[u8]) -> Result<(Vec<u8>, &[u8]), Unsplit> {
    let mut word = Vec::new();
    let mut rest = text;
    loop {
        let after_quote = match rest {
            [] => return Ok((word, rest)),
            [byte, ..] if byte.is_ascii_whitespace() => return Ok((word, rest)),
            // A quote may open in the middle of a word: `a"b c"` is one word.
            [b'"', after @ ..] => double(after, &mut word)?,
            [b'\'', after @ ..] => single(after, &mut word)?,
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
                continue;
            }
        };
        return match after_quote {
            [byte, ..] if !byte.is_ascii_whitespace() => Err(Unsplit::Unbalanced),
            _ => Ok((word, after_quote)),
        };
    }
}

/// Takes what stands in double quotes, the opening one already gone; returns what follows the closing one.
fn double<'a>(text: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], Unsplit> {
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Err(Unsplit::Unbalanced),
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(nibble(*high) << 4 | nibble(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        };
    }
}

/// The same for single quotes.
fn single<'a>(text: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], Unsplit> {
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Err(Unsplit::Unbalanced),
            [b'\'', after @ ..] => return Ok(after),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
        };
    }
}

/// The value of a hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::{Unsplit, split};
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    fn words(line: &str) -> Vec<String> {
        split(line.as_bytes()).unwrap_or_else(|why| panic!("{line:?}: {why:?}"))
    }

    #[test]
    fn blanks_separate_words() {
        assert_eq!(words("port 6379"), ["port", "6379"]);
        assert_eq!(words("\t save  3600\t1 \r"), ["save", "3600", "1"]);
        assert!(words("").is_empty());
        assert!(words(" \t ").is_empty());
    }

    #[test]
    fn quotes_keep_blanks_and_empty_words() {
        assert_eq!(words(r#"save """#), ["save", ""]);
        assert_eq!(words("save ''"), ["save", ""]);
        assert_eq!(words(r#"requirepass "a b" 'c d'"#), ["requirepass", "a b", "c d"]);
        assert_eq!(words(r#"a"b c" d"#), ["ab c", "d"]);
        assert_eq!(words(r##"requirepass "#1""##), ["requirepass", "#1"]);
    }

    #[test]
    fn double_quotes_understand_escapes() {
        assert_eq!(words(r#""\x41\x7a\n\r\t\b\a\"\\\q""#), ["Az\n\r\t\u{8}\u{7}\"\\q"]);
        // `\x` without two digits is an escaped x.
        assert_eq!(words(r#""\x4g""#), ["x4g"]);
        assert_eq!(words(r#""\xc3\xa9""#), ["é"]);
    }

    #[test]
    fn single_quotes_understand_only_their_own_escape() {
        assert_eq!(words(r"'it\'s \n \x41'"), [r"it's \n \x41"]);
    }

    #[test]
    fn outside_of_quotes_a_backslash_is_a_byte() {
        assert_eq!(words(r"a\n b\"), [r"a\n", r"b\"]);
    }

    #[test]
    fn a_quote_must_be_closed_and_end_its_word() {
        for line in [r#"a "b"#, "a 'b", r#""a"b"#, "'a'b", r#""a\""#, r#"""""#] {
            assert_eq!(split(line.as_bytes()), Err(Unsplit::Unbalanced), "{line:?}");
        }
    }

    #[test]
    fn words_are_text() {
        assert_eq!(split(b"requirepass \xff"), Err(Unsplit::NotText));
        assert_eq!(split(br#"requirepass "\xff""#), Err(Unsplit::NotText));
    }

    proptest! {
        #[test]
        fn any_words_survive_quoting(expected in prop::collection::vec(any::<String>(), 0..5)) {
            let quoted = |word: &String| {
                let bytes = word.bytes().map(|byte| format!("\\x{byte:02x}"));
                format!("\"{}\"", bytes.collect::<String>())
            };
            let line: Vec<String> = expected.iter().map(quoted).collect();
            prop_assert_eq!(split(line.join(" ").as_bytes()), Ok(expected));
        }

        #[test]
        fn any_bytes_are_words_or_an_error(line in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(words) = split(&line) {
                let bytes: usize = words.iter().map(String::len).sum();
                assert!(bytes <= line.len(), "{words:?}");
            }
        }
    }
}
