//! Damaged files: what was durable is never silently left out of a log that says so, and nothing else ever appears.

use super::{Chance, Expected, Extent, Life, records, settings, shown};
use crate::journal::disk::Disk as _;
use crate::journal::disk::sim::SimDisk;
use crate::journal::frame;
use crate::journal::recovery::{Damage, Refusal};
use crate::journal::segment::{GROUP_BYTES, Group, HEADER_BYTES, Header, name_of, sequence_of};
use crate::journal::writer::SyncMode;

/// A log of several files and two lives; whether the last one was closed.
fn log(closed: bool) -> (SimDisk, Expected) {
    let disk = SimDisk::default();
    let mut expected = Expected::default();
    let mut chance = Chance::of(21);
    for life in 1..=2 {
        let (recovered, all) = shown(&disk, Extent::default(), None).unwrap();
        assert_eq!(all, expected.records);
        let mut running = Life::begin(disk.clone(), &recovered, life, settings(SyncMode::Always)).unwrap();
        running.work(&mut expected, &mut chance, 70).unwrap();
        if life == 1 || closed {
            assert_eq!(running.writer.close(&running.ring, running.now_ms), Ok(true));
        } else {
            running.append(&mut expected, &records(1 << 40, 1)).unwrap();
            running.step(1).unwrap();
        }
    }
    (disk.after_death(), expected)
}

fn segments(disk: &SimDisk) -> Vec<String> {
    let mut names = disk.names().unwrap();
    names.retain(|name| sequence_of(name).is_some());
    names.sort();
    assert!(names.len() >= 4, "there are some files: {names:?}");
    names
}

/// Bytes that a frame in the ring takes.
fn cost_of(records: &[u8]) -> u64 {
    frame::Header::of(records.len()).unwrap().bytes
}

/// Does something to a file.
fn damage(chance: &mut Chance, content: &mut [u8], other: &[u8]) -> String {
    let sectors = content.len() / 512;
    let place = |chance: &mut Chance| chance.index(sectors) * 512;
    let (to, from) = (place(chance), place(chance));
    match chance.below(6) {
        0 => {
            let at = chance.index(content.len());
            content[at] ^= 1 << chance.below(8);
            format!("a bit of byte {at} flipped")
        }
        1 => {
            let end = (to + 512 * (1 + chance.index(4))).min(content.len());
            content[to..end].fill(0);
            format!("zeros from {to} to {end}")
        }
        2 => {
            content.copy_within(from..from + 512, to);
            format!("sector at {from} again at {to}")
        }
        3 => {
            let (first, second) = (content[from..from + 512].to_vec(), content[to..to + 512].to_vec());
            content[to..to + 512].copy_from_slice(&first);
            content[from..from + 512].copy_from_slice(&second);
            format!("sectors at {from} and {to} swapped")
        }
        4 => {
            let from = from.min(other.len() - 512);
            content[to..to + 512].copy_from_slice(&other[from..from + 512]);
            format!("sector at {to} from {from} of another file")
        }
        _ => {
            let at = chance.index(content.len());
            content[at] = chance.below(256).to_le_bytes()[0];
            format!("another byte at {at}")
        }
    }
}

#[test]
fn damage_never_makes_another_log() {
    for closed in [true, false] {
        let (disk, expected) = log(closed);
        let names = segments(&disk);
        // The last header in the last file tells that all before it was durable. Where it is gone as well, the log might
        // have been torn there, for all that anybody can know.
        let last = disk.content(&names[names.len() - 1]);
        let frame = u64::from(!closed) * cost_of(&records(1 << 40, 1));
        let end = last.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(8);
        let telling = end - usize::try_from(GROUP_BYTES + frame).unwrap();
        let header = telling..telling + usize::try_from(GROUP_BYTES).unwrap();
        let tells = |content: &[u8]| content[header.clone()] == last[header.clone()];
        let least =
            if closed { expected.records.len() } else { expected.frames[expected.frames.len() - 2].0 };
        let (mut refused, mut harmless) = (0, 0);
        for seed in 0..800 {
            let mut chance = Chance::of(seed);
            let name = &names[chance.index(names.len())];
            let mut content = disk.content(name);
            let other = disk.content(&names[chance.index(names.len())]);
            let what = damage(&mut chance, &mut content, &other);
            if content == disk.content(name) {
                continue;
            }
            let damaged = disk.after_death();
            damaged.put(name, content);
            let message = format!("seed {seed}, closed {closed}, {name}: {what}");
            match shown(&damaged, Extent::default(), None) {
                Ok((_, all)) => {
                    let least = if name != &names[names.len() - 1] || tells(&damaged.content(name)) {
                        least
                    } else {
                        0
                    };
                    assert_eq!(expected.clone().accept(&all, least), Ok(()), "{message}");
                    harmless += 1;
                }
                Err(Refusal::Damaged { path, .. }) => {
                    assert!(path.starts_with("/sim"), "{message}");
                    refused += 1;
                }
                Err(other) => panic!("{message}: {other}"),
            }
        }
        assert!(refused > 200 && harmless > 20, "refused {refused}, harmless {harmless}");
    }
}

