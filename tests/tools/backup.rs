//! `tallyring backup` of a server under load: what it copies is a beginning of what the server has acknowledged.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::stage::{Place, Server, ask, content, dumped, fine, refused, wait_until};

/// Bytes of each value, so that a file of the journal is soon full.
const FILL: usize = 2000;

/// The number of keys `0, 1, 2 …` in a directory, which holds nothing else and none of them twice.
#[track_caller]
fn prefix(dir: &str) -> u64 {
    let lines = dumped(dir);
    let mut numbers: Vec<u64> = lines
        .iter()
        .map(|line| {
            let key = line.split('\t').next().and_then(|key| key.strip_prefix("\"k:")?.strip_suffix('"'));
            key.and_then(|key| key.parse().ok()).unwrap_or_else(|| panic!("{line}"))
        })
        .collect();
    numbers.sort_unstable();
    let count = numbers.len() as u64;
    assert!(numbers.into_iter().eq(0..count), "{dir} has a gap");
    count
}

/// Sets one key after the other until it `ends`, and takes a snapshot each time that so many are there.
fn write(server: &Server, acknowledged: &AtomicU64, ends: &AtomicBool, snapshots: Option<u64>) {
    let connection = &mut server.connect();
    let value = "v".repeat(FILL);
    for number in 1.. {
        if ends.load(Ordering::Relaxed) {
            break;
        }
        ask::<String>(connection, &format!("SET k:{} {value}", number - 1));
        acknowledged.store(number, Ordering::Release);
        if snapshots.is_some_and(|every| number.is_multiple_of(every)) {
            ask::<String>(connection, "SAVE");
        }
    }
}

#[test]
fn a_backup_under_load_is_a_beginning_of_what_was_acknowledged() {
    let place = Place::new();
    let dir = place.at("data");
    let server = Server::on(&dir, &["--appendfsync", "always"]);
    let (acknowledged, ends) = (AtomicU64::new(0), AtomicBool::new(false));
    let copies: Vec<String> = (0..8).map(|number| place.at(&format!("copy{number}"))).collect();
    let mut told = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| write(&server, &acknowledged, &ends, None));
        for (place, copy) in copies.iter().enumerate() {
            let enough = (place as u64 + 1) * 250;
            wait_until("there is something new", || acknowledged.load(Ordering::Acquire) >= enough);
            let least = acknowledged.load(Ordering::Acquire);
            let line = fine(&["backup", "--from", &dir, copy]);
            // One request may be on its way.
            let most = acknowledged.load(Ordering::Acquire) + 1;
            told.push((least, most, line));
        }
        ends.store(true, Ordering::Relaxed);
    });
    for (copy, (least, most, line)) in copies.iter().zip(&told) {
        let count = prefix(copy);
        assert!((*least..=*most).contains(&count), "{count} of {least} to {most}");
        assert!(
            line.starts_with(&format!("{copy}: ")) && line.contains(" files linked, 1 copied, "),
            "{line}"
        );
    }
    let last = copies.last().unwrap();
    let first_file = "journal-0000000000000001";
    let inode = |dir: &str| fs::metadata(format!("{dir}/{first_file}")).unwrap().ino();
    assert_eq!(inode(last), inode(&dir), "what does not change any more is linked");
    // It is a data directory like any other, and what is written there does not reach the original.
    let before = prefix(last);
    let restored = Server::on(last, &[]);
    let connection = &mut restored.connect();
    assert_eq!(ask::<u64>(connection, "DBSIZE"), before);
    ask::<String>(connection, &format!("SET k:{before} 1"));
    restored.end();
    assert_eq!(prefix(last), before + 1);
    server.end();
    assert_eq!(prefix(&dir), acknowledged.load(Ordering::Acquire));
}

#[test]
fn a_backup_while_snapshots_are_taken_is_whole() {
    let place = Place::new();
    let dir = place.at("data");
    let server = Server::on(&dir, &["--appendfsync", "always"]);
    let (acknowledged, ends) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| write(&server, &acknowledged, &ends, Some(200)));
        for number in 1..=5 {
            wait_until("there are keys", || acknowledged.load(Ordering::Acquire) >= number * 300);
            let least = acknowledged.load(Ordering::Acquire);
            let copy = place.at(&format!("copy{number}"));
            fine(&["backup", "--from", &dir, &copy]);
            let most = acknowledged.load(Ordering::Acquire) + 1;
            let count = prefix(&copy);
            assert!((least..=most).contains(&count), "{count} of {least} to {most}");
            assert!(fine(&["check", &copy]).contains("\n  snapshot          snapshot-"));
        }
        ends.store(true, Ordering::Relaxed);
    });
    server.end();
    assert_eq!(prefix(&dir), acknowledged.load(Ordering::Acquire));
}

#[test]
fn a_backup_needs_a_place_of_its_own() {
    let place = Place::new();
    let (dir, copy) = (place.at("data"), place.at("copy"));
    let server = Server::on(&dir, &[]);
    ask::<i64>(&mut server.connect(), "INCR n");
    server.end();
    fs::create_dir(&copy).unwrap();
    fine(&["backup", "--from", &dir, &copy]);
    assert_eq!(dumped(&copy), ["\"n\"\tstring\t1\t-"]);
    let before = content(&copy);
    assert_eq!(refused(1, &["backup", "--from", &dir, &copy]), format!("{copy} is not empty"));
    assert_eq!(refused(1, &["backup", "--from", &dir, &dir]), format!("{dir} is not empty"));
    assert!(content(&copy) == before);
    let line = refused(1, &["backup", "--from", &dir, "/nowhere/copy"]);
    assert_eq!(line, "cannot use /nowhere/copy: No such file or directory (os error 2)");
}

#[test]
fn a_backup_that_could_not_be_loaded_is_none() {
    let place = Place::new();
    let (dir, copy) = (place.at("data"), place.at("copy"));
    let server = Server::on(&dir, &[]);
    let connection = &mut server.connect();
    let value = "v".repeat(FILL);
    let last = format!("{dir}/journal-0000000000000003");
    for number in 0.. {
        if fs::exists(&last).unwrap() {
            break;
        }
        ask::<String>(connection, &format!("SET k:{number} {value}"));
    }
    // A byte of a file that is linked, and then one of these files missing.
    let first = format!("{dir}/journal-0000000000000001");
    let file = OpenOptions::new().read(true).write(true).open(&first).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 500_000).unwrap();
    file.write_all_at(&[!byte[0]], 500_000).unwrap();
    let line = refused(4, &["backup", "--from", &dir, &copy]);
    assert!(line.starts_with(&format!("what {dir} holds cannot be loaded: {copy}: {copy}/")), "{line}");
    assert!(line.contains("journal-0000000000000001 is damaged at byte "), "{line}");
    assert!(!fs::exists(&copy).unwrap());
    file.write_all_at(&byte, 500_000).unwrap();
    fine(&["backup", "--from", &dir, &copy]);
    fs::remove_file(format!("{dir}/journal-0000000000000002")).unwrap();
    let line = refused(4, &["backup", "--from", &dir, &place.at("other")]);
    assert!(line.contains("journal-0000000000000002 is missing; "), "{line}");
}
