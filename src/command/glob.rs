//! Glob patterns as Redis matches them: `*`, `?`, `[a-z]`, `[^a-z]` and `\` before a literal byte. Knows bytes.
//!
//! A `*` is retried from the last one seen only: whatever an earlier `*` could swallow, the later one can too.
//! So the work is at most the product of both lengths, never exponential in the number of stars.

/// Whether letters match in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// As they are.
    Sensitive,
    /// In either.
    Ignored,
}

impl Case {
    fn fold(self, byte: u8) -> u8 {
        match self {
            Self::Sensitive => byte,
            Self::Ignored => byte.to_ascii_lowercase(),
        }
    }
}

/// Whether the whole `text` fits `pattern`.
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // What follows the last star, and the text that is left if it swallows one byte more.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            if rest.is_empty() {
                return true;
            }
            pattern = rest;
            retry = text.split_first().map(|(_, shorter)| (rest, shorter));
            continue;
        }
        let fits = match text.split_first() {
            None if pattern.is_empty() => return true,
            // Nothing a star swallows makes the text longer.
            None => return false,
            Some((&byte, rest)) => one(pattern, byte, case).map(|left| (left, rest)),
        };
        match (fits, retry) {
            (Some((left, rest)), _) => (pattern, text) = (left, rest),
            (None, Some((after, shorter))) => {
                (pattern, text) = (after, shorter);
                retry = shorter.split_first().map(|(_, shorter)| (after, shorter));
            }
            (None, None) => return false,
        }
    }
}

/// The pattern after its first element, if that element fits `byte`.
fn one(pattern: &[u8], byte: u8, case: Case) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => {
            let (fits, rest) = class(rest, byte, case);
            fits.then_some(rest)
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            (case.fold(*literal) == case.fold(byte)).then_some(rest)
        }
    }
}

/// Whether `byte` is in the class whose `[` stands before `class`, and the pattern after the class. A class that
/// is not closed ends with the pattern, as in Redis.
fn class(class: &[u8], byte: u8, case: Case) -> (bool, &[u8]) {
    let byte = case.fold(byte);
    let (negated, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut fits = false;
    loop {
        class = match class {
            [] => break,
            [b']', rest @ ..] => {
                class = rest;
                break;
            }
            [b'\\', literal, rest @ ..] => {
                fits |= case.fold(*literal) == byte;
                rest
            }
            [start, b'-', end, rest @ ..] => {
                let (start, end) = (case.fold(*start), case.fold(*end));
                fits |= (start.min(end)..=start.max(end)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                fits |= case.fold(*literal) == byte;
                rest
            }
        };
    }
    (fits != negated, class)
}

#[cfg(test)]
mod tests {
    use super::{Case, matches};

    fn fits(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), Case::Sensitive)
    }

    #[test]
    fn patterns_that_fit() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "abc"),
            ("a*c", "abbc"),
            ("a*c", "acbc"),
            ("*a*b*", "xxaxxbxx"),
            ("a**c", "abc"),
            ("?", "x"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-b]llo", "hbllo"),
            ("h[b-a]llo", "hbllo"),
            ("[a-c-]", "-"),
            ("[\\]]", "]"),
            ("a\\*c", "a*c"),
            ("a\\", "a\\"),
            ("[abc", "c"),
            ("*[0-9]", "counter7"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn patterns_that_do_not() {
        for (pattern, text) in [
            ("", "a"),
            ("?", ""),
            ("a*c", "abcd"),
            ("h[^e]llo", "hello"),
            ("a\\*c", "abc"),
            ("a\\", "a"),
            ("ABC", "abc"),
            ("[", "a"),
            ("*a", "b"),
            ("[^", ""),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn case_is_ignored_on_request() {
        for (pattern, text) in [("MaX*", "maxmemory"), ("[A-C]x", "bX"), ("\\Ab", "aB")] {
            assert!(matches(pattern.as_bytes(), text.as_bytes(), Case::Ignored), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = "a*".repeat(500) + "b";
        let text = "a".repeat(2_000);
        assert!(!fits(&pattern, &text));
    }
}