#[test]
fn a_damaged_durable_group_is_named() {
    let (disk, expected) = log(true);
    let names = segments(&disk);
    let name = names.last().unwrap();
    let mut content = disk.content(name);
    let at = usize::try_from(HEADER_BYTES + GROUP_BYTES).unwrap();
    content[at + 3] ^= 4;
    disk.put(name, content.clone());
    let refusal = shown(&disk, Extent::default(), None).unwrap_err();
    let path = disk.path(name);
    assert_eq!(refusal, Refusal::Damaged { path, offset: HEADER_BYTES, damage: Damage::Group });
    let text = refusal.to_string();
    assert!(text.contains(name) && text.contains("byte 4096") && text.contains("restore"), "{text}");
    // Nothing behind it says that it was durable: it may as well have been torn.
    content[at..].fill(0);
    disk.put(name, content);
    let (recovered, all) = shown(&disk, Extent::default(), None).unwrap();
    assert_eq!(expected.clone().accept(&all, 0), Ok(()));
    let cut = recovered.report.cut.unwrap();
    assert_eq!((cut.offset, cut.groups, recovered.report.closed), (HEADER_BYTES, 0, false));
    assert!(cut.bytes > 0 && cut.bytes <= GROUP_BYTES, "{cut:?}");
}

#[test]
fn groups_behind_a_hole_are_cut_if_nobody_was_told() {
    let disk = SimDisk::default();
    let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
    let mut life = Life::begin(disk.clone(), &fresh, 1, settings(SyncMode::Never)).unwrap();
    let mut expected = Expected::default();
    for number in 0..5 {
        life.append(&mut expected, &records(number, 1)).unwrap();
        life.step(1).unwrap();
    }
    let name = name_of(1);
    let mut content = disk.content(&name);
    let group = usize::try_from(life.ring.cost(records(0, 1).len()) + GROUP_BYTES).unwrap();
    let hole = usize::try_from(HEADER_BYTES).unwrap() + 2 * group;
    content[hole..hole + group].fill(0);
    disk.put(&name, content);
    let (recovered, all) = shown(&disk, Extent::default(), None).unwrap();
    assert_eq!(all, expected.records[..expected.frames[1].0]);
    let cut = recovered.report.cut.clone().unwrap();
    assert_eq!((cut.offset, cut.groups), (hole as u64, 2));
    // The next life goes on in front of them, and they never come back.
    let mut next = Life::begin(disk.clone(), &recovered, 2, settings(SyncMode::Always)).unwrap();
    let mut expected = Expected::default();
    expected.add(&all, 0);
    next.append(&mut expected, &records(77, 2)).unwrap();
    next.step(1).unwrap();
    let (again, all) = shown(&disk.after_power_loss(3), Extent::default(), None).unwrap();
    assert_eq!((all, again.report.files), (expected.records, 2));
}

