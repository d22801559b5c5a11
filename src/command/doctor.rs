//! What `LATENCY DOCTOR` says: what holds clients up, judged by what was noted and counted, and what to do about it. Plain
//! rules over plain figures, a function each.

use std::fmt::Write;
use std::sync::Arc;

use crate::limits::{Limits, SyncPolicy};
use crate::metrics::events::{Event, Series};
use crate::metrics::slowlog::Entry;
use crate::table::Figures;

use super::Call;
use super::info::Facts;

/// Microseconds of a sync above which a disk is slow: one that is not takes a tenth of this with everybody writing to it.
const SLOW_SYNC_US: u64 = 50_000;

/// Microseconds of a command above which it is slow, whatever the slow log takes: Redis' own threshold.
const SLOW_COMMAND_US: u64 = 10_000;

/// One in so many turns that starved for receive blocks is one too many.
const STARVED_TURNS: u64 = 1_000;

/// Commands in a second that keep a worker busy enough for it to matter who sends them.
const BUSY_COMMANDS: u64 = 10_000;

/// Turns that left keys for the next one whose deadline had passed: 64,000 keys that had to go at once.
const STORM_TURNS: u64 = 1_000;

/// Kinds of slow commands that are named.
const NAMED: usize = 5;

/// What the advice is based on.
#[derive(Debug)]
pub(super) struct Symptoms {
    pub(super) facts: Facts,
    pub(super) limits: Limits,
    /// What the latency monitor has noted.
    pub(super) events: Vec<(Event, Series)>,
    /// The slow log.
    pub(super) slow: Vec<Arc<Entry>>,
    /// Where the journal is.
    pub(super) dir: String,
}

/// The report on the server that `call` runs in.
pub(super) fn report(call: &Call<'_>) -> String {
    let mut dir = String::new();
    call.host.config_get(&[b"dir"], &mut |_, value| value.clone_into(&mut dir));
    let events = call.host.events();
    let symptoms = Symptoms {
        // What the table knows would need every segment's lock, and nothing here asks for it.
        facts: call.host.facts(Figures::default()),
        limits: *call.host.limits(),
        events: Event::ALL.into_iter().filter_map(|event| Some((event, events.get(event)?))).collect(),
        slow: call.host.slow_log().newest(usize::MAX),
        dir,
    };
    symptoms.report()
}

impl Symptoms {
    fn report(&self) -> String {
        let advice: Vec<String> = RULES.iter().filter_map(|rule| rule(self)).collect();
        let mut out = if advice.is_empty() {
            "All fine: nothing that was looked at holds clients up.\n".to_owned()
        } else {
            "What holds clients up:\n".to_owned()
        };
        for (number, text) in (1..).zip(&advice) {
            writeln!(out, "{number}. {text}").expect("writing to memory does not fail");
        }
        if self.limits.monitor_ms == 0 {
            out += "The latency monitor is off. CONFIG SET latency-monitor-threshold 100 turns it on: what takes 100 ms \
                    or more is noted then, and judged here.\n";
        }
        if self.limits.slow_log_us.is_none() {
            out += "The slow log is off. CONFIG SET slowlog-log-slower-than 10000 turns it on: commands that take 10 ms \
                    or more are kept then, and judged here.\n";
        }
        out
    }

    /// Where the journal is.
    fn place(&self) -> String {
        let (dir, disk) = (&self.dir, &self.facts.disk);
        if disk.is_empty() { dir.clone() } else { format!("{dir} ({disk})") }
    }

    /// The longest of an event, if it was noted.
    fn longest_ms(&self, event: Event) -> Option<u64> {
        self.events.iter().find(|(seen, _)| *seen == event).map(|(_, series)| series.max_ms)
    }
}

/// Advice, where there is reason for it.
type Rule = fn(&Symptoms) -> Option<String>;

const RULES: [Rule; 10] = [
    slow_syncs,
    slow_writes,
    slow_commands,
    slow_machine,
    huge_requests,
    untaken_replies,
    starved_buffers,
    hot_connection,
    expiry_storm,
    full_memory,
];

