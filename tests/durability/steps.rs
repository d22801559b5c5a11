//! Death at each step that the journal and snapshots do to files, one after the other: while a server serves, takes
//! snapshots and ends, and while the next one starts on what is left. A step that is not reached is a failure.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tallyring::journal::disk::death::{self, Step};

use crate::client::Arrival;
use crate::load::{Crowd, read_number};
use crate::model::Random;
use crate::place::{Place, rounds, seed};
use crate::power::{TAIL, WRITTEN, word_of_ring};
use crate::server::{Engine, PATIENCE, Server, free_port, wait_until};

/// Clients that write.
const CLIENTS: usize = 4;

/// A key that no client of those knows.
const OWN: &str = "own";

/// Lives of servers on one directory: what is read at each start grows.
const LIVES: usize = 12;

/// All modes; those whose log ring outlives the process; the one in which nothing but a full file and an end asks for a
/// sync, so that it is known what a server is about to write that nobody talks to.
const ANY: &[&str] = &["always", "everysec", "no"];
const KEPT: &[&str] = &["everysec", "no"];
const LAZY: &[&str] = &["no"];

/// A life in one of these modes that ends at a step; and the steps at which starts die that come after it, each on what
/// the one before has left. Behind a colon, which time it is.
type Death = (&'static [&'static str], &'static str, &'static [&'static str]);

/// With one change under way, which is in the log ring alone: the next start has it behind the header of its file.
const QUIET: &[Death] = &[
    (LAZY, "before-write-journal", &["before-create-ring", "after-create-ring", "before-write-front:2"]),
    (LAZY, "halfway-write-journal", &["halfway-write-front:2", "after-write-front:2", "before-rename-ring"]),
    (LAZY, "before-write-journal", &["after-rename-ring", "after-rename-ring"]),
    (LAZY, "before-write-journal", &["before-remove-ring", "after-remove-ring"]),
    // Nobody says that what is in the file is durable, and the next start writes it again.
    (LAZY, "after-write-journal", &["before-write-journal", "halfway-write-journal", "after-write-journal"]),
    (LAZY, "after-write-journal", &["before-sync-journal", "after-sync-spare:2", "after-rename-spare"]),
];

/// Under load.
const SERVING: &[Death] = &[
    (KEPT, "before-write-journal:20", &["after-create-ring", "before-rename-ring"]),
    (KEPT, "halfway-write-journal:20", &["before-remove-ring", "after-rename-spare"]),
    (ANY, "before-write-journal:20", &["before-sync-journal"]),
    (ANY, "halfway-write-journal:20", &["before-sync-journal", "after-sync-spare"]),
    (ANY, "after-write-journal:20", &["after-sync-journal", "before-sync-names"]),
    (ANY, "before-sync-journal", &["after-sync-names", "before-create-spare"]),
    (ANY, "after-sync-journal", &["after-create-spare", "before-allocate-spare"]),
    // The file is full, and the next one gets its header and its name.
    (ANY, "before-write-front", &["after-allocate-spare", "before-write-spare"]),
    (ANY, "halfway-write-front", &["halfway-write-spare:7", "after-write-spare:16"]),
    (ANY, "after-write-front", &["before-sync-spare", "after-sync-spare"]),
    (ANY, "before-sync-spare", &["before-write-front", "halfway-write-front"]),
    (ANY, "after-sync-spare", &["after-write-front", "before-sync-spare:2"]),
    (ANY, "before-rename-spare", &["after-sync-spare:2", "before-rename-spare"]),
    (ANY, "after-rename-spare", &["after-rename-spare", "after-rename-spare"]),
    (ANY, "before-sync-names", &["before-sync-names:2", "after-sync-names:2"]),
    (ANY, "after-sync-names", &["after-rename-spare", "before-write-front"]),
    // The one after that is made.
    (ANY, "before-create-spare", &[]),
    (ANY, "after-create-spare", &[]),
    (ANY, "before-allocate-spare", &[]),
    (ANY, "after-allocate-spare", &[]),
    (ANY, "before-write-spare", &[]),
    (ANY, "halfway-write-spare:9", &[]),
    (ANY, "after-write-spare:16", &[]),
    (ANY, "before-sync-spare:2", &[]),
    (ANY, "after-sync-spare:2", &["after-rename-spare"]),
];

/// Under load, with one snapshot after the other.
const SAVING: &[Death] = &[
    (ANY, "before-create-part", &[]),
    (ANY, "after-create-part", &["before-remove-part", "after-remove-part"]),
    (ANY, "before-write-part", &["before-remove-part"]),
    (ANY, "halfway-write-part", &["after-remove-part"]),
    (ANY, "after-write-part", &[]),
    (ANY, "before-write-part:2", &[]),
    (ANY, "halfway-write-part:2", &["before-remove-part", "after-rename-spare"]),
    (ANY, "after-write-part:2", &[]),
    (ANY, "before-sync-part", &[]),
    (ANY, "after-sync-part", &[]),
    (ANY, "before-rename-part", &["after-remove-part", "before-rename-spare"]),
    // There are two snapshots, and files of the journal that the older one needs.
    (ANY, "after-rename-part:2", &["before-remove-snapshot", "after-remove-snapshot"]),
    (ANY, "before-remove-snapshot", &["before-remove-journal", "after-remove-journal"]),
    (ANY, "before-remove-snapshot", &["after-rename-spare", "after-remove-snapshot"]),
    (ANY, "after-remove-snapshot", &["before-remove-journal"]),
    (ANY, "before-remove-journal", &["after-rename-spare", "after-remove-journal"]),
    (ANY, "after-remove-journal", &[]),
];

/// In an orderly end under load, with a snapshot.
const ENDING: &[Death] = &[
    (ANY, "before-create-part", &[]),
    (ANY, "after-create-part", &["after-remove-part"]),
    (ANY, "halfway-write-part", &[]),
    (ANY, "halfway-write-part:2", &[]),
    (ANY, "before-sync-part", &[]),
    (ANY, "after-sync-part", &[]),
    (ANY, "before-rename-part", &["before-remove-part"]),
    (ANY, "after-rename-part", &["after-remove-snapshot"]),
    (ANY, "before-remove-snapshot", &["before-remove-snapshot"]),
    (ANY, "after-remove-snapshot", &["after-remove-journal"]),
    (ANY, "before-remove-journal", &[]),
    (ANY, "after-remove-journal", &[]),
];

/// In an orderly end at which nothing is left to be done but to say that it is one.
const CLOSING: &[Death] = &[
    (LAZY, "before-write-journal", &[]),
    (LAZY, "halfway-write-journal", &["after-write-journal", "after-rename-spare"]),
    (LAZY, "after-write-journal", &["halfway-write-journal"]),
    (ANY, "before-sync-journal", &[]),
    (ANY, "after-sync-journal", &[]),
    (LAZY, "before-sync-journal:2", &["after-rename-spare"]),
    (LAZY, "after-sync-journal:2", &["after-rename-spare"]),
];

/// What a server does when it is to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Quiet,
    Serving,
    Saving,
    Ending,
    Closing,
}

