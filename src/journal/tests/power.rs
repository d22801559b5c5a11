//! Losses of power at any moment: what was durable is there, and what is there is a beginning.

use super::{Chance, Expected, Extent, Life, random_records, settings, shown};
use crate::journal::disk::sim::{Faults, SimDisk};
use crate::journal::ring::image::Image;
use crate::journal::writer::SyncMode;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Power,
    PowerOrDeath,
}

/// Some lives of one log, each ended at any moment. `Err` says what was broken, and in which run.
fn lives(seed: u64, sync: SyncMode, end: End, lazy: bool) -> Result<u64, String> {
    let mut chance = Chance::of(seed);
    let mut disk = SimDisk::default();
    let mut image: Option<Image> = None;
    let mut expected = Expected::default();
    // Bytes of records that the last life promised to keep whatever happens, that it promised to keep as long as there is
    // power, and which of the two counts.
    let (mut durable, mut kept, mut promised) = (0, 0, 0);
    let count = 2 + chance.below(3);
    for life in 0..=count {
        let broken = |what: String| format!("seed {seed}, life {life}, {sync:?}, {end:?}: {what}");
        let (recovered, all) = shown(&disk, Extent::default(), image.as_ref())
            .map_err(|refusal| broken(format!("refused: {refusal}")))?;
        expected.accept(&all, promised).map_err(|what| broken(format!("{what}; {:?}", recovered.report)))?;
        let short = (chance.below(3) == 0).then(|| chance.clone());
        let soon = chance.below(4) == 0;
        let power = Some(chance.below(if soon { 20 } else { 400 }));
        disk.set_faults(Faults { power, short, lazy, ..Faults::default() });
        let dies = end == End::PowerOrDeath && chance.below(2) == 0;
        if let Ok(mut running) = Life::begin(disk.clone(), &recovered, seed + life, settings(sync)) {
            let rounds = chance.below(80);
            let worked = running.work(&mut expected, &mut chance, rounds);
            if worked.is_ok() && chance.below(3) == 0 {
                let _ = running.writer.close(&running.ring, running.now_ms);
            } else {
                // The journal thread did not come to these.
                for _ in 0..chance.below(8) {
                    let number = expected.frames.len() as u64;
                    running.append(&mut expected, &random_records(&mut chance, number));
                }
            }
            (durable, kept) = (running.promised(&expected), running.kept(&expected));
            image = Some(Image::of_ring(&running.ring));
        }
        // A life that did not begin has left the ring as it was.
        if dies {
            (disk, promised) = (disk.after_death(), kept);
        } else {
            disk = disk.after_power_loss(chance.below(u64::MAX));
            (image, kept, promised) = (None, durable, durable);
        }
    }
    Ok(count)
}

#[track_caller]
fn campaign(images: u64, first_seed: u64, sync: SyncMode, end: End) {
    let mut done = 0;
    let mut seed = first_seed;
    while done < images {
        done += lives(seed, sync, end, false).unwrap_or_else(|broken| panic!("{broken}"));
        seed += 1000;
    }
}

#[test]
fn what_was_synced_survives_a_loss_of_power() {
    campaign(500, 1, SyncMode::Always, End::Power);
}

#[test]
fn a_second_is_lost_at_most() {
    campaign(300, 2, SyncMode::EverySecond, End::Power);
}

#[test]
fn without_syncs_there_is_still_a_beginning() {
    campaign(200, 3, SyncMode::Never, End::Power);
}

#[test]
fn deaths_and_losses_of_power_may_alternate() {
    campaign(200, 4, SyncMode::EverySecond, End::PowerOrDeath);
    campaign(100, 5, SyncMode::Always, End::PowerOrDeath);
}

/// The campaign finds what it is there for.
#[test]
fn syncs_that_do_nothing_are_found_out() {
    let mut images = 0;
    let mut seed = 6;
    while images < 50 {
        match lives(seed, SyncMode::Always, End::Power, true) {
            Ok(more) => images += more,
            Err(_) => return,
        }
        seed += 1000;
    }
    panic!("50 losses of power after syncs that did nothing went unnoticed");
}
