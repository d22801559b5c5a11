//! Why we lose, written by hand: `reasons.md`. Each heading of the second level is a key, the text below it the reason.
//!
//! A key is a row, or a row and words that all stand in the loss's shape and what is compared; the key of most words wins.

use std::fs;
use std::path::Path;

use super::losses::Loss;

/// The reasons, by key.
pub(super) struct Reasons(Vec<(String, String)>);

impl Reasons {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self::parse(&text))
    }

    /// Reads a text.
    pub(super) fn parse(text: &str) -> Self {
        let mut reasons: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            if let Some(key) = line.strip_prefix("## ") {
                reasons.push((key.trim().to_owned(), String::new()));
            } else if let Some((_, reason)) = reasons.last_mut().filter(|_| !line.trim().is_empty()) {
                if !reason.is_empty() {
                    reason.push(' ');
                }
                reason.push_str(line.trim());
            }
        }
        reasons.retain(|(_, reason)| !reason.is_empty());
        Self(reasons)
    }

    /// The reason for a loss, if one is written down.
    pub(super) fn of(&self, loss: &Loss<'_>) -> Option<&str> {
        self.key(loss).map(|(_, reason)| reason.as_str())
    }

    fn key(&self, loss: &Loss<'_>) -> Option<&(String, String)> {
        let place = format!("{} {}", loss.shape, loss.what);
        let fits = |(key, _): &&(String, String)| {
            let mut words = key.split(' ');
            words.next() == Some(loss.row) && words.all(|word| names(&place, word))
        };
        self.0.iter().filter(fits).max_by_key(|(key, _)| key.split(' ').count())
    }

    /// Keys that no loss needs.
    pub(super) fn unused<'s>(&'s self, losses: &[Loss<'_>]) -> Vec<&'s str> {
        let needed: Vec<&String> =
            losses.iter().filter_map(|loss| self.key(loss)).map(|(key, _)| key).collect();
        self.0.iter().map(|(key, _)| key).filter(|key| !needed.contains(key)).map(String::as_str).collect()
    }
}

/// Whether a word stands in a text, between blanks and punctuation.
fn names(text: &str, word: &str) -> bool {
    text.split([' ', ',', ':']).any(|other| other == word)
}

#[cfg(test)]
mod tests {
    use super::Reasons;
    use crate::compare::report::choice::Chosen;
    use crate::compare::report::choice::tests::record;
    use crate::compare::report::losses;

    #[test]
    fn the_most_exact_key_wins_and_a_useless_one_is_named() {
        let records = [record("one", "2026-01-02", "bb", "", 0.75)];
        let losses = losses::of(&Chosen::of(&records));
        let text = "# Why\n\nA preface.\n\n## T1\nin\ngeneral\n\n## T1 redis CPU/op\nmore exact\n\n## T2\nelse\n\n## T3\n";
        let reasons = Reasons::parse(text);
        assert_eq!(reasons.of(&losses[0]), Some("more exact"));
        assert_eq!(reasons.unused(&losses), ["T1", "T2"]);
        assert_eq!(Reasons::parse("").of(&losses[0]), None);
    }
}
