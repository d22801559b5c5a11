//! Fields that are added to: alone, as a float, within bounds, and several as one change.

use std::collections::HashMap;

use crate::resp::args::ArgsIter;
use crate::resp::extended::{self, Decimal, Extended, Finite};
use crate::resp::integer;
use crate::table::{AddError, Fields, Scalar, WrongType};

use super::{CHANGES, DOCS, FIELD, HASH, refuse_long, unpaired};
use crate::command::increx::{Integers, Sum};
use crate::command::place::Place;
use crate::command::texts::{NOT_FINITE, NOT_FLOAT, NOT_INTEGER, OVERFLOW, SYNTAX, WRONG_TYPE};
use crate::command::{Argument, Call, Command, Docs, Outcome};

/// `HINCRBY key field increment`
pub static HINCRBY: Command = Command {
    name: "hincrby",
    arity: 4,
    flags: CHANGES,
    access: &["RW", "access", "update"],
    docs: Docs {
        summary: "Adds to a field, which starts at 0, and tells the sum.",
        since: "2.0.0",
        arguments: &[Argument::KEY, FIELD, Argument::new("increment", "integer")],
        ..DOCS
    },
    run: hincrby,
    ..HASH
};

/// `HINCRBYFLOAT key field increment`
pub static HINCRBYFLOAT: Command = Command {
    name: "hincrbyfloat",
    arity: 4,
    flags: CHANGES,
    access: &["RW", "access", "update"],
    docs: Docs {
        summary: "Adds a float to a field, which starts at 0, and tells the sum.",
        since: "2.6.0",
        arguments: &[Argument::KEY, FIELD, Argument::new("increment", "double")],
        ..DOCS
    },
    run: hincrbyfloat,
    ..HASH
};

/// `HMINCRBY key field increment [field increment …]`
pub static HMINCRBY: Command = Command {
    name: "hmincrby",
    arity: -4,
    flags: CHANGES,
    access: &["RW", "access", "update"],
    docs: Docs {
        summary: "Adds to fields of one hash, to all of them or to none, and tells the sums.",
        complexity: "O(N) with N fields",
        arguments: &[
            Argument::KEY,
            Argument::block("field_increment", &[FIELD, Argument::new("increment", "integer")]).many(),
        ],
        ..DOCS
    },
    run: hmincrby,
    ..HASH
};

/// `HINCREX key field [BYINT n] [LBOUND l] [UBOUND u] [SATURATE]`
pub static HINCREX: Command = Command {
    name: "hincrex",
    arity: -3,
    flags: CHANGES,
    access: &["RW", "access", "update"],
    docs: Docs {
        summary: "Adds to a field within bounds, and tells the new number and what was added.",
        arguments: &[
            Argument::KEY,
            FIELD,
            Argument::new("integer", "integer").after("BYINT").maybe(),
            Argument::new("lowerbound", "integer").after("LBOUND").maybe(),
            Argument::new("upperbound", "integer").after("UBOUND").maybe(),
            Argument::word("saturate", "SATURATE").maybe(),
        ],
        ..DOCS
    },
    run: hincrex,
    ..HASH
};

const FIELD_NOT_INTEGER: &str = "ERR hash value is not an integer";

fn hincrby(call: &mut Call<'_>) -> Outcome {
    let Some(delta) = integer::parse(call.args.get(3)) else {
        call.reply.error(NOT_INTEGER);
        return Outcome::Done;
    };
    if refuse_long(call, 2, 2) {
        return Outcome::Done;
    }
    let field = call.args.get(2);
    match call.at(1, |place| place.add_field(field, delta)) {
        Ok(sum) => call.reply.integer(sum),
        Err(AddError::NotInteger) => call.reply.error(FIELD_NOT_INTEGER),
        Err(AddError::Overflow) => call.reply.error(OVERFLOW),
        Err(AddError::WrongType) => call.reply.error(WRONG_TYPE),
    }
    Outcome::Done
}

fn hincrbyfloat(call: &mut Call<'_>) -> Outcome {
    let increment = match extended::parse(call.args.get(3)) {
        None => Err(NOT_FLOAT),
        Some(Extended::Infinite { .. }) => Err("ERR value is NaN or Infinity"),
        Some(Extended::Finite(increment)) => Ok(increment),
    };
    let increment = match increment {
        Ok(increment) => increment,
        Err(text) => {
            call.reply.error(text);
            return Outcome::Done;
        }
    };
    if refuse_long(call, 2, 2) {
        return Outcome::Done;
    }
    let field = call.args.get(2);
    match call.at(1, |place| add_float(place, field, increment)) {
        Ok(sum) => call.reply.bulk(sum.as_ref()),
        Err(text) => call.reply.error(text),
    }
    Outcome::Done
}

fn add_float(place: &mut Place<'_, '_>, field: &[u8], increment: Finite) -> Result<Decimal, &'static str> {
    let current = place.fields(|fields, _| match fields.and_then(|fields| fields.get(field)) {
        None => Some(Extended::Finite(Finite::from(0))),
        Some(Scalar::Int(number)) => Some(Extended::Finite(Finite::from(number))),
        Some(Scalar::Str(text)) => extended::parse(text),
    });
    let current = current.map_err(|WrongType| WRONG_TYPE)?.ok_or("ERR hash value is not a float")?;
    let Extended::Finite(current) = current else { return Err(NOT_FINITE) };
    let Extended::Finite(sum) = current.plus(increment) else { return Err(NOT_FINITE) };
    let text = sum.print();
    place.set_field(field, text.as_ref()).map_err(|WrongType| WRONG_TYPE)?;
    Ok(text)
}

