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
            // One that is killed while it starts, too. Taken ports are no harm.
            let port = u16::try_from(random.between(20_000, 32_000)).expect("16 bits");
            let server = Server::spawn(engine, port, &flags);
            thread::sleep(Duration::from_micros(random.between(0, 30_000)));
            drop(server);
        }
        place.note_ring();
        let server = Server::with_flags(engine, &flags);
        let debt = crowd.debt();
        crowd.settle(&server, &debt);
        let running = crowd.start(&server);
        thread::sleep(Duration::from_micros(random.between(1_000, 60_000)));
        drop(server);
        crowd = running.join();
    }
    place.note_ring();
    let server = Server::with_flags(engine, &flags);
    let debt = crowd.debt();
    crowd.settle(&server, &debt);
    crowd.total
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
            let port = u16::try_from(random.between(20_000, 32_000)).expect("16 bits");
            let server = Server::spawn(engine, port, &flags);
            thread::sleep(Duration::from_micros(random.between(0, 40_000)));
            drop(server);
        }
        place.note_ring();
        let server = Server::with_flags(engine, &flags);
        let debt = crowd.debt();
        crowd.settle(&server, &debt);
        let running = crowd.start(&server);
        thread::sleep(Duration::from_micros(random.between(1_000, 20_000)));
        drop(server);
        crowd = running.join();
    }
}

on_both_engines!(
    kills_between_two_sizes,
    kills_with_a_sync_for_each_reply,
    kills_with_a_sync_each_second,
    kills_without_syncs
);
