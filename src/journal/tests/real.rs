//! On a directory of the system.

use super::{Chance, Directory, Expected, Extent, Life, records, settings, shown};
use crate::journal::ORIGIN;
use crate::journal::disk::{Action, Disk as _, RealDisk};
use crate::journal::life::boot_id;
use crate::journal::recovery::Refusal;
use crate::journal::segment::{SPARE, sequence_of};
use crate::journal::snapshot::remove_superseded;
use crate::journal::writer::SyncMode;

fn files(disk: &RealDisk) -> usize {
    disk.names().unwrap().iter().filter(|name| sequence_of(name).is_some()).count()
}

#[test]
fn a_log_is_there_again() {
    let directory = Directory::fresh();
    let mut expected = Expected::default();
    for life in 1..=3 {
        let disk = RealDisk::take(directory.path()).unwrap();
        let taken = RealDisk::take(directory.path()).unwrap_err();
        assert_eq!((taken.action, taken.errno), (Action::Lock, libc::EWOULDBLOCK));
        let (recovered, all) = shown(&disk, Extent::default(), None).unwrap();
        assert_eq!(expected.accept(&all, expected.records.len()), Ok(()));
        assert_eq!(recovered.report.closed, life == 3);
        let sync = [SyncMode::Always, SyncMode::EverySecond, SyncMode::Never][life - 1];
        let mut running = Life::begin(disk, &recovered, life as u64, settings(sync)).unwrap();
        running.work(&mut expected, &mut Chance::of(life as u64), 40).unwrap();
        let written = running.ring.written();
        if life == 2 {
            assert_eq!(running.writer.close(&running.ring, running.now_ms), Ok(true));
        } else {
            running.writer.step(&running.ring, running.now_ms, true).unwrap();
        }
        assert!(running.ring.durable() >= written);
    }
    assert!(
        directory.path().join(SPARE).exists() || directory.path().join("journal-0000000000000003").exists()
    );
}

#[test]
fn what_a_snapshot_has_is_dropped() {
    let directory = Directory::fresh();
    let disk = RealDisk::take(directory.path()).unwrap();
    let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
    let other = disk.clone();
    let mut life = Life::begin(disk, &fresh, 1, settings(SyncMode::Always)).unwrap();
    let mut expected = Expected::default();
    life.work(&mut expected, &mut Chance::of(1), 100).unwrap();
    let (from, skipped) = (life.ring.tail(), expected.records.len());
    for number in 0..200 {
        while life.append(&mut expected, &records(5000 + number, 2)).is_none() {
            life.step(1).unwrap();
        }
        life.step(1).unwrap();
    }
    let reach = life.ring.durable();
    let segment = life.writer.segment();
    assert!(segment > 4);
    assert!(life.writer.supersede(ORIGIN).is_empty());
    let superseded = life.writer.supersede(from);
    let dropped = superseded.len();
    assert_eq!(superseded, (1..=dropped as u64).collect::<Vec<_>>());
    assert!(dropped > 0);
    assert!(life.writer.supersede(from).is_empty());
    let mut rests = 0;
    remove_superseded(&other, &superseded, || rests += 1).unwrap();
    assert_eq!(rests, dropped);
    assert_eq!(life.writer.close(&life.ring, life.now_ms), Ok(true));
    drop((life, other));
    let disk = RealDisk::take(directory.path()).unwrap();
    assert_eq!(files(&disk) as u64, segment - dropped as u64);
    let (recovered, all) = shown(&disk, Extent { from, reach }, None).unwrap();
    assert_eq!(all, expected.records[skipped..]);
    assert!(matches!(shown(&disk, Extent::default(), None), Err(Refusal::Missing { .. })));
    let beyond = Extent { from, reach: reach + 8 };
    assert_eq!(shown(&disk, beyond, None), Err(Refusal::Short { end: reach, reach: reach + 8 }));
    // The next life can drop what the last one wrote.
    let other = disk.clone();
    let mut life = Life::begin(disk, &recovered, 2, settings(SyncMode::Always)).unwrap();
    let superseded = life.writer.supersede(reach);
    remove_superseded(&other, &superseded, || ()).unwrap();
    drop((life, other));
    let disk = RealDisk::take(directory.path()).unwrap();
    let (_, all) = shown(&disk, Extent { from: reach, reach }, None).unwrap();
    assert_eq!((all.len(), files(&disk)), (0, 1));
}

#[test]
fn the_machine_names_its_life() {
    assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    assert_ne!(boot_id().unwrap(), 0);
}

#[test]
fn a_missing_log_is_no_new_one() {
    let directory = Directory::fresh();
    let disk = RealDisk::take(directory.path()).unwrap();
    let gone = shown(&disk, Extent { from: 800, reach: 800 }, None);
    assert!(matches!(gone, Err(Refusal::Missing { .. })));
    let failure = disk.open("journal-0000000000000001").unwrap_err();
    assert!(failure.to_string().contains("cannot open") && failure.to_string().contains("No such file"));
}

#[test]
fn only_groups_that_say_so_end_a_log_that_was_idle() {
    let directory = Directory::fresh();
    let disk = RealDisk::take(directory.path()).unwrap();
    let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
    let mut life = Life::begin(disk, &fresh, 1, settings(SyncMode::EverySecond)).unwrap();
    let mut expected = Expected::default();
    life.step(1).unwrap();
    assert_eq!(life.step(1).unwrap().next_ms, None);
    let first = life.append(&mut expected, &records(1, 1)).unwrap();
    let progress = life.step(1).unwrap();
    assert!(progress.synced && life.ring.durable() == first && progress.next_ms == Some(life.now_ms + 10));
    let progress = life.step(10).unwrap();
    assert!(!progress.synced && progress.next_ms.is_none());
    life.append(&mut expected, &records(2, 1)).unwrap();
    let progress = life.step(1).unwrap();
    assert!(!progress.synced && progress.next_ms == Some(life.now_ms + 989));
    assert!(life.step(989).unwrap().synced);
    life.step(10).unwrap();
    drop(life);
    // The last frame is damaged, and what was written when nothing was to be done tells of it.
    let path = directory.path().join("journal-0000000000000001");
    let mut content = std::fs::read(&path).unwrap();
    let at = content.windows(5).rposition(|bytes| bytes == b"key:2").unwrap();
    content[at] ^= 1;
    std::fs::write(&path, content).unwrap();
    let disk = RealDisk::take(directory.path()).unwrap();
    assert!(matches!(shown(&disk, Extent::default(), None), Err(Refusal::Damaged { .. })));
}
