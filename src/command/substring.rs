//! Values as rows of bytes: their length, parts of them, and what is written into them or behind them.

use crate::resp::integer;
use crate::table::{Scalar, WrongType};

use super::place::Place;
use super::texts::{NOT_INTEGER, WRONG_TYPE};
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome};

/// `STRLEN key`
pub static STRLEN: Command = Command {
    name: "strlen",
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RO"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Tells how many bytes the value of a key has.",
        since: "2.2.0",
        group: "string",
        complexity: "O(1)",
        arguments: &[Argument::KEY],
    },
    run: strlen,
    subcommands: &[],
};

/// `APPEND key value`
pub static APPEND: Command = Command {
    name: "append",
    arity: 3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    keys: Keys::ONE,
    access: &["RW", "insert"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Writes behind the value of a key, which starts empty, and tells the new length.",
        since: "2.0.0",
        group: "string",
        complexity: "O(N) with N bytes of the new value",
        arguments: &[Argument::KEY, Argument::new("value", "string")],
    },
    run: append,
    subcommands: &[],
};

/// `GETRANGE key start end`
pub static GETRANGE: Command = Command {
    name: "getrange",
    arity: 4,
    flags: Flags::READONLY,
    keys: Keys::ONE,
    access: &["RO", "access"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Shows the bytes of a value from one offset to another, both included, negative ones from the end.",
        since: "2.4.0",
        group: "string",
        complexity: "O(N) with N bytes shown",
        arguments: RANGE,
    },
    run: getrange,
    subcommands: &[],
};

/// `SUBSTR key start end`
pub static SUBSTR: Command = Command {
    name: "substr",
    arity: 4,
    flags: Flags::READONLY,
    keys: Keys::ONE,
    access: &["RO", "access"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "An old name of GETRANGE.",
        since: "1.0.0",
        group: "string",
        complexity: "O(N) with N bytes shown",
        arguments: RANGE,
    },
    run: getrange,
    subcommands: &[],
};

/// `SETRANGE key offset value`
pub static SETRANGE: Command = Command {
    name: "setrange",
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    keys: Keys::ONE,
    access: &["RW", "update"],
    categories: &["string"],
    tips: &[],
    docs: Docs {
        summary: "Writes into the value of a key from an offset on, over zeros where it is too short, and tells the \
                  new length.",
        since: "2.2.0",
        group: "string",
        complexity: "O(N) with N bytes of the new value",
        arguments: &[Argument::KEY, Argument::new("offset", "integer"), Argument::new("value", "string")],
    },
    run: setrange,
    subcommands: &[],
};

/// Whether a command is `SETRANGE`, which makes values longer than by its own bytes.
pub(super) fn is_setrange(command: &Command) -> bool {
    std::ptr::eq(command, &raw const SETRANGE)
}

const RANGE: &[Argument] =
    &[Argument::KEY, Argument::new("start", "integer"), Argument::new("end", "integer")];

const TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

/// Hands `work` the bytes of a value.
fn with_bytes<R>(value: Scalar<'_>, work: impl FnOnce(&[u8]) -> R) -> R {
    match value {
        Scalar::Int(number) => work(itoa::Buffer::new().format(number).as_bytes()),
        Scalar::Str(bytes) => work(bytes),
    }
}

fn length(value: Option<Scalar<'_>>) -> usize {
    value.map_or(0, |value| with_bytes(value, <[u8]>::len))
}

fn strlen(call: &mut Call<'_>) -> Outcome {
    match call.at(1, |place| place.read_string(|value, _| length(value))) {
        Ok(length) => call.reply.count(length),
        Err(error) => error.reply(&mut call.reply),
    }
    Outcome::Done
}