fn slow_syncs(symptoms: &Symptoms) -> Option<String> {
    let journal = &symptoms.facts.journal;
    let noted = symptoms.longest_ms(Event::AofFsync);
    if !journal.in_use || noted.is_none() && journal.delayed == 0 && journal.p99_us < SLOW_SYNC_US {
        return None;
    }
    let longest = ms(journal.max_us).max(noted.unwrap_or(0));
    let (effect, remedy) = match symptoms.limits.sync {
        SyncPolicy::Always => (
            "with appendfsync always every reply that shows a change waits for one",
            "put dir on a faster disk, or set appendfsync everysec if the last second may be lost with the power",
        ),
        SyncPolicy::EverySecond => (
            "with appendfsync everysec clients wait for none, but what the power may take with it is more than a second's",
            "put dir on a faster disk, or on one that others do not write to",
        ),
        SyncPolicy::Never => (
            "with appendfsync no there is one for each file of the journal, and what comes after it waits",
            "put dir on a faster disk",
        ),
    };
    Some(format!(
        "Slow syncs: the disk of {} took up to {longest} ms for a sync of the journal, {} ms for 99 of a hundred, and {} \
         were late because the one before was not over; {effect}. Remedy: {remedy}.",
        symptoms.place(),
        ms(journal.p99_us),
        journal.delayed,
    ))
}

fn slow_writes(symptoms: &Symptoms) -> Option<String> {
    let longest = symptoms.longest_ms(Event::AofWrite)?;
    Some(format!(
        "Slow writes: writing the journal took up to {longest} ms. The log ring holds what is appended meanwhile, and those \
         who write wait when it is full. Remedy: put dir ({}) on a faster disk, or on one that others do not write to.",
        symptoms.place()
    ))
}

/// What is done about a command that takes long.
fn remedy(name: &str) -> Option<&'static str> {
    Some(match name {
        "keys" => "SCAN instead of KEYS, which looks at every key",
        "hgetall" | "hkeys" | "hvals" => {
            "HMGET of the fields that are needed, or HSCAN, instead of whole hashes"
        }
        "mset" | "msetnx" | "hset" | "hmset" | "hmincrby" | "mincronce" | "hdel" | "hmget" => {
            "fewer pairs in a request that is all or nothing"
        }
        "flushall" | "flushdb" => {
            "deadlines, or SCAN and UNLINK a few at a time, instead of removing all keys at once"
        }
        "debug" => "no DEBUG SLEEP where clients wait",
        _ => return None,
    })
}

