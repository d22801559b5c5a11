//! Keys that get another name, or a copy under one: with all that they hold, and their deadline.
//!
//! What a key holds may have to go to another segment, and the journal tells of it in full: it is copied, whatever it is.

use crate::resp::integer;

use super::texts::{NOT_INTEGER, SYNTAX};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `RENAME key newkey`
pub static RENAME: Command = Command {
    name: "rename",
    arity: 3,
    flags: Flags::WRITE.and(Flags::COPIES),
    keys: TWO,
    access: &["RW", "access", "delete"],
    categories: &["keyspace"],
    tips: &[],
    docs: Docs {
        summary: "Gives a key another name, whatever had it before.",
        since: "1.0.0",
        group: "generic",
        complexity: "O(N) with N bytes or fields",
        arguments: NAMES,
    },
    run: |call| rename(call, true),
    subcommands: &[],
};

/// `RENAMENX key newkey`
pub static RENAMENX: Command = Command {
    name: "renamenx",
    arity: 3,
    flags: Flags::WRITE.and(Flags::FAST).and(Flags::COPIES),
    keys: TWO,
    access: &["RW", "access", "delete"],
    categories: &["keyspace"],
    tips: &[],
    docs: Docs {
        summary: "Gives a key another name that no key has.",
        since: "1.0.0",
        group: "generic",
        complexity: "O(N) with N bytes or fields",
        arguments: NAMES,
    },
    run: |call| rename(call, false),
    subcommands: &[],
};

/// `COPY source destination [DB index] [REPLACE]`
pub static COPY: Command = Command {
    name: "copy",
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::COPIES),
    keys: TWO,
    access: &["RW", "access", "update"],
    categories: &["keyspace"],
    tips: &[],
    docs: Docs {
        summary: "Copies what a key holds, its deadline included, to another key.",
        since: "6.2.0",
        group: "generic",
        complexity: "O(N) with N bytes or fields",
        arguments: &[
            Argument::new("source", "key"),
            Argument::new("destination", "key"),
            Argument::new("destination-db", "integer").after("DB").maybe(),
            Argument::word("replace", "REPLACE").maybe(),
        ],
    },
    run: copy,
    subcommands: &[],
};

const TWO: Keys = Keys { first: 1, last: 2, step: 1 };
const NAMES: &[Argument] = &[Argument::KEY, Argument::new("newkey", "key")];

/// What became of it.
enum Done {
    /// What was copied, or renamed.
    Yes,
    /// The other name is another key's, or the same one's.
    No,
    /// There is no such key.
    NoKey,
    /// Nothing: the journal has no space for telling of it.
    Unwritten,
}

fn rename(call: &mut Call<'_>, replaces: bool) -> Outcome {
    let same = call.args.get(1) == call.args.get(2);
    let alone = call.held.is_none();
    let renamed = call.holding(|call| {
        if !call.at(1, |place| place.exists()) {
            return Done::NoKey;
        }
        if same || !replaces && call.at(2, |place| place.exists()) {
            return if same && replaces { Done::Yes } else { Done::No };
        }
        if alone && !affords(call) {
            return Done::Unwritten;
        }
        let copied = call.at(1, |place| {
            let copied = place.copied();
            place.remove();
            copied
        });
        let Some(copied) = copied else { return Done::NoKey };
        call.at(2, |place| place.put(&copied));
        Done::Yes
    });
    match renamed {
        Done::NoKey => call.reply.error("ERR no such key"),
        Done::Unwritten => return Outcome::Unwritten,
        Done::Yes | Done::No if replaces => call.reply.ok(),
        Done::Yes => call.reply.integer(1),
        Done::No => call.reply.integer(0),
    }
    Outcome::Done
}

/// Whether the journal has space for telling of a copy, which is not part of a transaction: that has asked for all of its own.
fn affords(call: &mut Call<'_>) -> bool {
    let (from, to) = (call.args.get(1), call.args.get(2));
    let content = call.at(1, |place| place.content());
    call.effects.affords(content.recorded(from, to))
}

/// Reads the options of `COPY`: whether it replaces.
fn replaces(call: &Call<'_>) -> Result<bool, &'static str> {
    let mut replaces = false;
    let mut rest = call.args.tail(3);
    while let Some(option) = rest.next() {
        if option.eq_ignore_ascii_case(b"replace") {
            replaces = true;
            continue;
        }
        let index = rest.next().filter(|_| option.eq_ignore_ascii_case(b"db")).ok_or(SYNTAX)?;
        match integer::parse(index).ok_or(NOT_INTEGER)? {
            0 => {}
            index if i32::try_from(index).is_ok() => return Err("ERR DB index is out of range"),
            _ => return Err("ERR value is out of range, value must between -2147483648 and 2147483647"),
        }
    }
    if call.args.get(1) == call.args.get(2) {
        return Err("ERR source and destination objects are the same");
    }
    Ok(replaces)
}

fn copy(call: &mut Call<'_>) -> Outcome {
    let replaces = match replaces(call) {
        Ok(replaces) => replaces,
        Err(text) => {
            call.reply.error(text);
            return Outcome::Done;
        }
    };
    let alone = call.held.is_none();
    let copied = call.holding(|call| {
        if !call.at(1, |place| place.exists()) {
            return Done::NoKey;
        }
        if !replaces && call.at(2, |place| place.exists()) {
            return Done::No;
        }
        if alone && !affords(call) {
            return Done::Unwritten;
        }
        let Some(copied) = call.at(1, |place| place.copied()) else { return Done::NoKey };
        call.at(2, |place| place.put(&copied));
        Done::Yes
    });
    match copied {
        Done::Unwritten => return Outcome::Unwritten,
        Done::Yes => call.reply.integer(1),
        Done::No | Done::NoKey => call.reply.integer(0),
    }
    Outcome::Done
}
