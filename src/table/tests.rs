//! The table against a model: an ordered map that does the same, step by step, and says which effects it expects.

mod exports;
mod model;
mod promises;
mod stress;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::{collection, sample};

use super::effect::{Effect, EffectSink, Lsn, Removal};
use super::probe::Homes;
use super::store::Store;
use super::{
    AddError, Hashing, Key, Moment, NewDeadline, Segment, Table, Used, Value, WindowShape, WrongType,
};
use model::{Change, Changes, Held, Keys, Model, TokenMap};
/// One step on the key with this number. Deadlines are given relative to now.
#[derive(Clone, Debug)]
enum Step {
    Get,
    Deadline,
    Add(i64),
    Set(Vec<u8>, NewDeadline),
    SetDeadline(Option<i64>),
    Remove,
    SetField(Vec<u8>, Vec<u8>),
    AddField(Vec<u8>, i64),
    RemoveField(Vec<u8>),
    /// Milliseconds of the window and number of its buckets; what is added.
    AddWindow(u64, u16, i64),
    PutThrottle(i64, u64),
    Splice(usize, Vec<u8>),
    /// Whether it is the server's or the key's; the token; for how long.
    UseToken(bool, u8, u64),
    /// Sets this many fields, of numbers from that one on.
    SetFields(usize, usize),
    /// Adds to this many keys, from that one on.
    AddMany(usize),
    /// Removes this many keys, from that one on.
    RemoveMany(usize),
}

/// Keys of templates with one number and with two, with narrow ids, wide ones and such with leading zeros; keys without
/// a number; all of several lengths. Key 0 is empty.
fn key_bytes(number: usize) -> Vec<u8> {
    let n = number / 8;
    match number % 8 {
        0 | 1 => format!("views:article:{n}"),
        2 => format!("user:{n}:likes"),
        3 => format!("wide:{}", 4_000_000_000 + n as u64 * 100_000_000),
        4 => format!("user:{}:day:{}", n % 7, n / 7),
        5 => format!("padded:{n:06}"),
        6 => format!("{:~>width$}", "", width = n % 300),
        _ => format!("{:x}{:x}", n, n * 7919),
    }
    .into_bytes()
}

fn field_bytes(number: usize) -> Vec<u8> {
    let len = if number > 90 { 70 } else { number % 9 };
    format!("{number}{:.>len$}", "").into_bytes()
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i16>().prop_map(|number| number.to_string().into_bytes()),
        sample::select(vec!["9223372036854775807", "-9223372036854775808", "-0", "007", "1.5", ""])
            .prop_map(|text| text.as_bytes().to_vec()),
        collection::vec(any::<u8>(), 0..40),
        (1_000..6_000_usize).prop_map(|len| vec![b'v'; len]),
    ]
}

fn deadline() -> impl Strategy<Value = NewDeadline> {
    prop_oneof![
        3 => Just(NewDeadline::Clear),
        2 => Just(NewDeadline::Keep),
        2 => (0..40_u64).prop_map(NewDeadline::At),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Get),
        2 => Just(Step::Deadline),
        6 => prop_oneof![-100..100_i64, Just(i64::MAX), Just(i64::MIN)].prop_map(Step::Add),
        6 => (value(), deadline()).prop_map(|(value, deadline)| Step::Set(value, deadline)),
        4 => proptest::option::of(-2..40_i64).prop_map(Step::SetDeadline),
        4 => Just(Step::Remove),
        6 => (0..5_usize, value()).prop_map(|(field, value)| Step::SetField(field_bytes(field), value)),
        1 => (0..100_usize, value()).prop_map(|(field, value)| Step::SetField(field_bytes(field), value)),
        4 => (0..8_usize, prop_oneof![-9..9_i64, any::<i64>()])
            .prop_map(|(field, delta)| Step::AddField(field_bytes(field), delta)),
        3 => (0..100_usize).prop_map(|field| Step::RemoveField(field_bytes(field % 12))),
        6 => (sample::select(vec![10_u64, 25]), 1..4_u16, prop_oneof![9 => -9..9_i64, 1 => Just(i64::MAX)])
            .prop_map(|(length, buckets, delta)| Step::AddWindow(length, buckets, delta)),
        1 => (any::<i64>(), 1..30_u64).prop_map(|(time, ahead)| Step::PutThrottle(time, ahead)),
        3 => (0..9_usize, collection::vec(b'0'..=b'9', 1..4)).prop_map(|(at, part)| Step::Splice(at, part)),
        3 => (any::<bool>(), 0..3_u8, 1..30_u64).prop_map(|(own, token, ahead)| Step::UseToken(own, token, ahead)),
        1 => (0..90_usize, 1..160_usize).prop_map(|(first, count)| Step::SetFields(first, count)),
        1 => (1..200_usize).prop_map(Step::AddMany),
        1 => (1..200_usize).prop_map(Step::RemoveMany),
    ]
}

