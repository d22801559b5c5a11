//! Many keys in one request. Each key stands on its own except in `MSET`; all of a request's segments stay
//! locked from its first key to its last, so that nothing is seen half done. Knows no request's size but
//! through its arguments.

use crate::table::NewDeadline;

use super::counter;
use super::texts::NO_MEMORY;
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `MGET key [key …]`
pub static MGET: Command = Command {
    name: "mget",
    arity: -2,
    flags: Flags::READONLY.and(Flags::FAST).and(Flags::STREAMS),
    keys: Keys::ALL,
    access: &["RO", "access"],
    categories: &["string"],
    tips: &["request_policy:multi_shard"],
    docs: Docs {
        summary: "Shows the values of several keys.",
        since: "1.0.0",
        group: "string",
        complexity: "O(N) with N keys",
        arguments: KEYS,
    },
    run: mget,
    subcommands: &[],
};

/// `MSET key value [key value …]`
pub static MSET: Command = Command {
    name: "mset",
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    keys: Keys::PAIRS,
    access: &["OW", "update"],
    categories: &["string"],
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    docs: Docs {
        summary: "Sets several keys at once.",
        since: "1.0.1",
        group: "string",
        complexity: "O(N) with N keys",
        arguments: &[Argument::block("key_value", &[Argument::KEY, Argument::new("value", "string")]).many()],
    },
    run: mset,
    subcommands: &[],
};

/// `MSETNX key value [key value …]`
pub static MSETNX: Command = Command {
    name: "msetnx",
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    keys: Keys::PAIRS,
    access: &["OW", "insert"],
    categories: &["string"],
    tips: &["request_policy:multi_shard", "response_policy:agg_min"],
    docs: Docs {
        summary: "Sets several keys at once, if none of them exists.",
        since: "1.0.1",
        group: "string",
        complexity: "O(N) with N keys",
        arguments: &[Argument::block("key_value", &[Argument::KEY, Argument::new("value", "string")]).many()],
    },
    run: msetnx,
    subcommands: &[],
};

/// `MINCRBY key delta [key delta …]`
pub static MINCRBY: Command = Command {
    name: "mincrby",
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST).and(Flags::STREAMS),
    keys: Keys::PAIRS,
    access: &["RW", "access", "update"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Adds to several counters; each pair has its new value or its own error as an element.",
        since: "0.1.0",
        group: "string",
        complexity: "O(N) with N pairs",
        arguments: &[Argument::block("key_delta", &[Argument::KEY, Argument::new("delta", "integer")]).many()],
    },
    run: mincrby,
    subcommands: &[],
};

/// `DEL key [key …]`
pub static DEL: Command = Command {
    name: "del",
    arity: -2,
    flags: Flags::WRITE.and(Flags::STREAMS),
    keys: Keys::ALL,
    access: &["RM", "delete"],
    categories: &["keyspace"],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    docs: Docs {
        summary: "Removes keys and tells how many there were.",
        since: "1.0.0",
        group: "generic",
        complexity: "O(N) with N keys",
        arguments: KEYS,
    },
    run: remove,
    subcommands: &[],
};

/// `UNLINK key [key …]`
pub static UNLINK: Command = Command {
    name: "unlink",
    arity: -2,
    flags: Flags::WRITE.and(Flags::FAST).and(Flags::STREAMS),
    keys: Keys::ALL,
    access: &["RM", "delete"],
    categories: &["keyspace"],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    docs: Docs {
        summary: "Removes keys and tells how many there were; the same as DEL here.",
        since: "4.0.0",
        group: "generic",
        complexity: "O(N) with N keys",
        arguments: KEYS,
    },
    run: remove,
    subcommands: &[],
};

/// `EXISTS key [key …]`
pub static EXISTS: Command = Command {
    name: "exists",
    arity: -2,
    flags: Flags::READONLY.and(Flags::FAST).and(Flags::STREAMS),
    keys: Keys::ALL,
    access: &["RO"],
    categories: &["keyspace"],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    docs: Docs {
        summary: "Tells how many of the keys exist; one named twice counts twice.",
        since: "1.0.0",
        group: "generic",
        complexity: "O(N) with N keys",
        arguments: KEYS,
    },
    run: count,
    subcommands: &[],
};

/// `TOUCH key [key …]`
pub static TOUCH: Command = Command {
    name: "touch",
    arity: -2,
    flags: Flags::READONLY.and(Flags::FAST).and(Flags::STREAMS),
    keys: Keys::ALL,
    access: &["RO"],
    categories: &["keyspace"],
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    docs: Docs {
        summary: "Tells how many of the keys exist; the same as EXISTS here, where keys have no access time.",
        since: "3.2.1",
        group: "generic",
        complexity: "O(N) with N keys",
        arguments: KEYS,
    },
    run: count,
    subcommands: &[],
};

const KEYS: &[Argument] = &[Argument::KEY.many()];

fn mget(call: &mut Call<'_>) -> Outcome {
    if call.begins() {
        call.reply.array(call.count() - 1);
    }
    call.at_each::<1>(|place, _| {
        // What is no string is as good as not there, as in Redis.
        if place.show().is_err() {
            place.reply.null();
        }
    });
    Outcome::Done
}

/// Whether a value is missing; the reply then says so.
fn unpaired(call: &mut Call<'_>) -> bool {
    let unpaired = call.count().is_multiple_of(2);
    if unpaired {
        let name = call.command.name.as_bytes();
        call.reply.error_parts([b"ERR wrong number of arguments for '".as_slice(), name, b"' command"]);
    }
    unpaired
}

fn mset(call: &mut Call<'_>) -> Outcome {
    if unpaired(call) {
        return Outcome::Done;
    }
    call.at_each::<2>(|place, value| place.set(value, NewDeadline::Clear));
    call.reply.ok();
    Outcome::Done
}

fn msetnx(call: &mut Call<'_>) -> Outcome {
    if unpaired(call) {
        return Outcome::Done;
    }
    // Two walks over the keys, and nobody comes in between.
    let set = call.holding(|call| {
        let mut free = true;
        call.at_each::<2>(|place, _| free &= !place.exists());
        if free {
            call.at_each::<2>(|place, value| place.set(value, NewDeadline::Clear));
        }
        free
    });
    call.reply.integer(i64::from(set));
    Outcome::Done
}

fn mincrby(call: &mut Call<'_>) -> Outcome {
    if call.begins() {
        call.reply.array(call.count() / 2);
    }
    if call.parts.as_ref().is_some_and(|parts| parts.no_memory) {
        // Replies to earlier pairs have left: each of these has its own error.
        for _ in 0..call.args.len() / 2 {
            call.reply.error(NO_MEMORY);
        }
        return Outcome::Done;
    }
    call.at_each::<2>(counter::add_element);
    Outcome::Done
}

fn remove(call: &mut Call<'_>) -> Outcome {
    let mut removed = 0;
    call.at_each::<1>(|place, _| removed += usize::from(place.remove()));
    tell(call, removed)
}

fn count(call: &mut Call<'_>) -> Outcome {
    let mut found = 0;
    call.at_each::<1>(|place, _| found += usize::from(place.find()));
    tell(call, found)
}

/// Replies with the sum once the whole request is done.
fn tell(call: &mut Call<'_>, counted: usize) -> Outcome {
    if let Some(sum) = call.sum(counted) {
        call.reply.count(sum);
    }
    Outcome::Done
}