fn hmincrby(call: &mut Call<'_>) -> Outcome {
    if !call.args.len().is_multiple_of(2) {
        return unpaired(call);
    }
    let args = call.args;
    if args.tail(3).step_by(2).any(|delta| integer::parse(delta).is_none()) {
        call.reply.error(NOT_INTEGER);
        return Outcome::Done;
    }
    if refuse_long(call, 2, 2) {
        return Outcome::Done;
    }
    match call.at_group(1, |place| add_each(place, args.tail(2))) {
        Ok(sums) => {
            call.reply.array(sums.len());
            sums.iter().for_each(|sum| call.reply.integer(*sum));
        }
        Err(text) => call.reply.error(text),
    }
    Outcome::Done
}

fn add_each(place: &mut Place<'_, '_>, pairs: ArgsIter<'_>) -> Result<Vec<i64>, &'static str> {
    // Everything is reckoned before anything changes.
    let sums = place.fields(|fields, _| sums(fields, pairs.clone())).map_err(|WrongType| WRONG_TYPE)??;
    for (field, sum) in pairs.step_by(2).zip(&sums) {
        place
            .set_field(field, itoa::Buffer::new().format(*sum).as_bytes())
            .map_err(|WrongType| WRONG_TYPE)?;
    }
    Ok(sums)
}

/// Pairs up to which a field that comes twice is looked for among those before it.
const FEW: usize = 32;

/// The sums of fields and what is added to each in turn. A field that comes again goes on from its sum.
fn sums(fields: Option<Fields<'_>>, mut rest: ArgsIter<'_>) -> Result<Vec<i64>, &'static str> {
    let pairs = rest.clone().count() / 2;
    let names = rest.clone().step_by(2);
    let mut sums: Vec<i64> = Vec::with_capacity(pairs);
    let mut latest: HashMap<&[u8], i64> = HashMap::new();
    while let (Some(field), Some(delta)) = (rest.next(), rest.next()) {
        let delta = integer::parse(delta).expect("deltas were looked at before");
        let earlier = if pairs <= FEW {
            names.clone().zip(&sums).filter(|(name, _)| *name == field).last().map(|(_, sum)| *sum)
        } else {
            latest.get(field).copied()
        };
        let before = match earlier {
            Some(sum) => sum,
            None => integer_of(fields.and_then(|fields| fields.get(field)))?,
        };
        let sum = before.checked_add(delta).ok_or(OVERFLOW)?;
        sums.push(sum);
        if pairs > FEW {
            latest.insert(field, sum);
        }
    }
    Ok(sums)
}

fn integer_of(value: Option<Scalar<'_>>) -> Result<i64, &'static str> {
    match value {
        None => Ok(0),
        Some(Scalar::Int(number)) => Ok(number),
        Some(Scalar::Str(_)) => Err(FIELD_NOT_INTEGER),
    }
}

fn hincrex(call: &mut Call<'_>) -> Outcome {
    let integers = match bounds(call.args.tail(3)) {
        Ok(integers) => integers,
        Err(text) => {
            call.reply.error(text);
            return Outcome::Done;
        }
    };
    let field = call.args.get(2);
    if refuse_long(call, 2, usize::MAX) {
        return Outcome::Done;
    }
    match call.at(1, |place| add_bounded(place, field, &integers)) {
        Ok((new, added)) => {
            call.reply.array(2);
            call.reply.integer(new);
            call.reply.integer(added);
        }
        Err(text) => call.reply.error(text),
    }
    Outcome::Done
}

/// Gives the new number and what was added.
fn add_bounded(
    place: &mut Place<'_, '_>,
    field: &[u8],
    integers: &Integers,
) -> Result<(i64, i64), &'static str> {
    let current = place.fields(|fields, _| integer_of(fields.and_then(|fields| fields.get(field))));
    match integers.sum(current.map_err(|WrongType| WRONG_TYPE)??)? {
        Sum::Kept(current) => Ok((current, 0)),
        Sum::Changed(new, added) => {
            let set = place.set_field(field, itoa::Buffer::new().format(new).as_bytes());
            set.map_err(|WrongType| WRONG_TYPE)?;
            Ok((new, added))
        }
    }
}

/// Reads the options of `HINCREX`, none of which may come twice.
fn bounds(mut rest: ArgsIter<'_>) -> Result<Integers, &'static str> {
    let [mut by, mut lower, mut upper] = [None; 3];
    let mut saturate = false;
    while let Some(option) = rest.next() {
        let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
        if is(b"saturate") && !saturate {
            saturate = true;
            continue;
        }
        let value = if is(b"byint") {
            &mut by
        } else if is(b"lbound") {
            &mut lower
        } else if is(b"ubound") {
            &mut upper
        } else {
            return Err(SYNTAX);
        };
        if value.replace(rest.next().ok_or(SYNTAX)?).is_some() {
            return Err(SYNTAX);
        }
    }
    Integers::read(by, lower, upper, saturate)
}
