//! Eight threads on one table, with keys of their own and shared ones, everything that changes it, deadlines that pass
//! and growth: totals against what each thread did.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::table::effect::Discard;
use crate::table::{Cursor, Key, Moment, NewDeadline, Scalar, SegmentSet, Sweep, Table, Value};

const THREADS: usize = 8;
const STEPS: u64 = 6_000;
const SHARED: u64 = 64;

/// What all threads together have added to the shared counters.
#[derive(Default)]
struct Added {
    counters: [AtomicU64; 4],
    fields: AtomicU64,
}

fn shared(kind: usize, n: u64) -> String {
    match kind {
        0 => format!("shared:{n}"),
        1 => format!("shared:{}:of:{}", n % 8, n / 8),
        2 => format!("shared-{}", "x".repeat(usize::try_from(n).unwrap())),
        _ => format!("wide:{}", (1 << 40) + n),
    }
}

/// One thread's work. The numbers that it keeps under its own keys are checked on the way.
fn work(table: &Table, added: &Added, thread: usize) {
    let mut random = 0x9E37_79B9 + thread as u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut own = std::collections::BTreeMap::new();
    for now_ms in 1..=STEPS {
        let at = &mut Moment { now_ms, effects: &mut Discard };
        let kind = usize::try_from(draw(4)).unwrap();
        match draw(8) {
            0 | 1 => {
                let name = shared(kind, draw(SHARED));
                let key = table.key(name.as_bytes());
                table.prefetch(key.hash);
                table.lock(key.hash).add(key, 3, at).unwrap();
                // Relaxed: read when all threads have ended.
                added.counters[kind].fetch_add(3, Ordering::Relaxed);
            }
            2 => {
                let names: Vec<String> = (0..5).map(|_| shared(kind, draw(SHARED))).collect();
                let keys: Vec<Key<'_>> = names.iter().map(|name| table.key(name.as_bytes())).collect();
                let mut set = SegmentSet::default();
                keys.iter().for_each(|key| set.insert(key.hash));
                let mut guards = table.lock_all(&set);
                for key in keys {
                    guards.segment(key.hash).add(key, 1, at).unwrap();
                }
                added.counters[kind].fetch_add(5, Ordering::Relaxed);
            }
            3 => {
                let name = format!("row:{}", draw(8));
                let key = table.key(name.as_bytes());
                let field = format!("f{}", draw(100));
                table.lock(key.hash).add_field(key, field.as_bytes(), 2, at).unwrap();
                added.fields.fetch_add(2, Ordering::Relaxed);
            }
            4 => {
                // Gone by itself, soon: whoever looks later finds nothing or a new one.
                let name = format!("passing:{}", draw(500));
                let key = table.key(name.as_bytes());
                table.lock(key.hash).set(key, b"7", NewDeadline::At(now_ms + draw(9)), at);
            }
            5 | 6 => {
                let name = format!("own:{thread}:{}", draw(3_000));
                let key = table.key(name.as_bytes());
                let sum = table.lock(key.hash).add(key, 1, at).unwrap();
                let expected = own.entry(name).or_insert(0);
                *expected += 1;
                assert_eq!(sum, *expected);
            }
            _ => {
                let name = format!("own:{thread}:{}", draw(3_000));
                let key = table.key(name.as_bytes());
                assert_eq!(table.lock(key.hash).remove(key, at), own.remove(&name).is_some());
            }
        }
    }
    for (name, expected) in own {
        let key = table.key(name.as_bytes());
        let mut guard = table.lock(key.hash);
        let value = guard.get(key, &mut Moment { now_ms: 1, effects: &mut Discard });
        assert_eq!(value, Some(Value::Int(expected)), "{name}");
    }
}

#[test]
fn totals_are_exact_whatever_eight_threads_do() {
    let table = Table::with_seed(21);
    let added = Added::default();
    let (start, over) = (Barrier::new(THREADS), AtomicBool::new(false));
    thread::scope(|scope| {
        // Meanwhile others sweep, walk and count.
        let upkeep = scope.spawn(|| {
            let mut sweep = Sweep::of_thread(1);
            let mut passes = 0;
            while !over.load(Ordering::Relaxed) || passes == 0 {
                table.expire(&mut sweep, 100, &mut Moment { now_ms: STEPS / 2, effects: &mut Discard });
                let mut cursor = Some(Cursor::START);
                while let Some(at) = cursor {
                    cursor = table.walk(at, 50, &mut |key, _, _| assert!(!key.is_empty()));
                }
                assert!(table.heap_bytes() > 0 && table.len() < 100_000);
                passes += 1;
            }
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (table, added, start) = (&table, &added, &start);
                scope.spawn(move || {
                    start.wait();
                    work(table, added, thread);
                })
            })
            .collect();
        for worker in workers {
            worker.join().expect("a worker does not panic");
        }
        over.store(true, Ordering::Relaxed);
        upkeep.join().expect("upkeep does not panic");
    });
    for (kind, added) in added.counters.iter().enumerate() {
        let mut total = 0;
        for n in 0..SHARED {
            let name = shared(kind, n);
            let key = table.key(name.as_bytes());
            let mut guard = table.lock(key.hash);
            if let Some(Value::Int(number)) = guard.get(key, &mut Moment { now_ms: 1, effects: &mut Discard })
            {
                total += number;
            }
        }
        assert_eq!(u64::try_from(total).unwrap(), added.load(Ordering::Relaxed), "counters of kind {kind}");
    }
    let mut fields = 0;
    table.for_each(&mut |_, value, _| {
        if let Value::Hash(row) = value {
            row.for_each(&mut |_, value| match value {
                Scalar::Int(number) => fields += number,
                other => panic!("a field holds {other:?}"),
            });
        }
    });
    assert_eq!(u64::try_from(fields).unwrap(), added.fields.load(Ordering::Relaxed));
    // In the end everything that could pass has.
    let mut sweep = Sweep::of_thread(0);
    while table.expire(&mut sweep, 1_000, &mut Moment { now_ms: u64::MAX - 1, effects: &mut Discard }) {}
    assert_eq!(table.deadlines(), 0);
    (0..super::super::SEGMENTS).for_each(|segment| table.lock_segment(segment).store().check());
}
