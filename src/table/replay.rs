//! Effects done again, many in a row: what the next ones need of memory is on its way while the first are done.
//!
//! Sorting hundreds of thousands of them by their hashes, so that those in the same lines come together, was tried and is
//! slower: a table that grows is filled evenly or not well.

use arrayvec::ArrayVec;

use super::effect::{Effect, REPLAYED, Replay};
use super::{Key, Memo, Table};

/// Does effects again on a table: see [`Table::apply`].
#[derive(Debug)]
pub struct Replayer<'t> {
    pub(super) table: &'t Table,
    /// Of the last key.
    pub(super) memo: Memo,
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
