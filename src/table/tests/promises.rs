//! What the table promises as a whole: how much an operation moves, what a key costs, what walks and random picks see,
//! that deadlines are kept, and that keys made to do harm do none.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use proptest::{collection, sample};

use crate::table::effect::{Discard, Effect, EffectSink, Lsn, Removal};
use crate::table::{Cursor, MOVED_ENTRIES, Moment, NewDeadline, SEGMENTS, Sweep, Table, Value};

/// Removals by their cause.
#[derive(Debug, Default)]
struct Gone {
    expired: Vec<Vec<u8>>,
    evicted: Vec<Vec<u8>>,
}

impl EffectSink for Gone {
    fn record(&mut self, effect: Effect<'_>) -> Lsn {
        match effect {
            Effect::Remove { key, cause: Removal::Expired } => self.expired.push(key.to_vec()),
            Effect::Remove { key, cause: Removal::Evicted } => self.evicted.push(key.to_vec()),
            _ => {}
        }
        0
    }
}

fn add(table: &Table, name: &str) {
    let key = table.key(name.as_bytes());
    let at = &mut Moment { now_ms: 1, effects: &mut Discard };
    table.lock(key.hash).add(key, 1, at).expect("these counters stay small");
}

fn put(table: &Table, name: &str, value: &str, deadline: NewDeadline) {
    let key = table.key(name.as_bytes());
    let at = &mut Moment { now_ms: 1, effects: &mut Discard };
    table.lock(key.hash).set(key, value.as_bytes(), deadline, at);
}

fn remove(table: &Table, name: &str) -> bool {
    let key = table.key(name.as_bytes());
    table.lock(key.hash).remove(key, &mut Moment { now_ms: 1, effects: &mut Discard })
}

fn number(table: &Table, name: &str) -> Option<i64> {
    let key = table.key(name.as_bytes());
    let mut guard = table.lock(key.hash);
    match guard.get(key, &mut Moment { now_ms: 1, effects: &mut Discard }) {
        Some(Value::Int(number)) => Some(number),
        None => None,
        other => panic!("{name} holds {other:?}"),
    }
}

/// Letters that differ for each number, and no digit.
fn letters(mut number: usize) -> String {
    let mut name = String::new();
    for _ in 0..6 {
        name.push(char::from(b'a' + u8::try_from(number % 26).unwrap()));
        number /= 26;
    }
    name
}

#[test]
fn no_operation_moves_more_than_the_bound() {
    let table = Table::with_seed(1);
    let mut most = 0;
    let mut before = 0;
    let mut step = |work: &dyn Fn(&Table)| {
        work(&table);
        // The sum over all segments: only one of them was worked on.
        let moves = table.moves();
        most = most.max(moves - before);
        before = moves;
    };
    // One segment's worth of keys, so that its arrays become large; the sum is taken of few segments that hold any.
    let in_one: Vec<String> = (0..4_000_000)
        .map(|n| format!("views:{n}"))
        .filter(|name| table.key(name.as_bytes()).hash.segment() == 7)
        .take(6_000)
        .collect();
    for (n, name) in in_one.iter().enumerate() {
        step(&|table| add(table, name));
        if n % 3 == 0 {
            step(&|table| put(table, name, "9000000000", NewDeadline::At(1 << 40)));
            step(&|table| put(table, &format!("{name}x"), "text", NewDeadline::Clear));
        }
    }
    for (n, name) in in_one.iter().enumerate() {
        step(&|table| assert!(remove(table, name)));
        if n % 3 == 0 {
            step(&|table| assert!(remove(table, &format!("{name}x"))));
        }
    }
    assert!(table.is_empty() && most > 100, "{most}");
    assert!(most <= MOVED_ENTRIES as u64, "{most} entries were moved at once");
}

#[test]
fn memory_has_no_cliff() {
    for kind in ["views:article:", "~"] {
        let table = Table::with_seed(2);
        let empty = table.heap_bytes();
        let mut points = Vec::new();
        for n in 0..600_000 {
            if kind == "~" {
                add(&table, &format!("~~~~~~~~~~{}", letters(n)));
            } else {
                add(&table, &format!("{kind}{n}"));
            }
            if n > 100_000 && n % 5_000 == 0 {
                points.push((table.heap_bytes() - empty) as f64 / f64::from(u32::try_from(n).unwrap()));
            }
        }
        let bound = if kind == "~" { 36.0 } else { 16.0 };
        let mut least = f64::MAX;
        for point in points {
            // What all keys have in common weighs less and less.
            assert!(
                point < bound && point < 1.08 * least,
                "{kind}: {point:.1} bytes per key after {least:.1}"
            );
            least = least.min(point);
        }
    }
}

