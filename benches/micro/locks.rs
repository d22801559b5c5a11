//! The locks of the table's segments: taken by one thread, and while a second does the same on the same table.
//!
//! What is timed is the first thread's share: ideally the second changes nothing. What the second took per key is printed
//! beside, because it tells whether it ran at the same time: on one processor, or a busy one, it did not. Keys lie in all segments, so that two threads
//! seldom want the same lock; a single key is the worst that clients can do.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use tallyring::table::effect::Discard;
use tallyring::table::{Key, Moment, SegmentSet, Table};

use crate::shuffle::shuffled;
use crate::timing::Bench;

/// Locks taken per call.
const COUNT: u32 = 64;

/// Keys of a command that names several.
const TOGETHER: usize = 10;

/// Something done to some keys of a table.
type Use = fn(&Table, &[Key<'_>]);

/// Runs the cases.
pub(crate) fn run(bench: &mut Bench) {
    let table = Table::with_seed(1);
    for (keys, count) in [("1 key", 1), ("1000 keys", 1000)] {
        let names: Vec<String> =
            shuffled(count).into_iter().map(|index| format!("counter:{index}")).collect();
        let keys = format!("{keys} in all");
        let uses: [(String, Use); 3] = [
            (format!("take and give back, {keys}"), take),
            (format!("add, {keys}"), add),
            (format!("add to {TOGETHER} together, {keys}"), add_together),
        ];
        for (what, use_keys) in uses {
            for threads in [1, 2] {
                let plural = if threads == 1 { "thread" } else { "threads" };
                let name = format!("locks::{what}, {threads} {plural}");
                if bench.wants(&name) {
                    measure(bench, &name, &table, &names, threads > 1, use_keys);
                }
            }
        }
    }
}

/// Times `use_keys`, a second thread doing the same from the other end of the keys where `beside` says so.
fn measure(bench: &mut Bench, name: &str, table: &Table, names: &[String], beside: bool, use_keys: Use) {
    // As many as a call takes, whatever there are.
    let enough = names.iter().cycle().take(names.len().max(COUNT as usize));
    let forth: Vec<Key<'_>> = enough.map(|name| table.key(name.as_bytes())).collect();
    let back: Vec<Key<'_>> = forth.iter().rev().copied().collect();
    let mut turn = forth.chunks_exact(COUNT as usize).cycle();
    let mut call = || use_keys(table, turn.next().expect("there are chunks, and they go round"));
    if !beside {
        bench.case(name, COUNT, call);
        return;
    }
    // Relaxed throughout: nothing is handed over with them.
    let (stop, used, start) = (AtomicBool::new(false), AtomicU64::new(0), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            let mut turn = back.chunks_exact(COUNT as usize).cycle();
            while !stop.load(Ordering::Relaxed) {
                use_keys(table, turn.next().expect("there are chunks, and they go round"));
                used.fetch_add(u64::from(COUNT), Ordering::Relaxed);
            }
        });
        start.wait();
        let began = Instant::now();
        bench.case(name, COUNT, &mut call);
        let nanoseconds = began.elapsed().as_secs_f64() * 1e9;
        stop.store(true, Ordering::Relaxed);
        let each = nanoseconds / used.load(Ordering::Relaxed) as f64;
        bench.note(&format!("    meanwhile the second thread: {each:.2} ns"));
    });
}

fn take(table: &Table, keys: &[Key<'_>]) {
    keys.iter().for_each(|key| drop(table.lock(key.hash)));
}

fn add(table: &Table, keys: &[Key<'_>]) {
    let mut at = Moment { now_ms: 1, effects: &mut Discard };
    for key in keys {
        table.lock(key.hash).add(*key, 1, &mut at).expect("these counters stay small");
    }
}

fn add_together(table: &Table, keys: &[Key<'_>]) {
    let mut at = Moment { now_ms: 1, effects: &mut Discard };
    for keys in keys.chunks(TOGETHER) {
        let mut set = SegmentSet::default();
        keys.iter().for_each(|key| set.insert(key.hash));
        let mut guards = table.lock_all(&set);
        for key in keys {
            guards.segment(key.hash).add(*key, 1, &mut at).expect("these counters stay small");
        }
    }
}
