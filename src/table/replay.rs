//! Effects done again, many in a row: what the next ones need of memory is on its way while the first are done, and where
//! there are very many, those that need the same memory are done together.
//!
//! A snapshot is in the order of hashes under another seed, which is none under this one: key by key, each would wait for
//! lines that nobody has touched for long. Sorted by the first bits of their hashes, a bucket's worth of lines stays in
//! the processor's own cache until all its keys are done.

use arrayvec::ArrayVec;

use super::effect::{Effect, REPLAYED, Replay};
use super::{Key, Memo, Table};

/// Effects from which on they are sorted.
const MANY: usize = 64 * 1024;

/// Bits of a hash by which they are: with ten million counters some hundred lines to a bucket.
const BUCKET_BITS: u32 = 14;

/// Does effects again on a table: see [`Table::apply`].
#[derive(Debug)]
pub struct Replayer<'t> {
    pub(super) table: &'t Table,
    /// Of the last key.
    pub(super) memo: Memo,
}

impl Replay for Replayer<'_> {
    fn replay(&mut self, effects: &[Effect<'_>]) {
        // Behind a flush nothing is as it was before.
        for part in effects.split_inclusive(|effect| matches!(effect, Effect::Flush)) {
            if part.len() < MANY {
                self.in_turn(part.iter());
            } else {
                self.sorted(part);
            }
        }
    }
}

impl Replayer<'_> {
    fn in_turn<'e>(&mut self, effects: impl Iterator<Item = &'e Effect<'e>>) {
        let mut effects = effects.peekable();
        while effects.peek().is_some() {
            let batch = effects.by_ref().take(REPLAYED).map(|effect| {
                let key = effect.changed_key().map(|key| self.table.key_after(&mut self.memo, key));
                if let Some(key) = key {
                    self.table.prefetch(key.hash);
                }
                (key, effect)
            });
            let batch: ArrayVec<(Option<Key<'_>>, &Effect<'_>), REPLAYED> = batch.collect();
            for (key, effect) in batch {
                self.table.apply_to(key, effect);
            }
        }
    }

    /// Bucket by bucket, those of one bucket in their order: so are those of one key. What concerns no key comes last, in
    /// its order: tokens are nothing to keys, and a flush is the last of all.
    fn sorted(&mut self, effects: &[Effect<'_>]) {
        const BUCKETS: usize = 1 << BUCKET_BITS;
        let buckets: Vec<u16> = effects.iter().map(|effect| self.bucket(effect)).collect();
        let mut ends = vec![0_u32; BUCKETS + 1];
        buckets.iter().for_each(|bucket| ends[usize::from(*bucket)] += 1);
        let mut sum = 0;
        for end in &mut ends {
            sum += std::mem::replace(end, sum);
        }
        let mut order = vec![0_u32; effects.len()];
        for (at, bucket) in (0..).zip(&buckets) {
            let place = &mut ends[usize::from(*bucket)];
            order[*place as usize] = at;
            *place += 1;
        }
        self.in_turn(order.iter().map(|at| &effects[*at as usize]));
    }

    /// The bucket of an effect: by its key's hash, or the last one.
    fn bucket(&mut self, effect: &Effect<'_>) -> u16 {
        let Some(key) = effect.changed_key() else { return 1 << BUCKET_BITS };
        let bits = self.table.key_after(&mut self.memo, key).hash.bits();
        u16::try_from(bits >> (u64::BITS - BUCKET_BITS)).expect("so few bits fit")
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, MANY, Replay, Table};
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