fn getrange(call: &mut Call<'_>) -> Outcome {
    let (Some(start), Some(end)) = (integer::parse(call.args.get(2)), integer::parse(call.args.get(3)))
    else {
        call.reply.error(NOT_INTEGER);
        return Outcome::Done;
    };
    let shown = call.at(1, |place| {
        place.read_string(|value, reply| match value {
            None => reply.bulk(b""),
            Some(value) => with_bytes(value, |bytes| reply.bulk(part(bytes, start, end))),
        })
    });
    if let Err(WrongType) = shown {
        call.reply.error(WRONG_TYPE);
    }
    Outcome::Done
}

/// The bytes from `start` to `end`, both included; negative offsets count from behind the last byte. What lies outside
/// is left out.
fn part(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let len = i64::try_from(bytes.len()).expect("values fit into memory");
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let from = |offset: i64| if offset < 0 { (len + offset).max(0) } else { offset };
    let (first, last) = (from(start), from(end).min(len - 1));
    if first > last {
        return &[];
    }
    let index = |offset: i64| usize::try_from(offset).expect("it lies within the bytes");
    &bytes[index(first)..=index(last)]
}

fn append(call: &mut Call<'_>) -> Outcome {
    let (tail, most) = (call.args.get(2), call.host.limits().max_bulk);
    let written = call.at(1, |place| {
        write(place, tail, |before| {
            if before.len() + tail.len() > most {
                return Err(TOO_LONG);
            }
            Ok(([before, tail].concat(), before.len()))
        })
    });
    tell(call, written)
}

fn setrange(call: &mut Call<'_>) -> Outcome {
    let (patch, most) = (call.args.get(3), call.host.limits().max_bulk);
    let Some(offset) = integer::parse(call.args.get(2)) else {
        call.reply.error(NOT_INTEGER);
        return Outcome::Done;
    };
    let Ok(offset) = usize::try_from(offset) else {
        call.reply.error("ERR offset is out of range");
        return Outcome::Done;
    };
    let written = call.at(1, |place| {
        if patch.is_empty() {
            return place.string(|value, _| length(value)).map_err(|WrongType| WRONG_TYPE);
        }
        write(place, patch, |before| {
            let end = offset.checked_add(patch.len()).filter(|end| *end <= most).ok_or(TOO_LONG)?;
            let mut bytes = Vec::with_capacity(before.len().max(end));
            bytes.extend_from_slice(before);
            bytes.resize(before.len().max(end), 0);
            bytes[offset..end].copy_from_slice(patch);
            Ok((bytes, offset))
        })
    });
    tell(call, written)
}

/// Sets a value to what `change` makes of its bytes by writing `part` into them, at the offset that it tells too. Gives
/// the new length.
fn write(
    place: &mut Place<'_, '_>,
    part: &[u8],
    change: impl FnOnce(&[u8]) -> Result<(Vec<u8>, usize), &'static str>,
) -> Result<usize, &'static str> {
    let changed = place.string(|value, _| match value {
        None => change(b""),
        Some(value) => with_bytes(value, change),
    });
    let (bytes, offset) = changed.map_err(|WrongType| WRONG_TYPE)??;
    place.splice(&bytes, offset, part);
    Ok(bytes.len())
}

fn tell(call: &mut Call<'_>, written: Result<usize, &'static str>) -> Outcome {
    match written {
        Ok(length) => call.reply.count(length),
        Err(text) => call.reply.error(text),
    }
    Outcome::Done
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn parts_are_cut_to_what_there_is() {
        for (start, end, expected) in [
            (0, 3, "This"),
            (-3, -1, "ing"),
            (0, -1, "This is a string"),
            (10, 100, "string"),
            (-100, 3, "This"),
            (5, 3, ""),
            (-1, -5, ""),
            (-5, -100, ""),
            (100, 200, ""),
            (0, -100, "T"),
            (i64::MIN, i64::MAX, "This is a string"),
            (i64::MAX, i64::MIN, ""),
        ] {
            assert_eq!(part(b"This is a string", start, end), expected.as_bytes(), "{start} {end}");
        }
        assert_eq!(part(b"", 0, 0), b"");
        assert_eq!(part(b"", -1, -1), b"");
    }
}
