//! Snapshots on disks that lose power and turn bits: the old one or the new one, whole, or a refusal.

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{
    Batch, Damage, Head, Reader, Refusal, Summary, Writer, name_of, newest, remove_older, remove_unfinished,
    start_of,
};
use crate::journal::disk::sim::{Chance, Faults, SimDisk};
use crate::journal::disk::{Disk as _, Failure};
use crate::journal::record;
use crate::limits::SNAPSHOT_BLOCK_BYTES;
use crate::table::effect::{Effect, Lsn, Removal};
use crate::table::{Scalar, Value, Window};

/// The effects of some keys and tokens, others for each number, as records.
fn effects(number: u64, count: u64) -> Vec<u8> {
    let mut window = Vec::new();
    window.extend_from_slice(&1000_u64.to_le_bytes());
    window.extend_from_slice(&10_u16.to_le_bytes());
    window.extend_from_slice(&number.to_le_bytes());
    window.extend_from_slice(&[1, 1, 0]);
    window.extend_from_slice(&number.to_le_bytes()[..2]);
    window.push(7);
    let mut records = Vec::new();
    for place in 0..count {
        let (key, text) = (format!("key:{number}:{place}"), format!("text {}", number * place));
        let key = key.as_bytes();
        let set = |value| Effect::Set { key, value, deadline: (place % 3 == 0).then_some(1_000_000 + place) };
        let put = |effect: Effect<'_>, records: &mut Vec<u8>| record::encode(&effect, records);
        match place % 6 {
            0 => put(set(Value::Int(-number.cast_signed())), &mut records),
            1 => put(set(Value::Str(text.as_bytes())), &mut records),
            2 => put(set(Value::Throttle(number.cast_signed())), &mut records),
            3 => put(set(Value::Window(Window::read(&window).expect("it is one"))), &mut records),
            4 => {
                for field in 0..1 + place % 200 {
                    let value = if field % 2 == 0 { Scalar::Int(1) } else { Scalar::Str(text.as_bytes()) };
                    let field = field.to_le_bytes();
                    put(Effect::Field { key, field: &field, value, deadline: Some(place) }, &mut records);
                }
                put(Effect::Deadline { key, deadline: None }, &mut records);
            }
            _ => {
                let (fingerprint, value, deadline) = (number, 1, place);
                let key = (place % 12 == 5).then_some(key);
                put(Effect::Token { key, token: b"t", fingerprint, value, deadline }, &mut records);
            }
        }
    }
    records
}

fn for_each(records: &[u8], mut each: impl FnMut(&Effect<'_>)) {
    let mut rest = records;
    while !rest.is_empty() {
        let (effect, behind) = record::decode(rest).expect("records are whole");
        each(&effect);
        rest = behind;
    }
}

fn head(start: Lsn) -> Head {
    Head { run: u128::MAX / 3, start, created_ms: 1_700_000_000_000 }
}

/// Writes a snapshot of these effects, in batches, and makes it the only one.
fn save(disk: &SimDisk, start: Lsn, records: &[u8]) -> Result<Summary, Failure> {
    let mut writer = Writer::begin(disk, head(start))?;
    let mut batch = Batch::default();
    let mut failed = None;
    for_each(records, |effect| {
        batch.push(effect);
        if batch.len() > 1000 && failed.is_none() {
            failed = writer.take(&mut batch).err();
        }
    });
    if let Some(failure) = failed {
        return Err(failure);
    }
    writer.take(&mut batch)?;
    writer.sync()?;
    let summary = writer.finish(start + 100)?.publish()?;
    remove_older(disk, start)?;
    Ok(summary)
}

fn load(disk: &SimDisk, start: Lsn) -> Result<(Summary, Vec<u8>), Refusal> {
    let mut records = Vec::new();
    let summary = Reader::open(disk, start)?
        .read_all(&mut |effect: &Effect<'_>| record::encode(effect, &mut records), &mut |at, all| {
            assert!(at <= all)
        })?;
    Ok((summary, records))
}

#[test]
fn names_are_those_that_are_given() {
    assert_eq!(name_of(0x2f), "snapshot-000000000000002f");
    assert_eq!(start_of("snapshot-000000000000002f"), Some(0x2f));
    for other in ["snapshot-2f", "snapshot-000000000000002F", "snapshot-000000000000002f.part", "snapshot-"] {
        assert_eq!(start_of(other), None, "{other}");
    }
}

