//! Each advice is provoked by the figures that it is about, and by nothing else.

use std::sync::Arc;

use super::{BUSY_COMMANDS, RULES, STORM_TURNS, Symptoms};
use crate::command::info::Facts;
use crate::limits::{Limits, SyncPolicy};
use crate::metrics::busiest::Busiest;
use crate::metrics::events::{Event, Sample, Series};
use crate::metrics::slowlog::{Entry, cut};

/// A busy server that is well.
fn well() -> Symptoms {
    let mut facts = Facts::default();
    (facts.turns, facts.blocks, facts.blocks_low_water) = (1_000_000, 256, 190);
    (facts.journal.in_use, facts.journal.syncs) = (true, 1000);
    (facts.journal.p99_us, facts.journal.max_us) = (4_000, 30_000);
    (facts.connected_clients, facts.streamed, facts.starved) = (50, 12, 3);
    facts.busiest = Busiest { client: 7, commands: 4_000, of: 100_000 };
    Symptoms {
        facts,
        limits: Limits { monitor_ms: 100, ..Limits::default() },
        events: Vec::new(),
        slow: Vec::new(),
        dir: "/data".to_owned(),
    }
}

fn noted(event: Event, max_ms: u64) -> (Event, Series) {
    (event, Series { samples: vec![Sample { unix_s: 1, ms: max_ms }], max_ms })
}

fn slow(request: &str, duration_us: u64) -> Arc<Entry> {
    let count = request.split(' ').count();
    let arguments = cut(request.split(' ').map(str::as_bytes), count);
    Arc::new(Entry { duration_us, arguments, ..Entry::default() })
}

/// What is said once this has happened: one advice, which has these words.
#[track_caller]
fn provokes(happen: impl FnOnce(&mut Symptoms), words: &[&str]) {
    let mut symptoms = well();
    happen(&mut symptoms);
    let report = symptoms.report();
    assert!(report.starts_with("What holds clients up:\n1. "), "{report}");
    assert_eq!(report.lines().count(), 2, "{report}");
    for word in words {
        assert!(report.contains(word), "{word:?} is not in {report}");
    }
}

#[test]
fn a_server_that_is_well_is_told_so() {
    assert_eq!(well().report(), "All fine: nothing that was looked at holds clients up.\n");
    let mut nothing = well();
    (nothing.limits.monitor_ms, nothing.limits.slow_log_us) = (0, None);
    let report = nothing.report();
    assert!(report.starts_with("All fine"), "{report}");
    assert!(report.contains("CONFIG SET latency-monitor-threshold 100"), "{report}");
    assert!(report.contains("CONFIG SET slowlog-log-slower-than 10000"), "{report}");
}

#[test]
fn slow_syncs_name_the_directory_and_the_policy() {
    let words = ["Slow syncs", "/data", "80 ms for 99", "appendfsync everysec clients wait for none"];
    provokes(|it| it.facts.journal.p99_us = 80_000, &words);
    provokes(|it| it.facts.journal.delayed = 2, &["Slow syncs", "2 were late"]);
    let on_a_disk = |it: &mut Symptoms| (it.facts.disk, it.facts.journal.delayed) = ("vdb".to_owned(), 1);
    provokes(on_a_disk, &["the disk of /data (vdb) took"]);
    let always = |it: &mut Symptoms| {
        it.limits.sync = SyncPolicy::Always;
        it.events.push(noted(Event::AofFsync, 340));
    };
    provokes(always, &["up to 340 ms", "always every reply", "set appendfsync everysec"]);
    let never = |it: &mut Symptoms| {
        it.limits.sync = SyncPolicy::Never;
        it.facts.journal.delayed = 1;
    };
    provokes(never, &["appendfsync no"]);
    let mut without = well();
    (without.facts.journal.in_use, without.facts.journal.p99_us) = (false, 80_000);
    assert!(without.report().starts_with("All fine"));
}

#[test]
fn slow_writes_of_the_journal_are_told() {
    provokes(|it| it.events.push(noted(Event::AofWrite, 120)), &["Slow writes", "120 ms", "/data"]);
}

