//! `MEMORY`: what memory is used for, what a key takes, and what to do about it.

use std::fmt::Write;

use crate::resp::integer;

use super::info::{Facts, human, ratio};
use super::texts::{NOT_INTEGER, SYNTAX};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome, help};

/// `MEMORY`
pub static MEMORY: Command = Command {
    subcommands: &[DOCTOR, MALLOC_STATS, PURGE, STATS, USAGE, help::help_of("4.0.0", "server", &[])],
    ..help::container("memory", "Commands about memory.", "4.0.0", "server")
};

const DOCTOR: Command = Command {
    name: "doctor",
    docs: Docs { summary: "Tells what is wrong with the use of memory, if anything.", ..SERVED },
    run: doctor,
    ..OF_SERVER
};

const MALLOC_STATS: Command = Command {
    name: "malloc-stats",
    flags: Flags::NONE,
    docs: Docs {
        summary: "Tells that the allocator keeps no figures, as Redis does without jemalloc.",
        ..SERVED
    },
    run: |call| {
        call.reply.bulk(b"Stats not supported for the current allocator");
        Outcome::Done
    },
    ..OF_SERVER
};

const PURGE: Command = Command {
    name: "purge",
    flags: Flags::NONE,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    docs: Docs { summary: "Gives freed memory back to the system, which also happens by itself.", ..SERVED },
    run: |call| {
        call.host.give_memory_back();
        call.reply.ok();
        Outcome::Done
    },
    ..OF_SERVER
};

const STATS: Command = Command {
    name: "stats",
    docs: Docs { summary: "Shows what memory is used for.", ..SERVED },
    run: stats,
    ..OF_SERVER
};

const USAGE: Command = Command {
    name: "usage",
    arity: -3,
    flags: Flags::READONLY,
    keys: Keys { first: 2, last: 2, step: 1 },
    access: &["RO"],
    tips: &[],
    docs: Docs {
        summary: "Tells how many bytes a key takes, its share of what keys have in common included.",
        arguments: &[Argument::KEY, Argument::new("count", "integer").after("SAMPLES").maybe()],
        ..SERVED
    },
    run: usage,
    ..OF_SERVER
};

/// What subcommands about the whole server have in common.
const OF_SERVER: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::ALL_KEYS,
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    docs: SERVED,
    run: help::bare,
    subcommands: &[],
};

/// What their descriptions have in common.
const SERVED: Docs =
    Docs { summary: "", since: "4.0.0", group: "server", complexity: "O(1)", arguments: &[] };

fn usage(call: &mut Call<'_>) -> Outcome {
    let mut rest = call.args.tail(3);
    while let Some(option) = rest.next() {
        // How many fields to look at: here they are counted as they come.
        let samples = rest.next().filter(|_| option.eq_ignore_ascii_case(b"samples")).map(integer::parse);
        let error = match samples {
            Some(Some(0..)) => continue,
            Some(None) => NOT_INTEGER,
            Some(Some(_)) | None => SYNTAX,
        };
        call.reply.error(error);
        return Outcome::Done;
    }
    match call.at(2, |place| place.bytes()) {
        Some(bytes) => call.reply.count(bytes),
        None => call.reply.null(),
    }
    Outcome::Done
}

/// A field of `MEMORY STATS`.
enum Figure {
    Count(u64),
    Share(f64),
    /// Of the one database, what its table takes beside keys and values.
    Database(u64),
}

fn stats(call: &mut Call<'_>) -> Outcome {
    let figures = call.figures();
    let facts = call.host.facts(figures);
    let fields = fields(&facts);
    call.reply.map(fields.len());
    for (name, figure) in fields {
        call.reply.bulk(name.as_bytes());
        match figure {
            Figure::Count(count) => call.reply.integer(i64::try_from(count).unwrap_or(i64::MAX)),
            Figure::Share(share) => call.reply.double(format!("{share}").as_bytes()),
            Figure::Database(bytes) => {
                call.reply.map(3);
                for (name, bytes) in [
                    ("overhead.hashtable.main", bytes),
                    // Deadlines stand beside their values.
                    ("overhead.hashtable.expires", 0),
                    ("overhead.hashtable.slot-to-keys", 0),
                ] {
                    call.reply.bulk(name.as_bytes());
                    call.reply.integer(i64::try_from(bytes).unwrap_or(i64::MAX));
                }
            }
        }
    }
    Outcome::Done
}

