//! Disks that fail: nothing is published after a failure, and what was published before it is there.

use super::{Chance, Expected, Extent, Life, records, settings, shown};
use crate::journal::disk::Failure;
use crate::journal::disk::sim::{Faults, SimDisk};
use crate::journal::ring::image::Image;
use crate::journal::segment::name_of;
use crate::journal::writer::SyncMode;

/// A whole life: what was expected, what was promised when it ended, and the ring. `Err`: it did not begin.
fn run(
    disk: &SimDisk,
    sync: SyncMode,
    seed: u64,
) -> Result<(Expected, usize, Image, Result<(), Failure>), Failure> {
    let (fresh, _) = shown(disk, Extent::default(), None).expect("it is empty");
    let mut life = Life::begin(disk.clone(), &fresh, 1, settings(sync))?;
    let mut expected = Expected::default();
    let mut chance = Chance::of(seed);
    let mut ended = life.work(&mut expected, &mut chance, 60);
    if ended.is_ok() {
        ended = life.writer.close(&life.ring, life.now_ms).map(|all| assert!(all));
    }
    Ok((expected.clone(), life.promised(&expected), Image::of_ring(&life.ring), ended))
}

#[track_caller]
fn fails_at_each(of: usize, seed: u64, faults: impl Fn(u64) -> Faults) {
    let disk = SimDisk::default();
    let (_, _, _, ended) = run(&disk, SyncMode::EverySecond, seed).unwrap();
    assert_eq!(ended, Ok(()));
    let count = disk.counts()[of];
    assert!(count > 10, "there is something to fail");
    for number in 0..count {
        let disk = SimDisk::default();
        disk.set_faults(faults(number));
        let Ok((mut expected, promised, image, ended)) = run(&disk, SyncMode::EverySecond, seed) else {
            continue;
        };
        let failure = ended.expect_err("something failed");
        assert!(failure.errno == libc::EIO && failure.path.starts_with("/sim"), "{failure}");
        // Power fails as well: what was durable is there.
        let dark = disk.after_power_loss(number);
        let (_, all) = shown(&dark, Extent::default(), None).unwrap();
        assert_eq!(expected.clone().accept(&all, promised), Ok(()), "seed {seed}, number {number}");
        // Or a new process begins, which sees in the cache what the device does not have, and then power fails.
        let disk = disk.after_death();
        let (recovered, all) = shown(&disk, Extent::default(), Some(&image)).unwrap();
        assert_eq!(expected.accept(&all, promised), Ok(()), "seed {seed}, number {number}");
        drop(Life::begin(disk.clone(), &recovered, 2, settings(SyncMode::Always)).unwrap());
        let (_, all) = shown(&disk.after_power_loss(number), Extent::default(), None).unwrap();
        assert_eq!(expected.accept(&all, expected.records.len()), Ok(()), "seed {seed}, number {number}");
    }
}

#[test]
fn a_failed_write_ends_the_log() {
    for seed in 0..4 {
        fails_at_each(1, seed, |number| Faults { write: Some((number, libc::EIO)), ..Faults::default() });
    }
}

#[test]
fn a_failed_sync_ends_the_log() {
    for seed in 0..40 {
        fails_at_each(2, seed, |number| Faults { sync: Some((number, libc::EIO)), ..Faults::default() });
    }
}

#[test]
fn a_failure_names_the_file_as_it_is_called() {
    let disk = SimDisk::default();
    let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
    for files in [0, 2] {
        let disk = disk.after_death();
        let mut life = Life::begin(disk.clone(), &fresh, 1, settings(SyncMode::Always)).unwrap();
        let mut expected = Expected::default();
        let mut chance = Chance::of(3);
        while life.writer.segment() <= files {
            life.work(&mut expected, &mut chance, 1).unwrap();
        }
        life.append(&mut expected, &records(7, 1)).expect("there is room");
        disk.set_faults(Faults { write: Some((0, libc::EIO)), ..Faults::default() });
        let failure = life.step(0).unwrap_err();
        assert!(failure.path.ends_with(name_of(life.writer.segment())), "{failure}");
    }
}