/// A directory, and who has written there.
struct Campaign {
    engine: Engine,
    place: Place,
    crowd: Crowd,
    /// What a key of our own holds, at least and at most.
    own: (i64, i64),
}

/// Every death of a table, each in one of its modes; in each of them where there are so many rounds.
fn campaign(engine: Engine, when: When, deaths: &[Death]) {
    let mut random = Random(seed(&format!("deaths at steps, {}, {when:?}", engine.name())));
    let shift = usize::try_from(random.between(0, 6)).expect("a few");
    let (began, mut total) = (Instant::now(), 0);
    for round in 0..rounds("TALLYRING_STEP_CYCLES", 1) {
        for (number, deaths) in deaths.chunks(LIVES).enumerate() {
            let crowd = Crowd::new(CLIENTS, random.next());
            let mut campaign = Campaign { engine, place: Place::new(), crowd, own: (0, 0) };
            for (at, (modes, step, starts)) in deaths.iter().enumerate() {
                let mode = modes[(shift + round + number + at) % modes.len()];
                eprintln!("appendfsync {mode}, {step}, then {starts:?}");
                campaign = campaign.live(mode, when, step);
                starts.iter().for_each(|step| campaign.start(mode, step));
            }
            let server = Server::with_flags(engine, &["--dir", &campaign.place.dir()]);
            campaign.settle(&server);
            total += campaign.crowd.total;
        }
    }
    eprintln!("{total} requests were acknowledged; it took {:?}", began.elapsed());
}

impl Campaign {
    /// All that was acknowledged is there.
    fn settle(&mut self, server: &Server) {
        let debt = self.crowd.debt();
        self.crowd.settle(server, &debt);
        let (least, most) = self.own;
        let found = read_number(&mut server.connect(), OWN);
        assert!((least..=most).contains(&found), "{OWN} is {found}: acknowledged were {least}, sent {most}");
        self.own = (found, found);
    }

    /// A server that has what is known, and dies at the step.
    fn live(mut self, mode: &str, when: When, step: &str) -> Self {
        let (dir, data) = (self.place.dir(), self.place.data());
        let armed = data.with_file_name("armed");
        // There is none before the first life.
        let _none = fs::remove_file(&armed);
        let mut flags = vec!["--dir", &dir, "--appendfsync", mode, "--threads", "2"];
        if when == When::Ending {
            // A rule that is never met, and has an orderly end take one.
            flags.extend(["--save", "3600", "1000000"]);
        }
        let mut server = Server::prepared(self.engine, &flags, &|command| {
            command.env(death::STEP, step).env(death::CONDITION, &armed);
        });
        self.settle(&server);
        let arm = || fs::write(&armed, "").expect("the test directory is writable");
        match when {
            When::Quiet | When::Closing => {
                if when == When::Closing {
                    self.add_own(&server);
                }
                wait_until_written(&data, mode);
                arm();
                if when == When::Closing {
                    server.terminate()
                } else {
                    self.add_own(&server)
                }
                expect_death(&mut server, step, || ());
            }
            When::Serving | When::Saving | When::Ending => {
                self = self.under_load(&mut server, when, step, &arm)
            }
        }
        self
    }

