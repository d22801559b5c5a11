//! Death of the process: nothing that was acknowledged or seen is lost or counted twice, however it is synced.

use std::thread;
use std::time::Duration;

use crate::load::Crowd;
use crate::model::Random;
use crate::place::{Place, rounds, seed};
use crate::server::{Engine, Server};

/// Clients that write.
const CLIENTS: usize = 4;

/// Lives of a server on one directory: what it reads at each start grows.
const LIVES: usize = 12;

fn campaign(engine: Engine, sync: &str) {
    let mut random = Random(seed(&format!("kills, {}, appendfsync {sync}", engine.name())));
    let mut left = rounds("TALLYRING_KILL_CYCLES", 10);
    let mut total = 0;
    while left > 0 {
        let lives = LIVES.min(left);
        left -= lives;
        total += on_one_directory(engine, sync, lives, &mut random);
    }
    eprintln!("{total} requests were acknowledged");
}

fn on_one_directory(engine: Engine, sync: &str, lives: usize, random: &mut Random) -> usize {
    let place = Place::new();
    let dir = place.dir();
    let threads = random.between(1, 3).to_string();
    let flags = ["--dir", &dir, "--appendfsync", sync, "--threads", &threads];
    let mut crowd = Crowd::new(CLIENTS, random.next());
    for _ in 0..lives {
        while random.between(0, 3) == 0 {
            start_and_kill(engine, &flags, random.between(20_000, 32_000), random.between(0, 30_000));
        }
        place.note_ring();
        crowd = live_and_kill(engine, &flags, crowd, random.between(1_000, 60_000));
    }
    place.note_ring();
    let server = Server::with_flags(engine, &flags);
    let debt = crowd.debt();
    crowd.settle(&server, &debt);
    crowd.total
}

/// A server that is killed while it starts. A port that is taken is no harm.
fn start_and_kill(engine: Engine, flags: &[&str], port: u64, microseconds: u64) {
    let server = Server::spawn(engine, u16::try_from(port).expect("16 bits"), flags);
    thread::sleep(Duration::from_micros(microseconds));
    drop(server);
}

/// A server that has what the crowd knows of, serves it, and is killed.
fn live_and_kill(engine: Engine, flags: &[&str], mut crowd: Crowd, microseconds: u64) -> Crowd {
    let server = Server::with_flags(engine, flags);
    let debt = crowd.debt();
    crowd.settle(&server, &debt);
    let running = crowd.start(&server);
    thread::sleep(Duration::from_micros(microseconds));
    drop(server);
    running.join()
}

fn kills_with_a_sync_for_each_reply(engine: Engine) {
    campaign(engine, "always");
}

fn kills_with_a_sync_each_second(engine: Engine) {
    campaign(engine, "everysec");
}

fn kills_without_syncs(engine: Engine) {
    campaign(engine, "no");
}

/// A start with files of another size makes the log ring another one: what only the old one has comes first.
fn kills_between_two_sizes(engine: Engine) {
    let mut random = Random(seed(&format!("kills between sizes, {}", engine.name())));
    let place = Place::new();
    let dir = place.dir();
    let mut crowd = Crowd::new(CLIENTS, random.next());
    for life in 0..rounds("TALLYRING_KILL_CYCLES", 10) {
        let size = ["1mb", "2mb", "8mb"][life % 3];
        let flags = ["--dir", &dir, "--appendfsync", "no", "--journal-segment-size", size];
        for _ in 0..3 {
            start_and_kill(engine, &flags, random.between(20_000, 32_000), random.between(0, 40_000));
        }
        place.note_ring();
        crowd = live_and_kill(engine, &flags, crowd, random.between(1_000, 20_000));
    }
}

on_both_engines!(
    kills_between_two_sizes,
    kills_with_a_sync_for_each_reply,
    kills_with_a_sync_each_second,
    kills_without_syncs
);