#[test]
fn short_and_interrupted_writes_are_continued() {
    for seed in 0..10 {
        let disk = SimDisk::default();
        disk.set_faults(Faults { short: Some(Chance::of(seed)), ..Faults::default() });
        let (mut expected, promised, _, ended) = run(&disk, SyncMode::Always, seed).unwrap();
        assert_eq!((ended, promised), (Ok(()), expected.records.len()));
        let (recovered, all) = shown(&disk.after_power_loss(seed), Extent::default(), None).unwrap();
        assert_eq!(expected.accept(&all, promised), Ok(()), "seed {seed}");
        assert!(recovered.report.closed && recovered.report.cut.is_none());
    }
}

#[test]
fn a_full_disk_is_met_before_anything_is_appended() {
    let disk = SimDisk::default();
    let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
    let mut life = Life::begin(disk.clone(), &fresh, 1, settings(SyncMode::Always)).unwrap();
    let mut expected = Expected::default();
    // Space for the file that is there, and no second one.
    disk.set_faults(Faults { space: Some(20 * 1024), ..Faults::default() });
    let mut number = 0;
    let mut refused = 0;
    while refused < 50 {
        while life.append(&mut expected, &records(number, 2)).is_some() {
            number += 1;
        }
        refused += 1;
        let progress = life.step(20).unwrap();
        assert!(!progress.stalled, "what was appended has its space");
    }
    assert!(number > 50, "the file was used");
    assert_eq!(life.ring.refusing(), Some(libc::ENOSPC));
    assert_eq!(life.promised(&expected), expected.records.len(), "all that was appended is durable");
    let (mut before, all) =
        (expected.clone(), shown(&disk.after_power_loss(1), Extent::default(), None).unwrap().1);
    assert_eq!(before.accept(&all, expected.records.len()), Ok(()));
    // Somebody makes space; it is asked for again only after a while.
    disk.set_faults(Faults::default());
    let mut passed = 0;
    while life.append(&mut expected, &records(number, 2)).is_none() {
        life.step(100).unwrap();
        passed += 100;
        assert!(passed <= 600, "it goes on by itself");
    }
    assert_eq!(life.ring.refusing(), None);
    life.work(&mut expected, &mut Chance::of(5), 50).unwrap();
    assert_eq!(life.writer.close(&life.ring, life.now_ms), Ok(true));
    let (_, all) = shown(&disk.after_power_loss(2), Extent::default(), None).unwrap();
    assert_eq!(all, expected.records);
}

#[test]
fn a_long_frame_waits_for_its_space() {
    let disk = SimDisk::default();
    let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
    let mut life = Life::begin(disk.clone(), &fresh, 1, settings(SyncMode::Always)).unwrap();
    let mut expected = Expected::default();
    disk.set_faults(Faults { space: Some(40 * 1024), ..Faults::default() });
    let long = super::records(5, 5000);
    let end = life.append(&mut expected, &long).unwrap();
    life.append(&mut expected, &records(6, 1)).unwrap();
    for _ in 0..5 {
        assert!(life.step(600).unwrap().stalled);
        assert_eq!(life.ring.refusing(), Some(libc::ENOSPC));
        assert!(!life.ring.survives_the_process(end) && life.ring.durable() < end);
    }
    assert_eq!(life.writer.close(&life.ring, life.now_ms), Ok(false));
    disk.set_faults(Faults::default());
    let progress = life.step(600).unwrap();
    assert!(!progress.stalled && life.ring.durable() == life.ring.tail() && life.ring.refusing().is_none());
    life.work(&mut expected, &mut Chance::of(5), 50).unwrap();
    assert_eq!(life.writer.close(&life.ring, life.now_ms), Ok(true));
    let (_, all) = shown(&disk.after_power_loss(2), Extent::default(), None).unwrap();
    assert_eq!(all, expected.records);
}
