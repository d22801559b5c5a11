//! `INCRBYFLOAT`. Its arithmetic is Redis' `long double`; see [`extended`].

use crate::resp::extended::{self, Decimal, Extended, Finite};
use crate::table::{NewDeadline, Scalar};

use super::place::Place;
use super::texts::{NOT_FINITE, NOT_FLOAT, WRONG_TYPE};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `INCRBYFLOAT key increment`
pub static INCRBYFLOAT: Command = Command {
    name: "incrbyfloat",
    arity: 3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RW", "access", "update"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Adds a float to a value, which starts at 0 and may be a counter.",
        since: "2.6.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY, Argument::new("increment", "double")],
    },
    run: incrbyfloat,
    subcommands: &[],
};

/// The float at a key, 0 where there is none; else the error to reply with.
pub(super) fn current(place: &mut Place<'_, '_>) -> Result<Extended, &'static str> {
    let read = place.string(|value, _| match value {
        None => Some(Extended::Finite(Finite::from(0))),
        Some(Scalar::Int(number)) => Some(Extended::Finite(Finite::from(number))),
        Some(Scalar::Str(text)) => extended::parse(text),
    });
    read.map_err(|_| WRONG_TYPE)?.ok_or(NOT_FLOAT)
}

fn incrbyfloat(call: &mut Call<'_>) -> Outcome {
    let increment = extended::parse(call.args.get(2));
    let sum = call.at(1, |place| add(place, increment));
    match sum {
        Ok(sum) => call.reply.bulk(sum.as_ref()),
        Err(text) => call.reply.error(text),
    }
    Outcome::Done
}

fn add(place: &mut Place<'_, '_>, increment: Option<Extended>) -> Result<Decimal, &'static str> {
    // What is at the key is judged first, as in Redis.
    let (current, increment) = (current(place)?, increment.ok_or(NOT_FLOAT)?);
    let (Extended::Finite(current), Extended::Finite(increment)) = (current, increment) else {
        return Err(NOT_FINITE);
    };
    let Extended::Finite(sum) = current.plus(increment) else { return Err(NOT_FINITE) };
    let text = sum.print();
    place.set(text.as_ref(), NewDeadline::Keep);
    Ok(text)
}
