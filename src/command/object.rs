//! What is known of keys and memory beside values: `OBJECT` and `MEMORY`. Keys have no access times here.

use crate::resp::encode::Encoder;
use crate::resp::integer;
use crate::table::Value;

use super::texts::{NOT_INTEGER, SYNTAX};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome, help};

/// `OBJECT`
pub static OBJECT: Command = Command {
    subcommands: &[ENCODING, FREQ, IDLETIME, REFCOUNT, help::help_of("6.2.0", "generic", &["keyspace"])],
    ..help::container("object", "Commands about how values are kept.", "2.2.3", "generic")
};

const ENCODING: Command = Command {
    name: "encoding",
    docs: Docs {
        summary: "Names the way in which a value is kept, as Redis calls it.",
        since: "2.2.3",
        ..ABOUT
    },
    run: |call| about(call, |value, reply| reply.bulk(value.encoding().as_bytes())),
    ..OF_KEY
};

const FREQ: Command = Command {
    name: "freq",
    docs: Docs {
        summary: "Refuses to tell how often a key is used: nobody counts.",
        since: "4.0.0",
        ..ABOUT
    },
    run: |call| {
        about(call, |_, reply| {
            reply.error(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                 switching between policies at runtime LRU and LFU data will take some time to adjust.",
            );
        })
    },
    ..OF_KEY
};

const IDLETIME: Command = Command {
    name: "idletime",
    docs: Docs { summary: "Tells 0: keys have no access times here.", since: "2.2.3", ..ABOUT },
    run: |call| about(call, |_, reply| reply.integer(0)),
    ..OF_KEY
};

const REFCOUNT: Command = Command {
    name: "refcount",
    docs: Docs {
        summary: "Tells what Redis would: 1, or 2147483647 for the small integers that it shares.",
        since: "2.2.3",
        ..ABOUT
    },
    run: |call| {
        about(call, |value, reply| {
            let shared = matches!(value, Value::Int(0..10_000));
            reply.integer(if shared { i32::MAX.into() } else { 1 });
        })
    },
    ..OF_KEY
};

/// What subcommands about one key have in common.
const OF_KEY: Command = Command {
    name: "",
    arity: 3,
    flags: Flags::READONLY,
    keys: Keys { first: 2, last: 2, step: 1 },
    access: &["RO"],
    categories: &["keyspace"],
    tips: &["nondeterministic_output"],
    docs: ABOUT,
    run: help::bare,
    subcommands: &[],
};

/// What their descriptions have in common.
const ABOUT: Docs =
    Docs { summary: "", since: "", group: "generic", complexity: "O(1)", arguments: &[Argument::KEY] };

/// `MEMORY`
pub static MEMORY: Command = Command {
    subcommands: &[DOCTOR, PURGE, STATS, USAGE, help::help_of("4.0.0", "server", &[])],
    ..help::container("memory", "Commands about memory.", "4.0.0", "server")
};

const DOCTOR: Command = Command {
    name: "doctor",
    docs: Docs { summary: "Tells what is wrong with the use of memory, if anything.", ..SERVED },
    run: doctor,
    ..OF_SERVER
};

const PURGE: Command = Command {
    name: "purge",
    flags: Flags::NONE,
    docs: Docs { summary: "Answers OK: freed memory goes back to the system by itself.", ..SERVED },
    run: |call| {
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
    docs: Docs {
        summary: "Tells how many bytes a key takes, its share of what keys have in common included.",
        since: "4.0.0",
        group: "server",
        arguments: &[Argument::KEY, Argument::new("count", "integer").after("SAMPLES").maybe()],
        ..ABOUT
    },
    run: usage,
    categories: &[],
    tips: &[],
    ..OF_KEY
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

/// Replies with what is known of the value at a key, or with null.
fn about(call: &mut Call<'_>, tell: impl FnOnce(Value<'_>, &mut Encoder<'_>)) -> Outcome {
    call.at(2, |place| {
        place.look(|value, reply| match value {
            Some(value) => tell(value, reply),
            None => reply.null(),
        });
    });
    Outcome::Done
}

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

fn stats(call: &mut Call<'_>) -> Outcome {
    let figures = call.figures();
    let facts = call.host.facts(figures);
    let (used, data) = (facts.used_memory, facts.used_memory_dataset);
    let keys = facts.keys as u64;
    let counts = [
        ("peak.allocated", facts.used_memory_peak),
        ("total.allocated", used),
        ("startup.allocated", facts.used_memory_startup),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", used.saturating_sub(facts.used_memory_startup).saturating_sub(data)),
        ("cluster.links", 0),
        ("aof.buffer", 0),
        ("lua.caches", 0),
        ("functions.caches", 0),
        ("overhead.total", used.saturating_sub(data)),
        ("keys.count", keys),
        ("keys.bytes-per-key", data.checked_div(keys).unwrap_or(0)),
        ("dataset.bytes", data),
        ("fragmentation.bytes", facts.used_memory_rss.saturating_sub(used)),
    ];
    let shares = [
        ("dataset.percentage", 100.0, data, used),
        ("peak.percentage", 100.0, used, facts.used_memory_peak),
        ("fragmentation", 1.0, facts.used_memory_rss, used),
    ];
    call.reply.map(counts.len() + shares.len());
    for (name, count) in counts {
        call.reply.bulk(name.as_bytes());
        call.reply.integer(i64::try_from(count).unwrap_or(i64::MAX));
    }
    for (name, unit, part, whole) in shares {
        call.reply.bulk(name.as_bytes());
        call.reply.double(format!("{}", unit * super::info::ratio(part, whole)).as_bytes());
    }
    Outcome::Done
}

fn doctor(call: &mut Call<'_>) -> Outcome {
    let figures = call.figures();
    let facts = call.host.facts(figures);
    let full = facts.max_memory > 0 && facts.used_memory >= facts.max_memory;
    call.reply.verbatim(
        *b"txt",
        if full {
            b"maxmemory is reached: raise it, remove keys, or give keys deadlines and set maxmemory-policy volatile-ttl."
        } else {
            b"No memory issue is found in this instance."
        },
    );
    Outcome::Done
}
