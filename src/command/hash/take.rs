//! Fields that are shown and changed in one step.

use crate::resp::integer;
use crate::table::WrongType;

use super::{CHANGES, DOCS, FIELD, HASH, VALUE, refuse_long, show, tell};
use crate::command::texts::WRONG_TYPE;
use crate::command::{Argument, Call, Command, Docs, Flags, Outcome};

/// `HGETSET key field value`
pub static HGETSET: Command = Command {
    name: "hgetset",
    arity: 4,
    flags: CHANGES,
    access: &["RW", "access", "update"],
    docs: Docs {
        summary: "Sets a field and shows its value before.",
        arguments: &[Argument::KEY, FIELD, VALUE],
        ..DOCS
    },
    run: hgetset,
    ..HASH
};

/// `HGETDEL key FIELDS numfields field [field …]`
pub static HGETDEL: Command = Command {
    name: "hgetdel",
    arity: -5,
    flags: Flags::WRITE.and(Flags::FAST),
    access: &["RW", "access", "delete"],
    docs: Docs {
        summary: "Shows fields and removes them, and the hash with its last one.",
        since: "8.0.0",
        complexity: "O(N) with N fields",
        arguments: &[
            Argument::KEY,
            Argument::word("fields", "FIELDS"),
            Argument::new("numfields", "integer"),
            FIELD.many(),
        ],
        ..DOCS
    },
    run: hgetdel,
    ..HASH
};

fn hgetset(call: &mut Call<'_>) -> Outcome {
    if refuse_long(call, 2, 2) {
        return Outcome::Done;
    }
    let (field, value) = (call.args.get(2), call.args.get(3));
    let shown = call.at(1, |place| {
        place.fields(|fields, reply| show(fields.and_then(|fields| fields.get(field)), reply))?;
        place.set_field(field, value)
    });
    tell(call, shown)
}

fn hgetdel(call: &mut Call<'_>) -> Outcome {
    let args = call.args;
    let asked = if !args.get(2).eq_ignore_ascii_case(b"fields") {
        Err("ERR Mandatory argument FIELDS is missing or not at the right position")
    } else {
        match integer::parse(args.get(3)).map(usize::try_from) {
            Some(Ok(1..)) if integer::parse(args.get(3)) == i64::try_from(args.len() - 4).ok() => Ok(()),
            Some(Ok(1..)) => Err("ERR The `numfields` parameter must match the number of arguments"),
            Some(_) | None => Err("ERR Number of fields must be a positive integer"),
        }
    };
    let taken: Result<(), &str> = call.at_group(1, |place| {
        // What is at the key is judged first, as in Redis.
        place.fields(|_, _| ()).map_err(|WrongType| WRONG_TYPE)?;
        asked?;
        place.reply.array(args.len() - 4);
        for field in args.tail(4) {
            // It may have gone with its last field, and is a hash as long as it is there.
            let shown =
                place.fields(|fields, reply| show(fields.and_then(|fields| fields.get(field)), reply));
            shown.and_then(|()| place.remove_field(field)).expect("it is a hash");
        }
        Ok(())
    });
    if let Err(text) = taken {
        call.reply.error(text);
    }
    Outcome::Done
}