/// Milliseconds that pass, the number of a key, what happens to it.
fn steps() -> impl Strategy<Value = Vec<(u64, usize, Step)>> {
    let key = prop_oneof![3 => 0..48_usize, 1 => 0..900_usize];
    collection::vec((prop_oneof![3 => Just(0_u64), 1 => 0..20_u64], key, step()), 1..150)
}

/// Does a step on one key to both, and compares what they answer.
fn step_both(segment: &mut Segment, model: &mut Model, key: Key<'_>, step: &Step, at: &mut Moment<'_>) {
    let now = at.now_ms;
    let bytes = key.bytes;
    match step {
        Step::Get => {
            let expected = model.look(bytes, now).map(|(held, _)| held.clone());
            assert_eq!(segment.get(key, at).map(Held::of), expected);
        }
        Step::Deadline => {
            let expected = model.look(bytes, now).map(|(_, deadline)| *deadline);
            assert_eq!(segment.deadline(key, at), expected);
        }
        Step::Add(delta) => assert_eq!(segment.add(key, *delta, at), model.add(bytes, *delta, now)),
        Step::Set(value, deadline) => {
            let deadline = match *deadline {
                NewDeadline::At(ahead) => NewDeadline::At(now + ahead),
                NewDeadline::Clear | NewDeadline::Keep => *deadline,
            };
            segment.set(key, value, deadline, at);
            model.set(bytes, value, deadline, now);
        }
        Step::SetDeadline(ahead) => {
            let deadline = ahead.map(|ahead| now.saturating_add_signed(ahead));
            assert_eq!(segment.set_deadline(key, deadline, at), model.set_deadline(bytes, deadline, now));
        }
        Step::Remove => assert_eq!(segment.remove(key, at), model.remove(bytes, now)),
        Step::SetField(field, value) => {
            assert_eq!(segment.set_field(key, field, value, at), model.set_field(bytes, field, value, now));
        }
        Step::AddField(field, delta) => {
            assert_eq!(segment.add_field(key, field, *delta, at), model.add_field(bytes, field, *delta, now));
        }
        Step::RemoveField(field) => {
            assert_eq!(segment.remove_field(key, field, at), model.remove_field(bytes, field, now));
        }
        Step::AddWindow(length_ms, buckets, delta) => {
            let shape = WindowShape { length_ms: *length_ms, buckets: *buckets };
            let added = segment.add_window(key, (*length_ms, Some(*buckets), 60), *delta, at);
            assert_eq!(added, model.add_window(bytes, shape, *delta, now));
        }
        Step::PutThrottle(time, ahead) => {
            segment.put(key, Value::Throttle(*time), now + ahead, at);
            model.put_throttle(bytes, *time, now + ahead, now);
        }
        Step::Splice(offset, part) => {
            // Commands look before they write.
            segment.get(key, at);
            if let Some(whole) = model.splice(bytes, *offset, part, now) {
                segment.splice(key, &whole, (*offset, part), at);
            }
        }
        Step::UseToken(own, token, ahead) => {
            let (owner, token) = (own.then_some(bytes), std::slice::from_ref(token));
            assert_eq!(segment.token(owner, token, at), model.token(owner, token, now));
            let used = Used { fingerprint: now, value: ahead.cast_signed(), deadline: now + ahead };
            segment.use_token(owner, token, used, at);
            model.use_token(owner, token, used);
        }
        Step::SetFields(first, count) => {
            for number in *first..first + count {
                let (field, value) = (field_bytes(number), number.to_string());
                let set = segment.set_field(key, &field, value.as_bytes(), at);
                assert_eq!(set, model.set_field(bytes, &field, value.as_bytes(), now));
            }
        }
        Step::AddMany(_) | Step::RemoveMany(_) => unreachable!("taken apart by the caller"),
    }
}