#[test]
fn what_was_written_is_read() {
    for count in [0, 1, 6, 5_000] {
        let disk = SimDisk::default();
        let records = effects(9, count);
        let summary = save(&disk, 40, &records).unwrap();
        assert_eq!(newest(&disk).unwrap(), Some(40));
        let (read, shown) = load(&disk, 40).unwrap();
        assert_eq!((read, shown), (summary, records));
        assert_eq!((read.head, read.end), (head(40), 140));
        let tokens = (0..count).filter(|place| place % 6 == 5).count() as u64;
        assert_eq!((read.totals.keys, read.totals.tokens), (count - tokens, tokens));
        assert_eq!(read.bytes, disk.content(&name_of(40)).len() as u64);
    }
}

#[test]
fn effects_one_by_one_are_the_same_file() {
    let (one, other) = (SimDisk::default(), SimDisk::default());
    let records = effects(3, 4_000);
    assert!(records.len() > 2 * SNAPSHOT_BLOCK_BYTES, "it has several blocks");
    let mut writer = Writer::begin(&one, head(8)).unwrap();
    for_each(&records, |effect| writer.put(effect).unwrap());
    let summary = writer.finish(108).unwrap().publish().unwrap();
    assert_eq!(save(&other, 8, &records).unwrap().totals, summary.totals);
    assert_eq!(load(&one, 8).unwrap().1, load(&other, 8).unwrap().1);
}

#[test]
fn a_long_value_has_a_block_of_its_own() {
    let disk = SimDisk::default();
    let mut records = effects(1, 20);
    let long = vec![b'x'; 3 * SNAPSHOT_BLOCK_BYTES];
    record::encode(&Effect::Set { key: b"long", value: Value::Str(&long), deadline: None }, &mut records);
    records.extend_from_slice(&effects(2, 20));
    save(&disk, 8, &records).unwrap();
    assert_eq!(load(&disk, 8).unwrap().1, records);
}

#[test]
fn a_loss_of_power_at_any_step_leaves_the_old_one_or_the_new_one() {
    let (old, new) = (effects(1, 40), effects(2, 60));
    let disk = SimDisk::default();
    save(&disk, 8, &old).unwrap();
    let steps = {
        let whole = disk.after_death();
        save(&whole, 500, &new).unwrap();
        whole.counts()[0]
    };
    let (mut olds, mut news) = (0, 0);
    for power in 0..=steps {
        for seed in 0..40 {
            let disk = disk.after_death();
            let short = (seed % 3 == 0).then(|| Chance::of(seed));
            disk.set_faults(Faults { power: Some(power), short, ..Faults::default() });
            let saved = save(&disk, 500, &new);
            let dies = seed % 4 == 0;
            let disk = if dies { disk.after_death() } else { disk.after_power_loss(seed + 1000 * power) };
            let at = format!("power goes at {power}, seed {seed}");
            remove_unfinished(&disk).unwrap();
            let start = newest(&disk).unwrap().unwrap_or_else(|| panic!("{at}: there is none"));
            let (summary, shown) = load(&disk, start).unwrap_or_else(|refusal| panic!("{at}: {refusal}"));
            assert_eq!(summary.head.start, start);
            assert_eq!(&shown, if start == 8 { &old } else { &new }, "{at}");
            assert!(saved.is_err() || start == 500, "{at}: it was said to be safe");
            assert!(disk.names().unwrap().iter().all(|name| start_of(name).is_some()), "{at}");
            if start == 8 { olds += 1 } else { news += 1 }
        }
    }
    assert!(olds > 50 && news > 50, "{olds} old ones and {news} new ones");
}

#[test]
fn a_failed_write_or_sync_leaves_the_old_one() {
    let (old, new) = (effects(1, 40), effects(2, 60));
    for (write, sync) in [(0, 9), (1, 9), (9, 0), (9, 1), (9, 2)] {
        let disk = SimDisk::default();
        save(&disk, 8, &old).unwrap();
        disk.set_faults(Faults {
            write: (write < 9).then_some((write, libc::ENOSPC)),
            sync: (sync < 9).then_some((sync, libc::EIO)),
            ..Faults::default()
        });
        assert!(save(&disk, 500, &new).is_err());
        let disk = disk.after_power_loss(1);
        let start = newest(&disk).unwrap().expect("there is one");
        assert!(load(&disk, start).is_ok());
    }
}

