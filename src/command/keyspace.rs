//! Keys whatever they hold, and all keys together: `TYPE`, `GETTTL`, `DBSIZE`, `FLUSHALL`, `FLUSHDB`. There is
//! one database.

use crate::table::WrongType;

use super::expire;
use super::texts::SYNTAX;
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `TYPE key`
pub static TYPE: Command = Command {
    name: "type",
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RO"],
    categories: &["keyspace"],
    tips: &[],
    docs: Docs {
        summary: "Tells what kind of value a key holds.",
        since: "1.0.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[Argument::KEY],
    },
    run: kind,
    subcommands: &[],
};

/// `GETTTL key`
pub static GETTTL: Command = Command {
    name: "getttl",
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RO", "access"],
    categories: &["string"],
    tips: &["nondeterministic_output"],
    docs: Docs {
        summary: "Shows the value of a key and the milliseconds it has left, as GET and PTTL would at one moment.",
        since: "0.1.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY],
    },
    run: getttl,
    subcommands: &[],
};

/// `DBSIZE`
pub static DBSIZE: Command = Command {
    name: "dbsize",
    arity: 1,
    flags: Flags::READONLY.and(Flags::FAST).and(Flags::ALL_KEYS),
    keys: Keys::NONE,
    access: &[],
    categories: &["keyspace"],
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    docs: Docs {
        summary: "Tells the number of keys.",
        since: "1.0.0",
        group: "server",
        complexity: "O(1)",
        arguments: &[],
    },
    run: dbsize,
    subcommands: &[],
};

/// `FLUSHALL [ASYNC | SYNC]`
pub static FLUSHALL: Command = Command {
    name: "flushall",
    arity: -1,
    flags: Flags::WRITE.and(Flags::ALL_KEYS),
    keys: Keys::NONE,
    access: &[],
    categories: &["keyspace", "dangerous"],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    docs: Docs {
        summary: "Removes every key.",
        since: "1.0.0",
        group: "server",
        complexity: "O(N) with N keys",
        arguments: FLUSH_ARGUMENTS,
    },
    run: flush,
    subcommands: &[],
};

/// `FLUSHDB [ASYNC | SYNC]`
pub static FLUSHDB: Command = Command {
    name: "flushdb",
    arity: -1,
    flags: Flags::WRITE.and(Flags::ALL_KEYS),
    keys: Keys::NONE,
    access: &[],
    categories: &["keyspace", "dangerous"],
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    docs: Docs {
        summary: "Removes every key of the one database.",
        since: "1.0.0",
        group: "server",
        complexity: "O(N) with N keys",
        arguments: FLUSH_ARGUMENTS,
    },
    run: flush,
    subcommands: &[],
};

/// How a flush may be asked for; both ways are the same here, as keys are freed outside of all locks.
pub(super) const FLUSH_ARGUMENTS: &[Argument] =
    &[Argument::choice("async", &[Argument::word("async", "ASYNC"), Argument::word("sync", "SYNC")]).maybe()];

/// Whether an argument is one of [`FLUSH_ARGUMENTS`].
pub(super) fn is_flush_mode(argument: &[u8]) -> bool {
    argument.eq_ignore_ascii_case(b"async") || argument.eq_ignore_ascii_case(b"sync")
}

fn kind(call: &mut Call<'_>) -> Outcome {
    let kind = call.at(1, |place| place.find_kind());
    call.reply.simple(kind.unwrap_or("none"));
    Outcome::Done
}

fn getttl(call: &mut Call<'_>) -> Outcome {
    let now = call.now;
    call.at(1, |place| {
        if place.is_string() == Some(false) {
            place.find();
            return WrongType.reply(place.reply);
        }
        place.reply.array(2);
        place.show().expect("there is a string or nothing");
        let left = expire::left(place.deadline(), now);
        place.reply.integer(left);
    });
    Outcome::Done
}

fn dbsize(call: &mut Call<'_>) -> Outcome {
    let keys = call.keys();
    call.reply.count(keys);
    Outcome::Done
}

fn flush(call: &mut Call<'_>) -> Outcome {
    let mut modes = call.args.tail(1);
    let fits = match (modes.next(), modes.next()) {
        (None, _) => true,
        (Some(mode), None) => is_flush_mode(mode),
        (Some(_), Some(_)) => false,
    };
    if !fits {
        call.reply.error(SYNTAX);
        return Outcome::Done;
    }
    call.flush();
    call.reply.ok();
    Outcome::Done
}
