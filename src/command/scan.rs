//! Keys that nobody named: walked over, listed, chosen at random.
//!
//! Outside of a transaction one segment is locked at a time, for a bounded number of keys; what they are compared with
//! may be long, and waits until the lock is given back.

use crate::table::Cursor;

use super::listing::{INVALID_CURSOR, Listing, Options, SCANNED, Words, read_cursor, tell_scanned};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub static SCAN: Command = Command {
    name: "scan",
    arity: -2,
    flags: Flags::READONLY.and(Flags::ALL_KEYS),
    keys: Keys::NONE,
    access: &[],
    categories: &["keyspace"],
    tips: &["nondeterministic_output", "request_policy:special"],
    docs: Docs {
        summary: "Lists some keys, and the cursor that leads to the next ones.",
        since: "2.8.0",
        group: "generic",
        complexity: "O(1) for each call, O(N) for all N keys",
        arguments: &[
            Argument::new("cursor", "integer"),
            PATTERN.after("MATCH").maybe(),
            Argument::new("count", "integer").after("COUNT").maybe(),
            Argument::new("type", "string").after("TYPE").maybe(),
        ],
    },
    run: scan,
    subcommands: &[],
};

/// `KEYS pattern`
pub static KEYS: Command = Command {
    name: "keys",
    arity: 2,
    flags: Flags::READONLY.and(Flags::ALL_KEYS),
    keys: Keys::NONE,
    access: &[],
    categories: &["keyspace", "dangerous"],
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    docs: Docs {
        summary: "Lists the keys that fit a pattern. SCAN does so in parts.",
        since: "1.0.0",
        group: "generic",
        complexity: "O(N) with N keys",
        arguments: &[PATTERN],
    },
    run: keys,
    subcommands: &[],
};

/// `RANDOMKEY`
pub static RANDOMKEY: Command = Command {
    name: "randomkey",
    arity: 1,
    flags: Flags::READONLY.and(Flags::ALL_KEYS),
    keys: Keys::NONE,
    access: &[],
    categories: &["keyspace"],
    tips: &["request_policy:all_shards", "nondeterministic_output"],
    docs: Docs {
        summary: "Names a key chosen at random.",
        since: "1.0.0",
        group: "generic",
        complexity: "O(1)",
        arguments: &[],
    },
    run: random,
    subcommands: &[],
};

const PATTERN: Argument = Argument::new("pattern", "pattern");

/// Keys that are visited under one hold of a lock: some 10 µs.
const STEP: usize = 256;

/// Adds the visible keys of one step to `listing`. Gives the cursor to go on with, and how many keys were visited.
fn step(
    call: &mut Call<'_>,
    cursor: Cursor,
    options: &Options<'_>,
    listing: &mut Listing,
    names: &mut Words,
) -> (Option<Cursor>, usize) {
    let now_ms = call.now.ms();
    let mut visited = 0;
    names.clear();
    let next = call.step(cursor, options.count.min(STEP), &mut |key, value, deadline| {
        visited += 1;
        let wanted = options.kind.is_none_or(|kind| kind.eq_ignore_ascii_case(value.kind().as_bytes()));
        if wanted && deadline.is_none_or(|deadline| deadline > now_ms) {
            names.push(key);
        }
    });
    names.iter().filter(|name| options.fits(name)).for_each(|name| listing.bulk(name));
    (next, visited)
}

fn scan(call: &mut Call<'_>) -> Outcome {
    let Some(cursor) = read_cursor(call.args.get(1)) else {
        call.reply.error(INVALID_CURSOR);
        return Outcome::Done;
    };
    let options = match Options::read(call.args.tail(2), true) {
        Ok(options) => options,
        Err(text) => {
            call.reply.error(text);
            return Outcome::Done;
        }
    };
    let mut listing = Listing::new(0, call.reply.protocol());
    let mut names = Words::default();
    let mut next = Some(Cursor::of_number(cursor));
    let mut left = options.count.min(SCANNED);
    while let Some(cursor) = next
        && left > 0
    {
        let (then, visited) = step(call, cursor, &options, &mut listing, &mut names);
        (next, left) = (then, left.saturating_sub(visited));
    }
    tell_scanned(next.map_or(0, Cursor::number), listing, &mut call.reply);
    Outcome::Done
}

fn keys(call: &mut Call<'_>) -> Outcome {
    let options = Options::pattern(call.args.get(1), STEP);
    let mut listing = Listing::new(call.host.limits().output_buffer, call.reply.protocol());
    let mut names = Words::default();
    let mut next = Some(Cursor::START);
    while let Some(cursor) = next
        && !listing.is_over()
    {
        next = step(call, cursor, &options, &mut listing, &mut names).0;
    }
    listing.finish(&mut call.reply);
    Outcome::Done
}

fn random(call: &mut Call<'_>) -> Outcome {
    match call.random_key() {
        Some(key) => call.reply.bulk(&key),
        None => call.reply.null(),
    }
    Outcome::Done
}