/// The fields in Redis' order; those that tell of its allocator have nothing to stand for.
fn fields(facts: &Facts) -> Vec<(&'static str, Figure)> {
    use Figure::{Count, Share};
    let (used, data, keys) = (facts.used_memory, facts.used_memory_dataset, facts.keys as u64);
    let census = &facts.census;
    let kept = census.numbered_bytes + census.packed_bytes + census.large_bytes + census.token_bytes;
    let mut fields = vec![
        ("peak.allocated", Count(facts.used_memory_peak)),
        ("total.allocated", Count(used)),
        ("startup.allocated", Count(facts.used_memory_startup)),
        ("replication.backlog", Count(0)),
        ("clients.slaves", Count(0)),
        ("clients.normal", Count(used.saturating_sub(facts.used_memory_startup).saturating_sub(data))),
        ("cluster.links", Count(0)),
        ("aof.buffer", Count(0)),
        ("lua.caches", Count(0)),
        ("functions.caches", Count(0)),
    ];
    if keys > 0 {
        fields.push(("db.0", Figure::Database(data.saturating_sub(kept as u64))));
    }
    fields.extend([
        ("overhead.total", Count(used.saturating_sub(data))),
        ("keys.count", Count(keys)),
        ("keys.bytes-per-key", Count(data.checked_div(keys).unwrap_or(0))),
        ("dataset.bytes", Count(data)),
        ("dataset.percentage", Share(100.0 * ratio(data, used))),
        ("peak.percentage", Share(100.0 * ratio(used, facts.used_memory_peak))),
        ("fragmentation", Share(ratio(facts.used_memory_rss, used))),
        ("fragmentation.bytes", Count(facts.used_memory_rss.saturating_sub(used))),
    ]);
    fields
}

fn doctor(call: &mut Call<'_>) -> Outcome {
    let figures = call.figures();
    let facts = call.host.facts(figures);
    let found: Vec<String> = SIGNS.iter().filter_map(|sign| sign(&facts)).collect();
    let text = match found.len() {
        0 => "No memory issue is found in this instance.".to_owned(),
        count => {
            let mut text = format!("{count} {} found:\n", if count == 1 { "issue is" } else { "issues are" });
            for issue in found {
                write!(text, "\n * {issue}\n").expect("a string can be written to");
            }
            text
        }
    };
    call.reply.verbatim(*b"txt", text.as_bytes());
    Outcome::Done
}

/// Bytes below which shares say little, as in Redis.
const LITTLE: u64 = 5 * 1024 * 1024;

/// Each looks for one thing: what it is, and the remedy.
const SIGNS: [fn(&Facts) -> Option<String>; 6] =
    [bound_is_near, no_bound, freed_is_kept, tokens_are_many, texts_have_no_template, keys_have_no_number];

fn bound_is_near(facts: &Facts) -> Option<String> {
    let (used, most) = (facts.used_memory, facts.max_memory);
    if most == 0 || used < most / 10 * 9 {
        return None;
    }
    let state = if used >= most { "reached" } else { "nearly reached" };
    let goes = match facts.max_memory_policy.as_str() {
        "noeviction" => "commands that may need memory are refused",
        _ => "keys with the nearest deadlines go",
    };
    Some(format!(
        "maxmemory is {state}, {} of {}: {goes}. Raise it, remove keys, or give keys deadlines and set maxmemory-policy \
         volatile-ttl.",
        human(used),
        human(most)
    ))
}

