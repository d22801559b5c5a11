//! Hashes: fields of one key, set, shown, removed. `counter` adds to fields, `pick` shows some of many, `take` shows and
//! changes in one step.
//!
//! What changes several fields does so under one hold of the lock, as one group of effects.

use crate::limits::KEY_BYTES;
use crate::resp::encode::Encoder;
use crate::table::{Fields, Scalar, WrongType};

use super::place::Place;
use super::texts::WRONG_TYPE;
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

mod counter;
mod pick;
mod take;

pub use counter::{HINCRBY, HINCRBYFLOAT, HINCREX, HMINCRBY};
pub use pick::{HRANDFIELD, HSCAN};
pub use take::{HGETDEL, HGETSET};

/// `HSET key field value [field value …]`
pub static HSET: Command = Command {
    name: "hset",
    arity: -4,
    flags: CHANGES,
    access: &["RW", "update"],
    docs: Docs {
        summary: "Sets fields of a hash and tells how many of them are new.",
        since: "2.0.0",
        complexity: "O(N) with N fields set",
        arguments: &[Argument::KEY, PAIR.many()],
        ..DOCS
    },
    run: |call| set(call, |reply, new| reply.count(new)),
    ..HASH
};

/// `HMSET key field value [field value …]`
pub static HMSET: Command = Command {
    name: "hmset",
    arity: -4,
    flags: CHANGES,
    access: &["RW", "update"],
    docs: Docs {
        summary: "Sets fields of a hash. An old form of HSET.",
        since: "2.0.0",
        complexity: "O(N) with N fields set",
        arguments: &[Argument::KEY, PAIR.many()],
        ..DOCS
    },
    run: |call| set(call, |reply, _| reply.ok()),
    ..HASH
};

/// `HSETNX key field value`
pub static HSETNX: Command = Command {
    name: "hsetnx",
    arity: 4,
    flags: CHANGES,
    access: &["RW", "insert"],
    docs: Docs {
        summary: "Sets a field of a hash that is not there yet.",
        since: "2.0.0",
        arguments: &[Argument::KEY, FIELD, VALUE],
        ..DOCS
    },
    run: setnx,
    ..HASH
};

/// `HGET key field`
pub static HGET: Command = Command {
    name: "hget",
    arity: 3,
    flags: SHOWS.and(Flags::FAST),
    access: &["RO", "access"],
    docs: Docs {
        summary: "Shows the value of a field.",
        since: "2.0.0",
        arguments: &[Argument::KEY, FIELD],
        ..DOCS
    },
    run: get,
    ..HASH
};

/// `HMGET key field [field …]`
pub static HMGET: Command = Command {
    name: "hmget",
    arity: -3,
    flags: SHOWS.and(Flags::FAST),
    access: &["RO", "access"],
    docs: Docs {
        summary: "Shows the values of several fields.",
        since: "2.0.0",
        complexity: "O(N) with N fields asked for",
        arguments: &[Argument::KEY, FIELD.many()],
        ..DOCS
    },
    run: get_each,
    ..HASH
};

/// `HGETALL key`
pub static HGETALL: Command = Command {
    name: "hgetall",
    arity: 2,
    flags: SHOWS,
    access: &["RO", "access"],
    tips: UNORDERED,
    docs: Docs {
        summary: "Shows all fields and their values.",
        since: "2.0.0",
        complexity: "O(N) with N fields",
        ..DOCS
    },
    run: |call| all(call, true, true),
    ..HASH
};

/// `HKEYS key`
pub static HKEYS: Command = Command {
    name: "hkeys",
    arity: 2,
    flags: SHOWS,
    access: &["RO", "access"],
    tips: UNORDERED,
    docs: Docs { summary: "Lists all fields.", since: "2.0.0", complexity: "O(N) with N fields", ..DOCS },
    run: |call| all(call, true, false),
    ..HASH
};

/// `HVALS key`
pub static HVALS: Command = Command {
    name: "hvals",
    arity: 2,
    flags: SHOWS,
    access: &["RO", "access"],
    tips: UNORDERED,
    docs: Docs {
        summary: "Lists the values of all fields.",
        since: "2.0.0",
        complexity: "O(N) with N fields",
        ..DOCS
    },
    run: |call| all(call, false, true),
    ..HASH
};