fn slow_commands(symptoms: &Symptoms) -> Option<String> {
    let mut kinds: Vec<(String, u64, u64)> = Vec::new();
    for entry in symptoms.slow.iter().filter(|entry| entry.duration_us >= SLOW_COMMAND_US) {
        let name = entry.arguments.first().map(|name| String::from_utf8_lossy(name).to_ascii_lowercase());
        let name = name.unwrap_or_default();
        match kinds.iter_mut().find(|(seen, ..)| *seen == name) {
            Some((_, times, longest)) => (*times, *longest) = (*times + 1, entry.duration_us.max(*longest)),
            None => kinds.push((name, 1, entry.duration_us)),
        }
    }
    kinds.sort_by_key(|&(_, times, _)| std::cmp::Reverse(times));
    kinds.truncate(NAMED);
    if kinds.is_empty() {
        let longest = symptoms.longest_ms(Event::Command)?;
        return Some(format!(
            "Slow commands: one took {longest} ms, and the slow log has none. Remedy: set slowlog-log-slower-than to \
             {SLOW_COMMAND_US} microseconds or less, and look with SLOWLOG GET at which they are.",
        ));
    }
    let named = kinds.iter().map(|(name, times, longest)| {
        format!("{} ({times} of the slow log, up to {} ms)", name.to_ascii_uppercase(), ms(*longest))
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let mut remedies: Vec<&str> = Vec::new();
    for remedy in kinds.iter().filter_map(|(name, ..)| remedy(name)) {
        if !remedies.contains(&remedy) {
            remedies.push(remedy);
        }
    }
    remedies.push("SLOWLOG GET shows which arguments it was");
    Some(format!("Slow commands: {named}. Remedy: {}.", remedies.join("; ")))
}

fn slow_machine(symptoms: &Symptoms) -> Option<String> {
    let longest = symptoms.longest_ms(Event::FastCommand)?;
    Some(format!(
        "Slow machine: a command that takes constant time took {longest} ms. Remedy: see to it that the server has its \
         processors for itself (other processes, stolen time of a virtual machine, a quota), that its memory is not swapped, \
         and that threads is not above the number of processors.",
    ))
}

fn huge_requests(symptoms: &Symptoms) -> Option<String> {
    let facts = &symptoms.facts;
    let (streamed, refused) = (facts.streamed, facts.refusals.query_overflows);
    // Executed part by part they hold nobody up, unless something else says that somebody is.
    let held_up = symptoms.longest_ms(Event::Command).is_some();
    if refused == 0 && !(held_up && streamed > 0) {
        return None;
    }
    Some(format!(
        "Huge requests: {streamed} were executed part by part while they arrived, and {refused} clients were closed for one \
         above client-query-buffer-limit ({} bytes). Remedy: divide them; where they have to be whole, raise \
         client-query-buffer-limit.",
        symptoms.limits.query_buffer,
    ))
}

fn untaken_replies(symptoms: &Symptoms) -> Option<String> {
    let closed = symptoms.facts.refusals.output_overflows;
    (closed > 0).then(|| {
        format!(
            "Untaken replies: {closed} clients were closed because more than {} bytes of replies waited for them \
             (client-output-buffer-limit). Remedy: have clients read while they write, or ask for less at a time.",
            symptoms.limits.output_buffer
        )
    })
}

fn starved_buffers(symptoms: &Symptoms) -> Option<String> {
    let facts = &symptoms.facts;
    let starves = facts.starved > 0 && facts.starved.saturating_mul(STARVED_TURNS) >= facts.turns;
    if !starves && facts.overflows == 0 {
        return None;
    }
    Some(format!(
        "Starved buffers: {} receives found no free block ({} was the least that was free of {}), and the completion queue \
         overflowed {} times. Remedy: more threads, or fewer and smaller pipelines at a time.",
        facts.starved, facts.blocks_low_water, facts.blocks, facts.overflows
    ))
}

fn hot_connection(symptoms: &Symptoms) -> Option<String> {
    let facts = &symptoms.facts;
    let busiest = facts.busiest;
    let most = busiest.commands > busiest.of / 2 && busiest.commands >= BUSY_COMMANDS;
    // Alone it holds nobody up; who asks is one more.
    if !most || facts.connected_clients < 3 {
        return None;
    }
    Some(format!(
        "Hot connection: client id={} sent {} of the {} commands of a second. One connection is served by one worker, and its \
         neighbours there wait for their turn. Remedy: several connections for that client (CLIENT LIST ID {}), on as many \
         threads.",
        busiest.client, busiest.commands, busiest.of, busiest.client
    ))
}

fn expiry_storm(symptoms: &Symptoms) -> Option<String> {
    let (turns, noted) = (symptoms.facts.expiry_capped, symptoms.longest_ms(Event::ExpireCycle));
    if turns < STORM_TURNS && noted.is_none() {
        return None;
    }
    Some(format!(
        "Expiry storm: {turns} turns left keys for the next one whose deadline had passed, and removing them took up to {} ms \
         of a turn. Remedy: spread the deadlines, by adding something random to each.",
        noted.unwrap_or(0)
    ))
}

fn full_memory(symptoms: &Symptoms) -> Option<String> {
    let longest = symptoms.longest_ms(Event::EvictionCycle)?;
    Some(format!(
        "Full memory: making room for a command took up to {longest} ms. Remedy: raise maxmemory ({} bytes), or give keys \
         shorter lives.",
        symptoms.limits.max_memory
    ))
}

fn ms(us: u64) -> u64 {
    us.div_ceil(1000)
}

#[cfg(test)]
mod tests;