fn no_bound(facts: &Facts) -> Option<String> {
    let (used, machine) = (facts.used_memory, facts.total_system_memory);
    (facts.max_memory == 0 && machine > 0 && used > machine / 2).then(|| {
        format!(
            "maxmemory is not set, and {} of the machine's {} are in use: set it, so that writes are refused before the \
             kernel ends the process.",
            human(used),
            human(machine)
        )
    })
}

fn freed_is_kept(facts: &Facts) -> Option<String> {
    let (used, resident) = (facts.used_memory, facts.used_memory_rss);
    (used > LITTLE && resident > used / 2 * 3).then(|| {
        format!(
            "the process has {} of memory, and {} are in use: MEMORY PURGE gives back what is free; what stays are the \
             buffers of clients (CLIENT LIST, tot-mem).",
            human(resident),
            human(used)
        )
    })
}

fn tokens_are_many(facts: &Facts) -> Option<String> {
    let (tokens, most) = (facts.census.tokens, facts.max_tokens);
    (most > 0 && tokens >= most / 10 * 9).then(|| {
        format!(
            "{tokens} tokens of INCRONCE and MINCRONCE are remembered, and maxtokens is {most}: raise it, or let them \
             expire sooner."
        )
    })
}

fn texts_have_no_template(facts: &Facts) -> Option<String> {
    let (templates, refused) = facts.templates;
    (refused > 0).then(|| {
        format!(
            "{refused} times a text around numbers found no room beside {templates} others, so that its counters take \
             several times the memory: name keys with fewer different texts, and what varies by its number."
        )
    })
}

fn keys_have_no_number(facts: &Facts) -> Option<String> {
    let packed = facts.census.packed as u64;
    let bytes = facts.census.packed_bytes as u64;
    (bytes > LITTLE && packed > facts.keys as u64 / 2).then(|| {
        format!(
            "{packed} of {} keys are kept with their text, {} bytes each: where they are counters, a key that is a number \
             in a text that many share (views:123) takes 12.",
            facts.keys,
            bytes / packed.max(1)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::SIGNS;
    use crate::command::info::Facts;
    use crate::table::Census;

    const MIB: u64 = 1 << 20;

    /// What is found, each by its first words.
    fn found(facts: &Facts) -> Vec<String> {
        let all = SIGNS.iter().filter_map(|sign| sign(facts));
        all.map(|issue| issue.split([',', ':']).next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn each_sign_is_seen_and_told_with_its_figures() {
        let well = Facts {
            used_memory: 100 * MIB,
            used_memory_rss: 110 * MIB,
            total_system_memory: 1000 * MIB,
            max_memory_policy: "noeviction".to_owned(),
            max_tokens: 100,
            keys: 1000,
            ..Facts::default()
        };
        assert!(found(&well).is_empty());
        let with = |change: fn(&mut Facts)| {
            let mut facts = well.clone();
            change(&mut facts);
            found(&facts)
        };
        assert_eq!(with(|facts| facts.max_memory = 100 * MIB), ["maxmemory is reached"]);
        assert_eq!(with(|facts| facts.max_memory = 105 * MIB), ["maxmemory is nearly reached"]);
        assert_eq!(with(|facts| facts.total_system_memory = 150 * MIB), ["maxmemory is not set"]);
        assert_eq!(with(|facts| facts.used_memory_rss = 200 * MIB), ["the process has 200.00M of memory"]);
        assert_eq!(
            with(|facts| facts.census = Census { tokens: 95, ..Census::default() }),
            ["95 tokens of INCRONCE and MINCRONCE are remembered"]
        );
        assert_eq!(
            with(|facts| facts.templates = (256, 3)),
            ["3 times a text around numbers found no room beside 256 others"]
        );
        let packed = |facts: &mut Facts| {
            facts.census = Census { packed: 900, packed_bytes: 90 << 20, ..Census::default() };
        };
        assert_eq!(with(packed), ["900 of 1000 keys are kept with their text"]);
    }
}