/// `HDEL key field [field …]`
pub static HDEL: Command = Command {
    name: "hdel",
    arity: -3,
    flags: Flags::WRITE.and(Flags::FAST),
    access: &["RW", "delete"],
    docs: Docs {
        summary: "Removes fields, and the hash with its last one, and tells how many there were.",
        since: "2.0.0",
        complexity: "O(N) with N fields removed",
        arguments: &[Argument::KEY, FIELD.many()],
        ..DOCS
    },
    run: remove,
    ..HASH
};

/// `HEXISTS key field`
pub static HEXISTS: Command = Command {
    name: "hexists",
    arity: 3,
    flags: SHOWS.and(Flags::FAST),
    access: &["RO"],
    docs: Docs {
        summary: "Tells whether a field exists.",
        since: "2.0.0",
        arguments: &[Argument::KEY, FIELD],
        ..DOCS
    },
    run: |call| measure(call, |fields, field| usize::from(fields.get(field).is_some())),
    ..HASH
};

/// `HLEN key`
pub static HLEN: Command = Command {
    name: "hlen",
    arity: 2,
    flags: SHOWS.and(Flags::FAST),
    access: &["RO"],
    docs: Docs { summary: "Tells the number of fields.", since: "2.0.0", ..DOCS },
    run: |call| measure(call, |fields, _| fields.len()),
    ..HASH
};

/// `HSTRLEN key field`
pub static HSTRLEN: Command = Command {
    name: "hstrlen",
    arity: 3,
    flags: SHOWS.and(Flags::FAST),
    access: &["RO"],
    docs: Docs {
        summary: "Tells how many bytes the value of a field has.",
        since: "3.2.0",
        arguments: &[Argument::KEY, FIELD],
        ..DOCS
    },
    run: |call| measure(call, |fields, field| fields.get(field).map_or(0, length)),
    ..HASH
};

/// What the commands of this family have in common.
const HASH: Command = Command {
    name: "",
    arity: 0,
    flags: Flags::NONE,
    keys: Keys::ONE,
    access: &[],
    categories: &["hash"],
    tips: &[],
    docs: DOCS,
    run: |_| unreachable!("each command has its own"),
    subcommands: &[],
};

/// What their descriptions have in common.
const DOCS: Docs =
    Docs { summary: "", since: "0.1.0", group: "hash", complexity: "O(1)", arguments: &[Argument::KEY] };

const CHANGES: Flags = Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST);
const SHOWS: Flags = Flags::READONLY;
const UNORDERED: &[&str] = &["nondeterministic_output_order"];

const FIELD: Argument = Argument::new("field", "string");
const VALUE: Argument = Argument::new("value", "string");
const PAIR: Argument = Argument::block("field_value", &[FIELD, VALUE]);

/// Replies with the number and types of arguments being wrong.
fn unpaired(call: &mut Call<'_>) -> Outcome {
    let name = call.command.name.as_bytes();
    call.reply.error_parts([b"ERR wrong number of arguments for '".as_slice(), name, b"' command"]);
    Outcome::Done
}

/// Refuses a field that is too long to be made: the first of the arguments from `index` on, in steps of `step`.
fn refuse_long(call: &mut Call<'_>, index: usize, step: usize) -> bool {
    if call.args.extent() <= KEY_BYTES {
        return false;
    }
    let long = call.args.tail(index).step_by(step).map(<[u8]>::len).find(|len| *len > KEY_BYTES);
    if let Some(len) = long {
        call.reply.error(format!("ERR field is too long ({len} bytes, at most {KEY_BYTES})"));
    }
    long.is_some()
}

/// Writes a value, or null where there is none.
fn show(value: Option<Scalar<'_>>, reply: &mut Encoder<'_>) {
    match value {
        Some(Scalar::Int(number)) => reply.bulk_integer(number),
        Some(Scalar::Str(bytes)) => reply.bulk(bytes),
        None => reply.null(),
    }
}

fn length(value: Scalar<'_>) -> usize {
    match value {
        Scalar::Int(number) => itoa::Buffer::new().format(number).len(),
        Scalar::Str(bytes) => bytes.len(),
    }
}

