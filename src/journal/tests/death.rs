//! Deaths of the process at any moment: all complete frames are there, and nothing is made up.

use super::{Chance, Expected, Extent, Life, random_records, records, settings, shown};
use crate::journal::disk::sim::{Faults, SimDisk};
use crate::journal::recovery::recover;
use crate::journal::ring::image::Image;
use crate::journal::writer::SyncMode;
use crate::table::effect::Effect;

#[test]
fn complete_frames_survive_the_process() {
    for seed in 0..150 {
        let mut chance = Chance::of(seed);
        let sync = [SyncMode::Always, SyncMode::EverySecond, SyncMode::Never][chance.index(3)];
        let disk = SimDisk::default();
        let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
        let mut life = Life::begin(disk.clone(), &fresh, 1, settings(sync)).unwrap();
        let mut expected = Expected::default();
        let rounds = chance.below(60);
        // A step that is broken off at any operation.
        disk.set_faults(Faults { power: Some(chance.below(300)), ..Faults::default() });
        let _ = life.work(&mut expected, &mut chance, rounds);
        // Some append, and some are killed in the middle of it.
        for _ in 0..chance.below(8) {
            let number = expected.frames.len() as u64;
            if chance.below(3) > 0 {
                life.append(&mut expected, &records(number, 1 + number % 3));
            } else if life.ring.top_up(&mut life.allowance, 64) {
                let half = &records(u64::MAX, 2)[..chance.index(50)];
                life.ring.abandon(&mut life.allowance, 64, half);
            }
        }
        let image = Image::of_ring(&life.ring);
        let kept = life.kept(&expected);
        let disk = disk.after_death();
        let (recovered, all) = shown(&disk, Extent::default(), Some(&image)).unwrap();
        let found = expected.accept(&all, kept);
        assert_eq!(found, Ok(()), "seed {seed}: {:?}", recovered.report);
        // What the ring gave is in files from the beginning of the next life on, whatever becomes of that.
        drop(Life::begin(disk.clone(), &recovered, 2, settings(sync)).unwrap());
        let disk = disk.after_power_loss(seed);
        let (again, all) = shown(&disk, Extent::default(), Some(&image)).unwrap();
        assert_eq!(expected.accept(&all, all.len()), Ok(()), "seed {seed}");
        assert_eq!((all.len(), again.report.ring_frames), (expected.records.len(), 0), "seed {seed}");
    }
}

#[test]
fn a_death_in_the_beginning_leaves_what_the_ring_had() {
    for seed in 0..60 {
        let disk = SimDisk::default();
        let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
        let mut life = Life::begin(disk.clone(), &fresh, 1, settings(SyncMode::EverySecond)).unwrap();
        let mut expected = Expected::default();
        let mut chance = Chance::of(seed);
        life.work(&mut expected, &mut chance, 10).unwrap();
        for number in 0..6 {
            life.append(&mut expected, &records(900 + number, 2));
        }
        let kept = life.kept(&expected);
        let image = Image::of_ring(&life.ring);
        let mut disk = disk.after_death();
        // The second life dies at each of its operations in turn; the ring is begun anew only when it is through.
        let (recovered, all) = shown(&disk, Extent::default(), Some(&image)).unwrap();
        disk.set_faults(Faults { power: Some(seed / 4), ..Faults::default() });
        let begun = Life::begin(disk.clone(), &recovered, 2, settings(SyncMode::EverySecond));
        disk = disk.after_death();
        let (_, again) = shown(&disk, Extent::default(), Some(&image)).unwrap();
        assert_eq!(again, all, "seed {seed}, begun: {}", begun.is_ok());
        assert_eq!(expected.accept(&again, kept), Ok(()), "seed {seed}");
    }
}

#[test]
fn a_ring_of_another_boot_is_not_looked_at() {
    let disk = SimDisk::default();
    let (fresh, _) = shown(&disk, Extent::default(), None).unwrap();
    let mut life = Life::begin(disk.clone(), &fresh, 1, settings(SyncMode::EverySecond)).unwrap();
    let mut expected = Expected::default();
    life.append(&mut expected, &random_records(&mut Chance::of(3), 3)).unwrap();
    let image = Image::of_ring(&life.ring);
    let mut count = 0;
    let mut apply = |_: &Effect<'_>| count += 1;
    let other = recover(&disk, Extent::default(), Some(&image), 1, &mut apply).unwrap();
    assert_eq!((other.report.ring_frames, count), (0, 0));
    let (_, all) = shown(&disk, Extent::default(), Some(&image)).unwrap();
    assert_eq!(all, expected.records);
}
