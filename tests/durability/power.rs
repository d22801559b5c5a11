//! Loss of power: the file system is cut off from its device under load, and mounted again.
//!
//! Only what was acknowledged before the cut begins is owed: a sync that runs when it begins may succeed for nothing.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::load::{Crowd, Debt, Running};
use crate::model::Random;
use crate::place::{Volume, can_mount, rounds, seed};
use crate::server::{Engine, Server, wait_until};

/// Words of the log ring's header that are looked at.
const BOOT: u64 = 5;
pub(crate) const TAIL: u64 = 16;
pub(crate) const WRITTEN: u64 = 32;
const DURABLE: u64 = 48;

pub(crate) fn word_of_ring(data: &Path, word: u64) -> u64 {
    let ring = fs::File::open(data.join("journal.ring")).expect("a server has a log ring");
    let mut bytes = [0; 8];
    ring.read_exact_at(&mut bytes, word * 8).expect("it has a header");
    u64::from_ne_bytes(bytes)
}

/// Makes the log ring that of another life of the machine, as it is after a loss of power.
fn forget_boot(data: &Path) {
    // It may never have reached the device.
    if let Ok(ring) = fs::OpenOptions::new().write(true).open(data.join("journal.ring")) {
        ring.write_all_at(&[0; 8], BOOT * 8).expect("it can be written");
    }
}

/// Waits until all that was acknowledged at a moment in between is synced, and returns that.
fn synced_debt(running: &Running, data: &Path) -> Debt {
    let debt = running.debt();
    let tail = word_of_ring(data, TAIL);
    wait_until("a second's sync", || word_of_ring(data, DURABLE) >= tail);
    debt
}

fn campaign(engine: Engine, sync: &str, few: usize) {
    let name = format!("losses of power, {}, appendfsync {sync}", engine.name());
    if !can_mount(&name) {
        return;
    }
    let mut random = Random(seed(&name));
    let volume = Volume::new(256);
    let dir = volume.dir();
    let flags = ["--dir", &dir, "--appendfsync", sync, "--threads", "2"];
    let mut crowd = Crowd::new(4, random.next());
    let mut debt = crowd.debt();
    for round in 0..rounds("TALLYRING_POWER_CYCLES", few) {
        if round > 0 && round % 5 == 0 {
            // What a start reads grows.
            fs::remove_dir_all(volume.data()).expect("no server is there");
            crowd = Crowd::new(4, random.next());
            debt = crowd.debt();
        }
        let server = Server::with_flags(engine, &flags);
        crowd.settle(&server, &debt);
        let running = crowd.start(&server);
        thread::sleep(Duration::from_micros(random.between(5_000, 100_000)));
        debt = match sync {
            "always" => running.debt(),
            _ if random.between(0, 3) == 0 => synced_debt(&running, &volume.data()),
            _ => running.debt().forgiven(),
        };
        volume.cut(u32::try_from(random.between(1, 3)).expect("1 or 2"));
        drop(server);
        crowd = running.join();
        volume.remount();
        forget_boot(&volume.data());
    }
    let server = Server::with_flags(engine, &flags);
    crowd.settle(&server, &debt);
    eprintln!("{} requests were acknowledged", crowd.total);
}

fn cuts_with_a_sync_for_each_reply(engine: Engine) {
    campaign(engine, "always", 12);
}

fn cuts_with_a_sync_each_second(engine: Engine) {
    campaign(engine, "everysec", 8);
}

on_both_engines!(cuts_with_a_sync_for_each_reply, cuts_with_a_sync_each_second);
