//! Disks without space: it is missed before anything is appended, and where it is missed all the same, nothing is lost.

use super::{Chance, Expected, Extent, Granted, Life, random_records, records, settings, shown};
use crate::journal::disk::sim::{Faults, SimDisk};
use crate::journal::ring::image::Image;
use crate::journal::segment::SPARE;
use crate::journal::writer::SyncMode;

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
fn a_long_frame_whose_space_was_not_obtained_waits_for_it() {
    let disk = SimDisk::default();
    let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
    let mut life = Life::begin(disk.clone(), &fresh, 1, settings(SyncMode::Always)).unwrap();
    let mut expected = Expected::default();
    disk.set_faults(Faults { space: Some(40 * 1024), ..Faults::default() });
    let long = records(5, 5000);
    let end = life.append_anyway(&mut expected, &long).unwrap();
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

#[test]
fn a_long_frame_obtains_its_space_first() {
    let disk = SimDisk::default();
    let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
    let mut life = Life::begin(disk.clone(), &fresh, 1, settings(SyncMode::Always)).unwrap();
    let mut expected = Expected::default();
    while life.step(20).unwrap().next_ms.is_some() {}
    disk.set_faults(Faults { space: Some(40 * 1024), ..Faults::default() });
    let long = records(5, 5000);
    assert_eq!(life.claim(long.len()), Granted::Later);
    while life.step(1).unwrap().pressing {}
    assert_eq!(life.claim(long.len()), Granted::Refused(libc::ENOSPC));
    life.step(1).unwrap();
    assert_eq!(life.ring.refusing(), None, "what is shorter is not refused");
    assert_eq!(disk.content(SPARE).len(), 16 * 1024, "the disk has back what it had of it");
    let short = life.append(&mut expected, &records(6, 1)).unwrap();
    life.step(1).unwrap();
    assert_eq!(life.ring.durable(), short);
    disk.set_faults(Faults::default());
    assert_eq!(life.claim(long.len()), Granted::Later);
    life.step(1).unwrap();
    assert_eq!(
        life.claim(long.len()),
        Granted::Refused(libc::ENOSPC),
        "it is asked for again only after a while"
    );
    assert_eq!(life.claim(long.len()), Granted::Later);
    while life.step(500).unwrap().pressing {}
    let end = life.append(&mut expected, &long).unwrap();
    assert!(!life.step(1).unwrap().stalled && life.ring.durable() == end);
    life.work(&mut expected, &mut Chance::of(5), 50).unwrap();
    assert_eq!(life.writer.close(&life.ring, life.now_ms), Ok(true));
    let (_, all) = shown(&disk.after_power_loss(2), Extent::default(), None).unwrap();
    assert_eq!(all, expected.records);
}

/// Whatever comes in whatever order, on disks of any size: what is given its space has it.
#[test]
fn what_is_given_space_has_it() {
    let mut refusals = 0;
    for seed in 0..200 {
        let mut chance = Chance::of(seed);
        let disk = SimDisk::default();
        let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
        let mut life = Life::begin(disk.clone(), &fresh, 1, settings(SyncMode::Always)).unwrap();
        let mut expected = Expected::default();
        let space = Some(17 * 1024 + chance.index(60 * 1024));
        disk.set_faults(Faults { space, ..Faults::default() });
        for number in 0..400 {
            let many = chance.below(4);
            let long = random_records(&mut chance, number);
            for _ in 0..many {
                refusals += u32::from(life.append(&mut expected, &long).is_none());
            }
            if chance.below(3) == 0 {
                life.ring.leave_beside(&mut life.allowance, 0);
            }
            assert!(!life.step(chance.below(30)).unwrap().stalled, "seed {seed}, number {number}");
            assert_eq!(life.ring.written(), life.ring.tail(), "seed {seed}, number {number}");
        }
        let (_, all) = shown(&disk.after_power_loss(seed), Extent::default(), None).unwrap();
        assert_eq!(all, expected.records, "seed {seed}");
    }
    assert!(refusals > 1000);
}

#[test]
fn claims_are_served_in_their_order() {
    let disk = SimDisk::default();
    let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
    let mut life = Life::begin(disk, &fresh, 1, settings(SyncMode::Always)).unwrap();
    let mut allowances = [const { None }; 3].map(|none: Option<_>| none.unwrap_or_default());
    let ring = &life.ring;
    assert_eq!(ring.top_up_beside(&mut allowances[0], 500, 0), Granted::All, "as much lies ready");
    assert_eq!(ring.top_up_beside(&mut allowances[1], 100_000, 1), Granted::Later);
    assert_eq!(ring.top_up_beside(&mut allowances[2], 8, 2), Granted::Later, "somebody waits");
    while life.writer.step(&life.ring, 1_000_000, false).unwrap().pressing {
        assert_eq!(life.ring.top_up_beside(&mut allowances[2], 8, 2), Granted::Later);
    }
    let ring = &life.ring;
    assert_eq!(ring.top_up_beside(&mut allowances[2], 8, 2), Granted::All);
    assert_eq!(ring.top_up_beside(&mut allowances[1], 100_000, 1), Granted::All);
    // What is not used lies ready, and what is too much of it is taken back.
    ring.leave_beside(&mut allowances[1], 1);
    assert_eq!(ring.top_up_beside(&mut allowances[0], 90_000, 0), Granted::All);
    ring.leave_beside(&mut allowances[0], 0);
    life.step(1).unwrap();
    assert_eq!(life.ring.top_up_beside(&mut allowances[0], 90_000, 0), Granted::Later);
    // Who does not wait any more is in nobody's way.
    life.ring.leave_beside(&mut allowances[0], 0);
    assert_eq!(life.ring.top_up_beside(&mut allowances[1], 8, 1), Granted::All);
}

/// Writes one of which finds no space, though blocks were taken for it: a limit was lowered, or the file system copies.
#[track_caller]
fn waits_at_each(sync: SyncMode, errno: i32, seed: u64) {
    let mut number = 0;
    loop {
        let disk = SimDisk::default();
        let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
        let Ok(mut life) = Life::begin(disk.clone(), &fresh, 1, settings(sync)) else {
            unreachable!("all is well")
        };
        let mut expected = Expected::default();
        let mut chance = Chance::of(seed);
        let short = Some(Chance::of(number)).filter(|_| seed % 2 == 1);
        disk.set_faults(Faults { write: Some((number, errno)), short, ..Faults::default() });
        life.work(&mut expected, &mut chance, 60).unwrap();
        // Nothing is appended while it fails, and what was before is not lost: not if power fails now, or the process dies.
        let dark = disk.after_power_loss(number);
        let (_, all) = shown(&dark, Extent::default(), None).unwrap();
        let promised = life.promised(&expected);
        assert_eq!(expected.clone().accept(&all, promised), Ok(()), "seed {seed}, number {number}");
        let kept = life.kept(&expected);
        let image = Image::of_ring(&life.ring);
        let (_, all) = shown(&disk.after_death(), Extent::default(), Some(&image)).unwrap();
        assert_eq!(expected.clone().accept(&all, kept), Ok(()), "seed {seed}, number {number}");
        // Or it goes on by itself.
        while !life.writer.close(&life.ring, life.now_ms).unwrap() {
            life.now_ms += 100;
        }
        let (recovered, all) = shown(&disk.after_power_loss(number), Extent::default(), None).unwrap();
        assert!(recovered.report.closed && recovered.report.cut.is_none());
        assert_eq!(all, expected.records, "seed {seed}, number {number}");
        if number >= disk.counts()[1] {
            break;
        }
        number += 1 + seed % 3;
    }
    assert!(number > 10, "there is something to fail");
}

#[test]
fn a_write_that_finds_no_space_is_tried_again() {
    for seed in 0..6 {
        for sync in [SyncMode::Always, SyncMode::EverySecond, SyncMode::Never] {
            waits_at_each(sync, [libc::ENOSPC, libc::EFBIG, libc::EDQUOT][seed % 3], seed as u64);
        }
    }
}

#[test]
fn nothing_is_appended_while_the_open_file_cannot_be_written() {
    let disk = SimDisk::default();
    let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
    let mut life = Life::begin(disk.clone(), &fresh, 1, settings(SyncMode::Always)).unwrap();
    let mut expected = Expected::default();
    while life.step(20).unwrap().next_ms.is_some() {}
    let before = life.append(&mut expected, &records(1, 1)).unwrap();
    life.step(1).unwrap();
    disk.set_faults(Faults { write: Some((0, libc::EFBIG)), ..Faults::default() });
    let waits = life.append(&mut expected, &records(2, 1)).unwrap();
    assert!(life.step(1).unwrap().stalled);
    assert_eq!((life.ring.refusing(), life.ring.durable()), (Some(libc::EFBIG), before));
    life.ring.give_back(&mut life.allowance);
    assert_eq!(life.append(&mut expected, &records(3, 1)), None);
    let stalled = life.step(400).unwrap();
    assert!(stalled.stalled && stalled.next_ms == Some(life.now_ms + 100));
    assert_eq!(life.append(&mut expected, &records(3, 1)), None);
    assert!(!life.step(100).unwrap().stalled);
    assert_eq!((life.ring.refusing(), life.ring.durable()), (None, waits));
    life.append(&mut expected, &records(3, 1)).unwrap();
    life.step(1).unwrap();
    let (_, all) = shown(&disk.after_power_loss(2), Extent::default(), None).unwrap();
    assert_eq!(all, expected.records);
}