/// Calls `each` for every single step, with the key's number.
fn take_apart(number: usize, step: &Step, mut each: impl FnMut(usize, &Step)) {
    match step {
        // Keys of one template.
        Step::AddMany(count) => (0..*count).for_each(|n| each(number + 8 * n, &Step::Add(1))),
        Step::RemoveMany(count) => (0..*count).for_each(|n| each(number + 8 * n, &Step::Remove)),
        _ => each(number, step),
    }
}

fn keys_of(table: &Table) -> Keys {
    let mut keys = Keys::new();
    table.for_each(&mut |key, value, deadline| {
        assert!(keys.insert(key.to_vec(), (Held::of(value), deadline)).is_none(), "{key:?} twice");
    });
    keys
}

proptest! {
    #[test]
    fn one_segment_does_as_the_model_does(steps in steps()) {
        let hashing = Hashing::seeded(1);
        let mut segment = Segment::new(Store::new(hashing.clone(), Arc::<Homes>::default(), 0));
        let (mut model, mut changes, mut now_ms) = (Model::default(), Changes::default(), 1_000);
        for (passed, number, step) in &steps {
            now_ms += passed;
            take_apart(*number, step, |number, step| {
                let bytes = key_bytes(number);
                let key = Key { bytes: &bytes, hash: hashing.hash(&bytes) };
                let mut at = Moment { now_ms, effects: &mut changes };
                step_both(&mut segment, &mut model, key, step, &mut at);
            });
            segment.store().check();
            prop_assert_eq!(&changes.0, &model.changes);
            prop_assert_eq!(segment.changed(), changes.0.len() as Lsn);
            prop_assert_eq!(segment.store().len(), model.keys.len());
        }
        let mut keys = Keys::new();
        segment.store().visit(0, u64::MAX, &mut |key, value, deadline| {
            keys.insert(key.to_vec(), (Held::of(value), deadline));
        });
        prop_assert_eq!(&keys, &model.keys);
        prop_assert_eq!(segment.expired(), model.expired);
    }

    #[test]
    fn replayed_effects_give_the_same_table(steps in steps(), flush_at in proptest::option::of(0..150_usize)) {
        let (table, replayed) = (Table::with_seed(11), Table::with_seed(22));
        let (mut model, mut changes, mut now_ms) = (Model::default(), Changes::default(), 1_000);
        for (index, (passed, number, step)) in steps.iter().enumerate() {
            now_ms += passed;
            let mut at = Moment { now_ms, effects: &mut changes };
            if Some(index) == flush_at {
                table.flush(&mut at);
                model.flush();
                prop_assert!(table.is_empty());
            }
            take_apart(*number, step, |number, step| {
                let bytes = key_bytes(number);
                let key = table.key(&bytes);
                table.prefetch(key.hash);
                let hash = match step {
                    Step::UseToken(false, token, _) => table.token_hash(&[*token]),
                    _ => key.hash,
                };
                step_both(&mut table.lock(hash), &mut model, key, step, &mut at);
            });
        }
        prop_assert_eq!(&changes.0, &model.changes);
        for change in &changes.0 {
            replayed.apply(&change.effect());
        }
        prop_assert_eq!(&keys_of(&table), &model.keys);
        prop_assert_eq!(&keys_of(&replayed), &model.keys);
        for table in [&table, &replayed] {
            let mut tokens = TokenMap::new();
            table.for_each_token(&mut |key, token, used| {
                tokens.insert((key.map(<[u8]>::to_vec), token.to_vec()), used);
            });
            prop_assert_eq!(&tokens, &model.tokens);
        }
        let timed = model.keys.values().filter(|(_, deadline)| deadline.is_some()).count();
        for table in [&table, &replayed] {
            prop_assert_eq!((table.len(), table.deadlines()), (model.keys.len(), timed));
            prop_assert_eq!(table.is_empty(), model.keys.is_empty());
            (0..super::SEGMENTS).for_each(|segment| table.lock_segment(segment).store().check());
        }
        prop_assert_eq!((table.expired(), replayed.expired()), (model.expired, 0));
    }
}