#[test]
fn hostile_keys_cost_what_packed_keys_cost() {
    let table = Table::with_seed(3);
    let empty = table.heap_bytes();
    let mut random = 1_u64;
    let mut bytes = 0;
    for n in 0..200_000_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let name = match n % 3 {
            // A random identifier, digits everywhere, a template of its own.
            0 => format!("{:08x}-{:04x}-{:016x}", random >> 32, random >> 48, random.rotate_left(20)),
            1 => format!(
                "{}.{}.{}.{}:{}",
                random >> 56,
                random >> 48 & 255,
                random >> 40 & 255,
                random >> 32 & 255,
                n
            ),
            _ => format!("{}:counter:{}:of", letters(usize::try_from(n).unwrap()), n % 7),
        };
        bytes += name.len();
        put(&table, &name, "5", NewDeadline::Clear);
    }
    let (templates, _) = table.templates();
    assert!(templates <= 256);
    let per_key = (table.heap_bytes() - empty - bytes) as f64 / 200_000.0;
    assert!(per_key < 18.0, "{per_key:.1} bytes beside the key's own");
    // What is useful is still recognised.
    for n in 0..20_000 {
        add(&table, &format!("views:article:{n}"));
    }
    assert!(table.census().numbered > 15_000, "{:?}", table.census());
}

#[test]
fn a_template_without_keys_gives_its_place_back() {
    let table = Table::with_seed(4);
    for n in 0..20_000 {
        add(&table, &format!("day:{n}"));
    }
    assert_eq!(table.templates().0, 1);
    for n in 0..20_000 {
        assert!(remove(&table, &format!("day:{n}")));
    }
    let mut sweep = Sweep::of_thread(0);
    for now_ms in [1_000_000, 2_000_000] {
        assert!(!table.expire(&mut sweep, usize::MAX, &mut Moment { now_ms, effects: &mut Discard }));
    }
    assert_eq!(table.templates().0, 0);
    assert_eq!(table.next_task(), u64::MAX);
}

#[test]
fn a_key_older_than_its_template_is_one_key() {
    let table = Table::with_seed(5);
    put(&table, "views:article:5", "100", NewDeadline::Clear);
    put(&table, "views:article:6", "text", NewDeadline::Clear);
    put(&table, "views:article:7", "7", NewDeadline::At(1 << 50));
    let packed = table.census().packed;
    for n in 100..20_000 {
        add(&table, &format!("views:article:{n}"));
    }
    assert_eq!(table.templates().0, 1);
    assert_eq!(number(&table, "views:article:5"), Some(100), "found where it was");
    add(&table, "views:article:5");
    assert_eq!(number(&table, "views:article:5"), Some(101));
    put(&table, "views:article:6", "9", NewDeadline::Clear);
    assert_eq!(number(&table, "views:article:6"), Some(9));
    let mut seen = BTreeMap::new();
    table.for_each(&mut |key, _, _| *seen.entry(key.to_vec()).or_insert(0) += 1);
    assert!(seen.values().all(|&times| times == 1));
    assert_eq!((seen.len(), table.len()), (19_903, 19_903));
    assert!(table.census().packed >= packed - 1);
    for n in [5, 6, 7] {
        let name = format!("views:article:{n}");
        assert!(remove(&table, &name) && !remove(&table, &name));
    }
}