#[test]
fn slow_commands_are_named_with_what_to_use_instead() {
    let keys = |it: &mut Symptoms| {
        it.slow = vec![slow("KEYS *", 30_000), slow("keys a*", 230_500), slow("GET a", 9_000)];
    };
    provokes(keys, &["KEYS (2 of the slow log, up to 231 ms)", "SCAN instead of KEYS"]);
    provokes(|it| it.slow = vec![slow("HGETALL h", 40_000)], &["HGETALL (1 of", "HSCAN"]);
    provokes(|it| it.slow = vec![slow("MSET a 1", 40_000)], &["all or nothing"]);
    provokes(|it| it.slow = vec![slow("FLUSHALL", 40_000)], &["deadlines"]);
    provokes(|it| it.slow = vec![slow("DEBUG SLEEP 1", 1_000_000)], &["no DEBUG SLEEP"]);
    provokes(|it| it.slow = vec![slow("INCR a", 40_000)], &["INCR (1 of", "SLOWLOG GET shows"]);
    // All that took long enough for the monitor, where the slow log takes nothing.
    let unlogged = |it: &mut Symptoms| {
        (it.events, it.facts.streamed) = (vec![noted(Event::Command, 150)], 0);
    };
    provokes(unlogged, &["one took 150 ms", "set slowlog-log-slower-than"]);
    let mut everything = well();
    everything.slow = vec![slow("GET a", 15)];
    assert!(everything.report().starts_with("All fine"), "a log of everything is no log of what is slow");
}

#[test]
fn a_machine_without_time_is_told_from_slow_commands() {
    provokes(|it| it.events.push(noted(Event::FastCommand, 110)), &["Slow machine", "110 ms", "threads"]);
}

#[test]
fn huge_requests_are_told_where_they_hurt() {
    let words = ["Huge requests", "12 were executed part by part", "3 clients were closed"];
    provokes(|it| it.facts.refusals.query_overflows = 3, &words);
    let mut beside = well();
    beside.events.push(noted(Event::Command, 150));
    assert!(beside.report().contains("2. Huge requests: 12 were"), "{}", beside.report());
}

#[test]
fn replies_that_nobody_takes_are_told() {
    provokes(|it| it.facts.refusals.output_overflows = 2, &["Untaken replies: 2 clients"]);
}

#[test]
fn starved_buffers_are_told() {
    let starved = |it: &mut Symptoms| (it.facts.starved, it.facts.blocks_low_water) = (2_000, 0);
    provokes(starved, &["Starved buffers: 2000 receives", "(0 was the least that was free of 256)"]);
    provokes(|it| it.facts.overflows = 4, &["overflowed 4 times"]);
}

#[test]
fn a_connection_that_sends_most_commands_is_told() {
    let hot = |it: &mut Symptoms| it.facts.busiest.commands = 60_000;
    provokes(hot, &["client id=7 sent 60000 of the 100000", "CLIENT LIST ID 7"]);
    let fine = |commands, of, connected_clients| {
        let mut symptoms = well();
        symptoms.facts.busiest = Busiest { client: 7, commands, of };
        symptoms.facts.connected_clients = connected_clients;
        symptoms.report().starts_with("All fine")
    };
    assert!(fine(60_000, 60_000, 2), "who is alone holds nobody up");
    assert!(fine(BUSY_COMMANDS - 1, BUSY_COMMANDS, 50) && fine(50_000, 100_000, 50));
}

#[test]
fn an_expiry_storm_is_told() {
    provokes(|it| it.facts.expiry_capped = STORM_TURNS, &["Expiry storm: 1000 turns", "random"]);
    provokes(|it| it.events.push(noted(Event::ExpireCycle, 130)), &["Expiry storm", "130 ms"]);
}

#[test]
fn room_that_has_to_be_made_is_told() {
    provokes(|it| it.events.push(noted(Event::EvictionCycle, 105)), &["Full memory", "105 ms"]);
}

#[test]
fn advice_is_numbered() {
    let mut ill = well();
    ill.events = Event::ALL.map(|event| noted(event, 200)).to_vec();
    let report = ill.report();
    let numbers: Vec<&str> =
        report.lines().skip(1).filter_map(|line| line.split_once(". ")).map(|it| it.0).collect();
    let expected: Vec<String> = (1..=numbers.len()).map(|number| number.to_string()).collect();
    assert!(numbers == expected && numbers.len() > 5 && numbers.len() <= RULES.len(), "{report}");
}