/// A sink of one thread among several that draw their positions from one counter.
#[derive(Debug)]
struct Ordered<'c> {
    positions: &'c AtomicU64,
    own: Changes,
    at: Vec<Lsn>,
}

impl EffectSink for Ordered<'_> {
    fn record(&mut self, effect: Effect<'_>) -> Lsn {
        self.own.record(effect);
        // Relaxed: what orders the effects on one key is its segment's lock, which this thread holds.
        self.at.push(1 + self.positions.fetch_add(1, Ordering::Relaxed));
        self.at[self.at.len() - 1]
    }
}

/// One thread's share: every kind of write on few keys that all threads share, now and then a flush.
fn write_at_random<'c>(table: &Table, positions: &'c AtomicU64, seed: u64) -> Ordered<'c> {
    let mut sink = Ordered { positions, own: Changes::default(), at: Vec::new() };
    let mut random = seed;
    for now_ms in 0..3_000 {
        // A linear congruential step (Knuth's MMIX constants); its high bits are random enough to pick with.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bytes = key_bytes(usize::try_from(random >> 58).unwrap());
        let key = table.key(&bytes);
        let mut at = Moment { now_ms, effects: &mut sink };
        match random >> 32 & 0xFF {
            0 => table.flush(&mut at),
            1..=40 => table.lock(key.hash).set(key, b"text", NewDeadline::At(now_ms + 9), &mut at),
            41..=60 => drop(table.lock(key.hash).remove(key, &mut at)),
            61..=90 => drop(table.lock(key.hash).set_deadline(key, Some(now_ms + 5), &mut at)),
            _ => drop(table.lock(key.hash).add(key, 1, &mut at)),
        }
    }
    sink
}

#[test]
fn positions_order_the_effects_of_many_threads() {
    let (table, replayed) = (Table::with_seed(31), Table::with_seed(32));
    let positions = AtomicU64::new(0);
    let sinks: Vec<Ordered<'_>> = thread::scope(|scope| {
        let writer = |seed| {
            scope.spawn({
                let (table, positions) = (&table, &positions);
                move || write_at_random(table, positions, seed)
            })
        };
        let writers: Vec<_> = (1..=8).map(writer).collect();
        writers.into_iter().map(|writer| writer.join().expect("a writer does not panic")).collect()
    });
    let log: BTreeMap<Lsn, &Change> =
        sinks.iter().flat_map(|sink| sink.at.iter().copied().zip(&sink.own.0)).collect();
    assert!(log.values().any(|change| **change == Change::Flush) && log.len() > 10_000);
    log.values().for_each(|change| replayed.apply(&change.effect()));
    assert_eq!(keys_of(&replayed), keys_of(&table));
    let last = (0..super::SEGMENTS).map(|segment| table.lock_segment(segment).changed()).max();
    assert_eq!(last, log.keys().next_back().copied());
    assert_eq!(last, Some(positions.load(Ordering::Relaxed)));
}

