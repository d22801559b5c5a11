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