    /// The same, while the crowd writes.
    fn under_load(mut self, server: &mut Server, when: When, step: &str, arm: &dyn Fn()) -> Self {
        let data = self.place.data();
        if when == When::Ending {
            // There is one already.
            server.connect().ask_words("SAVE", "+OK\r\n");
            wait_until("what is older is gone", || segments(&data).0 == 1);
        }
        let (mut client, mut saved) = (server.connect(), segments(&data).1);
        let running = self.crowd.start(server);
        wait_until("some requests are acknowledged", || running.acked() > 100);
        if when == When::Ending {
            wait_until("a file of the journal is full", || segments(&data).0 > 1);
        }
        arm();
        if when == When::Ending {
            server.terminate();
        }
        expect_death(server, step, || {
            // One for each file of the journal, so that it makes the ones before superfluous.
            let newest = if when == When::Saving { segments(&data).1 } else { saved };
            if newest > saved && client.try_send("BGSAVE\r\n").is_ok() {
                saved = newest;
            }
        });
        self.crowd = running.join();
        self
    }

    /// Adds to the key of our own, perhaps while the server dies.
    fn add_own(&mut self, server: &Server) {
        let mut client = server.connect();
        self.own.1 += 1;
        client.send_words(&format!("INCR {OWN}"));
        if matches!(client.receive(PATIENCE), Arrival::Bytes) {
            self.own.0 = self.own.1;
        }
    }

    /// A server that dies at the step while it starts, or as soon as it has.
    fn start(&self, mode: &str, step: &str) {
        let dir = self.place.dir();
        let mode = if step.contains("remove-ring") { "always" } else { mode };
        let flags = ["--dir", &dir, "--appendfsync", mode, "--threads", "2"];
        let armed = |command: &mut Command| {
            command.env(death::STEP, step);
        };
        loop {
            let mut server = Server::spawn_prepared(self.engine, free_port(&flags), &flags, &armed);
            wait_long(step, &mut server, || ());
            if !server.output().to_lowercase().contains("address already in use") {
                expect_death(&mut server, step, || ());
                break;
            }
        }
    }
}

/// How many files the journal has, but for the one that is made ahead, and the number of the newest.
fn segments(data: &Path) -> (usize, u64) {
    let entries = fs::read_dir(data).expect("it is there");
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let numbers = names.filter_map(|name| u64::from_str_radix(name.strip_prefix("journal-")?, 16).ok());
    numbers.fold((0, 0), |(count, newest), number| (count + 1, newest.max(number)))
}

/// Waits until nothing is left to be written, in a mode in which it can be seen.
fn wait_until_written(data: &Path, mode: &str) {
    if mode != "always" {
        wait_until("all is written", || word_of_ring(data, WRITTEN) == word_of_ring(data, TAIL));
    }
}

/// Waits until a server is gone.
#[track_caller]
fn wait_long(step: &str, server: &mut Server, mut meanwhile: impl FnMut()) {
    let deadline = Instant::now() + 6 * PATIENCE;
    while server.exited().is_none() {
        assert!(Instant::now() < deadline, "{step} is not reached:\n{}", server.output());
        meanwhile();
        thread::sleep(Duration::from_millis(2));
    }
}

/// A server dies at the step, and of nothing else.
#[track_caller]
fn expect_death(server: &mut Server, step: &str, meanwhile: impl FnMut()) {
    wait_long(step, server, meanwhile);
    let (status, output) = (server.exited().expect("it has"), server.output());
    let says = format!("dying {}, as {} says", name(step), death::STEP);
    assert!(status.signal() == Some(9) && output.contains(&says), "not at {step}: {status}\n{output}");
}

/// A step without the number behind it.
fn name(step: &str) -> &str {
    step.split_once(':').map_or(step, |(name, _)| name)
}

#[test]
fn every_step_is_died_at() {
    let deaths = [QUIET, SERVING, SAVING, ENDING, CLOSING].concat();
    let named: BTreeSet<String> = deaths
        .iter()
        .flat_map(|(_, step, starts)| std::iter::once(step).chain(*starts))
        .map(|step| name(step).to_owned())
        .collect();
    let all: BTreeSet<String> = Step::all().map(|step| step.to_string()).collect();
    assert_eq!(named, all);
}

fn deaths_with_a_change_in_the_ring(engine: Engine) {
    campaign(engine, When::Quiet, QUIET);
}

fn deaths_while_serving(engine: Engine) {
    campaign(engine, When::Serving, SERVING);
}

fn deaths_while_saving(engine: Engine) {
    campaign(engine, When::Saving, SAVING);
}

fn deaths_at_an_end_with_a_snapshot(engine: Engine) {
    campaign(engine, When::Ending, ENDING);
}

fn deaths_while_closing(engine: Engine) {
    campaign(engine, When::Closing, CLOSING);
}

on_both_engines!(
    deaths_with_a_change_in_the_ring,
    deaths_while_serving,
    deaths_while_saving,
    deaths_at_an_end_with_a_snapshot,
    deaths_while_closing
);