#[test]
fn an_error_changes_nothing_and_has_no_effect() {
    let table = Table::with_seed(7);
    let mut changes = Changes::default();
    let mut at = Moment { now_ms: 1, effects: &mut changes };
    let key = table.key(b"k");
    let mut segment = table.lock(key.hash);
    for deadline in [NewDeadline::Clear, NewDeadline::At(9)] {
        segment.set(key, b"9223372036854775807", deadline, &mut at);
        assert_eq!(segment.add(key, 1, &mut at), Err(AddError::Overflow));
        assert_eq!(segment.get(key, &mut at), Some(Value::Int(i64::MAX)));
    }
    segment.set(key, b"+1", NewDeadline::Clear, &mut at);
    assert_eq!(segment.add(key, 1, &mut at), Err(AddError::NotInteger));
    assert_eq!(segment.get(key, &mut at), Some(Value::Str(b"+1")));
    assert_eq!(segment.changed(), 3);
    drop(segment);
    assert_eq!(changes.0.len(), 3);
}

#[test]
fn a_flush_is_one_change_of_every_segment() {
    let table = Table::with_seed(8);
    let empty = table.heap_bytes();
    let mut changes = Changes::default();
    let mut at = Moment { now_ms: 1, effects: &mut changes };
    for number in 0..1_000 {
        let bytes = key_bytes(number);
        let key = table.key(&bytes);
        table.lock(key.hash).set(key, b"text", NewDeadline::At(5), &mut at);
    }
    assert!(table.heap_bytes() > empty + 1_000 * 32);
    table.flush(&mut at);
    assert_eq!((table.len(), table.deadlines(), table.heap_bytes()), (0, 0, empty));
    assert!((0..super::SEGMENTS).all(|segment| table.lock_segment(segment).changed() == 1_001));
    assert_eq!(changes.0.last(), Some(&Change::Flush));
}

#[test]
fn an_effect_from_outside_is_made_canonical() {
    let table = Table::with_seed(9);
    table.apply(&Effect::Set { key: b"k", value: Value::Str(b"12"), deadline: None });
    table.apply(&Effect::Remove { key: b"absent", cause: Removal::Expired });
    table.apply(&Effect::Deadline { key: b"absent", deadline: Some(1) });
    assert_eq!(keys_of(&table), Keys::from([(b"k".to_vec(), (Held::Int(12), None))]));
}

#[test]
fn rate_limits_are_small_and_can_be_done_again() {
    const LIMITS: usize = 100_000;
    let table = Table::with_seed(10);
    let empty = table.heap_bytes();
    let mut changes = Changes::default();
    let mut at = Moment { now_ms: 1, effects: &mut changes };
    let mut key_bytes = 0;
    for number in 0..LIMITS {
        let name = format!("limit:{number}:{}", number % 7);
        key_bytes += name.len();
        let key = table.key(name.as_bytes());
        let time = i64::try_from(number).expect("it is small");
        table.lock(key.hash).put(key, Value::Throttle(time), 1_000_000 + number as u64, &mut at);
    }
    let each = (table.heap_bytes() - empty).saturating_sub(key_bytes) as f64 / LIMITS as f64;
    assert!(each <= 32.0, "{each:.1} bytes beside the key");
    // In the place of a counter and of a hash, and they in its place.
    for name in ["counter:1", "row"] {
        let key = table.key(name.as_bytes());
        let mut segment = table.lock(key.hash);
        if name == "row" {
            segment.set_field(key, b"f", b"1", &mut at).expect("there is nothing yet");
        } else {
            segment.add(key, 1, &mut at).expect("there is nothing yet");
        }
        segment.put(key, Value::Throttle(5), 9, &mut at);
        assert_eq!(segment.get(key, &mut at), Some(Value::Throttle(5)));
        assert_eq!(segment.add(key, 1, &mut at), Err(AddError::WrongType));
        assert_eq!(segment.set_field(key, b"f", b"1", &mut at), Err(WrongType));
        segment.set(key, b"1", NewDeadline::Keep, &mut at);
        assert_eq!(segment.get(key, &mut at), Some(Value::Int(1)));
        segment.put(key, Value::Throttle(6), 9, &mut at);
    }
    let replayed = Table::with_seed(11);
    changes.0.iter().for_each(|change| replayed.apply(&change.effect()));
    assert_eq!(keys_of(&replayed), keys_of(&table));
}

#[test]
fn an_empty_table_is_small() {
    assert!(Table::new().heap_bytes() <= 256 * 1024, "{}", Table::new().heap_bytes());
}
