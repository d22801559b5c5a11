//! Error replies by their codes: the first word of an error's text, `ERR`, `WRONGTYPE` and so on.

use arrayvec::ArrayVec;

/// Bytes of a code that are told apart.
const CODE_BYTES: usize = 24;

/// Codes that are told apart; all are the server's own, and these are more than it has.
const MOST: usize = 64;

/// The code that an error's text begins with, without its dash.
pub fn code_of(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b' ').next().unwrap_or_default()
}

/// How often an error of each code was replied, in the order in which they came up first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codes(Vec<(ArrayVec<u8, CODE_BYTES>, u64)>);

impl Codes {
    /// Whether there was none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts an error.
    pub fn count(&mut self, code: &[u8]) {
        self.count_many(code, 1);
    }

    fn count_many(&mut self, code: &[u8], times: u64) {
        let code = &code[..code.len().min(CODE_BYTES)];
        if let Some((_, count)) = self.0.iter_mut().find(|(known, _)| known.as_slice() == code) {
            *count += times;
        } else if self.0.len() < MOST {
            self.0.push((code.iter().copied().collect(), times));
        }
    }

    /// Adds what another has counted.
    pub fn add(&mut self, other: &Self) {
        other.iter().for_each(|(code, times)| self.count_many(code, times));
    }

    /// Adds what another has counted, and leaves it empty.
    pub fn take_from(&mut self, other: &mut Self) {
        self.add(other);
        other.clear();
    }

    /// Counts from zero again.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The codes and their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.0.iter().map(|(code, count)| (code.as_slice(), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::{Codes, MOST, code_of};

    #[test]
    fn errors_are_counted_by_their_first_word() {
        let (mut one, mut other) = (Codes::default(), Codes::default());
        for text in ["ERR syntax error", "WRONGTYPE Operation", "ERR no such key", "NOAUTH"] {
            one.count(code_of(text.as_bytes()));
        }
        other.count(b"NOAUTH");
        other.take_from(&mut one);
        assert!(one.is_empty());
        let counts: Vec<(&[u8], u64)> = other.iter().collect();
        assert_eq!(counts, [(&b"NOAUTH"[..], 2), (b"ERR", 2), (b"WRONGTYPE", 1)]);
        (0..1000_u32).for_each(|number| other.count(number.to_string().as_bytes()));
        assert_eq!(other.iter().count(), MOST);
    }
}
