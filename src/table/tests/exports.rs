//! An export taken step by step while the table changes, and the effects since its first step on top: the table.

use proptest::prelude::{any, prop_assert_eq, proptest};
use proptest::{collection, sample};

use super::{Held, Keys, Step, TokenMap, key_bytes, keys_of, step_both, steps, take_apart};
use crate::table::effect::Effect;
use crate::table::tests::model::{Changes, Model};
use crate::table::{Moment, NewDeadline, Position, Table};

/// Puts what an export shows into a table of its own.
fn take(table: &Table, position: Position, count: usize, into: &Table) -> Option<Position> {
    table.export(position, count, &mut |effect| into.apply(effect))
}

fn tokens_of(table: &Table, now: u64) -> TokenMap {
    let mut tokens = TokenMap::new();
    table.for_each_token(&mut |key, token, used| {
        if used.deadline > now {
            tokens.insert((key.map(<[u8]>::to_vec), token.to_vec()), used);
        }
    });
    tokens
}

proptest! {
    #[test]
    fn an_export_during_changes_and_their_effects_are_the_table(
        before in steps(),
        during in steps(),
        counts in collection::vec(1..60_usize, 1..20),
        pace in 1..12_usize,
        flush_at in proptest::option::of(0..150_usize),
        renames in collection::vec((any::<sample::Index>(), 0..48_usize), 0..8),
    ) {
        let (table, loaded) = (Table::with_seed(41), Table::with_seed(42));
        let (mut model, mut changes, mut now_ms) = (Model::default(), Changes::default(), 1_000);
        let (mut position, mut began, mut counts) = (None, None, counts.iter().cycle());
        let renames: Vec<(usize, usize)> =
            renames.iter().map(|(at, key)| (before.len() + at.index(during.len()), *key)).collect();
        for (index, (passed, number, step)) in before.iter().chain(&during).enumerate() {
            now_ms += passed;
            let mut at = Moment { now_ms, effects: &mut changes };
            if Some(index) == flush_at.map(|at| before.len() + at) {
                table.flush(&mut at);
                model.flush();
            }
            take_apart(*number, step, |number, step| {
                let bytes = key_bytes(number);
                let key = table.key(&bytes);
                let hash = match step {
                    Step::UseToken(false, token, _) => table.token_hash(&[*token]),
                    _ => key.hash,
                };
                step_both(&mut table.lock(hash), &mut model, key, step, &mut at);
            });
            // What a rename of a string does, under one lock after the other: nobody here looks in between.
            for &(_, from) in renames.iter().filter(|(at, _)| *at == index) {
                let (bytes, target) = (key_bytes(from), key_bytes(from + 1));
                let (key, target) = (table.key(&bytes), table.key(&target));
                let held = table.lock(key.hash).get(key, &mut at).map(Held::of);
                prop_assert_eq!(&held, &model.look(key.bytes, now_ms).map(|(held, _)| held.clone()));
                if let Some(Held::Int(number)) = held {
                    let text = number.to_string();
                    table.lock(target.hash).set(target, text.as_bytes(), NewDeadline::Clear, &mut at);
                    model.set(target.bytes, text.as_bytes(), NewDeadline::Clear, now_ms);
                    table.lock(key.hash).remove(key, &mut at);
                    model.remove(key.bytes, now_ms);
                }
            }
            if index == before.len() {
                began = Some(changes.0.len());
                position = Some(Position::START);
            }
            if index >= before.len() && index % pace == 0 && let Some(here) = position {
                let count = *counts.next().expect("it goes round");
                position = take(&table, here, count, &loaded);
                // Segments in which nothing is are passed by quickly.
                for _ in 0..30 {
                    position = position.and_then(|here| take(&table, here, count, &loaded));
                }
            }
        }
        while let Some(here) = position {
            position = take(&table, here, 7, &loaded);
        }
        for change in &changes.0[began.expect("there is a step during the export")..] {
            loaded.apply(&change.effect());
        }
        prop_assert_eq!(keys_of(&loaded), keys_of(&table));
        prop_assert_eq!(tokens_of(&loaded, now_ms), tokens_of(&table, now_ms));
        prop_assert_eq!(loaded.deadlines(), table.deadlines());
    }
}

#[test]
fn a_quiet_table_is_shown_exactly() {
    let (table, loaded) = (Table::with_seed(43), Table::with_seed(44));
    let mut changes = Changes::default();
    let at = &mut Moment { now_ms: 1, effects: &mut changes };
    for number in 0..20_000 {
        let bytes = key_bytes(number);
        let key = table.key(&bytes);
        let deadline = if number % 3 == 0 { NewDeadline::At(number as u64) } else { NewDeadline::Clear };
        table.lock(key.hash).set(key, number.to_string().as_bytes(), deadline, at);
    }
    let (mut position, mut steps, mut most) = (Some(Position::START), 0, 0);
    while let Some(here) = position {
        let mut shown = 0;
        position = table.export(here, 64, &mut |effect: &Effect<'_>| {
            shown += 1;
            loaded.apply(effect);
        });
        (steps, most) = (steps + 1, most.max(shown));
    }
    assert_eq!(keys_of(&loaded), keys_of(&table));
    assert!(most < 200, "{most} keys in one of {steps} steps");
    assert_ne!(keys_of(&table), Keys::new());
}

/// A removed field may take a hash with it that has others in the table which the export saw later: its next field brings
/// back the deadline.
#[test]
fn a_hash_that_is_made_anew_has_its_deadline() {
    type Work<'w> = &'w dyn Fn(&Table, &mut Moment<'_>);
    let key = b"hash".as_slice();
    let set = |table: &Table, field: &[u8], at: &mut Moment<'_>| {
        let key = table.key(key);
        table.lock(key.hash).set_field(key, field, b"1", at).expect("it is a hash")
    };
    let remove = |table: &Table, field: &[u8], at: &mut Moment<'_>| {
        let key = table.key(key);
        table.lock(key.hash).remove_field(key, field, at).expect("it is a hash")
    };
    let until = |table: &Table, deadline, at: &mut Moment<'_>| {
        let key = table.key(key);
        table.lock(key.hash).set_deadline(key, Some(deadline), at)
    };
    let cases: [(Work<'_>, Work<'_>); 2] = [
        (
            &|table, at| {
                set(table, b"a", at);
                set(table, b"b", at);
                until(table, 900, at);
            },
            &|table, at| {
                remove(table, b"a", at);
                set(table, b"a", at);
                remove(table, b"b", at);
            },
        ),
        (
            &|table, at| {
                set(table, b"a", at);
            },
            &|table, at| {
                until(table, 900, at);
                remove(table, b"a", at);
                set(table, b"b", at);
            },
        ),
    ];
    for (before, during) in cases {
        let (table, loaded, mut changes) = (Table::with_seed(45), Table::with_seed(46), Changes::default());
        before(&table, &mut Moment { now_ms: 1, effects: &mut changes });
        let began = changes.0.len();
        during(&table, &mut Moment { now_ms: 1, effects: &mut changes });
        let mut position = Some(Position::START);
        while let Some(here) = position {
            position = take(&table, here, 7, &loaded);
        }
        changes.0[began..].iter().for_each(|change| loaded.apply(&change.effect()));
        assert_eq!(keys_of(&loaded), keys_of(&table));
    }
}
