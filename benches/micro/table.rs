//! Adding to counters in random order, straight on the table: with the keys of a batch fetched ahead, and without.
//!
//! A thousand counters stay in the nearest caches; a million (64 MiB of slots) come from memory, which is what
//! fetching ahead is for.

use tallyring::table::effect::Discard;
use tallyring::table::{Key, Moment, Table};

use crate::shuffle::shuffled;
use crate::timing::Bench;

/// Additions per call, and keys fetched ahead.
const COUNT: u32 = 32;

/// Runs the cases.
pub(crate) fn run(bench: &mut Bench) {
    for keys in [1_000, 1_000_000] {
        let [ahead, plain] =
            ["fetched ahead", "one by one"].map(|how| format!("table::add, {keys} keys, {how}"));
        if !bench.wants(&ahead) && !bench.wants(&plain) {
            continue;
        }
        let names: Vec<[u8; 14]> = shuffled(bench.scaled(keys)).into_iter().map(name).collect();
        let (batches, _) = names.as_chunks::<{ COUNT as usize }>();
        let table = Table::with_seed(1);
        names.iter().for_each(|name| add(&table, table.key(name)));
        let mut turn = batches.iter().cycle();
        bench.case(&ahead, COUNT, || {
            let batch = turn.next().expect("there are batches, and they go round");
            let keys = batch.each_ref().map(|name| {
                let key = table.key(name);
                table.prefetch(key.hash);
                key
            });
            keys.iter().for_each(|key| add(&table, *key));
        });
        bench.case(&plain, COUNT, || {
            let batch = turn.next().expect("there are batches, and they go round");
            batch.iter().for_each(|name| add(&table, table.key(name)));
        });
    }
}

/// The key of a counter.
fn name(index: u32) -> [u8; 14] {
    let text = format!("counter:{index:06}");
    text.as_bytes().try_into().expect("eight letters and six digits")
}

fn add(table: &Table, key: Key<'_>) {
    let mut at = Moment { now_ms: 1, effects: &mut Discard };
    table.lock(key.hash).add(key, 1, &mut at).expect("these counters stay small");
}
