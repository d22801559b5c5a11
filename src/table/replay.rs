//! Effects done again, many in a row: what the next ones need of memory is on its way while the first are done.
//!
//! Sorting hundreds of thousands of them by their hashes, so that those in the same lines come together, was tried and is
//! slower: a table that grows is filled evenly or not well.

use arrayvec::ArrayVec;

use super::effect::{Effect, REPLAYED, Replay};
use super::lines::{MOST, ONE};
use super::store::Store;
use super::{Key, Memo, Table};

/// Does effects again on a table: see [`Table::apply`].
#[derive(Debug)]
pub struct Replayer<'t> {
    pub(super) table: &'t Table,
    /// Of the last key.
    pub(super) memo: Memo,
    /// What the table was told to expect last.
    pub(super) ahead: u8,
}

impl Replay for Replayer<'_> {
    fn replay(&mut self, effects: &[Effect<'_>]) {
        for effects in effects.chunks(REPLAYED) {
            let keys = effects.iter().map(|effect| {
                let key = self.table.key_after(&mut self.memo, effect.changed_key()?);
                self.table.prefetch(key.hash);
                Some(key)
            });
            let keys: ArrayVec<Option<Key<'_>>, REPLAYED> = keys.collect();
            for (key, effect) in keys.into_iter().zip(effects) {
                self.table.apply_to(key, effect);
            }
        }
    }

    fn expect(&mut self, given: u64, all: u64) {
        let ahead = all.saturating_mul(ONE.into()).checked_div(given).unwrap_or(u64::MAX);
        let ahead = u8::try_from(ahead).unwrap_or(MOST).clamp(ONE, MOST);
        // Locks every segment, so only where it makes a difference.
        if ahead != self.ahead {
            self.ahead = ahead;
            self.table.expect(ahead);
        }
    }
}

impl Drop for Replayer<'_> {
    fn drop(&mut self) {
        if self.ahead != 0 {
            self.table.tighten();
        }
    }
}

impl Table {
    /// For each key that there is there will be so many 16ths: see [`Lines::expect`](super::lines::Lines::expect).
    fn expect(&self, ahead: u8) {
        self.guards().for_each(|mut segment| segment.expect(ahead));
    }

    /// What was expected has come.
    fn tighten(&self) {
        self.guards().for_each(|mut segment| segment.tighten());
    }
}

impl Store {
    /// See [`Lines::expect`](super::lines::Lines::expect).
    pub(super) fn expect(&mut self, ahead: u8) {
        self.ahead = ahead;
        self.packed.expect(ahead);
        self.numbered.iter_mut().flatten().for_each(|counters| counters.expect(ahead));
    }

    /// See [`Lines::tighten`](super::lines::Lines::tighten).
    pub(super) fn tighten(&mut self) {
        self.ahead = ONE;
        self.packed.tighten(&self.hashing);
        self.publish_packed();
        self.resized = true;
        for template in 0..self.numbered.len() {
            if self.numbered[template].is_some() {
                self.change_lines(template, |counters, orphans| {
                    counters.tighten(orphans);
                    true
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, Replay, Table};
    use crate::table::{Scalar, Value};

    /// Everything in a table, in an order that does not depend on its seed.
    fn content(table: &Table) -> Vec<(Vec<u8>, String, Option<u64>)> {
        let mut all = Vec::new();
        table.for_each(&mut |key, value, deadline| {
            let value = match value {
                Value::Hash(fields) => {
                    let mut shown = Vec::new();
                    fields.for_each(&mut |field, value| shown.push(format!("{field:?}{value:?}")));
                    shown.sort();
                    format!("{shown:?}")
                }
                Value::Int(_) | Value::Str(_) | Value::Throttle(_) | Value::Window(_) => format!("{value:?}"),
            };
            all.push((key.to_vec(), value, deadline));
        });
        all.sort();
        all
    }

    /// Counters with these keys, each with a number of its own.
    fn counters(keys: &[String]) -> Vec<Effect<'_>> {
        keys.iter()
            .zip(0..)
            .map(|(key, number)| Effect::Set {
                key: key.as_bytes(),
                value: Value::Int(number),
                deadline: None,
            })
            .collect()
    }

    /// Reads so many counters in, telling how far it is.
    fn read_in(effects: &[Effect<'_>], telling: bool) -> Table {
        let table = Table::with_seed(3);
        let mut replayer = table.replayer();
        for (done, effects) in effects.chunks(500).enumerate() {
            replayer.replay(effects);
            if telling {
                replayer.expect(500 * (done as u64 + 1), MANY as u64);
            }
        }
        drop(replayer);
        table
    }

    #[test]
    fn who_knows_what_comes_moves_little_and_takes_no_more() {
        let keys: Vec<String> = (0..MANY).map(|id| format!("article:{id}")).collect();
        let effects = counters(&keys);
        let (told, untold) = (read_in(&effects, true), read_in(&effects, false));
        assert!(content(&told) == content(&untold));
        assert!(told.moves() < untold.moves() / 4, "{} of {}", told.moves(), untold.moves());
        let bytes = |table: &Table| table.census().numbered_bytes;
        assert!(bytes(&told) < bytes(&untold) * 115 / 100, "{} for {}", bytes(&told), bytes(&untold));
    }

    #[test]
    fn a_wrong_guess_takes_no_memory_in_the_end() {
        // All of one kind come first, and then those of another.
        let keys: Vec<String> =
            (0..MANY).map(|id| format!("{}:{id}", if id < MANY / 8 { "user" } else { "article" })).collect();
        let effects = counters(&keys);
        let (told, untold) = (read_in(&effects, true), read_in(&effects, false));
        assert!(content(&told) == content(&untold));
        let bytes = |table: &Table| table.census().numbered_bytes;
        assert!(bytes(&told) < bytes(&untold) * 115 / 100, "{} for {}", bytes(&told), bytes(&untold));
    }

    /// Effects of a run, so many that arrays grow and templates are admitted meanwhile.
    const MANY: usize = 64 * 1024;

    #[test]
    fn many_effects_come_to_what_they_come_to_one_by_one() {
        let keys: Vec<String> = (0..MANY / 2).map(|id| format!("article:{}", id % (MANY / 5))).collect();
        let mut effects = Vec::new();
        for (number, key) in (0_i64..).zip(&keys) {
            let key = key.as_bytes();
            effects.push(match number % 7 {
                0 => Effect::Deadline { key, deadline: Some(5_000_000_000_000) },
                1 => Effect::Field { key, field: b"f", value: Scalar::Int(number), deadline: None },
                2 => Effect::Token { key: None, token: key, fingerprint: 1, value: number, deadline: 9 },
                3..7 => Effect::Set { key, value: Value::Int(number), deadline: None },
                _ => unreachable!("a remainder of seven"),
            });
        }
        let before = effects.clone();
        effects.push(Effect::Flush);
        effects.extend(before.iter().rev());
        effects.extend(before);
        let (one_by_one, together) = (Table::with_seed(1), Table::with_seed(2));
        effects.iter().for_each(|effect| one_by_one.apply(effect));
        together.replayer().replay(&effects);
        assert!(effects.len() > MANY && content(&one_by_one) == content(&together));
        assert_eq!(one_by_one.tokens(), together.tokens());
    }
}