/// Writes the error of a command that has found another kind of value.
fn tell<R>(call: &mut Call<'_>, done: Result<R, WrongType>) -> Outcome {
    if done.is_err() {
        call.reply.error(WRONG_TYPE);
    }
    Outcome::Done
}

fn set(call: &mut Call<'_>, told: impl FnOnce(&mut Encoder<'_>, usize)) -> Outcome {
    if !call.args.len().is_multiple_of(2) {
        return unpaired(call);
    }
    if refuse_long(call, 2, 2) {
        return Outcome::Done;
    }
    let args = call.args;
    let work = |place: &mut Place<'_, '_>| {
        let mut new = 0;
        let mut rest = args.tail(2);
        while let (Some(field), Some(value)) = (rest.next(), rest.next()) {
            new += usize::from(place.set_field(field, value)?);
        }
        Ok(new)
    };
    let set = if args.len() == 4 { call.at(1, work) } else { call.at_group(1, work) };
    match set {
        Ok(new) => told(&mut call.reply, new),
        Err(WrongType) => call.reply.error(WRONG_TYPE),
    }
    Outcome::Done
}

fn setnx(call: &mut Call<'_>) -> Outcome {
    if refuse_long(call, 2, 2) {
        return Outcome::Done;
    }
    let (field, value) = (call.args.get(2), call.args.get(3));
    let set = call.at(1, |place| {
        let found = place.fields(|fields, _| fields.is_some_and(|fields| fields.get(field).is_some()))?;
        if found { Ok(false) } else { place.set_field(field, value) }
    });
    match set {
        Ok(set) => call.reply.integer(i64::from(set)),
        Err(WrongType) => call.reply.error(WRONG_TYPE),
    }
    Outcome::Done
}

fn get(call: &mut Call<'_>) -> Outcome {
    let field = call.args.get(2);
    let shown = call.at(1, |place| {
        place.read_fields(|fields, reply| show(fields.and_then(|fields| fields.get(field)), reply))
    });
    tell(call, shown)
}

fn get_each(call: &mut Call<'_>) -> Outcome {
    let names = call.args.tail(2);
    let count = call.args.len() - 2;
    let shown = call.at(1, |place| {
        place.read_fields(|fields, reply| {
            reply.array(count);
            names.for_each(|name| show(fields.and_then(|fields| fields.get(name)), reply));
        })
    });
    tell(call, shown)
}

fn all(call: &mut Call<'_>, names: bool, values: bool) -> Outcome {
    let shown = call.at(1, |place| {
        place.read_fields(|fields, reply| {
            let count = fields.map_or(0, |fields| fields.len());
            if names && values {
                reply.map(count)
            } else {
                reply.array(count)
            }
            let Some(fields) = fields else { return };
            fields.for_each(&mut |name, value| {
                if names {
                    reply.bulk(name);
                }
                if values {
                    show(Some(value), reply);
                }
            });
        })
    });
    tell(call, shown)
}

fn remove(call: &mut Call<'_>) -> Outcome {
    let args = call.args;
    let work = |place: &mut Place<'_, '_>| {
        let mut removed = 0;
        for field in args.tail(2) {
            removed += usize::from(place.remove_field(field)?);
            // With its last field the key has gone.
            if !place.exists() {
                break;
            }
        }
        Ok(removed)
    };
    let removed = if args.len() == 3 { call.at(1, work) } else { call.at_group(1, work) };
    match removed {
        Ok(removed) => call.reply.count(removed),
        Err(WrongType) => call.reply.error(WRONG_TYPE),
    }
    Outcome::Done
}

/// Replies with a number that is read off the fields and the argument after the key, 0 where there is no key.
fn measure(call: &mut Call<'_>, work: impl FnOnce(Fields<'_>, &[u8]) -> usize) -> Outcome {
    let field = if call.args.len() > 2 { call.args.get(2) } else { &[] };
    let count =
        call.at(1, |place| place.read_fields(|fields, _| fields.map_or(0, |fields| work(fields, field))));
    match count {
        Ok(count) => call.reply.count(count),
        Err(WrongType) => call.reply.error(WRONG_TYPE),
    }
    Outcome::Done
}
