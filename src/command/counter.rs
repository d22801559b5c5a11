//! The counters: `INCR`, `DECR`, `INCRBY`, `DECRBY`. Knows no other kind of value than integers.

use crate::resp::integer;
use crate::table::AddError;

use super::place::Place;
use super::texts::{NOT_INTEGER, OVERFLOW, WRONG_TYPE};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `INCR key`
pub static INCR: Command = Command {
    name: "incr",
    arity: 2,
    flags: COUNTS,
    keys: Keys::ONE,
    access: ACCESS,
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Adds one to a counter, which starts at 0.",
        since: "1.0.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY],
    },
    run: |call| add(call, 1),
    subcommands: &[],
};

/// `DECR key`
pub static DECR: Command = Command {
    name: "decr",
    arity: 2,
    flags: COUNTS,
    keys: Keys::ONE,
    access: ACCESS,
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Takes one from a counter, which starts at 0.",
        since: "1.0.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY],
    },
    run: |call| add(call, -1),
    subcommands: &[],
};

/// `INCRBY key increment`
pub static INCRBY: Command = Command {
    name: "incrby",
    arity: 3,
    flags: COUNTS,
    keys: Keys::ONE,
    access: ACCESS,
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Adds a number to a counter, which starts at 0.",
        since: "1.0.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY, Argument::new("increment", "integer")],
    },
    run: incrby,
    subcommands: &[],
};

/// `DECRBY key decrement`
pub static DECRBY: Command = Command {
    name: "decrby",
    arity: 3,
    flags: COUNTS,
    keys: Keys::ONE,
    access: ACCESS,
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Takes a number from a counter, which starts at 0.",
        since: "1.0.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY, Argument::new("decrement", "integer")],
    },
    run: decrby,
    subcommands: &[],
};

const COUNTS: Flags = Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST);
const ACCESS: &[&str] = &["RW", "access", "update"];

fn incrby(call: &mut Call<'_>) -> Outcome {
    match integer::parse(call.args.get(2)) {
        Some(delta) => add(call, delta),
        None => refuse(call, NOT_INTEGER),
    }
}

fn decrby(call: &mut Call<'_>) -> Outcome {
    let Some(amount) = integer::parse(call.args.get(2)) else {
        return refuse(call, NOT_INTEGER);
    };
    match amount.checked_neg() {
        Some(delta) => add(call, delta),
        None => refuse(call, "ERR decrement would overflow"),
    }
}

fn refuse(call: &mut Call<'_>, text: &str) -> Outcome {
    call.reply.error(text);
    Outcome::Done
}

#[inline]
fn add(call: &mut Call<'_>, delta: i64) -> Outcome {
    let sum = call.at(1, |place| place.add(delta));
    match sum {
        Ok(value) => call.reply.integer(value),
        Err(error) => call.reply.error(reason(error)),
    }
    Outcome::Done
}

/// Adds to a counter among others and replies with its new value or an error: one element of a larger reply.
#[inline]
pub(super) fn add_element(place: &mut Place<'_, '_>, delta: &[u8]) {
    let Some(delta) = integer::parse(delta) else {
        return place.reply.error(NOT_INTEGER);
    };
    match place.add(delta) {
        Ok(value) => place.reply.integer(value),
        Err(error) => place.reply.error(reason(error)),
    }
}

/// The error's text.
pub(super) fn reason(error: AddError) -> &'static str {
    match error {
        AddError::NotInteger => NOT_INTEGER,
        AddError::Overflow => OVERFLOW,
        AddError::WrongType => WRONG_TYPE,
    }
}