#[test]
fn keys_made_for_one_seed_do_no_harm_under_another() {
    const KEYS: usize = 1_000_000;
    let (known, other) = (Table::with_seed(6), Table::with_seed(7));
    // A million keys that want to be in one sixteenth of the segments under the seed that is known.
    let crowd = (0_u64..)
        .map(|n| n.to_be_bytes().map(|byte| byte | 0x80))
        .filter(|name| known.key(name).hash.segment() < 16);
    let mut seen = BTreeSet::new();
    let mut segments = [0_u32; SEGMENTS];
    for name in crowd {
        segments[other.key(&name).hash.segment()] += 1;
        if seen.len() < 20_000 {
            seen.insert(name);
        }
        if segments.iter().sum::<u32>() as usize == KEYS {
            break;
        }
    }
    let mean = f64::from(u32::try_from(KEYS / SEGMENTS).unwrap());
    let worst = segments.iter().map(|&count| (f64::from(count) - mean).abs()).fold(0.0, f64::max);
    // By chance alone it is 5 % off. Keys that were chosen, and count up, are no chance; all that matters is that none
    // gets sixteen times its share.
    assert!(worst < mean / 4.0, "a segment is {worst} keys off the mean of {mean}");
    // Even the seed that is known keeps every one of them.
    let at = &mut Moment { now_ms: 1, effects: &mut Discard };
    for name in &seen {
        let key = known.key(name);
        known.lock(key.hash).set(key, b"text", NewDeadline::Clear, at);
    }
    assert_eq!(known.len(), seen.len());
}

#[test]
fn deadlines_of_one_second_go_within_bounded_steps() {
    let table = Table::with_seed(8);
    let empty = table.heap_bytes();
    for n in 0..60_000 {
        let deadline = NewDeadline::At(1_000_000 + n % 1_000);
        match n % 3 {
            0 => put(&table, &format!("quota:{n}"), "5", deadline),
            1 => put(&table, &format!("session:{n}:text"), "some text", deadline),
            _ => put(&table, &format!("quota:{n}"), "5000000000", deadline),
        }
    }
    put(&table, "stays", "1", NewDeadline::At(5_000_000));
    let mut sweep = Sweep::of_thread(3);
    let mut gone = Gone::default();
    assert!(table.next_task() <= 1_000_000);
    assert!(!table.expire(&mut sweep, usize::MAX, &mut Moment { now_ms: 999_999, effects: &mut gone }));
    assert_eq!(gone.expired.len(), 0, "none too early");
    let mut steps = 0;
    let mut most = 0;
    loop {
        let before = gone.expired.len();
        let more = table.expire(&mut sweep, 512, &mut Moment { now_ms: 1_001_000, effects: &mut gone });
        most = most.max(gone.expired.len() - before);
        steps += 1;
        if !more {
            break;
        }
    }
    assert_eq!((gone.expired.len(), table.len(), table.expired()), (60_000, 1, 60_000));
    assert!(most < 512 + 256 && steps < 400, "{most} keys in a step, {steps} steps");
    assert!(table.heap_bytes() < empty + 1_200_000, "{} of {empty}", table.heap_bytes());
    assert!((1_001_001..=5_000_000).contains(&table.next_task()));
}

#[test]
fn a_read_sees_no_key_that_is_due() {
    let table = Table::with_seed(9);
    for n in 0..5_000 {
        put(&table, &format!("quota:{n}"), "5", NewDeadline::At(100));
    }
    for n in 0..5_000 {
        let name = format!("quota:{n}");
        let key = table.key(name.as_bytes());
        let at = &mut Moment { now_ms: 100, effects: &mut Discard };
        match n % 3 {
            0 => assert_eq!(table.lock(key.hash).get(key, at), None),
            1 => assert_eq!(table.lock(key.hash).add(key, 1, at), Ok(1)),
            _ => assert_eq!(table.lock(key.hash).deadline(key, at), None),
        }
    }
}

#[test]
fn eviction_takes_the_nearest_deadlines() {
    let table = Table::with_seed(10);
    for n in 0..30_000_u64 {
        put(&table, &format!("lasting:{n}"), "1", NewDeadline::Clear);
        if n < 3_000 {
            put(&table, &format!("quota:{n}"), "1", NewDeadline::At(1_000_000 + n * 1_000));
            put(&table, &format!("text:{n}"), "text", NewDeadline::At(1_000_500 + n * 1_000));
        }
    }
    let mut gone = Gone::default();
    for _ in 0..2_000 {
        assert!(table.evict(&mut Moment { now_ms: 1, effects: &mut gone }));
    }
    let ranks = gone.evicted.iter().map(|key| {
        let name = std::str::from_utf8(key).unwrap();
        name.split(':').nth(1).unwrap().parse::<u64>().unwrap()
    });
    assert!(ranks.clone().max() < Some(1_300), "the thousand nearest of each kind, nearly");
    for _ in 2_000..6_000 {
        assert!(table.evict(&mut Moment { now_ms: 1, effects: &mut gone }));
    }
    assert!(!table.evict(&mut Moment { now_ms: 1, effects: &mut gone }), "keys without a deadline stay");
    assert_eq!((table.len(), table.evicted()), (30_000, 6_000));
}