#[test]
fn an_abandoned_one_is_gone() {
    let disk = SimDisk::default();
    Writer::begin(&disk, head(8)).unwrap().abandon();
    Writer::begin(&disk, head(8)).unwrap().finish(9).unwrap().abandon();
    assert_eq!(disk.names().unwrap(), Vec::<String>::new());
    let _killed = Writer::begin(&disk, head(8)).unwrap();
    assert_eq!(newest(&disk).unwrap(), None, "it has no name yet");
    assert_eq!(remove_unfinished(&disk).unwrap(), 1);
    assert_eq!(disk.names().unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_no_snapshot_is_told_apart() {
    let damage = |change: &dyn Fn(&mut Vec<u8>)| {
        let disk = SimDisk::default();
        save(&disk, 8, &effects(1, 10)).unwrap();
        let mut content = disk.content(&name_of(8));
        change(&mut content);
        disk.put(&name_of(8), content);
        match load(&disk, 8) {
            Err(Refusal::Damaged { path, damage, .. }) => {
                assert!(path.ends_with(name_of(8)));
                damage
            }
            other => panic!("it was read: {other:?}"),
        }
    };
    assert_eq!(damage(&|content| content[0] ^= 1), Damage::Foreign);
    assert_eq!(damage(&Vec::clear), Damage::Foreign);
    assert_eq!(damage(&|content| content[24] = 2), Damage::Newer(2));
    assert_eq!(damage(&|content| content[100] = 1), Damage::Header);
    assert_eq!(damage(&|content| content.truncate(4300)), Damage::Short);
    assert_eq!(damage(&|content| content.push(0)), Damage::Long);
    assert_eq!(damage(&|content| content[4104] ^= 1), Damage::Block);
    let disk = SimDisk::default();
    save(&disk, 8, &effects(1, 10)).unwrap();
    disk.put(&name_of(16), disk.content(&name_of(8)));
    let Err(refusal) = load(&disk, 16) else { panic!("it is another's") };
    assert!(refusal.to_string().contains("snapshot-0000000000000010"), "{refusal}");
    let mut writer = Writer::begin(&disk, head(24)).unwrap();
    writer.put(&Effect::Remove { key: b"k", cause: Removal::Command }).unwrap();
    writer.finish(24).unwrap().publish().unwrap();
    let found = load(&disk, 24);
    assert!(matches!(found, Err(Refusal::Damaged { damage: Damage::Record, .. })), "{found:?}");
}

proptest! {
    #[test]
    fn damage_anywhere_is_refused(count in 1..2_000_u64, at in any::<usize>(), kind in 0..4_u8, bit in 0..8_u8) {
        let disk = SimDisk::default();
        save(&disk, 8, &effects(7, count)).unwrap();
        let whole = disk.content(&name_of(8));
        let mut content = whole.clone();
        let at = at % content.len();
        let sector = at / 512 * 512;
        let end = (sector + 512).min(content.len());
        match kind {
            0 | 1 => content[at] ^= 1 << bit,
            2 => content[sector..end].fill(0),
            _ => content.truncate(at),
        }
        disk.put(&name_of(8), content.clone());
        let loaded = load(&disk, 8);
        if content == whole {
            prop_assert!(loaded.is_ok());
        } else {
            prop_assert!(matches!(loaded, Err(Refusal::Damaged { .. })), "{:?}", loaded.map(|found| found.0));
        }
    }

    #[test]
    fn sectors_that_changed_places_are_refused(count in 1_000..2_000_u64, one in any::<usize>(), other in any::<usize>()) {
        let disk = SimDisk::default();
        save(&disk, 8, &effects(7, count)).unwrap();
        let whole = disk.content(&name_of(8));
        let mut content = whole.clone();
        let sectors = content.len() / 512;
        let (one, other) = (one % sectors * 512, other % sectors * 512);
        content[one..one + 512].copy_from_slice(&whole[other..other + 512]);
        content[other..other + 512].copy_from_slice(&whole[one..one + 512]);
        disk.put(&name_of(8), content.clone());
        prop_assert_eq!(load(&disk, 8).is_ok(), content == whole);
    }
}