/// Groups of another history of the same file, at the same positions, are none of this one's.
#[test]
fn groups_are_chained() {
    let history = |numbers: [u64; 3]| {
        let disk = SimDisk::default();
        let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
        let mut life = Life::begin(disk.clone(), &fresh, 1, settings(SyncMode::Never)).unwrap();
        let mut expected = Expected::default();
        for number in numbers {
            life.append(&mut expected, &records(number, 1)).unwrap();
            life.step(1).unwrap();
        }
        (disk, expected)
    };
    let (disk, expected) = history([1, 2, 3]);
    let (other, _) = history([4, 5, 6]);
    let group = usize::try_from(cost_of(&records(1, 1)) + GROUP_BYTES).unwrap();
    let second = usize::try_from(HEADER_BYTES).unwrap() + group;
    let mut content = disk.content(&name_of(1));
    content[second..].copy_from_slice(&other.content(&name_of(1))[second..]);
    disk.put(&name_of(1), content);
    let (recovered, all) = shown(&disk, Extent::default(), None).unwrap();
    assert_eq!(all, expected.records[..expected.frames[0].0]);
    assert_eq!(recovered.report.cut.unwrap().groups, 2);
}

#[test]
fn files_are_those_that_were_written() {
    let (disk, _) = log(true);
    let names = segments(&disk);
    let refused = |change: &dyn Fn(&SimDisk)| {
        let disk = disk.after_death();
        change(&disk);
        shown(&disk, Extent::default(), None).unwrap_err()
    };
    let damage = |refusal: Refusal| match refusal {
        Refusal::Damaged { damage, .. } => damage,
        other => panic!("{other}"),
    };
    let path = |name: &str| disk.path(name);
    assert_eq!(refused(&|disk| disk.remove(&names[1]).unwrap()), Refusal::Missing { path: path(&names[1]) });
    assert_eq!(refused(&|disk| disk.remove(&names[0]).unwrap()), Refusal::Missing { path: path(&names[0]) });
    let copied = refused(&|disk| disk.put(&names[2], disk.content(&names[1])));
    assert_eq!(damage(copied), Damage::Misnamed(2));
    let swapped = refused(&|disk| {
        let [first, second] = [&names[0], &names[1]].map(|name| disk.content(name));
        disk.put(&names[0], second);
        disk.put(&names[1], first);
    });
    assert!(matches!(damage(swapped), Damage::Misnamed(_)));
    let version = |version: u8| {
        let names = &names;
        move |disk: &SimDisk| {
            let mut content = disk.content(&names[1]);
            content[24] = version;
            disk.put(&names[1], content);
        }
    };
    let newer = refused(&version(2));
    assert!(newer.to_string().contains("format 2"), "{newer}");
    assert_eq!(damage(newer), Damage::Newer(2));
    assert_eq!(damage(refused(&|disk| disk.put(&names[0], b"text".to_vec()))), Damage::Foreign);
    // The file of another log, of the same number.
    let other = {
        let other = SimDisk::default();
        let (fresh, _) = shown(&other, Extent::default(), None).unwrap();
        let mut life = Life::begin(other.clone(), &fresh, 9, settings(SyncMode::Always)).unwrap();
        life.work(&mut Expected::default(), &mut Chance::of(5), 70).unwrap();
        other
    };
    let foreign = refused(&|disk| disk.put(&names[1], other.content(&names[1])));
    assert_eq!(damage(foreign), Damage::Order);
}

/// Or else a file of overlapping ones would be summed up once for each of them.
#[test]
fn a_group_within_another_is_none() {
    let (disk, expected) = log(true);
    let name = segments(&disk).pop().expect("there are some");
    let mut content = disk.content(&name);
    let (header, _) = Header::parse(&content[..to_index(HEADER_BYTES)]).expect("it is whole");
    let empty = Group { first: 8, end: 8, durable: 8, bytes: 0, checksum: 0, chain: 5, closed: false };
    let (inner, _) = empty.encode(header.mark);
    let bytes = u32::try_from(inner.len()).expect("it is short");
    let (outer, _) = Group { bytes, checksum: crc32c::crc32c(&inner), ..empty }.encode(header.mark);
    let end = content.iter().rposition(|byte| *byte != 0).expect("it has a header").next_multiple_of(8);
    // Neither continues what is there.
    content[end..][..inner.len()].copy_from_slice(&outer);
    content[end + outer.len()..][..inner.len()].copy_from_slice(&inner);
    disk.put(&name, content);
    let (recovered, all) = shown(&disk, Extent::default(), None).unwrap();
    assert_eq!(all, expected.records);
    let cut = recovered.report.cut.expect("something is behind the end");
    assert_eq!((cut.offset, cut.groups), (end as u64, 1));
}

fn to_index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("64 bits")
}