#[test]
fn random_keys_are_uniform() {
    let table = Table::with_seed(11);
    // Very different numbers of keys of each kind.
    let mut names: Vec<String> = (0..700).map(|n| format!("views:{n}")).collect();
    names.extend((0..200).map(|n| format!("text-{}", letters(n))));
    names.extend((0..100).map(|n| format!("quota:{n}")));
    for name in &names {
        let (value, deadline) = match &name[..4] {
            "text" => ("some text", NewDeadline::Clear),
            "quot" => ("5000000000", NewDeadline::At(1 << 40)),
            _ => ("1", NewDeadline::Clear),
        };
        put(&table, name, value, deadline);
    }
    const DRAWS: u32 = 200_000;
    let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for _ in 0..DRAWS {
        let at = &mut Moment { now_ms: 1, effects: &mut Discard };
        assert!(table.random_key(at, &mut |key| *counts.entry(key.to_vec()).or_default() += 1).is_some());
    }
    assert_eq!(counts.len(), names.len());
    let mean = f64::from(DRAWS) / 1_000.0;
    // Chi-squared with 999 degrees of freedom: 1,000 ± 45; by chance alone it is above 1,250 once in 10^7 runs.
    let chi: f64 = counts.values().map(|&count| (f64::from(count) - mean).powi(2) / mean).sum();
    assert!((800.0..1_250.0).contains(&chi), "{chi}");
}

#[test]
fn what_is_due_is_never_picked() {
    let table = Table::with_seed(12);
    for n in 0..50 {
        put(&table, &format!("quota:{n}"), "1", NewDeadline::At(10));
    }
    put(&table, "stays", "1", NewDeadline::Clear);
    let at = &mut Moment { now_ms: 10, effects: &mut Discard };
    let mut found = None;
    while table.random_key(at, &mut |key| found = Some(key.to_vec())).is_none() {}
    assert_eq!(found.as_deref(), Some(&b"stays"[..]));
    assert!(Table::with_seed(1).random_key(at, &mut |_| unreachable!("there is no key")).is_none());
}

proptest! {
    /// Keys that stay are visited exactly once by a walk, whatever comes and goes between its steps: templates are
    /// admitted and given up, arrays grow and shrink.
    #[test]
    fn a_walk_visits_what_stays_exactly_once(
        start in 0..3_000_usize,
        count in sample::select(vec![1_usize, 10, 100, 1_000]),
        changes in collection::vec((any::<bool>(), 0..4_usize, 0..4_000_usize), 0..60),
    ) {
        let table = Table::with_seed(13);
        let name = |kind: usize, n: usize| match kind {
            0 => format!("coming:{n}"),
            1 => format!("user:{}:day:{}", n % 50, n / 50),
            2 => format!("text-{}", letters(n)),
            _ => format!("{n}:of"),
        };
        let mut staying = BTreeSet::new();
        for n in 0..start {
            for kind in 0..4 {
                let name = format!("s{}", name(kind, n));
                put(&table, &name, "1", if n % 5 == 0 { NewDeadline::At(1 << 40) } else { NewDeadline::Clear });
                staying.insert(name.into_bytes());
            }
        }
        let mut changes = changes.into_iter();
        let mut seen: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        let mut cursor = Some(Cursor::START);
        let (mut steps, mut most) = (0, 0);
        while let Some(at) = cursor {
            let mut visited = 0;
            prop_assert_eq!(Cursor::of_number(at.number()), at);
            prop_assert!(at.number() < 1 << 63);
            cursor = table.walk(at, count, &mut |key, _, _| {
                visited += 1;
                *seen.entry(key.to_vec()).or_default() += 1;
            });
            most = most.max(visited);
            steps += 1;
            if let Some((come, kind, n)) = changes.next() {
                for n in n..n + 500 {
                    if come {
                        put(&table, &name(kind, n), "1", NewDeadline::Clear);
                    } else {
                        remove(&table, &name(kind, n));
                    }
                }
            }
        }
        for name in &staying {
            prop_assert_eq!(seen.get(name), Some(&1), "{:?}", String::from_utf8_lossy(name));
        }
        prop_assert!(steps > start / (2 * count + 200), "{} steps", steps);
        prop_assert!(most < 3 * count + 60, "{} keys in a step for {}", most, count);
    }
}
